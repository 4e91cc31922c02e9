//! What a look costs: the estimates and verdicts of 100 runs × 20 metrics, recomputed from the
//! sums on one core, off the receive path. The bound is 20 ms (`cargo bench --bench looks`).

use armspan::app::fold::Fold;
use armspan::engine::Engine;
use armspan::engine::watch::assess::Assessment;
use armspan::model::canonical::set_id;
use armspan::model::delivery::Why;
use armspan::model::observation::{Define, Grader, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;
use armspan::store::Outbox;
use criterion::{Criterion, criterion_group, criterion_main};

const BASE: Nanos = 29_916_000 * MINUTE;
const SITES: usize = 4;
const ARMS: usize = 25;
/// Enough calls that most of the 1,024 unit buckets are touched.
const CALLS: u64 = 1_500;
/// Evaluations; with the twelve built-in metrics they are twenty.
const EVALUATIONS: usize = 8;

fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn settings() -> Settings {
    let mut settings = Settings { matures_after: settings::Span(0), ..Settings::default() };
    let split = (0..ARMS).map(|arm| (format!("arm-{arm:02}"), 1.0 / ARMS as f64)).collect();
    let control = Some("arm-00".to_owned());
    let experiment =
        Experiment { control, split, unit: Some("user.id".into()), ..Experiment::default() };
    settings.experiments.insert("e".into(), experiment);
    settings
}

fn name(text: &str) -> Observation {
    Observation::Define(Define::Name(Sym::of(text), text.into()))
}

/// One call of a run with all its scores, in a trace of its own.
fn call(number: u64, site: usize, arm: usize, out: &mut Vec<Observation>) {
    let set: FacetSet = [
        (Field::ModelRequested, Value::text("m")),
        (Field::PromptHash, Value::text(&format!("prompt-{arm}"))),
        (Field::Agent, Value::text(&format!("site-{site}"))),
    ]
    .into_iter()
    .collect();
    let trace = TraceId(u128::from(number + 1) << 64 | 7);
    let (random, end) = (mixed(number), BASE + number * 1_000_000);
    let user = Some(UnitHash(mixed((number / 2) ^ ((arm as u64) << 40))));
    out.push(Observation::Define(Define::Set(set_id(&set), set.clone())));
    out.push(Observation::Call(Call {
        place: Place { trace, span: SpanId(1), parent: SpanId::NONE, end },
        duration: 200_000_000 + random % 3_000_000_000,
        set: set_id(&set),
        error: if random.is_multiple_of(50) { Sym::of("429") } else { Sym::NONE },
        units: Units { user, ..Units::default() },
        tokens: Tokens {
            input: Some(100 + random % 400),
            output: Some(random % 300),
            ..Tokens::default()
        },
        cost_nano: Some(50_000 + random % 90_000),
        first_token_us: Some(50_000 + random % 400_000),
        ..Call::default()
    }));
    out.push(Observation::Assignment(Assignment {
        trace: Some(trace),
        span: SpanId(1),
        experiment: Sym::of("e"),
        arm: Sym::of(&format!("arm-{arm:02}")),
        unit: None,
        source: Source::FlagSpanEvent,
        time: end,
        assigned_ppm: None,
        service: Sym::NONE,
    }));
    for evaluation in 0..EVALUATIONS {
        out.push(Observation::Score(Score {
            target: Target::Span(trace, SpanId(1)),
            name: Sym::of(&format!("eval-{evaluation}")),
            value_micro: Some((mixed(random + evaluation as u64) % 1_000_000) as i64),
            label: Sym::NONE,
            failed: false,
            grader: Grader::default(),
            annotator: Sym::NONE,
            id: number << 8 | evaluation as u64,
            time: end,
            picked_ppm: None,
        }));
    }
}

fn full() -> Fold {
    let mut settings = settings();
    settings.limits.join_bytes_max = 8 << 30;
    settings.limits.tally_bytes_max = 8 << 30;
    let mut fold = Fold::new(settings);
    let mut names: Vec<Observation> = (0..ARMS).map(|arm| name(&format!("arm-{arm:02}"))).collect();
    names.extend((0..SITES).map(|site| name(&format!("site-{site}"))));
    names.extend((0..EVALUATIONS).map(|at| name(&format!("eval-{at}"))));
    push(&mut fold, &names);
    for chunk in 0..CALLS {
        let mut out = Vec::new();
        for run in 0..SITES * ARMS {
            call(chunk * (SITES * ARMS) as u64 + run as u64, run % SITES, run / SITES, &mut out);
        }
        push(&mut fold, &out);
    }
    fold.finish();
    fold
}

fn push(fold: &mut Fold, observations: &[Observation]) {
    let mut bytes = Vec::new();
    observations.iter().for_each(|one| one.encode(&mut bytes));
    fold.push(BASE, Body::Batch(bytes));
}

fn looks(c: &mut Criterion) {
    let fold = full();
    let engine = &fold.engine;
    let look = || -> Assessment<'_> { engine.watch().assess(Sym::of("e"), &engine.scene()) };
    let lines: usize = look().sites.iter().flat_map(|s| &s.arms).map(|arm| arm.lines.len()).sum();
    assert_eq!(engine.tally().runs().count(), SITES * ARMS);
    assert_eq!(lines, SITES * ARMS * 20, "100 runs × 20 metrics");
    c.bench_function("estimates and verdicts of 100 runs × 20 metrics", |b| b.iter(look));
    c.bench_function("the whole view of 100 runs × 20 metrics", |b| b.iter(|| engine.view()));
    cuts(c, engine);
}

/// What the engine's thread does once an hour: making a cut, and putting it into the outbox.
fn cuts(c: &mut Criterion, engine: &Engine) {
    c.bench_function("a cut of 100 runs × 20 metrics", |b| b.iter(|| engine.cut(Why::Hour)));
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(dir.path()).expect("opens");
    let (mut cut, mut position) = (engine.cut(Why::Hour), outbox.position().expect("reads"));
    c.bench_function("putting it into the outbox, every record changed", |b| {
        b.iter(|| {
            position += 1;
            cut.position = position;
            cut.records.iter_mut().for_each(|record| record.traffic.calls += 1);
            outbox.put(position, &[], Some(&cut)).expect("puts")
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = looks
}
criterion_main!(benches);
