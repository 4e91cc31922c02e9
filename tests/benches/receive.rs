//! The receive path, from the bytes of a request to its acknowledgement, as a baseline. A request
//! is 512 calls in the shape of the current GenAI conventions; `demo` is one of the demo's traffic.
//!
//! `walk`: bytes → encoded observations, everything known already (the steady state).
//! `acknowledged`: the same and the append to a real log on disk, one request at a time.
//! `applied`: what the engine does with the observations, after their acknowledgement.

use armspan::app::fold::Fold;
// Not every help of theirs is needed here.
#[allow(dead_code)]
#[path = "../support/genai.rs"]
mod genai;
#[path = "../support/log.rs"]
mod log;

use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::traffic::Traffic;
use armspan::model::{Batch, Body, Log, Nanos, SECOND, Settings};
use armspan::normalize::{self, Blind, Normalizer, Times};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use std::hint::black_box;

const BASE: Nanos = 1_795_000_000 * SECOND;

/// A request of the demo of about 315 spans, and how many it has.
fn demo(at: u64) -> (Vec<u8>, u64) {
    let mut traffic = Traffic::new(Scenario::default(), at, BASE);
    let sent = traffic.between(BASE, BASE + 500 * SECOND).traces;
    let scopes = sent.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let spans = scopes.map(|scope| scope.spans.len() as u64).sum();
    (sent.encode_to_vec(), spans)
}

fn request(number: u64) -> (Vec<u8>, u64) {
    (genai::request(number, BASE), genai::SPANS)
}

fn warm((bytes, spans): (Vec<u8>, u64)) -> (Normalizer, Vec<u8>, u64) {
    let normalizer = Normalizer::new(normalize::Config::default());
    let mut batch = Batch::default();
    normalizer.traces(&bytes, Times::any(), &mut batch, &mut Blind).expect("OTLP");
    normalizer.durable(&batch);
    (normalizer, bytes, spans)
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("receive");
    for (name, request) in [("walk", request(1)), ("walk, demo", demo(1))] {
        let (normalizer, bytes, spans) = warm(request);
        let mut batch = Batch::default();
        group.throughput(Throughput::Elements(spans));
        group.bench_function(name, |b| {
            b.iter(|| {
                batch.clear();
                let bytes = black_box(&bytes);
                let report = normalizer.traces(bytes, Times::any(), &mut batch, &mut Blind);
                black_box(report.expect("OTLP"))
            });
        });
    }
    group.finish();
}

fn acknowledged(c: &mut Criterion) {
    let (normalizer, bytes, spans) = warm(request(1));
    let folder = tempfile::tempdir().expect("folder");
    let working = log::Working::open(folder.path(), 64 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut batch = Batch::default();
    let mut group = c.benchmark_group("receive");
    group.throughput(Throughput::Elements(spans));
    group.bench_function("acknowledged", |b| {
        b.iter(|| {
            batch.clear();
            normalizer.traces(&bytes, Times::any(), &mut batch, &mut Blind).expect("OTLP");
            let appended = working.log.append(BASE, Body::Batch(batch.payload()));
            runtime.block_on(appended).expect("durable")
        });
    });
    group.finish();
    working.close();
}

fn applied(c: &mut Criterion) {
    let normalizer = Normalizer::new(normalize::Config::default());
    let payloads: Vec<(Vec<u8>, u64)> = (0..20)
        .map(|at| {
            let (bytes, spans) = request(at);
            let mut batch = Batch::default();
            normalizer.traces(&bytes, Times::any(), &mut batch, &mut Blind).expect("OTLP");
            (batch.payload(), spans)
        })
        .collect();
    let mut group = c.benchmark_group("engine");
    group.sample_size(10);
    group.throughput(Throughput::Elements(payloads.iter().map(|p| p.1).sum()));
    group.bench_function("applied", |b| {
        b.iter_batched(
            || (Fold::new(Settings::default()), payloads.clone()),
            |(mut fold, payloads)| {
                for (payload, _) in payloads {
                    fold.push(BASE, Body::Batch(payload));
                }
                fold
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, walk, acknowledged, applied);
criterion_main!(benches);
