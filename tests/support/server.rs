//! The real binary as a child process that never outlives its test.

use serde_json::Value as Json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

/// Waits are short, so that tests are.
pub const CONFIG: &str = "assignment_wait: 1s\nmatures_after: 0s\n\
    experiments: {support-answer: {control: control}, answer-prompt: {control: control}, load: {control: A}}\n";

pub struct Server {
    child: Child,
    pub grpc: u16,
    pub http: u16,
    pub web: u16,
    pub data: PathBuf,
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("address").port()
}

/// The binary of this build, or another one that `ARMSPAN_BIN` names.
fn binary() -> PathBuf {
    let named = std::env::var_os("ARMSPAN_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_armspan").into())
}

pub fn armspan(words: &[&str]) -> Output {
    Command::new(binary()).args(words).output().expect("armspan runs")
}

/// `serve` on these ports.
pub fn command(folder: &Path, ports: [u16; 3]) -> Command {
    command_with(folder, ports, CONFIG)
}

/// The same with a config of one's own.
pub fn command_with(folder: &Path, ports: [u16; 3], text: &str) -> Command {
    let config = folder.join("armspan.yaml");
    std::fs::write(&config, text).expect("config");
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(config).arg("--data").arg(folder.join("data"));
    for (name, port) in ["grpc", "http", "web"].into_iter().zip(ports) {
        command.arg(format!("--listen-{name}")).arg(format!("127.0.0.1:{port}"));
    }
    command
}

/// Writes the config of a folder with more in it.
pub fn configure(folder: &Path, more: &str) {
    std::fs::write(folder.join("armspan.yaml"), format!("{CONFIG}{more}")).expect("config");
}

impl Server {
    pub async fn start(folder: &Path) -> Server {
        Server::start_with(folder, CONFIG).await
    }

    pub async fn start_with(folder: &Path, text: &str) -> Server {
        Server::start_on(folder, text, [free_port(), free_port(), free_port()]).await
    }

    /// Another one where this one was.
    pub async fn again(&self, folder: &Path, text: &str) -> Server {
        Server::start_on(folder, text, [self.grpc, self.http, self.web]).await
    }

    async fn start_on(folder: &Path, text: &str, ports: [u16; 3]) -> Server {
        let server = Server::spawn(folder, command_with(folder, ports, text), ports);
        server.until("ready", async || server.text("/readyz").await.is_some()).await;
        server
    }

    /// A command of [`command_with`], which may not live until it is ready.
    pub fn spawn(folder: &Path, mut command: Command, [grpc, http, web]: [u16; 3]) -> Server {
        let log = std::fs::File::create(folder.join("stderr")).expect("a file");
        let child = command.stderr(log).spawn().expect("started");
        Server { child, grpc, http, web, data: folder.join("data") }
    }

    /// What it said, of this start.
    pub fn said(&self) -> String {
        let file = self.data.with_file_name("stderr");
        String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
    }

    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web)
    }

    /// The body of a route that answers with 200.
    pub async fn text(&self, path: &str) -> Option<String> {
        let answer = reqwest::get(format!("{}{path}", self.url())).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.text().await.ok()
    }

    pub async fn json(&self, path: &str) -> Json {
        let text = self.text(path).await.unwrap_or_else(|| panic!("{path} does not answer"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// Calls counted, and nothing waits any more.
    pub async fn settled(&self, calls: u64) {
        self.until(&format!("{calls} calls"), async || {
            let status = self.json("/api/v1/status").await;
            status["engine"]["calls"] == calls && status["engine"]["parked"] == 0
        })
        .await;
    }

    pub async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let end = Instant::now() + Duration::from_secs(40);
        while !done().await {
            if Instant::now() >= end {
                let status = self.text("/api/v1/status").await;
                panic!("waited in vain for {what}: {status:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(sent.expect("kill runs").success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
