//! Answers to requests that were accepted: full success, partial success, a warning.

use super::{Signal, wire};
use crate::model::Reject;
use crate::normalize::Report;
use std::fmt::Write;

/// What a sender of metrics is told.
const NOT_USED: &str =
    "armspan takes traces and logs and uses no metrics; disable the metrics exporter for it";

/// What `partial_success` says; default is full success, where it must be unset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Partial {
    /// Spans, log records or data points that were dropped for good.
    pub rejected: u64,
    /// Why, or a warning when nothing was dropped.
    pub message: String,
}

impl Partial {
    /// Of what `normalize` found.
    pub fn of(report: &Report) -> Partial {
        // A reject may be a part of a span (a score in it): never more than were received.
        let rejected = report.rejected.iter().sum::<u64>().min(report.received);
        let mut message = String::new();
        for (reason, count) in Reject::ALL.into_iter().zip(report.rejected) {
            if count > 0 {
                let separator = if message.is_empty() { "" } else { "; " };
                let (name, advice) = (reason.name(), reason.advice());
                let _ = write!(message, "{separator}{count} {name}: {advice}");
            }
        }
        if message.is_empty() && report.bad_values > 0 {
            let count = report.bad_values;
            message = format!(
                "nothing was dropped, but {count} attribute values are of a type that cannot be \
                 used; run `armspan explain` on a request to see which"
            );
        }
        Partial { rejected, message }
    }

    /// Both answers in one. Each side may reject the same spans, so that the sum is an upper
    /// bound of what one of the two does not have; never more than came.
    pub fn and_downstream(self, theirs: Partial, received: u64) -> Partial {
        if theirs == Partial::default() {
            return self;
        }
        let rejected = (self.rejected + theirs.rejected).min(received.max(theirs.rejected));
        let (count, said) = (theirs.rejected, theirs.message);
        let theirs = if count == 0 {
            format!("downstream: {said}")
        } else {
            format!("downstream rejected {count}: {said}")
        };
        let message = match self.message.as_str() {
            "" => theirs,
            own => format!("armspan: {own}; {theirs}"),
        };
        Partial { rejected, message }
    }

    /// Of data points, which are never used.
    pub fn unused_points(count: u64) -> Partial {
        let message = if count == 0 { String::new() } else { NOT_USED.into() };
        Partial { rejected: count, message }
    }

    /// As an `Export…ServiceResponse` in protobuf; the same shape for all signals.
    pub fn proto(&self) -> Vec<u8> {
        let (mut response, mut partial) = (Vec::new(), Vec::new());
        if *self == Partial::default() {
            return response;
        }
        if self.rejected > 0 {
            wire::put_varint(&mut partial, 1, self.rejected);
        }
        wire::put_bytes(&mut partial, 2, self.message.as_bytes());
        wire::put_bytes(&mut response, 1, &partial);
        response
    }

    /// The same in JSON; 64-bit integers are strings there.
    pub fn json(&self, signal: Signal) -> Vec<u8> {
        if *self == Partial::default() {
            return b"{}".to_vec();
        }
        let name = match signal {
            Signal::Traces => "rejectedSpans",
            Signal::Logs => "rejectedLogRecords",
            Signal::Metrics => "rejectedDataPoints",
        };
        let partial =
            serde_json::json!({name: self.rejected.to_string(), "errorMessage": self.message});
        serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
    }
}
