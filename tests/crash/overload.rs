//! More than it can take: memory stays bounded, clients are told to come back, reads are answered,
//! what was acknowledged is there, and about as much is taken as at the best of times. A slow disk
//! and sinks that are dead or hang change none of it. `ARMSPAN_OVERLOAD` is how many seconds each
//! part lasts; then the share of what is taken has to be 80 %.

use super::load::request;
use super::server::{CONFIG, Server, command_with, free_port};
use super::shim::Disk;
use super::world::{World, connected};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Clients that it can take, and ten times as many.
const FEW: usize = 4;
const MANY: usize = 40;
/// What all that may be in flight and wait, and the rest of the process, come to.
const RSS_MIB_MAX: u64 = 700;
/// How long a client waits that is told to come back: as it is told.
const COME_BACK: Duration = Duration::from_secs(1);

struct Bench {
    folder: tempfile::TempDir,
    config: String,
    server: Server,
    disk: Disk,
    world: Arc<World>,
}

/// What came of one part.
struct Came {
    /// Requests acknowledged each second.
    goodput: f64,
    refused: u64,
    slowest_read: Duration,
    rss_mib: u64,
}

fn lasts() -> (Duration, bool) {
    let seconds = std::env::var("ARMSPAN_OVERLOAD").ok().and_then(|text| text.parse().ok());
    (Duration::from_secs(seconds.unwrap_or(3)), seconds.is_some())
}

impl Bench {
    /// Small limits, so that few clients are too many.
    async fn start(sinks: &str) -> Bench {
        let folder = tempfile::tempdir().expect("folder");
        let config = format!(
            "{CONFIG}limits: {{request_bytes_max: 64KiB, in_flight_bytes_max: 64KiB, \
             queue_bytes_max: 1MiB}}\nsinks: {sinks}\n"
        );
        let ports = [free_port(), free_port(), free_port()];
        let mut command = command_with(folder.path(), ports, &config);
        let disk = Disk::under(folder.path(), &mut command);
        let server = Server::spawn(folder.path(), command, ports);
        server.until("ready", async || server.text("/readyz").await.is_some()).await;
        Bench { folder, config, server, disk, world: World::new() }
    }

    fn rss_mib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.server.pid());
        let text = std::fs::read_to_string(status).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
        let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib / 1024
    }

    /// So many clients send as fast as they can, for a while.
    async fn load(&self, clients: usize, lasts: Duration) -> Came {
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (began, before) = (Instant::now(), self.world.acknowledged());
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let shared = (self.world.clone(), stop.clone(), refused.clone());
                tokio::spawn(client(self.server.grpc, shared))
            })
            .collect();
        let (mut slowest_read, mut rss_mib) = (Duration::ZERO, 0);
        while began.elapsed() < lasts {
            let asked = Instant::now();
            assert!(self.server.text("/api/v1/status").await.is_some(), "reads are answered");
            slowest_read = slowest_read.max(asked.elapsed());
            rss_mib = rss_mib.max(self.rss_mib());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let goodput = (self.world.acknowledged() - before) as f64 / began.elapsed().as_secs_f64();
        stop.store(true, SeqCst);
        for task in tasks {
            task.await.expect("a client");
        }
        Came { goodput, refused: refused.load(SeqCst), slowest_read, rss_mib }
    }

    async fn compare(mut self) {
        self.server.signal("KILL");
        self.server.wait();
        let server = Server::start_with(self.folder.path(), &self.config).await;
        self.world.settle_and_compare(&server).await;
    }
}

impl Came {
    fn print(&self, name: &str) {
        println!(
            "{name:28} {:6.0} requests/s, {:5} refused, slowest read {:?}, {} MiB",
            self.goodput, self.refused, self.slowest_read, self.rss_mib
        );
        assert!(self.rss_mib < RSS_MIB_MAX, "{} MiB", self.rss_mib);
        assert!(self.goodput > 0.0, "nothing was taken");
        assert!(self.slowest_read < Duration::from_secs(20), "{:?}", self.slowest_read);
    }
}

async fn client(grpc: u16, (world, stop, refused): (Arc<World>, Arc<AtomicBool>, Arc<AtomicU64>)) {
    let mut client = connected(grpc).await.expect("connected");
    while !stop.load(SeqCst) {
        let number = world.fresh();
        world.sent(number);
        match client.export(request(number, world.began)).await {
            Ok(_) => world.answered(number),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
                refused.fetch_add(1, SeqCst);
                tokio::time::sleep(COME_BACK).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_load_is_refused_and_not_lost() {
    let (lasts, long) = lasts();
    // One sink that refuses connections, and one that takes them and never answers.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hangs = hangs.local_addr().map(|at| (hangs, at)).expect("address");
    let sinks = format!(
        "[{{kind: webhook, url: 'http://127.0.0.1:{}'}}, {{kind: webhook, url: 'http://{}'}}]",
        free_port(),
        hangs.1
    );
    let alone = Bench::start("[]").await;
    let without = alone.load(FEW, lasts).await;
    without.print("few clients, no sinks");
    drop(alone);
    let bench = Bench::start(&sinks).await;
    let peak = bench.load(FEW, lasts).await;
    peak.print("few clients, dead sinks");
    let over = bench.load(MANY, lasts * 2).await;
    over.print("ten times as many");
    assert!(over.refused > 0, "it was not too much");
    if long {
        assert!(over.goodput >= 0.8 * peak.goodput, "{} of {}", over.goodput, peak.goodput);
        assert!(peak.goodput >= 0.8 * without.goodput, "{} of {}", peak.goodput, without.goodput);
    }
    bench.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_slows_and_loses_nothing() {
    let (lasts, long) = lasts();
    let bench = Bench::start("[]").await;
    for millis in [4, 50, 200] {
        bench.disk.fails(&format!("delay={millis} only=/log/"));
        let few = bench.load(FEW, lasts / 2).await;
        few.print(&format!("few clients, sync {millis} ms"));
        let many = bench.load(MANY, lasts / 2).await;
        many.print(&format!("ten times, sync {millis} ms"));
        if long {
            assert!(many.goodput >= 0.8 * few.goodput, "{} of {}", many.goodput, few.goodput);
        }
    }
    bench.disk.well();
    bench.compare().await;
}
