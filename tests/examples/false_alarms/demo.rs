//! Days of the demo's null scenario, as `armspan demo` sends them, without sockets.

use super::Task;
use super::spread::spread;
use armspan::app::fold::Fold;
use armspan::app::replay;
use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::settings;
use armspan::cli::demo::traffic::{DAY, EXPERIMENT, Traffic};
use armspan::engine::watch::sites;
use armspan::model::verdict::State;
use armspan::model::*;
use armspan::normalize::{Blind, Times};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{Result, Write, stderr};
use std::path::Path;

const BASE: Nanos = 20_775 * DAY;
/// Counts days on which a verdict ever claims something.
pub fn count(task: &Task, out: &mut impl Write) -> Result<()> {
    let days = spread(task.threads, task.count, |number| day(task.seed + number as u64));
    let mut metrics: BTreeMap<&str, usize> = BTreeMap::new();
    let mut claimed = 0;
    for (seed, found) in days.iter().enumerate() {
        claimed += usize::from(found.iter().any(|name| *name != "invalid" && *name != "drift"));
        found.iter().for_each(|name| *metrics.entry(name).or_default() += 1);
        if !found.is_empty() {
            writeln!(stderr(), "seed {}: {found:?}", task.seed + seed as u64)?;
        }
    }
    writeln!(out, "\nDemo, scenario null: {} days, {claimed} with a claim {metrics:?}", task.count)
}

/// What was claimed on a day.
fn day(seed: u64) -> Vec<&'static str> {
    let config = settings::config(Scenario::Null, Path::new("nowhere")).expect("a config");
    let normalizer = replay::normalizer(&config);
    let mut fold = Fold::new(config.settings());
    let mut traffic = Traffic::new(Scenario::Null, seed, BASE);
    let mut found: Vec<&'static str> = Vec::new();
    for minute in 0..DAY / MINUTE {
        let at = BASE + minute * MINUTE;
        let sent = traffic.between(at, at + MINUTE);
        let mut batch = Batch::default();
        let times = Times::any();
        let traces = sent.traces.encode_to_vec();
        let logs = sent.logs.encode_to_vec();
        normalizer.traces(&traces, times, &mut batch, &mut Blind).expect("spans are valid");
        normalizer.logs(&logs, times, &mut batch, &mut Blind).expect("scores are valid");
        if !batch.is_empty() {
            fold.push(sent.latest, Body::Batch(batch.payload()));
            normalizer.durable(&batch);
        }
        note(&fold, &mut found);
    }
    fold.finish();
    note(&fold, &mut found);
    let (experiment, watch) = (Sym::of(EXPERIMENT), fold.engine.watch());
    let drifts = |site: &Sym| {
        watch.changes(experiment, *site).iter().any(|change| change.field.starts_with("drift."))
    };
    if sites(experiment, fold.engine.tally()).iter().any(drifts) {
        found.push("drift");
    }
    found
}

fn note(fold: &Fold, found: &mut Vec<&'static str>) {
    let Some(memory) = fold.engine.watch().memory(Sym::of(EXPERIMENT)) else { return };
    let mut add = |name| {
        if !found.contains(&name) {
            found.push(name);
        }
    };
    for (key, line) in &memory.lines {
        let name = ["answer_ok", "latency_p95", "error_rate"]
            .into_iter()
            .find(|name| Sym::of(name) == key.metric);
        let Some(name) = name else { continue };
        let claims = matches!(line.state, State::Better | State::Regressed | State::Breached);
        if claims || line.latch.is_some() {
            add(name);
        }
        if line.state == State::Invalid {
            add("invalid");
        }
    }
}
