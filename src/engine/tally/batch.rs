//! The calls of one entry that go to one run and end in one minute, added measure by measure: what
//! a measure needs is found once for all of them. The sums are the same as of one call after the
//! other.

use super::buckets::bucket_of;
use super::histogram::{Bucket, Histogram};
use super::run::{Alike, Run, SECTIONS, Sums, section_of, square_micro, weigh};
use super::windows::{Moment, Spot};
use crate::engine::fact::{CallFact, Change, Fact, FactBody};
use crate::model::Finish;
use crate::model::metric::{Measure, Origin};

/// One call, as far as sums are concerned.
#[derive(Clone, Copy)]
struct Row<'a> {
    call: &'a CallFact,
    bucket: u16,
    sign: i64,
}

/// Measures of calls, in the order in which one call adds to them.
const ORIGINS: [Origin; 9] = [
    Origin::Calls,
    Origin::Error,
    Origin::Refusal,
    Origin::Truncation,
    Origin::Latency,
    Origin::TimeToFirstToken,
    Origin::TokensIn,
    Origin::TokensOut,
    Origin::Cost,
];

/// Adds calls of one run and one moment, given by their places among the changes of an entry.
pub fn add_calls(run: &mut Run, changes: &[Change], places: &[u32]) {
    let facts = || places.iter().filter_map(|at| call_of(&changes[*at as usize]));
    let Some((first, ..)) = facts().next() else { return };
    let moment = Moment::of(first.end);
    note_all(run, facts());
    for origin in ORIGINS {
        let rows =
            facts().map(|(fact, call, sign)| Row { call, bucket: bucket_of(fact.unit), sign });
        let mut rows = rows.filter(|row| takes(origin, row.call)).peekable();
        if rows.peek().is_some() {
            run.measures.entry(Measure::Call(origin)).add_all(origin, &moment, rows);
            run.measures.drop_if_empty(Measure::Call(origin));
        }
    }
}

/// Notes everything but measures, once for those that follow each other and are alike.
fn note_all<'a>(run: &mut Run, facts: impl Iterator<Item = (&'a Fact, &'a CallFact, i64)>) {
    let mut pending: Option<Alike> = None;
    for (fact, call, sign) in facts {
        if sign > 0 {
            run.exemplars.call(fact, call);
        }
        let one = Alike::of(fact, call, sign);
        if !pending.as_mut().is_some_and(|pending| pending.merge(&one)) {
            pending.replace(one).iter().for_each(|done| run.note_alike(done));
        }
    }
    pending.iter().for_each(|done| run.note_alike(done));
}

/// The call of a change, and whether it is added or taken back.
pub fn call_of(change: &Change) -> Option<(&Fact, &CallFact, i64)> {
    let (fact, sign) = match change {
        Change::Add(fact) => (fact, 1),
        Change::Take(fact) => (fact, -1),
        Change::Expose(_) | Change::Forward(..) => return None,
    };
    match &fact.body {
        FactBody::Call(call) => Some((fact, call, sign)),
        FactBody::Score { .. } | FactBody::Coverage { .. } => None,
    }
}

/// Whether a call belongs to the population of a measure.
fn takes(origin: Origin, call: &CallFact) -> bool {
    match origin {
        Origin::Error | Origin::Refusal | Origin::Truncation => call.operation.is_completion(),
        Origin::Calls => true,
        _ => value(origin, call).is_some(),
    }
}

/// What is measured of a call; none for rates.
fn value(origin: Origin, call: &CallFact) -> Option<u64> {
    match origin {
        Origin::Latency => Some(call.latency_us).filter(|_| !call.failed),
        Origin::TimeToFirstToken => call.first_token_us.filter(|_| !call.failed),
        Origin::TokensIn => call.tokens_in,
        Origin::TokensOut => call.tokens_out,
        Origin::Cost => call.cost_nano,
        _ => None,
    }
}

/// What a call adds to the sum of a measure, unweighted.
fn amount(origin: Origin, call: &CallFact) -> i64 {
    let finish = call.finish();
    match origin {
        Origin::Calls => 1,
        Origin::Error => i64::from(call.failed),
        Origin::Refusal => i64::from(finish.has(Finish::CONTENT_FILTER)),
        Origin::Truncation => i64::from(finish.has(Finish::LENGTH)),
        _ => i64::try_from(value(origin, call).unwrap_or(0)).unwrap_or(i64::MAX),
    }
}

impl Sums {
    fn add_all<'a>(
        &mut self,
        origin: Origin,
        moment: &Moment,
        rows: impl Iterator<Item = Row<'a>>,
    ) {
        let Sums { buckets, histogram, sections, windows, .. } = self;
        let (mut n, mut y, mut w, mut ww) = (0i64, 0i128, 0i128, 0i128);
        let mut spots = windows.spots(moment);
        let fine = origin.is_time();
        for row in rows {
            // How many calls there were does not depend on how arms were drawn.
            let weight = match origin {
                Origin::Calls => row.call.sampled_micro,
                _ => row.call.weight_micro,
            };
            let add_y = row.sign * weigh(amount(origin, row.call), weight);
            let weight = i64::try_from(weight).unwrap_or(i64::MAX);
            let add_w = row.sign * weight;
            n += row.sign;
            y += i128::from(add_y);
            w += i128::from(add_w);
            ww += i128::from(row.sign) * square_micro(weight);
            buckets.add(row.bucket, add_y, add_w);
            if let Some(value) = value(origin, row.call) {
                let bucket = Bucket::of(value);
                histogram.get_or_insert_default().count_in(bucket, row.sign);
                if fine {
                    let sections: &mut [Histogram; SECTIONS] = sections.get_or_insert_default();
                    sections[section_of(row.bucket)].count_in(bucket, row.sign);
                }
                count_in(&mut spots, bucket, row.sign, fine);
            }
        }
        spots.iter_mut().flatten().for_each(|spot| spot.cell.add(n, y, w));
        windows.tidy(moment);
        self.n += n;
        self.y += y;
        self.w += w;
        self.ww += ww;
    }
}

/// Single minutes keep the distribution only when it is fine.
fn count_in(spots: &mut [Option<Spot<'_>>; 3], bucket: Bucket, sign: i64, fine: bool) {
    for spot in spots.iter_mut().flatten().filter(|spot| fine || !spot.minute) {
        spot.cell.histogram.get_or_insert_default().count_in(bucket, sign);
    }
}
