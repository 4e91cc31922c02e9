//! Calls, facets, links and assignments as what differs from the observation before: spans of a
//! trace come one after the other, those of a service name the same few sets and arms, and an
//! assignment mostly stands on the span of its call. Hashes are words, as they have no short
//! ones. Writer and reader go by the same few values; a writer says when it begins, so what
//! several wrote may stand in one batch.

use super::super::id::{SetId, SpanId, Sym};
use super::super::observation::*;
use super::super::varint::zigzag;
use super::{Room, flag};

/// A writer begins: nothing came before. Of spans and of assignments.
pub(super) const FRESH: u8 = 128;

/// The same trace as before.
pub(super) const SAME_TRACE: u8 = 1;
/// Two bits: how the parent is written.
pub(super) const PARENT: u8 = 2;
/// The end is a distance from the one before.
pub(super) const END_NEAR: u8 = 8;
/// Three bits: how the set is written.
pub(super) const SET: u8 = 16;

/// The id follows.
pub(super) const WRITTEN: u8 = 0;
/// There is none.
pub(super) const NONE: u8 = 1;
/// Parents: that of the span before, or that span itself.
pub(super) const SIBLING: u8 = 2;
/// See [`SIBLING`].
pub(super) const CHILD: u8 = 3;
/// From here on, which of the recent ones.
pub(super) const RECENT: u8 = 2;

/// On the span before, at its end.
pub(super) const HERE: u8 = 1;
/// Of the same experiment as the assignment before.
pub(super) const SAME_EXPERIMENT: u8 = 2;
/// By the same service.
pub(super) const SAME_SERVICE: u8 = 4;
/// Three bits: how the unit is written; from [`RECENT`] on, which one of the span before.
pub(super) const UNIT: u8 = 8;
/// The chance of the arm follows.
pub(super) const CHANCE: u8 = 64;
/// Beside the source, three bits: how the arm is written.
pub(super) const ARM: u8 = 16;

/// Distances that are written short.
const NEAR_MAX: u64 = 1 << 48;

/// What came before in the batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    pub place: Option<Place>,
    pub units: Units,
    pub sets: Recent<SetId>,
    pub told: Option<(Sym, Sym)>,
    pub arms: Recent<Sym>,
}

/// The last few values of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent<T> {
    list: [T; 4],
    next: u8,
}

/// Writes observations one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer {
    near: Near,
    begun: bool,
}

// === impl Recent ===

impl<T: Copy + PartialEq + Default> Recent<T> {
    /// How a value is written, which is one of the recent ones from then on.
    fn code(&mut self, value: T) -> u8 {
        if value == T::default() {
            return NONE;
        }
        match self.list.iter().position(|known| *known == value) {
            Some(at) => RECENT + at as u8,
            None => {
                self.push(value);
                WRITTEN
            }
        }
    }

    /// What a code from [`RECENT`] on stands for.
    pub fn get(&self, code: u8) -> Option<T> {
        self.list.get(usize::from(code - RECENT)).copied()
    }

    /// Takes a value in that was written.
    pub fn push(&mut self, value: T) {
        self.list[usize::from(self.next)] = value;
        self.next = (self.next + 1) % self.list.len() as u8;
    }
}

// === impl Near ===

impl Near {
    /// The span before, and what an assignment may take from it.
    pub fn stand(&mut self, place: Place, units: Units) {
        self.place = Some(place);
        self.units = units;
    }
}

// === impl Writer ===

impl Writer {
    /// Appends an observation.
    pub fn put(&mut self, observation: &Observation, out: &mut Vec<u8>) {
        match observation {
            Observation::Call(call) => self.call(call, out),
            Observation::Facets(facets) => self.facets(facets, out),
            Observation::Link(link) => self.link(link, out),
            Observation::Assignment(told) => self.assignment(told, out),
            Observation::Score(score) => score.encode(out),
            Observation::Alias(alias) => alias.encode(out),
            Observation::Covariate(covariate) => covariate.encode(out),
            Observation::Define(define) => define.encode(out),
        }
    }

