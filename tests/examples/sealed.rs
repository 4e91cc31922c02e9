//! What it costs that memory decides nothing: calls through the engine with room for all of them,
//! and with the default limits, so that nearly all of them are sealed on disk; then scores and
//! retries of sealed calls, a snapshot, and the restart from it.
//!
//! `cargo run --release --example sealed -- [CALLS] [UNITS]`; with `shelf [RECORDS]` instead, what
//! the shelf alone takes: records put, keys looked up that are not there, and that are.

use armspan::app::fold::apply;
use armspan::engine::Engine;
use armspan::model::canonical::{jcs, set_id};
use armspan::model::observation::{Define, Grader, Source};
use armspan::model::settings::Experiment;
use armspan::model::shelf::{
    Batch, Cursor, Family, Page, Part, Record, Shelf, ShelfError, Value as Bytes,
};
use armspan::model::*;
use armspan::store::Sealed;
use std::io::{Write, stdout};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BASE: Nanos = 1_795_000_000 * SECOND;
const PER_ENTRY: u64 = 512;
/// Calls a second of log time.
const RATE: u64 = 20_000;
/// Calls that are measured with room for all of them.
const ROOMY: u64 = 200_000;
const LATE: u64 = 50_000;

fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A shelf, and what processor time the engine's thread spent in it.
struct Timed {
    shelf: Sealed,
    spent: Duration,
    longest_put: Duration,
}

impl Timed {
    fn take(&mut self) -> Duration {
        std::mem::take(&mut self.spent)
    }
}

impl Shelf for Timed {
    fn put(&mut self, batch: &Arc<Batch>) -> Result<(), ShelfError> {
        let (began, before) = (Instant::now(), spent().1);
        let done = self.shelf.put(batch);
        self.longest_put = self.longest_put.max(began.elapsed());
        self.spent += spent().1 - before;
        done
    }

    fn get(&mut self, of: Family, keys: &[u128], oldest: Part) -> Result<Vec<Record>, ShelfError> {
        let before = spent().1;
        let found = self.shelf.get(of, keys, oldest);
        self.spent += spent().1 - before;
        found
    }

    fn page(&mut self, of: Family, parts: &Range<Part>, at: Cursor) -> Result<Page, ShelfError> {
        let before = spent().1;
        let page = self.shelf.page(of, parts, at);
        self.spent += spent().1 - before;
        page
    }

    fn drop_before(&mut self, family: Family, oldest: Part) {
        self.shelf.drop_before(family, oldest);
    }
}

struct World {
    engine: Engine,
    shelf: Timed,
    units: u64,
    set: SetId,
    /// What an entry took at most.
    longest: Duration,
}

impl World {
    fn new(dir: &Path, join_bytes_max: u64, units: u64) -> World {
        let mut settings = Settings::default();
        settings.limits.join_bytes_max = join_bytes_max;
        let split = [("A".to_owned(), 0.5), ("B".to_owned(), 0.5)].into();
        let unit = Some("user.id".to_owned());
        let experiment = Experiment { split, unit, ..Experiment::default() };
        settings.experiments.insert("e".into(), experiment);
        let mut facets = FacetSet::default();
        facets.set(Field::ModelRequested, Value::text("m"));
        facets.set(Field::PromptHash, Value::text("h"));
        let set = set_id(&facets);
        let shelf = Sealed::open(dir, &Default::default(), false).expect("shelf");
        let shelf = Timed { shelf, spent: Duration::ZERO, longest_put: Duration::ZERO };
        let engine = Engine::new(Settings::default());
        let mut world = World { engine, shelf, units, set, longest: Duration::ZERO };
        let json = serde_json::to_value(&settings).expect("settings");
        world.push(BASE, Body::Config(jcs(&json)));
        let name = |n: &str| Observation::Define(Define::Name(Sym::of(n), n.into()));
        let defined = Observation::Define(Define::Set(set, facets));
        world.send(BASE, &[name("A"), name("B"), name("q"), name("judge"), defined]);
        world
    }

    fn push(&mut self, stamp: Nanos, body: Body) {
        let position = self.engine.position();
        let entry = Entry { stamp, body };
        apply(&mut self.engine, position, &entry, &mut self.shelf).expect("applied");
    }

    fn send(&mut self, stamp: Nanos, list: &[Observation]) {
        let mut bytes = Vec::new();
        list.iter().for_each(|one| one.encode(&mut bytes));
        self.push(stamp, Body::Batch(bytes));
    }

