//! Cuts and events: what leaves, as functions of the state.

use super::super::Engine;
use super::super::tally::cells::Cell;
use super::super::tally::windows::Step;
use super::super::watch::{Told, What};
use super::{Picture, Place, experiment, record, series};
use crate::model::canonical::{jcs, sha256_text};
use crate::model::delivery::{Cut, EVENT_SCHEMA, Event, EventKind, HOUR, Why, WindowRow, hour_of};
use crate::model::record::{Change, MetricLine};
use crate::model::view::{ArmView, ExperimentView, SiteView};
use crate::model::{Measure, Metric, Sym};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Minutes of an hour.
const MINUTES: u64 = 60;

impl Engine {
    /// Run records and all figures of this position.
    pub fn cut(&self, why: Why) -> Cut {
        let picture = Picture::new(self, None);
        let experiments = self.visible();
        let mut records: Vec<_> =
            experiments.iter().flat_map(|e| record::records(&picture, *e)).collect();
        let exported = super::time_text(self.log_time);
        for record in &mut records {
            record.collector.exported_at = Some(exported.clone());
        }
        Cut {
            position: self.position,
            at: self.log_time,
            why,
            records,
            experiments: experiments.iter().map(|e| experiment::experiment(&picture, *e)).collect(),
            windows: windows(&picture, &experiments, hour_of(self.log_time, why == Why::Hour)),
        }
    }

    /// What looks of the last entry told of, with the figures of now.
    pub(crate) fn events(&self, told: &[Told]) -> Vec<Event> {
        let mut by_experiment: BTreeMap<Sym, Vec<&Told>> = BTreeMap::new();
        told.iter().for_each(|one| by_experiment.entry(one.experiment).or_default().push(one));
        let mut out = Vec::new();
        for (experiment, told) in by_experiment {
            let view = experiment::experiment(&Picture::new(self, Some(experiment)), experiment);
            out.extend(told.into_iter().filter_map(|one| self.event(&view, one)));
        }
        out
    }

    fn event(&self, view: &ExperimentView, told: &Told) -> Option<Event> {
        let text = |sym: Sym| self.dictionary.text(sym).to_owned();
        let (site_name, arm_name) = (text(told.site), text(told.arm));
        let site = view.sites.iter().find(|site| site.site == site_name)?;
        let mut event = Event {
            schema: EVENT_SCHEMA.to_owned(),
            id: String::new(),
            kind: EventKind::Change,
            at: super::time_text(told.at),
            experiment: view.name.clone(),
            site: site_name,
            epoch: site.epoch,
            arm: Some(arm_name).filter(|name| !name.is_empty()),
            control: view.control.clone(),
            metric: None,
            was: None,
            decision: None,
            change: None,
        };
        match &told.what {
            What::Change(change) => {
                event.change = Some(Change {
                    at: event.at.clone(),
                    arm: event.arm.clone().unwrap_or_default(),
                    field: change.field.clone(),
                    from: change.from.clone().map(Json::String),
                    to: change.to.clone().map(Json::String),
                });
            }
            What::Verdict { metric, grader, was } => {
                let (arm, line) = line_of(self, site, &event, *metric, *grader)?;
                event.kind = EventKind::Verdict;
                event.was = was.map(|state| state.name().to_owned());
                event.decision = arm.decision.clone();
                event.metric = Some(line.clone());
            }
        }
        event.id = id(&event);
        Some(event)
    }
}

/// A metric of the arm of an event, by one grader.
fn line_of<'v>(
    engine: &Engine,
    site: &'v SiteView,
    event: &Event,
    metric: Sym,
    grader: Sym,
) -> Option<(&'v ArmView, &'v MetricLine)> {
    let name = engine.dictionary.text(metric);
    let by = Some(engine.dictionary.text(grader)).filter(|text| !text.is_empty());
    let arm = site.arms.iter().find(|arm| Some(&arm.arm) == event.arm.as_ref())?;
    let own = |line: &&MetricLine| {
        line.name == name && line.grader.as_ref().and_then(|g| g.name.as_deref()) == by
    };
    let line = arm.metrics.iter().find(own);
    let line = line.or_else(|| arm.metrics.iter().find(|line| line.name == name))?;
    Some((arm, line))
}

/// The same event has the same id: a hash of what and when, not of figures that may be refined.
fn id(event: &Event) -> String {
    let metric = event.metric.as_ref();
    let state = metric.and_then(|line| line.verdict.as_ref()).map(|verdict| &verdict.state);
    let key = serde_json::json!([
        EVENT_SCHEMA,
        event.kind,
        event.at,
        event.experiment,
        event.site,
        event.epoch,
        event.arm,
        metric.map(|line| [&line.name, &line.definition]),
        metric.map(|line| &line.grader),
        state,
        event.change,
    ]);
    let hash = sha256_text(jcs(&key).as_bytes());
    hash.trim_start_matches("sha256:").chars().take(32).collect()
}

/// Minutes of an hour of event time, per run and metric.
fn windows(picture: &Picture<'_>, experiments: &[Sym], hour: u64) -> Vec<WindowRow> {
    let first = u32::try_from(hour * (HOUR / crate::model::MINUTE)).unwrap_or(u32::MAX);
    let minutes = first..first.saturating_add(MINUTES as u32);
    let mut out = Vec::new();
    for experiment in experiments {
        for place in picture.places(*experiment) {
            for shown in picture.shown(place) {
                let sample = sample(picture.engine, place, shown.set);
                let mut cells: BTreeMap<(&Measure, u32), Cell> = BTreeMap::new();
                for run in &shown.pool.runs {
                    for (measure, sums) in run.measures.iter() {
                        for (at, cell) in sums.windows.cells(Step::Minute).range(minutes.clone()) {
                            cells.entry((measure, at)).or_default().merge(cell);
                        }
                    }
                }
                for ((measure, at), cell) in &cells {
                    rows(picture.engine, &sample, measure, *at, cell, &mut out);
                }
            }
        }
    }
    out
}

/// What all rows of a run share.
fn sample(engine: &Engine, place: Place, set: crate::model::SetId) -> WindowRow {
    let text = |sym: Sym| engine.dictionary.text(sym).to_owned();
    let (experiment, site, arm) =
        (engine.experiment_name(place.experiment), text(place.site), text(place.arm));
    WindowRow {
        at: String::new(),
        run: record::run_id(engine, &experiment, &arm, &site, set),
        experiment,
        site,
        arm,
        epoch: place.epoch,
        metric: String::new(),
        n: 0.0,
        level: None,
    }
}

/// Several metrics (mean, p50, p95) may rest on one measure.
fn rows(
    engine: &Engine,
    sample: &WindowRow,
    measure: &Measure,
    minute: u32,
    cell: &Cell,
    out: &mut Vec<WindowRow>,
) {
    let at = super::time_text(u64::from(minute) * crate::model::MINUTE);
    let mut row = |name: &str, metric: Option<&Metric>| {
        let (n, level) = series::point(cell, metric);
        let own = WindowRow { at: at.clone(), metric: name.to_owned(), n, level, ..sample.clone() };
        out.push(own);
    };
    let definitions = engine.context().definitions().iter();
    let mut known = false;
    for one in definitions.filter(|one| series::is_of(measure, &one.name, Some(&one.metric))) {
        known = true;
        row(&one.name, Some(&one.metric));
    }
    if let (Measure::Score(name, _), false) = (measure, known) {
        row(engine.dictionary.text(*name), None);
    }
}
