//! Replays OTLP files, or our own log, through the same engine as a server's.

use super::files::{self, Payload, Signal};
use super::fold::{Fold, apply};
use crate::config::Config;
use crate::engine::Engine;
use crate::model::codec::Reader;
use crate::model::shelf::MemoryShelf;
use crate::model::{Batch, Body, Nanos, Observation, Position};
use crate::normalize::{self, Normalizer, Report, Times, Witness};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Reads OTLP files as one stream. A batch is stamped with the later of the previous stamp and
/// its latest end; at the end every wait expires. `seen` is told how many requests are done.
pub fn otlp(
    config: &Config,
    paths: &[PathBuf],
    witness: &mut dyn Witness,
    seen: &dyn Fn(u64),
) -> Result<Fold> {
    let mut done = 0;
    let mut fold = Fold::new(config.settings());
    let normalizer = normalizer(config);
    for path in paths {
        for payload in files::read(path)? {
            let report = one(&normalizer, &payload, &mut fold, witness);
            report.with_context(|| format!("in {}", path.display()))?;
            done += 1;
            seen(done);
        }
    }
    fold.finish();
    Ok(fold)
}

/// A normaliser of a config.
pub fn normalizer(config: &Config) -> Normalizer {
    Normalizer::new(normalize::Config {
        mapping: config.normalize.mapping.clone(),
        hash_key: config.normalize.hash_key.reveal().map(str::to_owned),
        hash_key_id: config.normalize.hash_key_id.clone(),
        experiments: config.settings().experiments.keys().cloned().collect(),
    })
}

fn one(
    normalizer: &Normalizer,
    payload: &Payload,
    fold: &mut Fold,
    witness: &mut dyn Witness,
) -> Result<Report> {
    let mut batch = Batch::default();
    let report = match payload.signal {
        Signal::Traces => normalizer.traces(&payload.bytes, Times::any(), &mut batch, witness)?,
        Signal::Logs => normalizer.logs(&payload.bytes, Times::any(), &mut batch, witness)?,
        Signal::Metrics => Report::default(),
    };
    if !batch.is_empty() {
        fold.push(latest(&batch.observations), Body::Batch(batch.payload()));
        normalizer.durable(&batch);
    }
    Ok(report)
}

/// The latest time that a batch speaks of.
fn latest(observations: &[u8]) -> Nanos {
    let time = |observation: Observation| match observation {
        Observation::Call(call) => call.place.end,
        Observation::Facets(facets) => facets.place.end,
        Observation::Link(link) => link.place.end,
        Observation::Score(score) => score.time,
        Observation::Assignment(told) => told.time,
        Observation::Covariate(covariate) => covariate.place.end,
        Observation::Alias(_) | Observation::Define(_) => 0,
    };
    Reader::new(observations).filter_map(Result::ok).map(time).max().unwrap_or(0)
}

/// Replays the log of a data folder: the same bytes of state as the server that wrote it. `seen`
/// is told the positions on the way.
pub fn log(dir: &Path, seen: &dyn Fn(Position)) -> Result<Engine> {
    let (mut engine, mut shelf) = (Engine::new(Default::default()), MemoryShelf::default());
    for entry in crate::log::read(dir, 0)? {
        let (position, entry) = entry?;
        if position > engine.position() {
            bail!(
                "the log in {0} begins at position {position}: what was before it is in snapshots \
                 only; `armspan experiments list --data {0}` reads those, too",
                dir.display()
            );
        }
        apply(&mut engine, position, &entry, &mut shelf)?;
        seen(position + 1);
    }
    Ok(engine)
}

/// Whether a path is a data folder of ours.
pub fn is_data(path: &Path) -> bool {
    path.is_dir() && path.join("log").is_dir()
}
