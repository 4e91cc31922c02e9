//! One stream through the engine: entries as the log has them, a look per closed minute, and
//! what the verdict was at each of them.

use super::peers::{PEERS, Panel};
use super::streams::{Claim, Delay, Kind, Plan, Source, Visit, What};
use armspan::app::fold::Fold;
use armspan::engine::watch::memory::LineMemory;
use armspan::model::canonical::set_id;
use armspan::model::metric::{Direction, Margin, Metric, Origin, Role};
use armspan::model::observation::{Define, Grader, Source as Told};
use armspan::model::settings::{Experiment, Span};
use armspan::model::verdict::{Reason, State};
use armspan::model::*;
use std::collections::BTreeMap;

/// The first minute of a stream.
pub const BASE: Nanos = 29_916_000 * MINUTE;
/// Name of the experiment.
pub const EXPERIMENT: &str = "e";
/// A minute is closed so much later.
const CLOSED: Nanos = 31 * SECOND;
/// Names of built-in metrics that no stream needs: they are pointed at something that its calls
/// do not report, so that time is spent on what is counted.
const OTHERS: [&str; 11] = [
    "error_rate",
    "refusal_rate",
    "truncation_rate",
    "latency_mean",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "time_to_first_token",
    "tokens_in",
    "tokens_out",
    "cost",
];

/// How long streams are.
#[derive(Clone, Copy)]
pub struct Size {
    /// Calls.
    pub calls: usize,
    /// Looks, one per minute.
    pub looks: u32,
}

/// What came of a stream.
#[derive(Clone, Copy, Default, Debug)]
pub struct Outcome {
    /// Calls until what is counted was first claimed.
    pub claimed: Option<u32>,
    /// The same by the peers.
    pub peers: [Option<u32>; PEERS],
    /// It was ever invalid.
    pub invalid: Option<Reason>,
    /// It was still insufficient at the end.
    pub insufficient: Option<Reason>,
}

struct Feed {
    kind: Kind,
    size: Size,
    fold: Fold,
    count: u64,
    sets: Vec<FacetSet>,
    /// Observations by the minute in which they come.
    late: BTreeMap<u32, Vec<(Observation, Visit)>>,
    panel: Panel,
    out: Outcome,
}

/// Runs a stream.
pub fn run(kind: Kind, size: Size, seed: u64, number: u64) -> Outcome {
    let mut source = Source::new(kind, seed, number, size.looks);
    let fold = Fold::new(settings(&kind, kind.share));
    let sets = (0..4).map(set).collect();
    let (late, panel, out) = (BTreeMap::new(), Panel::new(&kind), Outcome::default());
    let mut feed = Feed { kind, size, fold, count: 0, sets, late, panel, out };
    feed.define();
    let calls = size.calls / size.looks as usize;
    for minute in 0..size.looks {
        let visits = source.minute(minute, calls);
        feed.minute(minute, &visits);
        feed.reconfigure(minute);
    }
    // Late scores, until they have all matured.
    let last = feed.late.keys().next_back().copied().unwrap_or(0).min(size.looks + 60);
    for minute in size.looks..=last.max(size.looks + 20) {
        feed.minute(minute, &[]);
    }
    feed.fold.finish();
    feed.note();
    feed.out.insufficient = feed.why(State::Insufficient);
    feed.out.peers = feed.panel.found;
    feed.out
}

/// Settings of a stream.
pub fn settings(kind: &Kind, share: f64) -> Settings {
    let mut out = Settings { experiments_auto: false, ..Settings::default() };
    out.epoch_min = Span::seconds(40 * 60);
    let mut metric = metric(kind.what);
    // What comes with its call is mature at once.
    metric.matures_after = (kind.delay == Delay::None).then_some(Span(0));
    for name in OTHERS {
        out.metrics
            .insert(name.into(), Metric { role: Role::Info, ..plain(Origin::TimeToFirstToken) });
    }
    let guards = metric.role == Role::Guardrail;
    out.metrics.insert("m".into(), metric);
    let mut experiment = Experiment {
        control: Some("A".into()),
        split: [("A".into(), 1.0 - share), ("B".into(), share)].into(),
        unit: Some("user.id".into()),
        alpha: Some(kind.alpha),
        ..Experiment::default()
    };
    let part =
        if guards { &mut experiment.family.rollback } else { &mut experiment.family.primary };
    part.push("m".into());
    out.experiments.insert(EXPERIMENT.into(), experiment);
    out
}

