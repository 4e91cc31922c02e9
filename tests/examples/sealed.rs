//! What it costs that memory decides nothing: calls through the engine with room for all of them,
//! and with the default limits, so that nearly all of them are sealed on disk; then scores and
//! retries of sealed calls, a snapshot, and the restart from it.
//!
//! `cargo run --release --example sealed -- [CALLS] [UNITS]`

use armspan::app::fold::apply;
use armspan::engine::Engine;
use armspan::model::canonical::{jcs, set_id};
use armspan::model::observation::{Define, Grader, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;
use armspan::store::Sealed;
use std::io::{Write, stdout};
use std::path::Path;
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

struct World {
    engine: Engine,
    shelf: Sealed,
    units: u64,
    set: SetId,
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
        let engine = Engine::new(Settings::default());
        let mut world = World { engine, shelf, units, set };
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
            spent += began.elapsed();
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

fn main() -> anyhow::Result<()> {
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
    let sealed = each(world.calls(0, calls), calls);
    let view = world.engine.view();
    let arms = &view.experiments[0].sites[0].arms;
    let counted = arms.iter().map(|arm| arm.calls).sum::<i64>() as u64;
    anyhow::ensure!(counted == calls.div_ceil(PER_ENTRY) * PER_ENTRY, "{counted} calls counted");
    let (bytes, _) = world.shelf.bytes();
    writeln!(
        out,
        "{sealed:.0} ns a call with {calls} calls, nearly all sealed; {:.0} B of disk a call in {} \
         tables; {} units; {} MiB resident",
        bytes as f64 / calls as f64,
        world.shelf.count(),
        arms.iter().map(|arm| arm.units).sum::<i64>(),
        rss_mib(),
    )?;
    let scores = world.late(calls, score);
    writeln!(out, "{:.1} µs a late score by response id", each(scores, LATE) / 1e3)?;
    let retries = world.late(calls, |world, number| world.call(number)[0].clone());
    writeln!(out, "{:.1} µs a retry of a sealed call", each(retries, LATE) / 1e3)?;
    let counts = world.engine.view().counts;
    anyhow::ensure!(counts.duplicates == LATE && counts.late == 0, "{counts:?}");
    let began = Instant::now();
    world.shelf.sync()?;
    let state = world.engine.state()?;
    let saved = began.elapsed();
    let manifest = world.shelf.manifest();
    drop(world);
    let began = Instant::now();
    let engine = Engine::restore(&state)?;
    let shelf = Sealed::open(folder.path(), &manifest, false)?;
    writeln!(
        out,
        "{} kB of state, taken and synced in {} ms, opened again in {} ms with {} MiB sealed",
        state.len() / 1000,
        saved.as_millis(),
        began.elapsed().as_millis(),
        shelf.bytes().0 >> 20
    )?;
    anyhow::ensure!(engine.position() > 0);
    Ok(())
}
