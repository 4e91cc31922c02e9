//! The keys of an OpenID Connect provider, kept for a while. They are asked for again when they
//! are old, or when a token names one that is not there, and never more often than strangers
//! could make us ask.

use super::oidc::is_safe;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use reqwest::Client;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After keys came, and after they did not, before they are asked for again.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_FAILED: Duration = Duration::from_secs(5);
/// Keys that are older are asked for again: one that was withdrawn ends then.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// And those that are older still are not used any more, whatever the provider's trouble.
const USABLE: Duration = Duration::from_secs(60 * 60);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The keys of one provider.
pub struct Keys {
    issuer: String,
    jwks_uri: Option<String>,
    http: Option<Client>,
    pause: Duration,
    fresh: Duration,
    kept: Mutex<Option<Kept>>,
    /// When they were last asked for, and whether they came; held while they are.
    asked: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

#[derive(Clone)]
struct Kept {
    set: Arc<JwkSet>,
    since: Instant,
}

/// Why there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The provider has no such key.
    Unknown,
    /// The provider does not answer.
    Later,
}

/// What of a provider's own description is used.
#[derive(serde::Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

// === impl Keys ===

impl Keys {
    /// Of a provider; nothing is asked for yet.
    pub fn new(issuer: &str, jwks_uri: Option<&str>) -> Keys {
        let http = Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("armspan/", env!("CARGO_PKG_VERSION")))
            .build();
        Keys {
            issuer: issuer.to_owned(),
            jwks_uri: jwks_uri.map(str::to_owned),
            http: http.ok(),
            pause: PAUSE,
            fresh: FRESH,
            kept: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// The key that a token names.
    pub async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Trouble> {
        let known = |age: Duration| {
            let kept = self.kept().filter(|kept| kept.since.elapsed() < age)?;
            pick(&kept.set, kid, algorithm)
        };
        if let Some(key) = known(self.fresh) {
            return Ok(key);
        }
        // Who has a key that will do does not wait while another asks for new ones.
        let mut asked = match (self.asked.try_lock(), known(USABLE)) {
            (Ok(asked), _) => asked,
            (Err(_), Some(key)) => return Ok(key),
            (Err(_), None) => self.asked.lock().await,
        };
        let pause = |came| if came { self.pause } else { PAUSE_FAILED };
        if !asked.is_some_and(|(at, came)| at.elapsed() < pause(came)) {
            let fetched = self.fetch().await;
            *asked = Some((Instant::now(), fetched.is_ok()));
            match fetched {
                Ok(set) => self.keep(set),
                Err(what) => {
                    tracing::warn!(issuer = self.issuer, "keys of the provider: {what}");
                }
            }
        }
        let came = asked.is_some_and(|(_, came)| came);
        drop(asked);
        known(USABLE).ok_or(if came { Trouble::Unknown } else { Trouble::Later })
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, set: JwkSet) {
        let kept = Kept { set: Arc::new(set), since: Instant::now() };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            None => {
                let base = self.issuer.trim_end_matches('/');
                let url = format!("{base}/.well-known/openid-configuration");
                let found: Discovered = self.get(&url).await?;
                if found.issuer != self.issuer {
                    return Err(format!("{url} is of another issuer, {:?}", found.issuer));
                }
                if !is_safe(&found.jwks_uri) {
                    return Err(format!("{url} names keys that come in clear"));
                }
                found.jwks_uri
            }
        };
        self.get(&uri).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let http = self.http.as_ref().ok_or("there is no HTTP client")?;
        let failed = |error: reqwest::Error| format!("{url}: {}", error.without_url());
        let mut answer = http.get(url).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{url}: {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(format!("{url}: the answer is larger than 1 MiB"));
            }
            body.extend_from_slice(&part);
        }
        serde_json::from_slice(&body)
            .map_err(|_| format!("{url}: the answer is not what it should be"))
    }
}

/// The key of a name that signs so; without a name the only one that does.
fn pick(set: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let mut fitting = set.keys.iter().filter(|key| {
        signs(key, algorithm) && kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid))
    });
    let key = fitting.next()?;
    // Two of one name could be meant: neither is.
    if fitting.next().is_some() { None } else { DecodingKey::from_jwk(key).ok() }
}

/// Whether a key is there for signatures of this kind.
fn signs(key: &Jwk, algorithm: Algorithm) -> bool {
    let fits = match &key.algorithm {
        AlgorithmParameters::RSA(_) => algorithm.family() == AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(pair) => {
            pair.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA
        }
        // A secret that is published is none.
        _ => false,
    };
    let used = key.common.public_key_use.as_ref();
    let named = key.common.key_algorithm.as_ref();
    fits && used.is_none_or(|used| *used == PublicKeyUse::Signature)
        && named.is_none_or(|named| named.to_string() == format!("{algorithm:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Keys of a provider that has another one each time it is asked; the count says how often.
    async fn rotating() -> (Keys, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = move || {
            let kid = count.fetch_add(1, Relaxed);
            let key = serde_json::json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": format!("{kid}")});
            let text = serde_json::json!({"keys": [key, {"kty": "unheard-of"}]}).to_string();
            async move { if kid < 3 { Ok(text) } else { Err(http::StatusCode::BAD_GATEWAY) } }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let issuer = format!("http://{}", listener.local_addr().expect("address"));
        let router = Router::new().route("/keys", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Keys::new(&issuer, Some(&format!("{issuer}/keys"))), asked)
    }

    async fn found(keys: &Keys, kid: &str) -> Result<(), Trouble> {
        keys.find(Some(kid), Algorithm::RS256).await.map(drop)
    }

    #[tokio::test]
    async fn strangers_cannot_make_us_ask() {
        let (keys, asked) = rotating().await;
        assert_eq!(found(&keys, "0").await, Ok(()));
        for stranger in 0..100 {
            assert_eq!(found(&keys, &format!("x{stranger}")).await, Err(Trouble::Unknown));
        }
        assert_eq!(found(&keys, "1").await, Err(Trouble::Unknown));
        assert_eq!(asked.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_new_key_is_found_and_one_that_was_withdrawn_ends() {
        let (mut keys, asked) = rotating().await;
        keys.pause = Duration::ZERO;
        assert_eq!(found(&keys, "0").await, Ok(()));
        assert_eq!(found(&keys, "1").await, Ok(()));
        assert_eq!(asked.load(Relaxed), 2);
        keys.fresh = Duration::ZERO;
        assert_eq!(found(&keys, "1").await, Err(Trouble::Unknown), "the provider has only 2 now");
        // It is down now: what is not too old does, what is not known may be later.
        assert_eq!(found(&keys, "2").await, Ok(()));
        assert_eq!(found(&keys, "4").await, Err(Trouble::Later));
        assert_eq!(asked.load(Relaxed), 4, "and is not asked again at once");
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        let set: JwkSet = serde_json::from_value(serde_json::json!({"keys": [
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "enc", "use": "enc"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "ps", "alg": "PS256"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "two"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAC", "kid": "two"},
        ]}))
        .expect("keys");
        let picked = |kid, algorithm| pick(&set, kid, algorithm).is_some();
        assert!(picked(Some("ps"), Algorithm::PS256));
        for (kid, algorithm) in [
            (Some("ps"), Algorithm::RS256),
            (Some("ps"), Algorithm::ES256),
            (Some("enc"), Algorithm::RS256),
            (Some("oct"), Algorithm::HS256),
            (Some("two"), Algorithm::RS256),
            (None, Algorithm::RS256),
        ] {
            assert!(!picked(kid, algorithm), "{kid:?} {algorithm:?}");
        }
    }
}
