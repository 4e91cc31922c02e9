//! Who may do what at the doors: every request on every listener passes [`guarded`], which finds
//! whom its credentials name, what its route needs, and whose pipeline answers.
//!
//! Flow: route table → host and origin → credentials (bearer token, JWT, client certificate) →
//! tenant and roles → the tenant's router. What is not in the table is refused. The tenant comes
//! from credentials only, never from a header, a path or an attribute; secrets are never printed.

mod config;
mod guard;
mod jwks;
pub mod oidc;
mod origin;
mod policy;
mod quota;
mod refusal;
mod table;
pub mod tls;
pub mod token;

pub use config::{Client, Config, Token};
pub use guard::{Guard, guarded};
pub use policy::Policy;
pub use quota::{Quota, Rates};
pub use table::{Need, ROUTES, Route};
pub use tls::Tls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The tenant of everyone without auth, and of credentials that name no other.
pub const DEFAULT_TENANT: &str = "default";

/// One of the three listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// OTLP and our API over gRPC.
    Grpc,
    /// OTLP over HTTP.
    Http,
    /// Pages, JSON API and metrics.
    Web,
}

/// What credentials allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Send OTLP, scores and assignments.
    Ingest,
    /// Read pages, API and metrics.
    Read,
    /// Everything: also make cuts, and read the config.
    Admin,
}

/// Several roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles(u8);

/// Whom credentials name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Whose data it is.
    pub tenant: Arc<str>,
    /// What it may do.
    pub roles: Roles,
}

/// Names in the certificate of a client whose connection is TLS: DNS names and URIs. The listener
/// puts it into the extensions of each request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peer(pub Arc<[String]>);

// === impl Role ===

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Ingest, Role::Read, Role::Admin];

    /// Its name in the config.
    pub fn name(self) -> &'static str {
        ["ingest", "read", "admin"][self as usize]
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

// === impl Roles ===

impl Roles {
    /// Of a list.
    pub fn of(roles: &[Role]) -> Roles {
        Roles(roles.iter().fold(0, |bits, role| bits | 1 << *role as u8))
    }

    /// Whether they let one do what needs `role`; an admin may do everything.
    pub fn allow(self, role: Role) -> bool {
        self.0 & (1 << role as u8 | 1 << Role::Admin as u8) != 0
    }

    /// Whether they allow nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
