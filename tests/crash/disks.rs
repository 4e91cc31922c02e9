//! Disks that fail: nothing is acknowledged that is not durable, clients are told to come back at
//! once, what is there is still shown, and what can end by itself ends by itself.

use super::load::request;
use super::server::{CONFIG, Server, command_with, free_port};
use super::shim::Disk;
use super::world::{World, connected};
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Segments are small, so that new ones are needed.
const SMALL: &str = "snapshot: {every: 1s}\nlog: {segment_bytes: 1MiB}\n";
/// Far above what it takes; the measured time is printed.
const AT_ONCE: Duration = Duration::from_secs(1);
/// More requests than two segments take.
const NEW_SEGMENT: u32 = 4_000;
const PATIENCE: Duration = Duration::from_secs(30);
const ENOSPC: u32 = 28;
const EIO: u32 = 5;
const EMFILE: u32 = 24;
const EROFS: u32 = 30;

struct Bench {
    folder: tempfile::TempDir,
    config: String,
    world: Arc<World>,
    server: Server,
    disk: Disk,
}

impl Bench {
    async fn start() -> Bench {
        let folder = tempfile::tempdir().expect("folder");
        let config = format!("{CONFIG}{SMALL}");
        let ports = [free_port(), free_port(), free_port()];
        let mut command = command_with(folder.path(), ports, &config);
        let disk = Disk::under(folder.path(), &mut command);
        let server = Server::spawn(folder.path(), command, ports);
        server.until("ready", async || server.text("/readyz").await.is_some()).await;
        let world = World::new();
        Bench { folder, config, world, server, disk }
    }

    async fn take(&self, requests: u64) {
        let mut client = connected(self.server.grpc).await.expect("connected");
        for _ in 0..requests {
            let number = self.world.fresh();
            assert!(self.world.send(&mut client, number).await, "{}", self.server.said());
        }
        let shown = async || self.server.text("/api/v1/experiments/load").await.is_some();
        self.server.until("figures", shown).await;
    }

    /// Sends until one is refused, over gRPC, which has to be one of the first `within`; how long
    /// that answer took.
    async fn refused(&self, within: u32) -> Duration {
        let mut client = connected(self.server.grpc).await.expect("connected");
        for _ in 0..within {
            let number = self.world.fresh();
            self.world.sent(number);
            let began = Instant::now();
            let answer = client.export(request(number, self.world.began)).await;
            let Err(status) = answer else {
                self.world.answered(number);
                continue;
            };
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
            // The trailer that Python's SDK reads, and the one of all others.
            let own = status.metadata().get_bin("google.rpc.retryinfo-bin");
            assert!(own.is_some() && !status.details().is_empty(), "{status:?}");
            return began.elapsed();
        }
        panic!("nothing was refused");
    }

    /// The same over HTTP, once it refuses.
    async fn refused_over_http(&self) -> Duration {
        let number = self.world.fresh();
        self.world.sent(number);
        let body = request(number, self.world.began).encode_to_vec();
        let url = format!("http://127.0.0.1:{}/v1/traces", self.server.http);
        let post = reqwest::Client::new().post(url).body(body);
        let began = Instant::now();
        let answer = post.header("content-type", "application/x-protobuf").send().await;
        let answer = answer.expect("an answer");
        let took = began.elapsed();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        took
    }

    /// What is said while nothing is taken; figures are still there.
    async fn says(&self, state: &str) {
        assert_eq!(self.server.text("/readyz").await, None);
        let metrics = self.server.text("/metrics").await.expect("metrics");
        let line = format!("armspan_log_disk{{state=\"{state}\"}} 1");
        assert!(metrics.contains(&line) && metrics.contains("armspan_ready 0"), "{metrics}");
        let experiment = self.server.json("/api/v1/experiments/load").await;
        assert!(experiment["calls"].as_u64().expect("calls") > 0);
    }

