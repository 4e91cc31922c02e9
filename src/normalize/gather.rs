//! The attributes of one span, log record or event, gathered into slots. Values stay where they
//! are in the request; the struct is reused from span to span and allocates only for indexed keys.

use super::dialects::{self, Target};
use super::echo::{Echo, Means, Read};
use super::fits::fits;
use super::slot::{self, FACETS, SLOTS, Slot, Slots, bits};
use super::table::{self, Carrier, Meaning, Table};
use super::value::{Raw, Unread, key_value};

/// Attributes walked of one span; what follows is not read, and counted.
pub const ATTRIBUTES_MAX: usize = 128;

/// Lists that emitters flatten into keys with an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "each is explained where its dialect reads it")]
pub enum Family {
    InputMessages,
    Prompts,
    Completions,
    Tools,
    Functions,
    Documents,
    Evaluations,
    TraceEvaluations,
    SessionEvaluations,
    Annotations,
    Experiments,
}

/// Which member of an indexed item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "named like the member")]
pub enum Part {
    Role,
    Content,
    Name,
    Description,
    Parameters,
    Schema,
    Id,
    Score,
    Label,
    Kind,
    Finish,
    Arm,
}

/// One member of one item of a flattened list.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Indexed<'a> {
    /// Which list.
    pub family: Family,
    /// Which item.
    pub index: u32,
    /// Which member.
    pub part: Part,
    /// For families keyed by name: the name.
    pub name: &'a str,
    /// Its value.
    pub raw: Raw<'a>,
}

/// What each slot holds, and the rank of its source.
pub type Found<'a> = [(Raw<'a>, u16); SLOTS];
/// Before anything was found.
pub const NOTHING_FOUND: Found<'static> = [(Raw::Empty, 0); SLOTS];

/// The gathered attributes.
pub struct Gathered<'a> {
    pub(super) present: Slots,
    pub(super) found: Found<'a>,
    /// Members of flattened lists, in the order of arrival.
    pub indexed: Vec<Indexed<'a>>,
    /// Slots that were offered a value of the wrong type.
    pub bad: Slots,
    /// Slots that may hold something else than when this was last set to none.
    pub changed: Slots,
    pub(super) walked: usize,
    pub(super) echo: Echo<'a>,
}

impl Default for Gathered<'_> {
    fn default() -> Self {
        Gathered {
            present: 0,
            found: NOTHING_FOUND,
            indexed: Vec::new(),
            bad: 0,
            changed: Slots::MAX,
            walked: 0,
            echo: Echo::default(),
        }
    }
}

