//! What the engine takes for a span: batches as the race sends them, applied by one thread.
//!
//! `cargo run --release --example fold -- [SPANS] [USERS] [JOIN MiB]`

#[path = "../support/calls.rs"]
mod calls;

use armspan::app::fold::apply;
use armspan::engine::Engine;
use armspan::model::canonical::jcs;
use armspan::model::{Body, Entry, Settings};
use armspan::store::Sealed;
use calls::{Calls, SPANS};
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

/// What is counted and timed.
#[inline(never)]
fn measured(engine: &mut Engine, entry: &Entry, shelf: &mut Sealed) {
    apply(engine, engine.position(), entry, shelf).expect("applied");
}

fn main() {
    let number = |at: usize, other: u64| {
        std::env::args().nth(at).and_then(|word| word.parse().ok()).unwrap_or(other)
    };
    let (spans, users) = (number(1, 2_000_000), number(2, 100_000));
    let folder = tempfile::tempdir().expect("folder");
    let mut shelf = Sealed::open(folder.path(), &Default::default(), false).expect("shelf");
    let (mut calls, mut engine) = (Calls::new(users), Engine::new(Settings::default()));
    let mut settings = Calls::settings();
    settings.limits.join_bytes_max = number(3, settings.limits.join_bytes_max >> 20) << 20;
    let json = jcs(&serde_json::to_value(&settings).expect("settings"));
    let mut push = |stamp, body, engine: &mut Engine| {
        let began = Instant::now();
        let entry = Entry { stamp, body };
        measured(engine, &entry, &mut shelf);
        began.elapsed()
    };
    push(calls.now(), Body::Config(json), &mut engine);
    push(calls.now(), Body::Batch(calls.defines()), &mut engine);
    let (mut whole, mut worst) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..spans / SPANS {
        let (now, batch) = (calls.now(), calls.batch());
        let took = push(now, Body::Batch(batch), &mut engine);
        whole += took;
        worst = worst.max(took);
    }
    let each = whole.as_nanos() as f64 / (spans / SPANS * SPANS) as f64;
    let calls: i64 = engine.tally().runs().map(|row| row.1.calls).sum();
    // Of four spans the root repeats its children, and is no call.
    assert_eq!(calls as u64, spans / SPANS * SPANS * 3 / 4);
    writeln!(stdout(), "{each:.0} ns a span, longest entry {worst:?}").expect("written");
}
