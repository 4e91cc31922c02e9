//! Reads what [`super::near`] wrote.

use super::super::id::{SetId, SpanId, Sym, TraceId, UnitHash};
use super::super::observation::*;
use super::super::varint::unzigzag;
use super::near::*;
use super::reader::{Reader, millionths};

type Read<T> = Result<T, &'static str>;

const BEFORE: &str = "what it refers to did not come before";

impl Reader<'_> {
    /// Into a call that is empty.
    #[inline]
    pub(super) fn near_call(&mut self, call: &mut Call) -> Read<()> {
        (call.place, call.set) = self.near_place()?;
        call.duration = self.varint()?;
        let [kind, finish] = *self.array()?;
        call.operation = Operation::from_u8(kind & 15).ok_or("operation")?;
        call.streaming = kind & 16 != 0;
        call.finish = Finish(finish & 127);
        call.tokens.estimated = finish & 128 != 0;
        self.options_of(call)?;
        self.near.stand(call.place, call.units);
        Ok(())
    }

    /// What may be absent of a call, in the order of [`Writer::call`]: numbers short, hashes as
    /// words.
    fn options_of(&mut self, call: &mut Call) -> Read<()> {
        let mut left = u16::from_le_bytes(*self.array()?);
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let value = if at < 9 { self.varint()? } else { self.u64()? };
            match at {
                0 => call.tokens.input = Some(value),
                1 => call.tokens.output = Some(value),
                2 => call.tokens.cached = Some(value),
                3 => call.tokens.cache_written = Some(value),
                4 => call.tokens.reasoning = Some(value),
                5 => call.cost_nano = Some(value),
                6 => call.first_token_us = Some(value),
                7 => call.seed = Some(unzigzag(value)),
                8 => call.sampled_ppm = Some(millionths(value)),
                9 => call.error = Sym(value),
                10 => call.units.explicit = Some(UnitHash(value)),
                11 => call.units.user = Some(UnitHash(value)),
                12 => call.units.session = Some(UnitHash(value)),
                13 => call.units.conversation = Some(UnitHash(value)),
                14 => call.response = Some(UnitHash(value)),
                _ => call.input = Sym(value),
            }
        }
        Ok(())
    }

    pub(super) fn near_facets(&mut self) -> Read<Facets> {
        let (place, set) = self.near_place()?;
        let [role, finish] = *self.array()?;
        let ([seed], [own @ .., response]) = self.mixed::<1, 5>()?;
        let units = units(own);
        self.near.stand(place, units);
        Ok(Facets {
            place,
            role: Role::from_u8(role).ok_or("role")?,
            set,
            units,
            seed: seed.map(unzigzag),
            finish: Finish(finish),
            response: response.map(UnitHash),
        })
    }

    pub(super) fn near_link(&mut self) -> Read<Link> {
        let (place, _) = self.near_place()?;
        self.near.stand(place, Units::default());
        Ok(Link { place })
    }

    #[inline]
    pub(super) fn near_assignment(&mut self) -> Read<Assignment> {
        let [flags, source] = *self.array()?;
        self.begin(flags);
        let (trace, span, time) = match (flags & HERE != 0, self.near.place) {
            (false, _) => (TraceId(self.u128()?), SpanId(self.u64()?), self.u64()?),
            (true, Some(place)) => (place.trace, place.span, place.end),
            (true, None) => return Err(BEFORE),
        };
        let before = self.near.told;
        let mut named = |same: bool, known: Option<Sym>| match same {
            true => known.ok_or(BEFORE),
            false => self.u64().map(Sym),
        };
        let experiment = named(flags & SAME_EXPERIMENT != 0, before.map(|told| told.0))?;
        let service = named(flags & SAME_SERVICE != 0, before.map(|told| told.1))?;
        let arm = self.arm((source / ARM) & 7)?;
        let unit = self.unit((flags / UNIT) & 7)?;
        let chance = if flags & CHANCE != 0 { Some(self.varint()?) } else { None };
        self.near.told = Some((experiment, service));
        Ok(Assignment {
            trace: (trace.0 != 0).then_some(trace),
            span,
            experiment,
            arm,
            unit,
            source: Source::from_u8(source & 15).ok_or("source")?,
            time,
            assigned_ppm: chance.map(millionths),
            service,
        })
    }

    /// Forgets what came before when another writer begins.
    fn begin(&mut self, flags: u8) {
        if flags & FRESH != 0 {
            self.near = Near::default();
        }
    }

    fn arm(&mut self, code: u8) -> Read<Sym> {
        Ok(match code {
            WRITTEN => {
                let arm = Sym(self.u64()?);
                self.near.arms.push(arm);
                arm
            }
            NONE => Sym::NONE,
            code => self.near.arms.get(code).ok_or(BEFORE)?,
        })
    }

    fn unit(&mut self, code: u8) -> Read<Option<UnitHash>> {
        Ok(match code {
            WRITTEN => Some(UnitHash(self.u64()?)),
            NONE => None,
            code => {
                let own = &self.near.units;
                let of_span = match code - RECENT {
                    0 => own.explicit,
                    1 => own.user,
                    2 => own.session,
                    _ => own.conversation,
                };
                Some(of_span.ok_or(BEFORE)?)
            }
        })
    }

    #[inline]
    fn near_place(&mut self) -> Read<(Place, SetId)> {
        let [flags] = *self.array()?;
        self.begin(flags);
        let before = self.near.place;
        let trace = match (flags & SAME_TRACE != 0, before) {
            (false, _) => TraceId(self.u128()?),
            (true, before) => before.ok_or(BEFORE)?.trace,
        };
        let span = SpanId(self.u64()?);
        let parent = match (flags / PARENT) & 3 {
            WRITTEN => SpanId(self.u64()?),
            NONE => SpanId::NONE,
            SIBLING => before.ok_or(BEFORE)?.parent,
            _ => before.ok_or(BEFORE)?.span,
        };
        let end = match flags & END_NEAR != 0 {
            false => self.u64()?,
            true => before.ok_or(BEFORE)?.end.wrapping_add(unzigzag(self.varint()?) as u64),
        };
        let set = match (flags / SET) & 7 {
            WRITTEN => {
                let set = SetId(self.u128()?);
                self.near.sets.push(set);
                set
            }
            NONE => SetId::default(),
            code => self.near.sets.get(code).ok_or(BEFORE)?,
        };
        Ok((Place { trace, span, parent, end }, set))
    }

    /// What `Room::mixed` wrote.
    #[inline]
    fn mixed<const N: usize, const H: usize>(&mut self) -> Read<Mixed<N, H>> {
        let mask = u16::from_le_bytes(*self.array()?);
        let is = |at: usize| mask >> at & 1 != 0;
        let (mut numbers, mut hashes) = ([None; N], [None; H]);
        for (at, number) in numbers.iter_mut().enumerate() {
            if is(at) {
                *number = Some(self.varint()?);
            }
        }
        for (at, hash) in hashes.iter_mut().enumerate() {
            if is(N + at) {
                *hash = Some(self.u64()?);
            }
        }
        Ok((numbers, hashes))
    }
}

/// Short numbers, and hashes.
type Mixed<const N: usize, const H: usize> = ([Option<u64>; N], [Option<u64>; H]);

fn units([explicit, user, session, conversation]: [Option<u64>; 4]) -> Units {
    let hash = |unit: Option<u64>| unit.map(UnitHash);
    Units {
        explicit: hash(explicit),
        user: hash(user),
        session: hash(session),
        conversation: hash(conversation),
    }
}
