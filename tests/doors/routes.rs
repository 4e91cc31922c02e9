//! Every route of every listener: the table has them all, and each refuses who may not enter.

use super::ask::{Entry, entry, grpc, path};
use super::server::{start, three_roles, try_config};
use armspan::auth::token::Hash;
use armspan::auth::{Door, Need, ROUTES, Role};
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;
use std::path::Path;
use tonic::Code;

fn table(door: Door) -> BTreeSet<String> {
    let of_door = ROUTES.iter().filter(|route| route.door == door);
    of_door.map(|route| format!("{} {}", method(route.post), route.path)).collect()
}

fn method(post: bool) -> &'static str {
    if post { "post" } else { "get" }
}

/// Paths of pages, as the source says them: axum does not tell its routes.
fn pages() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for file in ["src/web/mod.rs", "src/app/web.rs"] {
        let text = std::fs::read_to_string(root.join(file)).expect("source");
        for part in text.split(".route(\"").skip(1) {
            let (path, rest) = part.split_once('"').expect("a path");
            assert!(rest.starts_with(", get("), "{path} is not only read");
            found.insert(format!("get {path}"));
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

#[test]
fn the_table_has_every_route_of_the_web_listener() {
    let mut wanted = pages();
    let document = armspan::api::openapi();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys();
        wanted.extend(methods.map(|method| format!("{method} {path}")));
    }
    assert_eq!(table(Door::Web), wanted);
}

#[test]
fn the_table_has_every_method_of_every_service() {
    let mut wanted = BTreeSet::new();
    let sets = [
        armspan::otlp::OTLP_DESCRIPTORS,
        armspan::api::proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    for set in sets {
        for file in FileDescriptorSet::decode(set).expect("descriptors").file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    wanted.insert(format!("post /{package}.{service}/{}", method.name()));
                }
            }
        }
    }
    let signals = ["traces", "logs", "metrics"].map(|signal| format!("post /v1/{signal}"));
    assert_eq!(table(Door::Http), BTreeSet::from(signals.clone()));
    wanted.extend(signals);
    assert_eq!(table(Door::Grpc), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_who_may_not_enter() {
    let running = start(&three_roles()).await;
    for route in &ROUTES {
        let asked = async |value: Option<&str>| entry(&running, route, value).await;
        let Need::Role(role) = route.need else {
            assert_eq!(asked(None).await, Entry::Entered, "{route:?}");
            continue;
        };
        for wrong in [None, Some("Bearer wrong"), Some("Bearer "), Some("Bearer"), Some("read")] {
            assert_eq!(asked(wrong).await, Entry::Unauthenticated, "{wrong:?} {route:?}");
        }
        for (name, held) in [("ingest", Role::Ingest), ("read", Role::Read), ("admin", Role::Admin)]
        {
            let allowed = held == role || held == Role::Admin;
            let wanted = if allowed { Entry::Entered } else { Entry::Forbidden };
            let value = format!("Bearer {name}");
            assert_eq!(asked(Some(&value)).await, wanted, "{name} {route:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_table_is_refused_to_everyone() {
    let running = start(&three_roles()).await;
    let client = reqwest::Client::new();
    for (door, path) in [
        ("web", "/config/"),
        ("web", "/api/v1/nothing"),
        ("http", "/v1/profiles"),
        ("http", "/livez"),
        // Who speaks no gRPC must not take an answer of gRPC, which is 200, for success.
        ("grpc", "/v1/nothing"),
    ] {
        let url = format!("{}{path}", running.url(door));
        let request = client.post(&url).header("content-type", "application/json").body("{}");
        let status = |answer: reqwest::Response| answer.status().as_u16();
        let request = |value: &str| {
            let request = request.try_clone().expect("a body");
            if value.is_empty() { request } else { request.header("authorization", value) }
        };
        assert_eq!(status(request("").send().await.expect("answers")), 401, "{url}");
        for role in ["read", "admin"] {
            let answer = request(&format!("Bearer {role}")).send().await.expect("answers");
            assert_eq!(status(answer), 404, "{url}");
        }
    }
    let method = "/armspan.v1.RunService/DropRuns";
    assert_eq!(grpc(&running.url("grpc"), method, None).await, Code::Unauthenticated);
    assert_eq!(grpc(&running.url("grpc"), method, Some("Bearer admin")).await, Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_a_token_and_two_credentials_are_none() {
    let running = start(&three_roles()).await;
    let url = format!("{}/api/v1/status", running.url("web"));
    let client = reqwest::Client::new();
    let status = async |request: reqwest::RequestBuilder| {
        request.send().await.expect("answers").status().as_u16()
    };
    assert_eq!(status(client.get(&url).basic_auth("anyone", Some("read"))).await, 200);
    assert_eq!(status(client.get(&url).basic_auth("read", Some("wrong"))).await, 401);
    assert_eq!(status(client.get(&url).basic_auth("read", None::<&str>)).await, 401);
    let twice = client.get(&url).header("authorization", "Bearer read");
    assert_eq!(status(twice.header("authorization", "Bearer wrong")).await, 401);
    // A tenant comes from credentials: nobody names his own.
    let named = client.get(&url).bearer_auth("read").header("x-tenant", "other");
    assert_eq!(status(named).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_all_is_open_and_a_reload_closes_it_at_once() {
    let mut running = start("").await;
    let of = |post: bool, path: &str| {
        *ROUTES.iter().find(|r| r.post == post && r.path == path).expect("a route")
    };
    let routes = [of(false, "/config"), of(true, "/v1/traces"), of(true, "/api/v1/cuts")];
    for route in &routes {
        assert_eq!(entry(&running, route, None).await, Entry::Entered, "{}", path(route));
    }
    running.reload(&three_roles()).await;
    for route in &routes {
        assert_eq!(entry(&running, route, None).await, Entry::Unauthenticated, "{}", path(route));
        assert_eq!(entry(&running, route, Some("Bearer admin")).await, Entry::Entered);
    }
    running.reload("auth: {anonymous: [read]}\n").await;
    assert_eq!(entry(&running, &of(false, "/runs"), None).await, Entry::Entered);
    assert_eq!(entry(&running, &of(false, "/config"), None).await, Entry::Forbidden);
    assert_eq!(entry(&running, &of(true, "/v1/logs"), None).await, Entry::Forbidden);
    // A token that was taken away opens nothing any more, not even what is open to all.
    let gone = entry(&running, &of(false, "/runs"), Some("Bearer admin")).await;
    assert_eq!(gone, Entry::Unauthenticated);
    let changed = super::server::config(running.dir.path(), "").listen;
    assert_eq!(changed, running.server.core.config.listen);
}

#[test]
fn a_config_that_would_let_in_the_wrong_ones_is_no_config() {
    const HERE: &str = "127.0.0.1:0";
    const ALL: &str = "0.0.0.0:0";
    let dir = tempfile::tempdir().expect("folder");
    let hash = Hash::of("x").hex();
    let token = |rest: &str| format!("auth: {{tokens: [{{name: a, sha256: {hash}{rest}}}]}}");
    for (text, web, word) in [
        (token(", roles: []"), HERE, "at least one"),
        (token(", tenant: acme, roles: [read]"), HERE, "\"acme\" is not declared"),
        (token(", roles: [root]"), HERE, "root"),
        (token(", role: [read]"), HERE, "role"),
        (token(""), HERE, "roles"),
        ("auth: {tokens: [{name: a, sha256: hunter2, roles: [read]}]}".into(), HERE, "64 hex"),
        ("auth: {tokens: [{name: a, sha256: '', roles: [read]}]}".into(), HERE, "64 hex"),
        ("auth: {anonymous: []}".into(), HERE, "nobody could"),
        ("auth: {tokns: []}".into(), HERE, "tokens"),
        ("web: {hosts: ['https://x']}".into(), HERE, "without scheme"),
        ("auth: {anonymous: [read]}".into(), ALL, "allow_remote"),
        (three_roles() + "  anonymous: [read]", ALL, "armspan.yaml"),
        (three_roles().replace("]}\n", "], anonymous: [read]}\n"), ALL, "allow_remote"),
        (String::new(), ALL, "allow_remote"),
    ] {
        let told = try_config(dir.path(), &text, web).expect_err(&text).to_string();
        assert!(told.contains(word) && !told.contains("hunter2"), "{word}: {told}");
    }
    let config = try_config(dir.path(), &three_roles(), ALL).expect("closed");
    let shown = format!("{}{config:?}{}", config.effective(), config.effective_json());
    assert!(!shown.contains(&Hash::of("read").hex()), "{shown}");
}
