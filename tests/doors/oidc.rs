//! JWTs of a provider: what is right in every part gets in, and nothing else does.

use super::ask::grpc;
use super::server::{Running, start, try_config};
use axum::Router;
use base64::Engine;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::Code;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A key that signs, and its name.
struct Key {
    kid: &'static str,
    algorithm: Algorithm,
    secret: EncodingKey,
    public: Jwk,
}

/// A provider that publishes keys.
struct Provider {
    issuer: String,
    /// What `/.well-known/openid-configuration` names as issuer and keys; nothing while down.
    told: Arc<Mutex<Option<(String, JwkSet)>>>,
    keys: Vec<Key>,
}

fn key(kid: &'static str, algorithm: Algorithm) -> Key {
    let kind = match algorithm {
        Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::EdDSA => &rcgen::PKCS_ED25519,
        _ => &rcgen::PKCS_RSA_SHA256,
    };
    let pair = KeyPair::generate_for(kind).expect("key");
    let der = pair.serialize_der();
    let secret = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_der(&der),
        Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
        // The key itself stands behind 26 bytes that say what it is.
        _ => EncodingKey::from_rsa_der(&der[26..]),
    };
    let mut public = match algorithm {
        // That of a key whose file does not hold it cannot be had from it.
        Algorithm::EdDSA => {
            let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key_raw());
            serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519", "x": x})).expect("a key")
        }
        _ => Jwk::from_encoding_key(&secret, algorithm).expect("public"),
    };
    public.common.key_id = Some(kid.to_owned());
    Key { kid, algorithm, secret, public }
}

fn published(keys: &[Key]) -> JwkSet {
    JwkSet { keys: keys.iter().map(|key| key.public.clone()).collect() }
}

