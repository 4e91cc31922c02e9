//! Parts of the receive path by themselves, to be profiled:
//! `cargo run --release --example receive -- walk 200`, the same with `acknowledged`, or
//! `serve 127.0.0.1:4317`, which is the gRPC door over a real log, without guard and engine.

#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

#[path = "../support/genai.rs"]
mod genai;
#[path = "../support/log.rs"]
mod log;

use armspan::app::clock::WallClock;
use armspan::model::{Batch, Body, Clock, Log, Meter, SECOND};
use armspan::normalize::{self, Blind, Normalizer, Times};
use armspan::otlp::{self, Receiver};
use log::Working;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Distinct requests that take turns.
const REQUESTS: u64 = 8;

fn requests() -> Vec<Vec<u8>> {
    let now = WallClock::start(0).now();
    (0..REQUESTS).map(|number| genai::request(number, now)).collect()
}

/// What is counted of the walk.
#[inline(never)]
fn measured(normalizer: &Normalizer, bytes: &[u8], batch: &mut Batch) -> usize {
    batch.clear();
    let report = normalizer.traces(black_box(bytes), Times::any(), batch, &mut Blind);
    assert_eq!(report.expect("OTLP").calls, genai::SPANS);
    normalizer.durable(batch);
    batch.observations.len()
}

/// Bytes → encoded observations, everything known already.
fn walk(turns: u64) {
    let normalizer = Normalizer::new(normalize::Config::default());
    let requests = requests();
    let mut batch = Batch::default();
    let mut each = |bytes: &[u8]| measured(&normalizer, bytes, &mut batch);
    let logged: usize = requests.iter().map(|bytes| each(bytes)).sum();
    let began = Instant::now();
    for turn in 0..turns {
        each(&requests[(turn % REQUESTS) as usize]);
    }
    tell("walk", turns, began.elapsed());
    let sent: usize = requests.iter().map(Vec::len).sum();
    let spans = (REQUESTS * genai::SPANS) as usize;
    println!("{} bytes a span came, {} are logged", sent / spans, logged / spans);
}

/// The same, and durable, one request at a time.
fn acknowledged(turns: u64) {
    let normalizer = Normalizer::new(normalize::Config::default());
    let requests = requests();
    let folder = tempfile::tempdir().expect("folder");
    let working = Working::open(folder.path(), 64 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut batch = Batch::default();
    let began = Instant::now();
    for turn in 0..turns {
        batch.clear();
        let bytes = &requests[(turn % REQUESTS) as usize];
        normalizer.traces(bytes, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        let appended = working.log.append(SECOND * turn, Body::Batch(batch.payload()));
        runtime.block_on(appended).expect("durable");
        normalizer.durable(&batch);
    }
    tell("acknowledged", turns, began.elapsed());
    working.close();
}

fn tell(what: &str, turns: u64, took: Duration) {
    let spans = turns * genai::SPANS;
    println!("{what}: {:.0} ns a span", took.as_nanos() as f64 / spans as f64);
}

/// The door until the process is killed.
fn serve(address: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let working = Working::open(folder.path(), 64 << 20);
    let normalizer = Arc::new(Normalizer::new(normalize::Config::default()));
    let clock: Arc<dyn Clock> = Arc::new(WallClock::start(0));
    let week = 7 * 86_400 * SECOND;
    let config = otlp::Config::default();
    let meter: Arc<Meter> = Arc::default();
    let receiver = Receiver::new(config, normalizer, Arc::new(working.log), clock, meter, week);
    let router = otlp::grpc_router(Arc::new(receiver));
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        otlp::serve(listener, router, std::future::pending(), Duration::ZERO).await;
    });
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let turns = || words.get(2).and_then(|word| word.parse().ok()).unwrap_or(200);
    match words.get(1).map(String::as_str) {
        Some("walk") => walk(turns()),
        Some("acknowledged") => acknowledged(turns()),
        Some("serve") => serve(words.get(2).map_or("127.0.0.1:4317", String::as_str)),
        _ => println!("walk TURNS, acknowledged TURNS or serve ADDRESS"),
    }
}
