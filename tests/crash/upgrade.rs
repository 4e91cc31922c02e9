//! Data of an earlier version opens with its figures, and goes on.

use super::load::arms;
use super::server::{Server, command_with, free_port};
use super::world::World;
use serde_json::Value as Json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CONFIG: &str = "assignment_wait: 1s\nmatures_after: 0s\nexperiments: {load: {control: A}}\n\
    log: {segment_bytes: 1MiB}\nsnapshot: {every: 1s}\nsinks: []\n";
/// What `data-v1` holds: calls and units of each arm, written on 2026-11-28 by format 1 of the log
/// (no trailers, no check of headers) and version 4 of the state.
const FIGURES: [(u64, u64); 2] = [(303, 49), (297, 48)];

fn unpack(folder: &Path) {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-v1.tgz");
    let done = Command::new("tar").arg("xSzf").arg(packed).arg("-C").arg(folder).status();
    assert!(done.expect("tar runs").success());
}

async fn figures(server: &Server) -> Json {
    server.json("/api/v1/experiments/load").await
}

/// Without the newest part of it, figures come from the log alone.
#[tokio::test(flavor = "multi_thread")]
async fn data_of_an_earlier_version_opens_and_goes_on() {
    for without in ["nothing", "snap", "outbox"] {
        let folder = tempfile::tempdir().expect("folder");
        unpack(folder.path());
        // It may be missing where the test removes it twice.
        let _ = std::fs::remove_dir_all(folder.path().join("data").join(without));
        let mut server = Server::start_with(folder.path(), CONFIG).await;
        assert_eq!(arms(&figures(&server).await), FIGURES, "without {without}");
        // New data beside the old: the world of this test has other calls than the old one.
        let world = World::after(1_000);
        let stream = world.clone().stream(server.grpc, Duration::from_millis(5), 7);
        let client = tokio::spawn(stream);
        server.until("new data", async || world.acknowledged() > 20).await;
        client.abort();
        let _ = client.await;
        server.signal("KILL");
        server.wait();
        let ports = [free_port(), free_port(), free_port()];
        let server =
            Server::spawn(folder.path(), command_with(folder.path(), ports, CONFIG), ports);
        let counted = async || match server.text("/api/v1/experiments/load").await {
            Some(text) => {
                let now = arms(&serde_json::from_str(&text).expect("JSON"));
                let calls: u64 = now.iter().map(|arm| arm.0).sum();
                calls >= 600 + world.acknowledged() * super::load::PER_REQUEST
            }
            None => false,
        };
        server.until("old and new calls", counted).await;
    }
}
