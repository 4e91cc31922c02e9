//! Reads JSON from bytes, token by token. Values that nobody asked for are skipped without
//! being built.

use super::JsonError;
use std::borrow::Cow;

/// Containers in containers; OTLP needs 12 and 4 more for each level of an attribute value.
const DEPTH_MAX: usize = 160;

/// A position in a JSON text.
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// What a value is, judged by its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    Text,
    /// `-` or a digit.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

type Read<T> = Result<T, JsonError>;

impl<'a> Lexer<'a> {
    /// At the beginning.
    pub fn new(text: &'a [u8]) -> Self {
        Lexer { text, at: 0, depth: 0 }
    }

    /// An error at this place.
    pub fn error(&self, what: &'static str) -> JsonError {
        self.error_at(self.at, what)
    }

    /// Where it stands, for an error that is found later.
    pub fn place(&self) -> usize {
        self.at
    }

    /// An error at a place. Counts lines from the beginning, so only failures pay for it.
    pub fn error_at(&self, at: usize, what: &'static str) -> JsonError {
        let before = &self.text[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        JsonError { line, column: before.len() - start + 1, what }
    }

    /// The kind of the value that comes next.
    pub fn peek(&mut self) -> Read<Kind> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.error("a value was expected")),
            None => Err(self.error("the text ends too early")),
        }
    }

    /// Goes into an object or array; says whether it has anything in it.
    pub fn open(&mut self, bracket: u8) -> Read<bool> {
        if self.next_byte() != Some(bracket) {
            let what =
                if bracket == b'{' { "an object was expected" } else { "an array was expected" };
            return Err(self.error(what));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deeply"));
        }
        self.at += 1;
        Ok(!self.close(bracket + 2))
    }

    /// After a member or element: whether another one follows.
    pub fn more(&mut self, bracket: u8) -> Read<bool> {
        if self.close(bracket + 2) {
            return Ok(false);
        }
        self.expect(b',', "a comma or the end of the list was expected").map(|()| true)
    }

    /// The name of a member, and its colon.
    pub fn key(&mut self) -> Read<Cow<'a, [u8]>> {
        if self.next_byte() != Some(b'"') {
            return Err(self.error("a name in quotes was expected"));
        }
        let key = self.text()?;
        self.expect(b':', "a colon was expected")?;
        Ok(key)
    }

    /// A string, without its escapes. Bytes that are no UTF-8 stay as they are.
    pub fn text(&mut self) -> Read<Cow<'a, [u8]>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => return self.escaped(start),
                Some(0..0x20) => return Err(self.error("a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.error("the text ends inside a string")),
            }
        }
        self.at += 1;
        Ok(Cow::Borrowed(&self.text[start..self.at - 1]))
    }

    /// The characters of a number.
    pub fn number(&mut self) -> Read<&'a str> {
        let start = self.at;
        let part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        while self.text.get(self.at).is_some_and(part) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.text[start..self.at]);
        digits.map_err(|_| self.error("a number was expected"))
    }

    /// `true`, `false` or `null`.
    pub fn word(&mut self) -> Read<&'static str> {
        for word in ["true", "false", "null"] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(word);
            }
        }
        Err(self.error("a value was expected"))
    }

    /// Passes over a value of any kind; the depth is bounded, so is the stack.
    pub fn skip(&mut self) -> Read<()> {
        match self.peek()? {
            Kind::Object => self.skip_members(),
            Kind::Array => self.skip_elements(),
            Kind::Text => self.text().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool | Kind::Null => self.word().map(drop),
        }
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Read<()> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.error("more text after the end")),
        }
    }

    fn skip_members(&mut self) -> Read<()> {
        let mut more = self.open(b'{')?;
        while more {
            self.key()?;
            self.skip()?;
            more = self.more(b'{')?;
        }
        Ok(())
    }

    fn skip_elements(&mut self) -> Read<()> {
        let mut more = self.open(b'[')?;
        while more {
            self.skip()?;
            more = self.more(b'[')?;
        }
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> bool {
        let closes = self.next_byte() == Some(bracket);
        if closes {
            self.at += 1;
            self.depth -= 1;
        }
        closes
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Read<()> {
        if self.next_byte() != Some(byte) {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no white space, not yet taken.
    fn next_byte(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn escaped(&mut self, start: usize) -> Read<Cow<'a, [u8]>> {
        let mut out = self.text[start..self.at].to_vec();
        loop {
            match self.text.get(self.at).copied() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut out)?,
                Some(0..0x20) => return Err(self.error("a control character in a string")),
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
                None => return Err(self.error("the text ends inside a string")),
            }
        }
        self.at += 1;
        Ok(Cow::Owned(out))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Read<()> {
        let letter = self.text.get(self.at + 1).copied();
        let plain = match letter {
            Some(b'u') => return self.unicode(out),
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(self.error("no such escape")),
        };
        out.push(plain);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them for a character beyond 16 bits; half of a pair becomes U+FFFD.
    fn unicode(&mut self, out: &mut Vec<u8>) -> Read<()> {
        let first = self.unit().ok_or_else(|| self.error("no such escape"))?;
        self.at += 6;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first)
            && let Some(second) = self.unit().filter(|unit| (0xDC00..0xE000).contains(unit))
        {
            self.at += 6;
            code = 0x10000 + ((first - 0xD800) << 10 | (second - 0xDC00));
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unit(&self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
    }
}
