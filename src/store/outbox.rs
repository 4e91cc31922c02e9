//! The outbox: items for sinks, in `DIR/outbox` (fjall), each written before any sink sees it,
//! with one cursor per sink. Everything in it but the cursors can be had again from the log; an
//! item that is put again is ignored, because its key is not above the last one.
//!
//! ```text
//! items    position 8 | ordinal 4 | kind 1   → zstd(JSON of the event, or of the cut's head)
//! records  run id 32 | epoch 4 | position 8  → zstd(JSON of {hour, record})
//! latest   run id 32 | epoch 4               → position 8 | hash of what the record says 16
//! cursors  name of the sink                  → JSON of its progress
//! meta     "position"                        → next position of the log 8
//!          "trimmed"                         → key of the last item that was removed
//! ```
//! Numbers are big endian, so that keys sort as the log does.

mod row;
mod spaces;
mod trim;

use super::Error;
use crate::fail;
use crate::model::RunRecord;
use crate::model::delivery::{Body, Cut, Event, Item, ItemKey, ItemKind, Progress, Why};
use fjall::PersistMode;
use row::{Head, Stored};
use spaces::{Slot, Spaces};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::watch;

/// Bytes of cached blocks.
const CACHE_BYTES: u64 = 8 << 20;
/// Bytes of unwritten tables, over all keyspaces.
const MEMTABLE_BYTES: u64 = 4 << 20;
/// Bytes of fjall's own journal; the least it takes.
const JOURNAL_BYTES: u64 = 64 << 20;

/// An open outbox; clones share it.
#[derive(Clone)]
pub struct Outbox {
    path: Arc<PathBuf>,
    slot: Arc<Slot>,
    /// What was removed is being given back.
    compacting: Arc<AtomicBool>,
    /// The key of the last item.
    newest: watch::Sender<Option<ItemKey>>,
}

/// What came of putting a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Put {
    /// Items that are new.
    pub items: usize,
    /// Records that are new or say something else than before.
    pub records: usize,
}

// === impl Outbox ===

impl Outbox {
    fn over(slot: Slot) -> Result<Self, Error> {
        let newest = watch::Sender::new(None);
        let path = Arc::new(slot.path().to_owned());
        let outbox = Outbox { path, slot: Arc::new(slot), compacting: Arc::default(), newest };
        outbox.tell_newest()?;
        Ok(outbox)
    }

    fn tell_newest(&self) -> Result<(), Error> {
        let last = self.spaces()?.items.last_key_value().map(fjall::Guard::key).transpose();
        let last = last.map_err(|e| self.error("cannot read", e))?;
        self.newest.send_replace(last.and_then(|key| row::item_key(&key)).map(|pair| pair.0));
        Ok(())
    }

    fn spaces(&self) -> Result<Arc<Spaces>, Error> {
        self.slot.spaces()
    }

    /// The next position of the log whose items are not in it.
    pub fn position(&self) -> Result<u64, Error> {
        let bytes =
            self.spaces()?.meta.get("position").map_err(|e| self.error("cannot read", e))?;
        Ok(bytes.and_then(|b| b.first_chunk().copied()).map_or(0, u64::from_be_bytes))
    }

    /// Puts the items of the entry before `position`; what is there already is not put again. Of
    /// a cut, records that say the same as before are left out.
    pub fn put(&self, position: u64, events: &[Event], cut: Option<&Cut>) -> Result<Put, Error> {
        if position <= self.position()? {
            return Ok(Put::default());
        }
        let failed = |e| self.error("cannot write", e);
        let spaces = self.spaces()?;
        let mut batch = spaces.db.batch();
        let mut put = Put::default();
        let mut key = ItemKey { position, ordinal: 0 };
        for event in events {
            batch.insert(&spaces.items, row::bytes_of(key, ItemKind::Event), row::pack(event));
            key.ordinal += 1;
            put.items += 1;
        }
        if let Some(cut) = cut {
            let head = self.put_records(&spaces, &mut batch, cut)?;
            put.records = head.records.len();
            // That nothing is new is worth telling once an hour, not whenever someone asks.
            if put.records > 0 || cut.why != Why::Drain {
                put.items += 1;
                batch.insert(&spaces.items, row::bytes_of(key, ItemKind::Cut), row::pack(&head));
            }
        }
        batch.insert(&spaces.meta, "position", position.to_be_bytes());
        fail::point("outbox.put");
        batch.commit().map_err(failed)?;
        fail::point("outbox.stored");
        if put.items > 0 {
            let ordinal = u32::try_from(put.items - 1).unwrap_or(u32::MAX);
            self.newest.send_replace(Some(ItemKey { position, ordinal }));
        }
        Ok(put)
    }

    fn put_records(
        &self,
        spaces: &Spaces,
        batch: &mut fjall::OwnedWriteBatch,
        cut: &Cut,
    ) -> Result<Head, Error> {
        let mut head = Head::of(cut);
        for record in &cut.records {
            let run = row::run_key(&record.run.id, record.window.epoch);
            let says = row::says(record);
            let before = spaces.latest.get(&run).map_err(|e| {
                self.mark_damaged();
                self.error("cannot read", e)
            })?;
            if before.is_some_and(|before| before.get(8..) == Some(&says[..])) {
                continue;
            }
            let place = [&run[..], &cut.position.to_be_bytes()].concat();
            let stored = Stored { hour: cut.hour(), record: record.clone() };
            batch.insert(&spaces.records, place, row::pack(&stored));
            batch.insert(&spaces.latest, run, [&cut.position.to_be_bytes()[..], &says].concat());
            head.records.push((record.run.id.clone(), record.window.epoch));
        }
        Ok(head)
    }

