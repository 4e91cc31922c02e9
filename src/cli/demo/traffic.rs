//! The demo's traffic as real OTLP: what an instrumented service, its flag SDK and a judge send.

use super::random::{Random, trait_of};
use super::scenario::{CHANGE_AT, MODEL, Plan, Scenario};
use super::wire;
use crate::model::{Nanos, SECOND};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span, status};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Name of the experiment.
pub const EXPERIMENT: &str = "support-bot";
/// Length of the history.
pub const DAY: Nanos = 86_400 * SECOND;
/// Calls per second around which the day swings.
const RATE: f64 = 0.34;
/// Users, of whom some come often.
const USERS: f64 = 4_000.0;
/// Names of the services and the commit they run.
const SERVICE: &str = "support-bot";
const EDGE: &str = "edge-2";

/// An endless stream of requests.
pub struct Traffic {
    plans: [Plan; 3],
    seed: u64,
    random: Random,
    began: Nanos,
    owed: f64,
    scores: BinaryHeap<Reverse<Pending>>,
}

/// A score that the judge will send.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    at: Nanos,
    trace: Vec<u8>,
    span: Vec<u8>,
    passed: bool,
}

/// What was sent in a stretch of time.
pub struct Sent {
    /// Spans.
    pub traces: ExportTraceServiceRequest,
    /// Scores.
    pub logs: ExportLogsServiceRequest,
    /// End of the latest span or score.
    pub latest: Nanos,
    /// Calls.
    pub calls: usize,
}

/// Spans by the service that sends them.
#[derive(Default)]
struct Spans {
    app: Vec<Span>,
    edge: Vec<Span>,
}

impl Traffic {
    /// Traffic whose day begins at `began`.
    pub fn new(scenario: Scenario, seed: u64, began: Nanos) -> Self {
        Traffic {
            plans: scenario.plans(),
            seed,
            random: Random::new(seed),
            began,
            owed: 0.0,
            scores: BinaryHeap::new(),
        }
    }

