//! A span as a view of the request's bytes: scalars decoded, attributes and events left where
//! they stand and handed out as they are walked.

use super::value::Raw;
use super::wire::{Broken, Cursor, Wire};

/// Status code of a failed span.
pub const STATUS_ERROR: u64 = 2;

/// The byte that an attribute of a span begins with: field 9, length-delimited.
pub const ATTRIBUTE: u8 = 9 << 3 | 2;

/// The scalars of a span. Ids and texts are as sent: of any length, perhaps no UTF-8.
#[derive(Clone, Copy, Default, Debug)]
pub struct Span<'a> {
    pub(super) body: &'a [u8],
    /// Should be 16 bytes.
    pub trace: &'a [u8],
    /// Should be 8 bytes.
    pub span: &'a [u8],
    /// 8 bytes, or none for a root.
    pub parent: &'a [u8],
    /// W3C tracestate.
    pub state: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// End, nanoseconds since the Unix epoch.
    pub end: u64,
    /// Status code.
    pub status: u64,
    /// Status message: content, read only for a status number.
    pub message: &'a [u8],
    /// How many events it has.
    pub events: u32,
}

/// An event of a span.
#[derive(Clone, Copy, Default, Debug)]
pub struct Event<'a> {
    pub(super) body: &'a [u8],
    /// When, nanoseconds since the Unix epoch.
    pub time: u64,
    /// Its name.
    pub name: &'a [u8],
}

impl<'a> Span<'a> {
    /// Reads the scalars and hands each attribute's KeyValue to `attribute`.
    pub fn read(body: &'a [u8], mut attribute: impl FnMut(&'a [u8])) -> Result<Self, Broken> {
        let mut span = Span { body, ..Span::default() };
        let mut cursor = Cursor::new(body);
        loop {
            // Most of a span are its attributes, one after the other.
            while let Some(bytes) = cursor.bytes_of(ATTRIBUTE) {
                attribute(bytes);
            }
            match cursor.field()? {
                None => return Ok(span),
                Some((9, Wire::Bytes(bytes))) => attribute(bytes),
                Some((number, wire)) => span.scalar(number, wire)?,
            }
        }
    }

    /// Nothing of a span was read yet.
    #[inline(always)]
    pub fn unread(body: &'a [u8]) -> Self {
        Span { body, ..Span::default() }
    }

    /// Reads the scalars and lets `attributes` take those that come next; says whether it could
    /// and nothing was wrong with the rest.
    #[inline(always)]
    pub fn read_runs(&mut self, mut attributes: impl FnMut(&mut Cursor<'a>) -> bool) -> bool {
        let mut cursor = Cursor::new(self.body);
        loop {
            if cursor.is_at(ATTRIBUTE) && !attributes(&mut cursor) {
                return false;
            }
            if self.plain(&mut cursor) {
                continue;
            }
            match cursor.field() {
                Ok(None) => return true,
                Ok(Some((9, _))) | Err(Broken) => return false,
                Ok(Some((number, wire))) if self.scalar(number, wire).is_err() => return false,
                Ok(Some(_)) => {}
            }
        }
    }

    /// Takes the next field when it stands as SDKs write it: fields below 16 with the right type,
    /// texts below 128 bytes.
    #[inline(always)]
    fn plain(&mut self, cursor: &mut Cursor<'a>) -> bool {
        let bytes = match cursor.first() {
            Some(0x0a) => &mut self.trace,
            Some(0x12) => &mut self.span,
            Some(0x22) => &mut self.parent,
            Some(0x2a) => &mut self.name,
            Some(0x39) => return cursor.fixed64(&mut self.start),
            Some(0x41) => return cursor.fixed64(&mut self.end),
            // Kind and flags do not matter to us.
            Some(0x30) => return cursor.skip_small(),
            Some(0x85) => return cursor.skip_fixed32([0x85, 1]),
            _ => return false,
        };
        cursor.short_bytes(bytes)
    }

    #[inline(always)]
    fn scalar(&mut self, number: u64, wire: Wire<'a>) -> Result<(), Broken> {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => self.trace = bytes,
            (2, Wire::Bytes(bytes)) => self.span = bytes,
            (3, Wire::Bytes(bytes)) => self.state = bytes,
            (4, Wire::Bytes(bytes)) => self.parent = bytes,
            (5, Wire::Bytes(bytes)) => self.name = bytes,
            (7, Wire::Fixed64(time)) => self.start = time,
            (8, Wire::Fixed64(time)) => self.end = time,
            (11, Wire::Bytes(_)) => self.events += 1,
            (15, Wire::Bytes(bytes)) => self.read_status(bytes)?,
            (1..=5 | 7..=9 | 11 | 15, _) => return Err(Broken),
            _ => {}
        }
        Ok(())
    }

    fn read_status(&mut self, body: &'a [u8]) -> Result<(), Broken> {
        let mut cursor = Cursor::new(body);
        while let Some((number, wire)) = cursor.field()? {
            match (number, wire) {
                (2, Wire::Bytes(bytes)) => self.message = bytes,
                (3, Wire::Varint(code)) => self.status = code,
                _ => {}
            }
        }
        Ok(())
    }

    /// Its events; those that cannot be read are left out.
    pub fn each_event(&self, mut visit: impl FnMut(Event<'a>)) {
        let mut cursor = Cursor::new(self.body);
        while let Ok(Some((number, wire))) = cursor.field() {
            if let (11, Wire::Bytes(body)) = (number, wire)
                && let Ok(event) = Event::read(body)
            {
                visit(event);
            }
        }
    }
}

