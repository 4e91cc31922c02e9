//! From a trace to bytes.

use super::*;
use crate::engine::join::trace::{Candidate, Content, Node, NodeKind, Trace};
use crate::model::codec::{Room, flag};
use crate::model::observation::Grader;
use crate::model::varint::{self, zigzag};
use crate::model::{Assignment, Score, SpanId, Sym, Target};

/// Packs a trace.
pub fn pack(trace: &Trace, atoms: &mut Atoms, out: &mut Vec<u8>) {
    let mut pack = Pack { atoms, base: trace.newest, trace, last: None, told: None };
    pack.front(out);
    let mut room = Room::default();
    room.put(trace.newest.to_le_bytes());
    pack.time(&mut room, trace.resolved_at);
    let covariate = trace.covariate.map_or(0, |_| 1);
    room.varint((trace.spans.len() as u64) << 1 | covariate);
    for count in [trace.contents.len(), trace.assignments.len(), trace.scores.len()] {
        room.varint(count as u64);
    }
    room.move_to(out);
    // All ids first, so that a parent can be named by its place.
    trace.spans.iter().for_each(|node| out.extend_from_slice(&node.span.0.to_le_bytes()));
    for node in &trace.spans {
        pack.node(&mut room, node);
        room.move_to(out);
    }
    for content in &trace.contents {
        pack.content(&mut room, content);
        room.move_to(out);
    }
    for told in &trace.assignments {
        pack.assignment(&mut room, told);
        room.move_to(out);
    }
    for score in &trace.scores {
        pack.score(&mut room, score);
        room.move_to(out);
    }
    if let Some((end, span, value)) = trace.covariate {
        pack.time(&mut room, end);
        pack.span(&mut room, span);
        room.varint(zigzag(value));
    }
    room.move_to(out);
}

struct Pack<'a> {
    atoms: &'a mut Atoms,
    base: u64,
    trace: &'a Trace,
    /// The candidate before: those of a trace have much in common.
    last: Option<&'a Candidate>,
    /// The assignment before.
    told: Option<&'a Assignment>,
}

impl<'a> Pack<'a> {
    /// Response ids of candidates first: sealing looks for them and for nothing else.
    fn front(&self, out: &mut Vec<u8>) {
        let trace = self.trace;
        let all = || trace.spans.iter().filter_map(|node| trace.call_of(node)?.call.response);
        varint::put(out, all().count() as u64);
        all().for_each(|response| out.extend_from_slice(&response.0.to_le_bytes()));
    }

    #[inline]
    fn time(&self, room: &mut Room, value: u64) {
        room.varint(zigzag(value.wrapping_sub(self.base) as i64));
    }

    /// 0 for none, 1 and the value, or its number from 2 on.
    #[inline]
    fn atom(&mut self, room: &mut Room, value: u128) {
        if value == 0 {
            return room.put([0]);
        }
        match self.atoms.number(value) {
            Some(number) => room.varint(u64::from(number) + 2),
            None => {
                room.put([1]);
                room.put(value.to_le_bytes());
            }
        }
    }

    #[inline]
    fn sym(&mut self, room: &mut Room, value: Sym) {
        self.atom(room, u128::from(value.0));
    }

    /// 0 for none, 1 and the id, or its place in the trace from 2 on.
    #[inline]
    fn span(&self, room: &mut Room, value: SpanId) {
        if value == SpanId::NONE {
            return room.put([0]);
        }
        match self.trace.find(value) {
            Ok(at) => room.varint(at as u64 + 2),
            Err(_) => {
                room.put([1]);
                room.put(value.0.to_le_bytes());
            }
        }
    }

    #[inline]
    fn node(&mut self, room: &mut Room, node: &Node) {
        let trace = self.trace;
        match node.kind {
            NodeKind::Link => self.place(room, 0, node),
            NodeKind::Facets(place) => {
                self.place(room, 1, node);
                let facets = &trace.facets[place as usize];
                room.put([facets.role as u8, facets.finish.0]);
                self.atom(room, facets.set.0);
                let [a, b, c, d] = facets.units.hashes();
                let response = facets.response.map(|hash| hash.0);
                room.options([facets.seed.map(zigzag)], [a, b, c, d, response]);
            }
            NodeKind::Call(place) => self.candidate(room, node, &trace.calls[place as usize]),
        }
    }

