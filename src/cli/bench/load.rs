//! Requests in flight over connections: closed loop, or open loop at a set rate.
//!
//! In the open loop each request has a time at which it is due, whatever became of the ones
//! before, and its latency counts from then: a server that stalls is charged for all that it kept
//! waiting. What is refused for now is sent again unchanged, as exporters do, until a while after
//! the end; what has not arrived by then was dropped.

use super::args::{Args, Protocol};
use super::fresh::Source;
use super::process::{self, Usage};
use super::template::Template;
use super::transport::{Answer, Message, Transport};
use crate::app::clock::WallClock;
use crate::model::{Clock, Nanos};
use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// Distinct requests.
const TEMPLATES: u64 = 16;
/// How long what is due may still be delivered after the end.
const DRAIN: Duration = Duration::from_secs(10);
/// Pauses before a request is sent again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What came of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Length of the measured time.
    pub seconds: f64,
    /// Spans acknowledged within it.
    pub acknowledged: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Spans acknowledged from the first to the last request, warm-up and end included.
    pub acknowledged_in_all: u64,
    /// Spans that an answer named as rejected for good.
    pub rejected: u64,
    /// Spans that were due and not delivered in the end, the rejected ones included.
    pub dropped: u64,
    /// Answers that said "later", and requests without an answer.
    pub later: u64,
    /// Answers that refused a request for good.
    pub refused: u64,
    /// What the first of either said.
    pub first_failure: Option<String>,
    /// Of requests due within the measured time, in microseconds, the shortest first.
    pub latencies: Vec<u32>,
    /// What the receiver used within the measured time.
    pub server: Option<Server>,
    /// CPU seconds of ourselves.
    pub client_cpu_s: Option<f64>,
    /// CPU seconds that the hypervisor gave to others.
    pub stolen_s: Option<f64>,
    /// Bytes of a span, its share of the request included.
    pub bytes_per_span: f64,
}

/// What the receiver's process used.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Server {
    /// CPU seconds.
    pub cpu_s: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// The most that was seen.
    pub peak_rss_bytes: u64,
}

/// What all workers share.
struct Load {
    templates: Vec<Arc<Template>>,
    source: Arc<Source>,
    times: Times,
    /// Of one request to the next in the open loop.
    interval: Option<Duration>,
    next: AtomicU64,
    measuring: AtomicBool,
    outcome: Mutex<Outcome>,
}

/// When it began, when the measured time begins and ends, and what the spans' clock shows.
struct Times {
    began: Instant,
    from: Instant,
    to: Instant,
    shown: f64,
    speed: f64,
}

/// Readings at one moment.
struct Sample {
    at: Instant,
    server: Option<Usage>,
    client: Option<Usage>,
    stolen_s: Option<f64>,
}

/// Sends for as long as the flags say.
pub async fn run(args: &Args) -> Result<Outcome> {
    if let Some(pid) = args.pid {
        process::usage(pid).with_context(|| format!("--pid: there is no process {pid}"))?;
    }
    let load = Arc::new(Load::new(args));
    let connections = match args.protocol {
        Protocol::Grpc => args.connections.get() as usize,
        Protocol::Http => 1,
    };
    let transports =
        (0..connections).map(|_| Transport::new(args)).collect::<Result<Vec<Transport>>>()?;
    let work = |at: usize| {
        let (load, transport) = (load.clone(), transports[at % connections].clone());
        tokio::spawn(async move { load.work(&transport).await })
    };
    let workers: Vec<_> = (0..args.inflight.get() as usize).map(work).collect();
    sleep_until(load.times.from.into()).await;
    let before = Sample::take(args);
    load.measuring.store(true, Relaxed);
    let peak = watch_memory(args, load.times.to).await;
    load.measuring.store(false, Relaxed);
    let after = Sample::take(args);
    for worker in workers {
        worker.await?;
    }
    let mut outcome = std::mem::take(&mut *load.outcome());
    outcome.latencies.sort_unstable();
    outcome.bytes_per_span = load.templates[0].len() as f64 / load.templates[0].spans() as f64;
    Ok(outcome.used(&before, &after, peak))
}

