//! Canonical JSON (RFC 8785, JCS) and the hashes over it. Everything that is hashed passes here,
//! so two emitters, two spellings of a number and two orders of keys give the same hash.

use super::facet::{FacetSet, Field, Use, Value};
use super::id::SetId;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

/// RFC 8785: keys sorted by UTF-16 code units, numbers as ECMAScript writes them, no white space.
pub fn jcs(value: &Json) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

/// `sha256:` and 64 hex digits.
pub fn sha256_text(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
    out
}

/// The facets that may identify a run as the nested object of the record: `model`, `sampling` ….
/// Observed and context fields are left out unless they were given the use of a facet before.
pub fn config_json(set: &FacetSet, identifies: impl Fn(Field) -> bool) -> Map<String, Json> {
    let mut out = Map::new();
    for (field, value) in set.iter().filter(|pair| identifies(pair.0)) {
        match field.path().split_once('.') {
            Some((group, name)) => {
                let inner = out.entry(group).or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(inner) = inner {
                    inner.insert(name.to_owned(), value_json(value));
                }
            }
            None => drop(out.insert(field.path().to_owned(), value_json(value))),
        }
    }
    out
}

/// A facet value as JSON.
pub fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::String(text.to_string()),
        Value::Number(number) => number_json(*number),
        Value::List(list) => Json::Array(list.iter().map(value_json).collect()),
    }
}

/// The id of a set: all its fields count, observed and context ones too.
pub fn set_id(set: &FacetSet) -> SetId {
    let digest = Sha256::digest(jcs(&Json::Object(config_json(set, |_| true))));
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    SetId(u128::from_be_bytes(first))
}

/// A double that is exactly a 32-bit float becomes that float's shortest decimal: emitters that
/// hold 0.2 in 32 bits send 0.20000000298. Whole numbers stay as they are.
pub fn canonical_number(number: f64) -> f64 {
    let short = number as f32;
    if number.fract() == 0.0 || f64::from(short) != number {
        return number;
    }
    short.to_string().parse().unwrap_or(number)
}

/// Whether a field may be part of the configuration at all.
pub fn is_facet(field: Field) -> bool {
    field.purpose() == Use::Facet
}

fn number_json(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return Json::from(number as i64);
    }
    serde_json::Number::from_f64(number).map_or(Json::Null, Json::Number)
}

fn write_json(value: &Json, out: &mut String) {
    match value {
        Json::Object(map) => write_object(map, out),
        Json::Array(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Json::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            out.push_str(ryu_js::Buffer::new().format(number));
        }
        Json::String(text) => write_text(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_object(map: &Map<String, Json>, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (at, key) in keys.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write_json(&map[key], out);
    }
    out.push('}');
}

fn write_text(text: &str, out: &mut String) {
    // serde_json escapes just what RFC 8785 asks for, and in the same way.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let value: Json = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .expect("json");
        assert_eq!(
            jcs(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(canonical_number(f64::from(0.2f32)), 0.2);
        assert_eq!(canonical_number(0.2), 0.2);
        assert_eq!(canonical_number(123_456_792.0), 123_456_792.0);
        assert_eq!(jcs(&value_json(&Value::Number(40.0))), "40");
    }

    #[test]
    fn sets_nest_by_group() {
        let set: FacetSet = [
            (Field::ModelRequested, Value::text("m")),
            (Field::Temperature, Value::Number(0.2)),
            (Field::CodeService, Value::text("s")),
        ]
        .into_iter()
        .collect();
        let json = Json::Object(config_json(&set, is_facet));
        assert_eq!(jcs(&json), r#"{"model":{"requested":"m"},"sampling":{"temperature":0.2}}"#);
    }
}
