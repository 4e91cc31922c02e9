//! TLS at all three doors: in clear nobody gets in, clients are who their certificates say, new
//! certificates are in force without a restart, and broken ones change nothing.

use super::server::{Running, start_in, token};
use armspan::auth;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("authority")
}

/// A certificate and its key, as PEM.
fn signed(by: &Authority, names: &[&str]) -> (String, String) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| alternative(name)).collect();
    let key = KeyPair::generate().expect("key");
    (params.signed_by(&key, by).expect("signed").pem(), key.serialize_pem())
}

fn alternative(name: &str) -> SanType {
    match (name.parse(), name.contains("://")) {
        (Ok(address), _) => SanType::IpAddress(address),
        (_, true) => SanType::URI(name.try_into().expect("a name")),
        (_, false) => SanType::DnsName(name.try_into().expect("a name")),
    }
}

/// A folder with the certificate of a server in it.
fn folder(by: &Authority) -> TempDir {
    let dir = TempDir::new().expect("folder");
    put(dir.path(), &signed(by, &["127.0.0.1"]));
    std::fs::write(dir.path().join("ca.pem"), by.pem()).expect("written");
    dir
}

fn put(dir: &Path, (cert, key): &(String, String)) {
    std::fs::write(dir.join("cert.pem"), cert).expect("written");
    std::fs::write(dir.join("key.pem"), key).expect("written");
}

/// The key `tls` of a config; `more` goes into it.
fn tls(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    format!("tls: {{cert: {dir}/cert.pem, key: {dir}/key.pem{more}}}\n")
}

fn with_clients(dir: &Path, optional: bool) -> String {
    let more = format!(", client_ca: {}/ca.pem, client_optional: {optional}", dir.display());
    let clients = "[{san: collector.example, roles: [ingest]}, \
                   {san: 'spiffe://example/board', roles: [read]}]";
    let token = token("admin", "default", "admin");
    format!("{}auth: {{tokens: [{token}], clients: {clients}}}\n", tls(dir, &more))
}

/// A client that trusts an authority, with a certificate of its own or none.
fn client(trusts: &Authority, own: Option<&(String, String)>) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(trusts.pem().as_bytes()).expect("PEM");
    let mut builder = reqwest::Client::builder().tls_certs_only([ca]);
    if let Some((cert, key)) = own {
        let identity = reqwest::Identity::from_pem(format!("{cert}{key}").as_bytes());
        builder = builder.identity(identity.expect("identity"));
    }
    builder.timeout(Duration::from_secs(10)).build().expect("client")
}

fn https(running: &Running, door: &str, path: &str) -> String {
    format!("{}{path}", running.url(door).replace("http:", "https:"))
}

