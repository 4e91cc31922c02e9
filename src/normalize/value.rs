//! One value of an attribute, borrowed from the request: an OTLP AnyValue, or a piece of JSON that
//! came inside one. Lossless coercions live here; what does not fit gives `None`.

use super::json;
use super::memo::Feed;
use super::wire::{Broken, Cursor, Wire, only_bytes, only_varint};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;

/// Levels of nesting that are walked; deeper values are absent.
pub const LEVELS_MAX: usize = 32;
/// Bytes of one value that are hashed; what follows is cut.
pub const HASHED_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a facet.
pub const FACET_BYTES_MAX: usize = 1024;
/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 128;

/// A value as it stands in the request.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Raw<'a> {
    /// An AnyValue without a value: null.
    #[default]
    Empty,
    /// A string.
    Text(&'a str),
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// The body of an ArrayValue.
    List(&'a [u8]),
    /// The body of a KeyValueList.
    Map(&'a [u8]),
    /// Bytes: nothing we know uses them.
    Bytes(&'a [u8]),
    /// One JSON value as it stands in a text.
    Json(&'a str),
}

/// Why an attribute was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// Its bytes are no AnyValue.
    Broken,
    /// Its text is not UTF-8.
    Utf8,
}

impl From<Broken> for Unread {
    fn from(_: Broken) -> Self {
        Unread::Broken
    }
}

/// Key and undecoded AnyValue of a KeyValue.
#[inline]
pub fn key_value(body: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    // As every SDK writes it: a key below 128 bytes, then a value, and nothing else.
    if let [0x0a, length @ 0..0x80, rest @ ..] = body
        && let Some((key, rest)) = rest.split_at_checked(usize::from(*length))
        && let Some(value) = only_bytes(rest, 0x12)
    {
        return Ok((key, value));
    }
    any_key_value(body)
}

fn any_key_value(body: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    let (mut key, mut value) = (&[][..], &[][..]);
    let mut cursor = Cursor::new(body);
    while let Some((number, wire)) = cursor.field()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// What a scrubber put in a value's place: it says nothing of the value, and would make all
/// sessions one.
pub fn is_redacted(text: &str) -> bool {
    matches!(text, "__REDACTED__" | "[REDACTED]" | "***") || text.starts_with("[Scrubbed due to ")
}

/// Cut at a character boundary.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl<'a> Raw<'a> {
    /// Decodes an AnyValue one level deep.
    #[inline]
    pub fn read(body: &'a [u8]) -> Result<Self, Unread> {
        if let Some(text) = only_bytes(body, 0x0a) {
            return Ok(Raw::Text(str::from_utf8(text).map_err(|_| Unread::Utf8)?));
        }
        if let Some(bits) = only_varint(body, 0x18) {
            return Ok(Raw::Int(bits.cast_signed()));
        }
        Raw::read_any(body)
    }

    fn read_any(body: &'a [u8]) -> Result<Self, Unread> {
        let mut cursor = Cursor::new(body);
        let mut value = Raw::Empty;
        while let Some((number, wire)) = cursor.field()? {
            value = match (number, wire) {
                (1, Wire::Bytes(bytes)) => {
                    Raw::Text(str::from_utf8(bytes).map_err(|_| Unread::Utf8)?)
                }
                (2, Wire::Varint(bit)) => Raw::Bool(bit != 0),
                (3, Wire::Varint(bits)) => Raw::Int(bits.cast_signed()),
                (4, Wire::Fixed64(bits)) => Raw::Double(f64::from_bits(bits)),
                (5, Wire::Bytes(bytes)) => Raw::List(bytes),
                (6, Wire::Bytes(bytes)) => Raw::Map(bytes),
                (7, Wire::Bytes(bytes)) => Raw::Bytes(bytes),
                (1..=7, _) => return Err(Unread::Broken),
                _ => value,
            };
        }
        Ok(value)
    }

    /// A text that holds a JSON array, object or string is that JSON.
    pub fn opened(self) -> Self {
        match self {
            Raw::Text(text) if json::is_container(text) => Raw::Json(text.trim()),
            other => other,
        }
    }

    /// Whether it is the same to the bit; cheap when both stand at one place.
    #[inline]
    pub fn is_same(self, other: Raw<'_>) -> bool {
        match (self, other) {
            (Raw::Text(one), Raw::Text(two)) => std::ptr::eq(one, two) || one == two,
            (Raw::Double(one), Raw::Double(two)) => one.to_bits() == two.to_bits(),
            (one, two) => one == two,
        }
    }

    /// Whether it says nothing: null, empty text, empty list.
    #[inline]
    pub fn is_blank(self) -> bool {
        match self {
            Raw::Empty => true,
            Raw::Text(text) => text.is_empty(),
            Raw::List(bytes) | Raw::Map(bytes) => bytes.is_empty(),
            Raw::Json(json) => matches!(json, "null" | "\"\"" | "[]" | "{}"),
            _ => false,
        }
    }

    /// As a text: JSON quotes taken off, numbers in their canonical spelling, blanks absent.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            // No blank, no JSON and nothing that a scrubber left begins like this.
            Raw::Text(text) if text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) => {
                Some(Cow::Borrowed(text))
            }
            other => other.any_text(),
        }
    }

    fn any_text(self) -> Option<Cow<'a, str>> {
        let text = match self {
            Raw::Text(text) => json::string(text).unwrap_or(Cow::Borrowed(text)),
            Raw::Json(raw) if raw.starts_with('"') => json::string(raw)?,
            Raw::Bool(bit) => Cow::Borrowed(if bit { "true" } else { "false" }),
            Raw::Json("true") => Cow::Borrowed("true"),
            Raw::Json("false") => Cow::Borrowed("false"),
            Raw::Int(number) => Cow::Owned(number.to_string()),
            Raw::Double(_) | Raw::Json(_) => {
                Cow::Owned(ryu_js::Buffer::new().format(self.number()?).to_owned())
            }
            _ => return None,
        };
        Some(text).filter(|text| !text.trim().is_empty() && !is_redacted(text))
    }

    /// As a finite number: a number, or a text that spells one.
    pub fn number(self) -> Option<f64> {
        let number = match self {
            Raw::Int(number) if number.unsigned_abs() <= 1 << 53 => number as f64,
            Raw::Double(number) => number,
            Raw::Text(text) => text.trim().trim_matches('"').parse().ok()?,
            Raw::Json(raw) => raw.trim_matches('"').parse().ok()?,
            _ => return None,
        };
        Some(number).filter(|number| number.is_finite())
    }

    /// As a whole number.
    #[inline]
    pub fn int(self) -> Option<i64> {
        if let Raw::Int(number) = self { Some(number) } else { self.any_int() }
    }

    #[inline(never)]
    fn any_int(self) -> Option<i64> {
        if let Raw::Text(text) | Raw::Json(text) = self
            && let Ok(number) = text.trim().trim_matches('"').parse()
        {
            return Some(number);
        }
        let number = self.number()?;
        (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
    }

    /// As a count of at most 2⁵³.
    #[inline]
    pub fn count(self) -> Option<u64> {
        u64::try_from(self.int()?).ok().filter(|count| *count <= 1 << 53)
    }

    /// As a bool: a bool, or the word for one.
    pub fn truth(self) -> Option<bool> {
        match self {
            Raw::Bool(bit) => Some(bit),
            Raw::Text("true" | "True") | Raw::Json("true") => Some(true),
            Raw::Text("false" | "False") | Raw::Json("false") => Some(false),
            _ => None,
        }
    }

    /// Each item of a list, however it came; a JSON text is opened.
    pub fn each(self, mut visit: impl FnMut(Raw<'a>)) {
        match self.opened() {
            Raw::Json(text) => json::items(text).for_each(|item| visit(Raw::Json(item))),
            Raw::List(bytes) => {
                let mut cursor = Cursor::new(bytes);
                while let Ok(Some((number, wire))) = cursor.field() {
                    if let (1, Wire::Bytes(body)) = (number, wire)
                        && let Ok(item) = Raw::read(body)
                    {
                        visit(item);
                    }
                }
            }
            _ => {}
        }
    }

    /// Each member of a map, however it came.
    pub fn each_member(self, mut visit: impl FnMut(&'a str, Raw<'a>)) {
        match self.opened() {
            Raw::Json(text) => {
                json::members(text).for_each(|(key, raw)| visit(key, Raw::Json(raw)))
            }
            Raw::Map(bytes) => {
                let mut cursor = Cursor::new(bytes);
                while let Ok(Some((number, wire))) = cursor.field() {
                    if let (1, Wire::Bytes(body)) = (number, wire)
                        && let Ok((key, value)) = key_value(body)
                        && let (Ok(key), Ok(value)) = (str::from_utf8(key), Raw::read(value))
                    {
                        visit(key, value);
                    }
                }
            }
            _ => {}
        }
    }

    /// A member of a map that is not null.
    pub fn get(self, wanted: &str) -> Option<Raw<'a>> {
        if let Raw::Json(text) = self.opened() {
            let raw = json::member(text, wanted).map(Raw::Json);
            return raw.filter(|raw| !raw.is_blank());
        }
        let mut found = None;
        self.each_member(|key, value| {
            if found.is_none() && key == wanted && !value.is_blank() {
                found = Some(value);
            }
        });
        found
    }

    /// Feeds bytes that tell it from any other value, cut at [`HASHED_BYTES_MAX`].
    pub fn feed(self, out: &mut Feed) {
        let number: [u8; 8];
        let (tag, bytes): (u8, &[u8]) = match self {
            Raw::Empty => (0, &[]),
            Raw::Text(text) => (1, text.as_bytes()),
            Raw::Bool(bit) => (2 + u8::from(bit), &[]),
            Raw::Int(int) => {
                number = int.to_le_bytes();
                (4, &number)
            }
            Raw::Double(double) => {
                number = double.to_bits().to_le_bytes();
                (5, &number)
            }
            Raw::List(bytes) => (6, bytes),
            Raw::Map(bytes) => (7, bytes),
            Raw::Bytes(bytes) => (8, bytes),
            Raw::Json(text) => (9, text.as_bytes()),
        };
        let mut head = [tag; 9];
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.put(&head);
        out.put(&bytes[..bytes.len().min(HASHED_BYTES_MAX)]);
    }

    /// As a JSON document, nulls left out at every level; `None` when nothing is left of it.
    pub fn to_json(self) -> Option<Json> {
        self.json_at(LEVELS_MAX)
    }

    fn json_at(self, levels: usize) -> Option<Json> {
        let below = levels.checked_sub(1)?;
        match self {
            Raw::Empty | Raw::Bytes(_) => None,
            Raw::Text(text) => Some(Json::String(text.to_owned())),
            Raw::Bool(bit) => Some(Json::Bool(bit)),
            Raw::Int(number) => Some(Json::from(number)),
            Raw::Double(number) => serde_json::Number::from_f64(number).map(Json::Number),
            Raw::Json(text) => without_nulls(serde_json::from_str(text).ok()?, below),
            Raw::List(_) => {
                let mut list = Vec::new();
                self.each(|item| list.extend(item.json_at(below)));
                Some(Json::Array(list))
            }
            Raw::Map(_) => {
                let mut map = Map::new();
                self.each_member(|key, value| {
                    if let Some(value) = value.json_at(below) {
                        map.insert(key.to_owned(), value);
                    }
                });
                Some(Json::Object(map))
            }
        }
    }
}

