//! What is old goes: records and events are kept for a time, and within a number of bytes.

use super::row::{self, Head};
use super::{Error, Outbox};
use crate::model::Nanos;
use crate::model::delivery::{Event, ItemKey, ItemKind};

/// Items looked at in one go: trimming comes again.
const BATCH: usize = 1_024;

impl Outbox {
    /// Removes items from before a time and, while all of it takes more than `bytes_max`, older
    /// ones; gives the key of the last one removed. Their cursors' sinks will not get them.
    pub fn trim(&self, before: Nanos, bytes_max: u64) -> Result<Option<ItemKey>, Error> {
        let failed = |e| self.error("cannot trim", e);
        let spaces = self.spaces()?;
        let full = self.disk_bytes() > bytes_max;
        let mut batch = spaces.db.batch();
        let mut last = None;
        for (count, guard) in spaces.items.iter().enumerate() {
            let (key, value) = guard.into_inner().map_err(failed)?;
            let Some((place, kind)) = row::item_key(&key) else { continue };
            let (at, records) = self.age(kind, &value)?;
            // When bytes are short, a sixteenth of a batch goes, and space is looked at again.
            let short = full && count < BATCH / 16;
            if count >= BATCH || !(at < before || short) {
                break;
            }
            for (run, epoch) in records {
                let run = row::run_key(&run, epoch);
                batch.remove(&spaces.records, [&run[..], &place.position.to_be_bytes()].concat());
            }
            batch.remove(&spaces.items, key.to_vec());
            last = Some(place);
        }
        if let Some(last) = last {
            batch.insert(&spaces.meta, "trimmed", row::bytes_of(last, ItemKind::Event));
        }
        batch.commit().map_err(failed)?;
        Ok(last)
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