    fn newest_snapshot(&self) -> Option<String> {
        let files = std::fs::read_dir(self.server.data.join("snap")).ok()?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".snap")).max()
    }

    /// Ready again, with nobody sending; then more is taken and snapshots go on.
    async fn is_well_again(&self) {
        let server = &self.server;
        server.until("ready again", async || server.text("/readyz").await.is_some()).await;
        self.take(20).await;
        let before = self.newest_snapshot();
        self.take(1).await;
        server.until("a snapshot", async || self.newest_snapshot() > before).await;
        self.cut().await;
    }

    /// Records leave: the outbox takes them.
    async fn cut(&self) {
        let url = format!("{}/api/v1/cuts", self.server.url());
        // It is refused within a second of the one before.
        let taken = async || {
            let answer = reqwest::Client::new().post(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        self.server.until("a cut", taken).await;
        let records = async || {
            let status = self.server.json("/api/v1/status").await;
            status["sinks"][0]["delivered"].as_u64().unwrap_or(0) > 0
        };
        self.server.until("delivered records", records).await;
    }

    /// Killed, and started on a disk that is well: all that was acknowledged is there, once.
    async fn compare(mut self) {
        self.server.signal("KILL");
        self.server.wait();
        self.compare_stopped().await;
    }

    async fn compare_stopped(self) {
        let server = Server::start_with(self.folder.path(), &self.config).await;
        self.world.settle_and_compare(&server).await;
    }
}

/// One kind of failure that ends.
async fn refuses_and_goes_on(name: &str, how: String, within: u32) {
    let bench = Bench::start().await;
    bench.take(30).await;
    bench.cut().await;
    bench.disk.fails(&how);
    let grpc = bench.refused(within).await;
    let http = bench.refused_over_http().await;
    println!("{name}: refused after {grpc:?} over gRPC, {http:?} over HTTP");
    assert!(grpc < AT_ONCE && http < AT_ONCE, "{grpc:?} {http:?}");
    bench.says("refuses").await;
    // Long enough for snapshots and records to meet it too.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    bench.says("refuses").await;
    bench.disk.well();
    bench.is_well_again().await;
    bench.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_until_there_is_space() {
    refuses_and_goes_on("ENOSPC", format!("write={ENOSPC}"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_writes_half_refuses_until_it_is_well() {
    refuses_and_goes_on("EIO after half", format!("write={EIO} half=1 only=/log/"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_handles_it_refuses_until_there_are_some() {
    refuses_and_goes_on("EMFILE", format!("open={EMFILE} only=/log/"), NEW_SEGMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_refuses_until_it_is_writable() {
    refuses_and_goes_on("EROFS", format!("write={EROFS} open={EROFS}"), 1).await;
}

/// What leaves waits while its disk fails, and what comes in does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_only_what_leaves_holds_up_nobody() {
    for how in [format!("write={ENOSPC}"), format!("sync={EIO}")] {
        let bench = Bench::start().await;
        bench.take(30).await;
        bench.cut().await;
        bench.disk.fails(&format!("{how} only=/outbox/"));
        let before = bench.newest_snapshot();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            bench.take(3).await;
            let cut = reqwest::Client::new().post(format!("{}/api/v1/cuts", bench.server.url()));
            // It may be refused: what it gives waits.
            let _ = cut.send().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("{how}: {before:?}, {:?}", bench.newest_snapshot());
        bench.disk.well();
        bench.is_well_again().await;
        bench.compare().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_refuses_shows_and_ends_with_74() {
    let mut bench = Bench::start().await;
    bench.take(30).await;
    bench.disk.fails(&format!("sync={EIO} only=/log/"));
    let took = bench.refused(1).await;
    println!("failed sync: refused after {took:?}");
    bench.disk.well();
    let failed = Instant::now();
    bench.says("failed").await;
    // It is never tried again, however well the disk is.
    let again = bench.refused_over_http().await;
    assert!(again < AT_ONCE, "{again:?}");
    let status = loop {
        if let Some(status) = bench.server.ended() {
            break status;
        }
        assert!(failed.elapsed() < PATIENCE, "it does not end");
        if failed.elapsed() < Duration::from_secs(8) {
            bench.says("failed").await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("failed sync: ended after {:?}", failed.elapsed());
    assert_eq!(status.code(), Some(74), "{}", bench.server.said());
    assert!(failed.elapsed() > Duration::from_secs(7), "{:?}", failed.elapsed());
    bench.compare_stopped().await;
}