/// The status of a door's answer; none when there was none.
async fn traces(running: &Running, client: &reqwest::Client) -> Option<u16> {
    let request = client.post(https(running, "http", "/v1/traces"));
    let request = request.header("content-type", "application/json").body("{}");
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

async fn runs(running: &Running, client: &reqwest::Client, token: Option<&str>) -> Option<u16> {
    let mut request = client.get(https(running, "web", "/api/v1/runs"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

/// The code of an empty export over gRPC; none when there was no connection.
async fn export(
    running: &Running,
    trusts: &Authority,
    own: Option<&(String, String)>,
) -> Option<Code> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusts.pem()));
    if let Some((cert, key)) = own {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    let endpoint = Endpoint::from_shared(https(running, "grpc", "")).expect("URL");
    let channel = endpoint.tls_config(tls).expect("TLS").connect().await.ok()?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.ok()?;
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let path = method.parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    match client.unary(tonic::Request::new(()), path, codec).await {
        Ok(_) => Some(Code::Ok),
        // What broke the connection is no answer.
        Err(status) if std::error::Error::source(&status).is_some() => None,
        Err(status) => Some(status.code()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_tls() {
    let ca = authority();
    let dir = folder(&ca);
    let text = tls(dir.path(), "");
    let running = start_in(dir, &text).await;
    for door in ["grpc", "http", "web"] {
        assert!(reqwest::get(running.url(door)).await.is_err(), "{door}");
    }
    let ours = client(&ca, None);
    assert_eq!(traces(&running, &ours).await, Some(200));
    assert_eq!(runs(&running, &ours, None).await, Some(200));
    assert_eq!(export(&running, &ca, None).await, Some(Code::Ok));
    let stranger = authority();
    assert_eq!(runs(&running, &client(&stranger, None), None).await, None);
    assert_eq!(export(&running, &stranger, None).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_who_its_certificate_says() {
    let ca = authority();
    let dir = folder(&ca);
    let text = with_clients(dir.path(), false);
    let running = start_in(dir, &text).await;
    let collector = signed(&ca, &["a.example", "collector.example"]);
    let board = signed(&ca, &["spiffe://example/board"]);
    let unknown = signed(&ca, &["collector.example.evil"]);
    let forged = signed(&authority(), &["collector.example"]);
    for (own, wanted) in [
        (Some(&collector), [Some(200), Some(403)]),
        (Some(&board), [Some(403), Some(200)]),
        (Some(&unknown), [Some(401), Some(401)]),
        (Some(&forged), [None, None]),
        (None, [None, None]),
    ] {
        let client = client(&ca, own);
        let seen = [traces(&running, &client).await, runs(&running, &client, None).await];
        assert_eq!(seen, wanted);
        let code = wanted[0].map(|status| match status {
            200 => Code::Ok,
            403 => Code::PermissionDenied,
            _ => Code::Unauthenticated,
        });
        assert_eq!(export(&running, &ca, own).await, code);
    }
    // A token says more than a certificate, and a wrong one is not made good by it.
    let known = client(&ca, Some(&unknown));
    assert_eq!(runs(&running, &known, Some("admin")).await, Some(200));
    assert_eq!(runs(&running, &client(&ca, Some(&board)), Some("wrong")).await, Some(401));
    assert_eq!(runs(&running, &client(&ca, None), Some("admin")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_other_credentials_do_when_the_config_says_so() {
    let ca = authority();
    let dir = folder(&ca);
    let text = with_clients(dir.path(), true);
    let running = start_in(dir, &text).await;
    let none = client(&ca, None);
    assert_eq!(runs(&running, &none, None).await, Some(401));
    assert_eq!(runs(&running, &none, Some("admin")).await, Some(200));
    let forged = signed(&authority(), &["collector.example"]);
    assert_eq!(runs(&running, &client(&ca, Some(&forged)), Some("admin")).await, None);
    let collector = signed(&ca, &["collector.example"]);
    assert_eq!(traces(&running, &client(&ca, Some(&collector))).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_in_force_without_a_restart() {
    let (old, new) = (authority(), authority());
    let dir = folder(&old);
    let text = tls(dir.path(), "");
    let running = start_in(dir, &text).await;
    let open = client(&old, None);
    assert_eq!(runs(&running, &open, None).await, Some(200));
    // A key that is another's: what was in force stays.
    let next = signed(&new, &["127.0.0.1"]);
    std::fs::write(running.dir.path().join("key.pem"), &next.1).expect("written");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(runs(&running, &client(&old, None), None).await, Some(200));
    put(running.dir.path(), &next);
    let end = Instant::now() + Duration::from_secs(15);
    while runs(&running, &client(&new, None), None).await != Some(200) {
        assert!(Instant::now() < end, "the new certificate never came");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(runs(&running, &client(&old, None), None).await, None);
    // Connections that were there stay.
    assert_eq!(runs(&running, &open, None).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let dir = folder(&authority());
    let text = tls(dir.path(), "");
    let running = start_in(dir, &text).await;
    let mut stream =
        tokio::net::TcpStream::connect(running.server.addresses[1]).await.expect("connects");
    stream.write_all(&[0x16, 0x03]).await.expect("written");
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut bytes));
    // An error is an end as well.
    let _ = read.await.expect("ended");
}

#[test]
fn broken_files_are_told_and_nothing_of_a_key() {
    let ca = authority();
    let dir = folder(&ca);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = |cert: &str, key: &str, ca: Option<&str>| auth::tls::Config {
        cert: path(cert),
        key: path(key),
        client_ca: ca.map(path),
        client_optional: false,
    };
    let other = KeyPair::generate().expect("key").serialize_pem();
    std::fs::write(dir.path().join("other.pem"), &other).expect("written");
    for (config, word) in [
        (config("gone.pem", "key.pem", None), "gone.pem"),
        (config("key.pem", "key.pem", None), "no certificate"),
        (config("cert.pem", "cert.pem", None), "no key"),
        (config("cert.pem", "other.pem", None), "do not belong together"),
        (config("cert.pem", "key.pem", Some("key.pem")), "no certificate"),
    ] {
        let told = auth::Tls::open(&config).map(drop).expect_err(word);
        assert!(told.contains(word) && !told.contains("PRIVATE"), "{word}: {told}");
    }
    let tls = auth::Tls::open(&config("cert.pem", "key.pem", Some("ca.pem"))).expect("good");
    assert_eq!(tls.look(), Ok(false));
    std::fs::write(dir.path().join("ca.pem"), authority().pem()).expect("written");
    assert_eq!(tls.look(), Ok(true));
    std::fs::remove_file(dir.path().join("key.pem")).expect("removed");
    assert!(tls.look().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_gets_in_with_token_and_certificates() {
    let ca = authority();
    let dir = folder(&ca);
    let (cert, key) = signed(&ca, &["spiffe://example/board"]);
    let own = dir.path().join("own.pem");
    std::fs::write(&own, format!("{cert}{key}")).expect("written");
    let text = with_clients(dir.path(), true);
    let running = start_in(dir, &text).await;
    let folder = running.dir.path();
    let told = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_armspan"));
        command.arg("status").arg("--data").arg(folder.join("data")).args(words);
        let out = command.env_remove("ARMSPAN_TOKEN").output().expect("armspan runs");
        (out.status.code(), String::from_utf8(out.stderr).expect("UTF-8"))
    };
    let (file, own) = (folder.join("ca.pem"), own.display().to_string());
    let file = file.display().to_string();
    assert_eq!(told(&["--ca", &file, "--token", "admin"]), (Some(0), String::new()));
    assert_eq!(told(&["--ca", &file, "--cert", &own]).0, Some(0));
    let (code, error) = told(&["--ca", &file]);
    assert!(code == Some(1) && error.contains("ARMSPAN_TOKEN"), "{error}");
    let (code, error) = told(&["--token", "admin"]);
    assert!(code == Some(1) && error.contains("--ca"), "{error}");
}
