//! The walk borrows from the request's bytes: in the steady state nothing is allocated per span
//! or attribute between the bytes of a message and its encoded observations.

use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::traffic::Traffic;
use armspan::model::{Batch, SECOND};
use armspan::normalize::{Blind, Config, Normalizer, Times};
use prost::Message;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

const BASE: u64 = 1_795_000_000 * SECOND;

/// Allocations of a whole request; the two resources of the demo cost most of them.
const PER_REQUEST_MAX: u64 = 8;

/// Spans and allocations of a request that the normaliser knows already.
fn read(seconds: u64) -> (u64, u64) {
    let normalizer = Normalizer::new(Config::default());
    let mut traffic = Traffic::new(Scenario::default(), 1, BASE);
    let bytes = traffic.between(BASE, BASE + seconds * SECOND).traces.encode_to_vec();
    let mut batch = Batch::default();
    let read = |batch: &mut Batch| {
        batch.clear();
        let report = normalizer.traces(&bytes, Times::any(), batch, &mut Blind).expect("OTLP");
        normalizer.durable(batch);
        report.received
    };
    // Twice: the first time names and facet sets become known, the second time buffers have grown.
    read(&mut batch);
    read(&mut batch);
    let profiler = dhat::Profiler::builder().testing().build();
    let spans = read(&mut batch);
    let blocks = dhat::HeapStats::get().total_blocks;
    drop(profiler);
    (spans, blocks)
}

#[test]
fn nothing_is_allocated_per_span() {
    let (few, small) = read(900);
    let (many, large) = read(3_600);
    assert!(few > 400 && many > 3 * few, "{few} and {many} spans");
    assert_eq!(small, large, "{few} and {many} spans");
    assert!(large <= PER_REQUEST_MAX, "{large} allocations a request");
}
