//! The span before as a script for the next one: most spans of a request have the same attributes
//! in the same order, and most of their values are the same. What never changed is compared as one
//! run of bytes, and of what did only the value is read, straight into the slot that it went to
//! before. A span that departs from the script is read the long way. Only saves work: the outcome
//! is the same without it.

use super::echo::Means;
use super::fits::fits;
use super::gather::{Found, Gathered, NOTHING_FOUND};
use super::slot::{Slot, Slots};
use super::span::{ATTRIBUTE, Span};
use super::table::{Carrier, Table};
use super::value::Raw;
use super::wire::{Cursor, only_bytes};

/// Attributes of a span that has a script.
const STEPS_MAX: usize = 64;
/// Changes in a row after which an attribute is held to change always.
const ALWAYS: u8 = 3;
/// Spans after which the next script is written, when the ones before were of no use.
const WAIT_MAX: u8 = 63;

/// What the next span will say.
pub struct Script<'a> {
    steps: [Step<'a>; STEPS_MAX],
    length: usize,
    /// The span that it was written from.
    base: &'a [u8],
    /// Slots that were offered a value of the wrong type.
    bad: Slots,
    /// Place in the echo of the last attribute.
    end: usize,
    /// Runs and stretches have to be made anew.
    torn: bool,
    /// Slots as the script alone fills them, when more came on top.
    kept: Found<'a>,
    kept_present: Slots,
    more: bool,
    /// Spans that followed it.
    followed: u32,
    /// Spans to let pass before the next script is written, and how many it were the last time.
    wait: u8,
    waited: u8,
}

/// One attribute.
#[derive(Clone, Copy)]
struct Step<'a> {
    /// As it stood the last time.
    body: &'a [u8],
    /// Its bytes and those of the ones after it that never changed; empty when it did.
    run: &'a [u8],
    /// How many attributes that is.
    run_count: u8,
    /// Of the first one after one that changes always: its bytes and those of all up to the next
    /// such one, as they stood the last time.
    stretch: &'a [u8],
    /// How many attributes that is; none when it is not the first one.
    stretch_count: u8,
    /// Where it begins and ends in the span that the script was written from.
    start: u32,
    end: u32,
    /// Bytes of the body before the value: they tell the key.
    head: u8,
    /// It changed.
    moves: bool,
    /// The last span in which it changed, and in how many in a row.
    turn: u32,
    streak: u8,
    effect: Effect,
}

/// What becomes of another value.
#[derive(Clone, Copy)]
enum Effect {
    /// That is for the long way to find out.
    Unknown,
    /// Nothing: its key says nothing.
    Nothing,
    /// Nothing, as long as it is a good one: its slot is taken by one of a lower rank.
    Loses(Slot),
    /// It is the one that its slot holds, as long as it is a good one.
    Holds(Slot),
}

const NONE: Step<'static> = Step {
    body: &[],
    run: &[],
    run_count: 0,
    stretch: &[],
    stretch_count: 0,
    start: 0,
    end: 0,
    head: 0,
    moves: true,
    turn: 0,
    streak: 0,
    effect: Effect::Unknown,
};

impl Default for Script<'_> {
    fn default() -> Self {
        Script {
            steps: [NONE; STEPS_MAX],
            length: 0,
            base: &[],
            bad: 0,
            end: 0,
            torn: false,
            kept: NOTHING_FOUND,
            kept_present: 0,
            more: false,
            followed: 0,
            wait: 0,
            waited: 0,
        }
    }
}

impl<'a> Script<'a> {
    /// Forgets it: what spans inherit is another.
    pub fn clear(&mut self) {
        self.length = 0;
        self.more = false;
    }

    /// Reads a span that follows the script, perhaps with more attributes at its end; `gathered`
    /// is as the span before left it. Otherwise the script is forgotten and nothing was gathered.
    #[inline]
    pub fn follow(
        &mut self,
        table: &Table,
        gathered: &mut Gathered<'a>,
        span: &mut Span<'a>,
    ) -> bool {
        if self.length == 0 {
            return false;
        }
        self.rewind(gathered);
        let mut at = 0;
        let is_read = span.read_runs(|cursor| {
            self.hear(&mut at, gathered, cursor) && self.hear_more(table, gathered, cursor)
        });
        if !is_read || at != self.length {
            self.give_up();
            return false;
        }
        if self.torn {
            self.join();
        }
        self.followed = self.followed.wrapping_add(1);
        true
    }

