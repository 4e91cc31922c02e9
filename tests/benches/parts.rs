//! Parts of the way from a request to a figure, each by itself: normalising what each emitter
//! really sent, identifying, applying, freezing and writing a snapshot, committing to the log.
//! (`cargo bench --bench parts`; the walk and whole requests are in `receive`, estimates in `looks`.)

#[allow(dead_code, reason = "one help of several")]
#[path = "../support/calls.rs"]
mod calls;
#[allow(dead_code, reason = "one help of several")]
#[path = "../support/corpus.rs"]
mod corpus;
#[path = "../support/log.rs"]
mod log;

use armspan::app::fold::Fold;
use armspan::identify::{self, Identity};
use armspan::model::canonical::set_id;
use armspan::model::{Batch, Body, FacetSet, Field, Log, Value};
use armspan::normalize::{self, Blind, Normalizer, Times};
use calls::{Calls, SPANS};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// Protobuf requests of the corpus by emitter: `python/openai_v2`, and so on.
fn requests() -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for capture in corpus::captures(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus")))
    {
        let emitter = capture.name.rsplit_once('/').map_or(&*capture.name, |pair| pair.0);
        let files =
            capture.traces.iter().filter(|file| file.extension().is_some_and(|e| e != "json"));
        let bodies = files.map(|file| std::fs::read(file).expect("a payload"));
        found.entry(emitter.to_owned()).or_default().extend(bodies);
    }
    found.retain(|_, bodies| !bodies.is_empty());
    found
}

fn normalised(c: &mut Criterion) {
    let mut group = c.benchmark_group("normalise");
    for (emitter, bodies) in requests() {
        let normalizer = Normalizer::new(normalize::Config::default());
        let mut batch = Batch::default();
        let mut read = || {
            let mut spans = 0;
            for body in &bodies {
                batch.clear();
                let report =
                    normalizer.traces(black_box(body), Times::any(), &mut batch, &mut Blind);
                spans += report.expect("OTLP").received;
                normalizer.durable(&batch);
            }
            spans
        };
        group.throughput(Throughput::Elements(read()));
        group.bench_function(emitter, |b| b.iter(&mut read));
    }
    group.finish();
}

fn identified(c: &mut Criterion) {
    let facets: FacetSet = [
        (Field::ModelRequested, Value::text("gpt-4o")),
        (Field::ModelRevision, Value::text("gpt-4o-2024-08-06")),
        (Field::PromptHash, Value::text("sha256:0123456789abcdef")),
        (Field::PromptVersion, Value::text("14")),
        (Field::Agent, Value::text("support-bot")),
    ]
    .into_iter()
    .collect();
    let identity = Identity::new(&[]);
    let mut group = c.benchmark_group("identify");
    group.bench_function("set", |b| b.iter(|| set_id(black_box(&facets))));
    group.bench_function("run", |b| {
        b.iter(|| {
            let print = identify::fingerprint(&identity.of(black_box(&facets)));
            identify::run_id("e", "a", "support-bot", &print)
        });
    });
    group.finish();
}

/// An engine that has applied so many spans of so many users.
fn engine(spans: u64, mut calls: Calls) -> (Fold, Calls) {
    let mut settings = Calls::settings();
    // All units stay in memory, however many there are.
    settings.limits.unit_cache_bytes = 1 << 40;
    let mut fold = Fold::new(settings);
    fold.push(calls.now(), Body::Batch(calls.defines()));
    for _ in 0..spans / SPANS {
        let now = calls.now();
        fold.push(now, Body::Batch(calls.batch()));
    }
    (fold, calls)
}

fn applied(c: &mut Criterion) {
    let (mut fold, mut calls) = engine(100_000, Calls::new(10_000));
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function("apply", |b| {
        b.iter_batched(
            || (calls.now(), calls.batch()),
            |(now, batch)| fold.push(now, Body::Batch(batch)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// What a snapshot of 100 runs and a million units stops: `freeze` by itself, and the entry after
/// it, which copies what both share; the bytes are written elsewhere.
fn frozen(c: &mut Criterion) {
    let (mut fold, mut calls) = engine(4_000_000, Calls::of_runs(1_000_000, 100));
    let tally = fold.engine.tally();
    eprintln!(
        "{} runs of {} calls",
        tally.runs().count(),
        tally.runs().map(|r| r.1.calls).sum::<i64>()
    );
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(10);
    group.bench_function("freeze", |b| b.iter_with_large_drop(|| fold.engine.freeze()));
    group.bench_function("entry after", |b| {
        b.iter_custom(|times| {
            let mut whole = Duration::ZERO;
            for _ in 0..times {
                let kept = fold.engine.freeze();
                let (now, batch) = (calls.now(), calls.batch());
                let began = Instant::now();
                fold.push(now, Body::Batch(batch));
                whole += began.elapsed();
                drop(kept);
            }
            whole
        });
    });
    group.bench_function("bytes", |b| b.iter(|| fold.engine.state().expect("bytes").len()));
    group.finish();
}

fn committed(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("folder");
    let working = log::Working::open(folder.path(), 64 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut calls = Calls::new(10_000);
    let mut group = c.benchmark_group("log");
    // What is waiting together is synced together: eight requests here.
    group.throughput(Throughput::Elements(8 * SPANS));
    group.bench_function("commit", |b| {
        b.iter_batched(
            || (0..8).map(|_| (calls.now(), calls.batch())).collect::<Vec<_>>(),
            |batches| {
                let put = |(now, bytes)| working.log.append(now, Body::Batch(bytes));
                let promises: Vec<_> = batches.into_iter().map(put).collect();
                for one in promises {
                    black_box(runtime.block_on(one).expect("durable"));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    working.close();
}

criterion_group!(benches, normalised, identified, applied, frozen, committed);
criterion_main!(benches);
