//! Facets: what a call was made with, as canonical fields and values.
//! A [`FacetSet`] holds what identifies a configuration, what is only observed, and the
//! context (service, emitter, agent) that names the call site and the service to blame.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A canonical field. The order is the order in documents and of inheritance tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is named by its path in `PATHS`")]
#[repr(u8)]
pub enum Field {
    ModelProvider,
    ModelRequested,
    ModelRevision,
    Temperature,
    TopP,
    TopK,
    MaxTokens,
    FrequencyPenalty,
    PresencePenalty,
    Stop,
    ChoiceCount,
    ReasoningLevel,
    PromptName,
    PromptVersion,
    PromptHash,
    ToolsVersion,
    ToolsHash,
    RetrievalSource,
    RetrievalSnapshot,
    DatasetName,
    DatasetVersion,
    SafetyPolicy,
    CodeCommit,
    CodeService,
    CodeVersion,
    Seed,
    SystemFingerprint,
    Agent,
    Operation,
    Emitter,
    Environment,
    ExpectedVersion,
    Mode,
}

/// What a field is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Part of the configuration unless the config demotes its group to observed.
    Facet,
    /// Recorded with its values; splits runs only when the config says so.
    Observed,
    /// Names the call site, the service to blame or the emitter; never identifies.
    Context,
}

use Field::*;

/// Every field with its path in documents, its use, and whether a call inherits it from the
/// spans above it (`semconv.md`: "facets that only an ancestor has are inherited").
pub const FIELDS: [(Field, &str, Use, bool); 33] = [
    (ModelProvider, "model.provider", Use::Facet, false),
    (ModelRequested, "model.requested", Use::Facet, false),
    (ModelRevision, "model.revision", Use::Facet, false),
    (Temperature, "sampling.temperature", Use::Facet, false),
    (TopP, "sampling.top_p", Use::Facet, false),
    (TopK, "sampling.top_k", Use::Facet, false),
    (MaxTokens, "sampling.max_tokens", Use::Facet, false),
    (FrequencyPenalty, "sampling.frequency_penalty", Use::Facet, false),
    (PresencePenalty, "sampling.presence_penalty", Use::Facet, false),
    (Stop, "sampling.stop", Use::Facet, false),
    (ChoiceCount, "sampling.choice_count", Use::Facet, false),
    (ReasoningLevel, "sampling.reasoning_level", Use::Facet, false),
    (PromptName, "prompt.name", Use::Facet, true),
    (PromptVersion, "prompt.version", Use::Facet, true),
    (PromptHash, "prompt.hash", Use::Facet, true),
    (ToolsVersion, "tools.version", Use::Facet, true),
    (ToolsHash, "tools.hash", Use::Facet, true),
    (RetrievalSource, "retrieval.source", Use::Facet, true),
    (RetrievalSnapshot, "retrieval.snapshot", Use::Facet, true),
    (DatasetName, "dataset.name", Use::Facet, true),
    (DatasetVersion, "dataset.version", Use::Facet, true),
    (SafetyPolicy, "safety.policy", Use::Facet, true),
    (CodeCommit, "code.commit", Use::Observed, false),
    (CodeService, "code.service", Use::Observed, false),
    (CodeVersion, "code.version", Use::Observed, false),
    (Seed, "seed", Use::Observed, true),
    (SystemFingerprint, "system_fingerprint", Use::Observed, false),
    (Agent, "agent", Use::Context, true),
    (Operation, "operation", Use::Context, false),
    (Emitter, "emitter", Use::Context, false),
    (Environment, "environment", Use::Context, false),
    (ExpectedVersion, "expected_version", Use::Context, true),
    (Mode, "mode", Use::Context, true),
];

/// A canonical value. Numbers are `f64`; JSON has no other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Value {
    /// Text, at most 1 KiB.
    Text(Box<str>),
    /// A finite number.
    Number(f64),
    /// A list, as stop sequences are.
    List(Vec<Value>),
}

