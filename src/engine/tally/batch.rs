//! The calls of one entry that go to one run and end in one minute, added measure by measure: what
//! a measure needs is found once for all of them. The sums are the same as of one call after the
//! other.

use super::buckets::bucket_of;
use super::histogram::Bucket;
use super::run::{Alike, Run, Sums, Total, section_of, weigh};
use super::windows::Moment;
use crate::engine::changes::Changes;
use crate::engine::fact::{CallFact, Fact, FactBody};
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
pub fn add_calls(run: &mut Run, changes: &Changes, places: &[u32]) {
    let facts = || places.iter().filter_map(|at| call_of(changes, *at));
    let Some((first, ..)) = facts().next() else { return };
    let moment = Moment::of(first.end);
    note_all(run, facts());
    let row = |(fact, call, sign): (&Fact, _, _)| Row { call, bucket: bucket_of(fact.unit), sign };
    let rows: Vec<Row<'_>> = facts().map(row).collect();
    let mut values = Vec::with_capacity(rows.len());
    for origin in ORIGINS {
        if rows.iter().any(|row| takes(origin, row.call)) {
            run.measures.entry(Measure::Call(origin)).add_all(origin, &moment, &rows, &mut values);
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

/// The call at a place, and whether it is added or taken back.
fn call_of(changes: &Changes, place: u32) -> Option<(&Fact, &CallFact, i64)> {
    let (fact, sign) = changes.get(place as usize)?;
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

impl Row<'_> {
    /// What it adds to a measure: the weighted amount, and its weight.
    #[inline]
    fn added(&self, origin: Origin) -> (i64, i64) {
        // How many calls there were does not depend on how arms were drawn.
        let weight = match origin {
            Origin::Calls => self.call.sampled_micro,
            _ => self.call.weight_micro,
        };
        let y = weigh(amount(origin, self.call), weight);
        (y, i64::try_from(weight).unwrap_or(i64::MAX))
    }
}

impl Sums {
    /// Adds those of some calls that a measure takes; `values` is room.
    fn add_all(
        &mut self,
        origin: Origin,
        moment: &Moment,
        rows: &[Row<'_>],
        values: &mut Vec<(Bucket, i64)>,
    ) {
        let mut total = Total::default();
        values.clear();
        self.buckets.glance(rows.iter().map(|row| row.bucket));
        for row in rows.iter().filter(|row| takes(origin, row.call)) {
            let (y, w) = total.add(row.added(origin), row.sign);
            self.buckets.add(row.bucket, y, w);
            if let Some(value) = value(origin, row.call) {
                values.push((Bucket::of(value), row.sign));
            }
        }
        let fine = origin.is_time();
        if fine {
            let sections = self.sections.get_or_insert_default();
            let timed = rows.iter().filter(|row| takes(origin, row.call)).zip(&*values);
            for (row, (bucket, sign)) in timed {
                sections[section_of(row.bucket)].count_in(*bucket, *sign);
            }
        }
        self.put(moment, &total, values, fine);
    }
}
