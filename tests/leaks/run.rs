//! One server at trace level with a key, every sink that writes files, and sinks, tokens and a
//! downstream that fail; then the search in all that it left behind.

use crate::canary::{STEM, canary, folder_hits, hits};
use crate::doors::{JSON, fill, gzip, wrong_requests};
use crate::{commands, server};
use serde_json::{Value as Json, json};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server whose log lines are kept.
pub struct Run {
    child: Child,
    folder: PathBuf,
    client: reqwest::Client,
    pub grpc: u16,
    http: u16,
    pub web: u16,
}

/// Names of tokens and keys that the config takes, so that none stands in the file.
const SECRETS: [&str; 6] =
    ["HASH_KEY", "SINK_TOKEN", "SINK_PASSWORD", "HOOK_SECRET", "HOOK_PATH", "S3_SECRET"];

impl Run {
    async fn start(folder: &Path, more: &str) -> Run {
        let ports = [server::free_port(), server::free_port(), server::free_port()];
        let config = format!("{}{more}", server::CONFIG);
        let mut command = server::command_with(folder, ports, &config);
        command.arg("--log-level").arg("trace").current_dir(folder).stdout(Stdio::null());
        for name in SECRETS {
            command.env(name, canary(name));
        }
        let log = std::fs::File::create(folder.join("stderr")).expect("a file");
        let child = unlimited(&command).stderr(log).spawn().expect("started");
        let [grpc, http, web] = ports;
        // What is too large ends its connection, so none is used again.
        let client =
            reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let run = Run { child, folder: folder.to_owned(), client, grpc, http, web };
        run.until("ready", async || run.get("/readyz").await.0 == 200).await;
        run
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let end = Instant::now() + Duration::from_secs(40);
        while !done().await {
            assert!(Instant::now() < end, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A GET of the web address.
    pub async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let url = format!("http://127.0.0.1:{}{path}", self.web);
        let request = self.client.get(url).header("accept", "*/*");
        let request = request.timeout(Duration::from_secs(10));
        let Ok(answer) = request.bearer_auth(canary("token of a reader")).send().await else {
            return (0, Vec::new());
        };
        let status = answer.status().as_u16();
        (status, answer.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default())
    }

    async fn json(&self, path: &str) -> Json {
        serde_json::from_slice(&self.get(path).await.1).expect("JSON")
    }

    /// A POST to the OTLP door.
    pub async fn post(
        &self,
        path: &str,
        media: &str,
        encoding: &str,
        body: Vec<u8>,
    ) -> (u16, Vec<u8>) {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        self.post_to(&url, media, encoding, body).await
    }

    async fn post_to(
        &self,
        url: &str,
        media: &str,
        encoding: &str,
        body: Vec<u8>,
    ) -> (u16, Vec<u8>) {
        let token = canary("token over HTTP");
        let request = self.client.post(url).bearer_auth(&token).body(body);
        let request = request.header("content-type", media).header("content-encoding", encoding);
        let request = request.header("x-api-key", token).header("cookie", canary("cookie"));
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
    }

    /// A good request; says that it was taken.
    pub async fn send(&self, path: &str, media: &str, body: Vec<u8>, compress: bool) -> usize {
        let (encoding, body) = if compress { ("gzip", gzip(&body)) } else { ("identity", body) };
        let (status, answer) = self.post(path, media, encoding, body).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        assert_eq!(hits(&answer), Vec::<String>::new());
        1
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("stderr")).expect("the log lines")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command where core dumps are allowed, as far as the system lets us.
fn unlimited(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("ulimit -c unlimited 2>/dev/null; exec \"$@\"").arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.stdout(Stdio::null());
    shell
}

fn sinks(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let repository = folder.join("repository");
    std::fs::create_dir_all(&repository).expect("a folder");
    let git = |words: &[&str]| {
        let ran = Command::new("git").current_dir(&repository).args(words).output();
        assert!(ran.expect("git runs").status.success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
    git(&[&who[..], &["commit", "-q", "--allow-empty", "-m", "first"]].concat());
    let down = "http://127.0.0.1:1";
    let sinks = json!([
        {"kind": "jsonl", "dir": path("lines")},
        {"kind": "wandb", "dir": path("wandb"), "open": true},
        {"kind": "dvc", "repo": path("repository")},
        {"kind": "parquet", "dir": path("tables")},
        {"kind": "parquet", "dir": "s3://bucket/x", "endpoint": down, "region": "x",
            "access_key": "a", "secret_key": "${env:S3_SECRET}"},
        {"kind": "ci", "summary": path("summary.md"), "badge": path("badge.svg")},
        {"kind": "intoto", "dir": path("statements")},
        {"kind": "mlflow", "url": down, "token": "${env:SINK_TOKEN}"},
        {"kind": "mlflow", "url": "http://127.0.0.1:2", "username": "a",
            "password": "${env:SINK_PASSWORD}"},
        {"kind": "otlp", "endpoint": down, "headers": ["authorization=Bearer ${env:SINK_TOKEN}"]},
        {"kind": "otlp", "endpoint": "http://127.0.0.1:2", "protocol": "grpc",
            "headers": ["authorization=Bearer ${env:SINK_TOKEN}"]},
        {"kind": "webhook", "url": format!("{down}/services/${{env:HOOK_PATH}}"),
            "secret": "${env:HOOK_SECRET}"},
    ]);
    let features = if cfg!(feature = "parquet") { sinks } else { json!([{"kind": "jsonl"}]) };
    format!(
        "identity: {{hash_key: \"${{env:HASH_KEY}}\"}}\nlimits: {{request_bytes_max: 256KiB}}\n\
         log: {{segment_bytes: 1MiB}}\nsnapshot: {{every: 1s}}\n\
         sinks: {features}\n"
    )
}

/// Bodies for our own API that are refused or hold what it does not keep.
async fn wrong_api_calls(run: &Run) {
    let word = |what: &str| canary(&format!("API: {what}"));
    let trace = "0123456789abcdef0123456789abcdef";
    let good =
        |more: &str| format!("{{\"name\":\"ok\",\"value\":1,\"trace_id\":\"{trace}\"{more}}}");
    let bodies = [
        ("scores", good(&format!(",\"comment\":\"{}\"", word("an unknown field")))),
        ("scores", good(&format!(",\"annotator\":\"{}\",\"id\":\"1\"", word("an annotator")))),
        ("scores", good(&format!(",\"id\":\"{}\"", word("an id")))),
        ("scores", good(&format!(",\"time\":\"{}\"", word("a time")))),
        (
            "scores",
            format!("{{\"name\":\"ok\",\"value\":1,\"trace_id\":\"{}\"}}", word("a trace id")),
        ),
        (
            "scores",
            format!("{{\"name\":\"ok\",\"value\":1,\"response_id\":\"{}\"}}", word("a response")),
        ),
        (
            "scores",
            format!("{{\"name\":\"ok\",\"value\":1,\"session_id\":\"{}\"}}", word("a session")),
        ),
        ("scores", format!("{{\"name\":\"ok\",\"value\":{{\"{}\":1}}}}", word("a value"))),
        ("scores", format!("{{\"name\":\"ok\" \"{}\"", word("no JSON"))),
        ("scores", format!("{{\"scores\":\"{}\"}}", word("no list"))),
        ("assignments", format!("{{\"trace_id\":\"{trace}\",\"{}\":1}}", word("a field"))),
        (
            "assignments",
            format!(
                "{{\"trace_id\":\"{trace}\",\"experiment\":\"load\",\"arm\":\"A\",\"unit\":\"{}\"}}",
                word("a unit")
            ),
        ),
    ];
    for (route, body) in bodies {
        let url = format!("http://127.0.0.1:{}/api/v1/{route}", run.web);
        let (status, answer) = run.post_to(&url, JSON, "identity", body.into_bytes()).await;
        assert_eq!(hits(&answer), Vec::<String>::new(), "{route}: {status}");
    }
    let url = format!("http://127.0.0.1:{}/api/public/scores", run.web);
    let body = format!(
        "{{\"name\":\"ok\",\"value\":1,\"traceId\":\"{trace}\",\"comment\":\"{}\",\"metadata\":\"{}\"}}",
        word("Langfuse's comment"),
        word("Langfuse's metadata")
    );
    let (_, answer) = run.post_to(&url, JSON, "identity", body.into_bytes()).await;
    assert_eq!(hits(&answer), Vec::<String>::new());
    // Who asks for a name may be told it again; nobody else is.
    for path in [
        "runs?experiment=WORD",
        "runs/WORD",
        "experiments/WORD",
        "outbox?after=WORD",
        "experiments/load/series?metric=WORD&from=WORD",
        "runs/WORD/compare/WORD",
        "WORD",
    ] {
        run.get(&format!("/api/v1/{}", path.replace("WORD", &word("a query")))).await;
    }
    for path in
        ["/experiments/WORD", "/runs?arm=WORD", "/compare?a=WORD", "/WORD", "/assets/WORD/a"]
    {
        run.get(&path.replace("WORD", &word("a page"))).await;
    }
}

/// Everything that the web address serves.
async fn read_everything(run: &Run) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/",
        "/experiments",
        "/runs",
        "/compare",
        "/sinks",
        "/pipeline",
        "/config",
        "/metrics",
        "/api/openapi.json",
        "/api/v1/experiments",
        "/api/v1/runs?limit=500",
        "/api/v1/status",
        "/api/v1/outbox?limit=100",
    ]
    .map(str::to_owned)
    .into();
    let experiments = run.json("/api/v1/experiments").await;
    for experiment in experiments["experiments"].as_array().expect("a list") {
        let name = experiment["name"].as_str().expect("a name");
        paths.extend(
            ["", "/gate", "/series?metric=error_rate"]
                .map(|end| format!("/api/v1/experiments/{name}{end}")),
        );
        paths.extend(["", "/report.html"].map(|end| format!("/experiments/{name}{end}")));
    }
    let runs = run.json("/api/v1/runs?limit=500").await;
    let runs = runs["runs"].as_array().expect("runs");
    assert!(runs.len() > 5, "there is something to leak: {}", runs.len());
    let hashed = |run: &&Json| run["config"]["prompt"]["hash"].is_string();
    let hashes: Vec<&str> = runs
        .iter()
        .filter(hashed)
        .filter_map(|run| run["config"]["prompt"]["hash"].as_str())
        .collect();
    assert!(hashes.len() > 2 && hashes.iter().all(|h| h.starts_with("hmac-sha256:")), "{hashes:?}");
    for pair in runs.windows(2).take(12) {
        let id = |run: &Json| run["run"]["id"].as_str().expect("an id").to_owned();
        let (a, b) = (id(&pair[0]), id(&pair[1]));
        paths.extend([format!("/runs/{a}"), format!("/api/v1/runs/{a}")]);
        paths.extend([format!("/compare/{a}/{b}"), format!("/api/v1/runs/{a}/compare/{b}")]);
    }
    let mut found = Vec::new();
    for path in paths {
        let (status, body) = run.get(&path).await;
        assert!(status < 500, "{path}: {status}");
        assert!(body.len() > 20, "{path}: {status}");
        found.extend(hits(&body).into_iter().map(|hit| format!("{path}: {hit}")));
    }
    found
}

async fn cut(run: &Run) {
    let url = format!("http://127.0.0.1:{}/api/v1/cuts", run.web);
    run.until("a cut", async || run.post_to(&url, JSON, "identity", Vec::new()).await.0 == 200)
        .await;
    let delivered = async || {
        let status = run.json("/api/v1/status").await;
        let sinks = status["sinks"].as_array().expect("sinks").clone();
        let state = |kind: &str, key: &str| {
            let own = |s: &&Json| s["name"].as_str().is_some_and(|name| name.starts_with(kind));
            sinks.iter().filter(own).all(|sink| sink[key].as_u64() > Some(0))
        };
        let files = ["jsonl", "wandb", "ci", "intoto", "parquet:/"];
        files.iter().all(|kind| state(kind, "delivered")) && state("mlflow", "failures")
    };
    run.until("sinks that had their turn", delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_content_is_left_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::start(folder.path(), &sinks(folder.path())).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", run.child.id()));
    let limits = limits.expect("the limits of a process");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = cores.expect("a limit of cores").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "core dumps are forbidden");

    let taken = fill(&run).await;
    assert!(taken > 200, "{taken} requests");
    wrong_requests(&run).await;
    wrong_api_calls(&run).await;
    run.until("calls", async || {
        let status = run.json("/api/v1/status").await;
        status["engine"]["calls"].as_u64() > Some(50) && status["engine"]["parked"] == 0
    })
    .await;
    cut(&run).await;
    let mut found = read_everything(&run).await;
    found.extend(commands::of_a_server(folder.path(), run.web));
    assert!(run.log().windows(5).filter(|w| w == b"TRACE").count() > 100, "trace lines");
    let mut run = run;
    run.signal("ABRT");
    let ended = run.child.wait().expect("ended");
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false), "no core");
    found.extend(folder_hits(folder.path()));
    found.extend(commands::of_a_folder(&folder.path().join("data")));
    let files = ["lines", "wandb", "tables", "statements", "summary.md", "data/log", "data/snap"];
    for name in files.into_iter().filter(|_| cfg!(feature = "parquet")) {
        assert!(folder.path().join(name).exists(), "{name} was written");
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} hits of {STEM}:\n{}", found.len(), found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downstream_that_fails_is_told_without_its_token() {
    for protocol in ["http", "grpc"] {
        let folder = tempfile::tempdir().expect("a folder");
        let forward = format!(
            "forward: {{endpoint: \"http://127.0.0.1:1\", protocol: {protocol}, \
             headers: [\"authorization=Bearer ${{env:SINK_TOKEN}}\"]}}\n"
        );
        let run = Run::start(folder.path(), &forward).await;
        let payload = crate::doors::payloads().into_iter().find_map(|payload| payload.traces);
        let mut traces = payload.expect("a payload");
        crate::canary::sow_traces(&mut traces, "forwarded");
        let json = serde_json::to_vec(&traces).expect("JSON");
        let (status, answer) = run.post("/v1/traces", JSON, "identity", json).await;
        assert_eq!(status, 503);
        let mut found = hits(&answer);
        for path in ["/config", "/pipeline", "/api/v1/status", "/metrics"] {
            found.extend(hits(&run.get(path).await.1));
        }
        run.signal("TERM");
        found.extend(folder_hits(folder.path()));
        assert_eq!(found, Vec::<String>::new(), "{protocol}");
    }
}
