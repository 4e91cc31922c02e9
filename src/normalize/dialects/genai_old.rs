//! The GenAI names up to version 1.36, which most instrumentations still send by default.

use super::{Dialect, slot};
use crate::normalize::slot::Slot;

/// `gen_ai.*` as it was
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("gen_ai.system", slot(Slot::Provider)),
        ("gen_ai.openai.response.system_fingerprint", slot(Slot::Fingerprint)),
        ("gen_ai.openai.request.seed", slot(Slot::Seed)),
        ("gen_ai.openai.request.reasoning_effort", slot(Slot::ReasoningLevel)),
        ("gen_ai.usage.prompt_tokens", slot(Slot::TokensInput)),
        ("gen_ai.usage.completion_tokens", slot(Slot::TokensOutput)),
    ],
};
