//! The streams of `statistics.md`'s tables: who comes when, to which arm, and what is measured.

use super::random::{Random, seed_of};

/// Sessions that are open at a time.
const OPEN: usize = 40;
/// Longest session, in calls.
const SESSION_MAX: f64 = 200.0;
/// Chances of being picked for grading, by an outcome that the score depends on.
const PICKED: [f64; 2] = [0.8, 0.2];

/// A kind of stream: one experiment with one metric.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in the table.
    pub name: &'static str,
    /// The metric.
    pub what: What,
    /// How its values are distributed.
    pub shape: Shape,
    /// What arm B adds: to the mean, to the rate, or to the logarithm.
    pub effect: f64,
    /// Planned share of arm B at the beginning.
    pub share: f64,
    /// Who comes.
    pub visits: Visits,
    /// When scores come, after their call.
    pub delay: Delay,
    /// Only some calls are scored, by what their outcome was, with the inverse chance as weight.
    pub picked: bool,
    /// What is changed on the way.
    pub plan: Plan,
    /// What is counted.
    pub claim: Claim,
    /// Chance of a false claim over all epochs. The first one has 0.8 of it.
    pub alpha: f64,
}

/// What a stream measures.
#[derive(Clone, Copy, PartialEq)]
pub enum What {
    /// A score, in a declared range or in none.
    Score(Option<[f64; 2]>),
    /// Failed calls.
    Errors,
    /// Failed calls as a guardrail with an absolute margin.
    ErrorsMargin(f64),
    /// Failed calls as a guardrail with a ceiling.
    ErrorsCeiling(f64),
    /// Mean latency.
    Latency,
    /// Mean latency as a guardrail with a relative margin.
    LatencyMargin(f64),
    /// The 95th percentile of latency.
    Tail,
    /// The same as a guardrail with a relative margin.
    TailMargin(f64),
    /// The same with a ceiling.
    TailCeiling(f64),
    /// Cost of a call.
    Cost,
}

impl What {
    /// Whether calls fail.
    pub fn is_errors(self) -> bool {
        matches!(self, What::Errors | What::ErrorsMargin(_) | What::ErrorsCeiling(_))
    }

    /// Whether it is a quantile.
    pub fn is_tail(self) -> bool {
        matches!(self, What::Tail | What::TailMargin(_) | What::TailCeiling(_))
    }

    /// Whether it is a time.
    pub fn is_timed(self) -> bool {
        self.is_tail() || matches!(self, What::Latency | What::LatencyMargin(_))
    }
}

/// A distribution. Traits of a user move it by the share `icc` of the variance.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Standard normal.
    Normal,
    /// Yes with this probability.
    Coin(f64),
    /// 1 to 5, of mean 3.65; the effect is in shares of the range.
    Judge,
    /// Beta of 32 and 8.
    Beta,
    /// Log-normal with σ 1 and median 1.
    LogNormal,
    /// 0.7 ± 0.2, cut to [0, 1].
    Cut,
}

/// Who comes.
#[derive(Clone, Copy)]
pub enum Visits {
    /// Every call is of a new user.
    Once,
    /// Sessions with a heavy tail of lengths; this intra-class correlation.
    Sessions(f64),
    /// A fixed pool of so many users, some of whom come often; this correlation.
    Pool(usize, f64),
}

/// When scores come.
#[derive(Clone, Copy, PartialEq)]
pub enum Delay {
    /// With their call.
    None,
    /// So many minutes later.
    Minutes(u32),
    /// Log-normal with a median of two minutes: out of order, sometimes very late.
    Spread,
}

