//! TEMP: the signatures that `otlp` is written against, with the least that its tests need.

use crate::model::observation::{Define, Grader};
use crate::model::*;

/// When a request came, and which times it may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The stamp.
    pub now: Nanos,
    /// Older spans are refused.
    pub earliest: Nanos,
    /// Newer ones too.
    pub latest: Nanos,
}

/// What a request held.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Spans or records.
    pub received: u64,
    /// Of these, refused, by reason.
    pub rejected: [u64; Reject::ALL.len()],
    /// Calls.
    pub calls: u64,
    /// Scores.
    pub scores: u64,
    /// Assignments.
    pub assignments: u64,
    /// Values that could not be coerced.
    pub bad_values: u64,
}

/// Bytes that are no OTLP.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the bytes are no OTLP protobuf")]
pub struct Malformed;

/// Who wants to know how things were understood.
pub trait Witness {}

/// Nobody.
pub struct Blind;
impl Witness for Blind {}

/// Reads requests.
#[derive(Default, Debug)]
pub struct Normalizer;

impl Normalizer {
    /// Reads traces.
    pub fn traces(
        &self,
        body: &[u8],
        _times: Times,
        batch: &mut Batch,
        _witness: &mut dyn Witness,
    ) -> Result<Report, Malformed> {
        self.walk(body, [1, 2, 2], 1, batch)
    }

    /// Reads logs.
    pub fn logs(
        &self,
        body: &[u8],
        _times: Times,
        batch: &mut Batch,
        _witness: &mut dyn Witness,
    ) -> Result<Report, Malformed> {
        self.walk(body, [1, 2, 2], 9, batch)
    }

    /// The batch is in the log.
    pub fn durable(&self, _batch: &Batch) {}

    fn walk(
        &self,
        body: &[u8],
        path: [u64; 3],
        id: u64,
        batch: &mut Batch,
    ) -> Result<Report, Malformed> {
        let mut level = vec![body];
        for number in path {
            let mut inner = Vec::new();
            for bytes in level {
                inner.extend(fields(bytes)?.into_iter().filter(|f| f.0 == number).map(|f| f.1));
            }
            level = inner;
        }
        let mut report = Report::default();
        for span in level {
            report.received += 1;
            let trace = fields(span)?.into_iter().find(|f| f.0 == id);
            match trace.and_then(|f| TraceId::from_wire(f.1)) {
                Some(trace) => {
                    let place = Place { trace, span: SpanId(1), ..Place::default() };
                    Observation::Link(Link { place }).encode(&mut batch.observations);
                    batch.count += 1;
                }
                None => report.rejected[Reject::EmptyTraceId as usize] += 1,
            }
        }
        Ok(report)
    }
}

fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, &[u8])>, Malformed> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let count = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0)?,
            1 => 8,
            2 => varint(&mut bytes)? as usize,
            5 => 4,
            _ => return Err(Malformed),
        };
        let (part, rest) = bytes.split_at_checked(count).ok_or(Malformed)?;
        bytes = rest;
        if tag & 7 == 2 {
            out.push((tag >> 3, part));
        }
    }
    Ok(out)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

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
}

fn define(text: &str, batch: &mut Batch) -> Sym {
    let sym = Sym::of(text);
    batch.define(&Define::Name(sym, text.into()));
    sym
}

/// TEMP.
#[allow(missing_docs)]
pub struct Config {
    pub mapping: std::collections::BTreeMap<String, Vec<String>>,
    pub hash_key: Option<String>,
    pub hash_key_id: String,
    pub experiments: Vec<String>,
}

impl Normalizer {
    /// TEMP.
    pub fn new(_config: Config) -> Self {
        Normalizer
    }
}
