//! The two runs and those that serve to tell their fields apart: one run an arm, the busiest, of
//! the same experiment, site and epoch, seen at the same time. Says in what situation the two
//! are; what follows from it is `judge::attribution`'s.

use super::facets;
use crate::judge::attribution::{ArmConfig, Attribution, Situation, attribute};
use crate::model::human;
use crate::model::record::RunRecord;
use crate::model::view::View;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Units that nobody randomises.
const NOT_RANDOMISED: [&str; 2] = ["trace", "unknown"];
/// The observed field in which a second value is a change, whether or not it is an event yet.
const SYSTEM: &str = "system_fingerprint";
/// Traffic is assigned to arms. A run with less than this share of the calls of its arm is a part
/// that something else chose.
const ARM_SHARE_MIN: f64 = 0.9;

/// The records of two runs that say most: those of the newest epoch in which each was what its
/// arm served, since only they were served side by side; when there is none, the newest epoch of
/// each in which it was.
pub fn side_by_side<'v>(
    view: &'v View,
    a: &'v RunRecord,
    b: &'v RunRecord,
) -> (&'v RunRecord, &'v RunRecord) {
    let records = |of: &'v RunRecord| {
        let same = move |run: &&RunRecord| run.run.id == of.run.id && is_its_arm(view, run);
        view.runs.iter().filter(same)
    };
    let both = |a| records(b).find(|b| is_same_place(a, b)).map(|b| (a, b));
    let newest = |of| records(of).max_by_key(|run| run.window.epoch).unwrap_or(of);
    let together = records(a).filter_map(both).max_by_key(|pair| pair.0.window.epoch);
    together.unwrap_or_else(|| (newest(a), newest(b)))
}

/// Everything that one comparison rests on.
pub(super) struct Bench<'v> {
    /// The two first, then the others by name; one when both are the same record.
    pub runs: Vec<&'v RunRecord>,
    /// How the two came to their traffic.
    pub situation: Situation,
    /// What can be said, over `runs`.
    pub plan: Attribution,
}

// === impl Bench ===

impl<'v> Bench<'v> {
    /// The bench of a pair.
    pub fn of(view: &'v View, a: &'v RunRecord, b: &'v RunRecord) -> Self {
        let itself = is_same(a, b);
        let situation = situation(view, a, b);
        let mut runs = if itself { vec![a] } else { vec![a, b] };
        if situation.concurrent && situation.randomised && a.run.arm != b.run.arm {
            runs.extend(others(view, a, b));
        }
        let arms: Vec<ArmConfig> = runs.iter().map(|run| config(run, a, b)).collect();
        let plan = attribute(&arms, 0, usize::from(!itself), &situation);
        let plan = plan.expect("both are among the runs");
        Bench { runs, situation, plan }
    }

    /// The run compared from.
    pub fn a(&self) -> &'v RunRecord {
        self.runs[self.plan.a]
    }

    /// The run compared to.
    pub fn b(&self) -> &'v RunRecord {
        self.runs[self.plan.b]
    }

    /// Whether a run is compared with itself: its data are no second sample.
    pub fn is_one_run(&self) -> bool {
        self.plan.a == self.plan.b
    }
}

fn is_same(a: &RunRecord, b: &RunRecord) -> bool {
    (&a.run.id, a.window.epoch) == (&b.run.id, b.window.epoch)
}

fn situation(view: &View, a: &RunRecord, b: &RunRecord) -> Situation {
    let same_place = (&a.run.experiment, &a.run.site) == (&b.run.experiment, &b.run.site);
    // Epochs of two places are numbered apart.
    let same_epoch = !same_place || a.window.epoch == b.window.epoch;
    let assigned = |run: &RunRecord| {
        !NOT_RANDOMISED.contains(&run.traffic.unit.as_str()) && is_its_arm(view, run)
    };
    let mismatch =
        |run: &RunRecord| run.sample_ratio.as_ref().is_some_and(|ratio| ratio.state == "mismatch");
    Situation {
        concurrent: same_epoch && overlap(a, b),
        randomised: same_place && a.run.mode == b.run.mode && assigned(a) && assigned(b),
        ratio_ok: !mismatch(a) && !mismatch(b),
        same_arm: same_place && a.run.arm == b.run.arm,
    }
}

