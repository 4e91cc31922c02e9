//! The facet sets of the last few spans, by the attributes that identify: a span that has the same
//! ones has the same set, without hashing them. Only saves work: the outcome is the same without it.

use super::facets::{Identity, Whose};
use super::gather::Gathered;
use super::slot::{BITS, CONTENT, FACETS, Slot, Slots, bits};
use super::value::Raw;
use crate::model::SetId;

/// Sets that are remembered: requests mix arms, services and steps of an agent.
const SETS: usize = 4;
/// Attributes of one that are remembered; calls that have more are hashed.
const VALUES: usize = 24;

/// Of these only the presence counts.
const MARKS: Slots = bits(&[Slot::LangfuseType, Slot::CompletionStart, Slot::LangfuseStatus]);

/// What a set depends on.
pub const IDENTIFIES: Slots = {
    let (mut all, mut at) = (Slot::ModelName.bit() | MARKS | bits(&CONTENT), 0);
    while at < FACETS.len() {
        all |= FACETS[at].0.bit();
        at += 1;
    }
    all & !Slot::Seed.bit()
};

/// The last sets; the oldest one is forgotten first.
#[derive(Default)]
pub struct Recent<'a> {
    sets: [Option<Known<'a>>; SETS],
    next: usize,
    last: usize,
}

struct Known<'a> {
    present: Slots,
    whose: Whose,
    failed: bool,
    emitter: &'a [u8],
    /// Slots and what they held.
    values: [(u8, Raw<'a>); VALUES],
    count: usize,
    set: SetId,
    /// Slots that may hold something else than when it was last the set.
    changed: Slots,
}

impl<'a> Recent<'a> {
    /// The set of an identity, if one of the last ones was the same.
    pub fn find(&mut self, identity: &Identity<'_, 'a>) -> Option<SetId> {
        let changed = identity.gathered.changed;
        self.sets.iter_mut().flatten().for_each(|known| known.changed |= changed);
        let found = (self.last..self.last + SETS)
            .map(|at| at % SETS)
            .find(|at| self.sets[*at].as_ref().is_some_and(|known| known.is_of(identity)))?;
        self.last = found;
        let known = self.sets[found].as_mut()?;
        known.changed = 0;
        Some(known.set)
    }

    /// Remembers one. Flattened lists are not remembered.
    pub fn note(&mut self, identity: &Identity<'_, 'a>, set: SetId) {
        let present = identity.gathered.present(IDENTIFIES);
        let mut left = present & !MARKS;
        let count = left.count_ones() as usize;
        if count > VALUES || !identity.gathered.indexed.is_empty() {
            return;
        }
        let mut values = [(0, Raw::Empty); VALUES];
        for value in &mut values[..count] {
            let slot = left.trailing_zeros() as u8;
            *value = (slot, identity.gathered.at(slot));
            left &= left - 1;
        }
        let Identity { whose, failed, emitter, .. } = *identity;
        let changed = 0;
        let known = Known { present, whose, failed, emitter, values, count, set, changed };
        self.sets[self.next] = Some(known);
        (self.last, self.next) = (self.next, (self.next + 1) % SETS);
    }
}

impl Known<'_> {
    fn is_of(&self, identity: &Identity<'_, '_>) -> bool {
        let gathered = identity.gathered;
        self.present == gathered.present(IDENTIFIES)
            && self.whose == identity.whose
            && self.failed == identity.failed
            && gathered.indexed.is_empty()
            && (std::ptr::eq(self.emitter, identity.emitter) || self.emitter == identity.emitter)
            && self.is_same_in(self.changed & self.present & !MARKS, gathered)
    }

    /// Whether these slots hold what they held.
    fn is_same_in(&self, slots: Slots, gathered: &Gathered<'_>) -> bool {
        let held = self.values[..self.count].iter();
        let mut looked_at = held.filter(|held| slots & BITS[usize::from(held.0)] != 0);
        looked_at.all(|held| held.1.is_same(gathered.at(held.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::{Family, Gathered, Part};
    use super::*;
    use crate::model::Operation;

    fn gathered(pairs: &[(Slot, Raw<'static>)]) -> Gathered<'static> {
        let mut gathered = Gathered::default();
        pairs.iter().for_each(|pair| gathered.put(pair.0, pair.1, 0));
        gathered
    }

    fn find(recent: &mut Recent<'static>, gathered: &Gathered<'static>) -> Option<SetId> {
        let whose = Whose::Call(Operation::Chat);
        recent.find(&Identity { gathered, whose, failed: false, emitter: b"e" })
    }

    fn note(recent: &mut Recent<'static>, gathered: &Gathered<'static>, set: u128) {
        let whose = Whose::Call(Operation::Chat);
        recent.note(&Identity { gathered, whose, failed: false, emitter: b"e" }, SetId(set));
    }

    #[test]
    fn only_what_is_the_same_in_all_that_identifies_is_found() {
        let mut recent = Recent::default();
        let base = [(Slot::Requested, Raw::Text("m")), (Slot::Temperature, Raw::Double(0.0))];
        let one = gathered(&base);
        assert_eq!(find(&mut recent, &one), None);
        note(&mut recent, &one, 7);
        assert_eq!(find(&mut recent, &one), Some(SetId(7)));
        for other in [
            (Slot::Requested, Raw::Text("n")),
            (Slot::Temperature, Raw::Double(-0.0)),
            (Slot::SystemInstructions, Raw::Text("Be terse.")),
            (Slot::LangfuseType, Raw::Text("generation")),
        ] {
            let mut differs = gathered(&base);
            differs.put(other.0, other.1, 0);
            assert_eq!(find(&mut recent, &differs), None, "{other:?}");
        }
        for same in [(Slot::Seed, Raw::Int(3)), (Slot::User, Raw::Text("u"))] {
            let mut with = gathered(&base);
            with.put(same.0, same.1, 0);
            assert_eq!(find(&mut recent, &with), Some(SetId(7)), "{same:?}");
        }
        let mut listed = gathered(&base);
        listed.push(Family::Tools, 0, Part::Schema, Raw::Text("{}"));
        assert_eq!(find(&mut recent, &listed), None);
        let (whose, failed) = (Whose::Call(Operation::Chat), true);
        for (whose, failed, emitter) in
            [(whose, true, &b"e"[..]), (whose, false, b"f"), (Whose::Content, !failed, b"e")]
        {
            assert_eq!(recent.find(&Identity { gathered: &one, whose, failed, emitter }), None);
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_too_large_ones_are_not_kept() {
        let mut recent = Recent::default();
        let of = |seed: &'static str| gathered(&[(Slot::PromptVersion, Raw::Text(seed))]);
        for (number, name) in ["1", "2", "3", "4", "5"].into_iter().enumerate() {
            note(&mut recent, &of(name), number as u128);
        }
        assert_eq!(find(&mut recent, &of("1")), None);
        assert_eq!(find(&mut recent, &of("2")), Some(SetId(1)));
        assert_eq!(find(&mut recent, &of("5")), Some(SetId(4)));
        let large: Vec<_> = FACETS
            .iter()
            .filter(|pair| pair.0 != Slot::Seed)
            .map(|pair| (pair.0, Raw::Text("1")))
            .collect();
        let large = gathered(&large);
        note(&mut recent, &large, 9);
        assert_eq!(find(&mut recent, &large), None);
    }
}
