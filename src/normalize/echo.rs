//! What the attributes before said, because the next span of a request says nearly the same in the
//! same order: one that came byte by byte is not read again, and of one that came with another
//! value only the value is. Only saves work: the outcome is the same without it.

use super::slot::Slot;
use super::value::{Raw, Unread};
use super::wire::only_bytes;

/// Keys that are remembered; after so many the first ones are forgotten.
const PLACES: usize = 96;
/// The place before the first attribute.
const START: usize = PLACES;
/// Where a key's place is looked for by its hash; keys that share one are read the long way when
/// they come in another order than before.
const HASHES: usize = 256;

/// What came before.
pub struct Echo<'a> {
    places: [Said<'a>; PLACES + 1],
    by_hash: [u8; HASHES],
    used: usize,
    at: usize,
}

/// One attribute that was read.
#[derive(Clone, Copy)]
struct Said<'a> {
    /// All of it; empty when there is none.
    body: &'a [u8],
    /// Bytes of it before its value: they tell the key.
    head: u8,
    /// Its value was another one the last time.
    moves: bool,
    /// The place of the one that came after it.
    next: u8,
    means: Means,
    raw: Raw<'a>,
}

/// What a key means, wherever it stands. Keys that mean more are not remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// Nothing.
    Nothing,
    /// One slot, at a rank.
    Slot(Slot, u16),
}

/// How an attribute was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// Its meaning and value are [`Echo::said`].
    Here,
    /// Its key is not known from before.
    Unknown,
    /// Its value cannot be read.
    Unread(Unread),
}

const NONE: Said<'static> = Said {
    body: &[],
    head: 0,
    moves: false,
    next: START as u8,
    means: Means::Nothing,
    raw: Raw::Empty,
};

impl Default for Echo<'_> {
    fn default() -> Self {
        let places = [NONE; PLACES + 1];
        Echo { places, by_hash: [START as u8; HASHES], used: 0, at: START }
    }
}

impl<'a> Echo<'a> {
    /// At the start of a span.
    #[inline]
    pub fn begin(&mut self) {
        self.at = START;
    }

    /// Reads an attribute, when one with its key came after the same one before.
    #[inline(always)]
    pub fn read(&mut self, body: &'a [u8]) -> Read {
        self.read_at(usize::from(self.places[self.at].next), body)
    }

    /// The same in whatever order they came. `hash` is that of its key.
    pub fn find(&mut self, body: &'a [u8], hash: u64) -> Read {
        let (before, place) = (self.at, self.by_hash[hash as usize % HASHES]);
        let read = self.read_at(usize::from(place), body);
        if read != Read::Unknown {
            self.places[before].next = place;
        }
        read
    }

    /// Reads an attribute of the span at hand once more: the bytes before its value, and whether
    /// that was another one the last time.
    pub fn again(&mut self, body: &'a [u8]) -> Option<(u8, bool)> {
        if self.read(body) != Read::Here {
            return None;
        }
        let said = &self.places[self.at];
        Some((said.head, said.moves))
    }

    /// Place of the attribute that was read last.
    pub fn place(&self) -> usize {
        self.at
    }

    /// Goes on after the attribute of a place.
    pub fn resume(&mut self, place: usize) {
        self.at = place.min(START);
    }

    /// Meaning and value of the attribute that was read last.
    #[inline(always)]
    pub fn said(&self) -> (Means, Raw<'a>) {
        let said = &self.places[self.at];
        (said.means, said.raw)
    }

    #[inline(always)]
    fn read_at(&mut self, place: usize, body: &'a [u8]) -> Read {
        let Some(said) = self.places.get(place) else { return Read::Unknown };
        if !said.moves && said.body == body && place != START {
            self.at = place;
            return Read::Here;
        }
        self.read_value(place, body)
    }

    /// The value of an attribute whose key may be that of a place.
    fn read_value(&mut self, place: usize, body: &'a [u8]) -> Read {
        let said = &mut self.places[place];
        let head = said.body.get(..usize::from(said.head)).filter(|head| !head.is_empty());
        let rest = head.and_then(|head| body.strip_prefix(head));
        let Some(value) = rest.and_then(|rest| only_bytes(rest, 0x12)) else {
            return Read::Unknown;
        };
        self.at = place;
        // A user is the same in all spans of a trace.
        if said.means != Means::Nothing && said.body != body {
            match Raw::read(value) {
                Ok(raw) => (said.body, said.raw, said.moves) = (body, raw, true),
                Err(unread) => return Read::Unread(unread),
            }
        }
        Read::Here
    }