fn plain(from: Origin) -> Metric {
    Metric {
        role: Role::Quality,
        from,
        score: None,
        grader: None,
        quantile: None,
        direction: Direction::Decrease,
        range: None,
        effect_scale: None,
        margin: None,
        ceiling: None,
        matures_after: None,
    }
}

fn metric(what: What) -> Metric {
    let guardrail = |from| Metric { role: Role::Guardrail, ..plain(from) };
    match what {
        What::Score(range) => {
            Metric { range, direction: Direction::Increase, ..plain(Origin::Score) }
        }
        What::Errors => plain(Origin::Error),
        What::ErrorsMargin(m) => {
            Metric { margin: Some(Margin::Absolute(m)), ..guardrail(Origin::Error) }
        }
        What::ErrorsCeiling(c) => Metric { ceiling: Some(c), ..guardrail(Origin::Error) },
        What::Latency => plain(Origin::Latency),
        What::LatencyMargin(m) => {
            Metric { margin: Some(Margin::Relative(m)), ..guardrail(Origin::Latency) }
        }
        What::Tail => Metric { quantile: Some(0.95), ..plain(Origin::Latency) },
        What::TailMargin(m) => Metric {
            quantile: Some(0.95),
            margin: Some(Margin::Relative(m)),
            ..guardrail(Origin::Latency)
        },
        What::TailCeiling(c) => {
            Metric { quantile: Some(0.95), ceiling: Some(c), ..guardrail(Origin::Latency) }
        }
        What::Cost => plain(Origin::Cost),
    }
}

fn set(revision: usize) -> FacetSet {
    [
        (Field::ModelRequested, Value::text("m")),
        (Field::ModelRevision, Value::text(&format!("r{revision}"))),
        (Field::PromptHash, Value::text("h")),
        (Field::CodeService, Value::text("svc")),
    ]
    .into_iter()
    .collect()
}

impl Feed {
    fn push(&mut self, at: Nanos, observations: &[Observation]) {
        let mut bytes = Vec::new();
        observations.iter().for_each(|one| one.encode(&mut bytes));
        self.fold.push(at, Body::Batch(bytes));
    }

    fn define(&mut self) {
        let mut all: Vec<Observation> = [EXPERIMENT, "A", "B", "m", "judge", "e500"]
            .into_iter()
            .map(|text| Observation::Define(Define::Name(Sym::of(text), text.into())))
            .collect();
        let define = |set: &FacetSet| Observation::Define(Define::Set(set_id(set), set.clone()));
        all.extend(self.sets.iter().map(define));
        self.push(BASE, &all);
    }

    /// The calls of a minute and the scores that come in it; then the look.
    fn minute(&mut self, minute: u32, visits: &[Visit]) {
        let start = BASE + u64::from(minute) * MINUTE;
        let mut all = Vec::with_capacity(visits.len() * 3);
        for (at, visit) in visits.iter().enumerate() {
            let end = start + (at as u64 * MINUTE) / visits.len() as u64;
            self.call(visit, minute, end, &mut all);
        }
        for (score, visit) in self.late.remove(&minute).unwrap_or_default() {
            all.push(score);
            self.panel.add(&visit);
        }
        self.push(start + MINUTE + CLOSED, &all);
        self.note();
        let calls = u32::try_from(self.count).unwrap_or(u32::MAX);
        self.panel.look(calls);
    }

