//! What a call's span says of it: tokens, cost, time to first token, sampling.

use super::gather::Gathered;
use super::json;
use super::slot::Slot;
use super::span::Span;
use super::value::{Raw, key_value};
use super::walk::ppm;
use crate::model::{Nanos, Tokens};

/// A number in its unit may be at most this.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Times of streaming events, seen while walking a span's events.
#[derive(Clone, Copy, Default, Debug)]
pub struct Streamed {
    /// Time of the first one.
    pub first: Option<Nanos>,
}

impl Streamed {
    /// Events that mark a piece of a streamed answer.
    pub fn is_piece(name: &[u8]) -> bool {
        matches!(
            name,
            b"First Token Stream Event"
                | b"gen_ai.content.completion.chunk"
                | b"ai.stream.firstChunk"
        )
    }

    /// A piece came.
    pub fn piece(&mut self, time: Nanos) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
    }
}

/// Token counts; cached ones are part of the input, reasoning ones of the output.
pub fn tokens(gathered: &Gathered<'_>, streaming: bool, emitter: &[u8]) -> Tokens {
    let count = |slot| gathered.get(slot).and_then(Raw::count);
    Tokens {
        input: count(Slot::TokensInput),
        output: count(Slot::TokensOutput),
        cached: count(Slot::TokensCached),
        cache_written: count(Slot::TokensCacheWritten),
        reasoning: count(Slot::TokensReasoning),
        // This SDK counts the pieces of a stream with a tokenizer of its own.
        estimated: streaming && emitter.starts_with(b"@traceloop/"),
    }
}

/// Cost in nano-USD. A cost of 0 on an error is no price.
pub fn cost(gathered: &Gathered<'_>, failed: bool) -> Option<u64> {
    let cost = gathered.get(Slot::Cost).and_then(Raw::number)?;
    (cost > 0.0 || (cost == 0.0 && !failed)).then(|| scaled(cost, 1e9))?
}

/// Time to the first token in microseconds.
pub fn first_token(span: &Span<'_>, gathered: &Gathered<'_>, streamed: Streamed) -> Option<u64> {
    let number = |slot| gathered.get(slot).and_then(Raw::number);
    if let Some(seconds) = number(Slot::FirstTokenSeconds) {
        return scaled(seconds, 1e6);
    }
    if let Some(millis) = number(Slot::FirstTokenMillis) {
        return scaled(millis, 1e3);
    }
    let started =
        gathered.get(Slot::CompletionStart).and_then(Raw::text).and_then(|text| moment(&text));
    let after = streamed.first.or(started)?.checked_sub(span.start)?;
    Some(after / 1000)
}

/// Whether the answer was streamed: said so, or a first piece was timed.
pub fn is_streaming(gathered: &Gathered<'_>, streamed: Streamed) -> bool {
    use Slot::{CompletionStart, FirstTokenMillis, FirstTokenSeconds};
    let timed = FirstTokenSeconds.bit() | FirstTokenMillis.bit() | CompletionStart.bit();
    gathered.get(Slot::Streaming).and_then(Raw::truth).unwrap_or_else(|| {
        let operation = gathered.get(Slot::VercelOperation).and_then(Raw::text);
        operation.is_some_and(|id| id.ends_with(".doStream"))
            || gathered.has(timed)
            || streamed.first.is_some()
    })
}

/// The response id, by attribute or inside the answer of OpenInference.
pub fn response_id<'a>(gathered: &Gathered<'a>) -> Option<std::borrow::Cow<'a, str>> {
    if let Some(id) = gathered.get(Slot::ResponseId) {
        return id.text();
    }
    match gathered.get(Slot::OutputValue)? {
        Raw::Text(answer) => json::string(json::member(answer, "id")?),
        _ => None,
    }
}

/// The chance that this call was sampled, in millionths, from the tracestate or our attribute.
pub fn sampled(span: &Span<'_>, gathered: &Gathered<'_>) -> Option<u32> {
    let state = Some(span.state).filter(|state| !state.is_empty());
    let told = state.and_then(|state| threshold(str::from_utf8(state).ok()?));
    ppm(told.or_else(|| gathered.get(Slot::SampleProbability).and_then(Raw::number))?)
}

/// `ot=th:<hex>`: 1 − th/2⁵⁶, where the hex digits are the leading ones of 14.
fn threshold(state: &str) -> Option<f64> {
    let ot = state.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let digits = ot.split(';').find_map(|part| part.strip_prefix("th:"))?;
    if digits.is_empty()
        || digits.len() > 14
        || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    {
        return None;
    }
    let leading = u64::from_str_radix(digits, 16).ok()?;
    let threshold = leading << (4 * (14 - digits.len()));
    Some(1.0 - threshold as f64 / (1u64 << 56) as f64)
}

fn scaled(number: f64, scale: f64) -> Option<u64> {
    let scaled = (number * scale).round_ties_even();
    (0.0..=EXACT_MAX).contains(&scaled).then_some(scaled as u64)
}

fn moment(text: &str) -> Option<Nanos> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    Nanos::try_from(moment.as_nanosecond()).ok()
}

/// The value of one attribute of an event.
pub fn event_value<'a>(event: &super::span::Event<'a>, wanted: &[u8]) -> Option<Raw<'a>> {
    let mut found = None;
    event.each_attribute(|body| {
        if let Ok((key, value)) = key_value(body)
            && key == wanted
        {
            found = Raw::read(value).ok();
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_one_minus_its_share() {
        assert_eq!(threshold("ot=th:8"), Some(0.5));
        assert_eq!(threshold("a=b, ot=rv:1;th:c"), Some(0.25));
        assert_eq!(threshold("ot=th:0"), Some(1.0));
        for none in ["", "ot=th:", "ot=th:zz", "ot=th:123456789012345", "ot=th:+1"] {
            assert_eq!(threshold(none), None, "{none}");
        }
    }

    #[test]
    fn a_cost_of_nothing_on_an_error_is_no_price() {
        let mut gathered = Gathered::default();
        gathered.put(Slot::Cost, Raw::Int(0), 0);
        assert_eq!((cost(&gathered, true), cost(&gathered, false)), (None, Some(0)));
        gathered.put(Slot::Cost, Raw::Double(1.995e-5), 0);
        assert_eq!(cost(&gathered, true), Some(19_950));
        gathered.put(Slot::Cost, Raw::Double(-1.0), 0);
        assert_eq!(cost(&gathered, false), None);
    }

    #[test]
    fn a_moment_inside_json_quotes_is_read() {
        let mut gathered = Gathered::default();
        gathered.put(Slot::CompletionStart, Raw::Text("\"1970-01-01T00:00:01.5Z\""), 0);
        let span = Span { start: 1_000_000_000, ..Span::default() };
        assert_eq!(first_token(&span, &gathered, Streamed::default()), Some(500_000));
        assert!(is_streaming(&gathered, Streamed::default()));
    }
}
