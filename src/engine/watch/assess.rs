//! Assessment: the estimates and verdicts of an experiment on the sums as they are, with what
//! earlier looks latched. A look remembers it, a view shows it: both call the same function, and
//! an interval that holds at every time holds at both.

use super::desk::Desk;
use super::memory::{ExperimentMemory, Latch, LineKey};
use super::{Scene, arms};
use crate::engine::context::ExperimentState;
use crate::engine::estimate::trust::{self, CROSSOVERS_MAX};
use crate::engine::estimate::{self, Compared, Line, Pool, Undeclared, level::Level};
use crate::engine::tally::Tally;
use crate::judge::family::{ALPHA_TRUST, Family, Part, Spending};
use crate::judge::{Rule, Ruling};
use crate::model::verdict::{Gate, Reason, State};
use crate::model::{Sym, settings};
use crate::stats::multiple;
use std::collections::{BTreeMap, BTreeSet};

/// Rate of false discoveries among the exploratory metrics of an experiment.
const FALSE_DISCOVERIES: f64 = 0.05;

/// An experiment.
#[derive(Clone, Debug, Default)]
pub struct Assessment<'a> {
    /// Units against the plan.
    pub ratio: trust::SampleRatio,
    /// Its largest log e-value so far.
    pub ratio_log_e: f64,
    /// Evaluations that the config does not name.
    pub undeclared: Undeclared,
    /// Sites and epochs with calls, in order.
    pub sites: Vec<SiteAssessment<'a>>,
}

/// A site in an epoch.
#[derive(Clone, Debug)]
pub struct SiteAssessment<'a> {
    /// The call site.
    pub site: Sym,
    /// The epoch.
    pub epoch: u32,
    /// It is the site's last one with calls.
    pub current: bool,
    /// Its metrics decide.
    pub decides: bool,
    /// Its arms.
    pub arms: Vec<ArmAssessment<'a>>,
}

/// An arm.
#[derive(Clone, Debug)]
pub struct ArmAssessment<'a> {
    /// The arm.
    pub arm: Sym,
    /// Its runs.
    pub pool: Pool<'a>,
    /// Its metrics.
    pub lines: Vec<Assessed<'a>>,
    /// What its family says to do; none for control and where nothing decides.
    pub rule: Option<Rule>,
    /// What a gate makes of its declared metrics.
    pub gate: Gate,
}

/// A metric of an arm.
#[derive(Clone, Debug)]
pub struct Assessed<'a> {
    /// The metric with its sums.
    pub line: Line<'a>,
    /// The part of the family it is in.
    pub part: Option<Part>,
    /// The interval of the level, and that of the difference, holds with confidence 1 − α.
    pub alpha: f64,
    /// Its units.
    pub units: f64,
    /// Its level.
    pub level: Option<Level>,
    /// Its difference from control.
    pub compared: Option<Compared>,
    /// What that means; none for control and for what cannot be compared.
    pub ruling: Option<Ruling>,
    /// Exploration found something.
    pub discovery: bool,
    /// Scores come later than they mature, so that missing ones cannot be tested.
    pub held: bool,
    /// It was breached, in this epoch or an earlier one that still counts.
    pub latched: Option<(u32, Latch)>,
}

// === impl Assessed ===

impl Assessed<'_> {
    /// Its key in the memory of looks.
    pub fn key(&self, site: &SiteAssessment<'_>, arm: Sym) -> LineKey {
        line_key(site.site, site.epoch, arm, &self.line)
    }
}

/// The key of a line in the memory of looks.
pub(super) fn line_key(site: Sym, epoch: u32, arm: Sym, line: &Line<'_>) -> LineKey {
    let metric = Sym::of(&line.definition.name);
    LineKey { epoch, site, arm, metric, grader: line.grader.unwrap_or_default() }
}

/// Runs of an experiment by site, epoch and arm.
type Places<'a> = BTreeMap<(Sym, u32), BTreeMap<Sym, Pool<'a>>>;