/// Until the end; gives the most that was seen.
async fn watch_memory(args: &Args, to: Instant) -> u64 {
    let rss = || args.pid.and_then(process::usage).map_or(0, |usage| usage.rss_bytes);
    let mut peak = rss();
    while Instant::now() < to {
        sleep_until((Instant::now() + LOOK).min(to).into()).await;
        peak = peak.max(rss());
    }
    peak
}

// === impl Outcome ===

impl Outcome {
    /// With what was used between two samples.
    fn used(mut self, before: &Sample, after: &Sample, peak_rss_bytes: u64) -> Self {
        let cpu_s = |a: Usage, b: Usage| b.cpu_s - a.cpu_s;
        self.seconds = (after.at - before.at).as_secs_f64();
        self.server = before.server.zip(after.server).map(|(a, b)| Server {
            cpu_s: cpu_s(a, b),
            rss_bytes: b.rss_bytes,
            peak_rss_bytes,
        });
        self.client_cpu_s = before.client.zip(after.client).map(|(a, b)| cpu_s(a, b));
        self.stolen_s = before.stolen_s.zip(after.stolen_s).map(|(a, b)| b - a);
        self
    }

    fn failed(&mut self, why: String) {
        self.first_failure.get_or_insert(why);
    }
}

// === impl Sample ===

impl Sample {
    fn take(args: &Args) -> Self {
        Sample {
            at: Instant::now(),
            server: args.pid.and_then(process::usage),
            client: process::usage(std::process::id()),
            stolen_s: process::stolen_s(),
        }
    }
}

// === impl Times ===

impl Times {
    /// As of now, when the clock shows `wall`. A fast clock begins so long ago that it shows the
    /// present at the end: receivers refuse what ends in the future.
    fn new(args: &Args, wall: Nanos) -> Self {
        let began = Instant::now();
        let ahead = (args.clock_speed - 1.0) * (args.warmup + args.seconds);
        let from = began + Duration::from_secs_f64(args.warmup);
        Times {
            began,
            from,
            to: from + Duration::from_secs_f64(args.seconds),
            shown: wall as f64 - ahead * 1e9,
            speed: args.clock_speed,
        }
    }

    fn shown(&self, now: Instant) -> Nanos {
        let since = now.saturating_duration_since(self.began).min(self.to - self.began);
        (self.shown + since.as_nanos() as f64 * self.speed) as Nanos
    }
}

// === impl Load ===

