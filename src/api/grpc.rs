//! `RunService` and `ScoreService`: the same as the JSON routes, with the same names.

use super::events::POLL;
use super::find::{self, RunQuery};
use super::intake::{self, Assignment, BODY_BYTES_MAX, Grader, Receipt, Score};
use super::proto::run_service_server::{RunService, RunServiceServer};
use super::proto::score_service_server::{ScoreService, ScoreServiceServer};
use super::{ApiState, proto, twin};
use crate::compare;
use crate::model::record::RunRecord;
use futures_util::stream::{self, Stream, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use tonic::{Request, Response, Status};

/// The gRPC service that reads runs.
pub fn run_service(state: ApiState) -> RunServiceServer<Services> {
    RunServiceServer::new(Services(state)).max_decoding_message_size(BODY_BYTES_MAX)
}

/// The gRPC service that takes scores and assignments.
pub fn score_service(state: ApiState) -> ScoreServiceServer<Services> {
    ScoreServiceServer::new(Services(state)).max_decoding_message_size(BODY_BYTES_MAX)
}

/// Both services over one state.
pub struct Services(ApiState);

impl Services {
    /// Over a state.
    pub fn over(state: ApiState) -> Self {
        Services(state)
    }
}

type RunStream = Pin<Box<dyn Stream<Item = Result<proto::RunRecord, Status>> + Send>>;

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[tonic::async_trait]
impl RunService for Services {
    async fn list_runs(
        &self,
        request: Request<proto::ListRunsRequest>,
    ) -> Result<Response<proto::ListRunsResponse>, Status> {
        let asked = request.into_inner();
        let query = RunQuery {
            experiment: given(asked.experiment),
            arm: given(asked.arm),
            site: given(asked.site),
            after: given(asked.after),
            limit: (asked.limit > 0).then_some(asked.limit as usize),
        };
        let page = find::page(&self.0.view.load(), &query)?;
        let runs = page.runs.iter().map(twin::to_proto).collect();
        Ok(Response::new(proto::ListRunsResponse { runs, next: page.next }))
    }

    async fn get_run(
        &self,
        request: Request<proto::GetRunRequest>,
    ) -> Result<Response<proto::RunRecord>, Status> {
        let view = self.0.view.load();
        Ok(Response::new(twin::to_proto(find::run(&view, &request.get_ref().id)?)))
    }

    async fn compare_runs(
        &self,
        request: Request<proto::CompareRunsRequest>,
    ) -> Result<Response<proto::CompareRunsResponse>, Status> {
        let view = self.0.view.load();
        let asked = request.get_ref();
        let (a, b) = find::pair(&view, &asked.a, &asked.b)?;
        Ok(Response::new(twin::comparison(&compare::compare(&view, a, b))))
    }

    type WatchRunsStream = RunStream;

    async fn watch_runs(
        &self,
        request: Request<proto::WatchRunsRequest>,
    ) -> Result<Response<RunStream>, Status> {
        let asked = request.into_inner();
        let query = RunQuery {
            experiment: given(asked.experiment),
            arm: given(asked.arm),
            site: given(asked.site),
            ..RunQuery::default()
        };
        let watcher = Watcher { state: self.0.clone(), query, ..Watcher::new(self.0.clone()) };
        Ok(Response::new(stream::unfold(watcher, Watcher::next).boxed()))
    }
}

/// One stream of records: what it has sent and what it still has to send.
struct Watcher {
    state: ApiState,
    query: RunQuery,
    position: Option<u64>,
    sent: BTreeMap<(String, u32), RunRecord>,
    waiting: VecDeque<RunRecord>,
}

impl Watcher {
    fn new(state: ApiState) -> Self {
        let (sent, waiting) = (BTreeMap::new(), VecDeque::new());
        Watcher { state, query: RunQuery::default(), position: None, sent, waiting }
    }

    async fn next(mut self) -> Option<(Result<proto::RunRecord, Status>, Self)> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Some((Ok(twin::to_proto(&record)), self));
            }
            if self.position.is_some() {
                tokio::time::sleep(POLL).await;
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let view = self.state.view.load_full();
        if self.position == Some(view.position) {
            return;
        }
        self.position = Some(view.position);
        for record in view.runs.iter().filter(|record| self.query.takes(record)) {
            let key = (record.run.id.clone(), record.window.epoch);
            // Who says so moves on with every entry of the log; that alone is no news.
            let mut news = record.clone();
            if let Some(sent) = self.sent.get(&key) {
                news.collector.clone_from(&sent.collector);
            }
            if self.sent.get(&key) != Some(&news) {
                self.waiting.push_back(record.clone());
                self.sent.insert(key, record.clone());
            }
        }
        let live = |key: &(String, u32)| {
            view.runs.iter().any(|r| r.run.id == key.0 && r.window.epoch == key.1)
        };
        self.sent.retain(|key, _| live(key));
    }
}

#[tonic::async_trait]
impl ScoreService for Services {
    async fn record_scores(
        &self,
        request: Request<proto::RecordScoresRequest>,
    ) -> Result<Response<proto::RecordResponse>, Status> {
        let scores = request.into_inner().scores;
        intake::at_most(scores.len())?;
        let items = scores.into_iter().map(|score| Ok(from_score(score))).collect();
        Ok(Response::new(receipt(intake::scores(&self.0, items).await?)))
    }

    async fn record_assignments(
        &self,
        request: Request<proto::RecordAssignmentsRequest>,
    ) -> Result<Response<proto::RecordResponse>, Status> {
        let assignments = request.into_inner().assignments;
        intake::at_most(assignments.len())?;
        let items = assignments.into_iter().map(|item| Ok(from_assignment(item))).collect();
        Ok(Response::new(receipt(intake::assignments(&self.0, items).await?)))
    }
}

fn from_score(score: proto::Score) -> Score {
    let grader = |g: proto::Grader| Grader { name: g.name, version: g.version, model: g.model };
    Score {
        id: score.id,
        name: score.name,
        value: score.value.and_then(serde_json::Number::from_f64).map(serde_json::Value::Number),
        label: score.label,
        trace_id: score.trace_id,
        span_id: score.span_id,
        response_id: score.response_id,
        session_id: score.session_id,
        grader: score.grader.map(grader),
        annotator: score.annotator,
        time: score.time,
        probability: score.probability,
        failed: score.failed,
        explanation: intake::Dropped,
    }
}

fn from_assignment(item: proto::Assignment) -> Assignment {
    Assignment {
        trace_id: given(item.trace_id),
        span_id: item.span_id,
        experiment: item.experiment,
        arm: item.arm,
        unit: item.unit,
        time: item.time,
        probability: item.probability,
    }
}

fn receipt(receipt: Receipt) -> proto::RecordResponse {
    let error = |e: intake::ItemError| proto::ItemError {
        index: e.index,
        reason: e.reason,
        detail: e.detail,
    };
    proto::RecordResponse {
        accepted: receipt.accepted,
        errors: receipt.errors.into_iter().map(error).collect(),
    }
}