impl<'a> Event<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Broken> {
        let mut event = Event { body, ..Event::default() };
        let mut cursor = Cursor::new(body);
        while let Some((number, wire)) = cursor.field()? {
            match (number, wire) {
                (1, Wire::Fixed64(time)) => event.time = time,
                (2, Wire::Bytes(bytes)) => event.name = bytes,
                _ => {}
            }
        }
        Ok(event)
    }

    /// Hands each attribute's KeyValue to `attribute`.
    pub fn each_attribute(&self, attribute: impl FnMut(&'a [u8])) {
        each_message(self.body, 3, attribute);
    }
}

/// Hands each message in field `wanted` of `body` to `visit`; ends at what cannot be read.
pub fn each_message<'a>(body: &'a [u8], wanted: u64, mut visit: impl FnMut(&'a [u8])) {
    let mut cursor = Cursor::new(body);
    while let Ok(Some((number, wire))) = cursor.field() {
        if let (true, Wire::Bytes(bytes)) = (number == wanted, wire) {
            visit(bytes);
        }
    }
}

/// A log record as a view of the request's bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct LogRecord<'a> {
    /// When, or 0.
    pub time: u64,
    /// When it was seen, or 0.
    pub observed: u64,
    /// Its body.
    pub body: Raw<'a>,
    /// Trace id, perhaps empty.
    pub trace: &'a [u8],
    /// Span id, perhaps empty.
    pub span: &'a [u8],
    /// Event name; older emitters have it in an attribute.
    pub event: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// Reads the scalars and hands each attribute's KeyValue to `attribute`. A body that is no
    /// UTF-8 is empty: it is content and never needed.
    pub fn read(bytes: &'a [u8], mut attribute: impl FnMut(&'a [u8])) -> Result<Self, Broken> {
        let mut record = LogRecord::default();
        let mut cursor = Cursor::new(bytes);
        while let Some((number, wire)) = cursor.field()? {
            match (number, wire) {
                (1, Wire::Fixed64(time)) => record.time = time,
                (5, Wire::Bytes(bytes)) => record.body = Raw::read(bytes).unwrap_or_default(),
                (6, Wire::Bytes(bytes)) => attribute(bytes),
                (9, Wire::Bytes(bytes)) => record.trace = bytes,
                (10, Wire::Bytes(bytes)) => record.span = bytes,
                (11, Wire::Fixed64(time)) => record.observed = time,
                (12, Wire::Bytes(bytes)) => record.event = bytes,
                (1 | 5 | 6 | 9..=12, _) => return Err(Broken),
                _ => {}
            }
        }
        Ok(record)
    }
}
