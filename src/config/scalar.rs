//! Scalars of the config file: sizes such as `64MiB`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A size in bytes, written `64MiB`, `20 GiB`, `500kB` or as a bare number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, JsonSchema)]
#[schemars(with = "String")]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

// === impl Size ===

impl Size {
    /// So many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Size(count << 20)
    }

    /// Reads `64MiB`, `20 GiB`, `500kB` or bare bytes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = text[digits..].trim();
        let scale = UNITS.iter().find(|pair| pair.0.eq_ignore_ascii_case(unit)).map(|pair| pair.1);
        let count = text[..digits].parse::<u64>().ok();
        let bytes = count.zip(scale).and_then(|(count, scale)| count.checked_mul(scale));
        bytes.map(Size).ok_or_else(|| format!("\"{text}\" is no size; write 64MiB, 20GiB or bytes"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |scale: u64| self.0 >= scale && self.0.is_multiple_of(scale);
        match UNITS[..4].iter().find(|pair| fits(pair.1)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        // Not `custom`: the YAML parser gives a place to wrong values only.
        let wrong = serde::de::Unexpected::Str(&text);
        let invalid = |_| serde::de::Error::invalid_value(wrong, &"a size such as 64MiB");
        Size::parse(&text).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for (text, bytes) in [("64MiB", 64 << 20), ("20 GiB", 20 << 30), ("500kB", 500_000)] {
            let size = Size::parse(text).expect(text);
            assert_eq!(size, Size(bytes));
            assert_eq!(Size::parse(&size.to_string()), Ok(size));
        }
        assert_eq!(Size::parse("4096"), Ok(Size(4096)));
        assert!(Size::parse("many").expect_err("no size").contains("64MiB"));
        assert!(Size::parse("99999999999TiB").is_err());
    }
}
