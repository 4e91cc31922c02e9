//! Run records from the sums: one per run and epoch, with all that `contract.md` asks for.

use super::super::Engine;
use super::super::dictionary::OVERFLOW;
use super::super::tally::run::Run;
use super::super::watch::ChangeEvent;
use super::ratio::sample_ratio;
use super::{Group, Picture, Place, Shown, evidence, links, metrics, observed, time_text};
use crate::identify;
use crate::model::canonical::sha256_text;
use crate::model::record::*;
use crate::model::{FacetSet, Field, SetId, Sym};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Records of an experiment: newest epoch first, then by site, arm and calls.
pub(super) fn records(picture: &Picture<'_>, experiment: Sym) -> Vec<RunRecord> {
    let text = |sym: Sym| picture.engine.dictionary().text(sym).to_owned();
    let mut places: Vec<Place> = picture.places(experiment).collect();
    places.sort_by_key(|place| (u32::MAX - place.epoch, text(place.site), text(place.arm)));
    let at = |place: Place| picture.shown(place).iter().map(move |s| record(picture, place, s));
    places.into_iter().flat_map(at).collect()
}

fn record(picture: &Picture<'_>, place: Place, shown: &Shown<'_>) -> RunRecord {
    let engine = picture.engine;
    let Place { experiment, site, arm, .. } = place;
    let identity = engine.dictionary().set(shown.set);
    let run = &shown.run;
    let units = |what| picture.units(Group::Run(place, shown.set), what);
    RunRecord {
        schema: SCHEMA.to_owned(),
        run: head(engine, experiment, site, arm, shown, &identity),
        config: identify::config(&identity),
        observed: observed::observed(engine, experiment, run),
        evidence: evidence::evidence(engine, run),
        window: window(engine, place, run),
        traffic: traffic(engine, experiment, arm, run, units(Sym::NONE)),
        metrics: run_metrics(picture, place, shown, &units),
        sample_ratio: Some(sample_ratio(picture, experiment)),
        changes: changes(engine, experiment, site, Some(arm)),
        links: links::links(engine, run),
        cases: cases(engine, run),
        collector: Collector {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: picture.config.clone(),
            position: BTreeMap::from([("0".to_owned(), engine.position())]),
            exported_at: None,
        },
    }
}

fn head(
    engine: &Engine,
    experiment: Sym,
    site: Sym,
    arm: Sym,
    shown: &Shown<'_>,
    identity: &FacetSet,
) -> RunHead {
    let control = engine.context().experiments.get(&experiment).and_then(|state| state.control);
    let (site, arm_name) = (engine.dictionary().text(site), engine.dictionary().text(arm));
    let experiment = engine.experiment_name(experiment);
    let fingerprint = identify::fingerprint(identity);
    let mode = mode(engine, &shown.run);
    RunHead {
        id: run_id(engine, &experiment, arm_name, site, shown.set),
        experiment,
        arm: arm_name.to_owned(),
        control: control == Some(arm),
        site: site.to_owned(),
        mode,
        fingerprint,
        partial: shown.partial,
        overflow: shown.set == OVERFLOW,
    }
}

/// The id of a run. The overflow run has no configuration; its fingerprint is that of nothing
/// known, and `overflow` in the preimage keeps it apart from a run without any facet.
pub(super) fn run_id(
    engine: &Engine,
    experiment: &str,
    arm: &str,
    site: &str,
    set: SetId,
) -> String {
    if set == OVERFLOW {
        return identify::run_id(experiment, arm, site, "overflow");
    }
    let identity = engine.dictionary().set(set);
    identify::run_id(experiment, arm, site, &identify::fingerprint(&identity))
}

fn mode(engine: &Engine, run: &Run) -> String {
    let offline = |id: &SetId| engine.dictionary().set(*id).text(Field::Mode) == Some("offline");
    if run.full.keys().any(offline) { "offline".into() } else { "online".into() }
}

fn window(engine: &Engine, place: Place, run: &Run) -> Window {
    let (first, last) = run.seen.unwrap_or_default();
    let current = engine.context().current_epoch(place.experiment, place.site);
    Window {
        first_seen: time_text(first),
        last_seen: time_text(last),
        epoch: place.epoch,
        closed: current.is_some_and(|current| current.epoch > place.epoch),
    }
}

fn traffic(engine: &Engine, experiment: Sym, arm: Sym, run: &Run, units: i64) -> Traffic {
    let crossovers = engine.tally().crossovers(experiment).find(|pair| pair.0 == arm);
    Traffic {
        calls: run.calls,
        units,
        unit: unit_name(engine, experiment),
        duplicates: run.repeats,
        late: i64::try_from(engine.join.counts.late).unwrap_or(i64::MAX),
        crossover_units: crossovers.map_or(0, |pair| pair.1),
    }
}

/// What is randomised: as settled, else what most calls have.
pub(super) fn unit_name(engine: &Engine, experiment: Sym) -> String {
    let settled = engine.context().experiments.get(&experiment).and_then(|state| state.unit);
    let kinds = super::super::watch::kinds(experiment, engine.tally());
    let most = || kinds.into_iter().max_by_key(|pair| pair.1).map(|pair| pair.0);
    settled.or_else(most).map_or("unknown", |kind| kind.name()).to_owned()
}

/// Metrics of a run with the verdicts of its arm.
fn run_metrics(
    picture: &Picture<'_>,
    place: Place,
    shown: &Shown<'_>,
    units: &dyn Fn(Sym) -> i64,
) -> Vec<MetricLine> {
    let Some((site, arm)) = picture.assessed(place) else { return Vec::new() };
    let Some(found) = picture.assessment(place.experiment) else { return Vec::new() };
    let (experiment, seconds) = (place.experiment, picture.seconds(place));
    let at = metrics::Place { site, arm, experiment, seconds };
    metrics::of_run(picture.engine, &shown.pool, &found.undeclared, units, &at)
}

/// Changes of a site, of one arm or of all.
pub(super) fn changes(
    engine: &Engine,
    experiment: Sym,
    site: Sym,
    arm: Option<Sym>,
) -> Vec<Change> {
    let concerns = |e: &&ChangeEvent| arm.is_none_or(|arm| e.arm == arm || e.arm.is_none());
    let events = engine.watch.changes(experiment, site).iter().filter(concerns);
    events
        .map(|event| Change {
            at: time_text(event.at),
            arm: engine.dictionary().text(event.arm).to_owned(),
            field: event.field.clone(),
            from: event.from.clone().map(Json::String),
            to: event.to.clone().map(Json::String),
        })
        .collect()
}

/// Cases of an offline run: SHA-256 over the sorted input hashes, each on a line of its own.
fn cases(engine: &Engine, run: &Run) -> Option<Cases> {
    if run.inputs.is_empty() {
        return None;
    }
    let mut inputs: Vec<&str> =
        run.inputs.keys().map(|input| engine.dictionary().text(*input)).collect();
    inputs.sort_unstable();
    let expected_version = run.full.keys().find_map(|id| {
        engine.dictionary().set(*id).text(Field::ExpectedVersion).map(str::to_owned)
    });
    let count = run.inputs.len() as u64;
    Some(Cases { count, inputs: sha256_text(inputs.join("\n").as_bytes()), expected_version })
}
