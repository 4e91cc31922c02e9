//! How a call ended: finish reasons and error classes, their many spellings folded into one each.

use super::gather::{Family, Gathered, Part};
use super::slot::{Slot, Slots, bits};
use super::span::{STATUS_ERROR, Span};
use super::value::{Raw, cut};
use crate::model::Finish;
use std::fmt::Write;

/// Bytes of an error class.
const CLASS_BYTES_MAX: usize = 64;
/// Bytes of a status message that are searched for a status number.
const MESSAGE_BYTES_MAX: usize = 64;
/// The class of an error that says nothing about itself.
pub const UNKNOWN: &str = "other";

/// The folded finish reasons of a span or record.
pub fn finish(gathered: &Gathered<'_>) -> Finish {
    let mut all = Finish::default();
    let mut take = |raw: Raw<'_>| {
        if let Some(reason) = raw.text() {
            all = all.and(fold(&reason));
        }
    };
    if let Some(raw) = gathered.get(Slot::FinishReasons) {
        match raw.opened() {
            Raw::List(_) | Raw::Json(_) => raw.each(take),
            _ => take(raw),
        }
    } else {
        let reasons = gathered.list(Family::Completions).filter(|item| item.part == Part::Finish);
        reasons.for_each(|item| take(item.raw));
    }
    all
}

/// One reason, folded.
pub fn fold(reason: &str) -> Finish {
    let mut small = [0; 32];
    let Some(small) = small.get_mut(..reason.len()) else { return Finish::OTHER };
    for (to, from) in small.iter_mut().zip(reason.bytes()) {
        *to = if from == b'-' { b'_' } else { from.to_ascii_lowercase() };
    }
    match &*small {
        b"stop" | b"end_turn" | b"completed" | b"stop_sequence" | b"eos" | b"complete" => {
            Finish::STOP
        }
        b"length" | b"max_tokens" | b"max_output_tokens" | b"model_context_window_exceeded" => {
            Finish::LENGTH
        }
        b"tool_calls" | b"tool_call" | b"tool_use" | b"function_call" => Finish::TOOL_CALLS,
        b"content_filter"
        | b"refusal"
        | b"safety"
        | b"content_filtered"
        | b"guardrail_intervened" => Finish::CONTENT_FILTER,
        _ => Finish::OTHER,
    }
}

/// What tells that a call failed, besides its status.
const FAILURES: Slots = bits(&[Slot::ErrorType, Slot::LangfuseLevel]);

/// Whether there is a reason to ask for the [`error`] of a call.
#[inline]
pub fn may_have_failed(span: &Span<'_>, gathered: &Gathered<'_>) -> bool {
    span.status == STATUS_ERROR || gathered.has(FAILURES)
}

/// The class of a call's error, appended to `class`: an HTTP status when one is told, else the
/// folded type. Says whether it failed at all. Messages are never used but for a status number.
pub fn error(span: &Span<'_>, gathered: &Gathered<'_>, class: &mut String) -> bool {
    class.clear();
    let by_level =
        gathered.get(Slot::LangfuseLevel).is_some_and(|level| level == Raw::Text("ERROR"));
    if span.status != STATUS_ERROR && !by_level && !gathered.has(Slot::ErrorType.bit()) {
        return false;
    }
    let told = [Slot::ErrorCode, Slot::HttpStatus]
        .into_iter()
        .find_map(|slot| gathered.get(slot)?.int().filter(|status| (400..600).contains(status)));
    if let Some(status) = told {
        // Writing to a string does not fail.
        let _ = write!(class, "{status}");
        return true;
    }
    if let Some(kind) = gathered.get(Slot::ErrorType).and_then(Raw::text) {
        fold_class(&kind, class);
    }
    if class.is_empty() {
        exception(span, class);
    }
    if is_vague(class) {
        let message = gathered.get(Slot::StatusMessage).and_then(Raw::text);
        let message = message.as_deref().or_else(|| str::from_utf8(span.message).ok());
        if let Some(told) = message.and_then(told_by_message) {
            class.clear();
            class.push_str(told);
        }
    }
    if matches!(class.as_str(), "" | "error") {
        class.clear();
        class.push_str(UNKNOWN);
    }
    true
}

/// Classes that an SDK gives to whatever went wrong.
fn is_vague(class: &str) -> bool {
    matches!(
        class,
        "" | "error" | "other" | "ai_api_call" | "api" | "api_status" | "http" | "model_http"
    )
}