impl Load {
    fn new(args: &Args) -> Self {
        let wall = WallClock::start(0).now();
        let templates = (0..TEMPLATES).map(|number| Arc::new(Template::new(args, number)));
        let interval =
            args.rate.map(|rate| Duration::from_secs_f64(f64::from(args.batch.get()) / rate));
        Load {
            templates: templates.collect(),
            source: Arc::new(Source::new(args, wall)),
            // Made last: templates take a while.
            times: Times::new(args, wall),
            interval,
            next: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            outcome: Mutex::default(),
        }
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, transport: &Transport) {
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let due = match self.interval {
                Some(interval) => self.times.began + interval.mul_f64(number as f64),
                None => Instant::now(),
            };
            if due >= self.times.to {
                return;
            }
            if self.interval.is_some() {
                sleep_until(due.into()).await;
            }
            self.deliver(transport, number, due).await;
        }
    }

    /// Sends until the request is answered for good, or it is too late.
    async fn deliver(&self, transport: &Transport, number: u64, due: Instant) {
        let template = self.templates[(number % TEMPLATES) as usize].clone();
        let source = self.source.clone();
        let message = Message { template, source, number, now: self.times.shown(Instant::now()) };
        let mut pause = PAUSE_MIN;
        while Instant::now() < self.times.to + DRAIN {
            match transport.send(message.clone()).await {
                Answer::Acknowledged { rejected } => {
                    return self.acknowledged(&message.template, rejected, due);
                }
                Answer::Refused(why) => {
                    self.refused(why);
                    sleep(PAUSE_MIN).await;
                    break;
                }
                Answer::Later(why) => {
                    self.later(why);
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        self.dropped(&message.template, due);
    }

    fn acknowledged(&self, template: &Template, rejected: u64, due: Instant) {
        let mut outcome = self.outcome();
        let spans = template.spans().saturating_sub(rejected);
        outcome.acknowledged_in_all += spans;
        outcome.rejected += rejected;
        outcome.dropped += rejected;
        if self.measuring.load(Relaxed) {
            outcome.acknowledged += spans;
            outcome.bytes += template.len() as u64;
        }
        self.answered(&mut outcome, due);
    }

    /// Its latency is at least what it has waited by now.
    fn dropped(&self, template: &Template, due: Instant) {
        let mut outcome = self.outcome();
        outcome.dropped += template.spans();
        self.answered(&mut outcome, due);
    }

    fn answered(&self, outcome: &mut Outcome, due: Instant) {
        if (self.times.from..self.times.to).contains(&due) {
            let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
            outcome.latencies.push(micros);
        }
    }

    fn refused(&self, why: String) {
        let mut outcome = self.outcome();
        outcome.refused += 1;
        outcome.failed(why);
    }

    fn later(&self, why: String) {
        let mut outcome = self.outcome();
        outcome.later += 1;
        outcome.failed(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::tests::parsed;
    use crate::model::SECOND;
    use axum::http::StatusCode;
    use axum::routing::post;
    use axum::{Router, extract::State};

    /// A receiver that stalls with its second request and refuses each third one for now.
    async fn receive(State(count): State<Arc<AtomicU64>>) -> StatusCode {
        match count.fetch_add(1, Relaxed) {
            1 => sleep(Duration::from_millis(600)).await,
            n if n % 3 == 2 => return StatusCode::SERVICE_UNAVAILABLE,
            _ => {}
        }
        StatusCode::OK
    }

    async fn against(router: Router, words: &[&str]) -> Outcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async { axum::serve(listener, router).await });
        let words = [&[&url, "--protocol=http", "--batch=8", "--warmup=0"], words].concat();
        run(&parsed(&words)).await.expect("outcome")
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_all_that_it_kept_waiting() {
        let count = Arc::new(AtomicU64::new(0));
        let router = Router::new().route("/v1/traces", post(receive)).with_state(count);
        // One request in flight, due each 20 ms.
        let flags = ["--seconds=1", "--rate=400", "--inflight=1"];
        let outcome = against(router, &flags).await;
        assert_eq!((outcome.acknowledged_in_all, outcome.dropped), (50 * 8, 0), "{outcome:?}");
        assert_eq!(outcome.latencies.len(), 50);
        assert!(outcome.later > 10 && outcome.refused == 0, "{outcome:?}");
        let late = outcome.latencies.iter().filter(|micros| **micros > 200_000).count();
        assert!(late >= 20, "{:?}", outcome.latencies);
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_dropped() {
        let refuse = || async { (StatusCode::BAD_REQUEST, "no") };
        let router = Router::new().route("/v1/traces", post(refuse));
        let outcome = against(router, &["--seconds=0.3", "--inflight=2"]).await;
        assert_eq!((outcome.acknowledged_in_all, outcome.later), (0, 0));
        assert_eq!(outcome.dropped, outcome.refused * 8);
        assert!(outcome.first_failure.is_some_and(|why| why.contains("400") && why.contains("no")));
    }

    #[test]
    fn a_fast_clock_begins_in_the_past_and_ends_now() {
        let args = parsed(&["--clock-speed=61", "--seconds=9", "--warmup=1"]);
        let times = Times::new(&args, 10_000 * SECOND);
        let at = |seconds| times.shown(times.began + Duration::from_secs(seconds)) / SECOND;
        assert_eq!((at(0), at(1), at(10), at(11)), (9_400, 9_461, 10_010, 10_010));
    }
}
