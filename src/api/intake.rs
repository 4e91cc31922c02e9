//! Scores and assignments from outside, one or many: each is taken or refused by itself, and
//! what is taken is acknowledged once it is in the log. Texts of strangers never get into errors.

use super::ApiState;
use super::problem::Problem;
use crate::model::batch::Batch;
use crate::model::entry::Body;
use crate::model::id::Nanos;
use crate::model::meter::Meter;
use crate::model::reject::Reject;
use crate::normalize::{AssignmentInput, GraderInput, ScoreInput};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Items of one request at most.
pub const ITEMS_MAX: usize = 10_000;

/// Bytes of a request at most.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// One judgement.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// An equal one is a repeat.
    #[serde(default)]
    pub id: Option<String>,
    /// Name of the evaluation.
    pub name: String,
    /// A number, true or false, or a label.
    #[serde(default)]
    pub value: Option<Json>,
    /// A label.
    #[serde(default)]
    pub label: Option<String>,
    /// 32 hexadecimal digits.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// 16 hexadecimal digits.
    #[serde(default)]
    pub span_id: Option<String>,
    /// The provider's id of the response.
    #[serde(default)]
    pub response_id: Option<String>,
    /// The session.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Who judged.
    #[serde(default)]
    pub grader: Option<Grader>,
    /// Tells judgements of one grader apart.
    #[serde(default)]
    pub annotator: Option<String>,
    /// RFC 3339; now when absent.
    #[serde(default)]
    pub time: Option<String>,
    /// Chance with which the target was picked for judging.
    #[serde(default)]
    pub probability: Option<f64>,
    /// The grader could not judge.
    #[serde(default)]
    pub failed: bool,
    /// Accepted, and dropped at once: explanations are content.
    #[serde(default, skip_serializing)]
    pub explanation: Dropped,
}

/// Whatever it was, nothing of it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
#[schemars(with = "Option<String>")]
pub struct Dropped;

impl<'de> Deserialize<'de> for Dropped {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(input).map(|_| Dropped)
    }
}

/// Who judged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grader {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// Its model.
    #[serde(default)]
    pub model: Option<String>,
}

/// A trace was given an arm.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// 32 hexadecimal digits; with only a unit it counts as an exposure.
    #[serde(default)]
    pub trace_id: Option<String>,
    /// 16 hexadecimal digits.
    #[serde(default)]
    pub span_id: Option<String>,
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// The unit that was randomised.
    #[serde(default)]
    pub unit: Option<String>,
    /// RFC 3339; now when absent.
    #[serde(default)]
    pub time: Option<String>,
    /// Chance of this arm.
    #[serde(default)]
    pub probability: Option<f64>,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Items that are in the log.
    pub accepted: u64,
    /// The others.
    pub errors: Vec<ItemError>,
}

/// Why one item was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ItemError {
    /// Its place in the request, from 0.
    pub index: u64,
    /// The reason's name.
    pub reason: String,
    /// What was wrong and what to do.
    pub detail: String,
}

/// Why an item is refused, before it has a place.
type Fault = (&'static str, String);

/// The items of a body: one object, a list, or a list under `key`.
pub fn items(body: &[u8], key: &str) -> Result<Vec<Json>, Problem> {
    let json: Json = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad_request(format!("the body is no JSON at line {line}, column {column}"))
    })?;
    let items = match json {
        Json::Array(items) => items,
        Json::Object(mut map) => match map.remove(key) {
            Some(Json::Array(items)) => items,
            Some(_) => return Err(Problem::bad_request(format!("{key} is a list"))),
            None => vec![Json::Object(map)],
        },
        _ => {
            return Err(Problem::bad_request(format!(
                "give an object, a list, or {{\"{key}\": […]}}"
            )));
        }
    };
    at_most(items.len())?;
    Ok(items)
}

/// Refuses a request with too many items.
pub fn at_most(count: usize) -> Result<(), Problem> {
    if count <= ITEMS_MAX {
        return Ok(());
    }
    let detail = format!("{count} items in one request; at most {ITEMS_MAX}");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
}

/// Takes scores; an item that could not be read carries its fault already.
pub async fn scores(state: &ApiState, items: Vec<Result<Score, Json>>) -> Result<Receipt, Problem> {
    let mut batch = Batch::default();
    let now = state.clock.now();
    let (mut receipt, mut taken) = (Receipt::default(), 0);
    for (index, item) in items.iter().enumerate() {
        let result = match item {
            Ok(score) => add_score(state, score, now, &mut batch),
            Err(json) => Err(unreadable(json, &["name"], SCORE_FIELDS)),
        };
        note(result, index, &mut receipt, &mut taken);
    }
    commit(state, batch, now, taken, &mut receipt).await?;
    Meter::add(&state.meter.scores, receipt.accepted);
    Ok(receipt)
}

