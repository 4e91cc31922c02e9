//! Reads what `encode` wrote, one observation after the other.

use super::super::facet::FacetSet;
use super::super::id::{SetId, SpanId, Sym, TraceId, UnitHash};
use super::super::observation::*;
use super::super::varint::{self, unzigzag};
use super::near::Near;
use super::*;

/// Reads the observations of a batch one after the other; stops at the first damaged one.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) near: Near,
}

impl<'a> Reader<'a> {
    /// Over the bytes of a batch.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0, near: Near::default() }
    }

    /// Adds all observations to `out`; those before a damaged one are added.
    pub fn read_all(mut self, out: &mut Vec<Observation>) -> Result<(), Unreadable> {
        while self.at < self.bytes.len() {
            let at = self.at;
            self.next_into(out).map_err(|what| Unreadable { at, what })?;
        }
        Ok(())
    }

    /// Calls are most of it, and are read where they go: they are large to move.
    #[inline]
    fn next_into(&mut self, out: &mut Vec<Observation>) -> Result<(), &'static str> {
        if self.bytes.get(self.at) != Some(&NEAR_CALL) {
            out.push(self.one()?);
            return Ok(());
        }
        self.at += 1;
        out.push(Observation::Call(Call::default()));
        let Some(Observation::Call(call)) = out.last_mut() else { return Err("no room") };
        let read = self.near_call(call);
        if read.is_err() {
            out.pop();
        }
        read
    }

    #[inline(always)]
    fn one(&mut self) -> Result<Observation, &'static str> {
        Ok(match self.byte()? {
            NEAR_CALL => {
                let mut call = Call::default();
                self.near_call(&mut call)?;
                Observation::Call(call)
            }
            NEAR_ASSIGNMENT => Observation::Assignment(self.near_assignment()?),
            NEAR_FACETS => Observation::Facets(self.near_facets()?),
            NEAR_LINK => Observation::Link(self.near_link()?),
            CALL => Observation::Call(self.call()?),
            FACETS => Observation::Facets(self.facets()?),
            LINK => Observation::Link(Link { place: self.place()? }),
            SCORE => Observation::Score(self.score()?),
            ASSIGNMENT => Observation::Assignment(self.assignment()?),
            ALIAS => Observation::Alias(Alias {
                response: UnitHash(self.u64()?),
                trace: TraceId(self.u128()?),
                span: SpanId(self.u64()?),
            }),
            COVARIATE => Observation::Covariate(Covariate {
                place: self.place()?,
                value_micro: unzigzag(self.varint()?),
            }),
            DEFINE_NAME => {
                let sym = Sym(self.u64()?);
                let text = std::str::from_utf8(self.prefixed()?).map_err(|_| "name not UTF-8")?;
                Observation::Define(Define::Name(sym, text.into()))
            }
            DEFINE_SET => {
                let id = SetId(self.u128()?);
                let set: FacetSet =
                    postcard::from_bytes(self.prefixed()?).map_err(|_| "facet set")?;
                Observation::Define(Define::Set(id, set))
            }
            _ => return Err("unknown tag"),
        })
    }

    fn call(&mut self) -> Result<Call, &'static str> {
        let place = self.place()?;
        let duration = self.varint()?;
        let set = SetId(self.u128()?);
        let kind = self.byte()?;
        let finish = self.byte()?;
        let options = self.options::<16>()?;
        let unit = |at: usize| options[at].map(UnitHash);
        Ok(Call {
            place,
            duration,
            set,
            operation: Operation::from_u8(kind & 15).ok_or("operation")?,
            streaming: kind & 16 != 0,
            finish: Finish(finish & 127),
            error: Sym(options[0].unwrap_or(0)),
            tokens: Tokens {
                input: options[1],
                output: options[2],
                cached: options[3],
                cache_written: options[4],
                reasoning: options[5],
                estimated: finish & 128 != 0,
            },
            cost_nano: options[6],
            first_token_us: options[7],
            seed: options[8].map(unzigzag),
            units: Units {
                explicit: unit(9),
                user: unit(10),
                session: unit(11),
                conversation: unit(12),
            },
            response: unit(13),
            sampled_ppm: options[14].map(millionths),
            input: Sym(options[15].unwrap_or(0)),
        })
    }

    fn facets(&mut self) -> Result<Facets, &'static str> {
        let place = self.place()?;
        let role = Role::from_u8(self.byte()?).ok_or("role")?;
        let finish = Finish(self.byte()?);
        let options = self.options::<8>()?;
        let unit = |at: usize| options[at].map(UnitHash);
        let set = u128::from(options[0].unwrap_or(0)) << 64 | u128::from(options[1].unwrap_or(0));
        Ok(Facets {
            place,
            role,
            set: SetId(set),
            units: Units {
                explicit: unit(3),
                user: unit(4),
                session: unit(5),
                conversation: unit(6),
            },
            seed: options[2].map(unzigzag),
            finish,
            response: unit(7),
        })
    }

    fn score(&mut self) -> Result<Score, &'static str> {
        let kind = self.byte()?;
        let (first, second) = (self.u128()?, self.u64()?);
        let short = UnitHash(first as u64);
        let target = match kind & 15 {
            0 => Target::Span(TraceId(first), SpanId(second)),
            1 => Target::Trace(TraceId(first)),
            2 => Target::Response(short),
            3 => Target::Session(short),
            _ => return Err("score target"),
        };
        let (name, id, time) = (Sym(self.u64()?), self.u64()?, self.u64()?);
        let options = self.options::<8>()?;
        let sym = |at: usize| Sym(options[at].unwrap_or(0));
        Ok(Score {
            target,
            name,
            value_micro: options[0].map(unzigzag),
            label: sym(1),
            failed: kind & 16 != 0,
            grader: Grader { name: sym(2), version: sym(3), model: sym(4) },
            annotator: sym(5),
            id,
            time,
            picked_ppm: options[6].map(millionths),
        })
    }

    fn assignment(&mut self) -> Result<Assignment, &'static str> {
        let source = Source::from_u8(self.byte()?).ok_or("source")?;
        let trace = TraceId(self.u128()?);
        let (experiment, arm) = (Sym(self.u64()?), Sym(self.u64()?));
        let time = self.u64()?;
        let options = self.options::<8>()?;
        Ok(Assignment {
            trace: (trace.0 != 0).then_some(trace),
            span: SpanId(options[0].unwrap_or(0)),
            experiment,
            arm,
            unit: options[1].map(UnitHash),
            source,
            time,
            assigned_ppm: options[2].map(millionths),
            service: Sym(options[3].unwrap_or(0)),
        })
    }

    fn place(&mut self) -> Result<Place, &'static str> {
        let bytes: &[u8; 40] = self.array()?;
        let word = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        Ok(Place {
            trace: TraceId(u128::from(word(8)) << 64 | u128::from(word(0))),
            span: SpanId(word(16)),
            parent: SpanId(word(24)),
            end: word(32),
        })
    }

    fn options<const N: usize>(&mut self) -> Result<[Option<u64>; N], &'static str> {
        // Bits beyond the last value say nothing.
        let mut left = self.varint()? & ((1 << N) - 1);
        let mut values = [None; N];
        while left != 0 {
            values[left.trailing_zeros() as usize] = Some(self.varint()?);
            left &= left - 1;
        }
        Ok(values)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(count).ok_or("length")?;
        let part = self.bytes.get(self.at..end).ok_or("cut short")?;
        self.at = end;
        Ok(part)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], &'static str> {
        let part = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at += N;
        part.ok_or("cut short")
    }

    fn prefixed(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| "length")?)
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let [byte] = *self.array()?;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(super) fn u128(&mut self) -> Result<u128, &'static str> {
        Ok(u128::from_le_bytes(*self.array()?))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, &'static str> {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let value = varint::take_any(&mut rest).ok_or("number cut short or too long")?;
        self.at = self.bytes.len() - rest.len();
        Ok(value)
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Observation, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        let read = self.one().map_err(|what| Unreadable { at, what });
        if read.is_err() {
            self.at = self.bytes.len();
        }
        Some(read)
    }
}

pub(super) fn millionths(value: u64) -> u32 {
    value.min(1_000_000) as u32
}
