//! A run's history as one row an hour, for tools that draw curves.

use crate::model::RunRecord;
use std::collections::BTreeMap;

/// The figures of an hour.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Hours since the first one that is kept: the axis is to scale when hours without a change
    /// are left out, and runs of different epochs lie above each other.
    pub step: u64,
    /// The hour, counted from the Unix epoch.
    pub hour: u64,
    /// The run as it was then.
    pub record: RunRecord,
}

/// The rows of the past and of the present record; of several in an hour the last one counts.
pub fn rows(past: Vec<(u64, RunRecord)>, hour: u64, now: &RunRecord) -> Vec<Row> {
    let mut by_hour: BTreeMap<u64, RunRecord> = past.into_iter().collect();
    by_hour.insert(hour, now.clone());
    let first = by_hour.first_key_value().map_or(hour, |row| *row.0);
    let row = |(hour, record)| Row { step: hour - first, hour, record };
    by_hour.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample;

    #[test]
    fn hours_without_a_row_are_a_gap_and_the_last_of_an_hour_counts() {
        let record = |calls| {
            let mut record = sample::cut().records.swap_remove(0);
            record.traffic.calls = calls;
            record
        };
        let past = vec![(7, record(1)), (5, record(2)), (7, record(3)), (9, record(4))];
        let rows = rows(past, 9, &record(5));
        let seen: Vec<_> = rows.iter().map(|r| (r.step, r.hour, r.record.traffic.calls)).collect();
        assert_eq!(seen, [(0, 5, 2), (2, 7, 3), (4, 9, 5)]);
    }
}
