//! Vercel's AI SDK, versions 4 to 6 and the legacy mode of 7.

use super::{Dialect, open, slot};
use crate::normalize::gather::Gathered;
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// `ai.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("ai.operationId", slot(Slot::VercelOperation)),
        ("ai.model.provider", slot(Slot::Provider)),
        ("ai.model.id", slot(Slot::Requested)),
        ("ai.response.model", slot(Slot::Revision)),
        ("ai.settings.temperature", slot(Slot::Temperature)),
        ("ai.settings.topP", slot(Slot::TopP)),
        ("ai.settings.topK", slot(Slot::TopK)),
        ("ai.settings.maxTokens", slot(Slot::MaxTokens)),
        ("ai.settings.maxOutputTokens", slot(Slot::MaxTokens)),
        ("ai.settings.frequencyPenalty", slot(Slot::FrequencyPenalty)),
        ("ai.settings.presencePenalty", slot(Slot::PresencePenalty)),
        ("ai.settings.stopSequences", slot(Slot::Stop)),
        ("ai.settings.seed", slot(Slot::Seed)),
        ("ai.telemetry.metadata.promptVersion", slot(Slot::PromptVersion)),
        ("ai.settings.context.promptVersion", slot(Slot::PromptVersion)),
        ("ai.telemetry.metadata.promptName", slot(Slot::PromptName)),
        ("ai.settings.context.promptName", slot(Slot::PromptName)),
        ("ai.prompt.messages", slot(Slot::VercelMessages)),
        ("ai.prompt", slot(Slot::VercelPrompt)),
        ("ai.prompt.tools", slot(Slot::VercelTools)),
        ("ai.telemetry.functionId", slot(Slot::Agent)),
        ("ai.usage.inputTokens", slot(Slot::TokensInput)),
        ("ai.usage.outputTokens", slot(Slot::TokensOutput)),
        ("ai.usage.promptTokens", slot(Slot::TokensInput)),
        ("ai.usage.completionTokens", slot(Slot::TokensOutput)),
        ("ai.usage.tokens", slot(Slot::TokensInput)),
        ("ai.usage.cachedInputTokens", slot(Slot::TokensCached)),
        ("ai.usage.inputTokenDetails.cacheReadTokens", slot(Slot::TokensCached)),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", slot(Slot::TokensCacheWritten)),
        ("ai.usage.reasoningTokens", slot(Slot::TokensReasoning)),
        ("ai.usage.outputTokenDetails.reasoningTokens", slot(Slot::TokensReasoning)),
        ("ai.response.providerMetadata", open(provider_metadata)),
        ("ai.response.msToFirstChunk", slot(Slot::FirstTokenMillis)),
        ("ai.response.finishReason", slot(Slot::FinishReasons)),
        ("ai.response.id", slot(Slot::ResponseId)),
        ("ai.telemetry.metadata.userId", slot(Slot::User)),
        ("ai.settings.context.userId", slot(Slot::User)),
        ("ai.telemetry.metadata.sessionId", slot(Slot::Session)),
        ("ai.settings.context.sessionId", slot(Slot::Session)),
    ],
};

/// Version 4 tells some counts only here: `{"openai": {"cachedPromptTokens": 64}}`.
fn provider_metadata<'a>(gathered: &mut Gathered<'a>, _: &'a str, raw: Raw<'a>, rank: u16) {
    raw.each_member(|_, provider| {
        provider.each_member(|name, value| match name {
            "cachedPromptTokens" => gathered.put(Slot::TokensCached, value, rank),
            "reasoningTokens" => gathered.put(Slot::TokensReasoning, value, rank),
            "cacheReadInputTokens" => gathered.put(Slot::TokensCached, value, rank),
            "cacheCreationInputTokens" => gathered.put(Slot::TokensCacheWritten, value, rank),
            _ => {}
        });
    });
}
