//! One log record: a flag evaluation, a score, content that completes a call, or nothing to us.

use super::assign::Told;
use super::facets::{Identity, Whose};
use super::outcome;
use super::request::{ITEMS_MAX, Scratch};
use super::slot::Slot;
use super::span::LogRecord;
use super::table::Carrier;
use super::traces::{EVALUATION_RESULT, FLAG_EVALUATION, OPERATION_DETAILS, flag_outcome};
use super::value::{Raw, key_value};
use super::walk::{Walk, time_or, understood};
use crate::model::{
    Facets, Nanos, Observation, Place, Reject, Role, Source, SpanId, Target, TraceId, Units,
};

/// Where a record stands; both ids may be missing.
type At = (Option<TraceId>, Option<SpanId>);

/// One log record of a request.
pub fn visit<'a>(walk: &mut Walk<'_, '_>, scratch: &mut Scratch<'a>, body: &'a [u8]) {
    walk.report.received += 1;
    let seen = if walk.report.received > ITEMS_MAX {
        Err(Reject::TooManySpans)
    } else {
        one(walk, scratch, body)
    };
    walk.report.note_bad(scratch.item.bad);
    scratch.item.bad = 0;
    if let Err(reason) = seen {
        walk.report.reject(reason);
        walk.tell(|_| understood("ignored", reason.advice(), "", (None, None), b""));
    }
}

fn one<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    body: &'a [u8],
) -> Result<(), Reject> {
    let (mut unread, mut named) = (Ok(()), &[][..]);
    scratch.item.begin(&scratch.resource);
    let item = &mut scratch.item;
    let record = LogRecord::read(body, |attribute| {
        unread = unread.and(walk.attribute(item, Carrier::Log, attribute));
        if let Some(name) = event_name(attribute) {
            named = name;
        }
    });
    let record = record.map_err(|_| Reject::MalformedSpan)?;
    let event = if record.event.is_empty() { named } else { record.event };
    if !concerns_us(event) && !scratch.item.has(Slot::Arm.bit() | Slot::MappedArm.bit()) {
        walk.report.ignored += 1;
        walk.tell(|_| understood("ignored", "no event we use", "", (None, None), event));
        return Ok(());
    }
    unread?;
    scratch.item.settle();
    let time = time_or(time_or(record.time, record.observed), walk.times.now);
    if record.time != 0 || record.observed != 0 {
        walk.times.check(time)?;
    }
    let at = (TraceId::from_wire(record.trace), SpanId::from_wire(record.span));
    match event {
        FLAG_EVALUATION => flag(walk, scratch, at, time),
        EVALUATION_RESULT => return evaluated(walk, scratch, at, time),
        b"gen_ai.system.message" | b"gen_ai.choice" | OPERATION_DETAILS => {
            content(walk, scratch, &record, event, at, time);
        }
        _ => {}
    }
    if let Some(trace) = at.0 {
        let told = Told { trace, span: at.1.unwrap_or_default(), time };
        let (item, resource) = (&scratch.item, &scratch.resource);
        walk.assign_told(item, told, |slot| item.ranked(slot) != resource.ranked(slot));
    }
    Ok(())
}

fn concerns_us(event: &[u8]) -> bool {
    matches!(
        event,
        FLAG_EVALUATION
            | EVALUATION_RESULT
            | OPERATION_DETAILS
            | b"gen_ai.system.message"
            | b"gen_ai.choice"
    )
}

/// Older emitters name the event in an attribute.
fn event_name(attribute: &[u8]) -> Option<&[u8]> {
    let (key, value) = key_value(attribute).ok()?;
    match Raw::read(value) {
        Ok(Raw::Text(name)) if key == b"event.name" => Some(name.as_bytes()),
        _ => None,
    }
}

fn flag(walk: &mut Walk<'_, '_>, scratch: &Scratch<'_>, at: At, time: Nanos) {
    let Some(trace) = at.0 else {
        walk.report.ignored += 1;
        walk.tell(|_| {
            understood(
                "ignored",
                "flag evaluation outside a trace",
                "feature_flags",
                at,
                FLAG_EVALUATION,
            )
        });
        return;
    };
    let told = Told { trace, span: at.1.unwrap_or_default(), time };
    let assigned = walk.assign_flag(&scratch.item, told, Source::FlagLog);
    let (kind, reason) = flag_outcome(assigned);
    walk.tell(|_| understood(kind, reason, "feature_flags", at, FLAG_EVALUATION));
}

fn evaluated(
    walk: &mut Walk<'_, '_>,
    scratch: &Scratch<'_>,
    at: At,
    time: Nanos,
) -> Result<(), Reject> {
    let item = &scratch.item;
    let response =
        item.get(Slot::ResponseId).and_then(Raw::text).map(|id| walk.normalizer.response(&id));
    let target = match at {
        (Some(trace), Some(span)) => Target::Span(trace, span),
        _ => match (response, at.0, walk.slot_unit(item, Slot::Session)) {
            (Some(response), ..) => Target::Response(response),
            (None, Some(trace), _) => Target::Trace(trace),
            (None, None, Some(session)) => Target::Session(session),
            (None, None, None) => return Err(Reject::UnknownTarget),
        },
    };
    walk.score_event(item, target, time)?;
    walk.tell(|_| understood("score", "log event", "genai", at, EVALUATION_RESULT));
    Ok(())
}

/// Content of the span that the record names: completes its call, never is one.
fn content<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    record: &LogRecord<'a>,
    event: &'a [u8],
    at: At,
    time: Nanos,
) {
    let Scratch { item, recent, .. } = scratch;
    match event {
        b"gen_ai.system.message" => {
            item.put(Slot::SystemMessage, record.body.get("content").unwrap_or_default(), 0);
        }
        b"gen_ai.choice" => {
            item.put(Slot::FinishReasons, record.body.get("finish_reason").unwrap_or_default(), 0);
        }
        _ => {}
    }
    let (Some(trace), Some(span)) = at else {
        walk.report.ignored += 1;
        walk.tell(|_| understood("ignored", "content outside a span", "genai", at, event));
        return;
    };
    let item = &*item;
    let failed = item.has(Slot::ErrorType.bit());
    let identity = Identity { gathered: item, whose: Whose::Content, failed, emitter: &[] };
    let facets = Facets {
        place: Place { trace, span, parent: SpanId::NONE, end: time },
        role: Role::Content,
        set: walk.set(&identity, recent),
        units: walk.units(item),
        seed: item.get(Slot::Seed).and_then(Raw::int),
        finish: outcome::finish(item),
        response: item
            .get(Slot::ResponseId)
            .and_then(Raw::text)
            .map(|id| walk.normalizer.response(&id)),
    };
    let says_nothing = facets.set.0 == 0
        && facets.units == Units::default()
        && facets.finish.is_empty()
        && facets.seed.is_none()
        && facets.response.is_none();
    if says_nothing {
        walk.report.ignored += 1;
        walk.tell(|_| understood("ignored", "content is switched off", "genai", at, event));
        return;
    }
    walk.emit(&Observation::Facets(facets));
    walk.report.facets += 1;
    walk.tell(|_| understood("content", "completes the span it names", "genai", at, event));
}
