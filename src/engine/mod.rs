//! The engine: three folds over the log, `join` (by trace) → `tally` (by unit) → `watch` (looks).
//! The only state there is, changed only by applying entries. No I/O, no clock, no randomness:
//! the same log gives the same bytes of state.

pub mod context;
pub mod dictionary;
pub mod estimate;
pub mod fact;
pub mod join;
pub mod sorted;
pub mod tally;
pub mod view;
pub mod watch;

use crate::model::codec::Reader;
use crate::model::delivery::{Event, HOUR, Why};
use crate::model::{
    Body, Decision, Entry, Nanos, Observation, Position, Settings, Settled, Sym, minute_of,
};
use context::Context;
use dictionary::Dictionary;
use fact::Change;
use join::{Answers, Join, Key};
use serde::{Deserialize, Serialize};
use tally::Tally;
use watch::{Scene, Watch};

/// Version of the bytes of state; a snapshot of another version is not read.
pub const STATE_VERSION: u32 = 4;

/// All state, and what is in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
}

/// What came of an entry.
#[derive(Clone, PartialEq, Debug)]
pub enum Stepped {
    /// Nothing was changed; read these keys and step again.
    Need(Vec<Key>),
    /// Applied.
    Done(Output),
}

// === impl Engine ===

impl Engine {
    /// Empty, with these settings in force until a `Config` entry says otherwise.
    pub fn new(settings: Settings) -> Self {
        Engine { context: Context::new(settings), ..Engine::default() }
    }

    /// Applies the entry at `position`, or says what it needs from disk first.
    pub fn step(&mut self, position: Position, entry: &Entry, answers: &Answers) -> Stepped {
        let now = self.log_time.max(entry.stamp);
        let mut output = Output::default();
        let changes = match &entry.body {
            Body::Batch(bytes) => {
                let (observations, unreadable) = decode(bytes);
                let (context, dictionary) = (&self.context, &mut self.dictionary);
                match self.join.step(observations, now, answers, context, dictionary) {
                    join::Step::Need(keys) => return Stepped::Need(keys),
                    join::Step::Done(changes) => {
                        self.unreadable += unreadable;
                        self.forward(changes, now)
                    }
                }
            }
            Body::Tick => self.tick(now),
            Body::Config(json) => {
                output.looked = true;
                let (changes, decisions) = self.configure(json, now);
                output.decisions = decisions;
                changes
            }
            Body::Decision(decision) => {
                output.looked = true;
                if matches!(decision.what, Settled::Epoch { .. }) {
                    output.cut = Some(Why::Epoch);
                }
                self.decide(decision)
            }
            Body::Cut => {
                output.cut = Some(Why::Drain);
                self.tick(now)
            }
        };
        let limits = self.context.settings.limits.clone();
        changes.iter().for_each(|change| self.tally.apply(change, &limits));
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
    fn forward(&mut self, mut changes: Vec<Change>, now: Nanos) -> Vec<Change> {
        let scores: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Forward(trace, score) => Some((*trace, *score)),
                _ => None,
            })
            .collect();
        if !scores.is_empty() {
            changes.extend(self.join.deliver(&scores, now, &self.context, &mut self.dictionary));
        }
        changes
    }

    fn tick(&mut self, now: Nanos) -> Vec<Change> {
        let mut changes = Vec::new();
        self.join.tick(now, &self.context, &mut self.dictionary, &mut changes);
        changes
    }

    fn configure(&mut self, json: &str, now: Nanos) -> (Vec<Change>, Vec<Decision>) {
        let Ok(settings) = serde_json::from_str::<Settings>(json) else {
            self.unreadable += 1;
            return (Vec::new(), Vec::new());
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
        let changes = self.join.reconsider(None, &old, &self.context, &mut self.dictionary);
        let decisions = self.decisions_of_splits(&old, now);
        (changes, decisions)
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

    fn decide(&mut self, decision: &Decision) -> Vec<Change> {
        let old = self.context.clone();
        let name = self.dictionary.text(decision.experiment).to_owned();
        if !self.context.decide(decision, &name) {
            return Vec::new();
        }
        let Engine { context, dictionary, tally, join, watch, log_time, .. } = self;
        let scene = Scene { context, dictionary, tally, census: &join.census, now: *log_time };
        watch.decided(decision, &scene);
        match decision.what {
            // What was counted keeps its epoch, and control is only looked up.
            Settled::Epoch { .. } | Settled::Control(_) => Vec::new(),
            Settled::Experiment | Settled::Unit(_) | Settled::Demoted(_) => {
                let concerns = Some(decision.experiment);
                join.reconsider(concerns, &old, context, dictionary)
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
    pub fn trace(&self, id: crate::model::TraceId) -> Option<&join::trace::Trace> {
        self.join.trace(id)
    }

    /// Its state as bytes: equal logs give equal bytes.
    pub fn state(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(&(STATE_VERSION, self))
    }

    /// From the bytes of [`Engine::state`].
    pub fn restore(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (version, mut engine): (u32, Engine) = postcard::from_bytes(bytes)?;
        if version != STATE_VERSION {
            return Err(postcard::Error::SerdeDeCustom);
        }
        engine.context.derive();
        Ok(engine)
    }
}

/// Observations of a batch; what cannot be read is counted and ends the batch.
fn decode(bytes: &[u8]) -> (Vec<Observation>, u64) {
    let mut list = Vec::with_capacity(bytes.len() / 64);
    for read in Reader::new(bytes) {
        match read {
            Ok(observation) => list.push(observation),
            Err(_) => return (list, 1),
        }
    }
    (list, 0)
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
