//! Finding a run in a view by its id or the first digits of it, for every surface. Who asks for
//! one that is not there is told the ids most like it.

use crate::model::record::RunRecord;
use crate::model::view::View;
use std::collections::BTreeSet;

/// Near names told at most.
pub const NEAR_MAX: usize = 5;
/// How alike a name must be to be told, of 1.
const ALIKE_MIN: f64 = 0.6;
/// Bytes of what was given that are looked at: the length of a name.
const GIVEN_BYTES_MAX: usize = 128;

/// Why there is not one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Absent {
    /// None begins so; ids most like it.
    None(Vec<String>),
    /// Several do: how many, and the first of them.
    Several(usize, Vec<String>),
}

/// The newest record of a run, by id or unique prefix of it.
pub fn run<'v>(view: &'v View, id: &str) -> Result<&'v RunRecord, Absent> {
    let starts = |record: &&RunRecord| record.run.id.starts_with(id);
    let ids: BTreeSet<&str> =
        view.runs.iter().filter(starts).map(|record| record.run.id.as_str()).collect();
    if ids.len() > 1 {
        let first = ids.iter().take(NEAR_MAX).map(|id| (*id).to_owned()).collect();
        return Err(Absent::Several(ids.len(), first));
    }
    let newest = view.runs.iter().filter(starts).max_by_key(|record| record.window.epoch);
    newest.ok_or_else(|| {
        let known: BTreeSet<&str> = view.runs.iter().map(|record| record.run.id.as_str()).collect();
        Absent::None(nearest(id, known.into_iter()))
    })
}

/// The names most like one that is not there, the nearest first.
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let given = short(given);
    let like = |name: &str| {
        strsim::jaro_winkler(given, name).max(strsim::normalized_damerau_levenshtein(given, name))
    };
    let mut scored: Vec<(f64, &str)> =
        names.map(|name| (like(name), name)).filter(|pair| pair.0 > ALIKE_MIN).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(NEAR_MAX).map(|pair| pair.1.to_owned()).collect()
}

/// What a stranger gave, cut to the length of a name.
pub fn short(text: &str) -> &str {
    let mut end = text.len().min(GIVEN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

// === impl Absent ===

impl Absent {
    /// What was wrong and what to do, of what was given.
    pub fn says(&self, given: &str) -> String {
        match self {
            Absent::None(_) => format!("there is no run {}", short(given)),
            Absent::Several(count, _) => {
                format!("{count} runs begin with \"{}\"; give more digits", short(given))
            }
        }
    }

    /// Ids to try instead.
    pub fn candidates(&self) -> &[String] {
        let (Absent::None(ids) | Absent::Several(_, ids)) = self;
        ids
    }
}
