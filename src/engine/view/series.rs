//! Series for charts: a metric by minute, hour or day, per arm, runs and epochs pooled.

use super::super::Engine;
use super::super::tally::cells::Cell;
use super::super::tally::run::Sums;
use super::super::tally::windows::Step;
use super::super::watch::memory::{LineKey, Look};
use super::time_text;
use crate::model::metric::{Metric, Origin};
use crate::model::view::{LookPoint, Series, SeriesPoint};
use crate::model::{Measure, Nanos, Sym};
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the metric.
    pub metric: String,
    /// Only this arm.
    pub arm: Option<String>,
    /// Only this site.
    pub site: Option<String>,
    /// From this time, nanoseconds.
    pub from: Option<Nanos>,
    /// Before this time, nanoseconds.
    pub to: Option<Nanos>,
    /// Width of a step, seconds: up to a minute, an hour, or a day; 0 is one for the whole stretch.
    pub step_s: Option<u64>,
}

impl Engine {
    /// What a chart draws, in the order of time, then arm.
    pub fn series(&self, query: &Query) -> Series {
        Series { windows: self.windows(query), looks: self.looks(query) }
    }

    /// Differences from control as looks saw them.
    fn looks(&self, query: &Query) -> Vec<LookPoint> {
        let Some(memory) = self.watch.memory(Sym::of(&query.experiment)) else {
            return Vec::new();
        };
        let (arm_of, site_of) = (
            |key: &LineKey| self.dictionary.text(key.arm),
            |key: &LineKey| self.dictionary.text(key.site),
        );
        let wanted = |key: &LineKey| {
            let arm = query.arm.as_ref().is_none_or(|arm| arm == arm_of(key));
            let site = query.site.as_ref().is_none_or(|site| site == site_of(key));
            key.metric == Sym::of(&query.metric) && arm && site
        };
        let finite = |bound: f64| Some(bound).filter(|b| b.is_finite());
        let mut out = Vec::new();
        for (key, line) in memory.lines.iter().filter(|row| wanted(row.0)) {
            let inside = |look: &&Look| {
                query.from.is_none_or(|from| look.at() >= from)
                    && query.to.is_none_or(|to| look.at() < to)
            };
            out.extend(line.history.iter().filter(inside).map(|look| LookPoint {
                at: time_text(look.at()),
                arm: arm_of(key).to_owned(),
                site: site_of(key).to_owned(),
                epoch: key.epoch,
                estimate: look.estimate,
                lower: finite(look.lower),
                upper: finite(look.upper),
            }));
        }
        out.sort_by(|a, b| (&a.at, &a.arm).cmp(&(&b.at, &b.arm)));
        out
    }

    /// What one sum over the whole stretch is made of: minutes as long as there are any, but
    /// hours for quantiles, which minutes have of latencies only.
    fn fine_step(&self, query: &Query) -> Step {
        let metric = self.context().definition(&query.metric).map(|one| &one.metric);
        let coarse = metric.is_some_and(|m| m.quantile.is_some() && !m.from.is_time());
        let begins = query.from.unwrap_or(0);
        match begins + Step::Day.nanos() + Step::Hour.nanos() {
            kept if kept < self.log_time() => Step::Hour,
            _ if coarse || begins.is_multiple_of(Step::Hour.nanos()) => Step::Hour,
            _ => Step::Minute,
        }
    }

    /// Sums by minute, hour or day, or one over all of it.
    fn windows(&self, query: &Query) -> Vec<SeriesPoint> {
        let whole = query.step_s == Some(0);
        let step = match query.step_s {
            Some(0) => self.fine_step(query),
            Some(s) if s > 3_600 => Step::Day,
            Some(s) if s > 60 => Step::Hour,
            _ => Step::Minute,
        };
        let declared = self.context().definition(&query.metric).map(|one| one.metric.clone());
        let wanted = |measure: &Measure| is_of(measure, &query.metric, declared.as_ref());
        let mut cells: BTreeMap<(u32, String), Cell> = BTreeMap::new();
        for (key, run) in self.tally().runs_of(Sym::of(&query.experiment)) {
            let arm = self.dictionary().text(key.arm);
            let site = self.dictionary().text(key.site);
            let out =
                |asked: &Option<String>, name: &str| asked.as_ref().is_some_and(|a| a != name);
            if out(&query.arm, arm) || out(&query.site, site) {
                continue;
            }
            for (_, sums) in run.measures.iter().filter(|pair| wanted(pair.0)) {
                collect(&mut cells, arm, sums, step, query, whole);
            }
        }
        cells
            .into_iter()
            .map(|((at, arm), cell)| {
                let (n, level) = point(&cell, declared.as_ref());
                let begins = match whole {
                    true => query.from.unwrap_or(0),
                    false => u64::from(at) * step.nanos(),
                };
                SeriesPoint { at: time_text(begins), arm, n, level }
            })
            .collect()
    }
}

fn collect(
    cells: &mut BTreeMap<(u32, String), Cell>,
    arm: &str,
    sums: &Sums,
    step: Step,
    query: &Query,
    whole: bool,
) {
    for (at, cell) in sums.windows.cells(step).iter() {
        let begins = u64::from(at) * step.nanos();
        let early = query.from.is_some_and(|from| begins + step.nanos() <= from);
        let late = query.to.is_some_and(|to| begins >= to);
        if !early && !late {
            let at = if whole { 0 } else { at };
            cells.entry((at, arm.to_owned())).or_default().merge(cell);
        }
    }
}

pub(super) fn is_of(measure: &Measure, name: &str, declared: Option<&Metric>) -> bool {
    match (measure, declared) {
        (Measure::Call(origin), Some(metric)) => metric.from == *origin,
        (Measure::Score(found, grader), Some(metric)) if metric.from == Origin::Score => {
            let evaluation = metric.score.as_deref().unwrap_or(name);
            let by = metric.grader.as_deref().map(Sym::of);
            *found == Sym::of(evaluation) && by.is_none_or(|by| by == grader.name)
        }
        (Measure::Score(found, _), None) => *found == Sym::of(name),
        _ => false,
    }
}

/// Calls and level of a cell; a metric that is not declared is a mean of scores.
pub(super) fn point(cell: &Cell, metric: Option<&Metric>) -> (f64, Option<f64>) {
    let quantile = metric.and_then(|metric| metric.quantile);
    let per_unit = metric.map_or(Origin::Score.per_unit(), |m| m.from.per_unit());
    let count = metric.is_some_and(|metric| metric.from == Origin::Calls);
    (cell.w as f64 / 1e6, level(cell, quantile, per_unit, count))
}

fn level(cell: &Cell, quantile: Option<f64>, per_unit: f64, count: bool) -> Option<f64> {
    if count {
        return Some(cell.w as f64 / 1e6);
    }
    if let Some(q) = quantile {
        let (lower, upper) = cell.histogram.as_ref()?.quantile(q)?;
        return Some((lower * upper).sqrt() / per_unit);
    }
    (cell.w > 0).then(|| cell.y as f64 / (cell.w as f64 / 1e6) / per_unit)
}
