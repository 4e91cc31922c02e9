//! Tenants: each has a pipeline of its own, in a folder of its own, with a config that is made
//! here of what is its own and what all share. What belongs to one is in no other's.

use super::check::{self, Faults};
use super::file::{File, Identity, Quota};
use super::{Config, Listen, doors};
use crate::auth::DEFAULT_TENANT;
use crate::model::Secret;
use crate::model::metric::Metric;
use crate::model::settings::Experiment;
use crate::sink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Longest name, in bytes: it is a folder's and a label's.
const NAME_BYTES_MAX: usize = 64;

/// What a tenant has of its own; the rest of the file holds for all.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// Key of its content and unit hashes; plain SHA-256 when empty.
    pub hash_key: Secret,
    /// Name of the key in `hmac-sha256:<key id>:<hex>`.
    pub hash_key_id: String,
    /// Its experiments.
    pub experiments: BTreeMap<String, Experiment>,
    /// Its metrics.
    pub metrics: BTreeMap<String, Metric>,
    /// Where its run records go.
    pub sinks: Vec<sink::Config>,
    /// What it may send.
    pub quota: Quota,
}

impl Default for Tenant {
    fn default() -> Self {
        let File { sinks, identity, .. } = File::default();
        Tenant {
            hash_key: identity.hash_key,
            hash_key_id: identity.hash_key_id,
            experiments: BTreeMap::new(),
            metrics: BTreeMap::new(),
            sinks,
            quota: Quota::default(),
        }
    }
}

/// Everything that is wrong with tenants.
pub fn check(file: &File, listen: Option<&Listen>, faults: &mut Faults) {
    quota(&file.quota, "quota", faults);
    for name in file.tenants.keys() {
        let key = format!("tenants.{name}");
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(valid) {
            let what = format!("a name has 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _");
            faults.add(&key, what);
        } else if name == DEFAULT_TENANT {
            faults.add(&key, "is what the rest of the file says; nothing more is to be said");
        }
        let mut own = Faults::default();
        let file = of_tenant(file, name);
        check::check(&file, &mut own);
        doors::loops(&file, listen, &mut own);
        quota(&file.quota, "quota", &mut own);
        let parts = ["experiments", "metrics", "sinks", "quota"];
        for fault in own.0 {
            if parts.iter().any(|part| fault.key.starts_with(part)) {
                faults.add(format!("{key}.{}", fault.key), fault.what);
            }
        }
    }
}

fn quota(quota: &Quota, key: &str, faults: &mut Faults) {
    let rates = [
        ("bytes_per_second", quota.bytes_per_second.map(|size| size.0)),
        ("spans_per_second", quota.spans_per_second),
        ("in_flight_bytes_max", quota.in_flight_bytes_max.map(|size| size.0)),
    ];
    for (name, rate) in rates {
        if rate == Some(0) {
            faults.add(format!("{key}.{name}"), "is above 0; null is no bound");
        }
    }
}

/// The file as if there were only this tenant.
fn of_tenant(file: &File, name: &str) -> File {
    let own = file.tenants.get(name).cloned().unwrap_or_default();
    let data = Path::new(&file.data).join("tenants").join(name);
    File {
        data: data.display().to_string(),
        identity: Identity {
            hash_key: own.hash_key,
            hash_key_id: own.hash_key_id,
            observed: file.identity.observed.clone(),
        },
        experiments: own.experiments,
        metrics: own.metrics,
        sinks: own.sinks,
        quota: own.quota,
        // Downstream is the default tenant's: nobody else's requests go there.
        forward: None,
        ..without_others(file, name)
    }
}

/// The file without what is of other tenants: their names, their credentials, their settings.
fn without_others(file: &File, name: &str) -> File {
    let mut file = file.clone();
    file.tenants.clear();
    file.auth.tokens.retain(|token| token.tenant == name);
    file.auth.clients.retain(|client| client.tenant == name);
    file.auth.oidc.retain(|issuer| issuer.fixed_tenant() == Some(name));
    file
}

impl Config {
    /// A config for each tenant but the default one, which has this.
    pub fn tenants(&self) -> BTreeMap<String, Config> {
        let of = |name: &String| {
            let config = Config::build(of_tenant(&self.file, name), self.listen);
            (name.clone(), Config { tenant: Some(name.clone()), ..config })
        };
        self.file.tenants.keys().map(of).collect()
    }

    /// As [`Config::effective`], without what is of other tenants.
    pub fn shown(&self) -> String {
        let name = self.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
        Config::build(without_others(&self.file, name), self.listen).effective()
    }
}
