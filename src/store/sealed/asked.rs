//! What the engine asks of the shelf. Of each key the newest record holds: batches that are not
//! written yet are newer than all tables. What was put since the process began is known to
//! [`Recent`](super::recent::Recent), so most keys that are nowhere cost no look at any table.

use super::Sealed;
use super::filter::Probe;
use super::kind::Ask;
use crate::model::shelf::{Batch, Cursor, Family, Page, Part, Record, Shelf, ShelfError, Value};
use std::ops::Range;
use std::sync::Arc;

/// Records of a page, about.
const PAGE_RECORDS: usize = 8_192;

impl Shelf for Sealed {
    fn put(&mut self, batch: &Arc<Batch>) -> Result<(), ShelfError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        self.take_written()?;
        while self.backlog.is_full_for(batch) {
            self.backlog.wait()?;
            self.take_written()?;
        }
        let number = self.number();
        self.backlog.push(number, batch)?;
        if self.kinds[batch.family as usize].recent.add(batch) {
            self.hold_filters()?;
        }
        self.tend()
    }

    fn get(
        &mut self,
        family: Family,
        keys: &[u128],
        oldest: Part,
    ) -> Result<Vec<Record>, ShelfError> {
        let mut found = Vec::new();
        let kind = &mut self.kinds[family as usize];
        let since = kind.recent.since();
        let waiting = || self.backlog.of(family).filter(|one| one.batch.part >= oldest);
        // What is not among what was put lately is in nothing that is newer.
        let waiting_recent = waiting().all(|one| one.batch.part >= since);
        let all_recent = waiting_recent && kind.first() >= since;
        for key in keys {
            let probe = Probe::new(*key);
            let among = kind.recent.parts_of(probe);
            if all_recent && among.is_none() {
                continue;
            }
            let may_wait = !waiting_recent || among.is_some();
            let waits = || waiting().rev().find_map(|one| one.get(*key));
            let record = match may_wait.then(waits).flatten() {
                Some(record) => Some(record),
                None => kind.newest(0, &Ask { key: *key, probe, oldest, among })?,
            };
            found.extend(record);
        }
        Ok(found)
    }

    fn page(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        from: Cursor,
    ) -> Result<Page, ShelfError> {
        let mut page = Page::default();
        let (mut at, mut block) = ((from.at >> 64) as usize, from.at as u64);
        loop {
            let kind = &self.kinds[family as usize];
            let (parts_of, blocks) = match kind.tables().get(at) {
                Some(table) => (table.parts, table.blocks),
                None => match self.backlog.of(family).nth(at - kind.tables().len()) {
                    Some(one) => ((one.batch.part, one.batch.part), pages(&one.batch)),
                    None => break,
                },
            };
            if parts_of.1 < parts.start || parts_of.0 >= parts.end || block == blocks {
                (at, block) = (at + 1, 0);
                continue;
            }
            if page.records.len() >= PAGE_RECORDS {
                let at = (at as u128) << 64 | u128::from(block);
                page.next = Some(Cursor { at, ..from });
                break;
            }
            self.page_of(family, parts, (at, block), &mut page)?;
            block += 1;
        }
        Ok(page)
    }

    fn drop_before(&mut self, family: Family, oldest: Part) {
        let kind = &mut self.kinds[family as usize];
        if oldest > kind.oldest {
            kind.drop_before(oldest);
        }
    }
}

impl Sealed {
    /// Those records of a block whose key has no newer one.
    fn page_of(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        (at, block): (usize, u64),
        page: &mut Page,
    ) -> Result<(), ShelfError> {
        let kind = &mut self.kinds[family as usize];
        let (first, records, later) = match at.checked_sub(kind.tables().len()) {
            None => (kind.tables()[at].parts.0, kind.tables()[at].records_of(block)?, 0),
            Some(nth) => match self.backlog.of(family).nth(nth) {
                Some(one) => (one.batch.part, chunk(&one.batch, block), nth + 1),
                None => return Ok(()),
            },
        };
        let since = kind.recent.since();
        for record in records.into_iter().filter(|record| parts.contains(&record.part)) {
            let probe = Probe::new(record.key);
            // A key that was put once since the process began has none newer when this is it.
            let once = first >= since && !kind.recent.came_again(probe);
            let among = if once { None } else { kind.recent.parts_of(probe) };
            let mut waiting = self.backlog.of(family).skip(later);
            let shadowed = waiting.any(|one| {
                (among.is_some() || one.batch.part < since) && one.get(record.key).is_some()
            });
            let ask = Ask { key: record.key, probe, oldest: 0, among };
            if !shadowed && kind.newest(at + 1, &ask)?.is_none() {
                page.records.push(record);
            }
        }
        Ok(())
    }
}

fn pages(batch: &Batch) -> u64 {
    batch.records.len().div_ceil(PAGE_RECORDS) as u64
}

fn chunk(batch: &Batch, block: u64) -> Vec<Record> {
    let chunk = batch.records.chunks(PAGE_RECORDS).nth(block as usize).unwrap_or_default();
    let record = |(key, bytes): &(u128, Value)| Record {
        key: *key,
        part: batch.part,
        bytes: bytes.to_vec(),
    };
    chunk.iter().map(record).collect()
}
