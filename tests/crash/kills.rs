//! SIGKILL at random and at each named point. `ARMSPAN_KILLS` says how often, `ARMSPAN_SEED`
//! repeats a run.

use super::server::{Server, command_with, free_port};
use super::world::{Random, World};
use armspan::fail::POINTS;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Snapshots, segments, what goes of them and what leaves memory, all small and often.
const CONFIG: &str = "assignment_wait: 1s\nmatures_after: 0s\n\
    experiments: {load: {control: A}}\nsnapshot: {every: 1s}\n\
    log: {segment_bytes: 1MiB, keep_bytes_max: 1MiB}\n\
    limits: {join_bytes_max: 64KiB, unit_cache_bytes: 4KiB}\n";
/// Kills of one folder: what it holds stays small.
const PER_FOLDER: u64 = 28;
/// How long a process may take to start …
const START_MAX: Duration = Duration::from_secs(60);
/// … and then to come to the point where it dies.
const PATIENCE: Duration = Duration::from_secs(4);
const CLIENTS: u64 = 4;

/// What came of all kills.
#[derive(Default)]
struct Tally {
    kills: u64,
    requests: u64,
    /// By the point where it died; the rest died at random.
    points: BTreeMap<&'static str, u64>,
    slowest_start: Duration,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_double_wherever_it_is_killed() {
    let kills = number("ARMSPAN_KILLS").unwrap_or(2 * PER_FOLDER);
    let seed = number("ARMSPAN_SEED").unwrap_or_else(|| super::world::now() % 1_000_000);
    println!("ARMSPAN_SEED={seed}");
    let mut all = Tally::default();
    let folders = kills.div_ceil(PER_FOLDER);
    let mut number = 0;
    while number < folders {
        // Two at a time: one waits while the other starts.
        let here = tokio::runtime::Handle::current();
        let pair = (number..folders.min(number + 2)).map(|n| {
            let here = here.clone();
            tokio::task::spawn_blocking(move || here.block_on(folder(seed + n)))
        });
        for done in pair.collect::<Vec<_>>() {
            all.add(done.await.expect("nothing is lost and nothing double"));
        }
        number += 2;
        println!("{} kills, {} requests acknowledged", all.kills, all.requests);
    }
    all.print();
    assert!(all.kills >= kills, "{} kills", all.kills);
    // Each has its turn in each folder; on a busy machine a few may not be come to in time.
    let reached = POINTS.iter().filter(|point| all.points.contains_key(*point)).count();
    assert!(reached * 10 >= POINTS.len() * 7, "too few points were come to: {:?}", all.points);
}

/// One folder's kills, and the comparison at their end.
async fn folder(seed: u64) -> Tally {
    let folder = tempfile::tempdir().expect("folder");
    let world = World::new();
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for turn in 0..PER_FOLDER {
        let point = POINTS.get((turn + seed) as usize % PER_FOLDER as usize).copied();
        while !round(folder.path(), &world, point, &mut random, &mut tally).await {}
    }
    let server = Server::start_with(folder.path(), CONFIG).await;
    world.settle_and_compare(&server).await;
    tally.requests = world.acknowledged();
    tally
}

/// Starts, lets clients send, and sees it die; false when it could not start.
async fn round(
    folder: &Path,
    world: &std::sync::Arc<World>,
    point: Option<&'static str>,
    random: &mut Random,
    tally: &mut Tally,
) -> bool {
    let ports = [free_port(), free_port(), free_port()];
    let mut command = command_with(folder, ports, CONFIG);
    if let Some(point) = point {
        // Points that are come to with every request may be passed a few times first.
        let often = ["log.append", "log.sync", "log.answer", "engine.apply", "engine.applied"];
        let passes = if often.contains(&point) { 40 } else { 2 };
        command.env("ARMSPAN_FAILPOINTS", format!("{point}={}", 1 + random.below(passes)));
    }
    let began = Instant::now();
    let mut server = Server::spawn(folder, command, ports);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let pause = Duration::from_millis(2 + random.below(6));
            tokio::spawn(world.clone().stream(server.grpc, pause, random.below(1 << 40)))
        })
        .collect();
    let at_random = Duration::from_millis(150 + random.below(500));
    let (mut ready, mut taken) = (None, false);
    let died = loop {
        if let Some(status) = server.ended() {
            let said = server.said();
            // Another test may have taken the port first: nothing was killed.
            taken = said.contains("Address already in use");
            assert!(taken || status.code().is_none(), "it ended by itself: {said}");
            break !taken;
        }
        if ready.is_none() && server.text("/readyz").await.is_some() {
            ready = Some(Instant::now());
            tally.slowest_start = tally.slowest_start.max(began.elapsed());
        }
        // A busy machine takes its time to start; the point has its time from then on.
        let waited = ready.map_or(began.elapsed().saturating_sub(START_MAX), |at| at.elapsed());
        if point.map_or(began.elapsed() > at_random, |_| waited > PATIENCE) {
            break false;
        }
        // Records leave: they are put into the outbox, and a sink notes them.
        let cut = format!("{}/api/v1/cuts", server.url());
        let _ = reqwest::Client::new().post(cut).send().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    match (died, point) {
        (true, Some(point)) => *tally.points.entry(point).or_default() += 1,
        _ if taken => {}
        _ => server.signal("KILL"),
    }
    server.wait();
    for client in clients {
        client.abort();
        let _ = client.await;
    }
    tally.kills += u64::from(!taken);
    !taken
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.kills += other.kills;
        self.requests += other.requests;
        self.slowest_start = self.slowest_start.max(other.slowest_start);
        for (point, count) in other.points {
            *self.points.entry(point).or_default() += count;
        }
    }

    fn print(&self) {
        let named: u64 = self.points.values().sum();
        println!("\nkills {}, of them at named points {named}", self.kills);
        println!("requests acknowledged {}, lost 0, double 0", self.requests);
        println!("slowest start {:?}", self.slowest_start);
        for point in POINTS {
            println!("  {point:16} {}", self.points.get(point).copied().unwrap_or(0));
        }
    }
}
