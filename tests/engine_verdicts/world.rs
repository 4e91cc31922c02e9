//! A small world of users and calls: what each arm does is set by a scene's knobs, everything
//! comes as observations, minute by minute, and is looked at through the published view.

use armspan::app::fold::Fold;
use armspan::judge::gate;
use armspan::model::canonical::set_id;
use armspan::model::metric::{Direction, Margin, Metric, Origin, Role};
use armspan::model::observation::{Define, Grader, Source};
use armspan::model::record::MetricLine;
use armspan::model::settings::{Experiment, Span};
use armspan::model::verdict::Gate;
use armspan::model::view::{ArmView, ExperimentView};
use armspan::model::*;

const BASE: Nanos = 29_916_000 * MINUTE;

/// What one arm does.
#[derive(Clone, Debug)]
pub struct Does {
    pub quality: f64,
    pub errors: f64,
    pub latency_ms: f64,
    /// Share of calls that are judged.
    pub judged: f64,
    /// Version of the judge.
    pub judge: &'static str,
    pub revision: &'static str,
    /// Logged probability of the arm, in millionths.
    pub chance: Option<u32>,
}

pub const USUAL: Does = Does {
    quality: 0.7,
    errors: 0.02,
    latency_ms: 400.0,
    judged: 1.0,
    judge: "1",
    revision: "r1",
    chance: None,
};

/// How the traffic is made.
#[derive(Clone, Debug)]
pub struct Knobs {
    pub a: Does,
    pub b: Does,
    /// Share of users in B.
    pub share: f64,
    pub users: u64,
    pub calls_per_minute: u64,
    /// Share of users that are seen in both arms.
    pub crossing: f64,
    /// Calls name their user.
    pub named: bool,
    /// Minutes from a call to its score.
    pub delay: u64,
    /// Scores say with which chance their call was picked for them.
    pub logged: bool,
    /// Units say a covariate that explains this much of their quality.
    pub covariate: f64,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            a: USUAL,
            b: USUAL,
            share: 0.5,
            users: 2_000,
            calls_per_minute: 60,
            crossing: 0.0,
            named: true,
            delay: 0,
            logged: false,
            covariate: 0.0,
        }
    }
}

pub struct World {
    pub fold: Fold,
    pub minute: u64,
    /// Covariates act, but are not told.
    pub silent_covariate: bool,
    calls: u64,
    seed: u64,
}

pub fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn unit(n: u64) -> f64 {
    (mixed(n) >> 11) as f64 / (1u64 << 53) as f64
}

/// `answer_ok` is primary; `error_rate` and `latency_p95` roll back.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    let mut experiment = Experiment {
        control: Some("A".into()),
        unit: Some("user.id".into()),
        split: [("A".to_owned(), 0.5), ("B".to_owned(), 0.5)].into(),
        ..Experiment::default()
    };
    experiment.family.primary = vec!["answer_ok".into()];
    experiment.family.rollback = vec!["error_rate".into(), "latency_p95".into()];
    settings.experiments.insert("e".into(), experiment);
    let ok = Metric {
        range: Some([0.0, 1.0]),
        effect_scale: Some(0.05),
        matures_after: Some(Span::seconds(120)),
        ..Metric::new(Role::Quality, Origin::Score, Direction::Increase)
    };
    let p95 = Metric {
        quantile: Some(0.95),
        margin: Some(Margin::Relative(0.5)),
        ..Metric::new(Role::Guardrail, Origin::Latency, Direction::Decrease)
    };
    let errors = Metric {
        margin: Some(Margin::Absolute(0.05)),
        ..Metric::new(Role::Guardrail, Origin::Error, Direction::Decrease)
    };
    settings.metrics = [("answer_ok", ok), ("latency_p95", p95), ("error_rate", errors)]
        .map(|m| (m.0.to_owned(), m.1))
        .into();
    settings
}

// === impl World ===

impl World {
    pub fn new(settings: Settings, seed: u64) -> Self {
        let (silent_covariate, minute, calls) = (false, 0, 0);
        World { fold: Fold::new(settings), minute, silent_covariate, calls, seed: mixed(seed) }
    }

    pub fn now(&self) -> Nanos {
        BASE + self.minute * MINUTE
    }

    /// Minutes of traffic.
    pub fn run(&mut self, minutes: u64, knobs: &Knobs) {
        for _ in 0..minutes {
            let mut out = Vec::new();
            let mut scores = Vec::new();
            for at in 0..knobs.calls_per_minute {
                self.call(at, knobs, &mut out, &mut scores);
            }
            self.push(self.now() + MINUTE - SECOND, &out);
            self.push(self.now() + (knobs.delay + 1) * MINUTE - SECOND / 2, &scores);
            self.minute += 1;
        }
    }

    fn push(&mut self, at: Nanos, observations: &[Observation]) {
        let mut bytes = Vec::new();
        observations.iter().for_each(|one| one.encode(&mut bytes));
        self.fold.push(at, Body::Batch(bytes));
    }

    pub fn configure(&mut self, settings: &Settings) {
        let mut settings = settings.clone();
        settings.horizon = Settings::NO_HORIZON;
        let json = serde_json::to_string(&settings).expect("json");
        self.fold.push(self.now(), Body::Config(json));
    }

