//! Calls to look at: the slowest and the latest, the latest failed one, the worst and the best
//! judged one of each score, and one at random. Each is a maximum, so the order in which calls
//! come does not matter; a call that is taken back stays until a greater one comes.

use crate::engine::fact::{CallFact, Fact};
use crate::model::metric::Origin;
use crate::model::{Nanos, SpanId, Sym, TraceId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Scores whose ends are kept by name.
const SCORES_MAX: usize = 16;
/// Of the draw at random: any constant will do, as span ids are no choice of the emitter.
const SEED: u64 = 0x61_72_6d_73_70_61_6e;

/// Where a call is: end, trace, span.
pub type At = (Nanos, TraceId, SpanId);

/// What is kept of a run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Exemplars {
    /// Latency in microseconds of the slowest call without error.
    pub slowest: Option<(u64, Nanos, TraceId, SpanId)>,
    /// The latest failed call.
    pub failed: Option<At>,
    /// Quantities of the latest call without error.
    pub answered: Option<(Nanos, TraceId, SpanId, Quantities)>,
    /// The call with the greatest hash of its id: each is as likely.
    pub random: Option<(u64, At)>,
    /// By name of the score: the lowest and the highest value in millionths, the latest of equals.
    pub scores: BTreeMap<Sym, Ends>,
}

/// The lowest and the highest score.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ends {
    /// The lowest.
    pub lowest: (Reverse<i64>, At),
    /// The highest.
    pub highest: (i64, At),
}

/// What a call took, in integer units: microseconds, tokens, nano-USD.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Quantities {
    latency: u64,
    first_token: Option<u64>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    cost: Option<u64>,
}

// === impl Quantities ===

impl Quantities {
    fn of(call: &CallFact) -> Self {
        Quantities {
            latency: call.latency_us,
            first_token: call.first_token_us,
            tokens_in: call.tokens_in,
            tokens_out: call.tokens_out,
            cost: call.cost_nano,
        }
    }

    /// One of them.
    pub fn get(&self, origin: Origin) -> Option<u64> {
        match origin {
            Origin::Latency => Some(self.latency),
            Origin::TimeToFirstToken => self.first_token,
            Origin::TokensIn => self.tokens_in,
            Origin::TokensOut => self.tokens_out,
            Origin::Cost => self.cost,
            _ => None,
        }
    }
}

// === impl Exemplars ===

impl Exemplars {
    /// Notes a call.
    pub fn call(&mut self, fact: &Fact, call: &CallFact) {
        let at = at(fact);
        let draw = xxh3_64_with_seed(&fact.span.0.to_le_bytes(), SEED);
        self.random = self.random.max(Some((draw, at)));
        if call.failed {
            self.failed = self.failed.max(Some(at));
            return;
        }
        self.slowest = self.slowest.max(Some((call.latency_us, at.0, at.1, at.2)));
        self.answered = self.answered.max(Some((at.0, at.1, at.2, Quantities::of(call))));
    }

    /// Notes a score of a call.
    pub fn score(&mut self, fact: &Fact, name: Sym, value_micro: i64) {
        let at = at(fact);
        let one = Ends { lowest: (Reverse(value_micro), at), highest: (value_micro, at) };
        self.ends(name, one);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Exemplars) {
        self.slowest = self.slowest.max(other.slowest);
        self.failed = self.failed.max(other.failed);
        self.answered = self.answered.max(other.answered);
        self.random = self.random.max(other.random);
        other.scores.iter().for_each(|(name, ends)| self.ends(*name, *ends));
    }

    fn ends(&mut self, name: Sym, more: Ends) {
        if self.scores.len() >= SCORES_MAX && !self.scores.contains_key(&name) {
            return;
        }
        let own = self.scores.entry(name).or_insert(more);
        own.lowest = own.lowest.max(more.lowest);
        own.highest = own.highest.max(more.highest);
    }
}

fn at(fact: &Fact) -> At {
    (fact.end, fact.trace, fact.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_do_not_depend_on_the_order() {
        let at = |n: u8| (u64::from(n), TraceId(n.into()), SpanId(n.into()));
        let one = |value, n| {
            let mut out = Exemplars::default();
            let (lowest, highest) = ((Reverse(value), at(n)), (value, at(n)));
            out.ends(Sym::of("ok"), Ends { lowest, highest });
            out
        };
        let parts = [one(0, 1), one(0, 2), one(1_000_000, 3), one(500_000, 4)];
        let (mut there, mut back) = (Exemplars::default(), Exemplars::default());
        parts.iter().for_each(|part| there.merge(part));
        parts.iter().rev().for_each(|part| back.merge(part));
        assert_eq!(there, back);
        let ends = there.scores[&Sym::of("ok")];
        assert_eq!((ends.lowest.1, ends.highest.1), (at(2), at(3)));
    }
}
