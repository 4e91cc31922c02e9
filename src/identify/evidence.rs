//! Evidence: which facets a run should have, and the grade for how often it had them.

use crate::model::{FacetSet, Field};

/// A facet that a trustworthy run has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Required {
    /// The facet.
    pub field: Field,
    /// When it is required.
    pub when: When,
}

/// When a facet is required.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Of every call.
    Always,
    /// Of chat and completion calls.
    Completion,
    /// When any call of the run has this other field or the field itself.
    With(Field),
}

/// What is asked of the calls of a run, in the order of documents.
pub const REQUIRED: [Required; 8] = [
    Required { field: Field::ModelRequested, when: When::Always },
    Required { field: Field::ModelRevision, when: When::Always },
    Required { field: Field::PromptHash, when: When::Completion },
    Required { field: Field::ToolsHash, when: When::With(Field::ToolsVersion) },
    Required { field: Field::RetrievalSnapshot, when: When::With(Field::RetrievalSource) },
    Required { field: Field::DatasetVersion, when: When::With(Field::DatasetName) },
    Required { field: Field::CodeCommit, when: When::Always },
    Required { field: Field::PromptVersion, when: When::With(Field::PromptName) },
];

/// What is required of a run with these full sets.
pub fn required<'a>(
    sets: impl Iterator<Item = &'a FacetSet> + Clone,
) -> impl Iterator<Item = Field> {
    REQUIRED.iter().filter_map(move |need| {
        let any = |field: Field| sets.clone().any(|set| set.get(field).is_some());
        let wanted = match need.when {
            When::Always => true,
            When::Completion => {
                sets.clone().any(|set| set.text(Field::Operation) != Some("embeddings"))
            }
            When::With(other) => any(other) || any(need.field),
        };
        wanted.then_some(need.field)
    })
}

/// Whether a set has a facet. A requested model that names a date is its own revision.
pub fn is_present(set: &FacetSet, field: Field) -> bool {
    set.get(field).is_some()
        || (field == Field::ModelRevision && set.text(Field::ModelRequested).is_some_and(is_pinned))
}

/// Scopes of emitters that leave no span of a failed call: what they cannot say is not zero.
const SILENT_ON_FAILURE: [&str; 2] =
    ["@arizeai/openinference-instrumentation-openai", "@traceloop/instrumentation-openai"];

/// Whether an error rate can be known from calls of this set's emitter.
pub fn tells_failures(set: &FacetSet) -> bool {
    set.text(Field::Emitter).is_none_or(|scope| !SILENT_ON_FAILURE.contains(&scope))
}

/// Whether a model name ends in a date, as pinned revisions do (`-2024-07-18`, `-20241022`).
pub fn is_pinned(model: &str) -> bool {
    let digits = model.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '-');
    digits.filter(char::is_ascii_digit).count() >= 8
}

/// A: every share ≥ 99 %; B: ≥ 95 %; C: ≥ 50 %; D: less.
pub fn grade(shares: impl Iterator<Item = f64>) -> char {
    let least = shares.fold(1.0, f64::min);
    match least {
        s if s >= 0.99 => 'A',
        s if s >= 0.95 => 'B',
        s if s >= 0.50 => 'C',
        _ => 'D',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    #[test]
    fn pinned_names_end_in_a_date() {
        assert!(is_pinned("gpt-4o-mini-2024-07-18"));
        assert!(is_pinned("claude-sonnet-4-5-20250929"));
        assert!(!is_pinned("gpt-4o-mini"));
        assert!(!is_pinned("text-embedding-3-small"));
    }

    #[test]
    fn a_snapshot_is_asked_for_when_something_is_retrieved() {
        let plain = FacetSet::default();
        let rag: FacetSet = [(Field::RetrievalSource, Value::text("kb"))].into_iter().collect();
        let asks = |sets: &[FacetSet]| required(sets.iter()).any(|f| f == Field::RetrievalSnapshot);
        assert!(!asks(std::slice::from_ref(&plain)));
        assert!(asks(&[plain, rag]));
    }

    #[test]
    fn the_weakest_share_grades() {
        assert_eq!(grade([1.0, 0.97].into_iter()), 'B');
        assert_eq!(grade([0.4].into_iter()), 'D');
        assert_eq!(grade(std::iter::empty()), 'A');
    }
}
