//! Every kind of file of a real data folder, damaged in many places: the start refuses and names
//! the place, or the figures are the same; never other figures, never a panic.

use super::server::{CONFIG, Server};
use super::world::{Random, World};
use armspan::app::open::{Data, open};
use armspan::config::{Config, Flags, load};
use armspan::engine::Engine;
use armspan::model::Meter;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const SMALL: &str = "snapshot: {every: 1s}\nlog: {segment_bytes: 1MiB}\n";
/// Damaged folders of one kind of file; `ARMSPAN_DAMAGE` names another number.
const CASES: u64 = 4;

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(u64),
    Cut(u64),
    Gone,
    Zeros(u64),
}

/// A folder that was killed in the middle of its work: segments, two snapshots, an outbox.
async fn killed(folder: &Path) {
    let mut server = Server::start_with(folder, &format!("{CONFIG}{SMALL}")).await;
    let world = World::new();
    let clients: Vec<_> = (0..4)
        .map(|seed| tokio::spawn(world.clone().stream(server.grpc, Duration::ZERO, seed)))
        .collect();
    let data = server.data.clone();
    let files = |name: &str, kind: &str| {
        let listed = std::fs::read_dir(data.join(name)).map(|files| {
            files
                .filter(|file| {
                    file.as_ref().is_ok_and(|f| f.path().to_string_lossy().ends_with(kind))
                })
                .count()
        });
        listed.unwrap_or(0)
    };
    let full = async || {
        let cut = format!("{}/api/v1/cuts", server.url());
        let _ = reqwest::Client::new().post(cut).send().await;
        files("log", ".seg") >= 2 && files("snap", ".snap") >= 2
    };
    server.until("two segments and two snapshots", full).await;
    server.signal("KILL");
    server.wait();
    for client in clients {
        client.abort();
    }
}

fn config(folder: &Path) -> Config {
    let data = folder.join("data").display().to_string();
    let flags = Flags { data: Some(data), ..Flags::default() };
    load(Some(&folder.join("armspan.yaml")), &|_| None, &flags).expect("a config")
}

/// Opens, and gives the bytes of state at the end of the log; or says why not.
fn state(folder: &Path, accept_loss: bool) -> Result<Vec<u8>, String> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let meter = Arc::new(Meter::default());
        let data: Data = open(&config(folder), accept_loss, &meter, &|_, _| {})
            .map_err(|error| format!("{error:#}"))?;
        data.log.close();
        Engine::state(&data.engine).map_err(|error| error.to_string())
    }));
    opened.unwrap_or_else(|_| panic!("it panicked over {}", folder.display()))
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to).status();
    assert!(done.expect("cp runs").success());
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

/// `log/….seg` and `outbox/keyspaces/0/v7` are kinds: digits do not tell files apart.
fn kind(path: &Path, root: &Path) -> String {
    let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Where a file ends that was made longer than what is in it; a segment has a trailer after that.
fn used(path: &Path) -> u64 {
    let mut bytes = std::fs::read(path).expect("file");
    if path.extension().is_some_and(|kind| kind == "seg") {
        bytes.truncate(bytes.len() - 64);
    }
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

fn harm(path: &Path, harm: Harm) {
    let mut bytes = std::fs::read(path).expect("file");
    match harm {
        Harm::Flip(bit) => {
            let at = (bit / 8) as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Harm::Cut(len) => bytes.truncate(len as usize),
        Harm::Zeros(at) => {
            let end = (at as usize + 512).min(bytes.len());
            bytes[at as usize..end].fill(0);
        }
        Harm::Gone => return std::fs::remove_file(path).expect("removed"),
    }
    std::fs::write(path, bytes).expect("damaged");
}

fn any_harm(random: &mut Random, used: u64) -> Harm {
    match random.below(8) {
        0 => Harm::Gone,
        1 => Harm::Cut(0),
        2 => Harm::Cut(random.below(used.max(1))),
        3 => Harm::Zeros(random.below(used.max(1)) / 512 * 512),
        // What was written last is what a torn write looks like.
        4..6 => Harm::Flip((used.max(1) * 8 - 1).saturating_sub(random.below(8_000))),
        _ => Harm::Flip(random.below(used.max(1) * 8)),
    }
}

/// What came of the cases of one kind of file.
#[derive(Default)]
struct Came {
    same: u64,
    refused: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_changes_figures_unseen() {
    let root = tempfile::tempdir().expect("folder");
    let whole = root.path().join("whole");
    std::fs::create_dir(&whole).expect("folder");
    killed(&whole).await;
    let hurt = root.path().join("hurt");
    let fresh = || {
        copy(&whole, &hurt);
        hurt.clone()
    };
    let right = state(&fresh(), false).expect("opens");
    let mut by_kind: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut all = Vec::new();
    files(&whole.join("data"), &mut all);
    for path in all {
        by_kind.entry(kind(&path, &whole)).or_default().push(path);
    }
    assert!(by_kind.len() >= 6, "{by_kind:?}");
    let number = |name: &str, or| std::env::var(name).map_or(or, |s| s.parse().expect("a number"));
    let seed = number("ARMSPAN_SEED", super::world::now() % 1_000_000);
    let cases = number("ARMSPAN_DAMAGE", CASES);
    println!("ARMSPAN_SEED={seed}");
    let mut random = Random::new(seed);
    for (kind, paths) in by_kind {
        let mut came = Came::default();
        for _ in 0..cases {
            let original = &paths[random.below(paths.len() as u64) as usize];
            let what = any_harm(&mut random, used(original));
            let folder = fresh();
            harm(&folder.join(original.strip_prefix(&whole).expect("inside")), what);
            one(&folder, &right, &format!("{} {what:?}", original.display()), &mut came);
        }
        println!("{kind:32} same figures {:3}, refused {:3}", came.same, came.refused);
    }
}

fn one(folder: &Path, right: &[u8], what: &str, came: &mut Came) {
    match state(folder, false) {
        Ok(found) => {
            assert!(found == right, "other figures, and nothing was said: {what}");
            came.same += 1;
        }
        Err(error) => {
            let named = error.contains("position") && error.contains("--accept-loss");
            assert!(named, "{what}: {error}");
            state(folder, true).unwrap_or_else(|error| panic!("accepted {what}: {error}"));
            came.refused += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_another_version_are_passed_over_for_the_log() {
    let root = tempfile::tempdir().expect("folder");
    killed(root.path()).await;
    let copied = tempfile::tempdir().expect("folder");
    let other = copied.path().join("other");
    copy(root.path(), &other);
    let right = state(root.path(), false).expect("opens");
    let snap = other.join("data/snap");
    for entry in std::fs::read_dir(&snap).expect("folder") {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let position: u64 = stem.parse().expect("a position");
        armspan::store::save(&other.join("data"), "state-0", position, b"whatever").expect("saved");
    }
    assert!(state(&other, false).expect("opens") == right, "the log alone says the same");
}
