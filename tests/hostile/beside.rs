//! The normal client beside the attackers, and the memory of the server.

use crate::payloads::one_call;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections of attackers need files; the system may give fewer than wished.
pub fn raise_files() -> u64 {
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(65_536);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..files });
    raised.expect("the soft limit may be as high as the hard one");
    most
}

/// How long answers took, and what went wrong.
#[derive(Default)]
pub struct Beside {
    took: Vec<Duration>,
    pub failed: Vec<String>,
}

impl Beside {
    /// Sends good requests one after another, each on a connection of its own.
    pub async fn measure(port: u16, time: Duration) -> Beside {
        let (end, mut out) = (Instant::now() + time, Beside::default());
        while Instant::now() < end {
            let began = Instant::now();
            let asked = tokio::time::timeout(Duration::from_secs(20), ask_again(port));
            match asked.await {
                Ok(Ok(())) => out.took.push(began.elapsed()),
                Ok(Err(what)) => out.failed.push(what),
                Err(_) => out.failed.push("no answer in 20 s".into()),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        out
    }

    pub fn add(&mut self, more: Beside) {
        self.took.extend(more.took);
        self.failed.extend(more.failed);
    }

    pub fn answered(&self) -> usize {
        self.took.len()
    }

    pub fn worst(&self) -> Duration {
        self.took.iter().max().copied().unwrap_or_default()
    }

    pub fn p99(&self) -> Duration {
        let mut all = self.took.clone();
        all.sort();
        all.get(all.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// As an SDK does it: told to come back in a second, it comes back. The wait counts.
async fn ask_again(port: u16) -> Result<(), String> {
    for _ in 0..3 {
        match ask(port).await {
            Err(told) if told.contains(" 503 ") => tokio::time::sleep(Duration::from_secs(1)).await,
            other => return other,
        }
    }
    ask(port).await
}

async fn ask(port: u16) -> Result<(), String> {
    let failed = |what: std::io::Error| what.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
    let body = one_call();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(failed)?;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    if line.contains(" 200 ") { Ok(()) } else { Err(format!("answered {line:?}")) }
}

/// The memory of a process as the system counts it.
pub struct Memory {
    pid: u32,
    began_kib: std::sync::atomic::AtomicU64,
}

impl Memory {
    pub fn of(pid: u32) -> Memory {
        Memory { pid, began_kib: 0.into() }
    }

    /// From here growth is counted.
    pub fn begin(&self) {
        self.began_kib.store(self.kib("VmRSS:"), std::sync::atomic::Ordering::Relaxed);
    }

    /// The highest so far above the beginning.
    pub fn growth_mib(&self) -> u64 {
        let began = self.began_kib.load(std::sync::atomic::Ordering::Relaxed);
        self.kib("VmHWM:").saturating_sub(began) >> 10
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}
