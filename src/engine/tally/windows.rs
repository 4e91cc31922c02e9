//! Charts: sums by minute of event time, rolled up to hours and days. All three are kept from
//! the start, so that taking back reaches them, and the older ones of each are dropped.

use super::cells::{Cell, Cells};
use super::histogram::Bucket;
use crate::model::Nanos;
use serde::{Deserialize, Serialize};

/// Minutes kept one by one: 26 hours.
const MINUTES_MAX: u32 = 26 * 60;
/// Hours kept: 15 days.
const HOURS_MAX: u32 = 15 * 24;
/// Days kept: 183.
const DAYS_MAX: u32 = 183;

/// Width of a chart's step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

/// Cells by minute, hour and day since the Unix epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Windows {
    minutes: Cells,
    hours: Cells,
    days: Cells,
}

/// A time as the numbers of its minute, hour and day: the same for all measures of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    minute: u32,
    hour: u32,
    day: u32,
}

/// A cell to add to.
struct Spot<'a> {
    cell: &'a mut Cell,
    /// It is one of a minute.
    minute: bool,
}

impl Step {
    /// Its length.
    pub fn nanos(self) -> Nanos {
        use crate::model::MINUTE;
        match self {
            Step::Minute => MINUTE,
            Step::Hour => 60 * MINUTE,
            Step::Day => 24 * 60 * MINUTE,
        }
    }

    fn of(self, at: Nanos) -> u32 {
        u32::try_from(at / self.nanos()).unwrap_or(u32::MAX)
    }
}

impl<'a> Spot<'a> {
    fn of(cells: &'a mut Cells, key: u32, max: u32, minute: bool) -> Option<Self> {
        let newest = cells.last().map_or(key, |last| key.max(last));
        let kept = key.saturating_add(max) >= newest;
        kept.then(|| Spot { cell: cells.entry(key), minute })
    }
}

impl Moment {
    /// Of a time.
    pub fn of(at: Nanos) -> Self {
        Moment { minute: Step::Minute.of(at), hour: Step::Hour.of(at), day: Step::Day.of(at) }
    }

    fn steps(&self) -> [(Step, u32); 3] {
        [(Step::Minute, self.minute), (Step::Hour, self.hour), (Step::Day, self.day)]
    }
}

impl Windows {
    /// Adds the sums of values of calls that ended at this moment, and the values themselves, each
    /// with its sign. Single minutes keep the distribution only when it is `fine`.
    pub fn add(
        &mut self,
        when: &Moment,
        (n, y, w): (i64, i128, i128),
        values: &[(Bucket, i64)],
        fine: bool,
    ) {
        for spot in self.spots(when).into_iter().flatten() {
            spot.cell.add(n, y, w);
            if !values.is_empty() && (fine || !spot.minute) {
                spot.cell.histogram.get_or_insert_default().count_all(values);
            }
        }
        self.tidy(when);
    }

    /// The cells of a moment; none where it is too old to be kept.
    fn spots(&mut self, when: &Moment) -> [Option<Spot<'_>>; 3] {
        let Windows { minutes, hours, days } = self;
        [
            Spot::of(minutes, when.minute, MINUTES_MAX, true),
            Spot::of(hours, when.hour, HOURS_MAX, false),
            Spot::of(days, when.day, DAYS_MAX, false),
        ]
    }

    /// Drops the cells of a moment that are empty, and those that have become too old.
    fn tidy(&mut self, when: &Moment) {
        for (step, key) in when.steps() {
            let (cells, max) = self.cells_mut(step);
            if cells.get(key).is_some_and(Cell::is_empty) {
                cells.remove(key);
            }
            let newest = cells.last().map_or(key, |last| key.max(last));
            while cells.first().is_some_and(|first| first.saturating_add(max) < newest) {
                cells.pop_first();
            }
        }
    }

    fn cells_mut(&mut self, step: Step) -> (&mut Cells, u32) {
        match step {
            Step::Minute => (&mut self.minutes, MINUTES_MAX),
            Step::Hour => (&mut self.hours, HOURS_MAX),
            Step::Day => (&mut self.days, DAYS_MAX),
        }
    }

    /// Cells of a step by their number since the Unix epoch.
    pub fn cells(&self, step: Step) -> &Cells {
        match step {
            Step::Minute => &self.minutes,
            Step::Hour => &self.hours,
            Step::Day => &self.days,
        }
    }

    /// The latest minute with a value.
    pub fn last_minute(&self) -> Option<u32> {
        self.minutes.last()
    }

    /// Values in a minute.
    pub fn in_minute(&self, minute: u32) -> i64 {
        self.minutes.get(minute).map_or(0, |cell| cell.n)
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Windows) {
        for step in [Step::Minute, Step::Hour, Step::Day] {
            let into = self.cells_mut(step).0;
            other.cells(step).iter().for_each(|(at, cell)| into.entry(at).merge(cell));
        }
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        self.minutes.bytes() + self.hours.bytes() + self.days.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MINUTE;

    #[test]
    fn a_value_is_in_its_minute_hour_and_day() {
        let mut windows = Windows::default();
        let at = 1_000_000 * MINUTE;
        windows.add(&Moment::of(at), (1, 7, 1), &[(Bucket::of(7), 1)], true);
        windows.add(&Moment::of(at + 59 * MINUTE), (1, 9, 1), &[(Bucket::of(9), 1)], true);
        assert_eq!(windows.in_minute(1_000_000), 1);
        let hours: Vec<i128> = windows.cells(Step::Hour).iter().map(|row| row.1.y).collect();
        assert_eq!(hours, [7, 9], "they straddle an hour");
        windows.add(&Moment::of(at), (-1, -7, -1), &[(Bucket::of(7), -1)], true);
        assert_eq!(windows.in_minute(1_000_000), 0);
        assert_eq!(windows.cells(Step::Hour).len(), 1);
    }

    #[test]
    fn old_minutes_go_and_hours_stay() {
        let mut windows = Windows::default();
        windows.add(&Moment::of(0), (1, 1, 1), &[], false);
        windows.add(&Moment::of(30 * 60 * MINUTE), (1, 1, 1), &[], false);
        assert_eq!(windows.cells(Step::Minute).len(), 1);
        assert_eq!(windows.cells(Step::Hour).len(), 2);
    }
}
