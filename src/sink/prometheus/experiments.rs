//! Whole experiments: whether their units can be trusted, and what their arms' families say to do.

use super::encode::{Encoder, Kind};
use super::{place, total_arms};
use crate::model::verdict::Action;
use crate::model::view::{ArmView, ExperimentView, View};

/// A number of an experiment.
type Count = fn(&ExperimentView) -> i64;

/// Writes all families.
pub fn write(out: &mut Encoder, view: &View) {
    sample_ratio(out, view);
    units(out, view);
    decisions(out, view);
    let epoch = "armspan_epoch";
    out.family(epoch, Kind::Gauge, "Current epoch of a call site.");
    for experiment in &view.experiments {
        for site in &experiment.sites {
            let labels = [("experiment", experiment.name.as_str()), ("site", site.site.as_str())];
            out.sample(epoch, &labels, f64::from(site.epoch));
        }
    }
}

fn sample_ratio(out: &mut Encoder, view: &View) {
    let known = || {
        view.experiments.iter().filter_map(|e| Some((e.name.as_str(), e.sample_ratio.as_ref()?)))
    };
    let mut family = |name: &str, help: &str| out.family(name, Kind::Gauge, help);
    const LOG_E: &str = "armspan_sample_ratio_log_e";
    family(LOG_E, "Evidence against the planned split.");
    for (experiment, ratio) in known() {
        if let Some(log_e) = ratio.log_e {
            out.sample(LOG_E, &[("experiment", experiment)], log_e);
        }
    }
    // The test keeps the most evidence that there ever was, so this one does not fall back as the
    // evidence of now may do.
    const MISMATCH: &str = "armspan_sample_ratio_mismatch";
    out.family(MISMATCH, Kind::Gauge, "1 when units do not come in the planned shares.");
    for (experiment, ratio) in known().filter(|pair| pair.1.log_e.is_some()) {
        let mismatch = f64::from(u8::from(ratio.state == "mismatch"));
        out.sample(MISMATCH, &[("experiment", experiment)], mismatch);
    }
    const EXPOSED: &str = "armspan_exposed_units";
    out.family(EXPOSED, Kind::Gauge, "Units by the arm they were first seen in.");
    for (experiment, ratio) in known() {
        for (arm, units) in &ratio.units {
            out.sample(EXPOSED, &[("experiment", experiment), ("arm", arm)], *units as f64);
        }
    }
    const PLANNED: &str = "armspan_planned_share";
    out.family(PLANNED, Kind::Gauge, "Share of the units that an arm is planned to get.");
    for (experiment, ratio) in known() {
        for (arm, share) in &ratio.expected {
            out.sample(PLANNED, &[("experiment", experiment), ("arm", arm)], *share);
        }
    }
}

fn units(out: &mut Encoder, view: &View) {
    const UNITS: &str = "armspan_arm_units";
    out.family(UNITS, Kind::Gauge, "Distinct units with calls, over all epochs.");
    for (experiment, site, arm) in total_arms(view) {
        out.sample(UNITS, &place(experiment, site, arm), arm.units as f64);
    }
    let counts: [(&str, &str, Count); 2] = [
        ("armspan_crossover_units", "Units seen in two arms.", |e| e.crossover_units),
        ("armspan_conflicting_traces", "Traces left out for two arms.", |e| e.conflicting_traces),
    ];
    for (name, help, count) in counts {
        out.family(name, Kind::Gauge, help);
        for experiment in &view.experiments {
            out.sample(name, &[("experiment", &experiment.name)], count(experiment) as f64);
        }
    }
}

/// A 1 for what the family of an arm says to do and a 0 for the rest, as with verdicts.
fn decisions(out: &mut Encoder, view: &View) {
    const NAME: &str = "armspan_arm_decision";
    out.family(NAME, Kind::Gauge, "1 for what to do with an arm, 0 for the rest.");
    for experiment in &view.experiments {
        for site in &experiment.sites {
            for arm in &site.arms {
                let ArmView { decision: Some(decision), .. } = arm else { continue };
                let [experiment, arm, site] = place(experiment, site, arm);
                for action in [Action::Ship, Action::RollBack, Action::Wait].map(Action::name) {
                    let labels = [experiment, arm, site, ("action", action)];
                    let holds = f64::from(u8::from(decision.action == action));
                    out.sample(NAME, &labels, holds);
                }
            }
        }
    }
}
