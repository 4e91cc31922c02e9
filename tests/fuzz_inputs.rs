//! Replays what the fuzz targets keep: the corpus that they began with, and every input that once
//! showed a fault. `tests/peers/full fuzz` looks for more.

#[path = "fuzz/bodies/mod.rs"]
mod bodies;

use std::path::Path;

/// Replays the files of a target, each in its own name.
fn replay(target: &str, run: fn(&[u8])) {
    let mut replayed = 0;
    for kind in ["corpus", "found"] {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(target);
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("an input");
            let ran = std::panic::catch_unwind(|| run(&bytes));
            assert!(ran.is_ok(), "{} fails", path.display());
            replayed += 1;
        }
    }
    assert!(replayed > 3, "{target}: {replayed} inputs");
}

#[test]
fn walk() {
    replay("walk", bodies::walk::run);
}

#[test]
fn json() {
    replay("json", bodies::json::run);
}

#[test]
fn inflate() {
    replay("inflate", bodies::inflate::run);
}

#[test]
fn log() {
    replay("log", bodies::log::run);
}

#[test]
fn config() {
    replay("config", bodies::config::run);
}

#[test]
fn api() {
    replay("api", bodies::api::run);
}
