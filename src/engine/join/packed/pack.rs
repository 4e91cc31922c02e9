//! From a trace to bytes.

use super::Atoms;
use crate::engine::join::trace::{Candidate, Content, Node, NodeKind, Trace};
use crate::model::observation::Grader;
use crate::model::varint::{self, zigzag};
use crate::model::{Assignment, Score, SpanId, Sym, Target, Units};

/// Packs a trace.
pub fn pack(trace: &Trace, atoms: &mut Atoms, out: &mut Vec<u8>) {
    let mut pack = Pack { out, atoms, base: trace.newest, trace };
    pack.responses();
    pack.word(trace.newest);
    pack.time(trace.resolved_at);
    let covariate = trace.covariate.map_or(0, |_| 1);
    pack.number((trace.spans.len() as u64) << 1 | covariate);
    for count in [trace.contents.len(), trace.assignments.len(), trace.scores.len()] {
        pack.number(count as u64);
    }
    // All ids first, so that a parent can be named by its place.
    trace.spans.iter().for_each(|node| pack.word(node.span.0));
    trace.spans.iter().for_each(|node| pack.node(node));
    trace.contents.iter().for_each(|content| pack.content(content));
    trace.assignments.iter().for_each(|told| pack.assignment(told));
    trace.scores.iter().for_each(|score| pack.score(score));
    if let Some((end, span, value)) = trace.covariate {
        pack.time(end);
        pack.span(span);
        pack.signed(value);
    }
}

struct Pack<'a> {
    out: &'a mut Vec<u8>,
    atoms: &'a mut Atoms,
    base: u64,
    trace: &'a Trace,
}

impl Pack<'_> {
    fn number(&mut self, value: u64) {
        varint::put(self.out, value);
    }

    /// Response ids of candidates first: sealing looks for them and for nothing else.
    fn responses(&mut self) {
        let trace = self.trace;
        let all = || trace.spans.iter().filter_map(|node| trace.call_of(node)?.call.response);
        self.number(all().count() as u64);
        all().for_each(|response| self.word(response.0));
    }

    fn signed(&mut self, value: i64) {
        self.number(zigzag(value));
    }

    fn word(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn time(&mut self, value: u64) {
        self.signed(value.wrapping_sub(self.base) as i64);
    }

    /// 0 for none, 1 and the value, or its number from 2 on.
    fn atom(&mut self, value: u128) {
        if value == 0 {
            return self.out.push(0);
        }
        match self.atoms.number(value) {
            Some(number) => self.number(u64::from(number) + 2),
            None => {
                self.out.push(1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn sym(&mut self, value: Sym) {
        self.atom(u128::from(value.0));
    }

    /// 0 for none, 1 and the id, or its place in the trace from 2 on.
    fn span(&mut self, value: SpanId) {
        if value == SpanId::NONE {
            return self.out.push(0);
        }
        match self.trace.find(value) {
            Ok(at) => self.number(at as u64 + 2),
            Err(_) => {
                self.out.push(1);
                self.word(value.0);
            }
        }
    }

    /// A mask of what is there, then that: hashes as words, the rest as numbers.
    fn options(&mut self, numbers: &[Option<u64>], hashes: &[Option<u64>]) {
        let all = || numbers.iter().chain(hashes);
        let mask = all().enumerate().filter(|v| v.1.is_some()).fold(0, |mask, v| mask | 1 << v.0);
        self.number(mask);
        numbers.iter().flatten().for_each(|value| self.number(*value));
        hashes.iter().flatten().for_each(|value| self.word(*value));
    }

    fn node(&mut self, node: &Node) {
        let kind = match node.kind {
            NodeKind::Link => 0,
            NodeKind::Facets(_) => 1,
            NodeKind::Call(_) => 2,
        };
        self.out.push(kind);
        self.span(node.parent);
        self.time(node.end);
        let trace = self.trace;
        match node.kind {
            NodeKind::Link => {}
            NodeKind::Facets(place) => {
                let facets = &trace.facets[place as usize];
                self.out.extend_from_slice(&[facets.role as u8, facets.finish.0]);
                self.atom(facets.set.0);
                let [a, b, c, d] = hashes(&facets.units);
                let response = facets.response.map(|hash| hash.0);
                self.options(&[facets.seed.map(zigzag)], &[a, b, c, d, response]);
            }
            NodeKind::Call(place) => self.candidate(&trace.calls[place as usize]),
        }
    }

    fn candidate(&mut self, candidate: &Candidate) {
        let call = &candidate.call;
        self.time(candidate.received);
        self.number(candidate.counted_at.map_or(0, |at| u64::from(at) + 1));
        self.number(u64::from(candidate.repeats));
        self.number(call.duration);
        self.atom(call.set.0);
        self.out.push(call.operation as u8 | u8::from(call.streaming) << 4);
        self.out.push(call.finish.0 | u8::from(call.tokens.estimated) << 7);
        self.sym(call.error);
        self.sym(call.input);
        let tokens = &call.tokens;
        let [a, b, c, d] = hashes(&call.units);
        self.options(
            &[
                tokens.input,
                tokens.output,
                tokens.cached,
                tokens.cache_written,
                tokens.reasoning,
                call.cost_nano,
                call.first_token_us,
                call.seed.map(zigzag),
                call.sampled_ppm.map(u64::from),
            ],
            &[a, b, c, d],
        );
        // The id itself is in the list at the front.
        self.out.push(u8::from(call.response.is_some()));
    }

    fn content(&mut self, content: &Content) {
        self.span(content.span);
        self.atom(content.set.0);
        self.out.push(content.finish);
        let [a, b, c, d] = content.units.map(|unit| unit.map(|hash| hash.0));
        let response = content.response.map(|hash| hash.0);
        self.options(&[content.seed.map(zigzag)], &[a, b, c, d, response]);
    }

    fn assignment(&mut self, told: &Assignment) {
        self.out.push(told.source as u8);
        self.span(told.span);
        [told.experiment, told.arm, told.service].into_iter().for_each(|sym| self.sym(sym));
        self.time(told.time);
        self.options(&[told.assigned_ppm.map(u64::from)], &[told.unit.map(|hash| hash.0)]);
    }

    fn score(&mut self, score: &Score) {
        let (kind, hash) = match score.target {
            Target::Span(..) => (0, None),
            Target::Trace(_) => (1, None),
            Target::Response(hash) => (2, Some(hash.0)),
            Target::Session(hash) => (3, Some(hash.0)),
        };
        self.out.push(kind | u8::from(score.failed) << 4);
        match (score.target, hash) {
            (Target::Span(_, span), _) => self.span(span),
            (_, Some(hash)) => self.word(hash),
            _ => {}
        }
        let Grader { name, version, model } = score.grader;
        let names = [score.name, score.label, name, version, model, score.annotator];
        names.into_iter().for_each(|sym| self.sym(sym));
        self.word(score.id);
        self.time(score.time);
        self.options(&[score.value_micro.map(zigzag), score.picked_ppm.map(u64::from)], &[]);
    }
}

fn hashes(units: &Units) -> [Option<u64>; 4] {
    [units.explicit, units.user, units.session, units.conversation].map(|u| u.map(|hash| hash.0))
}
