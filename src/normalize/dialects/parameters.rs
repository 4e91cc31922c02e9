//! Model parameters that came as one JSON text. Only what is sampling counts: a `user` or the
//! messages in the hash would give one configuration per user.

use crate::normalize::gather::Gathered;
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// The slot of a parameter, by its provider's or SDK's spelling.
fn sampling(name: &str) -> Option<Slot> {
    Some(match name {
        "temperature" => Slot::Temperature,
        "top_p" | "topP" => Slot::TopP,
        "top_k" | "topK" => Slot::TopK,
        "max_tokens"
        | "max_completion_tokens"
        | "max_output_tokens"
        | "maxTokens"
        | "maxOutputTokens"
        | "max_tokens_to_sample" => Slot::MaxTokens,
        "frequency_penalty" | "frequencyPenalty" => Slot::FrequencyPenalty,
        "presence_penalty" | "presencePenalty" => Slot::PresencePenalty,
        "stop" | "stop_sequences" | "stopSequences" => Slot::Stop,
        "seed" => Slot::Seed,
        "n" | "candidate_count" | "candidateCount" => Slot::ChoiceCount,
        "reasoning_effort" | "reasoningEffort" => Slot::ReasoningLevel,
        _ => return None,
    })
}

/// Request parameters as OpenInference sends them: sampling, the requested model, streaming.
pub fn request<'a>(gathered: &mut Gathered<'a>, _: &'a str, raw: Raw<'a>, rank: u16) {
    raw.each_member(|name, value| match name {
        "model" => gathered.put(Slot::Requested, value, rank),
        "stream" => gathered.put(Slot::Streaming, value, rank),
        "reasoning" => {
            let level = value.get("effort").unwrap_or_default();
            gathered.put(Slot::ReasoningLevel, level, rank);
        }
        name => {
            if let Some(slot) = sampling(name) {
                gathered.put(slot, value, rank);
            }
        }
    });
}

/// Parameters as Langfuse sends them: without the defaults that its SDKs invent.
pub fn langfuse<'a>(gathered: &mut Gathered<'a>, _: &'a str, raw: Raw<'a>, rank: u16) {
    raw.each_member(|name, value| {
        if let Some(slot) = sampling(name)
            && !is_invented(slot, value)
        {
            gathered.put(slot, value, rank);
        }
    });
}

fn is_invented(slot: Slot, value: Raw<'_>) -> bool {
    match slot {
        Slot::MaxTokens => value.text().is_some_and(|text| text.eq_ignore_ascii_case("infinity")),
        Slot::FrequencyPenalty | Slot::PresencePenalty => value.number() == Some(0.0),
        Slot::TopP | Slot::Temperature => value.number() == Some(1.0),
        _ => false,
    }
}