    fn rewind(&mut self, gathered: &mut Gathered<'a>) {
        gathered.bad = self.bad;
        gathered.walked = self.length;
        if self.more {
            self.more = false;
            gathered.indexed.clear();
            (gathered.found, gathered.present) = (self.kept, self.kept_present);
            gathered.changed = Slots::MAX;
        }
    }

    /// Whether attributes at the cursor are as the script has them, as far as there are any.
    #[inline]
    fn hear(
        &mut self,
        at: &mut usize,
        gathered: &mut Gathered<'a>,
        cursor: &mut Cursor<'a>,
    ) -> bool {
        let mut open = Open { first: 0, next: usize::MAX, rest: &[] };
        while let Some(step) = self.steps[..self.length].get_mut(*at) {
            if step.stretch_count > 0 {
                if !step.stretch.is_empty() && cursor.skip(step.stretch) {
                    *at += usize::from(step.stretch_count);
                    continue;
                }
                // Not to be trusted any more until all of it was read once.
                step.stretch = &[];
                let next = *at + usize::from(step.stretch_count);
                open = Open { first: *at, next, rest: cursor.rest() };
            }
            if !step.run.is_empty() && cursor.skip(step.run) {
                *at += usize::from(step.run_count);
            } else {
                let Some(body) = cursor.bytes_of(ATTRIBUTE) else { return true };
                match step.hear(gathered, body, self.followed) {
                    Some(torn) => self.torn |= torn,
                    None => return false,
                }
                *at += 1;
            }
            if *at == open.next {
                let length = open.rest.len() - cursor.left();
                self.steps[open.first].stretch = &open.rest[..length];
            }
        }
        true
    }

    /// Takes in what came beyond the script.
    #[inline]
    fn hear_more(
        &mut self,
        table: &Table,
        gathered: &mut Gathered<'a>,
        cursor: &mut Cursor<'a>,
    ) -> bool {
        !cursor.is_at(ATTRIBUTE) || self.read_more(table, gathered, cursor)
    }

    #[inline(never)]
    fn read_more(
        &mut self,
        table: &Table,
        gathered: &mut Gathered<'a>,
        cursor: &mut Cursor<'a>,
    ) -> bool {
        if !self.more {
            gathered.echo.resume(self.end);
        }
        self.keep(gathered);
        while let Some(body) = cursor.bytes_of(ATTRIBUTE) {
            if gathered.attribute(table, Carrier::Span, body) != Ok(true) {
                return false;
            }
        }
        !cursor.is_at(ATTRIBUTE)
    }

    /// To be called before anything is put on top of what the script fills.
    pub fn keep(&mut self, gathered: &mut Gathered<'a>) {
        gathered.changed = Slots::MAX;
        if self.length > 0 && !self.more {
            self.more = true;
            (self.kept, self.kept_present) = (gathered.found, gathered.present);
        }
    }

    #[cold]
    fn give_up(&mut self) {
        // Who never sends two alike in a row shall not pay for the attempt each time.
        self.waited = if self.followed == 0 { (2 * self.waited + 1).min(WAIT_MAX) } else { 0 };
        self.wait = self.waited;
        self.clear();
    }

    /// Writes it from a span that was gathered the long way, unless one of its attributes has
    /// more to it than key and value.
    pub fn write(&mut self, gathered: &mut Gathered<'a>, body: &'a [u8]) {
        self.clear();
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        if gathered.walked <= STEPS_MAX && self.try_write(gathered, body).is_some() {
            (self.length, self.followed) = (gathered.walked, 0);
            (self.base, self.bad, self.end) = (body, gathered.bad, gathered.echo.place());
            self.join();
        }
    }

    fn try_write(&mut self, gathered: &mut Gathered<'a>, body: &'a [u8]) -> Option<()> {
        let (mut cursor, mut count, mut held) = (Cursor::new(body), 0, Slots::default());
        gathered.echo.begin();
        loop {
            let start = body.len() - cursor.left();
            if let Some(attribute) = cursor.bytes_of(ATTRIBUTE) {
                let end = body.len() - cursor.left();
                let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
                let step = Step { start, end, ..step(gathered, attribute)? };
                if let Effect::Holds(slot) = step.effect {
                    // A key came twice with the same value: only the last one holds the slot.
                    if held & slot.bit() != 0 {
                        return None;
                    }
                    held |= slot.bit();
                }
                *self.steps.get_mut(count)? = step;
                count += 1;
                continue;
            }
            match cursor.field().ok()? {
                None => break,
                Some((9, _)) => return None,
                Some(_) => {}
            }
        }
        (count == gathered.walked && count > 0).then_some(())
    }