/// Takes assignments.
pub async fn assignments(
    state: &ApiState,
    items: Vec<Result<Assignment, Json>>,
) -> Result<Receipt, Problem> {
    let mut batch = Batch::default();
    let now = state.clock.now();
    let (mut receipt, mut taken) = (Receipt::default(), 0);
    for (index, item) in items.iter().enumerate() {
        let result = match item {
            Ok(assignment) => add_assignment(state, assignment, now, &mut batch),
            Err(json) => Err(unreadable(json, &["experiment", "arm"], ASSIGNMENT_FIELDS)),
        };
        note(result, index, &mut receipt, &mut taken);
    }
    commit(state, batch, now, taken, &mut receipt).await?;
    Meter::add(&state.meter.assignments, receipt.accepted);
    Ok(receipt)
}

const SCORE_FIELDS: &str = "id, name, value, label, trace_id, span_id, response_id, session_id, \
                            grader {name, version, model}, annotator, time, probability, failed";
const ASSIGNMENT_FIELDS: &str = "trace_id, span_id, experiment, arm, unit, time, probability";

fn note(result: Result<(), Fault>, index: usize, receipt: &mut Receipt, taken: &mut u64) {
    match result {
        Ok(()) => *taken += 1,
        Err((reason, detail)) => {
            let (index, reason) = (index as u64, reason.to_owned());
            receipt.errors.push(ItemError { index, reason, detail });
        }
    }
}

async fn commit(
    state: &ApiState,
    batch: Batch,
    now: Nanos,
    taken: u64,
    receipt: &mut Receipt,
) -> Result<(), Problem> {
    if !batch.is_empty() {
        state.log.append(now, Body::Batch(batch.payload())).await?;
        state.normalizer.durable(&batch);
    }
    receipt.accepted = taken;
    Ok(())
}

fn unreadable(json: &Json, required: &[&str], fields: &str) -> Fault {
    let absent = required.iter().find(|name| json.get(name).is_none());
    let detail = match absent {
        Some(name) => format!("{name} is missing"),
        None => format!("a field is unknown or of the wrong type; the fields are: {fields}"),
    };
    ("malformed", detail)
}

fn refused(state: &ApiState, reason: Reject) -> Fault {
    state.meter.reject(reason, 1);
    (reason.name(), reason.advice().to_owned())
}

fn add_score(state: &ApiState, score: &Score, now: Nanos, batch: &mut Batch) -> Result<(), Fault> {
    let grader = score.grader.clone().unwrap_or_default();
    let (value, label) = value_of(score)?;
    let input = ScoreInput {
        id: score.id.as_deref(),
        name: &score.name,
        value,
        label,
        trace_id: score.trace_id.as_deref(),
        span_id: score.span_id.as_deref(),
        response_id: score.response_id.as_deref(),
        session_id: score.session_id.as_deref(),
        grader: GraderInput {
            name: grader.name.as_deref(),
            version: grader.version.as_deref(),
            model: grader.model.as_deref(),
        },
        annotator: score.annotator.as_deref(),
        time: time_of(score.time.as_deref(), now)?,
        probability: probability_of(score.probability)?,
        failed: score.failed,
    };
    state.normalizer.score(&input, batch).map_err(|reason| refused(state, reason))
}

fn add_assignment(
    state: &ApiState,
    assignment: &Assignment,
    now: Nanos,
    batch: &mut Batch,
) -> Result<(), Fault> {
    let input = AssignmentInput {
        trace_id: assignment.trace_id.as_deref(),
        experiment: &assignment.experiment,
        arm: &assignment.arm,
        unit: assignment.unit.as_deref(),
        time: time_of(assignment.time.as_deref(), now)?,
        probability: probability_of(assignment.probability)?,
        service: None,
    };
    state.normalizer.assignment(&input, batch).map_err(|reason| refused(state, reason))
}

fn value_of(score: &Score) -> Result<(Option<f64>, Option<&str>), Fault> {
    let label = score.label.as_deref();
    Ok(match &score.value {
        None | Some(Json::Null) => (None, label),
        Some(Json::Bool(passed)) => (Some(f64::from(u8::from(*passed))), label),
        Some(Json::Number(number)) => (number.as_f64(), label),
        Some(Json::String(text)) => (None, label.or(Some(text))),
        Some(_) => return Err(("malformed", "value is a number, true, false or a label".into())),
    })
}

fn time_of(text: Option<&str>, now: Nanos) -> Result<Nanos, Fault> {
    let Some(text) = text else { return Ok(now) };
    let wrong = || ("malformed", "time is RFC 3339, such as 2026-11-23T14:02:11Z".to_owned());
    crate::model::id::nanos(text).ok_or_else(wrong)
}

fn probability_of(given: Option<f64>) -> Result<Option<f64>, Fault> {
    match given {
        Some(p) if !(p > 0.0 && p <= 1.0) => {
            Err(("value_out_of_range", "probability lies above 0 and up to 1".into()))
        }
        other => Ok(other),
    }
}
