//! Errors of the config: with file, line, column and the nearest name.

use super::substitute::Problem;
use std::fmt;
use std::path::PathBuf;

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML, or a key or a type is wrong.
    #[error("{}{}: {what}", path.display(), place(*line, *column))]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Line, from 1; 0 when unknown.
        line: u64,
        /// Column, from 1; 0 when unknown.
        column: u64,
        /// What was wrong and what to do.
        what: String,
    },
    /// What it says does not make sense; every problem is listed.
    #[error("{}", List(.0))]
    Invalid(Vec<Fault>),
}

/// One thing that does not make sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Path of the key, such as `experiments.bot.control`.
    pub key: String,
    /// What was wrong and what to do.
    pub what: String,
}

fn place(line: u64, column: u64) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

struct List<'a>(&'a [Fault]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            write!(f, "{gap}{}: {}", fault.key, fault.what)?;
        }
        Ok(())
    }
}

impl Error {
    /// From the parser of `source`.
    pub fn from_yaml(path: PathBuf, source: &str, error: &serde_saphyr::Error) -> Self {
        let text = error.without_snippet().to_string();
        // The parser appends its own wording of the place.
        let text = text.split(" at line ").next().unwrap_or(&text);
        let known = error.location().map(|at| (at.line(), at.column()));
        // A value that we refuse ourselves has no place, or only that of the map around it.
        let ours = known.is_none() || text.starts_with("invalid value");
        let found = match text.strip_prefix("unknown field `").and_then(|t| t.split('`').next()) {
            Some(key) => place_of_key(source, key, known),
            None if ours => place_of_quoted(source, text),
            None => None,
        };
        let (line, column) = found.or(known).unwrap_or((0, 0));
        Error::Malformed { path, line, column, what: with_nearest(text) }
    }

    /// From the substitution of variables.
    pub fn from_problem(path: PathBuf, problem: Problem) -> Self {
        Error::Malformed { path, line: problem.line, column: problem.column, what: problem.what }
    }
}

/// Where an unknown key stands: the parser names the map around it when another map came before
/// it in the same one.
fn place_of_key(source: &str, key: &str, near: Option<(u64, u64)>) -> Option<(u64, u64)> {
    let (line, column) = near.unwrap_or((1, 1));
    let is_key = |text: &str| {
        let rest = text.trim_start_matches(['"', '\'']).strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    let lines = source.lines().zip(1..).skip_while(|numbered| numbered.1 < line);
    let mut places = lines.flat_map(|(text, number)| {
        let first = if number == line { column as usize - 1 } else { 0 };
        let starts = text.char_indices().enumerate().skip(first);
        let before = |at: usize| text[..at].chars().next_back();
        starts
            .filter(move |(_, (at, _))| {
                before(*at).is_none_or(|c| " {,-".contains(c)) && is_key(&text[*at..])
            })
            .map(move |(column, _)| (number, column as u64 + 1))
    });
    places.next()
}

/// Where the value that a message quotes stands in the file.
fn place_of_quoted(source: &str, message: &str) -> Option<(u64, u64)> {
    let value = message.split('"').nth(1).filter(|value| !value.is_empty())?;
    source.lines().zip(1..).find_map(|(line, number)| {
        let body = line.split(" #").next().unwrap_or(line);
        let after = body.find([':', '-']).filter(|_| !body.trim_start().starts_with('#'))?;
        let at = after + body[after..].find(value)?;
        Some((number, body[..at].chars().count() as u64 + 1))
    })
}

/// "unknown field `x`, expected one of `a`, `b`": names the nearest instead of all.
fn with_nearest(text: &str) -> String {
    let unknown = text.starts_with("unknown field") || text.starts_with("unknown variant");
    let (true, Some(given)) = (unknown, text.split('`').nth(1)) else { return text.to_owned() };
    let listed = text.split_once("expected").map_or("", |pair| pair.1);
    let words = listed.split([' ', ',', '`']).filter(|w| !["", "one", "of", "or"].contains(w));
    let known: Vec<&str> = words.collect();
    let kind = if text.starts_with("unknown field") { "key" } else { "value" };
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("unknown {kind} \"{given}\"; did you mean \"{name}\"?"),
        None => format!("unknown {kind} \"{given}\"; known are: {}", known.join(", ")),
    }
}

/// The known name that was most likely meant, if any is near enough.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let scored = known.map(|name| (strsim::jaro_winkler(given, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= NEAR).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_or_all_are_listed() {
        let near = with_nearest("unknown field `lisen`, expected one of `listen`, `data`");
        assert_eq!(near, "unknown key \"lisen\"; did you mean \"listen\"?");
        let far = with_nearest("unknown field `zzz`, expected `listen` or `data`");
        assert_eq!(far, "unknown key \"zzz\"; known are: listen, data");
        assert_eq!(with_nearest("invalid type"), "invalid type");
    }
}