    /// Joins neighbours to runs and stretches.
    #[inline(never)]
    fn join(&mut self) {
        self.torn = false;
        let mut next = NONE;
        for step in self.steps[..self.length].iter_mut().rev() {
            let joined = !next.moves && next.start == step.end;
            let (end, count) = match step.moves {
                true => (step.start, 0),
                false if joined => (next.start + next.run.len() as u32, next.run_count + 1),
                false => (step.end, 1),
            };
            step.run = self.base.get(step.start as usize..end as usize).unwrap_or_default();
            step.run_count = count;
            next = *step;
        }
        let among = |one: &Step<'_>, two: &Step<'_>| !one.always() && !two.always();
        for stretch in self.steps[..self.length].chunk_by_mut(among) {
            let count = if stretch[0].always() { 0 } else { stretch.len() as u8 };
            stretch.iter_mut().for_each(|step| (step.stretch, step.stretch_count) = (&[], 0));
            stretch[0].stretch_count = count;
        }
    }
}

/// A stretch that is read attribute by attribute.
struct Open<'a> {
    /// Its first attribute, and the one after its last.
    first: usize,
    next: usize,
    /// All that came when it began.
    rest: &'a [u8],
}

/// An attribute that was just gathered.
fn step<'a>(gathered: &mut Gathered<'a>, body: &'a [u8]) -> Option<Step<'a>> {
    let (head, moves) = gathered.echo.again(body)?;
    let (means, raw) = gathered.echo.said();
    let effect = match means {
        Means::Nothing => Effect::Nothing,
        // Only this rank may be that of more than one key.
        Means::Slot(_, u16::MAX) => Effect::Unknown,
        Means::Slot(slot, rank) => match gathered.ranked(slot) {
            Some((held, of)) if of == rank && held.is_same(raw) => Effect::Holds(slot),
            // One of the wrong type was counted: another value may be none.
            Some((_, of)) if of < rank && (raw.is_blank() || fits(slot, raw)) => {
                Effect::Loses(slot)
            }
            _ => Effect::Unknown,
        },
    };
    Some(Step { body, head, moves, effect, ..NONE })
}

impl<'a> Step<'a> {
    fn always(&self) -> bool {
        self.streak >= ALWAYS
    }

    /// Takes in what stands in its place; none when it is another key or no plain value, else
    /// whether runs and stretches have to be made anew.
    #[inline(always)]
    fn hear(&mut self, gathered: &mut Gathered<'a>, body: &'a [u8], turn: u32) -> Option<bool> {
        let always = self.always();
        if !always && self.body == body {
            return Some(false);
        }
        let torn = if always {
            // Once in a while it is looked at whether it still does.
            self.streak = self.streak.wrapping_add(1);
            self.streak == 0
        } else {
            self.changed(turn)
        };
        self.change(gathered, body).then_some(torn)
    }

    #[inline(always)]
    fn changed(&mut self, turn: u32) -> bool {
        let first = !self.moves;
        self.moves = true;
        self.streak = if self.turn.wrapping_add(1) == turn { self.streak + 1 } else { 1 };
        self.turn = turn;
        first || self.always()
    }

    /// Takes in another value of the same key, if that is all there is to it.
    #[inline(always)]
    fn change(&mut self, gathered: &mut Gathered<'a>, body: &'a [u8]) -> bool {
        let head = usize::from(self.head);
        let (Some((before, _)), Some((key, value))) =
            (self.body.split_at_checked(head), body.split_at_checked(head))
        else {
            return false;
        };
        let Some(value) = only_bytes(value, 0x12).filter(|_| before == key) else {
            return false;
        };
        self.body = body;
        match self.effect {
            Effect::Unknown => false,
            Effect::Nothing => true,
            Effect::Loses(slot) => matches!(Raw::read(value), Ok(raw) if is_good(slot, raw)),
            Effect::Holds(slot) => match Raw::read(value) {
                Ok(raw) if is_good(slot, raw) => {
                    gathered.replace(slot, raw);
                    true
                }
                _ => false,
            },
        }
    }
}

/// Whether a slot takes a value.
#[inline(always)]
fn is_good(slot: Slot, raw: Raw<'_>) -> bool {
    !raw.is_blank() && fits(slot, raw)
}
