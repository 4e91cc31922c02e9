//! Facets gathered into fields by the first segment of their path: a prompt's version and hash
//! change together and are one field. Says which fields differ, which are unknown on one side
//! and which are equal, and writes values for people. It never counts missing as equal.

use super::ArmConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Last segments of paths that people know a field by, the best first.
const READABLE: [&str; 7] =
    ["version", "revision", "snapshot", "policy", "requested", "name", "hash"];
/// Facets of a field shown when none of them is in [`READABLE`].
const SHOWN_MAX: usize = 3;
/// Characters of a value shown.
const CHARACTERS_MAX: usize = 60;
/// Digits of a hash shown.
const DIGITS_SHOWN: usize = 12;
/// Hexadecimal digits from which a value is taken for a hash.
const HASH_DIGITS_MIN: usize = 16;

/// A field that differs between two arms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// The first segment of its paths, such as `prompt`.
    pub field: String,
    /// Paths both have, with different values.
    pub paths: Vec<String>,
    /// Paths that only one has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Its setting in a, for people: `prompt=3`. Hashes and long values are shortened.
    pub a: String,
    /// Its setting in b.
    pub b: String,
}

/// Paths with values of one field.
pub(super) type Paths<'a> = BTreeMap<&'a str, &'a str>;

/// The facets of an arm by field.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Groups<'a>(BTreeMap<&'a str, Paths<'a>>);

/// How two arms differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Difference {
    /// Fields with a path both have and whose values differ.
    pub changes: Vec<FieldChange>,
    /// Fields that do not differ in what both have, but of which one has more.
    pub unknown: Vec<String>,
    /// Paths of those, with the name of the arm that has them.
    pub known_for: Vec<(String, String)>,
    /// Equal fields with a value for people.
    pub context: BTreeMap<String, String>,
}

// === impl Groups ===

impl<'a> Groups<'a> {
    /// The facets of `arm`.
    pub fn of(arm: &'a ArmConfig) -> Self {
        let mut out: BTreeMap<&str, Paths<'_>> = BTreeMap::new();
        for (path, value) in &arm.facets {
            out.entry(field_of(path)).or_default().insert(path, value);
        }
        Groups(out)
    }

    /// The paths of a field; none is a value too: it is equal only to none.
    pub fn get(&self, field: &str) -> Paths<'a> {
        self.0.get(field).cloned().unwrap_or_default()
    }

    /// The fields it has.
    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }

    /// How `other` differs from this; the names are for the texts.
    pub fn against(&self, other: &Groups<'_>, a: &str, b: &str) -> Difference {
        let mut out = Difference::default();
        let fields: BTreeSet<&str> = self.0.keys().copied().chain(other.fields()).collect();
        for field in fields {
            let (left, right) = (self.get(field), other.get(field));
            let differing: Vec<&str> =
                left.keys().copied().filter(|path| differs(&left, &right, path)).collect();
            let lone = |x: &Paths<'_>, y: &Paths<'_>| -> Vec<String> {
                x.keys().filter(|path| !y.contains_key(*path)).map(|p| (*p).to_owned()).collect()
            };
            let (in_a, in_b) = (lone(&left, &right), lone(&right, &left));
            if !differing.is_empty() {
                let unknown = in_a.into_iter().chain(in_b).collect();
                out.changes.push(change(field, &differing, unknown, &left, &right));
            } else if in_a.is_empty() && in_b.is_empty() {
                let all: Vec<&str> = left.keys().copied().collect();
                out.context.insert(field.to_owned(), value(field, &all, &left));
            } else {
                out.unknown.push(field.to_owned());
                out.known_for.extend(in_a.into_iter().map(|path| (path, a.to_owned())));
                out.known_for.extend(in_b.into_iter().map(|path| (path, b.to_owned())));
            }
        }
        out
    }
}

// === impl Difference ===

impl Difference {
    /// Why something unlogged may differ, for people.
    pub fn unknown_reasons(&self) -> Vec<String> {
        let text = |(path, arm): &(String, String)| format!("{path} is known for {arm} only");
        self.known_for.iter().map(text).collect()
    }
}