fn without_nulls(value: Json, levels: usize) -> Option<Json> {
    let below = levels.checked_sub(1)?;
    Some(match value {
        Json::Null => return None,
        Json::Array(list) => {
            Json::Array(list.into_iter().filter_map(|item| without_nulls(item, below)).collect())
        }
        Json::Object(map) => Json::Object(
            map.into_iter()
                .filter_map(|(key, value)| Some((key, without_nulls(value, below)?)))
                .collect(),
        ),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coerces_only_what_loses_nothing() {
        assert_eq!(Raw::Text("0.2").number(), Some(0.2));
        assert_eq!(Raw::Int(40).number(), Some(40.0));
        assert_eq!(Raw::Double(40.0).int(), Some(40));
        assert_eq!(Raw::Double(40.5).int(), None);
        assert_eq!(Raw::Text("Infinity").number(), None);
        assert_eq!(Raw::Bool(true).number(), None);
        assert_eq!(Raw::Int(-1).count(), None);
        assert_eq!(Raw::Text("\"control\"").text().as_deref(), Some("control"));
        assert_eq!(Raw::Int(3).text().as_deref(), Some("3"));
        assert_eq!(Raw::Double(3.0).text().as_deref(), Some("3"));
        assert_eq!(Raw::Text("  ").text(), None);
        assert_eq!(Raw::Text("[Scrubbed due to 'session']").text(), None);
        assert_eq!(cut("aé", 2), "a");
    }

    #[test]
    fn nulls_are_left_out_at_every_level() {
        let json = Raw::Json(r#"{"a":null,"b":[null,{"c":null,"d":1}]}"#).to_json().expect("json");
        assert_eq!(json.to_string(), r#"{"b":[{"d":1}]}"#);
    }

    #[test]
    fn deep_nesting_ends() {
        let mut body = vec![];
        for _ in 0..200 {
            let mut list = vec![0x0a];
            put_length(&mut list, body.len());
            list.extend_from_slice(&body);
            let mut any = vec![0x2a];
            put_length(&mut any, list.len());
            any.extend_from_slice(&list);
            body = any;
        }
        let json = Raw::read(&body).expect("value").to_json().expect("json");
        assert!(json.to_string().len() <= 2 * LEVELS_MAX);
    }

    fn put_length(out: &mut Vec<u8>, mut length: usize) {
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
    }
}
