//! Whether a span is a call, by the rules of "one call, counted once": the first marker that is
//! present decides alone, never a name, a SpanKind or a mere `gen_ai.system`.

use super::gather::Gathered;
use super::slot::{Slot, Slots};
use super::value::Raw;
use crate::model::{Operation, Role};

/// What a span is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A model invocation.
    Call(Operation),
    /// Anything else.
    Other(Role),
}

/// A decision and what it rests on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict<'a> {
    /// What it is.
    pub kind: Kind,
    /// The attribute that decided; empty when there is no marker.
    pub marker: &'static str,
    /// Its value.
    pub value: Raw<'a>,
    /// The dialect of the marker; empty when there is no marker.
    pub dialect: &'static str,
}

type Judge = fn(&str) -> Kind;

const RULES: [(Slot, &str, &str, Judge); 6] = [
    (Slot::OperationName, "gen_ai.operation.name", "genai", operation_name),
    (Slot::OpenInferenceKind, "openinference.span.kind", "openinference", openinference),
    (Slot::LangfuseType, "langfuse.observation.type", "langfuse", langfuse),
    (Slot::VercelOperation, "ai.operationId", "vercel", vercel),
    (Slot::RequestType, "llm.request.type", "openllmetry", request_type),
    (Slot::TraceloopKind, "traceloop.span.kind", "openllmetry", traceloop),
];

/// What a decision rests on.
pub const MARKERS: Slots = {
    let (mut all, mut at) = (Slot::LogfireType.bit(), 0);
    while at < RULES.len() {
        all |= RULES[at].0.bit();
        at += 1;
    }
    all
};

/// Decides.
pub fn decide<'a>(gathered: &Gathered<'a>) -> Verdict<'a> {
    if let Some(value) = gathered.get(Slot::LogfireType)
        && matches!(value, Raw::Text("log" | "pending_span"))
    {
        let kind = Kind::Other(Role::Other);
        return Verdict { kind, marker: "logfire.span_type", value, dialect: "genai" };
    }
    for (slot, marker, dialect, judge) in RULES {
        if let Some(value) = gathered.get(slot) {
            let kind = value.text().map_or(Kind::Other(Role::Other), |text| judge(&text));
            return Verdict { kind, marker, value, dialect };
        }
    }
    Verdict { kind: Kind::Other(Role::Other), marker: "", value: Raw::Empty, dialect: "" }
}

fn operation_name(name: &str) -> Kind {
    Kind::Call(match name {
        "chat" => Operation::Chat,
        "generate_content" => Operation::GenerateContent,
        "text_completion" => Operation::TextCompletion,
        "embeddings" | "embedding" => Operation::Embeddings,
        "evaluation" => return Kind::Other(Role::Evaluator),
        "retrieval" => return Kind::Other(Role::Retrieval),
        "invoke_agent" | "create_agent" | "agent_step" | "invoke_workflow" => {
            return Kind::Other(Role::Wrapper);
        }
        _ => return Kind::Other(Role::Other),
    })
}

fn openinference(kind: &str) -> Kind {
    const KINDS: [(&str, Kind); 6] = [
        ("LLM", Kind::Call(Operation::Chat)),
        ("EMBEDDING", Kind::Call(Operation::Embeddings)),
        ("EVALUATOR", Kind::Other(Role::Evaluator)),
        ("RETRIEVER", Kind::Other(Role::Retrieval)),
        ("AGENT", Kind::Other(Role::Wrapper)),
        ("CHAIN", Kind::Other(Role::Wrapper)),
    ];
    let found = KINDS.iter().find(|pair| pair.0.eq_ignore_ascii_case(kind));
    found.map_or(Kind::Other(Role::Other), |pair| pair.1)
}

fn langfuse(kind: &str) -> Kind {
    match kind {
        "generation" => Kind::Call(Operation::Chat),
        "embedding" => Kind::Call(Operation::Embeddings),
        "evaluator" => Kind::Other(Role::Evaluator),
        "retriever" => Kind::Other(Role::Retrieval),
        "span" | "agent" | "chain" => Kind::Other(Role::Wrapper),
        _ => Kind::Other(Role::Other),
    }
}

fn vercel(id: &str) -> Kind {
    match id.strip_prefix("ai.").and_then(|id| id.split_once('.')) {
        Some((_, "doGenerate" | "doStream")) => Kind::Call(Operation::Chat),
        Some((_, "doEmbed")) => Kind::Call(Operation::Embeddings),
        None if id != "ai.toolCall" => Kind::Other(Role::Wrapper),
        _ => Kind::Other(Role::Other),
    }
}

fn request_type(kind: &str) -> Kind {
    match kind {
        "chat" => Kind::Call(Operation::Chat),
        "completion" => Kind::Call(Operation::TextCompletion),
        "embedding" | "embeddings" => Kind::Call(Operation::Embeddings),
        _ => Kind::Other(Role::Other),
    }
}

fn traceloop(kind: &str) -> Kind {
    match kind {
        "workflow" | "task" | "agent" => Kind::Other(Role::Wrapper),
        _ => Kind::Other(Role::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(pairs: &[(Slot, &'static str)]) -> Kind {
        let mut gathered = Gathered::default();
        pairs.iter().for_each(|pair| gathered.put(pair.0, Raw::Text(pair.1), 0));
        decide(&gathered).kind
    }

    #[test]
    fn the_first_marker_decides_alone() {
        use Slot::*;
        let wrapper = Kind::Other(Role::Wrapper);
        assert_eq!(
            decided(&[(OperationName, "invoke_agent"), (OpenInferenceKind, "LLM")]),
            wrapper
        );
        assert_eq!(decided(&[(OpenInferenceKind, "CHAIN"), (RequestType, "chat")]), wrapper);
        assert_eq!(decided(&[(VercelOperation, "ai.streamText")]), wrapper);
        assert_eq!(
            decided(&[(VercelOperation, "ai.streamText.doStream")]),
            Kind::Call(Operation::Chat)
        );
        assert_eq!(decided(&[(OperationName, "embedding")]), Kind::Call(Operation::Embeddings));
        assert_eq!(decided(&[(Provider, "openai"), (Requested, "m")]), Kind::Other(Role::Other));
        assert_eq!(
            decided(&[(LogfireType, "log"), (OperationName, "chat")]),
            Kind::Other(Role::Other)
        );
        assert_eq!(decided(&[(OpenInferenceKind, "EVALUATOR")]), Kind::Other(Role::Evaluator));
    }
}
