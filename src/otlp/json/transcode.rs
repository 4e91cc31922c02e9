//! Writes protobuf while it reads JSON, led by the tables of `schema`.

use super::JsonError;
use super::lexer::{Kind, Lexer};
use super::schema::{Field, Message, Type};
use crate::otlp::wire;
use std::borrow::Cow;

/// Levels of attribute values in attribute values.
const VALUE_DEPTH_MAX: usize = 32;

type Read<T> = Result<T, JsonError>;

/// A whole text as one message.
pub fn message(text: &[u8], schema: &'static Message) -> Read<Vec<u8>> {
    let mut writer = Writer { json: Lexer::new(text), out: Vec::new(), values: 0 };
    writer.fields(schema)?;
    writer.json.end()?;
    Ok(writer.out)
}

struct Writer<'a> {
    json: Lexer<'a>,
    out: Vec<u8>,
    values: usize,
}

impl Writer<'_> {
    fn fields(&mut self, schema: &'static Message) -> Read<()> {
        self.values += usize::from(schema.is_value);
        if self.values > VALUE_DEPTH_MAX {
            return Err(self.json.error("nested too deeply"));
        }
        let mut more = self.json.open(b'{')?;
        while more {
            let key = self.json.key()?;
            match schema.fields.iter().find(|field| field.0.as_bytes() == &*key) {
                Some(field) => self.field(field)?,
                None => self.json.skip()?,
            }
            more = self.json.more(b'{')?;
        }
        self.values -= usize::from(schema.is_value);
        Ok(())
    }

    fn field(&mut self, Field(_, number, shape): &'static Field) -> Read<()> {
        let kind = self.json.peek()?;
        match shape {
            // An absent value, or an absent element of a list.
            _ if kind == Kind::Null => self.json.skip(),
            Type::One(schema) => self.nested(*number, schema),
            Type::Many(schema) => self.list(*number, schema),
            scalar => self.scalar(*number, scalar, kind),
        }
    }

    fn list(&mut self, number: u32, schema: &'static Message) -> Read<()> {
        let mut more = self.json.open(b'[')?;
        while more {
            match self.json.peek()? {
                Kind::Null => self.json.skip()?,
                _ => self.nested(number, schema)?,
            }
            more = self.json.more(b'[')?;
        }
        Ok(())
    }

    /// A message in a message: its length is known, and put before it, when it is written.
    fn nested(&mut self, number: u32, schema: &'static Message) -> Read<()> {
        wire::put_tag(&mut self.out, number, wire::BYTES);
        let start = self.out.len();
        self.fields(schema)?;
        let mut length = [0; 10];
        let count = wire::varint((self.out.len() - start) as u64, &mut length);
        let end = self.out.len();
        self.out.extend_from_slice(&length[..count]);
        self.out.copy_within(start..end, start + count);
        self.out[start..start + count].copy_from_slice(&length[..count]);
        Ok(())
    }

    fn scalar(&mut self, number: u32, shape: &Type, kind: Kind) -> Read<()> {
        const WRONG: &str = "a value of another type was expected";
        let place = self.json.place();
        let text = match kind {
            Kind::Text => self.json.text()?,
            Kind::Number => Cow::Borrowed(self.json.number()?.as_bytes()),
            Kind::Bool => Cow::Borrowed(self.json.word()?.as_bytes()),
            Kind::Object | Kind::Array | Kind::Null => {
                return Err(self.json.error(WRONG));
            }
        };
        let written = self.put(number, shape, &text);
        written.ok_or_else(|| self.json.error_at(place, WRONG))
    }

    /// Writes a scalar; `None` when the text is not of its type.
    fn put(&mut self, number: u32, shape: &Type, text: &[u8]) -> Option<()> {
        let out = &mut self.out;
        match shape {
            Type::Text => wire::put_bytes(out, number, text),
            Type::Hex => wire::put_bytes(out, number, &hex(text).unwrap_or_default()),
            Type::Base64 => wire::put_bytes(out, number, &base64(text)?),
            Type::Bool => wire::put_varint(out, number, u64::from(boolean(text)?)),
            Type::Double => wire::put_fixed64(out, number, double(text)?.to_bits()),
            Type::Fixed64 => wire::put_fixed64(out, number, u64::try_from(integer(text)?).ok()?),
            Type::Fixed32 => wire::put_fixed32(out, number, u32::try_from(integer(text)?).ok()?),
            Type::Int => wire::put_varint(out, number, i64::try_from(integer(text)?).ok()? as u64),
            Type::Enum(names) => wire::put_varint(out, number, enumerator(names, text)),
            Type::One(_) | Type::Many(_) => return None,
        }
        Some(())
    }
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// An integer of up to 64 bits, signed or not; `1e3` and `5.0` are ones too.
fn integer(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    let number = double(text.as_bytes()).filter(|n| n.fract() == 0.0 && n.abs() < 1e19)?;
    Some(number as i128)
}

/// An enum by number or by name; an unknown one is 0, which is "unspecified" in all of OTLP.
fn enumerator(names: &[&str], text: &[u8]) -> u64 {
    let named = names.iter().position(|name| name.as_bytes() == text).map(|at| at as u64);
    named.or_else(|| u64::try_from(integer(text)?).ok()).unwrap_or(0)
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|two| Some((digit(two[0])? * 16 + digit(two[1])?) as u8)).collect()
}

/// Base64 of either alphabet, with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let unpadded = &text[..text.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1)];
    let mut out = Vec::with_capacity(unpadded.len() / 4 * 3 + 2);
    for four in unpadded.chunks(4) {
        let mut bits = 0u32;
        for byte in four {
            bits = bits << 6 | sextet(*byte)?;
        }
        bits <<= 6 * (4 - four.len());
        let whole = four.len().checked_sub(1).filter(|count| *count > 0)?;
        out.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}
