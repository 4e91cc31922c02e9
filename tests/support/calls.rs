//! Observations as the load of the race gives them: 512 spans a batch in traces of four, of which
//! the root repeats its children; each names its experiment, arm, user, conversation and response.

use armspan::model::codec::Writer;
use armspan::model::observation::{Define, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;

/// Where time begins.
pub const BASE: Nanos = 1_795_000_000 * SECOND;
/// Spans of a batch.
pub const SPANS: u64 = 512;
/// Spans of a trace.
const TRACE: u64 = 4;
/// Spans a second of log time.
const RATE: u64 = 100_000;

/// A stream of batches, no id twice.
pub struct Calls {
    units: u64,
    next: u64,
    sets: Vec<(SetId, FacetSet)>,
}

/// Spreads numbers over all words: distinct in, distinct out.
pub fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Calls {
    /// Of so many users, in one run for each of the two arms.
    pub fn new(units: u64) -> Self {
        Calls::of_runs(units, 2)
    }

    /// Of so many users in so many runs.
    pub fn of_runs(units: u64, runs: u64) -> Self {
        let set = |version: &str| {
            let mut facets = FacetSet::default();
            facets.set(Field::ModelRequested, Value::text("gpt-4o"));
            facets.set(Field::ModelRevision, Value::text("gpt-4o-2024-08-06"));
            facets.set(Field::PromptHash, Value::text(version));
            facets.set(Field::PromptVersion, Value::text(version));
            (canonical::set_id(&facets), facets)
        };
        let sets = (0..runs).map(|run| set(&(14 + run).to_string())).collect();
        Calls { units, next: 0, sets }
    }

    /// Settings with their experiment: all built-in metrics, and two of scores that mature.
    pub fn settings() -> Settings {
        let mut settings = Settings::default();
        let split = [("A".to_owned(), 0.5), ("B".to_owned(), 0.5)].into();
        let unit = Some("user".to_owned());
        settings.experiments.insert("e".into(), Experiment { split, unit, ..Default::default() });
        settings
    }

    /// What has to be in the log before them.
    pub fn defines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for name in ["e", "A", "B", "support-bot"] {
            let define = Define::Name(Sym::of(name), name.into());
            Observation::Define(define).encode(&mut out);
        }
        for (id, facets) in &self.sets {
            Observation::Define(Define::Set(*id, facets.clone())).encode(&mut out);
        }
        out
    }

    /// When the next batch is.
    pub fn now(&self) -> Nanos {
        BASE + self.next * SECOND / RATE
    }

    /// The next batch.
    pub fn batch(&mut self) -> Vec<u8> {
        let (mut writer, mut out) = (Writer::default(), Vec::with_capacity(100 * SPANS as usize));
        for number in self.next..self.next + SPANS {
            self.span(number, &mut writer, &mut out);
        }
        self.next += SPANS;
        out
    }

    /// A user keeps to a run; runs with even and odd numbers are those of the two arms.
    fn run(&self, user: u64) -> usize {
        (mixed(user) % self.sets.len() as u64) as usize
    }

    fn span(&self, number: u64, writer: &mut Writer, out: &mut Vec<u8>) {
        // Far from zero, which `mixed` leaves as it is and which is no id.
        let number = number + (1 << 40);
        let root = number - number % TRACE;
        let trace = TraceId(u128::from(mixed(root)) << 64 | u128::from(mixed(!root)));
        let user = mixed(root ^ 0x55) % self.units;
        let arm = self.run(user) % 2;
        let (span, above) = (SpanId(mixed(number ^ 7)), SpanId(mixed(root ^ 7)));
        let parent = if number == root { SpanId::NONE } else { above };
        let place = Place { trace, span, parent, end: BASE + (number - (1 << 40)) * SECOND / RATE };
        let dice = mixed(number ^ 0x99);
        let failed = dice.is_multiple_of(50);
        let call = Call {
            place,
            duration: 200_000_000 + dice % 3_000_000_000,
            set: self.sets[self.run(user)].0,
            error: if failed { Sym::of("rate_limit_exceeded") } else { Sym::NONE },
            finish: Finish::STOP,
            tokens: Tokens {
                input: Some(300 + dice % 1_700),
                output: Some(50 + (dice >> 20) % 450),
                cached: Some((dice >> 40) % 1_024),
                ..Tokens::default()
            },
            seed: Some(7),
            units: Units {
                user: Some(UnitHash(mixed(user ^ 0x77))),
                conversation: Some(UnitHash(mixed(root ^ 0x11))),
                ..Units::default()
            },
            response: Some(UnitHash(mixed(number ^ 0x33))),
            ..Call::default()
        };
        writer.call(&call, out);
        let told = Assignment {
            trace: Some(trace),
            span,
            experiment: Sym::of("e"),
            arm: Sym::of(["A", "B"][arm]),
            unit: Some(UnitHash(mixed(user ^ 0x77))),
            source: Source::FlagAttributes,
            time: place.end,
            assigned_ppm: None,
            service: Sym::of("support-bot"),
        };
        writer.assignment(&told, out);
    }
}
