//! From gathered attributes to a canonical facet set, in two steps: the raw bytes that identify
//! are hashed as they stand ([`Identity::feed`], no allocation), and only a set
//! that was never seen is made canonical ([`Identity::canonical`]).

use super::content;
use super::gather::Gathered;
use super::memo::Feed;
use super::secret::Secret;
use super::slot::{CONTENT, FACETS, Slot, Slots, bits};
use super::value::{FACET_BYTES_MAX, Raw, cut};
use crate::model::canonical::canonical_number;
use crate::model::{FacetSet, Field, Operation, Value};

/// What besides the attributes decides about a set.
#[derive(Clone, Copy)]
pub struct Identity<'g, 'a> {
    /// The gathered attributes.
    pub gathered: &'g Gathered<'a>,
    /// Whose facets these are.
    pub whose: Whose,
    /// The call failed: it has no revision.
    pub failed: bool,
    /// The instrumentation scope.
    pub emitter: &'a [u8],
}

/// Whose facets a set holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// A call's: all fields.
    Call(Operation),
    /// A log event's that completes a call: all fields that say something about the call.
    Content,
    /// Another span's: what calls below inherit.
    Above,
    /// A retrieval's: as above, and the ids of what it found.
    Retrieval,
}

/// Slots that calls inherit, and the content that becomes such.
const INHERITED: Slots = bits(&[
    Slot::PromptName,
    Slot::PromptVersion,
    Slot::PromptHash,
    Slot::ToolsVersion,
    Slot::ToolsHash,
    Slot::RetrievalSource,
    Slot::RetrievalSnapshot,
    Slot::DatasetName,
    Slot::DatasetVersion,
    Slot::SafetyPolicy,
    Slot::Agent,
    Slot::ExpectedVersion,
    Slot::Mode,
]) | bits(&CONTENT);

impl<'a> Identity<'_, 'a> {
    /// Whether there may be any facet worth an entry.
    pub fn is_worth_it(&self) -> bool {
        match self.whose {
            Whose::Call(_) | Whose::Content => true,
            Whose::Above | Whose::Retrieval => {
                self.gathered.has(INHERITED) || !self.gathered.indexed.is_empty()
            }
        }
    }

    /// Feeds bytes that determine the canonical set.
    pub fn feed(&self, out: &mut Feed) {
        let (tag, operation) = match self.whose {
            Whose::Call(operation) => (0, operation as u8),
            Whose::Content => (1, 0),
            Whose::Above => (2, 0),
            Whose::Retrieval => (3, 0),
        };
        out.put(&[tag, operation, u8::from(self.failed)]);
        Raw::Bytes(self.emitter).feed(out);
        for slot in FACETS.iter().map(|pair| pair.0).filter(|slot| *slot != Slot::Seed) {
            self.feed_slot(slot, out);
        }
        if self.gathered.has(Slot::ModelName.bit()) {
            self.feed_slot(Slot::ModelName, out);
            let marks = [Slot::LangfuseType, Slot::CompletionStart, Slot::LangfuseStatus];
            out.put(&marks.map(|mark| u8::from(self.gathered.has(mark.bit()))));
        }
        content::feed(self.gathered, out);
        if self.whose == Whose::Retrieval {
            self.feed_slot(Slot::RetrievalDocuments, out);
            self.gathered.indexed.iter().for_each(|item| item.raw.feed(out));
        }
    }

    fn feed_slot(&self, slot: Slot, out: &mut Feed) {
        if let Some(raw) = self.gathered.get(slot) {
            out.put(&[slot as u8]);
            raw.feed(out);
        }
    }

    /// The canonical set.
    pub fn canonical(&self, secret: &Secret) -> FacetSet {
        let mut set: FacetSet = FACETS
            .iter()
            .filter(|pair| pair.0 != Slot::Seed)
            .filter_map(|(slot, field)| Some((*field, value(*field, self.gathered.get(*slot)?)?)))
            .collect();
        self.model(&mut set);
        self.hashes(&mut set, secret);
        match self.whose {
            Whose::Call(operation) => {
                set.set(Field::Operation, Value::text(operation.name()));
                if let Some(emitter) =
                    str::from_utf8(self.emitter).ok().filter(|name| !name.is_empty())
                {
                    set.set(Field::Emitter, Value::text(cut(emitter, FACET_BYTES_MAX)));
                }
                set
            }
            Whose::Content => set.filtered(|field| is_about_call(field) || field.inherited()),
            Whose::Above | Whose::Retrieval => set.filtered(Field::inherited),
        }
    }

    /// Which of requested and revision a bare model name is; a revision that says no more than
    /// the request is none, nor has a failed call one.
    fn model(&self, set: &mut FacetSet) {
        let bare =
            self.gathered.get(Slot::ModelName).and_then(|raw| value(Field::ModelRequested, raw));
        if let Some(bare) = bare {
            let field = if self.bare_name_is_revision(set) {
                Field::ModelRevision
            } else {
                Field::ModelRequested
            };
            set.set_if_absent(field, bare);
        }
        if self.failed || set.get(Field::ModelRevision) == set.get(Field::ModelRequested) {
            set.remove(Field::ModelRevision);
        }
    }

    fn bare_name_is_revision(&self, set: &FacetSet) -> bool {
        if self.failed {
            return false;
        }
        if !self.gathered.has(Slot::LangfuseType.bit()) {
            return set.get(Field::ModelRequested).is_some();
        }
        // Langfuse names the answer's model, but on streamed chats and hand-made generations the
        // asked one; a Responses API object has a status and names the answer's even then.
        !self.gathered.has(Slot::CompletionStart.bit())
            || self.gathered.has(Slot::LangfuseStatus.bit())
    }

    fn hashes(&self, set: &mut FacetSet, secret: &Secret) {
        for field in [Field::PromptHash, Field::ToolsHash] {
            if let Some(told) = set.text(field).map(|told| secret.rehash(told)) {
                set.set(field, Value::text(&told));
            }
        }
        if self.whose == Whose::Call(Operation::Embeddings) {
            // What is embedded has no system prompt, though some emitters repeat the template.
            return;
        }
        if set.get(Field::PromptHash).is_none()
            && let Some(prompt) = content::system_prompt(self.gathered)
        {
            set.set(Field::PromptHash, Value::text(&secret.hash(&prompt)));
        }
        if set.get(Field::ToolsHash).is_none()
            && let Some(tools) = content::tools(self.gathered)
        {
            set.set(Field::ToolsHash, Value::text(&secret.hash(&tools)));
        }
        if self.whose == Whose::Retrieval
            && set.get(Field::RetrievalSource).is_none()
            && let Some(ids) = content::documents(self.gathered)
        {
            set.set(Field::RetrievalSource, Value::text(&secret.hash(&ids)));
        }
    }
}

