//! How long a restart takes, and how fast a log is folded anew:
//! `cargo run --release --example refold -- DIR [GIB]` fills a data folder with calls and their
//! assignments, as the load of the race gives them, up to so many GiB of log (10), folds all of it
//! without a snapshot, saves one, and opens the folder again. The folder must be empty, and stays.

#[path = "../support/calls.rs"]
mod calls;

use armspan::app::open::{Data, open, save};
use armspan::config::{Config, Flags, load};
use armspan::log::{LocalLog, Next, Tail};
use armspan::model::{Body, Log, Meter};
use calls::{Calls, SPANS};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USERS: u64 = 100_000;
const APPENDED_AT_ONCE: usize = 32;

fn config(dir: &Path) -> anyhow::Result<Config> {
    let flags = Flags { data: Some(dir.display().to_string()), ..Flags::default() };
    Ok(load(None, &|_| None, &flags)?)
}

/// Appends until the log is as long as wanted; gives the number of observations.
fn fill(log: &LocalLog, tail: &mut Tail, bytes_wanted: u64) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut calls = Calls::new(USERS);
    let began = calls.now();
    runtime
        .block_on(log.append(began, Body::Config(serde_json::to_string(&Calls::settings())?)))?;
    runtime.block_on(log.append(began, Body::Batch(calls.defines())))?;
    let (mut batches, mut bytes) = (0, 0);
    while bytes < bytes_wanted {
        let mut appended = Vec::new();
        for _ in 0..APPENDED_AT_ONCE {
            let (stamp, payload) = (calls.now(), calls.batch());
            bytes += payload.len() as u64;
            batches += 1;
            appended.push(log.append(stamp, Body::Batch(payload)));
        }
        for one in appended {
            runtime.block_on(one)?;
        }
        while matches!(tail.recv_timeout(Duration::ZERO), Next::Entry(..)) {}
    }
    // A call and its assignment.
    Ok(2 * SPANS * batches)
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
