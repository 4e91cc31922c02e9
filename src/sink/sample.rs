//! Items for tests of sinks: a cut as the demo makes it, with an epoch that is over and one that
//! is open, and an outbox that keeps nothing else.

use super::{Failure, History};
use crate::model::RunRecord;
use crate::model::delivery::{Body, Cut, Item, ItemKey};

/// The cut in `tests/fixtures/cut.json`: seven records of three arms in two epochs.
pub fn cut() -> Cut {
    serde_json::from_str(include_str!("../../tests/fixtures/cut.json")).expect("the fixture")
}

/// It as an item.
pub fn item() -> Item {
    let cut = cut();
    let key = ItemKey { position: cut.position, ordinal: 0 };
    Item { key, body: Body::Cut(Box::new(cut)) }
}

/// Three hours of each record of the sample: all figures but the calls stay the same.
pub struct ThreeHours;

impl History for ThreeHours {
    fn of_run(
        &self,
        run: &str,
        epoch: u32,
        position: u64,
    ) -> Result<Vec<(u64, RunRecord)>, Failure> {
        let cut = cut();
        let hour = cut.hour();
        let own = |record: &RunRecord| record.run.id == run && record.window.epoch == epoch;
        let Some(last) = cut.records.into_iter().find(own) else { return Ok(Vec::new()) };
        let before = |back: u64| {
            let mut record = last.clone();
            record.traffic.calls -= 100 * i64::try_from(back).unwrap_or(0);
            record.collector.position.insert("0".into(), cut.position - 1_000 * back);
            (hour - back, record)
        };
        let all = [2, 1, 0].map(before);
        Ok(all.into_iter().filter(|row| row.1.collector.position["0"] <= position).collect())
    }
}
