//! Langfuse's SDKs: most values are JSON texts; prompt versions are integers.

use super::{Dialect, open, parameters, slot, usage};
use crate::normalize::gather::Gathered;
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// `langfuse.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("langfuse.observation.type", slot(Slot::LangfuseType)),
        ("langfuse.observation.model.name", slot(Slot::ModelName)),
        ("langfuse.observation.model.parameters", open(parameters::langfuse)),
        ("langfuse.observation.prompt.name", slot(Slot::PromptName)),
        ("langfuse.observation.prompt.version", slot(Slot::PromptVersion)),
        ("langfuse.observation.metadata.instructions", slot(Slot::LangfuseInstructions)),
        ("langfuse.observation.metadata.tools", slot(Slot::LangfuseTools)),
        ("langfuse.observation.input", slot(Slot::LangfuseInput)),
        ("langfuse.observation.usage_details", open(usage::langfuse)),
        ("langfuse.observation.cost_details", open(cost)),
        ("langfuse.observation.completion_start_time", slot(Slot::CompletionStart)),
        ("langfuse.observation.metadata.finish_reason", slot(Slot::FinishReasons)),
        ("langfuse.observation.metadata.status", slot(Slot::LangfuseStatus)),
        ("langfuse.observation.level", slot(Slot::LangfuseLevel)),
        ("langfuse.observation.status_message", slot(Slot::StatusMessage)),
        ("langfuse.session.id", slot(Slot::Session)),
        ("langfuse.user.id", slot(Slot::User)),
        ("langfuse.environment", slot(Slot::Environment)),
        ("langfuse.release", slot(Slot::CodeVersion)),
        ("langfuse.experiment.dataset.id", slot(Slot::DatasetName)),
        ("langfuse.experiment.id", open(offline)),
    ],
};

fn cost<'a>(gathered: &mut Gathered<'a>, _: &'a str, raw: Raw<'a>, rank: u16) {
    gathered.put(Slot::Cost, raw.get("total").unwrap_or_default(), rank);
}

/// Only runs over a dataset have an experiment id.
fn offline<'a>(gathered: &mut Gathered<'a>, _: &'a str, _: Raw<'a>, rank: u16) {
    gathered.put(Slot::Mode, Raw::Text("offline"), rank);
}
