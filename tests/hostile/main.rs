//! Hostile clients against the real binary, and a normal one beside them: the normal one keeps
//! being answered, and memory stays bounded. `tests/peers/full hostile` runs the release build with
//! more of everything and prints the table.

#![allow(clippy::print_stdout, reason = "the figures of long runs go into a table")]

mod attacks;
mod beside;
mod frames;
mod payloads;
// Not every help of theirs is needed here.
#[allow(dead_code)]
#[path = "../support/server.rs"]
mod server;

use beside::{Beside, Memory};
use std::future::Future;
use std::time::Duration;

/// What memory may grow by, whatever comes.
const GROWTH_MAX_MIB: u64 = 256;
/// A normal client waits no longer, even here: a debug build, and the attackers on its cores.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// How much of everything: 1 in `cargo test`.
fn scale() -> usize {
    std::env::var("ARMSPAN_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

struct Stage {
    server: server::Server,
    memory: Memory,
}

impl Stage {
    async fn set() -> (Stage, tempfile::TempDir) {
        beside::raise_files();
        let folder = tempfile::tempdir().expect("a folder");
        let server = server::Server::start(folder.path()).await;
        let memory = Memory::of(server.pid());
        // The first request fills caches and starts threads.
        Beside::measure(server.http, Duration::from_millis(300)).await;
        memory.begin();
        (Stage { server, memory }, folder)
    }

    /// An attack, and the normal client before and during it.
    async fn withstand(&self, name: &str, attack: impl Future<Output = String> + Send + 'static) {
        let before = Beside::measure(self.server.http, Duration::from_millis(700)).await;
        let attack = tokio::spawn(attack);
        let mut during = Beside::default();
        while !attack.is_finished() {
            during.add(Beside::measure(self.server.http, Duration::from_millis(200)).await);
        }
        let what = attack.await.expect("the attack itself works");
        let growth = self.memory.growth_mib();
        let (p99, calm) = (during.p99(), before.p99());
        eprintln!(
            "| {name} | {what} | {} | {:.1} ms | {:.1} ms | {growth} MiB |",
            during.answered(),
            calm.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3,
        );
        assert!(before.failed.is_empty(), "{name}, before: {:?}", before.failed);
        assert!(during.failed.is_empty(), "{name}: {:?}", during.failed);
        assert!(during.worst() < WAIT_MAX, "{name}: one waited {:?}", during.worst());
        assert!(growth < GROWTH_MAX_MIB, "{name}: memory grew by {growth} MiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_bulk() {
    let (stage, _folder) = Stage::set().await;
    let http = stage.server.http;
    for encoding in ["gzip", "zstd", "deflate"] {
        stage.withstand(&format!("{encoding} bomb"), attacks::bombs(http, encoding)).await;
    }
    stage.withstand("depth, protobuf", attacks::depth(http)).await;
    stage.withstand("depth, JSON", attacks::json_depth(http)).await;
    stage.withstand("attributes", attacks::attributes(http)).await;
    stage.withstand("names", attacks::names(http)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_connections() {
    let (stage, _folder) = Stage::set().await;
    let (http, grpc) = (stage.server.http, stage.server.grpc);
    for (name, port, kind) in [
        ("slow-loris: silence", http, attacks::Loris::Silent),
        ("slow-loris: half a head", http, attacks::Loris::Head),
        ("slow-loris: half a body", http, attacks::Loris::Body),
        ("slow-loris: HTTP/2, no request", http, attacks::Loris::Http2),
        ("large half heads", http, attacks::Loris::LargeHead),
        ("large half frames", http, attacks::Loris::LargeFrame),
    ] {
        stage.withstand(name, attacks::loris(port, kind)).await;
    }
    stage.withstand("rapid reset", attacks::rapid_reset(grpc)).await;
    stage.withstand("rapid reset, HTTP port", attacks::rapid_reset(http)).await;
    stage.withstand("CONTINUATION flood", attacks::continuation(http)).await;
    stage.withstand("streams without bodies", attacks::open_streams(http)).await;
    stage.withstand("settings and pings", attacks::pings(http)).await;
}