/// One run an arm: same experiment, site and epoch as both, and overlapping with both.
fn others<'v>(view: &'v View, a: &RunRecord, b: &RunRecord) -> Vec<&'v RunRecord> {
    let mut busiest: BTreeMap<&str, &RunRecord> = BTreeMap::new();
    let fits = |run: &&RunRecord| {
        is_same_place(run, a)
            && ![&a.run.arm, &b.run.arm].contains(&&run.run.arm)
            && run.run.mode == a.run.mode
            && !run.run.overflow
            && overlap(run, a)
            && overlap(run, b)
            && is_its_arm(view, run)
    };
    for run in view.runs.iter().filter(fits) {
        let known = busiest.entry(&run.run.arm).or_insert(run);
        if run.traffic.calls > known.traffic.calls {
            *known = run;
        }
    }
    busiest.into_values().collect()
}

fn is_same_place(x: &RunRecord, y: &RunRecord) -> bool {
    (&x.run.experiment, &x.run.site, x.window.epoch)
        == (&y.run.experiment, &y.run.site, y.window.epoch)
}

/// Whether a run is about all that its arm serves.
fn is_its_arm(view: &View, run: &RunRecord) -> bool {
    let same_arm = |other: &&RunRecord| is_same_place(other, run) && other.run.arm == run.run.arm;
    let calls: i64 = view.runs.iter().filter(same_arm).map(|other| other.traffic.calls).sum();
    run.traffic.calls as f64 >= ARM_SHARE_MIN * calls as f64
}

fn config(run: &RunRecord, a: &RunRecord, b: &RunRecord) -> ArmConfig {
    let text = |leaf: &Json| leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
    let leaves = facets(&run.config).into_iter().map(|(path, leaf)| (path, text(leaf)));
    // Names of arms are distinct within an experiment only.
    let name = match a.run.arm == b.run.arm {
        true => format!("{} {}", run.run.arm, human::run(&run.run.id)),
        false => run.run.arm.clone(),
    };
    let other = if is_same(run, a) { b } else { a };
    let unobserved_change = !is_same(a, b) && changed_inside(run, other);
    ArmConfig { name, facets: leaves.collect(), unobserved_change }
}

/// Whether something that is recorded and does not split runs changed while the run was seen. What
/// changed to the same values in the other run, such as a deploy of both, sets them not apart.
fn changed_inside(run: &RunRecord, other: &RunRecord) -> bool {
    let values = |run: &RunRecord, group: &str| -> Option<Vec<String>> {
        let field = run.observed.iter().find(|field| field.field == group)?;
        let mut values: Vec<String> = field.values.iter().map(|v| v.value.to_string()).collect();
        values.sort();
        (field.more == 0).then_some(values)
    };
    let apart =
        |group: &str| values(run, group).is_none() || values(run, group) != values(other, group);
    let system = run.observed.iter().filter(|field| field.field == SYSTEM);
    let several = system.into_iter().any(|field| field.values.len() as u64 + field.more > 1);
    if several && apart(SYSTEM) {
        return true;
    }
    let Some((first, last)) = window(run) else { return false };
    let inside = |at: &str| instant(at).is_some_and(|at| first < at && at <= last);
    let mut own = run.changes.iter().filter(|change| change.arm == run.run.arm);
    own.any(|change| {
        let group = change.field.split('.').next().unwrap_or(&change.field);
        let observed = run.observed.iter().any(|field| field.field == group);
        observed && inside(&change.at) && apart(group)
    })
}

fn overlap(a: &RunRecord, b: &RunRecord) -> bool {
    window(a).zip(window(b)).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

fn window(run: &RunRecord) -> Option<(Timestamp, Timestamp)> {
    instant(&run.window.first_seen).zip(instant(&run.window.last_seen))
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
