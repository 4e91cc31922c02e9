//! JSON that came as the text of an attribute, scanned where it stands: no copy, no allocation.
//! It is tolerant on purpose (emitters cut texts at their own limits): a value that cannot be
//! delimited ends the scan. Nesting is counted, not recursed into.

use std::borrow::Cow;

/// The members of an object as (key without its quotes, value as it stands).
pub struct Members<'a>(Scan<'a>);

/// The items of an array as they stand.
pub struct Items<'a>(Scan<'a>);

#[derive(Clone, Copy)]
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// Members of `text`; none when it is no object.
pub fn members(text: &str) -> Members<'_> {
    Members(Scan::inside(text, b'{'))
}

/// Items of `text`; none when it is no array.
pub fn items(text: &str) -> Items<'_> {
    Items(Scan::inside(text, b'['))
}

/// The value of a member.
pub fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    members(text).find(|pair| pair.0 == key).map(|pair| pair.1)
}

/// Whether `text` is delimited like one array or object and nothing follows it.
pub fn is_container(text: &str) -> bool {
    let trimmed = text.trim();
    matches!(trimmed.as_bytes().first(), Some(b'{' | b'['))
        && value_end(trimmed.as_bytes(), 0) == Some(trimmed.len())
}

/// The text of a JSON string as it stands; borrowed when it has no escapes.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"').filter(|_| raw.len() >= 2)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.value()?;
        let key = key.strip_prefix('"')?.strip_suffix('"')?;
        self.0.skip(b':')?;
        let value = self.0.value()?;
        self.0.skip(b',');
        Some((key, value))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.0.value()?;
        self.0.skip(b',');
        Some(value)
    }
}

// === impl Scan ===

impl<'a> Scan<'a> {
    fn inside(text: &'a str, open: u8) -> Self {
        let at = blank_end(text.as_bytes(), 0);
        let at = if text.as_bytes().get(at) == Some(&open) { at + 1 } else { text.len() };
        Scan { text, at }
    }

    fn value(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = blank_end(bytes, self.at);
        let end = value_end(bytes, start)?;
        self.at = end;
        self.text.get(start..end).filter(|value| !value.is_empty())
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        let at = blank_end(self.text.as_bytes(), self.at);
        (self.text.as_bytes().get(at) == Some(&byte)).then(|| self.at = at + 1)
    }
}

fn blank_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Where the value that starts at `at` ends; `None` when it is cut or there is none.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at),
        b',' | b':' | b'}' | b']' => None,
        _ => {
            let stops = |byte: &u8| {
                matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"')
            };
            Some(bytes[at..].iter().position(stops).map_or(bytes.len(), |found| at + found))
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn walks_members_and_items_where_they_stand() {
        let text = r#" {"a": [1, {"x": "}"}], "b":"q\"}", "c" : 2.5 ,"d":null}"#;
        let found: Vec<_> = members(text).collect();
        assert_eq!(
            found,
            [("a", r#"[1, {"x": "}"}]"#), ("b", r#""q\"}""#), ("c", "2.5"), ("d", "null")]
        );
        assert_eq!(items("[1, \"é\",[2]]").collect::<Vec<_>>(), ["1", "\"é\"", "[2]"]);
        assert_eq!(string(r#""q\"}""#).as_deref(), Some("q\"}"));
    }

    #[test]
    fn what_is_cut_ends_the_scan() {
        assert_eq!(members(r#"{"id":"x","choices":[{"#).collect::<Vec<_>>(), [("id", "\"x\"")]);
        assert!(is_container("[1]") && !is_container("[Rules] be nice") && !is_container("{"));
        assert_eq!(string("\""), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\[\\]{}\",:\\\\a é0]*") {
            for (_, value) in members(&text) { items(value).count(); }
            for value in items(&text) { members(value).count(); }
            is_container(&text);
        }

        #[test]
        fn agrees_with_a_parser(keys in proptest::collection::vec("\\PC*", 0..6)) {
            let list = serde_json::to_string(&keys).expect("json");
            let found: Vec<String> = items(&list).filter_map(string).map(Cow::into_owned).collect();
            prop_assert_eq!(found, keys);
        }
    }
}
