//! The pump against a sink that fails as it is told to: nothing is lost, nothing holds others up,
//! and a restart goes on where it was.

use super::*;
use crate::model::delivery::{Body, EVENT_SCHEMA, Event, Item, ItemKey, ItemKind};
use crate::sink::{Begin, Sink};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;
use tempfile::TempDir;

/// What a sink got: keys in the order of attempts that it answered well.
type Got = Arc<Mutex<Vec<ItemKey>>>;

/// Answers attempts as scripted, then well.
struct Scripted {
    script: VecDeque<Result<(), Failure>>,
    got: Got,
    hangs: bool,
    pulse: Option<Duration>,
}

#[async_trait]
impl Sink for Scripted {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Event
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(Err(failure)) = self.script.pop_front() {
            return Err(failure);
        }
        self.got.lock().expect("lock").push(item.key);
        Ok(())
    }

    fn pulse(&self) -> Option<Duration> {
        self.pulse
    }

    async fn beat(&mut self, view: &View) -> Result<(), Failure> {
        self.got.lock().expect("lock").push(ItemKey { position: view.position, ordinal: 77 });
        Ok(())
    }
}

fn event(number: u64) -> Event {
    Event {
        schema: EVENT_SCHEMA.into(),
        id: format!("{number:032x}"),
        at: "2026-11-24T10:00:00Z".into(),
        ..Event::default()
    }
}

struct Bench {
    shared: Shared,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().expect("dir");
        let outbox = Outbox::open(dir.path()).expect("opens");
        let view = Arc::new(ArcSwap::from_pointee(View::default()));
        let shared = Shared { outbox, view, meter: Arc::default(), around: Around::default() };
        Bench { shared, _dir: dir }
    }

    fn put(&self, positions: std::ops::Range<u64>) {
        for position in positions {
            self.shared.outbox.put(position, &[event(position)], None).expect("puts");
        }
    }

    fn pump(&self, name: &str, sink: Scripted, begin: Begin) -> Running {
        let pump = Pump::new(name.into(), Box::new(sink), begin, self.shared.clone());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(pump.expect("a pump").run(stopped));
        Running { stop, task }
    }

    fn status(&self, name: &str) -> crate::model::delivery::SinkStatus {
        self.shared.meter.sinks.lock().expect("lock")[name].clone()
    }
}

struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        let _ = self.stop.send(true);
        self.task.await.expect("the task ended by itself");
    }
}

