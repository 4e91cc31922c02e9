//! From bytes to a trace; whatever does not fit is an error.

use super::*;
use crate::engine::join::trace::{Candidate, Content, Node, NodeKind, Trace};
use crate::model::observation::{Grader, Role, Source};
use crate::model::varint::{self, unzigzag};
use crate::model::{
    Assignment, Call, Facets, Finish, Operation, Place, Score, SetId, SpanId, Sym, Target, Tokens,
    TraceId, UnitHash, Units,
};

/// The trace of an id from its bytes, into one that is empty.
pub fn unpack(
    id: TraceId,
    bytes: &[u8],
    atoms: &Atoms,
    trace: &mut Trace,
) -> Result<(), Unreadable> {
    let mut unpack = Unpack { bytes, atoms, id, base: 0, trace, responses: &[] };
    unpack.responses = unpack.front()?;
    unpack.base = unpack.word()?;
    unpack.trace.newest = unpack.base;
    unpack.trace.resolved_at = unpack.time()?;
    let head = unpack.number()?;
    let counts = [unpack.number()?, unpack.number()?, unpack.number()?];
    if head >> 1 > bytes.len() as u64 || counts.iter().any(|count| *count > bytes.len() as u64) {
        return Err(Unreadable);
    }
    unpack.spans(head >> 1)?;
    for _ in 0..counts[0] {
        let content = unpack.content()?;
        unpack.trace.contents.push(content);
    }
    for _ in 0..counts[1] {
        let told = unpack.assignment()?;
        unpack.trace.assignments.push(told);
    }
    for _ in 0..counts[2] {
        let score = unpack.score()?;
        unpack.trace.scores.push(score);
    }
    if head & 1 == 1 {
        let covariate = (unpack.time()?, unpack.span()?, unpack.signed()?);
        unpack.trace.covariate = Some(covariate);
    }
    let done = unpack.bytes.is_empty() && unpack.responses.is_empty();
    done.then_some(()).ok_or(Unreadable)
}

/// Response ids of a packed trace's candidates; none of bytes that cannot be read.
pub fn responses(bytes: &[u8]) -> impl ExactSizeIterator<Item = UnitHash> {
    let mut rest = bytes;
    let count = varint::take(&mut rest).unwrap_or(0);
    let words = rest.chunks_exact(8).take(count as usize);
    words.map(|word| UnitHash(word.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))))
}

struct Unpack<'a> {
    bytes: &'a [u8],
    atoms: &'a Atoms,
    id: TraceId,
    base: u64,
    trace: &'a mut Trace,
    /// Response ids of candidates that are still to come.
    responses: &'a [u8],
}

type Got<T> = Result<T, Unreadable>;

