//! `auth:` of the config: which credentials there are, whose they are and what they allow.

use super::token::Hash;
use super::{DEFAULT_TENANT, Role, oidc};
use crate::model::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest name in a certificate, in bytes.
const SAN_BYTES_MAX: usize = 1024;

/// Which credentials there are. With any of them every route of every listener needs its role.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bearer tokens; `armspan token` makes one.
    pub tokens: Vec<Token>,
    /// Clients by a name in their certificate; needs `tls.client_ca`.
    pub clients: Vec<Client>,
    /// Providers of OpenID Connect whose JWTs are taken as bearer tokens.
    pub oidc: Vec<oidc::Config>,
    /// What a request without credentials may do, as the tenant `default`: nothing as soon as
    /// there are credentials, everything without any.
    pub anonymous: Option<Vec<Role>>,
}

/// A bearer token, of which only the hash is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called in messages.
    pub name: String,
    /// SHA-256 of the token, as 64 hexadecimal digits.
    pub sha256: Secret,
    /// Whose it is.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// What it allows.
    pub roles: Vec<Role>,
}

/// A client by its certificate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// A subject alternative name of the certificate: a DNS name or a URI.
    pub san: String,
    /// Whose it is.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// What it allows.
    pub roles: Vec<Role>,
}

pub(super) fn default_tenant() -> String {
    DEFAULT_TENANT.into()
}

/// Where a fault is, and what it is.
type Faults = Vec<(String, String)>;

// === impl Config ===

impl Config {
    /// Whether it says anything: then every route needs a role.
    pub fn is_on(&self) -> bool {
        self.has_credentials() || self.anonymous.is_some()
    }

    /// Whether a stranger without credentials gets nothing at all.
    pub fn is_closed(&self) -> bool {
        self.has_credentials() && self.anonymous.as_ref().is_none_or(Vec::is_empty)
    }

    fn has_credentials(&self) -> bool {
        !(self.tokens.is_empty() && self.clients.is_empty() && self.oidc.is_empty())
    }

    /// What is wrong with it: the key, and what to do. A credential of a tenant that is not
    /// declared would be of nobody.
    pub fn faults(&self, tenants: &BTreeSet<&str>) -> Faults {
        let mut faults = Vec::new();
        if !self.has_credentials() && self.anonymous.as_ref().is_some_and(Vec::is_empty) {
            let what = "allows nothing, and there are no credentials: nobody could do anything";
            faults.push(("anonymous".into(), what.into()));
        }
        self.token_faults(&mut faults);
        for (at, client) in self.clients.iter().enumerate() {
            if client.san.is_empty() || client.san.len() > SAN_BYTES_MAX {
                let what = format!("a name has 1 to {SAN_BYTES_MAX} bytes");
                faults.push((format!("clients[{at}].san"), what));
            }
        }
        self.oidc_faults(tenants, &mut faults);
        for (key, tenant, roles) in self.grants() {
            if !tenants.contains(tenant) {
                let what = format!("\"{tenant}\" is not declared under tenants");
                faults.push((format!("{key}.tenant"), what));
            }
            if roles.is_empty() {
                let what = "name at least one of ingest, read, admin".to_owned();
                faults.push((format!("{key}.roles"), what));
            }
        }
        faults
    }

    fn token_faults(&self, faults: &mut Faults) {
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for (at, token) in self.tokens.iter().enumerate() {
            let key = format!("tokens[{at}]");
            if token.name.is_empty() || !names.insert(&token.name) {
                faults.push((format!("{key}.name"), "is empty, or there twice".into()));
            }
            let hash = token.sha256.reveal().unwrap_or_default();
            if Hash::parse(hash).is_none() {
                let what = "is the SHA-256 of the token as 64 hexadecimal digits, never the \
                            token itself; `armspan token` prints both";
                faults.push((format!("{key}.sha256"), what.into()));
            } else if !hashes.insert(hash.to_ascii_lowercase()) {
                faults.push((format!("{key}.sha256"), "is the same as another token's".into()));
            }
        }
    }

    fn oidc_faults(&self, tenants: &BTreeSet<&str>, faults: &mut Faults) {
        let mut issuers = BTreeSet::new();
        for (at, issuer) in self.oidc.iter().enumerate() {
            let key = format!("oidc[{at}]");
            faults
                .extend(issuer.faults().into_iter().map(|(k, what)| (format!("{key}.{k}"), what)));
            if !issuers.insert(&issuer.issuer) {
                faults.push((format!("{key}.issuer"), "is there twice".into()));
            }
            if let Some(tenant) = issuer.fixed_tenant().filter(|name| !tenants.contains(name)) {
                let what = format!("\"{tenant}\" is not declared under tenants");
                faults.push((format!("{key}.tenant"), what));
            }
        }
    }

    /// Each credential's key, tenant and roles.
    fn grants(&self) -> impl Iterator<Item = (String, &str, &[Role])> {
        let tokens = self.tokens.iter().enumerate();
        let tokens =
            tokens.map(|(at, t)| (format!("tokens[{at}]"), t.tenant.as_str(), &t.roles[..]));
        let clients = self.clients.iter().enumerate();
        tokens.chain(
            clients.map(|(at, c)| (format!("clients[{at}]"), c.tenant.as_str(), &c.roles[..])),
        )
    }
}