fn scripted(script: Vec<Result<(), Failure>>) -> (Scripted, Got) {
    let got = Got::default();
    let sink = Scripted { script: script.into(), got: got.clone(), hangs: false, pulse: None };
    (sink, got)
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn positions(got: &Got) -> Vec<u64> {
    got.lock().expect("lock").iter().map(|key| key.position).collect()
}

#[tokio::test]
async fn failures_are_tried_again_in_order_and_refusals_passed_over() {
    let bench = Bench::new();
    bench.put(1..4);
    let script = vec![
        Err(Failure::later("connection refused")),
        Err(Failure::later("500")),
        Ok(()),
        Err(Failure::refused("400: no such metric")),
    ];
    let (sink, got) = scripted(script);
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("three items", || positions(&got) == [1, 3]).await;
    bench.put(4..6);
    until("later items", || positions(&got) == [1, 3, 4, 5]).await;
    running.stop().await;
    let status = bench.status("t:x");
    assert_eq!((status.delivered, status.refused, status.failures), (4, 1, 2));
    assert_eq!(status.last_refusal.as_deref(), Some("400: no such metric"));
    assert_eq!((status.state.as_str(), status.last_error), ("stopped", None));
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let bench = Bench::new();
    bench.put(1..3);
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("both items", || positions(&got) == [1, 2]).await;
    running.stop().await;
    bench.put(3..5);
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("the rest", || positions(&got) == [3, 4]).await;
    running.stop().await;
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:other", sink, Begin::Oldest);
    until("all of it for another target", || positions(&got) == [1, 2, 3, 4]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_acts_on_events_does_not_get_old_ones() {
    let bench = Bench::new();
    bench.put(1..3);
    let (sink, got) = scripted(Vec::new());
    bench.pump("t:x", sink, Begin::Now).stop().await;
    bench.put(3..4);
    assert_eq!(positions(&got), [0; 0]);
    // What came while it was away is not old: it was connected then.
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:x", sink, Begin::Now);
    until("the new one", || positions(&got) == [3]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_dead_sink_holds_nobody_up_and_stopping_does_not_wait_for_it() {
    let bench = Bench::new();
    let (mut dead, _) = scripted(Vec::new());
    dead.hangs = true;
    let (sink, got) = scripted(Vec::new());
    let dead = bench.pump("t:dead", dead, Begin::Oldest);
    let running = bench.pump("t:x", sink, Begin::Oldest);
    bench.put(1..50);
    until("the other sink", || positions(&got).len() == 49).await;
    running.stop().await;
    assert_eq!(bench.status("t:dead").state, "delivering");
    dead.task.abort();
    let (failing, _) = scripted(vec![Err(Failure::later("down")); 1_000]);
    let failing = bench.pump("t:failing", failing, Begin::Oldest);
    until("a failure", || bench.status("t:failing").failures > 0).await;
    let status = bench.status("t:failing");
    assert_eq!((status.last_error.as_deref(), status.waiting), (Some("down"), 49));
    let began = Instant::now();
    failing.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_removed_before_it_was_delivered_is_told() {
    let bench = Bench::new();
    bench.put(1..3);
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("both items", || positions(&got) == [1, 2]).await;
    running.stop().await;
    bench.put(3..6);
    let now = 1_900_000_000_000_000_000;
    bench.shared.outbox.trim(now, u64::MAX).expect("trims");
    bench.put(6..7);
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("what is left", || positions(&got) == [6]).await;
    running.stop().await;
    let status = bench.status("t:x");
    let told = status.last_refusal.expect("it is told");
    assert!(status.refused == 1 && told.contains("up to log position 5"), "{told}");
    // A sink that is new has missed nothing.
    let (sink, got) = scripted(Vec::new());
    let running = bench.pump("t:new", sink, Begin::Oldest);
    until("what is left", || positions(&got) == [6]).await;
    running.stop().await;
    assert_eq!(bench.status("t:new").refused, 0);
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    let bench = Bench::new();
    bench.put(1..2);
    let after = Some(Duration::from_secs(2));
    let (sink, got) = scripted(vec![Err(Failure::Later { what: "429".into(), after })]);
    let began = Instant::now();
    let running = bench.pump("t:x", sink, Begin::Oldest);
    until("the item", || positions(&got) == [1]).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn present_figures_are_sent_now_and_then() {
    let bench = Bench::new();
    let (mut sink, got) = scripted(Vec::new());
    sink.pulse = Some(Duration::from_millis(20));
    let running = bench.pump("t:x", sink, Begin::Oldest);
    bench.shared.view.store(Arc::new(View { position: 9, ..View::default() }));
    until("some beats", || positions(&got).iter().filter(|p| **p == 9).count() > 2).await;
    running.stop().await;
}

// Time is skipped while all wait: pauses grow to many seconds.
#[tokio::test(start_paused = true)]
async fn a_backfill_delivers_what_is_selected_and_names_what_was_refused() {
    let bench = Bench::new();
    bench.put(1..5);
    let script = vec![Err(Failure::later("busy")), Ok(()), Err(Failure::refused("no"))];
    let (mut sink, got) = scripted(script);
    let some = |item: Item| (item.key.position != 2).then_some(item);
    let done = deliver_all(&mut sink, &bench.shared.outbox, &some).await.expect("done");
    assert_eq!(done, (2, vec!["no".to_owned()]));
    assert_eq!(positions(&got), [1, 4]);
    let (mut dead, _) = scripted(vec![Err(Failure::later("still down")); 100]);
    let error = deliver_all(&mut dead, &bench.shared.outbox, &|item| {
        matches!(item.body, Body::Event(_)).then_some(item)
    });
    assert!(error.await.expect_err("down").to_string().contains("still down"));
}
