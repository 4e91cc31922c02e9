//! Data we refuse or cannot use, by reason. A reject never fails the rest of its request.

use serde::{Deserialize, Serialize};

/// Why something was not counted. Names are stable: they are label values of `/metrics`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is explained by `advice`")]
pub enum Reject {
    MalformedSpan,
    EmptyTraceId,
    EmptySpanId,
    InvalidUtf8,
    FromTheFuture,
    TooOld,
    TooManySpans,
    ValueOutOfRange,
    MalformedScore,
    UnknownTarget,
}

impl Reject {
    /// All of them.
    pub const ALL: [Reject; 10] = [
        Reject::MalformedSpan,
        Reject::EmptyTraceId,
        Reject::EmptySpanId,
        Reject::InvalidUtf8,
        Reject::FromTheFuture,
        Reject::TooOld,
        Reject::TooManySpans,
        Reject::ValueOutOfRange,
        Reject::MalformedScore,
        Reject::UnknownTarget,
    ];

    /// Its name as a label value.
    pub fn name(self) -> &'static str {
        match self {
            Reject::MalformedSpan => "malformed_span",
            Reject::EmptyTraceId => "empty_trace_id",
            Reject::EmptySpanId => "empty_span_id",
            Reject::InvalidUtf8 => "invalid_utf8",
            Reject::FromTheFuture => "from_the_future",
            Reject::TooOld => "too_old",
            Reject::TooManySpans => "too_many_spans",
            Reject::ValueOutOfRange => "value_out_of_range",
            Reject::MalformedScore => "malformed_score",
            Reject::UnknownTarget => "unknown_target",
        }
    }

    /// What was wrong and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Reject::MalformedSpan => "the span's bytes are no OTLP; check the exporter's version",
            Reject::EmptyTraceId => "the trace id is empty or not 16 bytes; a processor dropped it",
            Reject::EmptySpanId => "the span id is empty or not 8 bytes; a processor dropped it",
            Reject::InvalidUtf8 => "a text is not UTF-8; the emitter cut it inside a character",
            Reject::FromTheFuture => "ends more than 5 minutes ahead; set the sender's clock",
            Reject::TooOld => "ended longer ago than the horizon; use `armspan replay` for history",
            Reject::TooManySpans => "more than 50,000 spans in one request; lower the batch size",
            Reject::ValueOutOfRange => "a number is beyond 2^53 in its unit; check its unit",
            Reject::MalformedScore => "a score needs a name and a target",
            Reject::UnknownTarget => "a score needs a trace, response or session id",
        }
    }
}
