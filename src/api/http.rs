//! Routes of the JSON API.

use super::find::{self, RunPage, RunQuery};
use super::intake::{self, Assignment, BODY_BYTES_MAX, Receipt, Score};
use super::problem::Problem;
use super::status::{Status, status};
use super::{ApiState, events, gate, openapi, outbox};
use crate::compare;
use crate::model::id::{MINUTE, Nanos};
use crate::model::meter::Disk;
use crate::model::record::RunRecord;
use crate::model::view::{ExperimentView, LookPoint, SeriesPoint, SeriesQuery, View};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Windows of one chart at most, and the default span of time.
const WINDOWS_MAX: u64 = 5_000;
const SPAN_DEFAULT: Nanos = 24 * 60 * MINUTE;

/// One line of the list of experiments.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentLine {
    /// Its name.
    pub name: String,
    /// The control arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Arm names, control first.
    pub arms: Vec<String>,
    /// Calls over all arms and sites.
    pub calls: i64,
    /// `live` or `quiet`.
    pub state: String,
    /// End of the latest call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

/// The list of experiments.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentList {
    /// By name.
    pub experiments: Vec<ExperimentLine>,
}

/// A chart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPage {
    /// The metric.
    pub metric: String,
    /// Windows, oldest first.
    pub windows: Vec<SeriesPoint>,
    /// Differences from control as looks saw them, oldest first: the band over time.
    pub looks: Vec<LookPoint>,
}

/// All routes of the API. The caller adds `/metrics` and the pages.
pub fn http_router(state: ApiState) -> Router {
    let v1 = Router::new()
        .route("/experiments", get(experiments))
        .route("/experiments/{experiment}", get(experiment))
        .route("/experiments/{experiment}/series", get(series))
        .route("/experiments/{experiment}/gate", get(gate::gate))
        .route("/runs", get(runs))
        .route("/runs/{run}", get(run))
        .route("/runs/{a}/compare/{b}", get(compare_runs))
        .route("/scores", post(scores))
        .route("/assignments", post(assignments))
        .route("/events", get(events::events))
        .route("/outbox", get(outbox::outbox))
        .route("/cuts", post(outbox::cut))
        .route("/status", get(read_status))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(map_response(as_problem));
    Router::new()
        .nest("/api/v1", v1)
        .route("/api/public/scores", post(langfuse_score))
        .route("/api/openapi.json", get(async || Json(openapi())))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn unknown_route() -> Problem {
    Problem::not_found("there is no such route; /api/openapi.json lists them", Vec::new())
}

/// A name in the address that is no text is refused before its route sees it.
async fn as_problem(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let plain = kind.is_some_and(|kind| kind.starts_with(b"text/plain"));
    match response.status() {
        status if plain && status.is_client_error() => {
            let told = "the address cannot be read: what follows a % must spell UTF-8";
            Problem::new(status, told).into_response()
        }
        _ => response,
    }
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "the route has other methods; see /api/openapi.json",
    )
}

async fn readyz(State(state): State<ApiState>) -> Response {
    if state.meter.takes() {
        return "ready\n".into_response();
    }
    let text = match state.meter.disk() {
        Disk::Takes => "the engine has not caught up with the log",
        Disk::Refuses => "the log's disk takes no more: free some space or make it writable",
        Disk::Failed => "a sync of the log failed: this process is about to end",
    };
    Problem { retry_after: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, text) }
        .into_response()
}

async fn experiments(State(state): State<ApiState>) -> Json<ExperimentList> {
    Json(ExperimentList { experiments: state.view.load().experiments.iter().map(line).collect() })
}

fn line(experiment: &ExperimentView) -> ExperimentLine {
    ExperimentLine {
        name: experiment.name.clone(),
        control: experiment.control.clone(),
        arms: experiment.arms.clone(),
        calls: experiment.calls,
        state: experiment.state.clone(),
        last_seen: experiment.last_seen.clone(),
    }
}