/// The type of the span's first exception, unless it is a flag evaluation's.
fn exception(span: &Span<'_>, class: &mut String) {
    span.each_event(|event| {
        if !class.is_empty() || event.name != b"exception" {
            return;
        }
        let (mut kind, mut of_flag) = (Raw::Empty, false);
        event.each_attribute(|body| {
            if let Ok((key, value)) = super::value::key_value(body) {
                of_flag |= key == b"feature_flag.key";
                if key == b"exception.type" {
                    kind = Raw::read(value).unwrap_or_default();
                }
            }
        });
        if let (false, Some(kind)) = (of_flag, kind.text()) {
            fold_class(&kind, class);
        }
    });
}

/// `openai.RateLimitError`, `RateLimitError`, `rate_limit_error` → `rate_limit`; a number stays.
pub fn fold_class(kind: &str, class: &mut String) {
    let last = kind.rsplit(['.', ':', '/']).next().unwrap_or(kind);
    let mut before = b'_';
    for (at, byte) in cut(last, CLASS_BYTES_MAX).bytes().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            if before != b'_' {
                class.push('_');
                before = b'_';
            }
            continue;
        }
        let next = last.as_bytes().get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let starts = byte.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || (before.is_ascii_uppercase() && next));
        if starts {
            class.push('_');
        }
        class.push(byte.to_ascii_lowercase() as char);
        before = byte;
    }
    // One cause, with the SDK's or the provider's name around it.
    if class.contains("rate_limit") || class.contains("too_many_requests") {
        class.clear();
        class.push_str("rate_limit");
    }
    for suffix in ["_error", "_exception", "_"] {
        if class.len() > suffix.len() && class.ends_with(suffix) {
            class.truncate(class.len() - suffix.len());
        }
    }
}

/// The one thing that a message is searched for: which of the known classes it is.
fn told_by_message(message: &str) -> Option<&str> {
    let start = cut(message, MESSAGE_BYTES_MAX).as_bytes();
    let phrase = b"rate limit";
    let is_limit = start.windows(phrase.len()).any(|words| words.eq_ignore_ascii_case(phrase));
    status_number(message).or(is_limit.then_some("rate_limit"))
}

/// A number from 400 to 599 that stands alone near the start of a message.
fn status_number(message: &str) -> Option<&str> {
    cut(message, MESSAGE_BYTES_MAX).split(|letter: char| !letter.is_ascii_alphanumeric()).find(
        |word| {
            word.len() == 3 && word.parse().is_ok_and(|status: u16| (400..600).contains(&status))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_has_one_class() {
        let class = |kind: &str| {
            let mut class = String::new();
            fold_class(kind, &mut class);
            class
        };
        for kind in [
            "RateLimitError",
            "openai.RateLimitError",
            "rate_limit_error",
            "openai::RateLimitError",
        ] {
            assert_eq!(class(kind), "rate_limit", "{kind}");
        }
        assert_eq!(class("429"), "429");
        assert_eq!(class("AI_APICallError"), "ai_api_call");
        assert_eq!(class("TimeoutException"), "timeout");
        assert_eq!(class("HTTPError"), "http");
        assert_eq!(class("é"), "");
    }

    #[test]
    fn only_a_status_is_read_from_a_message() {
        assert_eq!(status_number("Error code: 429 - Rate limit reached"), Some("429"));
        assert_eq!(told_by_message("Error: 1429 timeout 200"), None);
        assert_eq!(told_by_message("Rate limit reached for m"), Some("rate_limit"));
    }

    #[test]
    fn synonyms_are_folded() {
        for (reason, finish) in [
            ("tool-calls", Finish::TOOL_CALLS),
            ("TOOL_USE", Finish::TOOL_CALLS),
            ("end_turn", Finish::STOP),
            ("max_output_tokens", Finish::LENGTH),
            ("refusal", Finish::CONTENT_FILTER),
            ("banana", Finish::OTHER),
        ] {
            assert_eq!(fold(reason), finish, "{reason}");
        }
        let mut gathered = Gathered::default();
        gathered.put(Slot::FinishReasons, Raw::Text(r#"["stop","length"]"#), 0);
        assert_eq!(finish(&gathered), Finish::STOP.and(Finish::LENGTH));
        gathered.put(Slot::FinishReasons, Raw::Text(r#""content_filter""#), 0);
        assert_eq!(finish(&gathered), Finish::CONTENT_FILTER);
    }
}