    /// Makes all that was put durable, and notes that everything before a position was.
    pub fn sync(&self, position: u64) -> Result<(), Error> {
        self.note(position)?;
        self.persist()
    }

    /// Notes that everything before a position was put. Only who puts may note.
    pub fn note(&self, position: u64) -> Result<(), Error> {
        if position > self.position()? {
            let noted = self.spaces()?.meta.insert("position", position.to_be_bytes());
            noted.map_err(|e| self.error("cannot write", e))?;
        }
        Ok(())
    }

    /// Makes durable what was put and noted.
    pub fn persist(&self) -> Result<(), Error> {
        fail::point("outbox.sync");
        self.spaces()?.db.persist(PersistMode::SyncData).map_err(|e| self.error("cannot sync", e))
    }

    /// The first item after a key that is of one of the kinds, or none yet.
    pub fn next(
        &self,
        after: Option<ItemKey>,
        takes: &dyn Fn(ItemKind) -> bool,
    ) -> Result<Option<Item>, Error> {
        for guard in self.spaces()?.items.range(row::after(after)..) {
            let (key, value) = guard.into_inner().map_err(|e| self.error("cannot read", e))?;
            match row::item_key(&key) {
                Some((key, kind)) if takes(kind) => return self.item(key, kind, &value).map(Some),
                _ => {}
            }
        }
        Ok(None)
    }

    fn item(&self, key: ItemKey, kind: ItemKind, value: &[u8]) -> Result<Item, Error> {
        let body = match kind {
            ItemKind::Event => Body::Event(Box::new(self.unpack(value)?)),
            ItemKind::Cut => {
                let head: Head = self.unpack(value)?;
                let mut records = Vec::with_capacity(head.records.len());
                for (run, epoch) in &head.records {
                    let place = [&row::run_key(run, *epoch)[..], &head.position.to_be_bytes()];
                    let found = self.spaces()?.records.get(place.concat());
                    let found = found.map_err(|e| self.error("cannot read", e))?;
                    if let Some(bytes) = found {
                        records.push(self.unpack::<Stored>(&bytes)?.record);
                    }
                }
                Body::Cut(Box::new(head.cut(records)))
            }
        };
        Ok(Item { key, body })
    }

    /// How many items of these kinds come after a key.
    pub fn waiting(
        &self,
        after: Option<ItemKey>,
        takes: &dyn Fn(ItemKind) -> bool,
    ) -> Result<u64, Error> {
        let mut count = 0;
        for guard in self.spaces()?.items.range(row::after(after)..) {
            let key = guard.key().map_err(|e| self.error("cannot read", e))?;
            count += u64::from(row::item_key(&key).is_some_and(|(_, kind)| takes(kind)));
        }
        Ok(count)
    }

    /// The key of the last item; changes are told to the receiver.
    pub fn newest(&self) -> watch::Receiver<Option<ItemKey>> {
        self.newest.subscribe()
    }

    /// Records of a run in an epoch up to a position, oldest first, with their hours.
    pub fn history(
        &self,
        run: &str,
        epoch: u32,
        position: u64,
    ) -> Result<Vec<(u64, RunRecord)>, Error> {
        let first = row::run_key(run, epoch);
        let last = [&first[..], &position.to_be_bytes()].concat();
        let mut out = Vec::new();
        for guard in self.spaces()?.records.range(first.to_vec()..=last) {
            let bytes = guard.value().map_err(|e| self.error("cannot read", e))?;
            let stored: Stored = self.unpack(&bytes)?;
            out.push((stored.hour, stored.record));
        }
        Ok(out)
    }

    /// How far a sink has come.
    pub fn progress(&self, sink: &str) -> Result<Option<Progress>, Error> {
        let bytes = self.spaces()?.cursors.get(sink).map_err(|e| self.error("cannot read", e))?;
        bytes.map(|bytes| self.read_json(&bytes)).transpose()
    }

    /// Notes how far a sink has come.
    pub fn set_progress(&self, sink: &str, progress: &Progress) -> Result<(), Error> {
        let json = serde_json::to_vec(progress).expect("progress is plain JSON");
        self.spaces()?.cursors.insert(sink, json).map_err(|e| self.error("cannot write", e))
    }

    fn unpack<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Error> {
        let json = zstd::decode_all(bytes).map_err(|e| Error::io("cannot read", &self.path, e))?;
        self.read_json(&json)
    }

    fn read_json<T: serde::de::DeserializeOwned>(&self, json: &[u8]) -> Result<T, Error> {
        let broken = |e: serde_json::Error| Error::io("cannot understand", &self.path, e.into());
        serde_json::from_slice(json).map_err(broken)
    }

    fn error(&self, what: &'static str, source: fjall::Error) -> Error {
        Error::outbox(what, &self.path, source)
    }
}

#[cfg(test)]
mod tests;
