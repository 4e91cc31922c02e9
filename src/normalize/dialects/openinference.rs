//! OpenInference: lists are flattened into keys with an index, parameters are one JSON text.

use super::{Dialect, index, open, parameters, slot};
use crate::normalize::gather::{Family, Gathered, Part};
use crate::normalize::slot::Slot;
use crate::normalize::value::Raw;

/// `llm.*`, `embedding.*`, `openinference.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("openinference.span.kind", slot(Slot::OpenInferenceKind)),
        ("llm.provider", slot(Slot::Provider)),
        ("llm.system", slot(Slot::Provider)),
        ("llm.request.model_name", slot(Slot::Requested)),
        ("llm.response.model_name", slot(Slot::Revision)),
        ("llm.model_name", slot(Slot::ModelName)),
        ("embedding.model_name", slot(Slot::ModelName)),
        ("llm.invocation_parameters", open(parameters::request)),
        ("embedding.invocation_parameters", open(parameters::request)),
        ("prompt.id", slot(Slot::PromptName)),
        ("llm.prompt_template.version", slot(Slot::PromptVersion)),
        ("llm.prompt_template.template", slot(Slot::PromptTemplate)),
        ("llm.input_messages.", open(message)),
        ("llm.tools.", open(tool)),
        ("retrieval.documents.", open(document)),
        ("agent.name", slot(Slot::Agent)),
        ("llm.token_count.prompt", slot(Slot::TokensInput)),
        ("llm.token_count.completion", slot(Slot::TokensOutput)),
        ("llm.token_count.prompt_details.cache_read", slot(Slot::TokensCached)),
        ("llm.token_count.prompt_details.cache_write", slot(Slot::TokensCacheWritten)),
        ("llm.token_count.completion_details.reasoning", slot(Slot::TokensReasoning)),
        ("llm.cost.total", slot(Slot::Cost)),
        ("llm.finish_reason", slot(Slot::FinishReasons)),
        ("output.value", slot(Slot::OutputValue)),
        ("evaluation.name", slot(Slot::ScoreName)),
        ("evaluation.score", slot(Slot::ScoreValue)),
        ("evaluation.label", slot(Slot::ScoreLabel)),
        ("evaluation.identifier", slot(Slot::ScoreAnnotator)),
        ("evaluation.annotator_kind", slot(Slot::ScoreKind)),
        ("annotation.name", slot(Slot::ScoreName)),
        ("annotation.score", slot(Slot::ScoreValue)),
        ("annotation.label", slot(Slot::ScoreLabel)),
        ("annotation.identifier", slot(Slot::ScoreAnnotator)),
        ("annotation.annotator_kind", slot(Slot::ScoreKind)),
        ("evaluations.", open(evaluation)),
        ("trace.evaluations.", open(trace_evaluation)),
        ("session.evaluations.", open(session_evaluation)),
        ("annotations.", open(annotation)),
    ],
};

fn message<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    let Some((at, member)) = index(rest) else { return };
    let part = match member {
        "message.role" => Part::Role,
        "message.content" => Part::Content,
        member
            if member.starts_with("message.contents.")
                && member.ends_with(".message_content.text") =>
        {
            Part::Content
        }
        _ => return,
    };
    gathered.push(Family::InputMessages, at, part, raw);
}

fn tool<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    if let Some((at, "tool.json_schema")) = index(rest) {
        gathered.push(Family::Tools, at, Part::Schema, raw);
    }
}

fn document<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    if let Some((at, "document.id")) = index(rest) {
        gathered.push(Family::Documents, at, Part::Id, raw);
    }
}

fn evaluation<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    judged(gathered, Family::Evaluations, rest, raw);
}

fn trace_evaluation<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    judged(gathered, Family::TraceEvaluations, rest, raw);
}

fn session_evaluation<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    judged(gathered, Family::SessionEvaluations, rest, raw);
}

fn annotation<'a>(gathered: &mut Gathered<'a>, rest: &'a str, raw: Raw<'a>, _: u16) {
    judged(gathered, Family::Annotations, rest, raw);
}

fn judged<'a>(gathered: &mut Gathered<'a>, family: Family, rest: &'a str, raw: Raw<'a>) {
    let Some((at, member)) = index(rest) else { return };
    let member = member.strip_prefix("evaluation.").or_else(|| member.strip_prefix("annotation."));
    let part = match member {
        Some("name") => Part::Name,
        Some("score") => Part::Score,
        Some("label") => Part::Label,
        Some("identifier") => Part::Id,
        Some("annotator_kind") => Part::Kind,
        _ => return,
    };
    gathered.push(family, at, part, raw);
}
