//! TEMP: the shape of the score door of `normalize`; the real one replaces this file.

use crate::model::batch::Batch;
use crate::model::id::{Nanos, SpanId, Sym, TraceId, UnitHash};
use crate::model::observation::{Assignment, Define, Grader, Observation, Score, Source, Target};
use crate::model::reject::Reject;

/// Reads scores and assignments.
#[derive(Debug, Default)]
pub struct Normalizer;

/// One judgement, as a stranger sends it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ScoreInput<'a> {
    pub id: Option<&'a str>,
    pub name: &'a str,
    pub value: Option<f64>,
    pub label: Option<&'a str>,
    pub trace_id: Option<&'a str>,
    pub span_id: Option<&'a str>,
    pub response_id: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub grader_name: Option<&'a str>,
    pub grader_version: Option<&'a str>,
    pub grader_model: Option<&'a str>,
    pub annotator: Option<&'a str>,
    pub time: Nanos,
    pub probability: Option<f64>,
    pub failed: bool,
}

/// One assignment, as a stranger sends it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct AssignmentInput<'a> {
    pub trace_id: Option<&'a str>,
    pub span_id: Option<&'a str>,
    pub experiment: &'a str,
    pub arm: &'a str,
    pub unit: Option<&'a str>,
    pub time: Nanos,
    pub probability: Option<f64>,
}

impl Normalizer {
    /// Adds a score to a batch.
    pub fn score(&self, input: &ScoreInput<'_>, batch: &mut Batch) -> Result<(), Reject> {
        if input.name.is_empty() {
            return Err(Reject::MalformedScore);
        }
        let trace = input.trace_id.and_then(TraceId::from_hex);
        let span = input.span_id.and_then(SpanId::from_hex);
        let target = match (trace, span) {
            (Some(trace), Some(span)) => Target::Span(trace, span),
            (Some(trace), None) => Target::Trace(trace),
            _ => return Err(Reject::UnknownTarget),
        };
        let name = define(input.name, batch);
        let score = Score {
            target,
            name,
            value_micro: input.value.map(|value| (value * 1e6) as i64),
            label: input.label.map_or(Sym::NONE, |label| define(label, batch)),
            failed: input.failed,
            grader: Grader {
                name: input.grader_name.map_or(Sym::NONE, |name| define(name, batch)),
                ..Grader::default()
            },
            annotator: Sym::NONE,
            id: input.id.map_or(0, |id| Sym::of(id).0),
            time: input.time,
            picked_ppm: input.probability.map(|p| (p * 1e6) as u32),
        };
        Observation::Score(score).encode(&mut batch.observations);
        batch.count += 1;
        Ok(())
    }

    /// Adds an assignment to a batch.
    pub fn assignment(&self, input: &AssignmentInput<'_>, batch: &mut Batch) -> Result<(), Reject> {
        let trace = input.trace_id.and_then(TraceId::from_hex).ok_or(Reject::EmptyTraceId)?;
        let assignment = Assignment {
            trace: Some(trace),
            span: SpanId::NONE,
            experiment: define(input.experiment, batch),
            arm: define(input.arm, batch),
            unit: input.unit.map(|unit| UnitHash(Sym::of(unit).0)),
            source: Source::Api,
            time: input.time,
            assigned_ppm: None,
            service: Sym::NONE,
        };
        Observation::Assignment(assignment).encode(&mut batch.observations);
        batch.count += 1;
        Ok(())
    }

    /// Notes that a batch is durable.
    pub fn durable(&self, _batch: &Batch) {}
}

fn define(text: &str, batch: &mut Batch) -> Sym {
    let sym = Sym::of(text);
    batch.define(&Define::Name(sym, text.into()));
    sym
}
