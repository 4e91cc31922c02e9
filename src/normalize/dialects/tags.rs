//! Experiment tags of other tools: GrowthBook's tag for LLM tracers and its attributes, Langfuse's
//! trace metadata and experiments.

use super::{Dialect, open, slot};
use crate::normalize::gather::{Family, Gathered, Part};
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// Family of attributes: what follows is the experiment, the value its arm.
pub const GROWTHBOOK: &str = "growthbook.experiment.";

/// Tags and experiment attributes
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("langfuse.trace.tags", slot(Slot::Tags)),
        ("tag.tags", slot(Slot::Tags)),
        (GROWTHBOOK, open(growthbook)),
        ("langfuse.trace.metadata.experiment", slot(Slot::TagExperiment)),
        ("langfuse.trace.metadata.arm", slot(Slot::TagArm)),
    ],
};

fn growthbook<'a>(gathered: &mut Gathered<'a>, experiment: &'a str, raw: Raw<'a>, _: u16) {
    gathered.push_named(Family::Experiments, 0, Part::Arm, experiment, raw);
}
