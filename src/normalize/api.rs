//! Scores and assignments that came over our own API instead of OTLP.

use super::Normalizer;
use super::score::{Judgement, score};
use super::value::{NAME_BYTES_MAX, cut};
use super::walk::ppm;
use crate::model::{
    Assignment, Batch, Define, Nanos, Observation, Reject, Score, Source, SpanId, Sym, Target,
    TraceId,
};

/// One score of a request. Ids of spans and traces are hexadecimal; empty is absent.
#[derive(Clone, Copy, Default, Debug)]
pub struct ScoreInput<'t> {
    /// Makes a resend a repeat.
    pub id: Option<&'t str>,
    /// Name of the evaluation.
    pub name: &'t str,
    /// Its value.
    pub value: Option<f64>,
    /// Its label.
    pub label: Option<&'t str>,
    /// The judged trace.
    pub trace_id: Option<&'t str>,
    /// The judged span of it.
    pub span_id: Option<&'t str>,
    /// The judged response, when the trace is not known.
    pub response_id: Option<&'t str>,
    /// The judged session.
    pub session_id: Option<&'t str>,
    /// Who judged.
    pub grader: GraderInput<'t>,
    /// Tells judgements of one grader apart.
    pub annotator: Option<&'t str>,
    /// When it was judged.
    pub time: Nanos,
    /// Chance that this call was picked for grading.
    pub probability: Option<f64>,
    /// The judge failed: the score is noted as missing.
    pub failed: bool,
}

/// Who judged; all may be absent.
#[derive(Clone, Copy, Default, Debug)]
pub struct GraderInput<'t> {
    /// Its name.
    pub name: Option<&'t str>,
    /// Its version.
    pub version: Option<&'t str>,
    /// Its model.
    pub model: Option<&'t str>,
}

/// One assignment of a request.
#[derive(Clone, Copy, Default, Debug)]
pub struct AssignmentInput<'t> {
    /// The trace, hexadecimal; with only a unit it is an exposure.
    pub trace_id: Option<&'t str>,
    /// The experiment.
    pub experiment: &'t str,
    /// The arm.
    pub arm: &'t str,
    /// Id of the unit that was randomised.
    pub unit: Option<&'t str>,
    /// When.
    pub time: Nanos,
    /// Chance of this arm.
    pub probability: Option<f64>,
    /// The service that evaluated it.
    pub service: Option<&'t str>,
}

impl Normalizer {
    /// Appends a score. A span id beats a response id, that beats a trace id, that a session.
    pub fn score(&self, input: &ScoreInput<'_>, batch: &mut Batch) -> Result<(), Reject> {
        let target = self.target(input)?;
        let judgement = Judgement {
            name: input.name,
            value: input.value,
            label: input.label,
            failed: input.failed,
            grader: [input.grader.name, input.grader.version, input.grader.model]
                .map(Option::unwrap_or_default),
            annotator: input.annotator.unwrap_or_default(),
            id: input.id,
            time: input.time,
            probability: input.probability,
        };
        // Checked before anything is defined, so that a refused score leaves no trace.
        score(&judgement, target, Sym::of)?;
        let score: Score = score(&judgement, target, |text| self.define(text, batch))?;
        append(&Observation::Score(score), batch);
        Ok(())
    }

    fn target(&self, input: &ScoreInput<'_>) -> Result<Target, Reject> {
        let given = |id: Option<&'_ str>| id.is_some_and(|id| !id.is_empty());
        let response = input.response_id.filter(|id| !id.is_empty());
        let session = input.session_id.filter(|id| !id.is_empty());
        let trace = match given(input.trace_id) {
            true => Some(input.trace_id.and_then(TraceId::from_hex).ok_or(Reject::UnknownTarget)?),
            false => None,
        };
        let span = match given(input.span_id) {
            true => Some(input.span_id.and_then(SpanId::from_hex).ok_or(Reject::UnknownTarget)?),
            false => None,
        };
        Ok(match (trace, span, response, session) {
            (Some(trace), Some(span), ..) => Target::Span(trace, span),
            (_, _, Some(response), _) => Target::Response(self.response(response)),
            (Some(trace), ..) => Target::Trace(trace),
            (.., Some(session)) => Target::Session(self.unit(session)),
            _ => return Err(Reject::UnknownTarget),
        })
    }

    /// Appends an assignment; it needs a trace or a unit.
    pub fn assignment(&self, input: &AssignmentInput<'_>, batch: &mut Batch) -> Result<(), Reject> {
        let trace = match input.trace_id.filter(|id| !id.is_empty()) {
            Some(id) => Some(TraceId::from_hex(id).ok_or(Reject::UnknownTarget)?),
            None => None,
        };
        let unit = input.unit.filter(|id| !id.is_empty()).map(|id| self.unit(id));
        let named = !input.experiment.trim().is_empty() && !input.arm.trim().is_empty();
        if (trace.is_none() && unit.is_none()) || !named {
            return Err(Reject::UnknownTarget);
        }
        let assignment = Assignment {
            trace,
            span: SpanId::NONE,
            experiment: self.define(input.experiment, batch),
            arm: self.define(input.arm, batch),
            unit,
            source: Source::Api,
            time: input.time,
            assigned_ppm: input.probability.and_then(ppm),
            service: self.define(input.service.unwrap_or_default(), batch),
        };
        append(&Observation::Assignment(assignment), batch);
        Ok(())
    }

    fn define(&self, text: &str, batch: &mut Batch) -> Sym {
        let text = cut(text.trim(), NAME_BYTES_MAX);
        let sym = Sym::of(text);
        if !sym.is_none() && !self.memo.knows(sym) && !batch.new_names.contains(&sym) {
            batch.define(&Define::Name(sym, text.into()));
        }
        sym
    }
}

fn append(observation: &Observation, batch: &mut Batch) {
    observation.encode(&mut batch.observations);
    batch.count += 1;
}