impl Provider {
    async fn start() -> Provider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let issuer = format!("http://{}", listener.local_addr().expect("address"));
        let keys = vec![
            key("r", Algorithm::RS256),
            key("e", Algorithm::ES256),
            key("d", Algorithm::EdDSA),
        ];
        let told = Arc::new(Mutex::new(Some((issuer.clone(), published(&keys)))));
        let (shared, base) = (told.clone(), issuer.clone());
        let router = Router::new().fallback(move |uri: http::Uri| {
            let told = shared.lock().expect("lock").clone();
            let base = base.clone();
            async move {
                let (issuer, keys) = told.ok_or(http::StatusCode::BAD_GATEWAY)?;
                match uri.path() {
                    "/.well-known/openid-configuration" => {
                        let uri = format!("{base}/jwks");
                        Ok(json!({"issuer": issuer, "jwks_uri": uri}).to_string())
                    }
                    "/jwks" => Ok(json!(keys).to_string()),
                    _ => Err(http::StatusCode::NOT_FOUND),
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Provider { issuer, told, keys }
    }

    fn config(&self, more: &str) -> String {
        format!("auth: {{oidc: [{{issuer: '{}', audience: armspan, {more}}}]}}\n", self.issuer)
    }

    fn claims(&self, more: Json) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut claims = json!({"iss": self.issuer, "aud": "armspan", "exp": now + 60,
            "nbf": now - 1, "sub": "someone", "scope": "openid armspan:ingest"});
        for (name, value) in more.as_object().expect("claims") {
            match value {
                Json::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn token(&self, kid: &str, more: Json) -> String {
        let key = self.keys.iter().find(|key| key.kid == kid).expect("a key");
        signed(key, kid, &self.claims(more))
    }
}

fn signed(key: &Key, kid: &str, claims: &Json) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(key.algorithm) };
    encode(&header, claims, &key.secret).expect("signed")
}

/// What the HTTP door says to an empty request with such a token.
async fn traces(running: &Running, token: &str) -> u16 {
    let request = reqwest::Client::new().post(format!("{}/v1/traces", running.url("http")));
    let request = request.header("content-type", "application/json").body("{}").bearer_auth(token);
    let answer = request.send().await.expect("answers");
    let again = answer.headers().get("retry-after").is_some();
    assert_eq!(again, answer.status() == 503);
    answer.status().as_u16()
}

async fn runs(running: &Running, token: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("{}/api/v1/runs", running.url("web")));
    request.bearer_auth(token).send().await.expect("answers").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_right_in_every_part_gets_in() {
    let provider = Provider::start().await;
    let running = start(&provider.config("roles_claim: scope")).await;
    for kid in ["r", "e", "d"] {
        let token = provider.token(kid, json!({"aud": ["other", "armspan"]}));
        assert_eq!(traces(&running, &token).await, 200, "{kid}");
        assert_eq!(runs(&running, &token).await, 403, "{kid}");
        let code = grpc(&running.url("grpc"), EXPORT, Some(&format!("Bearer {token}"))).await;
        assert_eq!(code, Code::Ok);
    }
    let reader = provider.token("e", json!({"scope": ["armspan:read"]}));
    assert_eq!((traces(&running, &reader).await, runs(&running, &reader).await), (403, 200));
    // An admin of something else is none here.
    for scope in [json!("admin read ingest"), json!("armspan:root"), Json::Null, json!(7)] {
        let token = provider.token("e", json!({"scope": scope}));
        assert_eq!((traces(&running, &token).await, runs(&running, &token).await), (403, 403));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_in_any_part_names_nobody() {
    let provider = Provider::start().await;
    let running = start(&provider.config("roles: [admin]")).await;
    let good = provider.token("e", json!({}));
    assert_eq!(runs(&running, &good).await, 200);
    let now = provider.claims(json!({}))["exp"].as_u64().expect("a time") - 60;
    let mut wrong = Vec::new();
    for more in [
        json!({"iss": "https://elsewhere.example"}),
        json!({"iss": format!("{}/", provider.issuer)}),
        json!({"iss": Json::Null}),
        json!({"iss": [provider.issuer]}),
        json!({"aud": "other"}),
        json!({"aud": ["other"]}),
        json!({"aud": Json::Null}),
        json!({"exp": now - 40}),
        json!({"exp": Json::Null}),
        json!({"exp": "tomorrow"}),
        json!({"nbf": now + 90}),
    ] {
        wrong.push((more.to_string(), provider.token("e", more)));
    }
    let claims = provider.claims(json!({}));
    wrong.push(("no such key".into(), signed(&provider.keys[1], "x", &claims)));
    wrong.push(("another's key".into(), signed(&key("e", Algorithm::ES256), "e", &claims)));
    wrong.push(("a key of another kind".into(), signed(&provider.keys[1], "r", &claims)));
    let crit = Header {
        kid: Some("e".into()),
        crit: Some(vec!["b64".into()]),
        ..Header::new(Algorithm::ES256)
    };
    let key = &provider.keys[1].secret;
    wrong.push(("what must be understood".into(), encode(&crit, &claims, key).expect("signed")));
    let parts: Vec<&str> = good.split('.').collect();
    wrong.push(("no signature".into(), format!("{}.{}.", parts[0], parts[1])));
    let other = provider.token("e", json!({"sub": "another"}));
    let other: Vec<&str> = other.split('.').collect();
    wrong.push(("changed".into(), format!("{}.{}.{}", parts[0], other[1], parts[2])));
    wrong.push(("cut".into(), good[..good.len() - 4].to_owned()));
    wrong.push(("no JWT".into(), "a.b.c".into()));
    for (header, secret) in none_and_shared(&provider) {
        wrong.push((header.clone(), forged(&header, &claims, &secret)));
    }
    for (what, token) in wrong {
        assert_eq!(
            (runs(&running, &token).await, traces(&running, &token).await),
            (401, 401),
            "{what}"
        );
    }
    assert_eq!(runs(&running, &good).await, 200);
}

/// Headers that say "not signed", or "signed with a secret", the public key taken for it.
fn none_and_shared(provider: &Provider) -> Vec<(String, Vec<u8>)> {
    let public = published(&provider.keys);
    let public = json!(public.keys[0])["n"].as_str().expect("a number").as_bytes().to_vec();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": "r"}).to_string();
    ["none", "None", "NONE", "HS256", "HS384", "RS384", "PS256"]
        .map(|alg| (header(alg), public.clone()))
        .to_vec()
}

fn forged(header: &str, claims: &Json, secret: &[u8]) -> String {
    use hmac::Mac;
    let text = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", text(header.as_bytes()), text(claims.to_string().as_bytes()));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).expect("a key");
    mac.update(signed.as_bytes());
    let signature = text(&mac.finalize().into_bytes());
    match header.to_lowercase().contains("none") {
        true => format!("{signed}."),
        false => format!("{signed}.{signature}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_is_down_clients_are_told_to_come_back() {
    let provider = Provider::start().await;
    let running = start(&provider.config("roles: [admin]")).await;
    let down = provider.told.lock().expect("lock").take();
    let token = provider.token("e", json!({}));
    assert_eq!((traces(&running, &token).await, runs(&running, &token).await), (503, 503));
    let bearer = format!("Bearer {token}");
    let code = grpc(&running.url("grpc"), EXPORT, Some(&bearer)).await;
    assert_eq!(code, Code::Unavailable);
    // What is no token of it needs no keys to be refused.
    assert_eq!(traces(&running, "wrong").await, 401);
    *provider.told.lock().expect("lock") = down;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(traces(&running, &token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_of_another_provider_is_not_believed() {
    let provider = Provider::start().await;
    if let Some((issuer, _)) = provider.told.lock().expect("lock").as_mut() {
        *issuer = "https://elsewhere.example".into();
    }
    let running = start(&provider.config("roles: [admin]")).await;
    assert_eq!(traces(&running, &provider.token("e", json!({}))).await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_not_declared_has_nothing_here() {
    let provider = Provider::start().await;
    let running = start(&provider.config("roles: [admin], tenant_claim: org.name")).await;
    for (org, wanted) in [
        (json!({"name": "default"}), 200),
        (json!({"name": "acme"}), 403),
        (json!({"name": "Default"}), 403),
        (json!({"name": "../default"}), 403),
        (json!({"name": ""}), 403),
        (json!({"name": 7}), 403),
        (json!("default"), 403),
        (Json::Null, 403),
    ] {
        let token = provider.token("e", json!({"org": org}));
        assert_eq!(runs(&running, &token).await, wanted, "{org}");
        assert_eq!(traces(&running, &token).await, wanted, "{org}");
    }
}

#[test]
fn a_provider_that_could_not_be_trusted_is_no_config() {
    let dir = tempfile::tempdir().expect("folder");
    let rest = "audience: armspan, roles: [read]";
    for (issuer, word) in [
        (format!("issuer: 'http://login.example', {rest}"), "oidc[0].issuer: is an https"),
        (format!("issuer: 'http://127.0.0.1.evil.example', {rest}"), "is an https"),
        (format!("issuer: 'https://a', jwks_uri: 'http://b', {rest}"), "oidc[0].jwks_uri"),
        ("issuer: 'https://a', audience: '', roles: [read]".into(), "audience"),
        ("issuer: 'https://a', roles: [read]".into(), "audience"),
        ("issuer: 'https://a', audience: x".into(), "oidc[0].roles"),
        (format!("issuer: 'https://a', roles_claim: scope, {rest}"), "oidc[0].roles"),
        (format!("issuer: 'https://a', algorithms: [HS256], {rest}"), "HS256"),
        (format!("issuer: 'https://a', algorithms: [none], {rest}"), "none"),
        (format!("issuer: 'https://a', algorithms: [], {rest}"), "oidc[0].algorithms"),
        (format!("issuer: 'https://a', tenant: a, tenant_claim: b, {rest}"), "oidc[0].tenant"),
        (format!("issuer: 'https://a', tenant: acme, {rest}"), "\"acme\" is not declared"),
    ] {
        let text = format!("auth: {{oidc: [{{{issuer}}}]}}");
        let told = try_config(dir.path(), &text, "127.0.0.1:0").expect_err(&text).to_string();
        assert!(told.contains(word), "{word}: {told}");
    }
    let good = format!("auth: {{oidc: [{{issuer: 'https://a', {rest}}}]}}");
    assert!(try_config(dir.path(), &good, "0.0.0.0:0").is_ok());
}
