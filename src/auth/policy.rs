//! The credentials in force, and whom those of a request name.

use super::oidc::{Issuer, Wrong};
use super::origin::Hosts;
use super::refusal::Refusal;
use super::token::Hash;
use super::{Config, DEFAULT_TENANT, Identity, Peer, Roles};
use base64::Engine;
use http::header::{AUTHORIZATION, HeaderValue};
use http::request::Parts;
use std::sync::Arc;

const NEEDED: &str =
    "credentials are needed: send Authorization: Bearer TOKEN, or a client certificate";
const INVALID: &str = "the credentials are not valid";

/// Who may enter. Replaced as a whole when the config is reloaded.
pub struct Policy {
    on: bool,
    tokens: Vec<(Hash, Identity)>,
    clients: Vec<(String, Identity)>,
    issuers: Vec<Issuer>,
    anonymous: Roles,
    pub(super) hosts: Hosts,
}

// === impl Policy ===

impl Policy {
    /// Of a config without faults; what has some is left out, so that it lets nobody in. `hosts`
    /// are names under which the web listener is asked.
    pub fn new(config: &Config, hosts: &[String]) -> Policy {
        let identity = |tenant: &str, roles: &[super::Role]| Identity {
            tenant: tenant.into(),
            roles: Roles::of(roles),
        };
        let tokens = config.tokens.iter().filter_map(|token| {
            let hash = Hash::parse(token.sha256.reveal()?)?;
            Some((hash, identity(&token.tenant, &token.roles)))
        });
        let clients = config.clients.iter();
        let clients =
            clients.map(|client| (client.san.clone(), identity(&client.tenant, &client.roles)));
        Policy {
            on: config.is_on(),
            tokens: tokens.collect(),
            clients: clients.collect(),
            issuers: config.oidc.iter().map(Issuer::new).collect(),
            anonymous: Roles::of(config.anonymous.as_deref().unwrap_or_default()),
            hosts: Hosts::new(hosts),
        }
    }

    /// Whether routes need roles.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whom a request's credentials name. Those that are there and wrong are never taken for
    /// none.
    pub async fn identify(&self, parts: &Parts) -> Result<Identity, Refusal> {
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        if let Some(value) = given.next() {
            let token = bearer(value).filter(|_| given.next().is_none());
            let token = token.ok_or(Refusal::unauthenticated(INVALID))?;
            return match self.of_token(&token) {
                Some(identity) => Ok(identity),
                None => self.of_jwt(&token).await,
            };
        }
        if let Some(identity) = parts.extensions.get::<Peer>().and_then(|peer| self.of_peer(peer)) {
            return Ok(identity);
        }
        if self.anonymous.is_empty() {
            return Err(Refusal::unauthenticated(NEEDED));
        }
        Ok(Identity { tenant: Arc::from(DEFAULT_TENANT), roles: self.anonymous })
    }

    /// All are compared, so that the time does not tell which one was near.
    fn of_token(&self, token: &str) -> Option<Identity> {
        let hash = Hash::of(token);
        let mut found = None;
        for (known, identity) in &self.tokens {
            if known.same(&hash) {
                found = Some(identity);
            }
        }
        found.cloned()
    }

    /// By the provider that a JWT names. Only one that is known is ever asked for keys.
    async fn of_jwt(&self, token: &str) -> Result<Identity, Refusal> {
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.is_named(token)) else {
            return Err(Refusal::unauthenticated(INVALID));
        };
        issuer.identify(token).await.map_err(|wrong| match wrong {
            Wrong::Invalid => Refusal::unauthenticated(INVALID),
            Wrong::Nobody => Refusal::forbidden("the token names no tenant"),
            Wrong::Later => Refusal::later("the keys that tokens are checked with cannot be had"),
        })
    }

    /// The first client of the config that the certificate names.
    fn of_peer(&self, peer: &Peer) -> Option<Identity> {
        let named = |san: &String| peer.0.iter().any(|name| name.eq_ignore_ascii_case(san));
        self.clients.iter().find(|client| named(&client.0)).map(|client| client.1.clone())
    }
}

/// The token of `Bearer TOKEN`, or of `Basic`, where it is the password: browsers and Langfuse's
/// clients can send that.
fn bearer(value: &HeaderValue) -> Option<String> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}