impl<'a> Unpack<'a> {
    fn byte(&mut self) -> Got<u8> {
        let (byte, rest) = self.bytes.split_first().ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Got<u64> {
        varint::take(&mut self.bytes).ok_or(Unreadable)
    }

    fn signed(&mut self) -> Got<i64> {
        Ok(unzigzag(self.number()?))
    }

    fn word(&mut self) -> Got<u64> {
        let (word, rest) = self.bytes.split_first_chunk::<8>().ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*word))
    }

    fn time(&mut self) -> Got<u64> {
        Ok(self.base.wrapping_add(self.signed()? as u64))
    }

    fn atom(&mut self) -> Got<u128> {
        match self.number()? {
            0 => Ok(0),
            1 => {
                let low = u128::from(self.word()?);
                Ok(low | u128::from(self.word()?) << 64)
            }
            number => self.atoms.list.get(number as usize - 2).copied().ok_or(Unreadable),
        }
    }

    fn sym(&mut self) -> Got<Sym> {
        Ok(Sym(self.atom()? as u64))
    }

    fn set(&mut self) -> Got<SetId> {
        Ok(SetId(self.atom()?))
    }

    fn options<const N: usize, const H: usize>(&mut self) -> Got<([Option<u64>; N], Hashes<H>)> {
        let mask = self.number()?;
        let (mut numbers, mut hashes) = ([None; N], [None; H]);
        for (at, slot) in numbers.iter_mut().enumerate() {
            *slot = if mask >> at & 1 == 1 { Some(self.number()?) } else { None };
        }
        for (at, slot) in hashes.iter_mut().enumerate() {
            let there = mask >> (N + at) & 1 == 1;
            *slot = if there { Some(UnitHash(self.word()?)) } else { None };
        }
        Ok((numbers, hashes))
    }

    fn front(&mut self) -> Got<&'a [u8]> {
        let count = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        let length = count.checked_mul(8).ok_or(Unreadable)?;
        let (front, rest) = self.bytes.split_at_checked(length).ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(front)
    }

    /// The next response id of the front.
    fn response(&mut self) -> Got<UnitHash> {
        let (word, rest) = self.responses.split_first_chunk::<8>().ok_or(Unreadable)?;
        self.responses = rest;
        Ok(UnitHash(u64::from_le_bytes(*word)))
    }

    fn spans(&mut self, count: u64) -> Got<()> {
        for _ in 0..count {
            let span = SpanId(self.word()?);
            self.trace.spans.push(Node { span, parent: span, end: 0, kind: NodeKind::Link });
        }
        for at in 0..self.trace.spans.len() {
            let node = self.node(self.trace.spans[at].span)?;
            self.trace.spans[at] = node;
        }
        Ok(())
    }

    fn node(&mut self, span: SpanId) -> Got<Node> {
        let head = self.byte()?;
        let parent = self.span()?;
        let end = self.time()?;
        let place = Place { trace: self.id, span, parent, end };
        let kind = match head & 3 {
            0 => NodeKind::Link,
            1 => {
                let facets = self.facets(place)?;
                self.trace.facets.push(facets);
                NodeKind::Facets(self.trace.facets.len() as u32 - 1)
            }
            2 => {
                let candidate = self.candidate(head, place)?;
                self.trace.calls.push(candidate);
                NodeKind::Call(self.trace.calls.len() as u32 - 1)
            }
            _ => return Err(Unreadable),
        };
        Ok(Node { span, parent, end, kind })
    }

    fn span(&mut self) -> Got<SpanId> {
        match self.number()? {
            0 => Ok(SpanId::NONE),
            1 => Ok(SpanId(self.word()?)),
            place => {
                let node = self.trace.spans.get(place as usize - 2);
                node.map(|node| node.span).ok_or(Unreadable)
            }
        }
    }

    fn facets(&mut self, place: Place) -> Got<Facets> {
        let role = Role::from_u8(self.byte()?).ok_or(Unreadable)?;
        let finish = Finish(self.byte()?);
        let set = self.set()?;
        let ([seed], [explicit, user, session, conversation, response]) = self.options()?;
        let units = Units { explicit, user, session, conversation };
        Ok(Facets { place, role, set, units, seed: seed.map(unzigzag), finish, response })
    }

    fn candidate(&mut self, head: u8, place: Place) -> Got<Candidate> {
        let last = self.trace.calls.last().copied();
        let same = |flag: u8| match head & flag {
            0 => Ok(None),
            _ => last.map(Some).ok_or(Unreadable),
        };
        let received = match same(SAME_RECEIVED)? {
            Some(last) => last.received,
            None => self.time()?,
        };
        let (counted_at, repeats) = match same(SAME_COUNTED)? {
            Some(last) => (last.counted_at, last.repeats),
            None => (self.number()?.checked_sub(1).map(|at| at as u32), self.number()? as u32),
        };
        let duration = self.number()?;
        let set = match same(SAME_SET)? {
            Some(last) => last.call.set,
            None => self.set()?,
        };
        let (kind, finish) = (self.byte()?, self.byte()?);
        let (error, input) = match head & NAMED {
            0 => (Sym::NONE, Sym::NONE),
            _ => (self.sym()?, self.sym()?),
        };
        let (numbers, []) = self.options()?;
        let units = match same(SAME_UNITS)? {
            Some(last) => last.call.units,
            None => self.units()?,
        };
        let [input_tokens, output, cached, cache_written, reasoning, cost_nano, ..]: [_; 9] =
            numbers;
        let [.., first_token_us, seed, sampled] = numbers;
        let estimated = finish & 128 != 0;
        let response = match head & ANSWERED {
            0 => None,
            _ => Some(self.response()?),
        };
        let call = Call {
            place,
            duration,
            set,
            operation: Operation::from_u8(kind & 15).ok_or(Unreadable)?,
            error,
            finish: Finish(finish & 127),
            streaming: kind & 16 != 0,
            tokens: Tokens {
                input: input_tokens,
                output,
                cached,
                cache_written,
                reasoning,
                estimated,
            },
            cost_nano,
            first_token_us,
            seed: seed.map(unzigzag),
            units,
            response,
            sampled_ppm: sampled.map(|ppm| ppm as u32),
            input,
        };
        Ok(Candidate { call, received, counted_at, repeats })
    }

    fn units(&mut self) -> Got<Units> {
        let ([], [explicit, user, session, conversation]) = self.options()?;
        Ok(Units { explicit, user, session, conversation })
    }

    fn content(&mut self) -> Got<Content> {
        let (span, set, finish) = (self.span()?, self.set()?, self.byte()?);
        let ([seed], [a, b, c, d, response]) = self.options()?;
        let (seed, units) = (seed.map(unzigzag), [a, b, c, d]);
        Ok(Content { span, set, finish, seed, units, response })
    }

    fn assignment(&mut self) -> Got<Assignment> {
        let head = self.byte()?;
        let span = self.span()?;
        let time = match head & AT_END {
            0 => self.time()?,
            _ => self.trace.find(span).map(|at| self.trace.spans[at].end).or(Err(Unreadable))?,
        };
        if head & SAME_WORDS != 0 {
            let before = *self.trace.assignments.last().ok_or(Unreadable)?;
            return Ok(Assignment { span, time, ..before });
        }
        let source = Source::from_u8(head & 15).ok_or(Unreadable)?;
        let (experiment, arm, service) = (self.sym()?, self.sym()?, self.sym()?);
        let users = self.byte()? != 0;
        let ([ppm], [own]) = self.options()?;
        let unit = if users { self.trace.first_user() } else { own };
        let assigned_ppm = ppm.map(|ppm| ppm as u32);
        let trace = Some(self.id);
        Ok(Assignment { trace, span, experiment, arm, unit, source, time, assigned_ppm, service })
    }

    fn score(&mut self) -> Got<Score> {
        let kind = self.byte()?;
        let target = match kind & 15 {
            0 => Target::Span(self.id, self.span()?),
            1 => Target::Trace(self.id),
            2 => Target::Response(UnitHash(self.word()?)),
            3 => Target::Session(UnitHash(self.word()?)),
            _ => return Err(Unreadable),
        };
        let (name, label) = (self.sym()?, self.sym()?);
        let grader = Grader { name: self.sym()?, version: self.sym()?, model: self.sym()? };
        let annotator = self.sym()?;
        let (id, time) = (self.word()?, self.time()?);
        let ([value, picked], []) = self.options()?;
        Ok(Score {
            target,
            name,
            value_micro: value.map(unzigzag),
            label,
            failed: kind & 16 != 0,
            grader,
            annotator,
            id,
            time,
            picked_ppm: picked.map(|ppm| ppm as u32),
        })
    }
}

type Hashes<const H: usize> = [Option<UnitHash>; H];