/// Canonical fields with values, sorted by field, each at most once.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FacetSet(Vec<(Field, Value)>);

// === impl Field ===

impl Field {
    fn row(self) -> &'static (Field, &'static str, Use, bool) {
        &FIELDS[self as usize]
    }

    /// Its path in documents, such as `prompt.hash`.
    pub fn path(self) -> &'static str {
        self.row().1
    }

    /// The group before the dot, such as `prompt`.
    pub fn group(self) -> &'static str {
        self.path().split('.').next().unwrap_or_default()
    }

    /// What it is for.
    pub fn purpose(self) -> Use {
        self.row().2
    }

    /// Whether a call takes it from the spans above it when it has none itself.
    pub fn inherited(self) -> bool {
        self.row().3
    }

    /// The field of a path.
    pub fn from_path(path: &str) -> Option<Field> {
        FIELDS.iter().find(|row| row.1 == path).map(|row| row.0)
    }

    /// All fields in their order.
    pub fn all() -> impl Iterator<Item = Field> {
        FIELDS.iter().map(|row| row.0)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

// === impl Value ===

impl Value {
    /// A text value.
    pub fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// As text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// For people: text bare, numbers as JSON writes them, lists in brackets.
    pub fn display(&self) -> String {
        match self {
            Value::Text(text) => text.to_string(),
            Value::Number(number) => ryu_js::Buffer::new().format(*number).to_owned(),
            Value::List(list) => {
                let parts: Vec<String> = list.iter().map(Value::display).collect();
                format!("[{}]", parts.join(", "))
            }
        }
    }
}

// === impl FacetSet ===

impl FacetSet {
    /// Sets a field, replacing what it had.
    pub fn set(&mut self, field: Field, value: Value) {
        match self.0.binary_search_by_key(&field, |pair| pair.0) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (field, value)),
        }
    }

    /// Sets a field only when it is absent; says whether it did.
    pub fn set_if_absent(&mut self, field: Field, value: Value) -> bool {
        match self.0.binary_search_by_key(&field, |pair| pair.0) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, (field, value));
                true
            }
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, field: Field) {
        self.0.retain(|pair| pair.0 != field);
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> Option<&Value> {
        let at = self.0.binary_search_by_key(&field, |pair| pair.0).ok()?;
        Some(&self.0[at].1)
    }

    /// The text of a field, when it is text.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.get(field)?.as_text()
    }

    /// Fields with values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Field, &Value)> {
        self.0.iter().map(|(field, value)| (*field, value))
    }

    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the fields that `keep` wants.
    pub fn filtered(&self, mut keep: impl FnMut(Field) -> bool) -> FacetSet {
        FacetSet(self.0.iter().filter(|pair| keep(pair.0)).cloned().collect())
    }

    /// Whether every field of `self` is in `other` with an equal value.
    pub fn is_subset_of(&self, other: &FacetSet) -> bool {
        self.iter().all(|(field, value)| other.get(field) == Some(value))
    }
}

impl FromIterator<(Field, Value)> for FacetSet {
    fn from_iter<I: IntoIterator<Item = (Field, Value)>>(pairs: I) -> Self {
        let mut set = FacetSet::default();
        for (field, value) in pairs {
            set.set(field, value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, row) in FIELDS.iter().enumerate() {
            assert_eq!(row.0 as usize, at, "{}", row.1);
            assert_eq!(Field::from_path(row.1), Some(row.0));
        }
    }

    #[test]
    fn a_set_keeps_one_value_a_field_in_order() {
        let mut set = FacetSet::default();
        set.set(Field::PromptHash, Value::text("h"));
        set.set(Field::ModelRequested, Value::text("m"));
        set.set(Field::PromptHash, Value::text("i"));
        assert!(!set.set_if_absent(Field::PromptHash, Value::text("x")));
        let fields: Vec<Field> = set.iter().map(|pair| pair.0).collect();
        assert_eq!(fields, [Field::ModelRequested, Field::PromptHash]);
        assert_eq!(set.text(Field::PromptHash), Some("i"));
    }
}
