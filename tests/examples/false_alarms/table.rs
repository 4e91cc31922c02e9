//! Exact binomial bounds and the table.

use super::feed::Outcome;
use super::peers::{NAMES, PEERS};
use super::streams::{Claim, Kind};
use std::collections::BTreeMap;

/// What came of all streams of a kind.
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Streams.
    pub streams: usize,
    /// Streams with a claim.
    pub claimed: usize,
    /// Calls until the claim, sorted.
    pub times: Vec<u32>,
    /// The same by the peers.
    pub peers: [usize; PEERS],
    /// Streams that were ever invalid.
    pub invalid: usize,
    /// Streams that were insufficient to the end.
    pub insufficient: usize,
    /// Why they were.
    pub reasons: String,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Row {
    /// Counts outcomes.
    pub fn of(kind: Kind, outcomes: &[Outcome], seconds: f64) -> Self {
        let count = |of: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|one| of(one)).count();
        let mut times: Vec<u32> = outcomes.iter().filter_map(|one| one.claimed).collect();
        times.sort_unstable();
        Row {
            kind,
            streams: outcomes.len(),
            claimed: times.len(),
            times,
            peers: std::array::from_fn(|at| count(&|one| one.peers[at].is_some())),
            invalid: count(&|one| one.invalid.is_some()),
            insufficient: count(&|one| one.insufficient.is_some()),
            reasons: reasons(outcomes),
            seconds,
        }
    }

    /// The line of the table.
    pub fn line(&self) -> String {
        let share = |k: usize| percent(100.0 * k as f64 / self.streams.max(1) as f64);
        let own = share(self.claimed);
        let bound = match self.kind.claim {
            Claim::True => match self.times.get(self.streams / 2) {
                Some(median) => format!("{median} calls"),
                None => "–".into(),
            },
            _ => format!("≤ {}", percent(100.0 * upper(self.claimed, self.streams, 0.01))),
        };
        let mut cells = vec![self.kind.name.to_owned(), own, bound];
        // Two of the peers have no form for quantiles.
        let tail = self.kind.name.contains("p95");
        let told = |at: usize| !tail || NAMES[at] == "peeked t-test" || NAMES[at] == "GrowthBook";
        let peer = |at: usize| if told(at) { share(self.peers[at]) } else { "–".into() };
        cells.extend((0..PEERS).map(peer));
        cells.extend([share(self.invalid), share(self.insufficient)]);
        format!("| {} |", cells.join(" | "))
    }
}

fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

fn reasons(outcomes: &[Outcome]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in outcomes.iter().flat_map(|one| [one.invalid, one.insufficient]).flatten() {
        *counts.entry(format!("{reason:?}")).or_default() += 1;
    }
    format!("{counts:?}")
}

/// The head of the table.
pub fn head() -> String {
    let mut names = vec!["stream", "armspan", "99 % bound / median"];
    names.extend(NAMES);
    names.extend(["ever invalid", "insufficient to the end"]);
    format!("| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()))
}

/// Chance of at most `k` of `n` at probability `p`, summed term by term.
pub fn at_most(k: usize, n: usize, p: f64) -> f64 {
    if p >= 1.0 {
        return f64::from(u8::from(k >= n));
    }
    let mut log = n as f64 * (-p).ln_1p();
    let mut sum = log.exp();
    for at in 1..=k.min(n) {
        log += ((n - at + 1) as f64 / at as f64).ln() + p.ln() - (-p).ln_1p();
        sum += log.exp();
    }
    sum.min(1.0)
}

/// Clopper and Pearson's upper bound of a probability, one-sided at `alpha`.
pub fn upper(k: usize, n: usize, alpha: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at_most(k, n, middle) > alpha { low = middle } else { high = middle }
    }
    high
}

/// The smallest count that is exceeded with a chance of at most `alpha` at probability `p`.
pub fn most(n: usize, p: f64, alpha: f64) -> usize {
    (0..=n).find(|k| at_most(*k, n, p) >= 1.0 - alpha).unwrap_or(n)
}
