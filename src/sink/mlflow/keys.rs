//! Names that MLflow takes: ASCII letters and digits, common letters of other scripts, `_`, `-`,
//! `.`, space, and `:` and `/` as our separators; 250 characters at most. A name that is not of
//! this kind gets a hash of itself, so two names never become one.

use crate::model::record::MetricLine;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Characters of a name before what we put around it, of the 250 that MLflow takes.
const NAME_MAX: usize = 200;
/// Hex digits of the hash of a name that had to be changed.
const HASH: usize = 12;
/// First parts of our own metrics: a metric of a user is not to be among them.
const OWN: [&str; 3] = ["traffic", "sample_ratio", "evidence"];

/// A part of a key that MLflow takes: the name itself wherever that is possible.
pub fn clean(name: &str) -> String {
    if is_clean(name) {
        return name.to_owned();
    }
    let text: String = name.chars().take(NAME_MAX - HASH - 1).map(replaced).collect();
    let text = match text.trim() {
        "" => "_".to_owned(),
        text => text.strip_prefix('.').map_or(text.to_owned(), |rest| format!("_{rest}")),
    };
    format!("{text}-{}", hash(name))
}

/// The keys of a record's metrics, in their order: names, and graders behind those that several
/// graders judge.
pub fn of_metrics(lines: &[MetricLine]) -> Vec<String> {
    let mut keys: Vec<String> = lines.iter().map(|line| clean(&line.name)).collect();
    for more in [by_grader, by_definition] {
        let mut seen = BTreeMap::<String, usize>::new();
        for key in &keys {
            *seen.entry(key.clone()).or_default() += 1;
        }
        for (key, line) in keys.iter_mut().zip(lines) {
            if seen[key.as_str()] > 1 {
                *key = fitting(format!("{key}:{}", more(line)));
            }
        }
    }
    keys
}

fn by_grader(line: &MetricLine) -> String {
    let Some(grader) = &line.grader else { return "none".to_owned() };
    let parts = [&grader.name, &grader.version, &grader.model];
    let parts: Vec<String> = parts.into_iter().flatten().map(|part| clean(part)).collect();
    parts.join(":")
}

fn by_definition(line: &MetricLine) -> String {
    hash(&format!("{:?} {}", line.grader, line.definition))
}

/// A joined key, short enough for what comes behind it.
fn fitting(key: String) -> String {
    if key.chars().count() <= NAME_MAX {
        return key;
    }
    let start: String = key.chars().take(NAME_MAX - HASH - 1).collect();
    format!("{start}-{}", hash(&key))
}

fn is_clean(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && !name.starts_with('.')
        && name.chars().count() <= NAME_MAX
        && name.chars().all(is_allowed)
        && !OWN.contains(&name)
        && !looks_hashed(name)
}

/// Such a name may be what another one became.
fn looks_hashed(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == HASH && end.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn replaced(c: char) -> char {
    if is_allowed(c) { c } else { '_' }
}

/// Fewer than MLflow takes: it asks Python's `\w`, whose letters are not those of Rust.
fn is_allowed(c: char) -> bool {
    match c {
        '_' | '-' | '.' | ' ' => true,
        '×' | '÷' | '\u{3a2}' => false,
        '\u{c0}'..='\u{24f}' | '\u{391}'..='\u{3c9}' | '\u{400}'..='\u{481}' => true,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' => true,
        '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        _ => c.is_ascii_alphanumeric(),
    }
}

/// The first hex digits of a text's SHA-256.
pub fn hash(text: &str) -> String {
    hex(text, HASH)
}

/// So many hex digits of a text's SHA-256.
pub fn hex(text: &str, digits: usize) -> String {
    let all = Sha256::digest(text.as_bytes());
    let text: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
    text[..digits.min(text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::GraderLine;
    use crate::sink::sample;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_mlflow_takes_stays_as_it_is() {
        for name in ["answer_ok", "p-95 of x", "model.revision", "größe", "正答率"] {
            assert_eq!(clean(name), name);
        }
    }

    #[test]
    fn other_names_are_changed_and_stay_apart() {
        let long = "x".repeat(300);
        let names =
            ["p@95%", "p#95%", "a/b", "a//b", "../x", ".", " .", "", " a", "traffic", &long];
        let keys: BTreeSet<String> = names.iter().map(|name| clean(name)).collect();
        assert_eq!(keys.len(), names.len());
        assert_eq!(clean("p@95%"), "p_95_-6c7273a20b3b");
        assert_ne!(clean("p_95_-6c7273a20b3b"), "p_95_-6c7273a20b3b");
    }

    #[test]
    fn graders_of_one_metric_do_not_share_a_key() {
        let line = sample::cut().records[0].metrics[0].clone();
        let grader = |name: &str, version: Option<&str>| MetricLine {
            grader: Some(GraderLine {
                name: Some(name.to_owned()),
                version: version.map(str::to_owned),
                model: None,
            }),
            ..line.clone()
        };
        assert_eq!(of_metrics(std::slice::from_ref(&line)), ["answer_ok"]);
        let lines = [grader("judge", Some("3")), grader("judge", Some("4")), grader("a/b", None)];
        assert_eq!(
            of_metrics(&lines),
            ["answer_ok:judge:3", "answer_ok:judge:4", "answer_ok:a_b-c14cddc033f6"]
        );
        let same = [lines[0].clone(), MetricLine { definition: "x".into(), ..lines[0].clone() }];
        assert_eq!(of_metrics(&same).iter().collect::<BTreeSet<_>>().len(), 2);
    }

    proptest! {
        #[test]
        fn every_key_is_one_that_mlflow_takes(name in any::<String>()) {
            let key = clean(&name);
            prop_assert!(key.chars().count() <= NAME_MAX && !key.is_empty());
            prop_assert!(key.chars().all(is_allowed) && !key.starts_with('.') && key.trim() == key);
            prop_assert!(key == name || looks_hashed(&key));
        }
    }
}