    /// Remembers an attribute that was read another way. `hash` is that of its key.
    pub fn note(&mut self, body: &'a [u8], key: &[u8], hash: u64, means: Means, raw: Raw<'a>) {
        let head = key.len() + 2;
        let plain = key.len() < 0x80
            && body.starts_with(&[0x0a, key.len() as u8])
            && body.get(head..).and_then(|value| only_bytes(value, 0x12)).is_some();
        if !plain {
            return;
        }
        let place = self.used % PLACES;
        self.used += 1;
        self.by_hash[hash as usize % HASHES] = place as u8;
        let next = START as u8;
        self.places[place] = Said { body, head: head as u8, moves: false, next, means, raw };
        self.places[self.at].next = place as u8;
        self.at = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Means = Means::Slot(Slot::User, 1);

    impl<'a> Echo<'a> {
        fn hears(&mut self, body: &'a [u8]) -> Result<(Means, Raw<'a>), Read> {
            match self.read(body) {
                Read::Here => Ok(self.said()),
                other => Err(other),
            }
        }

        fn finds(&mut self, body: &'a [u8], hash: u64) -> Result<(Means, Raw<'a>), Read> {
            match self.find(body, hash) {
                Read::Here => Ok(self.said()),
                other => Err(other),
            }
        }
    }

    /// An attribute with a text.
    fn attribute(key: &str, value: &[u8]) -> &'static [u8] {
        let any = [&[0x0a, value.len() as u8], value].concat();
        let parts = [&[0x0a, key.len() as u8], key.as_bytes(), &[0x12, any.len() as u8], &any];
        parts.concat().leak()
    }

    #[test]
    fn a_value_is_read_anew_when_it_differs_and_a_key_is_never_taken_for_another() {
        let mut echo = Echo::default();
        let (one, two) = (attribute("a.user", b"x"), attribute("a.user", b"y"));
        let (other, bad) = (attribute("b.user", b"x"), attribute("a.user", b"\xff"));
        assert_eq!(echo.hears(one), Err(Read::Unknown));
        echo.note(one, b"a.user", 5, USER, Raw::Text("x"));
        for _ in 0..2 {
            for (body, raw) in [(one, "x"), (two, "y"), (two, "y"), (one, "x")] {
                echo.begin();
                assert_eq!(echo.hears(body), Ok((USER, Raw::Text(raw))));
            }
            for body in [other, &two[..two.len() - 1], &[]] {
                echo.begin();
                assert_eq!(echo.hears(body), Err(Read::Unknown));
                assert_eq!(echo.finds(body, 5), Err(Read::Unknown));
            }
            echo.begin();
            assert_eq!(echo.hears(bad), Err(Read::Unread(Unread::Utf8)));
        }
    }

    #[test]
    fn keys_are_found_in_another_order_and_after_others_were_forgotten() {
        let mut echo = Echo::default();
        let bodies: Vec<_> = (0..150).map(|n| attribute(&format!("key{n:03}"), b"v")).collect();
        for _ in 0..2 {
            for (n, body) in bodies.iter().enumerate() {
                if echo.find(body, n as u64) == Read::Unknown {
                    echo.note(body, &body[2..8], n as u64, USER, Raw::Text("v"));
                }
            }
        }
        echo.begin();
        for n in [149, 140, 148, 140, 149] {
            assert_eq!(echo.finds(bodies[n], n as u64), Ok((USER, Raw::Text("v"))));
        }
        echo.begin();
        for n in [149, 140] {
            assert_eq!(echo.hears(bodies[n]), Ok((USER, Raw::Text("v"))), "{n}");
        }
        assert_eq!(echo.hears(bodies[141]), Err(Read::Unknown));
    }

    #[test]
    fn what_means_nothing_is_skipped_and_what_is_no_plain_attribute_not_remembered() {
        let mut echo = Echo::default();
        let (one, two) = (attribute("z", b"x"), attribute("z", b"\xff"));
        echo.note(one, b"z", 5, Means::Nothing, Raw::Empty);
        for body in [one, two] {
            echo.begin();
            assert_eq!(echo.hears(body), Ok((Means::Nothing, Raw::Empty)));
        }
        let mut echo = Echo::default();
        let turned: &[u8] = b"\x12\x03\x0a\x01x\x0a\x01z";
        echo.note(turned, b"z", 5, USER, Raw::Text("x"));
        echo.begin();
        assert_eq!(echo.hears(turned), Err(Read::Unknown));
    }
}
