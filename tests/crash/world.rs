//! What was sent and what came of it, shared by the clients of a folder.

use super::load::{PER_REQUEST, arms, expected, request};
use super::server::Server;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::transport::Channel;

/// How long a client waits for an answer: a process that is killed answers at once or never.
const ANSWER: Duration = Duration::from_secs(20);

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos() as u64
}

/// Small and quick, and the same each time for a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Requests by what is known of them.
#[derive(Default)]
pub struct Known {
    pub acknowledged: BTreeSet<u64>,
    /// Sent, and no answer came: they may be there or not.
    pub open: BTreeSet<u64>,
}

/// All that was sent to one folder.
pub struct World {
    pub began: u64,
    next: AtomicU64,
    pub known: Mutex<Known>,
}

impl World {
    pub fn new() -> Arc<World> {
        World::after(0)
    }

    /// Whose requests begin with this number.
    pub fn after(first: u64) -> Arc<World> {
        Arc::new(World { began: now(), next: AtomicU64::new(first), known: Mutex::default() })
    }

    /// New requests, with pauses, until one fails: the server is gone.
    pub async fn stream(self: Arc<World>, grpc: u16, pause: Duration, seed: u64) {
        let mut random = Random::new(seed);
        let Some(mut client) = connected(grpc).await else { return };
        loop {
            // Of ten, one comes again that has its answer, and one that has none.
            let number = match random.below(10) {
                0 => self.any(&mut random, |known| &known.acknowledged),
                1 => self.any(&mut random, |known| &known.open),
                _ => None,
            };
            let number = number.unwrap_or_else(|| self.next.fetch_add(1, SeqCst));
            if !self.send(&mut client, number).await {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request, and says whether it was acknowledged.
    pub async fn send(&self, client: &mut TraceServiceClient<Channel>, number: u64) -> bool {
        self.sent(number);
        let sent = tokio::time::timeout(ANSWER, client.export(request(number, self.began))).await;
        let done = matches!(sent, Ok(Ok(_)));
        if done {
            self.answered(number);
        }
        done
    }

    /// Notes that a request is on its way.
    pub fn sent(&self, number: u64) {
        self.known.lock().expect("lock").open.insert(number);
    }

    /// Notes that it was acknowledged.
    pub fn answered(&self, number: u64) {
        let mut known = self.known.lock().expect("lock");
        known.open.remove(&number);
        known.acknowledged.insert(number);
    }

    /// A number that was not sent yet.
    pub fn fresh(&self) -> u64 {
        self.next.fetch_add(1, SeqCst)
    }

    fn any(&self, random: &mut Random, of: impl Fn(&Known) -> &BTreeSet<u64>) -> Option<u64> {
        let known = self.known.lock().expect("lock");
        let from = random.below(self.next.load(SeqCst) + 1);
        of(&known).range(from..).next().copied()
    }

    pub fn acknowledged(&self) -> u64 {
        self.known.lock().expect("lock").acknowledged.len() as u64
    }

    /// Sends what has no answer, and some that has, and compares: each is counted once.
    pub async fn settle_and_compare(&self, server: &Server) {
        let status = server.json("/api/v1/status").await;
        let calls = status["engine"]["observations"]["call"].as_u64().unwrap_or(0);
        let acknowledged = self.acknowledged();
        assert!(calls >= acknowledged * PER_REQUEST, "{calls} calls of {acknowledged} requests");
        let mut client = connected(server.grpc).await.expect("connected");
        let (open, again): (Vec<u64>, Vec<u64>) = {
            let known = self.known.lock().expect("lock");
            let some = known.acknowledged.iter().copied().filter(|number| number % 7 == 0);
            (known.open.iter().copied().collect(), some.collect())
        };
        for number in open.into_iter().chain(again) {
            while !self.send(&mut client, number).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        let known = self.known.lock().expect("lock").acknowledged.clone();
        server.settled(known.len() as u64 * PER_REQUEST).await;
        let experiment = server.json("/api/v1/experiments/load").await;
        assert_eq!(arms(&experiment), expected(&known), "each once, none lost");
    }
}

pub async fn connected(grpc: u16) -> Option<TraceServiceClient<Channel>> {
    let address = format!("http://127.0.0.1:{grpc}");
    for _ in 0..200 {
        if let Ok(client) = TraceServiceClient::connect(address.clone()).await {
            return Some(client);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}