    /// Everything that ends from `from` (inclusive) to `to`.
    pub fn between(&mut self, from: Nanos, to: Nanos) -> Sent {
        let seconds = (to - from) as f64 / SECOND as f64;
        // People sleep: the rate swings over the day and never stops.
        let hour = (from - self.began) as f64 / DAY as f64;
        let swing = 1.0 - 0.35 * (std::f64::consts::TAU * (hour + 0.08)).cos();
        self.owed += RATE * swing * seconds * (0.7 + 0.6 * self.random.share());
        let mut spans = Spans::default();
        let mut calls = 0;
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let end = from + (self.random.share() * (to - from) as f64) as Nanos;
            calls += self.request(end.min(to - 1), &mut spans);
        }
        let logs = self.due_scores(to);
        let ends = spans.app.iter().chain(&spans.edge).map(|span| span.end_time_unix_nano);
        let latest = ends.chain(logs.iter().map(|log| log.time_unix_nano)).max().unwrap_or(from);
        let app = wire::resource_spans(SERVICE, spans.app);
        let edge = wire::resource_spans(EDGE, spans.edge);
        let resource_spans = [app, edge].into_iter().flatten().collect();
        Sent {
            traces: ExportTraceServiceRequest { resource_spans },
            logs: wire::log_request("judge", logs),
            latest,
            calls,
        }
    }

    /// One request of a user: an app span with the flag's evaluation, and one or two calls.
    fn request(&mut self, end: Nanos, spans: &mut Spans) -> usize {
        // The power makes few users come often and most of them rarely.
        let user = (USERS * self.random.share().powf(1.25)) as u32;
        let plan = self.plan_of(user);
        let trace = [self.random.bits().to_be_bytes(), self.random.bits().to_be_bytes()].concat();
        let root = self.random.bits().to_be_bytes().to_vec();
        let promptless = self.random.chance(plan.promptless);
        let steps = if self.random.chance(0.15) { 2 } else { 1 };
        let mut at = end;
        let mut chats = Vec::new();
        for step in (0..steps).rev() {
            let last = step + 1 == steps;
            let chat = self.chat(&plan, &trace, &root, at, last, promptless);
            at = chat.start_time_unix_nano;
            chats.push(chat);
        }
        let start = at.saturating_sub(5_000_000);
        let answer = chats[0].clone();
        self.maybe_judge(&plan, user, &answer);
        let app = self.app_span(&plan, user, trace, root, start, end);
        // The pods that lose the prompt are those of one service: evidence can name it.
        let to = if promptless { &mut spans.edge } else { &mut spans.app };
        to.extend(chats);
        to.push(app);
        steps
    }

    fn plan_of(&self, user: u32) -> Plan {
        let mut left = trait_of(self.seed, user, 1);
        for plan in &self.plans {
            left -= plan.real;
            if left < 0.0 {
                return *plan;
            }
        }
        self.plans[2]
    }

    fn chat(
        &mut self,
        plan: &Plan,
        trace: &[u8],
        root: &[u8],
        end: Nanos,
        last: bool,
        promptless: bool,
    ) -> Span {
        let failed = last && self.random.chance(plan.errors);
        let seconds = self.random.log_normal(plan.latency, 0.45).min(30.0);
        let duration = (seconds * SECOND as f64) as Nanos;
        let changed = end >= self.began + (DAY as f64 * CHANGE_AT) as Nanos;
        let revision = if changed { plan.revisions.1 } else { plan.revisions.0 };
        let input = 180 + (self.random.share() * 240.0) as i64;
        let output = (self.random.log_normal(90.0 * plan.latency, 0.5) as i64).clamp(5, 900);
        let mut attributes = vec![
            wire::text("gen_ai.operation.name", "chat"),
            wire::text("gen_ai.provider.name", "openai"),
            wire::text("gen_ai.request.model", MODEL),
            wire::double("gen_ai.request.temperature", 0.2),
            wire::int("gen_ai.request.max_tokens", 512),
            wire::text("gen_ai.prompt.name", "answer"),
        ];
        if !promptless {
            attributes.push(wire::text("gen_ai.prompt.version", plan.prompt.0));
            attributes.push(wire::text("gen_ai.system_instructions", plan.prompt.1));
        }
        if failed {
            attributes.push(wire::text("error.type", "429"));
        } else {
            let finish = if last { "stop" } else { "tool_calls" };
            attributes.extend([
                wire::text("gen_ai.response.model", revision),
                wire::text("gen_ai.response.id", &format!("chatcmpl-{:016x}", self.random.bits())),
                wire::texts("gen_ai.response.finish_reasons", &[finish]),
                wire::int("gen_ai.usage.input_tokens", input),
                wire::int("gen_ai.usage.output_tokens", output),
                wire::double("gen_ai.response.time_to_first_chunk", seconds * 0.25),
            ]);
        }
        Span {
            trace_id: trace.to_vec(),
            span_id: self.random.bits().to_be_bytes().to_vec(),
            parent_span_id: root.to_vec(),
            name: format!("chat {MODEL}"),
            kind: span::SpanKind::Client as i32,
            start_time_unix_nano: end - duration,
            end_time_unix_nano: end,
            attributes,
            status: failed
                .then(|| Status { code: status::StatusCode::Error as i32, message: String::new() }),
            ..Span::default()
        }
    }

    fn app_span(
        &mut self,
        plan: &Plan,
        user: u32,
        trace: Vec<u8>,
        span_id: Vec<u8>,
        start: Nanos,
        end: Nanos,
    ) -> Span {
        let id = format!("user-{user:04}");
        let flag = span::Event {
            time_unix_nano: start,
            name: "feature_flag.evaluation".into(),
            attributes: vec![
                wire::text("feature_flag.key", EXPERIMENT),
                wire::text("feature_flag.result.variant", plan.arm),
                wire::text("feature_flag.context.id", &id),
            ],
            ..span::Event::default()
        };
        Span {
            trace_id: trace,
            span_id,
            name: "POST /ask".into(),
            kind: span::SpanKind::Server as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: end + 1_000_000,
            attributes: vec![
                wire::text("user.id", &id),
                wire::text("session.id", &format!("session-{user:04}-{}", end / (DAY / 8))),
            ],
            events: vec![flag],
            ..Span::default()
        }
    }

    /// The judge sees some answers, half a minute to four minutes later.
    fn maybe_judge(&mut self, plan: &Plan, user: u32, answer: &Span) {
        let failed = answer.status.is_some();
        if failed || !self.random.chance(plan.judged) {
            return;
        }
        let end = answer.end_time_unix_nano;
        let day = (end.saturating_sub(self.began) as f64 / DAY as f64).clamp(0.0, 1.0);
        let late = ((day - 0.5) * 2.0).max(0.0);
        let quality = plan.quality + (plan.quality_late - plan.quality) * late;
        // Some users are harder to please than others: their calls are not independent.
        let pleased = quality + 0.3 * (trait_of(self.seed, user, 2) - 0.5);
        let at = end + 30 * SECOND + (self.random.share() * 210.0 * SECOND as f64) as Nanos;
        let passed = self.random.chance(pleased);
        let (trace, span) = (answer.trace_id.clone(), answer.span_id.clone());
        self.scores.push(Reverse(Pending { at, trace, span, passed }));
    }

    fn due_scores(&mut self, to: Nanos) -> Vec<LogRecord> {
        let mut out = Vec::new();
        while self.scores.peek().is_some_and(|next| next.0.at < to) {
            let Some(Reverse(score)) = self.scores.pop() else { break };
            out.push(wire::score(&score.trace, &score.span, score.at, score.passed));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_send_equal_bytes() {
        let send = |seed| {
            let mut traffic = Traffic::new(Scenario::default(), seed, DAY);
            let sent = traffic.between(DAY, DAY + 600 * SECOND);
            prost::Message::encode_to_vec(&sent.traces)
        };
        assert_eq!(send(1), send(1));
        assert_ne!(send(1), send(2));
    }

    #[test]
    fn a_day_has_some_forty_thousand_calls_and_three_arms() {
        let mut traffic = Traffic::new(Scenario::default(), 1, 0);
        let calls: usize = (0..1_440)
            .map(|minute| traffic.between(minute * 60 * SECOND, (minute + 1) * 60 * SECOND).calls)
            .sum();
        assert!((30_000..50_000).contains(&calls), "{calls}");
        let users = 4_000u32;
        let of = |arm| (0..users).filter(|user| traffic.plan_of(*user).arm == arm).count();
        assert!(["A", "B", "C"].into_iter().all(|arm| of(arm) > 1_200), "users of each arm");
    }
}
