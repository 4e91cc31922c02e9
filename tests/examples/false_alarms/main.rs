//! The Monte-Carlo proof: streams without an effect through the engine, a look per closed
//! minute, and how often a verdict claims something; the same for streams with an effect, and
//! what the formulas of others make of the same data. Prints Markdown.
//!
//! `cargo run --release --example false_alarms -- --streams 2000`

mod demo;
mod feed;
mod kinds;
mod peers;
mod random;
mod sets;
mod spread;
mod streams;
mod table;

use clap::Parser;
use feed::{Outcome, Size};
use spread::spread;
use std::io::{Result, Write, stderr, stdout};
use std::time::Instant;
use streams::{Claim, Kind};
use table::Row;

/// Counts false alarms and findings.
#[derive(Parser)]
struct Args {
    /// Streams of each kind.
    #[arg(long, default_value_t = 2_000)]
    streams: usize,
    /// The same of kinds with an effect.
    #[arg(long, default_value_t = 500)]
    effects: usize,
    /// Calls of a stream.
    #[arg(long, default_value_t = 20_000)]
    calls: usize,
    /// Looks at a stream, one per minute.
    #[arg(long, default_value_t = 200)]
    looks: u32,
    /// Seed of everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only kinds whose name contains one of these, between bars.
    #[arg(long)]
    only: Option<String>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Streams of the sample-ratio test; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    ratios: usize,
    /// Streams of the drift detector; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    drifts: usize,
    /// Days of the demo's null scenario; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    demo: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut out = stdout();
    let size = Size { calls: args.calls, looks: args.looks };
    let wanted = |kind: &Kind| match &args.only {
        Some(parts) => parts.split('|').any(|part| kind.name.contains(part)),
        None => true,
    };
    let kinds: Vec<Kind> = kinds::all().into_iter().filter(wanted).collect();
    if args.streams > 0 && !kinds.is_empty() {
        writeln!(out, "{}", table::head())?;
    }
    for kind in kinds.into_iter().filter(|_| args.streams > 0) {
        let began = Instant::now();
        let streams = match kind.claim {
            Claim::True => args.streams.min(args.effects),
            _ => args.streams,
        };
        let outcomes: Vec<Outcome> =
            spread(args.threads, streams, |number| feed::run(kind, size, args.seed, number as u64));
        let row = Row::of(kind, &outcomes, began.elapsed().as_secs_f64());
        writeln!(out, "{}", row.line())?;
        writeln!(stderr(), "{}: {:.1} s {}", kind.name, row.seconds, row.reasons)?;
    }
    if args.ratios > 0 {
        sets::ratios(&args_of(&args, args.ratios), &mut out)?;
    }
    if args.drifts > 0 {
        sets::drifts(&args_of(&args, args.drifts), &mut out)?;
    }
    if args.demo > 0 {
        demo::count(&args_of(&args, args.demo), &mut out)?;
    }
    Ok(())
}

/// What the other counts need.
pub struct Task {
    /// How many.
    pub count: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

fn args_of(args: &Args, count: usize) -> Task {
    Task { count, seed: args.seed, threads: args.threads }
}