    #[inline]
    fn place(&self, room: &mut Room, kind: u8, node: &Node) {
        room.put([kind]);
        self.span(room, node.parent);
        self.time(room, node.end);
    }

    #[inline]
    fn candidate(&mut self, room: &mut Room, node: &Node, candidate: &'a Candidate) {
        let call = &candidate.call;
        let same = self.last.map_or(0, |last| in_common(last, candidate));
        let named = flag(!call.error.is_none() || !call.input.is_none(), NAMED);
        // The response id itself is in the list at the front.
        self.place(room, 2 | same | named | flag(call.response.is_some(), ANSWERED), node);
        if same & SAME_RECEIVED == 0 {
            self.time(room, candidate.received);
        }
        if same & SAME_COUNTED == 0 {
            room.varint(candidate.counted_at.map_or(0, |at| u64::from(at) + 1));
            room.varint(u64::from(candidate.repeats));
        }
        room.varint(call.duration);
        if same & SAME_SET == 0 {
            self.atom(room, call.set.0);
        }
        room.put([
            call.operation as u8 | u8::from(call.streaming) << 4,
            call.finish.0 | u8::from(call.tokens.estimated) << 7,
        ]);
        if named != 0 {
            self.sym(room, call.error);
            self.sym(room, call.input);
        }
        room.options(call.numbers(), []);
        if same & SAME_UNITS == 0 {
            room.options([], call.units.hashes());
        }
        self.last = Some(candidate);
    }

    fn content(&mut self, room: &mut Room, content: &Content) {
        self.span(room, content.span);
        self.atom(room, content.set.0);
        room.put([content.finish]);
        let [a, b, c, d] = content.units.map(|unit| unit.map(|hash| hash.0));
        let response = content.response.map(|hash| hash.0);
        room.options([content.seed.map(zigzag)], [a, b, c, d, response]);
    }

    #[inline]
    fn assignment(&mut self, room: &mut Room, told: &'a Assignment) {
        let same = self.told.is_some_and(|before| same_words(before, told));
        let end = self.trace.find(told.span).map(|at| self.trace.spans[at].end);
        let at_end = end == Ok(told.time);
        room.put([told.source as u8 | flag(same, SAME_WORDS) | flag(at_end, AT_END)]);
        self.span(room, told.span);
        if !at_end {
            self.time(room, told.time);
        }
        if !same {
            for sym in [told.experiment, told.arm, told.service] {
                self.sym(room, sym);
            }
            let unit = told.unit.map(|hash| hash.0);
            let users = unit.is_some() && unit == self.trace.first_user().map(|hash| hash.0);
            room.put([u8::from(users)]);
            let ppm = told.assigned_ppm.map(u64::from);
            room.options([ppm], [unit.filter(|_| !users)]);
        }
        self.told = Some(told);
    }

    fn score(&mut self, room: &mut Room, score: &Score) {
        let (kind, hash) = match score.target {
            Target::Span(..) => (0, None),
            Target::Trace(_) => (1, None),
            Target::Response(hash) => (2, Some(hash.0)),
            Target::Session(hash) => (3, Some(hash.0)),
        };
        room.put([kind | u8::from(score.failed) << 4]);
        match (score.target, hash) {
            (Target::Span(_, span), _) => self.span(room, span),
            (_, Some(hash)) => room.put(hash.to_le_bytes()),
            _ => {}
        }
        let Grader { name, version, model } = score.grader;
        for sym in [score.name, score.label, name, version, model, score.annotator] {
            self.sym(room, sym);
        }
        room.put(score.id.to_le_bytes());
        self.time(room, score.time);
        room.options([score.value_micro.map(zigzag), score.picked_ppm.map(u64::from)], []);
    }
}

/// What a candidate has in common with the one before.
fn in_common(last: &Candidate, one: &Candidate) -> u8 {
    let counted = (last.counted_at, last.repeats) == (one.counted_at, one.repeats);
    flag(last.received == one.received, SAME_RECEIVED)
        | flag(counted, SAME_COUNTED)
        | flag(last.call.set == one.call.set, SAME_SET)
        | flag(last.call.units == one.call.units, SAME_UNITS)
}

/// Whether an assignment says the same as another one, of another span.
fn same_words(one: &Assignment, other: &Assignment) -> bool {
    (one.source, one.experiment, one.arm, one.service, one.unit, one.assigned_ppm)
        == (
            other.source,
            other.experiment,
            other.arm,
            other.service,
            other.unit,
            other.assigned_ppm,
        )
}
