//! What the counts of the register need to know of a unit, from the places where it was seen.

use super::place::Place;
use super::register::EVENTS;
use crate::engine::fact::{ArmKey, Draw, RunKey};
use crate::model::Sym;

/// The runs in which something was counted of a unit, in order.
pub fn runs_of(places: &[Place], what: Sym) -> Vec<u32> {
    let counted = places.iter().filter(|place| place.what == what && !place.exposed);
    let mut runs: Vec<u32> = counted.map(|place| place.run).collect();
    runs.sort_unstable();
    runs
}

/// What the counts need to know of a unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Arm and draw of its first exposure.
    pub first: Option<(Sym, Draw)>,
    /// All its arms.
    pub arms: Vec<Sym>,
    /// Where it had which events.
    pub events: Vec<(ArmKey, Sym)>,
    /// Its covariate, and the arms in which that counts; none without a covariate.
    pub covariate: i64,
    /// Those arms.
    pub homes: Vec<ArmKey>,
}

/// Of all places of a unit.
pub fn summary(places: &[Place], runs: &[RunKey]) -> Summary {
    let calls = || places.iter().filter(|place| place.what.is_none());
    let arm_of = |place: &Place| runs[place.run as usize].arm;
    let first = calls().map(|place| (place.first, arm_of(place), place.draw)).min();
    let mut arms: Vec<Sym> = calls().map(arm_of).collect();
    arms.sort_unstable();
    arms.dedup();
    let events = places.iter().filter(|place| EVENTS.iter().any(|event| event.1 == place.what));
    let mut events: Vec<(ArmKey, Sym)> =
        events.map(|place| (runs[place.run as usize].arm_key(), place.what)).collect();
    events.sort_unstable();
    events.dedup();
    let told = calls().filter_map(|place| Some((place.first, place.covariate.known()?))).min();
    let mut homes: Vec<ArmKey> = match told {
        Some(_) => calls().filter(|p| !p.exposed).map(|p| runs[p.run as usize].arm_key()).collect(),
        None => Vec::new(),
    };
    homes.sort_unstable();
    homes.dedup();
    let covariate = told.map_or(0, |pair| pair.1);
    Summary { first: first.map(|row| (row.1, row.2)), arms, events, covariate, homes }
}
