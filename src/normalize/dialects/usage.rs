//! Token counts that came as one JSON text: with a provider's own key names, or Langfuse's, whose
//! JavaScript SDK takes cached and reasoning tokens out of input and output.

use crate::normalize::gather::Gathered;
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// A provider's own usage object.
pub fn provider<'a>(gathered: &mut Gathered<'a>, _: &'a str, raw: Raw<'a>, rank: u16) {
    raw.each_member(|name, value| match name {
        "prompt_tokens" | "input_tokens" => gathered.put(Slot::TokensInput, value, rank),
        "completion_tokens" | "output_tokens" => gathered.put(Slot::TokensOutput, value, rank),
        "prompt_tokens_details" | "input_tokens_details" => {
            gathered.put(Slot::TokensCached, value.get("cached_tokens").unwrap_or_default(), rank);
        }
        "completion_tokens_details" | "output_tokens_details" => {
            let reasoning = value.get("reasoning_tokens").unwrap_or_default();
            gathered.put(Slot::TokensReasoning, reasoning, rank);
        }
        _ => {}
    });
}

#[derive(Default)]
struct Usage {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
    reasoning: Option<u64>,
    /// Audio and predictions: part of input or output, or on top of them, as the rest is.
    other_input: u64,
    other_output: u64,
}

/// Langfuse's `usage_details`.
pub fn langfuse<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, rank: u16) {
    if raw.get("input").is_none() && raw.get("output").is_none() {
        return provider(gathered, rest, raw, rank);
    }
    let mut usage = Usage::default();
    raw.each_member(|name, value| usage.take(name, value.count()));
    let (input, output) = usage.whole();
    let counts = [
        (Slot::TokensInput, input),
        (Slot::TokensOutput, output),
        (Slot::TokensCached, usage.cached),
        (Slot::TokensCacheWritten, usage.written),
        (Slot::TokensReasoning, usage.reasoning),
    ];
    for (slot, count) in counts {
        if let Some(count) = count.and_then(|count| i64::try_from(count).ok()) {
            gathered.put(slot, Raw::Int(count), rank);
        }
    }
}

impl Usage {
    fn take(&mut self, name: &str, count: Option<u64>) {
        match name {
            "input" => self.input = count,
            "output" => self.output = count,
            "total" => self.total = count,
            "input_cached_tokens" | "cache_read_input_tokens" | "input_cache_read" => {
                self.cached = count
            }
            "input_cache_creation" | "cache_creation_input_tokens" => self.written = count,
            "output_reasoning_tokens" | "reasoning_tokens" => self.reasoning = count,
            name if name.starts_with("input_") => self.other_input += count.unwrap_or(0),
            name if name.starts_with("output_") => self.other_output += count.unwrap_or(0),
            _ => {}
        }
    }

    /// Input with its cached tokens and output with its reasoning tokens; the total tells whether
    /// they are on top. Counts are at most 2⁵³ each and few, so sums do not overflow.
    fn whole(&self) -> (Option<u64>, Option<u64>) {
        let bare = self.input.unwrap_or(0) + self.output.unwrap_or(0);
        let on_input = self.cached.unwrap_or(0) + self.written.unwrap_or(0) + self.other_input;
        let on_output = self.reasoning.unwrap_or(0) + self.other_output;
        if self.total == Some(bare) || self.total != Some(bare + on_input + on_output) {
            return (self.input, self.output);
        }
        let add =
            |count: Option<u64>, more| count.map_or((more > 0).then_some(more), |c| Some(c + more));
        (add(self.input, on_input), add(self.output, on_output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(json: &'static str) -> [Option<u64>; 4] {
        let mut gathered = Gathered::default();
        langfuse(&mut gathered, "", Raw::Text(json), 0);
        [Slot::TokensInput, Slot::TokensOutput, Slot::TokensCached, Slot::TokensReasoning]
            .map(|slot| gathered.get(slot).and_then(Raw::count))
    }

    #[test]
    fn the_total_tells_whether_parts_are_on_top() {
        let on_top = r#"{"input":56,"output":18,"total":202,"input_cached_tokens":64,"output_reasoning_tokens":64}"#;
        assert_eq!(counts(on_top), [Some(120), Some(82), Some(64), Some(64)]);
        let within = r#"{"input":120,"output":82,"total":202,"input_cached_tokens":64,"output_reasoning_tokens":64}"#;
        assert_eq!(counts(within), [Some(120), Some(82), Some(64), Some(64)]);
        let no_total = r#"{"input":120,"output":18,"cache_read_input_tokens":64}"#;
        assert_eq!(counts(no_total), [Some(120), Some(18), Some(64), None]);
        let provider = r#"{"prompt_tokens":57,"completion_tokens":23,"prompt_tokens_details":{"cached_tokens":32}}"#;
        assert_eq!(counts(provider), [Some(57), Some(23), Some(32), None]);
    }
}
