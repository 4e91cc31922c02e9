//! Histograms of an arm's calls, with exemplars where the format has them. Bounds are powers of
//! two of what the engine counts (microseconds, tokens, nano-USD), where its counts are exact.

use super::encode::{Encoder, Kind};
use crate::model::view::{Distribution, Exemplar, View};
use std::collections::BTreeMap;

/// A quantity: its family, what it is, and the powers of two that bound its buckets.
struct Quantity {
    name: &'static str,
    family: &'static str,
    help: &'static str,
    octaves: std::ops::RangeInclusive<i32>,
}

/// All of them. Times go from 1 ms to 134 s, costs from 1 µUSD to 17 USD.
const QUANTITIES: [Quantity; 5] = [
    Quantity {
        name: "latency",
        family: "armspan_call_latency_seconds",
        help: "Time of calls without error.",
        octaves: 10..=27,
    },
    Quantity {
        name: "time_to_first_token",
        family: "armspan_time_to_first_token_seconds",
        help: "Time to the first token of calls that report it.",
        octaves: 10..=27,
    },
    Quantity {
        name: "tokens_in",
        family: "armspan_call_input_tokens",
        help: "Input tokens of calls that report them.",
        octaves: 0..=20,
    },
    Quantity {
        name: "tokens_out",
        family: "armspan_call_output_tokens",
        help: "Output tokens of calls that report them.",
        octaves: 0..=17,
    },
    Quantity {
        name: "cost",
        family: "armspan_call_cost_usd",
        help: "Cost of calls that report it or have a price.",
        octaves: 10..=34,
    },
];

/// What a histogram showed at its highest: calls may be taken back from an arm, and a counter
/// never falls. Running maxima of cumulative counts are cumulative counts.
#[derive(Debug, Default)]
pub struct Highest(BTreeMap<[String; 4], Shown>);

#[derive(Clone, Debug, Default)]
struct Shown {
    below: Vec<i64>,
    count: i64,
    sum: f64,
}

// === impl Highest ===

impl Highest {
    /// Writes all families.
    pub fn write(&mut self, out: &mut Encoder, view: &View) {
        for quantity in &QUANTITIES {
            out.family(quantity.family, Kind::Histogram, quantity.help);
            for found in view.distributions.iter().filter(|d| d.quantity == quantity.name) {
                let key = [&found.experiment, &found.arm, &found.site, &found.quantity];
                let shown = self.0.entry(key.map(String::clone)).or_default();
                shown.raise(found, quantity);
                shown.write(out, found, quantity);
            }
        }
    }
}

impl Shown {
    fn raise(&mut self, found: &Distribution, quantity: &Quantity) {
        let below: Vec<i64> =
            quantity.octaves.clone().map(|octave| count_below(found, octave)).collect();
        self.below.resize(below.len(), 0);
        self.below.iter_mut().zip(below).for_each(|(high, now)| *high = now.max(*high));
        self.count = self.count.max(found.count);
        self.sum = self.sum.max(found.sum);
    }

    fn write(&self, out: &mut Encoder, found: &Distribution, quantity: &Quantity) {
        let place =
            [("experiment", found.experiment.as_str()), ("arm", &found.arm), ("site", &found.site)];
        let mut lower = f64::NEG_INFINITY;
        let bounds = quantity.octaves.clone().map(|o| f64::from(o).exp2() / found.per_unit);
        let counts = self.below.iter().copied().chain([self.count]);
        for (bound, count) in bounds.chain([f64::INFINITY]).zip(counts) {
            let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            let [experiment, arm, site] = place;
            let labels = [experiment, arm, site, ("le", le.as_str())];
            let inside = |one: &&Exemplar| one.value > lower && one.value <= bound;
            let exemplar = found.exemplars.iter().find(inside);
            out.bucket(&format!("{}_bucket", quantity.family), &labels, count as f64, exemplar);
            lower = bound;
        }
        out.sample(&format!("{}_sum", quantity.family), &place, self.sum);
        out.sample(&format!("{}_count", quantity.family), &place, self.count as f64);
    }
}

/// Calls with a value up to 2^octave of what the engine counts.
fn count_below(found: &Distribution, octave: i32) -> i64 {
    let per_octave = 1 << found.scale;
    // The buckets were moved by whole buckets to be given in the unit; here they are moved back.
    let shift = (found.per_unit.log2() * f64::from(per_octave)).round() as i32;
    let end = octave * per_octave - shift;
    let inside = found.buckets.iter().filter(|(at, _)| *at < end);
    found.zeros + inside.map(|(_, count)| count).sum::<i64>()
}
