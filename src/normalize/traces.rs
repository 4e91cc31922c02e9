//! One span: read, decided upon, and told as observations.

use super::assign::Told;
use super::call::{self, Streamed, event_value};
use super::facets::{Identity, Whose};
use super::gather::Gathered;
use super::kind::{Kind, Verdict};
use super::outcome;
use super::report::Understood;
use super::request::{ITEMS_MAX, Scratch};
use super::slot::Slot;
use super::span::{Event, Span};
use super::table::Carrier;
use super::value::{NAME_BYTES_MAX, Raw, cut};
use super::walk::{Walk, time_or, understood, whose};
use crate::model::{
    Call, Covariate, Facets, Finish, Link, Observation, Operation, Place, Reject, Role, Source,
    SpanId, Sym, Target, TraceId, UnitHash,
};

/// Name of flag evaluations: of a span event, a log event, or a span.
pub const FLAG_EVALUATION: &[u8] = b"feature_flag.evaluation";
/// Name of score events.
pub const EVALUATION_RESULT: &[u8] = b"gen_ai.evaluation.result";
/// Name of the event that repeats a call with its content.
pub const OPERATION_DETAILS: &[u8] = b"gen_ai.client.inference.operation.details";

/// Events walked of one span; what follows is not read.
const EVENTS_MAX: u32 = 1_024;

/// One span of a request.
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
    let Scratch { item, script, .. } = scratch;
    let mut span = Span::unread(body);
    if !script.follow(&walk.normalizer.table, item, &mut span) {
        span = gathered(walk, scratch, body)?;
    }
    let place = place(&span)?;
    walk.times.check(span.end)?;
    if span.start == 0 {
        return Err(Reject::TooOld);
    }
    let streamed =
        if span.events > 0 { content_events(walk, scratch, &span)? } else { Streamed::default() };
    scratch.item.settle();
    let verdict = scratch.last.decide(&scratch.item);
    match verdict.kind {
        Kind::Call(operation) => {
            tell_call(walk, scratch, &span, place, operation, streamed, &verdict)
        }
        Kind::Other(role) => tell_other(walk, scratch, &span, place, role, &verdict),
    }
    tell_covariate(walk, &scratch.item, place);
    tell_scores(walk, scratch, place, verdict.kind);
    if span.events > 0 {
        told_events(walk, scratch, &span, place);
    }
    Ok(())
}

/// A span whose attributes are gathered one by one.
fn gathered<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    body: &'a [u8],
) -> Result<Span<'a>, Reject> {
    let Scratch { resource, item, script, .. } = scratch;
    item.begin(resource);
    let mut unread = None;
    let span = Span::read(body, |attribute| {
        if let Err(reason) = walk.attribute(item, Carrier::Span, attribute) {
            unread = Some(reason);
        }
    });
    let span = span.map_err(|_| Reject::MalformedSpan)?;
    if let Some(reason) = unread {
        return Err(reason);
    }
    script.write(item, body);
    Ok(span)
}

fn place(span: &Span<'_>) -> Result<Place, Reject> {
    Ok(Place {
        trace: TraceId::from_wire(span.trace).ok_or(Reject::EmptyTraceId)?,
        span: SpanId::from_wire(span.span).ok_or(Reject::EmptySpanId)?,
        parent: SpanId::from_wire(span.parent).unwrap_or(SpanId::NONE),
        end: span.end,
    })
}

fn each_event<'a>(span: &Span<'a>, mut visit: impl FnMut(Event<'a>)) {
    let mut left = EVENTS_MAX;
    span.each_event(|event| {
        if left > 0 {
            left -= 1;
            visit(event);
        }
    });
}

/// Events that belong to the span itself: pieces of a stream, and content that came as events.
fn content_events<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    span: &Span<'a>,
) -> Result<Streamed, Reject> {
    let mut streamed = Streamed::default();
    let mut unread = Ok(());
    let Scratch { item, script, .. } = scratch;
    each_event(span, |event| match event.name {
        b"gen_ai.system.message" => {
            if let Some(content) = event_value(&event, b"content") {
                script.keep(item);
                item.put(Slot::SystemMessage, content, u16::MAX);
            }
        }
        b"gen_ai.choice" => {
            if let Some(reason) = event_value(&event, b"finish_reason") {
                script.keep(item);
                item.put(Slot::FinishReasons, reason, u16::MAX);
            }
        }
        OPERATION_DETAILS => {
            script.keep(item);
            event.each_attribute(|attribute| {
                unread = unread.and(walk.attribute(item, Carrier::Span, attribute));
            });
        }
        name if Streamed::is_piece(name) => streamed.piece(event.time),
        _ => {}
    });
    unread.map(|()| streamed)
}