    /// Appends a call.
    pub fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        let mut room = Room::new(super::NEAR_CALL);
        self.place(&mut room, &call.place, call.set);
        self.near.stand(call.place, call.units);
        room.varint(call.duration);
        room.put([
            call.operation as u8 | u8::from(call.streaming) << 4,
            call.finish.0 | u8::from(call.tokens.estimated) << 7,
        ]);
        let [a, b, c, d] = call.units.hashes();
        let response = call.response.map(|hash| hash.0);
        let (error, input) = (super::nonzero(call.error.0), super::nonzero(call.input.0));
        room.mixed(call.numbers(), [error, a, b, c, d, response, input]);
        room.append_to(out);
    }

    fn facets(&mut self, facets: &Facets, out: &mut Vec<u8>) {
        let mut room = Room::new(super::NEAR_FACETS);
        self.place(&mut room, &facets.place, facets.set);
        self.near.stand(facets.place, facets.units);
        room.put([facets.role as u8, facets.finish.0]);
        let [a, b, c, d] = facets.units.hashes();
        let response = facets.response.map(|hash| hash.0);
        room.mixed([facets.seed.map(zigzag)], [a, b, c, d, response]);
        room.append_to(out);
    }

    fn link(&mut self, link: &Link, out: &mut Vec<u8>) {
        let mut room = Room::new(super::NEAR_LINK);
        self.place(&mut room, &link.place, SetId::default());
        self.near.stand(link.place, Units::default());
        room.append_to(out);
    }

    /// Appends an assignment.
    pub fn assignment(&mut self, told: &Assignment, out: &mut Vec<u8>) {
        let mut room = Room::new(super::NEAR_ASSIGNMENT);
        let here = self.near.place.is_some_and(|place| {
            (told.trace, told.span, told.time) == (Some(place.trace), place.span, place.end)
        });
        let (experiment, service) = match self.near.told {
            Some(known) => (known.0 == told.experiment, known.1 == told.service),
            None => (false, false),
        };
        let (unit, fresh) = (self.unit(told), self.begin());
        let arm = self.near.arms.code(told.arm);
        room.put([
            fresh
                | flag(here, HERE)
                | flag(experiment, SAME_EXPERIMENT)
                | flag(service, SAME_SERVICE)
                | (unit * UNIT)
                | flag(told.assigned_ppm.is_some(), CHANCE),
            told.source as u8 | (arm * ARM),
        ]);
        if !here {
            room.put(told.trace.unwrap_or_default().0.to_le_bytes());
            room.put(told.span.0.to_le_bytes());
            room.put(told.time.to_le_bytes());
        }
        let hashes = [
            (!experiment).then_some(told.experiment.0),
            (!service).then_some(told.service.0),
            (arm == WRITTEN).then_some(told.arm.0),
            told.unit.filter(|_| unit == WRITTEN).map(|unit| unit.0),
        ];
        hashes.into_iter().flatten().for_each(|hash| room.put(hash.to_le_bytes()));
        told.assigned_ppm.into_iter().for_each(|ppm| room.varint(ppm.into()));
        self.near.told = Some((told.experiment, told.service));
        room.append_to(out);
    }

    /// [`FRESH`] once.
    fn begin(&mut self) -> u8 {
        if std::mem::replace(&mut self.begun, true) { 0 } else { FRESH }
    }

    /// How the unit of an assignment is written.
    fn unit(&self, told: &Assignment) -> u8 {
        let Some(unit) = told.unit else { return NONE };
        let at = self.near.units.hashes().iter().position(|own| *own == Some(unit.0));
        at.map_or(WRITTEN, |at| RECENT + at as u8)
    }

    /// Where a span stands, and its set.
    #[inline]
    fn place(&mut self, room: &mut Room, place: &Place, set: SetId) {
        let before = self.near.place;
        let same = before.is_some_and(|before| before.trace == place.trace);
        let parent = parent_code(before, place.parent);
        let distance = before.map(|before| zigzag(place.end.wrapping_sub(before.end) as i64));
        let distance = distance.filter(|distance| *distance < NEAR_MAX);
        let code = self.near.sets.code(set);
        let end = if distance.is_some() { END_NEAR } else { 0 };
        let fresh = self.begin();
        room.put([fresh | flag(same, SAME_TRACE) | (parent * PARENT) | end | (code * SET)]);
        if !same {
            room.put(place.trace.0.to_le_bytes());
        }
        room.put(place.span.0.to_le_bytes());
        if parent == WRITTEN {
            room.put(place.parent.0.to_le_bytes());
        }
        match distance {
            Some(distance) => room.varint(distance),
            None => room.put(place.end.to_le_bytes()),
        }
        if code == WRITTEN {
            room.put(set.0.to_le_bytes());
        }
    }
}

fn parent_code(before: Option<Place>, parent: SpanId) -> u8 {
    match before {
        _ if parent == SpanId::NONE => NONE,
        Some(before) if before.parent == parent => SIBLING,
        Some(before) if before.span == parent => CHILD,
        _ => WRITTEN,
    }
}
