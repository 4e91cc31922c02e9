//! Keys and values of the outbox.

use crate::model::delivery::{Cut, ItemKey, ItemKind, Why, WindowRow};
use crate::model::view::ExperimentView;
use crate::model::{Nanos, RunRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Level of compression: the fastest still makes JSON ten times smaller.
const LEVEL: i32 = 1;

/// A cut without its records.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// Next position of the log.
    pub position: u64,
    /// Log time.
    pub at: Nanos,
    /// Why it was made.
    pub why: Why,
    /// Keys of its records.
    pub records: Vec<(String, u32)>,
    experiments: Vec<ExperimentView>,
    windows: Vec<WindowRow>,
}

/// A record with the hour that it shows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    /// `Cut::hour`.
    pub hour: u64,
    /// The record.
    pub record: RunRecord,
}

impl Head {
    /// Of a cut; its records are yet to be added.
    pub fn of(cut: &Cut) -> Self {
        Head {
            position: cut.position,
            at: cut.at,
            why: cut.why,
            records: Vec::new(),
            experiments: cut.experiments.clone(),
            windows: cut.windows.clone(),
        }
    }

    /// The cut with its records.
    pub fn cut(self, records: Vec<RunRecord>) -> Cut {
        let Head { position, at, why, experiments, windows, .. } = self;
        Cut { position, at, why, records, experiments, windows }
    }
}

/// A value as it is kept.
pub fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("documents have text keys and finite numbers");
    zstd::encode_all(&json[..], LEVEL).expect("memory takes all bytes")
}

/// The key of an item.
pub fn bytes_of(key: ItemKey, kind: ItemKind) -> Vec<u8> {
    let kind = [kind as u8];
    [&key.position.to_be_bytes()[..], &key.ordinal.to_be_bytes(), &kind].concat()
}

/// The key and the kind of an item.
pub fn item_key(bytes: &[u8]) -> Option<(ItemKey, ItemKind)> {
    let (position, rest) = bytes.split_first_chunk()?;
    let (ordinal, kind) = rest.split_first_chunk()?;
    let (position, ordinal) = (u64::from_be_bytes(*position), u32::from_be_bytes(*ordinal));
    let kind = [ItemKind::Cut, ItemKind::Event].into_iter().find(|k| [*k as u8] == kind)?;
    Some((ItemKey { position, ordinal }, kind))
}

/// Where to begin to be after a key.
pub fn after(key: Option<ItemKey>) -> Vec<u8> {
    // Kinds are below 255, so this is above the key's own row and below the next one's.
    key.map_or_else(Vec::new, |key| {
        [&key.position.to_be_bytes()[..], &key.ordinal.to_be_bytes(), &[255]].concat()
    })
}

/// The key of a run in an epoch.
pub fn run_key(run: &str, epoch: u32) -> Vec<u8> {
    [run.as_bytes(), &epoch.to_be_bytes()].concat()
}

/// A hash of what a record says of its run. The sample ratio of the whole experiment and the
/// place in the log change all the time, and are no news of the run.
pub fn says(record: &RunRecord) -> [u8; 16] {
    let mut record = record.clone();
    record.sample_ratio = None;
    record.collector.position.clear();
    record.collector.exported_at = None;
    let json = serde_json::to_vec(&record).expect("a record has text keys and finite numbers");
    let hash = Sha256::digest(json);
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}