fn tell_call<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    span: &Span<'a>,
    place: Place,
    operation: Operation,
    streamed: Streamed,
    verdict: &Verdict<'a>,
) {
    let Scratch { item, recent, emitter, last, .. } = scratch;
    let (seen, emitter) = (&*item, *emitter);
    let mut class = std::mem::take(&mut walk.class);
    let failed = outcome::may_have_failed(span, seen) && outcome::error(span, seen, &mut class);
    let streaming = call::is_streaming(seen, streamed);
    let whose = Whose::Call(operation);
    let identity = Identity { gathered: seen, whose, failed, emitter };
    let call = Call {
        place,
        duration: span.end.saturating_sub(span.start),
        set: last.set(walk, &identity, recent),
        operation,
        error: if failed { walk.name(&class) } else { Sym::NONE },
        finish: last.finish(seen),
        streaming,
        tokens: call::tokens(seen, streaming, emitter),
        cost_nano: call::cost(seen, failed),
        first_token_us: if streaming { call::first_token(span, seen, streamed) } else { None },
        seed: seen.get(Slot::Seed).and_then(Raw::int),
        units: last.units(walk, seen),
        response: response(walk, seen, failed),
        sampled_ppm: call::sampled(span, seen),
        input: walk.slot_name(seen, Slot::InputHash),
    };
    walk.emit_call(&call);
    walk.report.calls += 1;
    let told = Told { trace: place.trace, span: place.span, time: place.end };
    walk.assign_told(seen, told, |_| true);
    last.flag(walk, seen, told);
    walk.tell(|walk| understood_call(walk, seen, span, &call, &class, verdict));
    walk.class = class;
    item.changed = 0;
}

/// What was known of the unit before its exposure; out of range it is no measurement.
fn tell_covariate(walk: &mut Walk<'_, '_>, item: &Gathered<'_>, place: Place) {
    let Some(value) = item.get(Slot::Covariate).and_then(Raw::number) else { return };
    let micro = (value * 1e6).round_ties_even();
    if micro.abs() <= (1u64 << 53) as f64 {
        let value_micro = micro as i64;
        walk.emit(&Observation::Covariate(Covariate { place, value_micro }));
    }
}

/// A failed call has no answer; what some emitters send as its id is their own.
fn response(walk: &Walk<'_, '_>, item: &Gathered<'_>, failed: bool) -> Option<UnitHash> {
    let id = call::response_id(item).filter(|_| !failed)?;
    Some(walk.normalizer.response(&id))
}

fn understood_call(
    walk: &Walk<'_, '_>,
    item: &Gathered<'_>,
    span: &Span<'_>,
    call: &Call,
    class: &str,
    verdict: &Verdict<'_>,
) -> Understood {
    let at = (Some(call.place.trace), Some(call.place.span));
    Understood {
        response_id: call::response_id(item).map(|id| cut(&id, NAME_BYTES_MAX).to_owned()),
        finish_reasons: call.finish.names().collect(),
        error: (!call.error.is_none()).then(|| class.to_owned()),
        unit_from: walk.source(item, &[Slot::Unit, Slot::User, Slot::Conversation]),
        session_from: walk.source(item, &[Slot::Session]),
        ..understood("call", &reason(verdict), verdict.dialect, at, span.name)
    }
}

/// The marker and its value: kinds and operation names, never content.
fn reason(verdict: &Verdict<'_>) -> String {
    let value = verdict.value.text().unwrap_or_default();
    match verdict.marker {
        "" => "no marker of a call".to_owned(),
        marker => format!("{marker} = {}", cut(&value, NAME_BYTES_MAX)),
    }
}