/// The first segment of a path.
pub(super) fn field_of(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

fn differs(left: &Paths<'_>, right: &Paths<'_>, path: &str) -> bool {
    left.get(path).zip(right.get(path)).is_some_and(|(x, y)| x != y)
}

fn change(
    field: &str,
    differing: &[&str],
    unknown: Vec<String>,
    left: &Paths<'_>,
    right: &Paths<'_>,
) -> FieldChange {
    FieldChange {
        field: field.to_owned(),
        paths: differing.iter().map(|path| (*path).to_owned()).collect(),
        unknown,
        a: setting(field, differing, left),
        b: setting(field, differing, right),
    }
}

/// `prompt=3`, or `sampling.temperature=0.2, sampling.top_p=1`.
fn setting(field: &str, paths: &[&str], values: &Paths<'_>) -> String {
    match best(field, paths) {
        Some(path) => format!("{field}={}", shown(values, path)),
        None => listed(paths, |path| format!("{path}={}", shown(values, path))),
    }
}

/// `3`, or `temperature=0.2, top_p=1`.
fn value(field: &str, paths: &[&str], values: &Paths<'_>) -> String {
    let leaf = |path: &str| path.get(field.len() + 1..).unwrap_or(path).to_owned();
    match best(field, paths) {
        Some(path) => shown(values, path),
        None => listed(paths, |path| format!("{}={}", leaf(path), shown(values, path))),
    }
}

/// The path of a field that people know it by, when it has one.
fn best<'a>(field: &'a str, paths: &[&'a str]) -> Option<&'a str> {
    if paths == [field] {
        return Some(field);
    }
    let is = |path: &str, leaf: &str| path.get(field.len() + 1..) == Some(leaf);
    READABLE.iter().find_map(|leaf| paths.iter().copied().find(|path| is(path, leaf)))
}

fn listed(paths: &[&str], text: impl Fn(&str) -> String) -> String {
    let mut parts: Vec<String> = paths.iter().take(SHOWN_MAX).map(|path| text(path)).collect();
    if paths.len() > SHOWN_MAX {
        parts.push("…".to_owned());
    }
    parts.join(", ")
}

fn shown(values: &Paths<'_>, path: &str) -> String {
    shortened(values.get(path).copied().unwrap_or_default())
}

/// A hash as its first 12 digits, any other value as at most 60 characters on one line.
pub(super) fn shortened(value: &str) -> String {
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let hash =
        digits.len() >= HASH_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash {
        return digits.chars().take(DIGITS_SHOWN).collect();
    }
    let line = |c: char| if c.is_control() { ' ' } else { c };
    if value.chars().count() <= CHARACTERS_MAX {
        return value.chars().map(line).collect();
    }
    value.chars().take(CHARACTERS_MAX - 1).map(line).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::laws::arm;
    use super::*;

    fn difference(a: &[(&str, &str)], b: &[(&str, &str)]) -> Difference {
        let (a, b) = (arm("a", a), arm("b", b));
        Groups::of(&a).against(&Groups::of(&b), "a", "b")
    }

    #[test]
    fn every_field_is_in_exactly_one_list() {
        let found = difference(
            &[("model.revision", "m"), ("prompt.hash", "p"), ("seed", "1"), ("tools.hash", "t")],
            &[("model.revision", "n"), ("prompt.hash", "p"), ("seed", "1"), ("safety.policy", "s")],
        );
        let changed: Vec<&str> = found.changes.iter().map(|c| c.field.as_str()).collect();
        assert_eq!(changed, ["model"]);
        assert_eq!(found.unknown, ["safety", "tools"]);
        assert_eq!(found.context.keys().collect::<Vec<_>>(), ["prompt", "seed"]);
        let reasons = ["safety.policy is known for b only", "tools.hash is known for a only"];
        assert_eq!(found.unknown_reasons(), reasons);
    }

    #[test]
    fn a_field_that_differs_lists_what_is_unknown_in_it() {
        let found = difference(
            &[("prompt.version", "3"), ("prompt.hash", "p")],
            &[("prompt.version", "4"), ("prompt.name", "n")],
        );
        assert_eq!(found.changes[0].paths, ["prompt.version"]);
        assert_eq!(found.changes[0].unknown, ["prompt.hash", "prompt.name"]);
        assert!(found.unknown.is_empty());
    }

    #[test]
    fn settings_use_what_people_know_a_field_by_among_what_differs() {
        let found = difference(
            &[("prompt.version", "3"), ("prompt.hash", "0123456789abcdef0123")],
            &[("prompt.version", "3"), ("prompt.hash", "sha256:ffff456789abcdef0123")],
        );
        assert_eq!(found.changes[0].a, "prompt=0123456789ab");
        assert_eq!(found.changes[0].b, "prompt=ffff456789ab");
        let found = difference(
            &[("sampling.temperature", "0.2"), ("sampling.top_p", "1"), ("seed", "1")],
            &[("sampling.temperature", "0.7"), ("sampling.top_p", "0.9"), ("seed", "2")],
        );
        assert_eq!(found.changes[0].b, "sampling.temperature=0.7, sampling.top_p=0.9");
        assert_eq!(found.changes[1].b, "seed=2");
    }

    #[test]
    fn values_of_any_text_are_shortened() {
        let long = "é".repeat(200);
        assert_eq!(shortened(&long).chars().count(), CHARACTERS_MAX);
        assert_eq!(shortened("two\nlines"), "two lines");
        assert_eq!(shortened("gpt-4o-mini-2024-07-18"), "gpt-4o-mini-2024-07-18");
        assert_eq!(shortened("2024071820240718"), "202407182024", "digits only count as a hash");
        let found = difference(&[(".", "x"), ("", "y"), ("é.ü", "z")], &[]);
        assert_eq!(found.unknown, ["", "é"]);
    }
}
