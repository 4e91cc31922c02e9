//! Charts: sums by minute of event time, rolled up to hours and days. All three are kept from
//! the start, so that taking back reaches them, and the older ones of each are dropped.

use super::histogram::Histogram;
use crate::model::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// Sums of a stretch of time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// Values.
    pub n: i64,
    /// Weighted sum of values, in integer units of the measure.
    pub y: i128,
    /// Sum of weights, in millionths.
    pub w: i128,
    /// Distribution, where the measure has one.
    pub histogram: Option<Histogram>,
}

/// Cells by minute, hour and day since the Unix epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Windows {
    minutes: BTreeMap<u32, Cell>,
    hours: BTreeMap<u32, Cell>,
    days: BTreeMap<u32, Cell>,
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

impl Cell {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Cell) {
        self.n += other.n;
        self.y += other.y;
        self.w += other.w;
        if let Some(more) = &other.histogram {
            self.histogram.get_or_insert_default().merge(more);
        }
    }

    fn is_empty(&self) -> bool {
        self.n == 0 && self.y == 0 && self.w == 0
    }
}

impl Windows {
    /// Adds (`sign` 1) or takes back one value of a call that ended at `at`. Single minutes keep
    /// the distribution only when it is `fine`.
    pub fn add(
        &mut self,
        at: Nanos,
        (y, w): (i64, i64),
        value: Option<u64>,
        sign: i64,
        fine: bool,
    ) {
        for step in [Step::Minute, Step::Hour, Step::Day] {
            let (cells, max) = self.cells_mut(step);
            let key = step.of(at);
            let newest = cells.last_key_value().map_or(key, |pair| key.max(*pair.0));
            if key.saturating_add(max) < newest {
                continue;
            }
            let cell = cells.entry(key).or_default();
            cell.n += sign;
            cell.y += i128::from(y);
            cell.w += i128::from(w);
            if let (Some(value), true) = (value, fine || step != Step::Minute) {
                cell.histogram.get_or_insert_default().add(value, sign);
            }
            if cell.is_empty() {
                cells.remove(&key);
            }
            while cells.first_key_value().is_some_and(|pair| pair.0.saturating_add(max) < newest) {
                cells.pop_first();
            }
        }
    }

    fn cells_mut(&mut self, step: Step) -> (&mut BTreeMap<u32, Cell>, u32) {
        match step {
            Step::Minute => (&mut self.minutes, MINUTES_MAX),
            Step::Hour => (&mut self.hours, HOURS_MAX),
            Step::Day => (&mut self.days, DAYS_MAX),
        }
    }

    /// Cells of a step by their number since the Unix epoch.
    pub fn cells(&self, step: Step) -> &BTreeMap<u32, Cell> {
        match step {
            Step::Minute => &self.minutes,
            Step::Hour => &self.hours,
            Step::Day => &self.days,
        }
    }

    /// The latest minute with a value.
    pub fn last_minute(&self) -> Option<u32> {
        self.minutes.last_key_value().map(|row| *row.0)
    }

    /// Values in a minute.
    pub fn in_minute(&self, minute: u32) -> i64 {
        self.minutes.get(&minute).map_or(0, |cell| cell.n)
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Windows) {
        for step in [Step::Minute, Step::Hour, Step::Day] {
            let into = self.cells_mut(step).0;
            other
                .cells(step)
                .iter()
                .for_each(|(at, cell)| into.entry(*at).or_default().merge(cell));
        }
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        let cells = self.minutes.len() + self.hours.len() + self.days.len();
        let inner = self.minutes.values().chain(self.hours.values()).chain(self.days.values());
        let histograms: u64 =
            inner.filter_map(|cell| cell.histogram.as_ref()).map(Histogram::bytes).sum();
        cells as u64 * 72 + histograms
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
        windows.add(at, (7, 1), Some(7), 1, true);
        windows.add(at + 59 * MINUTE, (9, 1), Some(9), 1, true);
        assert_eq!(windows.in_minute(1_000_000), 1);
        let hours: Vec<i128> = windows.cells(Step::Hour).values().map(|c| c.y).collect();
        assert_eq!(hours, [7, 9], "they straddle an hour");
        windows.add(at, (-7, -1), Some(7), -1, true);
        assert_eq!(windows.in_minute(1_000_000), 0);
        assert_eq!(windows.cells(Step::Hour).len(), 1);
    }

    #[test]
    fn old_minutes_go_and_hours_stay() {
        let mut windows = Windows::default();
        windows.add(0, (1, 1), None, 1, false);
        windows.add(30 * 60 * MINUTE, (1, 1), None, 1, false);
        assert_eq!(windows.cells(Step::Minute).len(), 1);
        assert_eq!(windows.cells(Step::Hour).len(), 2);
    }
}
