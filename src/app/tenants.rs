//! The pipelines of all tenants: each has a log, an engine, an outbox and sinks of its own, in
//! `DIR/tenants/NAME`, and shares nothing with others but the listeners. The tenant `default` has
//! `DIR` itself.

use super::server::Core;
use crate::auth::{DEFAULT_TENANT, Quota};
use crate::config::Config;
use crate::log::LocalLog;
use crate::model::log::{Appended, Refused};
use crate::model::{Body, Log, Meter, Nanos, Position};
use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::RETRY_AFTER;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The pipelines of all tenants but the default one.
pub struct Others(BTreeMap<String, Core>);

/// A log that takes scores and assignments within the quota, too; OTLP's receiver looks itself,
/// before it reads.
pub struct Metered {
    log: LocalLog,
    quota: Arc<Quota>,
}

impl Metered {
    /// Around a log.
    pub fn new(log: LocalLog, quota: Arc<Quota>) -> Metered {
        Metered { log, quota }
    }
}

impl Log for Metered {
    fn append(&self, stamp: Nanos, body: Body) -> Appended {
        if let Body::Batch(bytes) = &body {
            if !self.quota.has_room() {
                return Appended::known(Err(Refused::Quota));
            }
            self.quota.charge(bytes.len() as u64, 0);
        }
        self.log.append(stamp, body)
    }

    fn depth(&self) -> (Position, u64) {
        self.log.depth()
    }
}

// === impl Others ===

impl Others {
    /// Starts those that a config declares.
    pub async fn start(config: &Config, accept_loss: bool) -> Result<Others> {
        let mut cores = BTreeMap::new();
        for (name, config) in config.tenants() {
            let core = Core::start(config, accept_loss).await;
            let core = core.with_context(|| format!("the tenant {name}"))?;
            cores.insert(name, core);
        }
        Ok(Others(cores))
    }

    /// Each tenant and its pipeline, the default one's first.
    pub fn with<'a>(&'a self, default: &'a Core) -> impl Iterator<Item = (&'a str, &'a Core)> {
        let others = self.0.iter().map(|(name, core)| (name.as_str(), core));
        std::iter::once((DEFAULT_TENANT, default)).chain(others)
    }

    /// Puts what can change in force.
    pub async fn reload(&mut self, config: &Config) -> Result<()> {
        let mut configs = config.tenants();
        if !configs.keys().eq(self.0.keys()) {
            bail!("tenants that come or go need a restart; credentials are in force already");
        }
        for (name, core) in &mut self.0 {
            if let Some(config) = configs.remove(name) {
                core.reload(config).await.with_context(|| format!("the tenant {name}"))?;
            }
        }
        Ok(())
    }

    /// Whether a sync of any log failed.
    pub fn poisoned(&self) -> bool {
        self.0.values().any(|core| core.log.poisoned())
    }

    /// Drains all of them; the first error is told when all have ended.
    pub async fn stop(self) -> Result<()> {
        let mut first = Ok(());
        for (name, core) in self.0 {
            let ended = core.stop().await.with_context(|| format!("the tenant {name}"));
            first = first.and(ended.map(drop));
        }
        first
    }

    /// A web router whose `/readyz` speaks for all tenants.
    pub fn ready_for_all(&self, router: Router) -> Router {
        if self.0.is_empty() {
            return router;
        }
        let meters: Arc<[Arc<Meter>]> = self.0.values().map(|core| core.meter.clone()).collect();
        router.layer(from_fn(move |request: Request, next: Next| {
            let meters = meters.clone();
            async move {
                let asked = request.uri().path() == "/readyz";
                if asked && !meters.iter().all(|meter| meter.ready.load(Relaxed)) {
                    let text = "a tenant's engine has not caught up with its log\n";
                    let later = [(RETRY_AFTER, "1")];
                    return (StatusCode::SERVICE_UNAVAILABLE, later, text).into_response();
                }
                next.run(request).await
            }
        }))
    }
}
