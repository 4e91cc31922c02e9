//! The engine: three folds over the log, `join` (by trace) → `tally` (by unit) → `watch` (looks).
//! The only state there is, changed only by applying entries. No I/O, no clock, no randomness:
//! the same log gives the same bytes of state.

pub mod changes;
pub mod context;
pub mod dictionary;
pub mod estimate;
pub mod fact;
pub mod join;
pub mod shards;
pub mod sorted;
mod spare;
mod stage;
pub mod tally;
pub mod view;
pub mod watch;

use crate::model::delivery::{Event, HOUR, Why};
use crate::model::{Body, Decision, Entry, Nanos, Position, Settings, Settled, Sym, minute_of};
use changes::Changes;
use context::Context;
use dictionary::Dictionary;
use join::Join;
use serde::{Deserialize, Serialize};
use stage::Stage;
use std::io::Write;
use tally::Tally;
use watch::{Scene, Watch};

pub use stage::{Answers, Need, Sealing};

/// Version of the bytes of state; a snapshot of another version is not read.
pub const STATE_VERSION: u32 = 9;

/// All state, and what is in force. What serde writes of it is without its large maps, which
/// [`Frozen::write`] adds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    position: Position,
    log_time: Nanos,
    /// Log time of the last batch.
    fed: Nanos,
    #[serde(with = "as_json")]
    context: Context,
    dictionary: Dictionary,
    join: Join,
    tally: Tally,
    watch: Watch,
    unreadable: u64,
    /// The entry that is under way.
    #[serde(skip)]
    stage: Stage,
}

/// What applying an entry led to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Output {
    /// To be appended to the log.
    pub decisions: Vec<Decision>,
    /// A minute closed, or settings changed: there is something new to see.
    pub looked: bool,
    /// Why records are due, if they are.
    pub cut: Option<Why>,
    /// Verdicts and configurations that changed.
    pub events: Vec<Event>,
    /// To be kept on the shelf before the next entry.
    pub sealing: Sealing,
}

/// What came of an entry.
#[derive(Clone, PartialEq, Debug)]
pub enum Stepped {
    /// Read this and step again with what was found.
    Need(Need),
    /// Applied.
    Done(Output),
}

// === impl Engine ===

impl Engine {
    /// Empty, with these settings in force until a `Config` entry says otherwise.
    pub fn new(settings: Settings) -> Self {
        Engine { context: Context::new(settings), ..Engine::default() }
    }

    /// Applies the entry at `position`, or says what it needs from disk first; it is then called
    /// again with the same entry and what was read.
    pub fn step(&mut self, position: Position, entry: &Entry, answers: Answers) -> Stepped {
        let now = self.log_time.max(entry.stamp);
        let mut stage = std::mem::take(&mut self.stage);
        if let Some(need) = self.advance(&mut stage, entry, now, answers) {
            self.stage = stage;
            return Stepped::Need(need);
        }
        let sealing = self.seal(&mut stage);
        let mut output = Output { sealing, ..std::mem::take(&mut stage.output) };
        self.stage = stage.room();
        if now / HOUR > self.log_time / HOUR && self.log_time > 0 {
            output.cut = Some(Why::Hour);
        }
        self.log_time = now;
        if matches!(entry.body, Body::Batch(_)) {
            self.fed = now;
        }
        self.position = position + 1;
        self.look(&mut output);
        if output.looked {
            let told = self.watch.take_told();
            output.events = self.events(&told);
        }
        Stepped::Done(output)
    }

    /// Delivers scores that were addressed to another partition: here there is only one.
    fn forward(&mut self, changes: &mut Changes, now: Nanos) {
        let scores = std::mem::take(&mut changes.forwards);
        if !scores.is_empty() {
            let Engine { join, context, dictionary, .. } = self;
            join.deliver(&scores, now, context, dictionary, changes);
        }
    }

    fn configure(&mut self, stage: &mut Stage, json: &str, now: Nanos) {
        let Ok(settings) = serde_json::from_str::<Settings>(json) else {
            self.unreadable += 1;
            return;
        };
        let old = self.context.clone();
        for name in settings.experiments.keys().chain(settings.metrics.keys()) {
            self.dictionary.name(name, settings.limits.names_max);
        }
        let arms = settings.experiments.values().flat_map(|e| e.split.keys().chain(&e.control));
        for arm in arms {
            self.dictionary.name(arm, settings.limits.names_max);
        }
        self.context.configure(settings, now);
        self.reconsider(stage, &old, None);
        stage.output.decisions = self.decisions_of_splits(&old, now);
    }

    fn decisions_of_splits(&self, old: &Context, now: Nanos) -> Vec<Decision> {
        let (before, after) = (&old.settings.experiments, &self.context.settings.experiments);
        let changed = after
            .iter()
            .filter(|(name, now)| before.get(*name).is_some_and(|was| was.split != now.split))
            .map(|(name, _)| Sym::of(name));
        let scene = Scene { now, ..self.scene() };
        watch::splits_changed(changed, &scene)
    }

