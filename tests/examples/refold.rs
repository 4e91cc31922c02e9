//! How long a restart takes, and how fast a log is folded anew:
//! `cargo run --release --example refold -- DIR [GIB]` fills a data folder with calls and their
//! assignments up to so many GiB of log (10), folds all of it without a snapshot, saves one, and
//! opens the folder again. The folder must be empty, and stays.

use armspan::app::open::{Data, open, save};
use armspan::config::{Config, Flags, load};
use armspan::log::{LocalLog, Next, Tail};
use armspan::model::canonical::set_id;
use armspan::model::observation::{Define, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Traces of an entry: a request of 400 spans would give as many.
const TRACES: u64 = 400;
/// Calls of a second of log time.
const RATE: u64 = 5_000;
const BEGAN: Nanos = 1_795_000_000 * SECOND;
const USERS: u64 = 100_000;
const APPENDED_AT_ONCE: usize = 32;

fn config(dir: &Path) -> anyhow::Result<Config> {
    let flags = Flags { data: Some(dir.display().to_string()), ..Flags::default() };
    Ok(load(None, &|_| None, &flags)?)
}

fn facets() -> FacetSet {
    let mut set = FacetSet::default();
    set.set(Field::ModelRequested, Value::text("m"));
    set.set(Field::PromptHash, Value::text("h"));
    set.set(Field::CodeService, Value::text("svc"));
    set
}

/// What is in force: one experiment.
fn settings() -> anyhow::Result<String> {
    let mut settings = Settings::default();
    let experiment = Experiment { control: Some("A".into()), ..Experiment::default() };
    settings.experiments.insert("load".into(), experiment);
    Ok(serde_json::to_string(&settings)?)
}

fn definitions() -> Vec<u8> {
    let names = ["load", "A", "B", "svc"];
    let mut out = Vec::new();
    for name in names {
        Observation::Define(Define::Name(Sym::of(name), name.into())).encode(&mut out);
    }
    Observation::Define(Define::Set(set_id(&facets()), facets())).encode(&mut out);
    out
}

/// A call and its assignment for each trace, and the stamp of the last.
fn batch(first: u64, set: SetId) -> (Nanos, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut end = BEGAN;
    for id in first..first + TRACES {
        end = BEGAN + id * (SECOND / RATE);
        // A multiplication spreads ids as random ones are.
        let trace = TraceId(u128::from(id.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | 1);
        let (user, span) = (id % USERS, SpanId(id + 1));
        let units = Units { user: Some(UnitHash(user << 44 | 7)), ..Units::default() };
        let place = Place { trace, span, parent: SpanId::NONE, end };
        let tokens = Tokens { output: Some(id % 700), ..Tokens::default() };
        let duration = (id % 900 + 100) * 1_000_000;
        Observation::Call(Call { place, duration, set, tokens, units, ..Call::default() })
            .encode(&mut bytes);
        Observation::Assignment(Assignment {
            trace: Some(trace),
            span,
            experiment: Sym::of("load"),
            arm: Sym::of(if user.is_multiple_of(2) { "A" } else { "B" }),
            unit: None,
            source: Source::FlagSpanEvent,
            time: end,
            assigned_ppm: None,
            service: Sym::of("svc"),
        })
        .encode(&mut bytes);
    }
    (end, bytes)
}

/// Appends until the log is as long as wanted; gives the number of observations.
fn fill(log: &LocalLog, tail: &mut Tail, bytes_wanted: u64) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let set = set_id(&facets());
    runtime.block_on(log.append(BEGAN, Body::Config(settings()?)))?;
    runtime.block_on(log.append(BEGAN, Body::Batch(definitions())))?;
    let (mut traces, mut bytes) = (0, 0);
    while bytes < bytes_wanted {
        let mut appended = Vec::new();
        for _ in 0..APPENDED_AT_ONCE {
            let (stamp, payload) = batch(traces, set);
            bytes += payload.len() as u64;
            traces += TRACES;
            appended.push(log.append(stamp, Body::Batch(payload)));
        }
        for one in appended {
            runtime.block_on(one)?;
        }
        while matches!(tail.recv_timeout(Duration::ZERO), Next::Entry(..)) {}
    }
    Ok(2 * traces)
}

fn run(dir: &Path, gib: f64) -> anyhow::Result<()> {
    anyhow::ensure!(!dir.join("log").exists(), "{} has a log already", dir.display());
    let (config, meter) = (config(dir)?, Arc::new(Meter::default()));
    let began = Instant::now();
    let Data { lock, log, mut tail, engine, shelf, outbox, recorder } =
        open(&config, false, &meter, &|_, _| {})?;
    let observations = fill(&log, &mut tail, (gib * (1u64 << 30) as f64) as u64)?;
    log.close();
    drop((lock, log, tail, engine, shelf, outbox, recorder));
    eprintln!("filled: {observations} observations, {gib} GiB in {:.1?}", began.elapsed());
    let began = Instant::now();
    let Data { lock, log, tail, engine, mut shelf, outbox, recorder } =
        open(&config, false, &meter, &|_, _| {})?;
    let took = began.elapsed();
    let rate = observations as f64 / took.as_secs_f64();
    eprintln!("folded anew: {took:.1?}, {rate:.0} observations a second");
    outbox.sync(engine.position())?;
    let snapshot = save(dir, &engine, &mut shelf)?;
    let sealed = shelf.bytes().0;
    log.close();
    drop((lock, log, tail, engine, shelf, outbox, recorder));
    let began = Instant::now();
    let data = open(&config, false, &meter, &|_, _| {})?;
    let view = data.engine.view();
    let calls = view.experiments.first().map_or(0, |experiment| experiment.calls);
    eprintln!(
        "restarted: {:.2?}, snapshot {} MiB, {} MiB sealed, {calls} calls shown",
        began.elapsed(),
        snapshot >> 20,
        sealed >> 20
    );
    data.log.close();
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let gib = words.get(1).map_or(Some(10.0), |text| text.parse().ok());
    let (Some(dir), Some(gib)) = (words.first(), gib) else {
        eprintln!("usage: refold DIR [GIB]");
        return ExitCode::from(2);
    };
    match run(Path::new(dir), gib) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
