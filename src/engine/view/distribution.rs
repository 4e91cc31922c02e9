//! Distributions of an arm's calls: the histograms for `/metrics` and for OTLP.

use super::super::Engine;
use super::super::tally::histogram::Histogram;
use super::super::tally::run::Run;
use super::{Picture, Place};
use crate::model::metric::Origin;
use crate::model::view::{Distribution, Exemplar};
use crate::model::{Measure, Sym};
use std::collections::BTreeMap;

/// Scale of the engine's histograms: 2^5 buckets per power of two.
const SCALE: i32 = 5;
/// What is distributed, and how it is called.
const QUANTITIES: [(Origin, &str); 5] = [
    (Origin::Latency, "latency"),
    (Origin::TimeToFirstToken, "time_to_first_token"),
    (Origin::TokensIn, "tokens_in"),
    (Origin::TokensOut, "tokens_out"),
    (Origin::Cost, "cost"),
];

/// Every arm at every site of these experiments, over all epochs.
pub(super) fn distributions(picture: &Picture<'_>, experiments: &[Sym]) -> Vec<Distribution> {
    let mut out = Vec::new();
    for experiment in experiments {
        let mut arms: BTreeMap<Place, Vec<&Run>> = BTreeMap::new();
        for place in picture.places(*experiment) {
            let runs = picture.shown(place).iter().flat_map(|s| s.pool.runs.iter().copied());
            arms.entry(place.all_epochs()).or_default().extend(runs);
        }
        for (place, runs) in arms {
            let all = QUANTITIES.iter();
            out.extend(all.filter_map(|quantity| one(picture.engine, place, &runs, *quantity)));
        }
    }
    out
}

fn one(
    engine: &Engine,
    place: Place,
    runs: &[&Run],
    (origin, quantity): (Origin, &str),
) -> Option<Distribution> {
    let mut histogram = Histogram::default();
    let (mut y, mut w) = (0, 0);
    for sums in runs.iter().filter_map(|run| run.sums(Measure::Call(origin))) {
        (y, w) = (y + sums.y, w + sums.w);
        sums.histogram.iter().for_each(|own| histogram.merge(own));
    }
    let count = histogram.count();
    if count <= 0 {
        return None;
    }
    let text = |sym: Sym| engine.dictionary.text(sym).to_owned();
    let (zeros, buckets) = histogram.buckets();
    let per_unit = origin.per_unit();
    // The engine counts whole units, such as microseconds; a bucket's edges move by a fraction of
    // a bucket when they are given in seconds, by 0.35 % at most.
    let shift = -(per_unit.log2() * f64::from(1 << SCALE)).round() as i32;
    // Sums are weighted where calls were sampled, counts are not.
    let mean = y as f64 / (w as f64 / 1e6) / per_unit;
    Some(Distribution {
        experiment: engine.experiment_name(place.experiment),
        site: text(place.site),
        arm: text(place.arm),
        quantity: quantity.to_owned(),
        unit: origin.unit().to_owned(),
        since: runs.iter().filter_map(|run| run.seen).map(|seen| seen.0).min().unwrap_or(0),
        per_unit,
        count,
        sum: mean * count as f64,
        zeros,
        scale: SCALE,
        buckets: buckets.map(|(at, n)| (i32::from(at) + shift, n)).collect(),
        exemplars: exemplars(runs, origin),
    })
}

/// The latest call without error, and of latencies the slowest one.
fn exemplars(runs: &[&Run], origin: Origin) -> Vec<Exemplar> {
    let latest = runs.iter().filter_map(|run| run.exemplars.answered).max();
    let latest =
        latest.and_then(|(at, trace, span, all)| Some((all.get(origin)?, at, trace, span)));
    let slowest = runs.iter().filter_map(|run| run.exemplars.slowest).max();
    let slowest = slowest.filter(|call| origin == Origin::Latency && Some(*call) != latest);
    slowest
        .into_iter()
        .chain(latest)
        .map(|(value, at, trace, span)| Exemplar {
            at,
            value: value as f64 / origin.per_unit(),
            trace_id: trace.to_string(),
            span_id: span.to_string(),
        })
        .collect()
}