    fn call(
        &mut self,
        at: u64,
        knobs: &Knobs,
        out: &mut Vec<Observation>,
        scores: &mut Vec<Observation>,
    ) {
        self.calls += 1;
        let draw = |which: u64| unit(self.seed ^ self.calls << 8 ^ which);
        let user = mixed(self.seed ^ self.calls << 8 ^ 1) % knobs.users;
        let of_user = |which: u64| unit(self.seed ^ user << 20 ^ which << 56);
        let crosses = of_user(3) < knobs.crossing && draw(9) < 0.5;
        let in_b = (of_user(1) < knobs.share) != crosses;
        let (arm, does) = if in_b { ("B", &knobs.b) } else { ("A", &knobs.a) };
        let trace = TraceId(u128::from(self.calls) << 64 | 5);
        let end = self.now() + at * (MINUTE - 2 * SECOND) / knobs.calls_per_minute;
        let place = Place { trace, span: SpanId(1), parent: SpanId::NONE, end };
        let set: FacetSet = [
            (Field::ModelRequested, Value::text("m")),
            (Field::ModelRevision, Value::text(does.revision)),
            (Field::PromptHash, Value::text(arm)),
        ]
        .into_iter()
        .collect();
        let failed = draw(2) < does.errors;
        let latency = does.latency_ms * (0.5 * normal(draw(4), draw(5))).exp();
        let user_hash = knobs.named.then(|| UnitHash(mixed(self.seed ^ user)));
        let name = |text: &str| Observation::Define(Define::Name(Sym::of(text), text.into()));
        out.extend([
            name("e"),
            name("A"),
            name("B"),
            name("answer_ok"),
            name("judge"),
            name(does.judge),
        ]);
        out.push(Observation::Define(Define::Set(set_id(&set), set.clone())));
        out.push(Observation::Call(Call {
            place,
            duration: (latency * 1e6) as u64,
            set: set_id(&set),
            error: if failed { Sym::of("429") } else { Sym::NONE },
            units: Units { user: user_hash, ..Units::default() },
            ..Call::default()
        }));
        out.push(Observation::Assignment(Assignment {
            trace: Some(trace),
            span: SpanId(1),
            experiment: Sym::of("e"),
            arm: Sym::of(arm),
            unit: None,
            source: Source::FlagSpanEvent,
            time: end,
            assigned_ppm: does.chance,
            service: Sym::NONE,
        }));
        let pleased = of_user(7) - 0.5;
        if knobs.covariate > 0.0 && !self.silent_covariate {
            let value_micro = (pleased * 1e6) as i64;
            out.push(Observation::Covariate(Covariate { place, value_micro }));
        }
        if draw(6) < does.judged && !failed {
            let passed = draw(8) < does.quality + knobs.covariate * pleased;
            scores.push(Observation::Score(Score {
                target: Target::Span(trace, SpanId(1)),
                name: Sym::of("answer_ok"),
                value_micro: Some(if passed { 1_000_000 } else { 0 }),
                label: Sym::NONE,
                failed: false,
                grader: Grader {
                    name: Sym::of("judge"),
                    version: Sym::of(does.judge),
                    ..Grader::default()
                },
                annotator: Sym::NONE,
                id: self.calls,
                time: end + knobs.delay * MINUTE,
                picked_ppm: knobs.logged.then_some((does.judged * 1e6) as u32),
            }));
        }
    }

    /// The experiment as it is now, every wait expired.
    pub fn seen(&mut self) -> Seen {
        self.fold.finish();
        Seen(self.fold.engine.view()).agreed()
    }
}

fn normal(a: f64, b: f64) -> f64 {
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

pub struct Seen(pub View);

// === impl Seen ===

impl Seen {
    /// The gate's document says of every arm what was decided of it.
    fn agreed(self) -> Self {
        for experiment in &self.0.experiments {
            let document = gate::document(experiment, &gate::Asked::default()).expect("asked");
            for (arm, site) in
                document.arms.iter().flat_map(|a| a.sites.iter().map(move |s| (a, s)))
            {
                let place = experiment.sites.iter().find(|one| one.site == site.site);
                let arms = &place.expect("the site").arms;
                let view = arms.iter().find(|one| one.arm == arm.arm);
                let decided = view.and_then(|view| view.decision.as_ref()).map(|d| d.gate);
                assert_eq!(site.result, decided.unwrap_or(Gate::Invalid), "{site:?}");
            }
        }
        self
    }

    pub fn experiment(&self) -> &ExperimentView {
        self.0.experiments.iter().find(|e| e.name == "e").expect("the experiment")
    }

    pub fn arm(&self, name: &str) -> &ArmView {
        self.experiment().sites[0].arms.iter().find(|arm| arm.arm == name).expect(name)
    }

    /// The line of B that has a verdict that decides.
    pub fn line(&self, metric: &str) -> &MetricLine {
        let own = |line: &&MetricLine| {
            line.name == metric && line.verdict.as_ref().is_some_and(|v| v.decides)
        };
        self.arm("B").metrics.iter().find(own).expect(metric)
    }

    pub fn state(&self, metric: &str) -> &str {
        &self.line(metric).verdict.as_ref().expect("verdict").state
    }

    pub fn reasons(&self, metric: &str) -> Vec<&str> {
        let verdict = self.line(metric).verdict.as_ref().expect("verdict");
        verdict.reasons.iter().map(String::as_str).collect()
    }

    pub fn action(&self) -> &str {
        &self.arm("B").decision.as_ref().expect("decision").action
    }
}