fn tell_other<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    span: &Span<'a>,
    place: Place,
    role: Role,
    verdict: &Verdict<'a>,
) {
    let Scratch { item, resource, recent, .. } = scratch;
    let (item, resource) = (&*item, &*resource);
    let identity = Identity { gathered: item, whose: whose(role), failed: false, emitter: &[] };
    let facets = Facets {
        place,
        role,
        set: walk.set(&identity, recent),
        units: walk.units(item),
        seed: item.get(Slot::Seed).and_then(Raw::int),
        finish: Finish::default(),
        response: item
            .get(Slot::ResponseId)
            .and_then(Raw::text)
            .map(|id| walk.normalizer.response(&id)),
    };
    let bare = Facets { place, ..Facets::default() };
    if facets == bare {
        walk.emit(&Observation::Link(Link { place }));
        walk.report.links += 1;
    } else {
        walk.emit(&Observation::Facets(facets));
        walk.report.facets += 1;
    }
    walk.report.wrappers += u64::from(role == Role::Wrapper);
    let told = Told { trace: place.trace, span: place.span, time: place.end };
    // What the resource says of an arm is told by the calls themselves: not once a span.
    let own = |slot| item.ranked(slot) != resource.ranked(slot);
    let mut assigned = walk.assign_told(item, told, own);
    let is_flag = span.name == FLAG_EVALUATION;
    let source = if is_flag { Source::FlagSpan } else { Source::FlagAttributes };
    assigned += walk.assign_flag(item, told, source);
    walk.tell(|_| {
        let at = (Some(place.trace), Some(place.span));
        let kind = match role {
            _ if assigned > 0 => "assignment",
            Role::Wrapper => "wrapper",
            _ if facets != bare => "content",
            _ => "ignored",
        };
        understood(kind, &reason(verdict), verdict.dialect, at, span.name)
    });
}

fn tell_scores(walk: &mut Walk<'_, '_>, scratch: &Scratch<'_>, place: Place, kind: Kind) {
    let item = &scratch.item;
    let is_evaluator = kind == Kind::Other(Role::Evaluator);
    // An evaluator judges its trace, not itself.
    let own = if is_evaluator {
        Target::Trace(place.trace)
    } else {
        Target::Span(place.trace, place.span)
    };
    if is_evaluator && !item.has(Slot::ScoreName.bit()) {
        walk.score_output(item, place.trace, place.end);
    }
    if item.has(Slot::ScoreName.bit()) {
        let judged = walk.score_event(item, own, place.end);
        walk.report.bad_values += u64::from(judged.is_err());
    }
    if !item.indexed.is_empty() {
        walk.score_lists(item, own, place.trace, place.end);
    }
}

/// Events that tell something of their own: flag evaluations and scores.
fn told_events<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    span: &Span<'a>,
    place: Place,
) {
    let Scratch { resource, event: gathered, .. } = scratch;
    each_event(span, |event| {
        let is_flag = event.name == FLAG_EVALUATION || event.name == b"feature_flag";
        if !is_flag && event.name != EVALUATION_RESULT {
            return;
        }
        gathered.begin(resource);
        event.each_attribute(|attribute| {
            if walk.attribute(gathered, Carrier::Span, attribute).is_err() {
                walk.report.bad_values += 1;
            }
        });
        walk.report.note_bad(gathered.bad);
        let time = time_or(event.time, place.end);
        let at = (Some(place.trace), Some(place.span));
        if is_flag {
            let told = Told { trace: place.trace, span: place.span, time };
            let assigned = walk.assign_flag(gathered, told, Source::FlagSpanEvent);
            let (kind, reason) = flag_outcome(assigned);
            walk.tell(|_| understood(kind, reason, "feature_flags", at, event.name));
            return;
        }
        let judged = walk.score_event(gathered, Target::Span(place.trace, place.span), time);
        walk.report.bad_values += u64::from(judged.is_err());
        let kind = if judged.is_ok() { "score" } else { "ignored" };
        walk.tell(|_| understood(kind, "span event", "genai", at, event.name));
    });
}

/// How a flag evaluation is explained.
pub fn flag_outcome(assigned: u64) -> (&'static str, &'static str) {
    match assigned {
        0 => ("ignored", "flag evaluation without a variant: no arm"),
        _ => ("assignment", "flag evaluation with a variant"),
    }
}