/// Assesses an experiment.
pub fn assess<'a>(
    experiment: Sym,
    scene: &Scene<'a>,
    memory: Option<&ExperimentMemory>,
) -> Assessment<'a> {
    let Some(state) = scene.context.experiments.get(&experiment) else {
        return Assessment::default();
    };
    let declared = scene.context.settings.experiments.get(&state.name);
    let family = Family::of(declared);
    let ratio = trust::sample_ratio(experiment, scene.context, scene.tally);
    let ratio_log_e = memory.map_or(0.0, |m| m.ratio_log_e).max(ratio.log_e.unwrap_or(0.0));
    let places = places(experiment, scene);
    let runs = scene.tally.runs_of(experiment).map(|pair| pair.1);
    let undeclared = estimate::undeclared(runs, scene.context, scene.dictionary);
    let deciding = deciding_sites(declared, &places);
    let treatments = treatments(experiment, state, scene);
    let mut sites = Vec::with_capacity(places.len());
    for ((site, epoch), pools) in &places {
        let spending = Spending { epoch: *epoch, sites: deciding.len(), treatments };
        let desk = Desk {
            scene,
            experiment,
            site: *site,
            epoch: *epoch,
            family: &family,
            spending,
            decides: deciding.contains(site),
            invalid: faults(&ratio, ratio_log_e),
            memory,
            undeclared: &undeclared,
            ratio: &ratio,
        };
        let arms = desk.arms(pools, state);
        let current = places.range((*site, epoch + 1)..).next().is_none_or(|row| row.0.0 != *site);
        sites.push(SiteAssessment {
            site: *site,
            epoch: *epoch,
            current,
            decides: desk.decides,
            arms,
        });
    }
    explore(&mut sites);
    Assessment { ratio, ratio_log_e, undeclared, sites }
}

fn places<'a>(experiment: Sym, scene: &Scene<'a>) -> Places<'a> {
    let mut places = Places::new();
    let tally: &'a Tally = scene.tally;
    for (key, run) in tally.runs_of(experiment).filter(|pair| pair.1.calls > 0) {
        let arms = places.entry((key.site, key.epoch)).or_default();
        arms.entry(key.arm).or_default().runs.push(run);
    }
    places
}

/// The sites that decide: as declared, else the one with most calls.
fn deciding_sites(declared: Option<&settings::Experiment>, places: &Places<'_>) -> BTreeSet<Sym> {
    let named: BTreeSet<Sym> =
        declared.iter().flat_map(|e| &e.sites).map(|site| Sym::of(site)).collect();
    if !named.is_empty() {
        return named;
    }
    let mut calls: BTreeMap<Sym, i64> = BTreeMap::new();
    for ((site, _), pools) in places {
        *calls.entry(*site).or_default() += pools.values().map(Pool::calls).sum::<i64>();
    }
    calls.into_iter().max_by_key(|row| row.1).map(|row| row.0).into_iter().collect()
}

/// Arms that are compared with control: as planned, or as many as there are.
fn treatments(experiment: Sym, state: &ExperimentState, scene: &Scene<'_>) -> usize {
    let planned = state.allocations.last().map_or(0, |allocation| allocation.split.len());
    planned.max(arms(experiment, scene.tally).len()).saturating_sub(1)
}

/// What makes the whole experiment untrustworthy.
fn faults(ratio: &trust::SampleRatio, largest: f64) -> Vec<Reason> {
    let mut out = Vec::new();
    if largest >= (1.0 / ALPHA_TRUST).ln() {
        out.push(Reason::SampleRatio);
    }
    if ratio.crossovers > CROSSOVERS_MAX {
        out.push(Reason::Crossovers);
    }
    out
}

/// Exploratory metrics: e-BH on the present e-values of the experiment (`statistics.md` §6).
fn explore(sites: &mut [SiteAssessment<'_>]) {
    let mut open: Vec<(&mut Assessed<'_>, f64)> = Vec::new();
    for line in
        sites.iter_mut().filter(|s| s.current).flat_map(|s| &mut s.arms).flat_map(|a| &mut a.lines)
    {
        let log_e = line.compared.as_ref().filter(|c| c.unmet.is_empty()).and_then(|c| c.log_e);
        let judged = line.ruling.as_ref().is_some_and(|ruling| ruling.state != State::Invalid);
        if let (Some(log_e), None, true) = (log_e, line.part, judged) {
            open.push((line, log_e));
        }
    }
    let values: Vec<f64> = open.iter().map(|pair| pair.1).collect();
    for ((line, _), found) in open.iter_mut().zip(multiple::e_bh(&values, FALSE_DISCOVERIES)) {
        line.discovery = found;
    }
}