    fn decide(&mut self, stage: &mut Stage, decision: &Decision) {
        if matches!(decision.what, Settled::Epoch { .. }) {
            stage.output.cut = Some(Why::Epoch);
        }
        let old = self.context.clone();
        let name = self.dictionary.text(decision.experiment).to_owned();
        if !self.context.decide(decision, &name) {
            return;
        }
        let Engine { context, dictionary, tally, join, watch, log_time, .. } = self;
        let scene = Scene { context, dictionary, tally, census: &join.census, now: *log_time };
        watch.decided(decision, &scene);
        match decision.what {
            // What was counted keeps its epoch, and control is only looked up.
            Settled::Epoch { .. } | Settled::Control(_) => {}
            Settled::Experiment | Settled::Unit(_) | Settled::Demoted(_) => {
                self.reconsider(stage, &old, Some(decision.experiment));
            }
        }
    }

    /// Looks once when one or several minutes closed.
    fn look(&mut self, output: &mut Output) {
        let settled = self.log_time.saturating_sub(self.context.settings.assignment_wait.0);
        let closed = minute_of(settled).saturating_sub(1);
        if closed <= self.watch.looked {
            return;
        }
        let Engine { context, dictionary, tally, join, watch, log_time, .. } = self;
        let scene = Scene { context, dictionary, tally, census: &join.census, now: *log_time };
        output.decisions.extend(watch.look(closed, &scene));
        output.looked = true;
    }

    /// What looks and views rest on.
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            context: &self.context,
            dictionary: &self.dictionary,
            tally: &self.tally,
            census: &self.join.census,
            now: self.log_time,
        }
    }

    /// The next position to apply.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Log time.
    pub fn log_time(&self) -> Nanos {
        self.log_time
    }

    /// Whether anything waits, matures or is in a minute that is not closed: ticks are needed.
    pub fn is_waiting(&self) -> bool {
        let open = minute_of(self.fed) > self.watch.looked;
        self.join.next_due().is_some() || open
    }

    /// Whether a tick at this time is due because an hour with data is over: its records are.
    pub fn is_hour_over(&self, now: Nanos) -> bool {
        let hour = self.log_time / HOUR;
        self.fed > 0 && self.fed / HOUR == hour && now / HOUR > hour
    }

    /// When the last wait that is known now will be over.
    pub fn next_due(&self) -> Option<Nanos> {
        self.join.next_due()
    }

    /// Settings in force.
    pub fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// All sums.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Names and sets.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// Settings and decisions.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What looks remember.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What became of every candidate of a trace.
    pub fn explain(&mut self, trace: crate::model::TraceId) -> Vec<join::Explained> {
        self.join.explain(trace, &self.context, &mut self.dictionary)
    }

    /// A trace, as long as it is in memory.
    pub fn trace(&self, id: crate::model::TraceId) -> Option<join::trace::Trace> {
        self.join.trace(id)
    }

    /// What a snapshot writes.
    pub fn freeze(&self) -> Frozen {
        let engine = Engine {
            context: self.context.clone(),
            dictionary: self.dictionary.clone(),
            join: self.join.clone(),
            tally: self.tally.clone(),
            watch: self.watch.clone(),
            stage: Stage::default(),
            ..*self
        };
        Frozen { engine }
    }

    /// Its state as bytes: equal logs give equal bytes.
    pub fn state(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut bytes = Vec::new();
        self.freeze().write(&mut bytes)?;
        Ok(bytes)
    }

    /// From bytes that begin with those of [`Engine::state`]; and what comes after them.
    pub fn restore(bytes: &[u8]) -> Result<(Self, &[u8]), postcard::Error> {
        let ((version, mut engine), bytes): ((u32, Engine), _) = postcard::take_from_bytes(bytes)?;
        if version != STATE_VERSION {
            return Err(postcard::Error::SerdeDeCustom);
        }
        let (traces, bytes) = postcard::take_from_bytes(bytes)?;
        let (units, bytes) = postcard::take_from_bytes(bytes)?;
        let (aliases, bytes) = postcard::take_from_bytes(bytes)?;
        engine.join.put_maps((traces, aliases));
        engine.tally.put_units(units);
        engine.context.derive();
        Ok((engine, bytes))
    }
}

/// A copy of the state at a position, to be written elsewhere while entries go on: the large maps
/// are shared with the engine part by part.
pub struct Frozen {
    engine: Engine,
}

impl Frozen {
    /// The next position to apply.
    pub fn position(&self) -> Position {
        self.engine.position
    }

    /// Log time.
    pub fn log_time(&self) -> Nanos {
        self.engine.log_time
    }

    /// Writes it, and lets go of what is written: equal logs give equal bytes.
    pub fn write(self, out: &mut dyn Write) -> Result<(), postcard::Error> {
        let Engine { mut join, mut tally, .. } = self.engine;
        let (units, (traces, aliases)) = (tally.take_units(), join.take_maps());
        let rest = Engine { join, tally, ..self.engine };
        postcard::to_io(&(STATE_VERSION, rest), &mut *out)?;
        traces.write(out)?;
        units.write(out)?;
        aliases.write(out)
    }
}

mod as_json {
    //! Settings leave out what is absent, which the compact format of the state cannot say.
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub fn serialize<T: Serialize, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(value).map_err(ser::Error::custom)?;
        text.serialize(out)
    }

    pub fn deserialize<'de, T, D>(input: D) -> Result<T, D::Error>
    where
        T: de::DeserializeOwned,
        D: Deserializer<'de>,
    {
        serde_json::from_str(&String::deserialize(input)?).map_err(de::Error::custom)
    }
}
