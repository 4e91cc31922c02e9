//! What looks remember of verdicts: running maxima of e-values, latches, since when a state
//! holds, and the history that charts draw. Bounded: old epochs go first.

use super::drift::Drift;
use crate::model::observation::Grader;
use crate::model::verdict::{Reason, State};
use crate::model::{MINUTE, Nanos, Sym};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines remembered per experiment; above, the oldest epochs are forgotten.
const LINES_MAX: usize = 4_096;
/// Looks kept per line. When there are more, every other one of the older half goes.
pub const HISTORY_MAX: usize = 256;
/// Lines with a history, over all experiments: 1,024 × 256 × 32 bytes are 8 MiB.
pub const HISTORIES_MAX: usize = 1_024;

/// What is remembered of an experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExperimentMemory {
    /// Largest log e-value of the sample-ratio test so far.
    pub ratio_log_e: f64,
    /// Its metrics.
    pub lines: BTreeMap<LineKey, LineMemory>,
}

/// One metric of an arm at a site in an epoch, by one grader.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LineKey {
    /// The call site.
    pub site: Sym,
    /// The arm.
    pub arm: Sym,
    /// The metric.
    pub metric: Sym,
    /// The epoch.
    pub epoch: u32,
    /// Who judged; nobody for what calls tell.
    pub grader: Grader,
}

/// What is remembered of a line.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LineMemory {
    /// Largest log e-value against "no difference" so far: `p = exp(−max)`.
    pub log_e: f64,
    /// When and on what it was breached.
    pub latch: Option<Latch>,
    /// Its state at the last look.
    pub state: State,
    /// Since which look it is in this state.
    pub since: Nanos,
    /// Differences at looks, oldest first.
    pub history: Vec<Look>,
    /// Detectors of a change inside the arm.
    pub drift: Option<Drift>,
}

/// A breach.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Latch {
    /// The look.
    pub at: Nanos,
    /// The margin, or the ceiling.
    pub reason: Reason,
    /// The difference then, with its interval.
    pub look: Look,
}

/// A difference at a look. An open end is infinite.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Look {
    /// The closed minute.
    pub minute: u32,
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

// === impl ExperimentMemory ===

impl ExperimentMemory {
    /// Forgets the oldest epochs when there are too many lines.
    pub fn bound(&mut self) {
        if self.lines.len() <= LINES_MAX {
            return;
        }
        let mut epochs: Vec<u32> = self.lines.keys().map(|key| key.epoch).collect();
        epochs.sort_unstable();
        let oldest = epochs[epochs.len() - LINES_MAX];
        self.lines.retain(|key, _| key.epoch >= oldest);
        while self.lines.len() > LINES_MAX {
            self.lines.pop_first();
        }
    }

    /// Histories of the current epochs are kept, those of older ones go with their lines.
    pub fn histories(&self) -> usize {
        self.lines.values().filter(|line| !line.history.is_empty()).count()
    }

    /// The latest breach of a metric of an arm that still counts: in this or an earlier epoch,
    /// but not before `since`.
    pub fn breached(&self, site: Sym, arm: Sym, metric: Sym, since: Nanos) -> Option<(u32, Latch)> {
        let first = LineKey { site, arm, metric, ..LineKey::default() };
        let own = |key: &LineKey| (key.site, key.arm, key.metric) == (site, arm, metric);
        let rows = self.lines.range(first..).take_while(|row| own(row.0));
        let latches = rows.filter_map(|(key, line)| {
            let latch = line.latch.filter(|latch| latch.at >= since)?;
            Some((key.epoch, latch))
        });
        latches.last()
    }
}

impl LineMemory {
    /// Notes the state at a look.
    pub fn note(&mut self, state: State, log_e: Option<f64>, at: Nanos) {
        self.log_e = self.log_e.max(log_e.filter(|e| e.is_finite()).unwrap_or(0.0));
        if self.since == 0 || self.state != state {
            (self.state, self.since) = (state, at);
        }
    }

    /// Adds to the history; thins out what is old when it is full.
    pub fn look(&mut self, look: Look) {
        self.history.push(look);
        if self.history.len() > HISTORY_MAX {
            let half = self.history.len() / 2;
            let mut at = 0;
            self.history.retain(|_| {
                at += 1;
                at > half || at % 2 == 1
            });
        }
    }
}

impl Look {
    /// When its minute was over.
    pub fn at(&self) -> Nanos {
        (u64::from(self.minute) + 1) * MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_keeps_its_beginning_and_its_end() {
        let mut line = LineMemory::default();
        (0..10_000).for_each(|minute| line.look(Look { minute, ..Look::default() }));
        assert!(line.history.len() <= HISTORY_MAX);
        assert_eq!(line.history[0].minute, 0);
        assert_eq!(line.history.last().map(|look| look.minute), Some(9_999));
        assert!(line.history.windows(2).all(|pair| pair[0].minute < pair[1].minute));
    }

    #[test]
    fn a_state_keeps_its_beginning_and_the_largest_e_value() {
        let mut line = LineMemory::default();
        line.note(State::Better, Some(5.0), 10);
        line.note(State::Better, Some(f64::INFINITY), 20);
        assert_eq!((line.since, line.log_e), (10, 5.0));
        line.note(State::Inconclusive, Some(-1.0), 30);
        assert_eq!((line.since, line.log_e), (30, 5.0));
    }

    #[test]
    fn old_epochs_are_forgotten_first() {
        let mut memory = ExperimentMemory::default();
        for epoch in 0..5_000 {
            memory.lines.insert(LineKey { epoch, ..LineKey::default() }, LineMemory::default());
        }
        memory.bound();
        assert_eq!(memory.lines.len(), LINES_MAX);
        assert!(memory.lines.keys().all(|key| key.epoch >= 904));
    }
}