    /// A call, its root span with the arm, each in a trace of its own.
    fn call(&self, number: u64) -> [Observation; 3] {
        let end = BASE + number * SECOND / RATE;
        let trace = TraceId(u128::from(mixed(number)) << 64 | u128::from(mixed(!number)));
        let span = SpanId(mixed(number ^ 7));
        let root = SpanId(mixed(number ^ 9));
        let place = Place { trace, span, parent: root, end };
        let user = Some(UnitHash(mixed(mixed(number) % self.units)));
        let tokens = Tokens { input: Some(900), output: Some(200), ..Tokens::default() };
        let call = Call {
            place,
            duration: 1_200_000_000 + number % 1_000_000,
            set: self.set,
            tokens,
            first_token_us: Some(300_000),
            units: Units { user, ..Units::default() },
            response: Some(UnitHash(mixed(number ^ 11))),
            ..Call::default()
        };
        let arm = if (mixed(number) % self.units).is_multiple_of(2) { "A" } else { "B" };
        let told = Assignment {
            trace: Some(trace),
            span: root,
            experiment: Sym::of("e"),
            arm: Sym::of(arm),
            unit: None,
            source: Source::FlagSpanEvent,
            time: end,
            assigned_ppm: None,
            service: Sym::of("s"),
        };
        let top = Place { span: root, parent: SpanId::NONE, ..place };
        [
            Observation::Call(call),
            Observation::Link(Link { place: top }),
            Observation::Assignment(told),
        ]
    }

    fn calls(&mut self, from: u64, to: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for first in (from..to).step_by(PER_ENTRY as usize) {
            let list: Vec<_> = (first..first + PER_ENTRY).flat_map(|n| self.call(n)).collect();
            let mut bytes = Vec::new();
            list.iter().for_each(|one| one.encode(&mut bytes));
            let began = Instant::now();
            self.push(BASE + first * SECOND / RATE, Body::Batch(bytes));
            let took = began.elapsed();
            (spent, self.longest) = (spent + took, self.longest.max(took));
        }
        spent
    }

    fn late(&mut self, calls: u64, make: impl Fn(&World, u64) -> Observation) -> Duration {
        let picked: Vec<u64> = (0..LATE).map(|n| mixed(n ^ 0x55) % (calls / 2)).collect();
        let began = Instant::now();
        for some in picked.chunks(PER_ENTRY as usize) {
            let list: Vec<_> = some.iter().map(|number| make(self, *number)).collect();
            self.send(BASE + calls * SECOND / RATE, &list);
        }
        began.elapsed()
    }
}

fn score(world: &World, number: u64) -> Observation {
    let [Observation::Call(call), ..] = world.call(number) else { unreachable!("a call") };
    Observation::Score(Score {
        target: Target::Response(call.response.expect("an id")),
        name: Sym::of("q"),
        value_micro: Some(1_000_000),
        label: Sym::NONE,
        failed: false,
        grader: Grader { name: Sym::of("judge"), ..Grader::default() },
        annotator: Sym::NONE,
        id: number,
        time: call.place.end,
        picked_ppm: None,
    })
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn each(spent: Duration, count: u64) -> f64 {
    spent.as_secs_f64() * 1e9 / count as f64
}

/// Records that are put together, and keys that are asked for together.
const PUT: u64 = 65_536;
const ASKED: u64 = 512;

/// Processor time of all threads of this process, and of this one.
fn spent() -> (Duration, Duration) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok());
    let all = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    let own = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let own = own.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (Duration::from_millis(all * 10), Duration::from_nanos(own))
}

fn wide(number: u64) -> u128 {
    u128::from(mixed(number)) << 64 | u128::from(mixed(!number))
}

fn batch(family: Family, part: u32) -> Batch {
    let first = u64::from(part - 1) * PUT;
    let record = |number: u64| match family {
        Family::Traces => (wide(number), Bytes::Kept([number as u8; 100].into())),
        _ => (u128::from(mixed(number ^ 11)), Bytes::Id(wide(number).to_le_bytes())),
    };
    let mut records: Vec<_> = (first..first + PUT).map(record).collect();
    records.sort_unstable();
    Batch { family, part, records }
}

