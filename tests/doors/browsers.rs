//! Requests that a browser was tricked into: names of others bound to our address, and pages of
//! other sites that post here; and what pages may do.

use super::server::{start, three_roles};
use reqwest::{Client, RequestBuilder};

const SCORE: &str =
    r#"{"id":"s","name":"ok","value":1,"trace_id":"0123456789abcdef0123456789abcdef"}"#;

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("answers").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_listener_answers_to_its_own_names_only() {
    let running = start("web: {hosts: [evals.example.com]}\n").await;
    let web = running.url("web");
    let asked = async |path: &str, host: &str| {
        status(Client::new().get(format!("{web}{path}")).header("host", host)).await
    };
    let port = running.server.addresses[2].port();
    let own = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "LocalHost".into(),
        "a.localhost".into(),
        "[::1]:80".into(),
        "10.1.2.3".into(),
        "evals.example.com".into(),
        "Evals.Example.com.:443".into(),
    ];
    for host in &own {
        assert_eq!(asked("/api/v1/status", host).await, 200, "{host}");
    }
    for host in ["evil.example", "evals.example.com.evil.example", "localhost.evil.example", "1"] {
        for path in ["/api/v1/status", "/", "/metrics", "/config", "/nothing"] {
            assert_eq!(asked(path, host).await, 421, "{host} {path}");
        }
        assert_eq!(asked("/readyz", host).await, 200, "{host}");
    }
    let post = Client::new().post(format!("{web}/api/v1/scores")).header("host", "evil.example");
    assert_eq!(status(post.header("content-type", "application/json").body(SCORE)).await, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_change_nothing() {
    for auth in [String::new(), three_roles()] {
        let running = start(&format!("web: {{hosts: [evals.example.com]}}\n{auth}")).await;
        let web = running.url("web");
        let own = web.as_str();
        for path in ["/api/v1/scores", "/api/public/scores", "/api/v1/cuts", "/api/v1/assignments"]
        {
            let post = || {
                let request = Client::new().post(format!("{web}{path}")).bearer_auth("admin");
                request.header("content-type", "application/json").body(SCORE)
            };
            for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"]
            {
                assert_eq!(status(post().header("origin", origin)).await, 403, "{origin} {path}");
            }
            let cross = post().header("sec-fetch-site", "cross-site");
            assert_eq!(status(cross).await, 403, "{path}");
            let twice = post().header("origin", own).header("origin", "http://evil.example");
            assert_eq!(status(twice).await, 403, "{path}");
            for origin in [own, "https://evals.example.com"] {
                let entered = status(post().header("origin", origin)).await;
                assert!(![401, 403, 415, 421].contains(&entered), "{entered} {origin} {path}");
            }
            for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
            {
                let form = Client::new().post(format!("{web}{path}")).bearer_auth("admin");
                let form = form.header("content-type", media).body(SCORE);
                assert_eq!(status(form).await, 415, "{media} {path}");
            }
        }
        let traces = Client::new().post(format!("{}/v1/traces", running.url("http")));
        let traces = traces.header("content-type", "application/json").body("{}");
        let traces = traces.bearer_auth("ingest").header("origin", "http://evil.example:4318");
        assert_eq!(status(traces).await, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_do_nothing_but_what_they_are_for() {
    let running = start("").await;
    for path in ["/experiments", "/runs", "/config", "/pipeline", "/sinks", "/compare"] {
        let answer = reqwest::get(format!("{}{path}", running.url("web"))).await.expect("answers");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        let mut parts: Vec<&str> = policy.split("; ").collect();
        parts.sort_unstable();
        let wanted = [
            "base-uri 'none'",
            "connect-src 'self'",
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "img-src 'self' data:",
            "script-src 'self'",
            "style-src 'self'",
        ];
        assert_eq!(parts, wanted, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        assert!(answer.headers().get("access-control-allow-origin").is_none());
    }
}