async fn experiment(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<ExperimentView>, Problem> {
    find::experiment(&state.view.load(), &name).map(|found| Json(found.clone()))
}

async fn runs(
    State(state): State<ApiState>,
    query: Result<Query<RunQuery>, QueryRejection>,
) -> Result<Json<RunPage>, Problem> {
    find::page(&state.view.load(), &parameters(query)?).map(Json)
}

async fn run(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<RunRecord>, Problem> {
    find::run(&state.view.load(), &id).map(|record| Json(record.clone()))
}

async fn compare_runs(
    State(state): State<ApiState>,
    Path((a, b)): Path<(String, String)>,
) -> Result<Json<compare::Comparison>, Problem> {
    let view = state.view.load();
    let (a, b) = find::pair(&view, &a, &b)?;
    Ok(Json(compare::compare(&view, a, b)))
}

async fn read_status(State(state): State<ApiState>) -> Json<Status> {
    Json(status(&state.view.load(), &state.meter, state.log.depth()))
}

/// `?metric=&arm=&site=&from=&to=&step=`.
#[derive(Deserialize)]
struct SeriesParameters {
    metric: String,
    arm: Option<String>,
    site: Option<String>,
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

async fn series(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    query: Result<Query<SeriesParameters>, QueryRejection>,
) -> Result<Json<SeriesPage>, Problem> {
    let query = series_query(&state.view.load(), &name, parameters(query)?)?;
    let found = (state.series)(&query);
    let metric = query.metric.clone();
    Ok(Json(SeriesPage { metric, windows: found.windows, looks: found.looks }))
}

fn series_query(view: &View, name: &str, given: SeriesParameters) -> Result<SeriesQuery, Problem> {
    find::experiment(view, name)?;
    let to = instant(given.to.as_deref(), "to")?.unwrap_or(view.log_time + 1);
    let from = instant(given.from.as_deref(), "from")?.unwrap_or(to.saturating_sub(SPAN_DEFAULT));
    let step = match given.step.as_deref() {
        None => MINUTE,
        Some(text) => crate::model::settings::Span::parse(text).map_err(Problem::bad_request)?.0,
    };
    if step == 0 || !step.is_multiple_of(MINUTE) {
        return Err(Problem::bad_request("step is a whole number of minutes, such as 1m or 1h"));
    }
    if from >= to || (to - from) / step > WINDOWS_MAX {
        let detail = format!("from lies before to, and at most {WINDOWS_MAX} steps before it");
        return Err(Problem::bad_request(detail));
    }
    let (experiment, site) = (name.to_owned(), given.site);
    Ok(SeriesQuery { experiment, site, metric: given.metric, arm: given.arm, from, to, step })
}

fn instant(text: Option<&str>, name: &str) -> Result<Option<Nanos>, Problem> {
    let Some(text) = text else { return Ok(None) };
    crate::model::id::nanos(text).map(Some).ok_or_else(|| {
        Problem::bad_request(format!("{name} is RFC 3339, such as 2026-11-23T14:02:11Z"))
    })
}

pub(super) fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let wrong = "a parameter is missing or of the wrong type; see /api/openapi.json";
    query.map(|query| query.0).map_err(|_| Problem::bad_request(wrong))
}

async fn scores(
    State(state): State<ApiState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Receipt>, Problem> {
    let items = typed::<Score>(intake::items(&body_of(body)?, "scores")?);
    answer(intake::scores(&state, items).await?)
}

async fn assignments(
    State(state): State<ApiState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Receipt>, Problem> {
    let items = typed::<Assignment>(intake::items(&body_of(body)?, "assignments")?);
    answer(intake::assignments(&state, items).await?)
}

fn body_of(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {BODY_BYTES_MAX} bytes; send several requests"),
        ),
        _ => Problem::bad_request("the body could not be read to its end"),
    })
}

fn typed<T: DeserializeOwned>(items: Vec<serde_json::Value>) -> Vec<Result<T, serde_json::Value>> {
    let read = |item: serde_json::Value| T::deserialize(&item).map_err(|_| item);
    items.into_iter().map(read).collect()
}

/// Partial success is success; when nothing was taken the status says so too.
fn answer(receipt: Receipt) -> Result<Json<Receipt>, Problem> {
    if receipt.accepted > 0 || receipt.errors.is_empty() {
        return Ok(Json(receipt));
    }
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no item was accepted");
    Err(Problem { errors: receipt.errors, ..problem })
}

/// The body of Langfuse's `POST /api/public/scores`, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LangfuseScore {
    id: Option<String>,
    name: String,
    value: Option<serde_json::Value>,
    trace_id: Option<String>,
    observation_id: Option<String>,
    session_id: Option<String>,
    data_type: Option<String>,
}

/// Langfuse's answer.
#[derive(Serialize)]
struct LangfuseAnswer {
    id: String,
}

async fn langfuse_score(
    State(state): State<ApiState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<LangfuseAnswer>, Problem> {
    let body = body_of(body)?;
    let given: LangfuseScore = serde_json::from_slice(&body)
        .map_err(|_| Problem::bad_request("the body is no score of Langfuse's public API"))?;
    // Without an id a repeat of the same bytes is the same score.
    let id = given.id.clone().unwrap_or_else(|| {
        crate::model::canonical::sha256_text(&body)["sha256:".len()..][..32].to_owned()
    });
    let receipt = intake::scores(&state, vec![Ok(from_langfuse(given, &id))]).await?;
    answer(receipt).map(|_| Json(LangfuseAnswer { id }))
}

fn from_langfuse(given: LangfuseScore, id: &str) -> Score {
    let boolean = given.data_type.as_deref() == Some("BOOLEAN");
    let value = given.value.map(|value| match value.as_f64() {
        Some(number) if boolean => serde_json::Value::Bool(number != 0.0),
        _ => value,
    });
    Score {
        id: Some(id.to_owned()),
        name: given.name,
        value,
        trace_id: given.trace_id,
        span_id: given.observation_id,
        session_id: given.session_id,
        ..Score::default()
    }
}