/// What is changed on the way; the first number is the share of the stream that is over.
#[derive(Clone, Copy)]
pub enum Plan {
    /// Nothing.
    Fixed,
    /// The planned split, for users who are new.
    Ramp(&'static [(f64, f64)]),
    /// The planned split, with users who are moved from control when it grows.
    Moving(&'static [(f64, f64)]),
    /// The configuration of arm B, without effect.
    Changes(&'static [f64]),
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// A false claim: better, regressed or breached.
    False,
    /// A false claim at the margin or the ceiling: breached, or healthy.
    FalseAtLimit,
    /// A true one.
    True,
    /// An `invalid`.
    Invalid,
}

/// A call.
#[derive(Clone, Copy)]
pub struct Visit {
    /// Place of the user.
    pub user: usize,
    /// Hash of the user.
    pub unit: u64,
    /// Arm B.
    pub treated: bool,
    /// The value.
    pub value: f64,
    /// Whether it is measured, and with which chance.
    pub picked: Option<f64>,
    /// Minutes until its score comes.
    pub delay: u32,
}

struct User {
    unit: u64,
    coin: f64,
    treated: bool,
    bent: f64,
}

/// The calls of one stream, minute by minute.
pub struct Source {
    kind: Kind,
    random: Random,
    users: Vec<User>,
    open: Vec<(usize, u32)>,
    weights: Vec<f64>,
    minutes: u32,
}

// === impl Kind ===

impl Kind {
    /// The planned share of B at a minute.
    pub fn share_at(&self, minute: u32, minutes: u32) -> f64 {
        let (Plan::Ramp(steps) | Plan::Moving(steps)) = self.plan else { return self.share };
        let over = |step: &&(f64, f64)| begins(step.0, minutes) <= minute;
        steps.iter().take_while(over).last().map_or(self.share, |step| step.1)
    }

    /// How often the configuration of B was changed before a minute.
    pub fn revision_at(&self, minute: u32, minutes: u32) -> usize {
        let Plan::Changes(list) = self.plan else { return 0 };
        list.iter().take_while(|at| begins(**at, minutes) <= minute).count()
    }

    fn correlation(&self) -> f64 {
        match self.visits {
            Visits::Once => 0.0,
            Visits::Sessions(icc) | Visits::Pool(_, icc) => icc,
        }
    }
}

fn begins(share: f64, minutes: u32) -> u32 {
    (share * f64::from(minutes)) as u32
}

// === impl Source ===

impl Source {
    /// The stream of this number.
    pub fn new(kind: Kind, seed: u64, number: u64, minutes: u32) -> Self {
        let which = seed_of(kind.name).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let random = Random::new(seed, which);
        let (users, open, weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut source = Source { kind, random, users, open, weights, minutes };
        if let Visits::Pool(size, _) = kind.visits {
            let mut sum = 0.0;
            for _ in 0..size {
                source.add_user(kind.share);
                sum += source.random.normal().exp();
                source.weights.push(sum);
            }
        }
        source
    }

    fn add_user(&mut self, share: f64) -> usize {
        let (unit, coin, bent) = (self.random.bits(), self.random.share(), self.random.normal());
        self.users.push(User { unit, coin, treated: coin < share, bent });
        self.users.len() - 1
    }

    /// The calls of a minute.
    pub fn minute(&mut self, minute: u32, calls: usize) -> Vec<Visit> {
        let share = self.kind.share_at(minute, self.minutes);
        if matches!(self.kind.plan, Plan::Moving(_)) {
            self.users.iter_mut().for_each(|user| user.treated = user.coin < share);
        }
        (0..calls).map(|_| self.visit(share)).collect()
    }

    fn visit(&mut self, share: f64) -> Visit {
        let user = self.next_user(share);
        let User { unit, treated, bent, .. } = self.users[user];
        let effect = if treated { self.kind.effect } else { 0.0 };
        let own = self.random.normal();
        let icc = self.kind.correlation();
        let mixed = icc.sqrt() * bent + (1.0 - icc).sqrt() * own;
        let value = self.value(mixed, icc.sqrt() * bent, effect);
        let picked = match self.kind.picked {
            false => Some(1.0),
            true => Some(PICKED[usize::from(own > 0.0)]),
        };
        let picked = picked.filter(|chance| self.random.chance(*chance));
        let delay = match self.kind.delay {
            Delay::None => 0,
            Delay::Minutes(minutes) => minutes,
            Delay::Spread => (2.0 * self.random.normal().exp()).min(600.0) as u32,
        };
        Visit { user, unit, treated, value, picked, delay }
    }

    fn next_user(&mut self, share: f64) -> usize {
        match self.kind.visits {
            Visits::Once => self.add_user(share),
            Visits::Pool(..) => {
                let at = self.random.share() * self.weights.last().copied().unwrap_or(0.0);
                self.weights.partition_point(|sum| *sum <= at).min(self.users.len() - 1)
            }
            Visits::Sessions(_) => {
                while self.open.len() < OPEN {
                    let user = self.add_user(share);
                    let length = (3.0 * self.random.normal().exp()).ceil().min(SESSION_MAX);
                    self.open.push((user, length as u32));
                }
                let at = self.random.below(OPEN);
                let (user, left) = self.open[at];
                self.open[at].1 = left - 1;
                if left <= 1 {
                    self.open.swap_remove(at);
                }
                user
            }
        }
    }

    fn value(&mut self, mixed: f64, bent: f64, effect: f64) -> f64 {
        match self.kind.shape {
            Shape::Normal => mixed + effect,
            // A user's own rate varies by the factor e^bent, around the same mean.
            Shape::Coin(p) => {
                let own = if bent == 0.0 {
                    1.0
                } else {
                    (2.0 * bent - 2.0 * self.kind.correlation()).exp()
                };
                f64::from(u8::from(self.random.chance((p + effect) * own)))
            }
            Shape::Judge => {
                let steps = [(0.05, 1.0), (0.15, 2.0), (0.40, 3.0), (0.75, 4.0)];
                let at = self.random.share();
                let score = steps.iter().find(|step| at < step.0).map_or(5.0, |step| step.1);
                // The chance of one point less, where there is one, that moves the mean as asked.
                let less = self.random.chance(-effect * 4.0 / 0.95);
                if less { (score - 1.0f64).max(1.0) } else { score }
            }
            Shape::Beta => (self.random.beta(32.0, 8.0) + effect).clamp(0.0, 1.0),
            Shape::LogNormal => (mixed + effect).exp(),
            Shape::Cut => (0.7 + 0.2 * mixed + effect).clamp(0.0, 1.0),
        }
    }
}
