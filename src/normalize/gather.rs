//! The attributes of one span, log record or event, gathered into slots. Values stay where they
//! are in the request; the struct is reused from span to span and allocates only for indexed keys.

use super::dialects::{self, Target};
use super::echo::{Echo, Means, Read};
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

/// The gathered attributes.
pub struct Gathered<'a> {
    present: Slots,
    found: [(Raw<'a>, u16); SLOTS],
    /// Members of flattened lists, in the order of arrival.
    pub indexed: Vec<Indexed<'a>>,
    /// Slots that were offered a value of the wrong type.
    pub bad: Slots,
    walked: usize,
    echo: Echo<'a>,
}

/// Slots that only take a number.
const NUMBERS: Slots = bits(&[
    Slot::Temperature,
    Slot::TopP,
    Slot::TopK,
    Slot::FrequencyPenalty,
    Slot::PresencePenalty,
    Slot::Cost,
    Slot::FirstTokenSeconds,
    Slot::FirstTokenMillis,
    Slot::SampleProbability,
    Slot::AssignmentProbability,
    Slot::Covariate,
    Slot::ScoreProbability,
    Slot::ScoreValue,
]);
/// Slots that only take a count.
const COUNTS: Slots = bits(&[
    Slot::MaxTokens,
    Slot::ChoiceCount,
    Slot::TokensInput,
    Slot::TokensOutput,
    Slot::TokensCached,
    Slot::TokensCacheWritten,
    Slot::TokensReasoning,
]);
/// Slots that only take a whole number.
const WHOLE: Slots = bits(&[Slot::Seed]);
/// Slots that only take a text (or what has a canonical text).
const TEXTS: Slots = bits(&[
    Slot::Provider,
    Slot::Requested,
    Slot::Revision,
    Slot::ModelName,
    Slot::PromptName,
    Slot::PromptVersion,
    Slot::PromptHash,
    Slot::ToolsVersion,
    Slot::ToolsHash,
    Slot::CodeService,
    Slot::CodeVersion,
    Slot::CodeCommit,
    Slot::Environment,
    Slot::Agent,
    Slot::ResponseId,
    Slot::User,
    Slot::Session,
    Slot::Conversation,
    Slot::Unit,
    Slot::Experiment,
    Slot::Arm,
    Slot::FlagKey,
    Slot::FlagVariant,
    Slot::FlagContext,
    Slot::ErrorType,
]);

/// What a slot takes.
#[derive(Clone, Copy)]
enum Kind {
    Any,
    Text,
    Count,
    Number,
    Whole,
}

const KINDS: [Kind; SLOTS] = {
    let (mut kinds, mut at) = ([Kind::Any; SLOTS], 0);
    while at < SLOTS {
        let bit = 1 << at;
        kinds[at] = match () {
            () if bit & NUMBERS != 0 => Kind::Number,
            () if bit & COUNTS != 0 => Kind::Count,
            () if bit & WHOLE != 0 => Kind::Whole,
            () if bit & TEXTS != 0 => Kind::Text,
            () => Kind::Any,
        };
        at += 1;
    }
    kinds
};

impl Default for Gathered<'_> {
    fn default() -> Self {
        Gathered {
            present: 0,
            found: [(Raw::Empty, 0); SLOTS],
            indexed: Vec::new(),
            bad: 0,
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

#[inline]
fn fits(slot: Slot, raw: Raw<'_>) -> bool {
    match KINDS[slot as usize] {
        Kind::Any => true,
        Kind::Text => !matches!(raw, Raw::List(_) | Raw::Map(_) | Raw::Bytes(_)),
        Kind::Count => raw.count().is_some(),
        Kind::Number => raw.number().is_some(),
        Kind::Whole => raw.int().is_some(),
    }
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
