//! What a caller hands in and gets back: time limits, counts, and, for `explain`, how each span
//! and record was understood.

use super::slot::{self, Slots};
use crate::model::{Nanos, Reject, SpanId, TraceId};

/// Limits of time for one request. Nothing here reads a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Log time.
    pub now: Nanos,
    /// What ended earlier is [`Reject::TooOld`].
    pub earliest: Nanos,
    /// What ends later is [`Reject::FromTheFuture`].
    pub latest: Nanos,
}

impl Times {
    /// No limits, for `replay` and `explain`: any time that is one (up to the year 2262).
    pub fn any() -> Self {
        Times { now: 0, earliest: 1, latest: Nanos::MAX / 2 }
    }

    pub(super) fn check(&self, end: Nanos) -> Result<(), Reject> {
        if end < self.earliest {
            return Err(Reject::TooOld);
        }
        if end > self.latest { Err(Reject::FromTheFuture) } else { Ok(()) }
    }
}

/// What one request gave.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// Spans or log records in it.
    pub received: u64,
    /// Of these refused, by reason, in the order of [`Reject::ALL`].
    pub rejected: [u64; Reject::ALL.len()],
    /// Calls, before wrappers and repeats are told apart.
    pub calls: u64,
    /// Scores.
    pub scores: u64,
    /// Assignments.
    pub assignments: u64,
    /// Spans and log events that add something to calls.
    pub facets: u64,
    /// Spans that only say whose child they are.
    pub links: u64,
    /// Spans that repeat calls (agents, chains, SDK wrappers): refused as calls.
    pub wrappers: u64,
    /// Records that we have no use for.
    pub ignored: u64,
    /// Values of the wrong type or out of range: ignored.
    pub bad_values: u64,
    /// Slots that had them.
    pub(super) bad: Slots,
    /// Attributes beyond the limit of one span: not read.
    pub cut_attributes: u64,
    /// Facet sets that were left out because the request defined too much.
    pub cut_sets: u64,
    /// Flag evaluations without a variant: no arm can be known (a switch of the hook brings it).
    pub flags_without_variant: u64,
}

impl Report {
    /// How many were refused.
    pub fn refused(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Canonical names of the fields that had values of the wrong type.
    pub fn bad_fields(&self) -> Vec<String> {
        let bad = slot::ALL.iter().filter(|slot| self.bad & slot.bit() != 0);
        bad.map(|slot| format!("{slot:?}")).collect()
    }

    pub(super) fn reject(&mut self, reason: Reject) {
        let at = Reject::ALL.iter().position(|each| *each == reason);
        self.rejected[at.unwrap_or_default()] += 1;
    }

    #[inline]
    pub(super) fn note_bad(&mut self, bad: Slots) {
        if bad == 0 {
            return;
        }
        self.bad_values += u64::from(bad.count_ones());
        self.bad |= bad;
    }
}

/// A request that as a whole is no OTLP protobuf.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the request is no protobuf of the OTLP: {0} cannot be read; check content type and encoding"
)]
pub struct Malformed(pub String);

/// Watches how spans and records are understood.
pub trait Witness {
    /// Whether anything is to be told; asked once a request.
    fn wants(&self) -> bool {
        false
    }

    /// Told of each span and record.
    fn saw(&mut self, _understood: Understood) {}
}

/// The witness of the hot path: sees nothing, costs nothing.
#[derive(Clone, Copy, Default, Debug)]
pub struct Blind;

impl Witness for Blind {}

/// How one span or record was understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Understood {
    /// `call`, `wrapper`, `score`, `assignment`, `content` or `ignored`.
    pub kind: &'static str,
    /// Why.
    pub reason: String,
    /// Which dialect decided; empty when none did.
    pub dialect: &'static str,
    /// Its trace, if it has one.
    pub trace_id: Option<TraceId>,
    /// Its span, if it has one.
    pub span_id: Option<SpanId>,
    /// The span's name, or the record's event name.
    pub name: String,
    /// For calls: the response id, as sent.
    pub response_id: Option<String>,
    /// For calls: the finish reasons, folded.
    pub finish_reasons: Vec<&'static str>,
    /// For calls: the class of its error.
    pub error: Option<String>,
    /// The attribute that gave the unit, user or conversation.
    pub unit_from: Option<String>,
    /// The attribute that gave the session.
    pub session_from: Option<String>,
}
