//! JSON Web Tokens of an OpenID Connect provider: whose keys sign them, what must be in them, and
//! whom they name. A token that is not right in every part names nobody.

use super::jwks::{Keys, Trouble};
use super::{DEFAULT_TENANT, Identity, Role, Roles};
use jsonwebtoken as jwt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::time::Duration;

/// By how much the provider's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How tokens may be signed: never with a shared secret, never not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// A provider whose tokens are taken.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its URL, as it stands in `iss`.
    pub issuer: String,
    /// What must be in `aud`: tokens for others are not taken.
    pub audience: String,
    /// Where its keys are; found by `/.well-known/openid-configuration` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// How tokens may be signed.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Whose all of its tokens are; `default` when `tenant_claim` is absent, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The claim that names the tenant. Dots lead into objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    /// What all of its tokens allow.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// The claim that lists what a token allows, as a list or as words: `scope`, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles_claim: Option<String>,
    /// What stands before a role's name in that claim, so that an `admin` of others is none here.
    #[serde(default = "prefix")]
    pub roles_prefix: String,
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn prefix() -> String {
    "armspan:".into()
}

/// Whom a token names, or why it does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It is not right, and will not be.
    Invalid,
    /// It is right and names no tenant.
    Nobody,
    /// The provider's keys cannot be had for now.
    Later,
}

/// A provider and its keys.
pub struct Issuer {
    config: Config,
    keys: Keys,
}

/// All claims.
type Claims = serde_json::Map<String, Json>;

// === impl Config ===

impl Config {
    /// What is wrong with it: the key, and what to do.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut expect = |holds: bool, key, what: &str| {
            if !holds {
                faults.push((key, what.to_owned()));
            }
        };
        let safe = "is an https URL: keys that come in clear could be anybody's (http only of this \
                    machine)";
        expect(is_safe(&self.issuer), "issuer", safe);
        expect(self.jwks_uri.as_deref().is_none_or(is_safe), "jwks_uri", safe);
        expect(!self.audience.is_empty(), "audience", "names us, as the provider does");
        expect(!self.algorithms.is_empty(), "algorithms", "names at least one");
        let one = self.tenant.is_none() || self.tenant_claim.is_none();
        expect(one, "tenant", "stands in place of tenant_claim, not beside it");
        let one = self.roles.is_empty() != self.roles_claim.is_none();
        expect(one, "roles", "give either roles, or roles_claim");
        faults
    }

    /// The tenant of all tokens; none when each names its own.
    pub fn fixed_tenant(&self) -> Option<&str> {
        match (&self.tenant, &self.tenant_claim) {
            (Some(tenant), _) => Some(tenant),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TENANT),
        }
    }
}

/// Whether nobody between us can change what comes from there.
pub(super) fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let here = match url.host_str() {
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse();
            host == "localhost" || address.is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && here
}

// === impl Issuer ===

impl Issuer {
    /// Asks for no keys yet.
    pub fn new(config: &Config) -> Issuer {
        let keys = Keys::new(&config.issuer, config.jwks_uri.as_deref());
        Issuer { config: config.clone(), keys }
    }

    /// Whether a token says that it is of this provider; nothing is believed by that.
    pub fn is_named(&self, token: &str) -> bool {
        let claims = jwt::dangerous::insecure_decode_claims::<Claims>(token).ok();
        claims.is_some_and(|claims| claims.get("iss") == Some(&Json::from(&*self.config.issuer)))
    }

    /// Whom a token names.
    pub async fn identify(&self, token: &str) -> Result<Identity, Wrong> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Wrong::Invalid);
        }
        let header = jwt::decode_header(token).map_err(|_| Wrong::Invalid)?;
        let allowed = self.config.algorithms.iter().any(|allowed| allowed.is(header.alg));
        // What must be understood and is not is a reason to refuse.
        if !allowed || header.crit.is_some() {
            return Err(Wrong::Invalid);
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.map_err(|trouble| match trouble {
            Trouble::Unknown => Wrong::Invalid,
            Trouble::Later => Wrong::Later,
        })?;
        let decoded = jwt::decode::<Claims>(token, &key, &self.validation(header.alg));
        self.named(&decoded.map_err(|_| Wrong::Invalid)?.claims)
    }

    fn validation(&self, algorithm: jwt::Algorithm) -> jwt::Validation {
        let mut validation = jwt::Validation::new(algorithm);
        validation.set_audience(&[&self.config.audience]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        validation
    }

    fn named(&self, claims: &Claims) -> Result<Identity, Wrong> {
        let tenant = match (self.config.fixed_tenant(), &self.config.tenant_claim) {
            (Some(tenant), _) => tenant,
            (None, claim) => {
                let claim = claim.as_deref().and_then(|claim| claim_of(claims, claim));
                claim.and_then(Json::as_str).filter(|name| !name.is_empty()).ok_or(Wrong::Nobody)?
            }
        };
        let roles = match &self.config.roles_claim {
            Some(claim) => claim_of(claims, claim).map(|value| self.roles(value)),
            None => Some(Roles::of(&self.config.roles)),
        };
        Ok(Identity { tenant: tenant.into(), roles: roles.unwrap_or_default() })
    }

    /// The roles of a list, or of words; what is no role of ours is somebody else's.
    fn roles(&self, value: &Json) -> Roles {
        let words: Vec<&str> = match value {
            Json::String(text) => text.split_whitespace().collect(),
            Json::Array(all) => all.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        let prefix = self.config.roles_prefix.as_str();
        let ours = words.into_iter().filter_map(|word| word.strip_prefix(prefix));
        let roles = ours.filter_map(Role::from_name);
        Roles::of(&roles.collect::<Vec<_>>())
    }
}

/// A claim by its name, else by the path that its dots make.
fn claim_of<'a>(claims: &'a Claims, name: &str) -> Option<&'a Json> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, part| value.get(part))
}

// === impl Algorithm ===

impl Algorithm {
    fn is(self, other: jwt::Algorithm) -> bool {
        let same = match self {
            Algorithm::RS256 => jwt::Algorithm::RS256,
            Algorithm::RS384 => jwt::Algorithm::RS384,
            Algorithm::RS512 => jwt::Algorithm::RS512,
            Algorithm::PS256 => jwt::Algorithm::PS256,
            Algorithm::PS384 => jwt::Algorithm::PS384,
            Algorithm::PS512 => jwt::Algorithm::PS512,
            Algorithm::ES256 => jwt::Algorithm::ES256,
            Algorithm::ES384 => jwt::Algorithm::ES384,
            Algorithm::EdDSA => jwt::Algorithm::EdDSA,
        };
        same == other
    }
}
