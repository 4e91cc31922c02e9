//! What is old goes: records and events are kept for a time, and within a number of bytes.

use super::row::{self, Head};
use super::{Error, Outbox};
use crate::model::Nanos;
use crate::model::delivery::{Event, ItemKey, ItemKind};
use std::sync::atomic::Ordering::SeqCst;

/// Items looked at in one go: trimming comes again.
const BATCH: usize = 4_096;

impl Outbox {
    /// Removes items from before a time and, while all of it takes more than `bytes_max`, older
    /// ones; gives the key of the last one removed. Their cursors' sinks will not get them.
    pub fn trim(&self, before: Nanos, bytes_max: u64) -> Result<Option<ItemKey>, Error> {
        let failed = |e| self.error("cannot trim", e);
        let spaces = self.spaces()?;
        let mut too_many = match self.compacting.load(SeqCst) {
            true => 0,
            false => self.disk_bytes().saturating_sub(bytes_max),
        };
        let was_too_many = too_many > 0;
        let mut batch = spaces.db.batch();
        let mut last = None;
        for (count, guard) in spaces.items.iter().enumerate() {
            let (key, value) = guard.into_inner().map_err(failed)?;
            let Some((place, kind)) = row::item_key(&key) else { continue };
            let (at, records) = self.age(kind, &value)?;
            if count >= BATCH || at >= before && too_many == 0 {
                break;
            }
            let mut bytes = value.len() as u64;
            for (run, epoch) in records {
                let run = row::run_key(&run, epoch);
                let key = [&run[..], &place.position.to_be_bytes()].concat();
                let size = spaces.records.size_of(&key).map_err(failed)?;
                bytes += u64::from(size.unwrap_or(0));
                batch.remove(&spaces.records, key);
            }
            too_many = too_many.saturating_sub(bytes);
            batch.remove(&spaces.items, key.to_vec());
            last = Some(place);
        }
        if let Some(last) = last {
            batch.insert(&spaces.meta, "trimmed", row::bytes_of(last, ItemKind::Event));
        }
        batch.commit().map_err(failed)?;
        if was_too_many {
            self.compact();
        }
        Ok(last)
    }

    /// What was removed gives its bytes back only when tables are written anew; until it has, more
    /// would be removed than needs to be.
    fn compact(&self) {
        let Ok(spaces) = self.spaces() else { return };
        let compacting = self.compacting.clone();
        compacting.store(true, SeqCst);
        let work = move || {
            for space in [&spaces.items, &spaces.records] {
                let done = space.rotate_memtable_and_wait().and_then(|()| space.major_compact());
                if let Err(error) = done {
                    tracing::error!(%error, "the outbox could not be made smaller");
                }
            }
            compacting.store(false, SeqCst);
        };
        let thread = std::thread::Builder::new().name("outbox-compact".into());
        if let Err(error) = thread.spawn(work) {
            self.compacting.store(false, SeqCst);
            tracing::error!(%error, "the outbox could not be made smaller");
        }
    }

    /// The last item that was removed: a sink whose cursor is before it has missed something.
    pub fn trimmed(&self) -> Result<Option<ItemKey>, Error> {
        let bytes = self.spaces()?.meta.get("trimmed").map_err(|e| self.error("cannot read", e))?;
        Ok(bytes.and_then(|bytes| row::item_key(&bytes)).map(|pair| pair.0))
    }

    /// Bytes on disk, fjall's journal not counted.
    pub fn disk_bytes(&self) -> u64 {
        let Ok(spaces) = self.spaces() else { return 0 };
        let all = [&spaces.items, &spaces.records, &spaces.latest];
        all.iter().map(|space| space.disk_space()).sum()
    }

    fn age(&self, kind: ItemKind, value: &[u8]) -> Result<(Nanos, Vec<(String, u32)>), Error> {
        Ok(match kind {
            ItemKind::Cut => {
                let head: Head = self.unpack(value)?;
                (head.at, head.records)
            }
            ItemKind::Event => {
                let event: Event = self.unpack(value)?;
                let at = event.at.parse::<jiff::Timestamp>().unwrap_or_default();
                (Nanos::try_from(at.as_nanosecond()).unwrap_or(0), Vec::new())
            }
        })
    }
}