    fn call(&mut self, visit: &Visit, minute: u32, end: Nanos, out: &mut Vec<Observation>) {
        self.count += 1;
        let trace = TraceId(u128::from(self.count) << 64 | 5);
        let what = self.kind.what;
        let failed = visit.value > 0.5;
        let revision = match visit.treated {
            true => self.kind.revision_at(minute, self.size.looks),
            false => 0,
        };
        let seconds = if what.is_timed() { visit.value } else { 1.0 };
        out.push(Observation::Call(Call {
            place: Place { trace, span: SpanId(1), parent: SpanId::NONE, end },
            duration: (seconds * SECOND as f64) as Nanos,
            set: set_id(&self.sets[revision]),
            error: if what.is_errors() && failed { Sym::of("e500") } else { Sym::NONE },
            cost_nano: (what == What::Cost).then_some((visit.value * 1e6) as u64),
            units: Units { user: Some(UnitHash(visit.unit)), ..Units::default() },
            ..Call::default()
        }));
        out.push(Observation::Assignment(Assignment {
            trace: Some(trace),
            span: SpanId(1),
            experiment: Sym::of(EXPERIMENT),
            arm: Sym::of(if visit.treated { "B" } else { "A" }),
            unit: None,
            source: Told::Ours,
            time: end,
            assigned_ppm: None,
            service: Sym::NONE,
        }));
        if !matches!(what, What::Score(_)) {
            self.panel.add(visit);
            return;
        }
        let Some(chance) = visit.picked else { return };
        let score = Observation::Score(Score {
            target: Target::Span(trace, SpanId(1)),
            name: Sym::of("m"),
            value_micro: Some((visit.value * 1e6).round() as i64),
            label: Sym::NONE,
            failed: false,
            grader: Grader { name: Sym::of("judge"), ..Grader::default() },
            annotator: Sym::NONE,
            id: self.count,
            time: end + u64::from(visit.delay) * MINUTE,
            picked_ppm: self.kind.picked.then_some((chance * 1e6) as u32),
        });
        self.late.entry(minute + visit.delay).or_default().push((score, *visit));
    }

    /// Changes the planned split so that it holds when the next minute but one begins.
    fn reconfigure(&mut self, minute: u32) {
        if !matches!(self.kind.plan, Plan::Ramp(_) | Plan::Moving(_)) {
            return;
        }
        let share = |at| self.kind.share_at(at, self.size.looks);
        if share(minute + 2) != share(minute + 1) {
            let settings = settings(&self.kind, share(minute + 2));
            let json = serde_json::to_string(&settings).expect("settings are JSON");
            let stamp = self.fold.stamp();
            self.fold.push(stamp, Body::Config(json));
        }
    }

    fn lines(&self) -> impl Iterator<Item = &LineMemory> {
        let memory = self.fold.engine.watch().memory(Sym::of(EXPERIMENT));
        let metric = Sym::of("m");
        memory
            .into_iter()
            .flat_map(|memory| memory.lines.iter())
            .filter(move |row| row.0.metric == metric && row.0.arm == Sym::of("B"))
            .map(|row| row.1)
    }

    /// Why it is in a state, if it is.
    fn why(&self, state: State) -> Option<Reason> {
        let found = self.fold.engine.watch().assess(Sym::of(EXPERIMENT), &self.fold.engine.scene());
        let arms = found.sites.iter().filter(|site| site.current).flat_map(|site| &site.arms);
        arms.flat_map(|arm| &arm.lines)
            .filter(|line| line.line.definition.name == "m")
            .filter_map(|line| line.ruling.as_ref())
            .find(|ruling| ruling.state == state)
            .and_then(|ruling| ruling.reasons.first().copied())
    }

    /// Notes what the last look said.
    fn note(&mut self) {
        let claims = |state: State, latched: bool| match self.kind.claim {
            Claim::FalseAtLimit => latched || matches!(state, State::Breached | State::Healthy),
            Claim::False | Claim::True => {
                latched || matches!(state, State::Better | State::Regressed | State::Breached)
            }
            Claim::Invalid => state == State::Invalid,
        };
        let claimed = self.lines().any(|line| claims(line.state, line.latch.is_some()));
        if self.out.invalid.is_none() && self.lines().any(|line| line.state == State::Invalid) {
            self.out.invalid = self.why(State::Invalid);
        }
        if claimed && self.out.claimed.is_none() {
            self.out.claimed = Some(u32::try_from(self.count).unwrap_or(u32::MAX));
        }
    }
}
