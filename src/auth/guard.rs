//! The guard before every listener: decides of each request, before its body is read, and hands
//! it to the router of its tenant.

use super::refusal::Refusal;
use super::table::{self, Need};
use super::{DEFAULT_TENANT, Door, Policy, origin};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::Method;
use http::request::Parts;
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt;

/// Decides by the policy in force.
pub struct Guard(ArcSwap<Policy>);

// === impl Guard ===

impl Guard {
    /// With a policy.
    pub fn new(policy: Policy) -> Arc<Guard> {
        Arc::new(Guard(ArcSwap::from_pointee(policy)))
    }

    /// Puts another policy in force: from the next request on.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }

    /// Whose pipeline answers a request.
    async fn admit(&self, door: Door, parts: &Parts) -> Result<Arc<str>, Refusal> {
        let route = table::need(door, &parts.method, parts.uri.path());
        if route == Ok(Need::Open) {
            return Ok(DEFAULT_TENANT.into());
        }
        let policy = self.0.load_full();
        if door == Door::Web {
            policy.hosts.check_host(parts)?;
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            policy.hosts.check_origin(parts)?;
        }
        if !policy.is_on() {
            origin::check_media(door, parts)?;
            return Ok(DEFAULT_TENANT.into());
        }
        let identity = policy.identify(parts).await?;
        match route.map_err(Refusal::missing)? {
            Need::Role(role) if !identity.roles.allow(role) => {
                Err(Refusal::forbidden("the credentials do not have the role that this needs"))
            }
            _ => origin::check_media(door, parts).map(|()| identity.tenant),
        }
    }
}

/// A listener's router: nothing gets to a tenant's own but through the guard. A tenant that has
/// no router has nothing here.
pub fn guarded(door: Door, guard: Arc<Guard>, tenants: BTreeMap<String, Router>) -> Router {
    let tenants = Arc::new(tenants);
    Router::new().fallback(move |request: Request| {
        let (guard, tenants) = (guard.clone(), tenants.clone());
        async move { enter(door, &guard, &tenants, request).await }
    })
}

async fn enter(
    door: Door,
    guard: &Guard,
    tenants: &BTreeMap<String, Router>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let refusal = match guard.admit(door, &parts).await {
        Ok(tenant) => match tenants.get(&*tenant) {
            Some(router) => {
                let request = Request::from_parts(parts, body);
                // A router's error type has no values.
                return router
                    .clone()
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {});
            }
            None => Refusal::forbidden("the credentials are of a tenant that is not declared"),
        },
        Err(refusal) => refusal,
    };
    tracing::debug!(?door, path = parts.uri.path(), ?refusal, "a request was refused");
    refusal.answer(door, parts.version, &parts.headers)
}
