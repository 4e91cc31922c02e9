//! Where a unit was seen: there are a few places of each, so they are small.

use crate::engine::fact::{Draw, RunKey};
use crate::model::{Nanos, Sym, UnitHash};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A fact, as far as the register is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Where.
    pub run: RunKey,
    /// The number of that run, by which the register knows it.
    pub index: u32,
    /// [`Sym::NONE`] for a call, else an event or the measure of a score.
    pub what: Sym,
    /// Who.
    pub unit: UnitHash,
    /// When.
    pub at: Nanos,
    /// How it was drawn.
    pub draw: Draw,
    /// What was known of the unit before its exposure, in millionths.
    pub covariate: Option<i64>,
}

/// Nearly all units are seen in one run only.
pub type Places = SmallVec<[Place; 1]>;

/// Where a unit was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Its number.
    pub run: u32,
    /// [`Sym::NONE`] for calls, else an event or the measure of a score.
    pub what: Sym,
    /// Facts that say so; an exposure without a call counts as one that is never taken back.
    pub count: u32,
    /// When it was seen there first.
    pub first: Nanos,
    /// How it was drawn then.
    pub draw: Draw,
    /// What the first fact that said it told of the unit.
    pub covariate: Told,
    /// It was given an arm, without a call.
    pub exposed: bool,
}

/// A number that may be unknown, in eight bytes: there are places of every unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told(i64);

impl Told {
    /// The least number cannot be told from none.
    pub fn of(value: Option<i64>) -> Self {
        Told(value.unwrap_or(i64::MIN))
    }

    /// The number, if one is known.
    pub fn known(self) -> Option<i64> {
        (self.0 != i64::MIN).then_some(self.0)
    }
}

/// Adds a place. Two or three are usual, so there is room for no more than there are.
pub fn add(places: &mut Places, place: Place) {
    places.reserve_exact(1);
    places.push(place);
}

/// So many more sightings at a place, or one less; −1 when it was the last one.
pub fn recount(place: &mut Place, seen: &Sighting, sign: i64, count: u32) -> i64 {
    if sign > 0 {
        place.count += count;
        (place.first, place.draw) = (seen.at, seen.draw);
        place.covariate = Told::of(seen.covariate.or(place.covariate.known()));
        return 0;
    }
    place.count -= 1;
    -i64::from(place.count == 0)
}
