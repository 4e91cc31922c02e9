//! What our code allocates between a message's bytes and its acknowledgement, in the steady state:
//! nothing per span or attribute, and per request the entry of the log and the promise of its
//! answer. Walk, log on a real disk, and whoever reads the log are counted together.

// Not every help of theirs is needed here.
#[allow(dead_code)]
#[path = "support/genai.rs"]
mod genai;
#[path = "support/log.rs"]
mod log;

use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::traffic::Traffic;
use armspan::model::{Batch, Clock, Meter, Nanos, SECOND};
use armspan::normalize::{Blind, Config, Normalizer, Times};
use armspan::otlp::{Config as DoorConfig, Receiver, Signal};
use bytes::Bytes;
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

const BASE: u64 = 1_795_000_000 * SECOND;

/// Allocations of one request.
const PER_REQUEST_MAX: u64 = 2;

/// There is one profiler at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Still;

impl Clock for Still {
    fn now(&self) -> Nanos {
        BASE
    }
}

/// Allocations of all threads while something is done.
fn blocks(what: impl FnOnce()) -> u64 {
    let profiler = dhat::Profiler::builder().testing().build();
    what();
    let blocks = dhat::HeapStats::get().total_blocks;
    drop(profiler);
    blocks
}

/// Spans and allocations of a request of the demo that the normaliser knows already.
fn walk(seconds: u64) -> (u64, u64) {
    let normalizer = Normalizer::new(Config::default());
    let mut traffic = Traffic::new(Scenario::default(), 1, BASE);
    let bytes = traffic.between(BASE, BASE + seconds * SECOND).traces.encode_to_vec();
    let mut batch = Batch::default();
    let mut spans = 0;
    let mut read = || {
        batch.clear();
        let report = normalizer.traces(&bytes, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        normalizer.durable(&batch);
        spans = report.received;
    };
    // Twice: the first time names and facet sets become known, the second time buffers have grown.
    read();
    read();
    let blocks = blocks(read);
    (spans, blocks)
}

/// Allocations of so many requests of `times` × 512 spans each, from bytes to acknowledgement.
fn acknowledged(times: usize, requests: u64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let working = log::Working::open(folder.path(), 16 << 20);
    let normalizer = Arc::new(Normalizer::new(Config::default()));
    let (clock, meter): (_, Arc<Meter>) = (Arc::new(Still), Arc::default());
    let week = 7 * 86_400 * SECOND;
    let door = DoorConfig::default();
    let receiver =
        Receiver::new(door, normalizer, Arc::new(working.log.clone()), clock, meter, week);
    // Resources of one message after the other are one message.
    let message = Bytes::from(genai::request(1, BASE).repeat(times));
    let shared = message.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let send = || {
        let answer = runtime.block_on(receiver.message(Signal::Traces, message.clone()));
        assert_eq!(answer, Ok(Vec::new()), "full success");
    };
    (0..4).for_each(|_| send());
    // The next segment is made meanwhile, on a thread of its own.
    std::thread::sleep(Duration::from_millis(500));
    let blocks = blocks(|| (0..requests).for_each(|_| send()));
    working.close();
    drop(shared);
    blocks
}

#[test]
fn nothing_is_allocated_by_the_walk() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (few, small) = walk(900);
    let (many, large) = walk(3_600);
    assert!(few > 400 && many > 3 * few, "{few} and {many} spans");
    assert_eq!((small, large), (0, 0), "{few} and {many} spans");
}

#[test]
fn a_request_allocates_its_entry_and_its_answer() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (times, requests) in [(1, 10), (4, 10)] {
        let blocks = acknowledged(times, requests);
        assert!(blocks <= PER_REQUEST_MAX * requests, "{blocks} of {requests} × {times}");
    }
}
