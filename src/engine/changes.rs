//! What an entry changes, on its way from `join` to `tally`: facts that are added or taken back, in
//! order, and what is rare beside them. Facts are large to move, so each is written where it stays
//! and nowhere else.

use super::fact::{Exposure, Fact};
use crate::model::{Score, TraceId};
use std::cmp::Ordering;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    facts: Vec<Fact>,
    /// Of each fact: 1 when it is added, −1 when it is taken back.
    signs: Vec<i8>,
    /// Units that were seen to be given an arm; a repeat changes nothing.
    pub exposures: Vec<Exposure>,
    /// Scores by response id whose trace is in another partition.
    pub forwards: Vec<(TraceId, Score)>,
}

// === impl Changes ===

impl Changes {
    /// A single fact, to be added (`sign` 1) or taken back (`sign` −1).
    pub fn one(fact: Fact, sign: i64) -> Self {
        Changes { facts: vec![fact], signs: vec![sign as i8], ..Changes::default() }
    }

    /// Puts the facts that `give` adds in place of `old`: what is in both changes nothing. Both are
    /// then sorted, unless there is nothing to compare.
    pub fn replace(&mut self, old: &mut [Fact], give: impl FnOnce(&mut Vec<Fact>)) {
        let from = self.facts.len();
        give(&mut self.facts);
        if !old.is_empty() {
            let mut new = self.facts.split_off(from);
            old.sort_unstable();
            new.sort_unstable();
            self.difference(old, &new);
        }
        self.signs.resize(self.facts.len(), 1);
    }

    /// What turns `old` into `new`, both sorted.
    fn difference(&mut self, old: &[Fact], new: &[Fact]) {
        let (mut at, mut to) = (0, 0);
        while at < old.len() || to < new.len() {
            let order = match (old.get(at), new.get(to)) {
                (Some(old), Some(new)) => old.cmp(new),
                (Some(_), None) => Ordering::Less,
                _ => Ordering::Greater,
            };
            match order {
                Ordering::Less => self.push(old[at], -1),
                Ordering::Greater => self.push(new[to], 1),
                Ordering::Equal => {}
            }
            at += usize::from(order.is_le());
            to += usize::from(order.is_ge());
        }
    }

    fn push(&mut self, fact: Fact, sign: i8) {
        self.facts.push(fact);
        self.signs.push(sign);
    }

    /// A fact by its place, and its sign.
    #[inline]
    pub fn get(&self, place: usize) -> Option<(&Fact, i64)> {
        Some((self.facts.get(place)?, i64::from(*self.signs.get(place)?)))
    }

    /// All facts with their signs, in order.
    pub fn facts(&self) -> impl Iterator<Item = (&Fact, i64)> {
        self.facts.iter().zip(self.signs.iter().copied().map(i64::from))
    }

    /// Forgets everything, and the room that it takes beyond so many facts.
    pub fn clear(&mut self, kept: usize) {
        self.facts.clear();
        self.signs.clear();
        self.exposures.clear();
        self.forwards.clear();
        self.facts.shrink_to(kept);
        self.signs.shrink_to(kept);
        self.exposures.shrink_to(kept);
        self.forwards.shrink_to(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fact::{Draw, FactBody, RunKey};
    use crate::model::{SpanId, Sym, UnitHash, UnitKind};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fact(number: u64) -> Fact {
        Fact {
            run: RunKey::default(),
            unit: UnitHash(number),
            kind: UnitKind::User,
            trace: TraceId(7),
            span: SpanId(number),
            end: 9,
            draw: Draw::default(),
            covariate: None,
            body: FactBody::Coverage {
                metric: Sym::NONE,
                scored: false,
                picked_micro: 0,
                delay_us: None,
                weight_micro: 0,
            },
        }
    }

    proptest! {
        #[test]
        fn adding_and_taking_back_turns_the_old_into_the_new(
            traces in prop::collection::vec(
                (prop::collection::vec(0u64..9, 0..9), prop::collection::vec(0u64..9, 0..9)),
                1..5,
            ),
        ) {
            let mut changes = Changes::default();
            let mut sums = BTreeMap::<u64, i64>::new();
            for (old, new) in &traces {
                let mut old: Vec<Fact> = old.iter().map(|number| fact(*number)).collect();
                old.iter().for_each(|fact| *sums.entry(fact.unit.0).or_default() -= 1);
                new.iter().for_each(|number| *sums.entry(*number).or_default() += 1);
                changes.replace(&mut old, |facts| facts.extend(new.iter().map(|n| fact(*n))));
            }
            let moved = changes.facts().count();
            for (fact, sign) in changes.facts() {
                *sums.entry(fact.unit.0).or_default() -= sign;
            }
            prop_assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
            prop_assert_eq!(changes.get(moved), None);
            let same = traces[0].0.clone();
            let mut old: Vec<Fact> = same.iter().map(|number| fact(*number)).collect();
            changes.clear(4);
            changes.replace(&mut old, |facts| facts.extend(same.iter().rev().map(|n| fact(*n))));
            prop_assert!(same.is_empty() || changes.facts().next().is_none());
        }
    }
}