impl<'a> Gathered<'a> {
    /// Starts a new carrier that sees what `below` (its resource) says, unless it says it itself.
    pub fn begin(&mut self, below: &Gathered<'a>) {
        self.present = below.present;
        let mut left = below.present;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            self.found[at] = below.found[at];
            left &= left - 1;
        }
        self.indexed.clear();
        self.bad = 0;
        self.changed = Slots::MAX;
        self.walked = 0;
        self.echo.begin();
    }

    /// Keeps what a resource may say for its spans: never that they are calls, nor content.
    pub fn keep_inheritable(&mut self) {
        let mut kept = bits(&[
            Slot::Unit,
            Slot::User,
            Slot::Session,
            Slot::SampleProbability,
            Slot::Experiment,
            Slot::Arm,
            Slot::MappedExperiment,
            Slot::MappedArm,
        ]);
        FACETS.iter().for_each(|pair| kept |= pair.0.bit());
        self.present &= kept;
        self.indexed.clear();
    }

    /// Takes in one attribute. `Ok(false)` when it was beyond [`ATTRIBUTES_MAX`].
    #[inline]
    pub fn attribute(
        &mut self,
        table: &Table,
        on: Carrier,
        body: &'a [u8],
    ) -> Result<bool, Unread> {
        if self.walked == ATTRIBUTES_MAX {
            return Ok(false);
        }
        self.walked += 1;
        match self.echo.read(body) {
            Read::Here => self.hear(),
            Read::Unknown => self.look_up(table, on, body)?,
            Read::Unread(unread) => return Err(unread),
        }
        Ok(true)
    }

    #[inline(always)]
    fn hear(&mut self) {
        if let (Means::Slot(slot, rank), raw) = self.echo.said() {
            self.put(slot, raw, rank);
        }
    }

    #[inline(never)]
    fn look_up(&mut self, table: &Table, on: Carrier, body: &'a [u8]) -> Result<(), Unread> {
        let (key, value) = key_value(body)?;
        let hash = table::hash(key);
        match self.echo.find(body, hash) {
            Read::Here => {
                self.hear();
                return Ok(());
            }
            Read::Unknown => {}
            Read::Unread(unread) => return Err(unread),
        }
        if let Some(meanings) = table.find(key, hash) {
            let raw = Raw::read(value)?;
            if let [Meaning { target: Target::Slot(slot), only: None, rank, .. }] = meanings {
                self.echo.note(body, key, hash, Means::Slot(*slot, *rank), raw);
            }
            return self.take(meanings, on, &[], raw);
        }
        match family(table, key) {
            Some((meanings, rest)) => self.take(meanings, on, rest, Raw::read(value)?),
            None => {
                self.echo.note(body, key, hash, Means::Nothing, Raw::Empty);
                Ok(())
            }
        }
    }

    fn take(
        &mut self,
        meanings: &[Meaning],
        on: Carrier,
        rest: &'a [u8],
        raw: Raw<'a>,
    ) -> Result<(), Unread> {
        for meaning in meanings.iter().filter(|meaning| meaning.only.is_none_or(|only| only == on))
        {
            match meaning.target {
                Target::Slot(slot) => self.put(slot, raw, meaning.rank),
                Target::Open(open) => {
                    let rest = str::from_utf8(rest).map_err(|_| Unread::Utf8)?;
                    open(self, rest, raw, meaning.rank);
                }
            }
        }
        Ok(())
    }

    /// Offers a value to a slot; of several, the lowest rank wins, then the last one.
    #[inline]
    pub fn put(&mut self, slot: Slot, raw: Raw<'a>, rank: u16) {
        if raw.is_blank() {
            return;
        }
        if !fits(slot, raw) {
            self.bad |= slot::BITS[slot as usize];
            return;
        }
        let (held, bit) = (&mut self.found[slot as usize], slot::BITS[slot as usize]);
        if self.present & bit == 0 || rank <= held.1 {
            *held = (raw, rank);
            self.present |= bit;
        }
    }

    /// Another good value from the source that a slot holds already.
    #[inline]
    pub fn replace(&mut self, slot: Slot, raw: Raw<'a>) {
        self.found[slot as usize].0 = raw;
        self.changed |= slot::BITS[slot as usize];
    }

    /// Adds a member of a flattened list; at most [`ATTRIBUTES_MAX`].
    pub fn push(&mut self, family: Family, index: u32, part: Part, raw: Raw<'a>) {
        self.push_named(family, index, part, "", raw);
    }

    /// As [`Gathered::push`], with a name.
    pub fn push_named(
        &mut self,
        family: Family,
        index: u32,
        part: Part,
        name: &'a str,
        raw: Raw<'a>,
    ) {
        if self.indexed.len() < ATTRIBUTES_MAX {
            self.indexed.push(Indexed { family, index, part, name, raw });
        }
    }

    /// Puts flattened lists in the order of their index, whatever the order of arrival.
    pub fn settle(&mut self) {
        let order = |item: &Indexed<'a>| (item.family, item.index);
        // Nearly always they are; only the sort allocates.
        if !self.indexed.is_sorted_by_key(order) {
            self.indexed.sort_by_key(order);
        }
    }

    /// What a slot holds.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<Raw<'a>> {
        self.has(slot.bit()).then(|| self.found[slot as usize].0)
    }

    /// What a slot holds, with the rank of its source.
    pub fn ranked(&self, slot: Slot) -> Option<(Raw<'a>, u16)> {
        self.has(slot.bit()).then(|| self.found[slot as usize])
    }

    /// Whether any of the slots holds something.
    #[inline]
    pub fn has(&self, slots: Slots) -> bool {
        self.present & slots != 0
    }

    /// Which of these slots hold something.
    pub fn present(&self, of: Slots) -> Slots {
        self.present & of
    }

    /// What a slot holds by its number; of one that holds nothing, anything.
    #[inline]
    pub fn at(&self, number: u8) -> Raw<'a> {
        self.found[usize::from(number)].0
    }

    /// Members of one list.
    pub fn list(&self, family: Family) -> impl Iterator<Item = &Indexed<'a>> {
        self.indexed.iter().filter(move |item| item.family == family)
    }
}

/// What a key with an index or a name in it means, and its rest.
fn family<'t, 'k>(table: &'t Table, key: &'k [u8]) -> Option<(&'t [Meaning], &'k [u8])> {
    let (prefix, rest) = key.split_at(dialects::prefix(key)?);
    Some((table.find(prefix, table::hash(prefix))?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_wins_whatever_the_order_of_arrival() {
        let mut gathered = Gathered::default();
        gathered.put(Slot::Requested, Raw::Text("late"), 7);
        gathered.put(Slot::Requested, Raw::Text("first"), 2);
        gathered.put(Slot::Requested, Raw::Text("later"), 9);
        assert_eq!(gathered.get(Slot::Requested), Some(Raw::Text("first")));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_noted_and_leaves_the_place_to_another() {
        let mut gathered = Gathered::default();
        gathered.put(Slot::Temperature, Raw::Text("warm"), 1);
        gathered.put(Slot::Temperature, Raw::Text("0.2"), 5);
        gathered.put(Slot::TokensInput, Raw::Int(-4), 1);
        gathered.put(Slot::Requested, Raw::Text(""), 1);
        assert_eq!(gathered.get(Slot::Temperature).and_then(Raw::number), Some(0.2));
        assert_eq!(gathered.bad, bits(&[Slot::Temperature, Slot::TokensInput]));
        assert_eq!(gathered.get(Slot::Requested), None);
    }
}
