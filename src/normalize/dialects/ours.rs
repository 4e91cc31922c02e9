//! Our own attributes, for what no convention names yet.

use super::{Dialect, slot};
use crate::normalize::slot::Slot;

/// `armspan.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("armspan.experiment", slot(Slot::Experiment)),
        ("armspan.arm", slot(Slot::Arm)),
        ("armspan.unit.id", slot(Slot::Unit)),
        ("armspan.unit.covariate", slot(Slot::Covariate)),
        ("armspan.assignment.probability", slot(Slot::AssignmentProbability)),
        ("armspan.sample.probability", slot(Slot::SampleProbability)),
        ("armspan.score.probability", slot(Slot::ScoreProbability)),
        ("armspan.grader.name", slot(Slot::GraderName)),
        ("armspan.grader.version", slot(Slot::GraderVersion)),
        ("armspan.grader.model", slot(Slot::GraderModel)),
        ("armspan.prompt.name", slot(Slot::PromptName)),
        ("armspan.prompt.version", slot(Slot::PromptVersion)),
        ("armspan.prompt.hash", slot(Slot::PromptHash)),
        ("armspan.tools.version", slot(Slot::ToolsVersion)),
        ("armspan.tools.hash", slot(Slot::ToolsHash)),
        ("armspan.retrieval.source", slot(Slot::RetrievalSource)),
        ("armspan.retrieval.snapshot", slot(Slot::RetrievalSnapshot)),
        ("armspan.safety.policy", slot(Slot::SafetyPolicy)),
        ("armspan.dataset.name", slot(Slot::DatasetName)),
        ("armspan.dataset.version", slot(Slot::DatasetVersion)),
        ("armspan.input.hash", slot(Slot::InputHash)),
        ("armspan.expected.version", slot(Slot::ExpectedVersion)),
        ("armspan.mode", slot(Slot::Mode)),
    ],
};