/// As an engine uses it: each trace is asked for when it begins, and put when it leaves.
fn shelf(count: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut shelf = Sealed::open(folder.path(), &Default::default(), false)?;
    let (mut puts, mut worst, mut gets) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut put_own, mut get_own) = (Duration::ZERO, Duration::ZERO);
    let (mut making, began) = (Duration::ZERO, spent());
    for part in 1..=(count / PUT) as u32 {
        let before = spent();
        let batches = [Family::Traces, Family::Responses].map(|of| Arc::new(batch(of, part)));
        let first = (1 << 40) + u64::from(part) * PUT;
        let mut fresh: Vec<Vec<u128>> = (first..first + PUT)
            .step_by(ASKED as usize)
            .map(|from| (from..from + ASKED).map(wide).collect())
            .collect();
        fresh.iter_mut().for_each(|keys| keys.sort_unstable());
        making += spent().1 - before.1;
        let (start, before) = (Instant::now(), spent());
        for keys in &fresh {
            anyhow::ensure!(shelf.get(Family::Traces, keys, 1)?.is_empty(), "found what is not");
        }
        gets += start.elapsed();
        get_own += spent().1 - before.1;
        for batch in batches {
            let (start, before) = (Instant::now(), spent());
            shelf.put(&batch)?;
            let took = start.elapsed();
            (puts, worst) = (puts + took, worst.max(took));
            put_own += spent().1 - before.1;
        }
    }
    let total = spent().0.saturating_sub(began.0).saturating_sub(making);
    let mut out = stdout().lock();
    writeln!(
        out,
        "{count} traces and as many response ids: {:.0} ns a trace on the engine's thread ({:.0} \
         of its processor), at most {:.1} ms at once; {:.0} ns a key that is not there ({:.0}); \
         {:.0} ns of processor a trace in all; {} tables, {} MiB, {} MiB resident",
        each(puts, count),
        each(put_own, count),
        worst.as_secs_f64() * 1e3,
        each(gets, count),
        each(get_own, count),
        each(total, count),
        shelf.count(),
        shelf.bytes().0 >> 20,
        rss_mib(),
    )?;
    let start = Instant::now();
    for from in (0..LATE).step_by(ASKED as usize) {
        let mut keys: Vec<u128> =
            (from..from + ASKED).map(|n| wide(mixed(n) % (count / PUT * PUT))).collect();
        keys.sort_unstable();
        keys.dedup();
        let found = shelf.get(Family::Traces, &keys, 1)?;
        anyhow::ensure!(found.len() == keys.len(), "{} of {}", found.len(), keys.len());
    }
    writeln!(out, "{:.1} µs a key that is there", each(start.elapsed(), LATE) / 1e3)?;
    let start = Instant::now();
    let manifest = shelf.freeze()?.sync()?;
    let synced = start.elapsed();
    drop(shelf);
    let start = Instant::now();
    let shelf = Sealed::open(folder.path(), &manifest, false)?;
    let (took, count) = (start.elapsed(), shelf.count());
    writeln!(out, "synced in {synced:.1?}; {count} tables opened in {took:.1?}")?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).is_some_and(|word| word == "shelf") {
        let count = std::env::args().nth(2).map(|n| n.parse::<u64>()).transpose()?;
        return shelf(count.unwrap_or(4_000_000) / PUT * PUT);
    }
    let mut given = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let calls = given.next().transpose()?.unwrap_or(4_000_000);
    let units = given.next().transpose()?.unwrap_or(100_000);
    let mut out = stdout().lock();
    let folder = tempfile::tempdir()?;
    let roomy = {
        let mut world = World::new(&folder.path().join("roomy"), 64 << 30, units);
        each(world.calls(0, ROOMY), ROOMY)
    };
    writeln!(out, "{roomy:.0} ns a call with room for {ROOMY} calls")?;
    let mut world = World::new(folder.path(), 64 << 20, units);
    let before = spent().0;
    let sealed = each(world.calls(0, calls), calls);
    let all = each(spent().0 - before, calls);
    let view = world.engine.view();
    let arms = &view.experiments[0].sites[0].arms;
    let counted = arms.iter().map(|arm| arm.calls).sum::<i64>() as u64;
    anyhow::ensure!(counted == calls.div_ceil(PER_ENTRY) * PER_ENTRY, "{counted} calls counted");
    let (bytes, _) = world.shelf.shelf.bytes();
    writeln!(
        out,
        "{sealed:.0} ns a call with {calls} calls, nearly all sealed ({all:.0} of processor, \
         making them included, {:.0} of it in the shelf), an entry at most {} ms, a put at most {} ms; \
         {:.0} B of disk a call in {} tables; {} units; {} MiB resident",
        each(world.shelf.take(), calls),
        world.longest.as_millis(),
        world.shelf.longest_put.as_millis(),
        bytes as f64 / calls as f64,
        world.shelf.shelf.count(),
        arms.iter().map(|arm| arm.units).sum::<i64>(),
        rss_mib(),
    )?;
    let scores = world.late(calls, score);
    let of_it = each(world.shelf.take(), LATE) / 1e3;
    let scores = each(scores, LATE) / 1e3;
    writeln!(
        out,
        "{scores:.1} µs a late score by response id, {of_it:.1} of processor in the shelf"
    )?;
    let retries = world.late(calls, |world, number| world.call(number)[0].clone());
    let of_it = each(world.shelf.take(), LATE) / 1e3;
    let retries = each(retries, LATE) / 1e3;
    writeln!(
        out,
        "{retries:.1} µs a retry of a sealed call, {of_it:.1} of processor in the shelf"
    )?;
    let counts = world.engine.view().counts;
    anyhow::ensure!(counts.duplicates == LATE && counts.late == 0, "{counts:?}");
    let began = Instant::now();
    let (frozen, engine) = (world.shelf.shelf.freeze()?, world.engine.freeze());
    let paused = began.elapsed();
    let manifest = frozen.sync()?;
    let mut state = Vec::new();
    engine.write(&mut state)?;
    let saved = began.elapsed();
    drop(world);
    let began = Instant::now();
    let engine = Engine::restore(&state)?.0;
    let shelf = Sealed::open(folder.path(), &manifest, false)?;
    writeln!(
        out,
        "{} kB of state: the engine pauses {} ms for it; taken and synced in {} ms, opened again \
         in {} ms with {} MiB sealed",
        state.len() / 1000,
        paused.as_millis(),
        saved.as_millis(),
        began.elapsed().as_millis(),
        shelf.bytes().0 >> 20
    )?;
    anyhow::ensure!(engine.position() > 0);
    Ok(())
}
