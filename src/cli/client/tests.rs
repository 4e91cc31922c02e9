//! Whom the flags mean, and that a folder answers as a server does and stays as it was.

use super::*;
use crate::config::{Config, Flags};
use std::collections::BTreeMap;

fn file(dir: &Path, pid: u32) {
    let address = |text: &str| text.parse().expect("address");
    let (grpc, http) = (address("127.0.0.1:1"), address("127.0.0.1:2"));
    let scheme = store::Scheme::Http;
    let file = store::Server { scheme, web: address("127.0.0.1:9"), grpc, http, pid };
    file.write(dir).expect("written");
}

fn of(server: Option<&str>, data: Option<&Path>) -> Result<Client> {
    let (server, data) = (server.map(str::to_owned), data.map(Path::to_owned));
    Client::new(&Server { server, data, ..Server::default() })
}

#[test]
fn the_server_is_found_by_flag_or_folder() {
    let dir = tempfile::tempdir().expect("folder");
    file(dir.path(), std::process::id());
    let base = |client: Result<Client>| client.and_then(|client| client.base());
    assert_eq!(base(of(None, Some(dir.path()))).expect("found"), "http://127.0.0.1:9");
    assert_eq!(base(of(Some("h:1"), None)).expect("given"), "http://h:1");
    assert_eq!(base(of(Some("https://h/"), None)).expect("given"), "https://h");
    let none = of(None, Some(Path::new("no/such"))).map(drop).expect_err("none").to_string();
    assert!(none.contains("no server runs") && none.contains("no data folder"), "{none}");
}

#[test]
fn a_file_that_a_killed_server_left_is_not_believed() {
    let dir = tempfile::tempdir().expect("folder");
    let mut child = std::process::Command::new("true").spawn().expect("a process");
    child.wait().expect("its end");
    file(dir.path(), child.id());
    assert_eq!(address(dir.path()).expect("reads"), None);
    file(dir.path(), std::process::id());
    assert!(address(dir.path()).expect("reads").is_some());
}

/// Names and bytes of all files.
fn bytes(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("entry").path();
        match path.is_dir() {
            true => bytes(&path, into),
            false => drop(into.insert(path.clone(), std::fs::read(&path).expect("reads"))),
        }
    }
}

/// A folder that a server had, with one trace in it; and what the server answered.
async fn served(dir: &Path, paths: &[&str]) -> Vec<Json> {
    use crate::app::server::{Core, Doors, Server as Running};
    let config = dir.join("armspan.yaml");
    let data = dir.join("data");
    let text = "assignment_wait: 1s\nlog: {segment_bytes: 1048576}\n\
                listen: {grpc: 127.0.0.1:0, http: 127.0.0.1:0, web: 127.0.0.1:0}\n\
                experiments: {support-answer: {control: control}}\n";
    std::fs::write(&config, text).expect("config");
    let flags = Flags { data: Some(data.display().to_string()), ..Flags::default() };
    let config: Config =
        crate::config::load(Some(&config), &|_: &str| None, &flags).expect("config");
    let doors = Doors::bind(&config).await.expect("doors");
    let core = Core::start(config, false).await.expect("core");
    let server = Running::serve(core, doors).await.expect("server");
    let scored = format!("http://{}/api/v1/assignments", server.addresses[2]);
    let body = serde_json::json!({"experiment": "support-answer", "arm": "control",
        "trace_id": "0123456789abcdef0123456789abcdef", "unit": "u-1"});
    let sent = reqwest::Client::new().post(scored).json(&body).send().await.expect("sent");
    assert!(sent.status().is_success());
    server.core.settle().await;
    server.core.fresh_view().await.expect("view");
    let client = of(None, Some(&data)).expect("client");
    let mut answers = Vec::new();
    for path in paths {
        answers.push(client.get(path, &[]).await.expect("answers"));
    }
    server.stop().await.expect("stopped");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_answers_as_its_server_did_and_stays_as_it_was() {
    let dir = tempfile::tempdir().expect("folder");
    let paths = ["/api/v1/experiments", "/api/v1/experiments/support-answer", "/api/v1/runs"];
    let answers = served(dir.path(), &paths).await;
    assert_eq!(answers[0]["experiments"][0]["name"], "support-answer");
    let data = dir.path().join("data");
    // As after a kill: the file stayed, and nobody listens.
    file(&data, std::process::id());
    let mut before = BTreeMap::new();
    bytes(&data, &mut before);
    let client = of(None, Some(&data)).expect("client");
    for (path, answer) in paths.iter().zip(&answers) {
        assert_eq!(&client.get(path, &[]).await.expect("answers"), answer, "{path}");
    }
    let series = "/api/v1/experiments/support-answer/series";
    let page = client.get(series, &[("metric", "error_rate"), ("step", "1h")]).await;
    assert_eq!(page.expect("a page")["metric"], "error_rate");
    let told = client.get("/api/v1/experiments/suport-answer", &[]).await.expect_err("unknown");
    assert!(told.to_string().contains("near: support-answer"), "{told}");
    assert!(client.post("/api/v1/cuts").await.is_err(), "nobody writes");
    let mut after = BTreeMap::new();
    bytes(&data, &mut after);
    assert!(before == after, "{:?}", after.keys().collect::<Vec<_>>());
}
