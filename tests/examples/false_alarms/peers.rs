//! What others compute, on the same data at the same looks, from their published formulas:
//! a t-test at every look, GrowthBook's sequential test, TensorZero's likelihood ratio, and a
//! confidence sequence that takes every call for independent.

use super::streams::{Kind, Visit, What};
use std::collections::HashMap;

/// How many there are.
pub const PEERS: usize = 4;
/// Their names in the table.
pub const NAMES: [&str; PEERS] = ["peeked t-test", "GrowthBook", "TensorZero", "per-call sequence"];
/// Units, or calls, that each arm must have.
const MIN: f64 = 100.0;
/// Their level.
const ALPHA: f64 = 0.05;
/// Units that GrowthBook tunes its sequence to.
const N_STAR: f64 = 5_000.0;
const Z: f64 = 1.959_964;
/// Buckets of the logarithm of a time, each of 0.2 %.
const STEP: f64 = 0.002;
const STEPS: usize = 8_192;

/// All of them on one stream.
pub struct Panel {
    arms: [Arm; 2],
    tail: bool,
    limit: Option<(f64, f64)>,
    /// Calls until each found a difference.
    pub found: [Option<u32>; PEERS],
}

#[derive(Default)]
struct Arm {
    /// Of calls: number, sum, sum of squares.
    n: f64,
    x: f64,
    xx: f64,
    /// Of weighted calls: Σw, Σwx, Σw², Σw²x, Σw²x².
    weighted: [f64; 5],
    /// Of units: ΣY, ΣW, ΣY², ΣYW, ΣW².
    units: HashMap<usize, (f64, f64)>,
    sums: [f64; 5],
    /// Counts of a time.
    counts: Vec<u32>,
}

/// An estimate with its variance.
type Found = (f64, f64);

impl Panel {
    /// Nothing seen yet.
    pub fn new(kind: &Kind) -> Self {
        let tail = kind.what.is_tail();
        // Of a guardrail they test what they can: arm − (1 + m)·control, or minus m.
        let limit = match kind.what {
            What::ErrorsMargin(m) => Some((0.0, m)),
            What::LatencyMargin(m) | What::TailMargin(m) => Some((m, 0.0)),
            _ => None,
        };
        Panel { arms: [Arm::default(), Arm::default()], tail, limit, found: [None; PEERS] }
    }

    /// One value.
    pub fn add(&mut self, visit: &Visit) {
        let w = visit.picked.map_or(1.0, |chance| 1.0 / chance);
        let tail = self.tail;
        self.arms[usize::from(visit.treated)].add(visit.user, visit.value, w, tail);
    }

    /// A look.
    pub fn look(&mut self, calls: u32) {
        let all = if self.tail { self.tails() } else { self.means() };
        for (found, now) in self.found.iter_mut().zip(all) {
            if now && found.is_none() {
                *found = Some(calls);
            }
        }
    }

    fn difference(&self, of: impl Fn(&Arm) -> Found) -> Found {
        let (relative, absolute) = self.limit.unwrap_or((0.0, 0.0));
        let (c, a) = (of(&self.arms[0]), of(&self.arms[1]));
        let times = 1.0 + relative;
        (a.0 - times * c.0 - absolute, a.1 + times * times * c.1)
    }

    fn means(&self) -> [bool; PEERS] {
        let [c, a] = &self.arms;
        let calls = c.n.min(a.n) >= MIN;
        let units = c.units.len().min(a.units.len()) as f64 >= MIN;
        let n = c.n + a.n;
        let iid = self.difference(Arm::by_call);
        let plain = self.difference(Arm::plain);
        let of_units = self.difference(Arm::by_unit);
        let all_units = (c.units.len() + a.units.len()) as f64;
        [
            calls && z(iid) > Z,
            units && z(of_units) > sequence(all_units),
            calls && z(plain).powi(2) / 2.0 > ((1.0 + n.ln()) / ALPHA).ln(),
            calls && z(iid) > sequence(n),
        ]
    }

    fn tails(&self) -> [bool; PEERS] {
        let [c, a] = &self.arms;
        if c.n.min(a.n) < MIN {
            return [false; PEERS];
        }
        let found = self.difference(Arm::quantile);
        [z(found) > Z, z(found) > sequence(c.n + a.n), false, false]
    }
}

fn z((difference, variance): Found) -> f64 {
    if variance > 0.0 { difference.abs() / variance.sqrt() } else { 0.0 }
}

/// The bound of z of the normal-mixture sequence at n (gbstats, `SequentialTwoSidedTTest`).
fn sequence(n: f64) -> f64 {
    let spent = -2.0 * ALPHA.ln();
    let gain = n * (spent + spent.ln_1p()) / N_STAR;
    ((1.0 + 1.0 / gain) * (gain.ln_1p() + spent)).sqrt()
}

impl Arm {
    fn add(&mut self, user: usize, x: f64, w: f64, tail: bool) {
        self.n += 1.0;
        if tail {
            self.counts.resize(STEPS, 0);
            let at = (x.ln() / STEP) + STEPS as f64 / 2.0;
            self.counts[(at.max(0.0) as usize).min(STEPS - 1)] += 1;
            return;
        }
        self.x += x;
        self.xx += x * x;
        let ww = w * w;
        for (sum, more) in self.weighted.iter_mut().zip([w, w * x, ww, ww * x, ww * x * x]) {
            *sum += more;
        }
        let (y, was) = self.units.entry(user).or_default();
        let more = w * x;
        let step = [
            more,
            w,
            2.0 * *y * more + more * more,
            *y * w + *was * more + more * w,
            2.0 * *was * w + w * w,
        ];
        *y += more;
        *was += w;
        self.sums.iter_mut().zip(step).for_each(|(sum, more)| *sum += more);
    }

    /// As if calls were independent and equal.
    fn plain(&self) -> Found {
        let mean = self.x / self.n;
        (mean, (self.xx / self.n - mean * mean).max(0.0) / (self.n - 1.0).max(1.0))
    }

    /// As if calls were independent, with their weights.
    fn by_call(&self) -> Found {
        let [w, y, ww, wy, yy] = self.weighted;
        let mean = y / w;
        (mean, (yy - 2.0 * mean * wy + mean * mean * ww).max(0.0) / (w * w))
    }

    /// The ratio of the sums of units, by the delta method.
    fn by_unit(&self) -> Found {
        let [y, w, yy, yw, ww] = self.sums;
        let (mean, n) = (y / w, self.units.len() as f64);
        let spread = (yy - 2.0 * mean * yw + mean * mean * ww).max(0.0);
        (mean, spread * n / (n - 1.0).max(1.0) / (w * w))
    }

    /// The 95th percentile, with the variance that its order statistics give.
    fn quantile(&self) -> Found {
        let (n, q) = (self.n, 0.95);
        let half = Z * (n * q * (1.0 - q)).sqrt();
        let [low, middle, high] = [n * q - half, n * q, n * q + half].map(|rank| self.at(rank));
        (middle, ((high - low) / (2.0 * Z)).powi(2))
    }

    fn at(&self, rank: f64) -> f64 {
        let mut left = rank.max(1.0).min(self.n);
        for (at, count) in self.counts.iter().enumerate() {
            left -= f64::from(*count);
            if left <= 0.0 {
                return ((at as f64 - STEPS as f64 / 2.0) * STEP).exp();
            }
        }
        f64::INFINITY
    }
}