/// Whether a log event may tell it of its call: not who runs the code.
fn is_about_call(field: Field) -> bool {
    let group = field.group();
    !matches!(group, "code" | "environment" | "emitter" | "operation")
}

/// The canonical value of a field.
fn value(field: Field, raw: Raw<'_>) -> Option<Value> {
    match field {
        Field::Temperature
        | Field::TopP
        | Field::TopK
        | Field::FrequencyPenalty
        | Field::PresencePenalty => Some(Value::Number(canonical_number(raw.number()?))),
        Field::MaxTokens => Some(Value::Number(raw.number()?)),
        // One choice is what everybody gets who does not ask.
        Field::ChoiceCount => raw.number().filter(|count| *count != 1.0).map(Value::Number),
        Field::Stop => stop(raw),
        Field::ModelProvider => provider(&raw.text()?),
        _ => Some(Value::text(cut(&raw.text()?, FACET_BYTES_MAX))),
    }
}

/// Stop sequences as a list, also when there is one that came bare.
fn stop(raw: Raw<'_>) -> Option<Value> {
    let mut list = Vec::new();
    let mut bytes_left = FACET_BYTES_MAX;
    let mut take = |raw: Raw<'_>| {
        // White space is a stop sequence too, so `text`, which drops it, is only the fallback.
        let text = match raw {
            Raw::Text(text) => Some(text.into()),
            Raw::Json(json) => super::json::string(json),
            other => other.text(),
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let text = cut(&text, bytes_left);
            bytes_left -= text.len();
            list.push(Value::text(text));
        }
    };
    match raw.opened() {
        Raw::Json(json) if json.starts_with('"') => take(raw),
        Raw::List(_) | Raw::Json(_) => raw.each(take),
        _ => take(raw),
    }
    (!list.is_empty()).then_some(Value::List(list))
}

/// Lower case, without the API family that Vercel appends (`openai.responses`).
fn provider(name: &str) -> Option<Value> {
    const FAMILIES: [&str; 9] = [
        "chat",
        "responses",
        "completion",
        "completions",
        "embedding",
        "embeddings",
        "messages",
        "generative-ai",
        "image",
    ];
    let name = match name.rsplit_once('.') {
        Some((name, family)) if FAMILIES.contains(&family) => name,
        _ => name,
    };
    Some(Value::text(cut(&name.to_lowercase(), FACET_BYTES_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(Slot, Raw<'static>)], failed: bool) -> FacetSet {
        let mut gathered = Gathered::default();
        pairs.iter().for_each(|pair| gathered.put(pair.0, pair.1, 0));
        let whose = Whose::Call(Operation::Chat);
        Identity { gathered: &gathered, whose, failed, emitter: b"e" }
            .canonical(&Secret::new(None, ""))
    }

    #[test]
    fn a_revision_must_say_more_than_the_request() {
        let both = [(Slot::Requested, Raw::Text("m")), (Slot::Revision, Raw::Text("m-1"))];
        assert_eq!(set(&both, false).text(Field::ModelRevision), Some("m-1"));
        assert_eq!(set(&both, true).text(Field::ModelRevision), None);
        let same = [(Slot::Requested, Raw::Text("m")), (Slot::Revision, Raw::Text("m"))];
        assert_eq!(set(&same, false).text(Field::ModelRevision), None);
        let bare = [(Slot::ModelName, Raw::Text("m-1"))];
        assert_eq!(set(&bare, false).text(Field::ModelRequested), Some("m-1"));
        let asked = [(Slot::Requested, Raw::Text("m")), (Slot::ModelName, Raw::Text("m-1"))];
        assert_eq!(set(&asked, false).text(Field::ModelRevision), Some("m-1"));
    }

    #[test]
    fn numbers_lists_and_providers_have_one_spelling() {
        let a = [
            (Slot::Temperature, Raw::Double(f64::from(0.2f32))),
            (Slot::MaxTokens, Raw::Text("256")),
            (Slot::Stop, Raw::Text("[\"\\n\\n\"]")),
            (Slot::Provider, Raw::Text("OpenAI.responses")),
            (Slot::ChoiceCount, Raw::Int(1)),
        ];
        let b = [
            (Slot::Temperature, Raw::Text("0.2")),
            (Slot::MaxTokens, Raw::Double(256.0)),
            (Slot::Stop, Raw::Text("\n\n")),
            (Slot::Provider, Raw::Text("openai")),
        ];
        assert_eq!(set(&a, false), set(&b, false));
        assert_eq!(
            set(&[(Slot::Provider, Raw::Text("aws.bedrock"))], false).text(Field::ModelProvider),
            Some("aws.bedrock")
        );
    }
}
