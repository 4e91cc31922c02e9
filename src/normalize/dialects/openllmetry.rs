//! OpenLLMetry (Traceloop), LiteLLM and others that still write its older names.

use super::{Dialect, index, open, slot};
use crate::normalize::gather::{Family, Gathered, Part};
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// `traceloop.*`, `llm.*`, indexed `gen_ai.prompt.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("llm.request.type", slot(Slot::RequestType)),
        ("traceloop.span.kind", slot(Slot::TraceloopKind)),
        ("gen_ai.response.system_fingerprint", slot(Slot::Fingerprint)),
        ("gen_ai.openai.system_fingerprint", slot(Slot::Fingerprint)),
        ("llm.openai.system_fingerprint", slot(Slot::Fingerprint)),
        ("llm.top_k", slot(Slot::TopK)),
        ("llm.frequency_penalty", slot(Slot::FrequencyPenalty)),
        ("llm.presence_penalty", slot(Slot::PresencePenalty)),
        ("llm.chat.stop_sequences", slot(Slot::Stop)),
        ("llm.is_streaming", slot(Slot::Streaming)),
        ("gen_ai.is_streaming", slot(Slot::Streaming)),
        ("traceloop.prompt.key", slot(Slot::PromptName)),
        ("traceloop.prompt.version", slot(Slot::PromptVersion)),
        ("traceloop.prompt.version_name", slot(Slot::PromptVersion)),
        ("gen_ai.prompt.", open(prompt)),
        ("gen_ai.completion.", open(completion)),
        ("llm.request.functions.", open(function)),
        ("traceloop.entity.name", slot(Slot::Agent)),
        ("gen_ai.usage.reasoning_tokens", slot(Slot::TokensReasoning)),
        ("gen_ai.usage.cache_read_input_tokens", slot(Slot::TokensCached)),
        ("gen_ai.usage.cache_creation_input_tokens", slot(Slot::TokensCacheWritten)),
        ("traceloop.association.properties.session_id", slot(Slot::Session)),
        ("traceloop.association.properties.user_id", slot(Slot::User)),
    ],
};

fn prompt<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    match index(rest) {
        Some((at, "role")) => gathered.push(Family::Prompts, at, Part::Role, raw),
        Some((at, "content")) => gathered.push(Family::Prompts, at, Part::Content, raw),
        _ => {}
    }
}

fn completion<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    if let Some((at, "finish_reason")) = index(rest) {
        gathered.push(Family::Completions, at, Part::Finish, raw);
    }
}

fn function<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    match index(rest) {
        Some((at, "name")) => gathered.push(Family::Functions, at, Part::Name, raw),
        Some((at, "description")) => gathered.push(Family::Functions, at, Part::Description, raw),
        Some((at, "parameters")) => gathered.push(Family::Functions, at, Part::Parameters, raw),
        _ => {}
    }
}
