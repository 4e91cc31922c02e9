//! What each slot takes: some only take numbers, counts or texts.

use super::slot::{SLOTS, Slot, Slots, bits};
use super::value::Raw;

/// Slots that only take a number.
const NUMBERS: Slots = bits(&[
    Slot::Temperature,
    Slot::TopP,
    Slot::TopK,
    Slot::FrequencyPenalty,
    Slot::PresencePenalty,
    Slot::Cost,
    Slot::FirstTokenSeconds,
    Slot::FirstTokenMillis,
    Slot::SampleProbability,
    Slot::AssignmentProbability,
    Slot::Covariate,
    Slot::ScoreProbability,
    Slot::ScoreValue,
]);
/// Slots that only take a count.
const COUNTS: Slots = bits(&[
    Slot::MaxTokens,
    Slot::ChoiceCount,
    Slot::TokensInput,
    Slot::TokensOutput,
    Slot::TokensCached,
    Slot::TokensCacheWritten,
    Slot::TokensReasoning,
]);
/// Slots that only take a whole number.
const WHOLE: Slots = bits(&[Slot::Seed]);
/// Slots that only take a text (or what has a canonical text).
const TEXTS: Slots = bits(&[
    Slot::Provider,
    Slot::Requested,
    Slot::Revision,
    Slot::ModelName,
    Slot::PromptName,
    Slot::PromptVersion,
    Slot::PromptHash,
    Slot::ToolsVersion,
    Slot::ToolsHash,
    Slot::CodeService,
    Slot::CodeVersion,
    Slot::CodeCommit,
    Slot::Environment,
    Slot::Agent,
    Slot::ResponseId,
    Slot::User,
    Slot::Session,
    Slot::Conversation,
    Slot::Unit,
    Slot::Experiment,
    Slot::Arm,
    Slot::FlagKey,
    Slot::FlagVariant,
    Slot::FlagContext,
    Slot::ErrorType,
]);

/// What a slot takes.
#[derive(Clone, Copy)]
enum Kind {
    Any,
    Text,
    Count,
    Number,
    Whole,
}

const KINDS: [Kind; SLOTS] = {
    let (mut kinds, mut at) = ([Kind::Any; SLOTS], 0);
    while at < SLOTS {
        let bit = 1 << at;
        kinds[at] = match () {
            () if bit & NUMBERS != 0 => Kind::Number,
            () if bit & COUNTS != 0 => Kind::Count,
            () if bit & WHOLE != 0 => Kind::Whole,
            () if bit & TEXTS != 0 => Kind::Text,
            () => Kind::Any,
        };
        at += 1;
    }
    kinds
};

/// Whether a slot takes a value.
#[inline(always)]
pub fn fits(slot: Slot, raw: Raw<'_>) -> bool {
    match KINDS[slot as usize] {
        Kind::Any => true,
        Kind::Text => !matches!(raw, Raw::List(_) | Raw::Map(_) | Raw::Bytes(_)),
        Kind::Count => raw.count().is_some(),
        Kind::Number => raw.number().is_some(),
        Kind::Whole => raw.int().is_some(),
    }
}
