//! What the engine needs to keep but not in memory: sealed traces, where the call of a response
//! id is, and units. It names what it wants by key; whoever drives it reads and writes.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::ops::Range;
use std::sync::Arc;

/// Number of a batch of records that were sealed together; they are given out in order from 1,
/// so of two records with one key that of the greater part holds.
pub type Part = u32;

/// Which kind of record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// Traces by the sealed key of their id.
    Traces,
    /// Trace ids by the keyed hash of a response id, in the lower half of the key.
    Responses,
    /// Units by experiment (upper half) and hash.
    Units,
}

/// A record: its key, the part it was sealed in, its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// See [`Family`].
    pub key: u128,
    /// The part.
    pub part: Part,
    /// Written and read by the engine only.
    pub bytes: Vec<u8>,
}

/// Bytes of a record on their way out of memory: those of a response id need no block of their own,
/// others keep the one they had.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    /// A whole id.
    Id([u8; 16]),
    /// As they were in memory.
    Kept(Arc<[u8]>),
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Kept(bytes.into())
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Value::Id(bytes) => bytes,
            Value::Kept(bytes) => bytes,
        }
    }
}

/// Records that go out of memory together, sorted by key, each key once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Their kind.
    pub family: Family,
    /// Their part.
    pub part: Part,
    /// Key and bytes.
    pub records: Vec<(u128, Value)>,
}

/// A place in a walk over all records; only who made it understands it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// For a shelf that is made of several.
    pub layer: u8,
    /// Where.
    pub at: u128,
}

/// Some records of a walk, and where it goes on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// In no particular order.
    pub records: Vec<Record>,
    /// `None` at the end.
    pub next: Option<Cursor>,
}

/// Why records could not be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShelfError {
    /// No room, no file handles, no permission to write: ends by itself.
    #[error("{0}")]
    Full(String),
    /// The system refused something else.
    #[error("{0}")]
    Failed(String),
    /// What was written is not what is there: only a rebuild from the log helps.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// Which file.
        file: String,
        /// What was seen.
        what: &'static str,
    },
}

/// Keeps records by key.
pub trait Shelf {
    /// Keeps a batch, which may be shared until it is written. Nothing of it is kept after an
    /// error.
    fn put(&mut self, batch: &Arc<Batch>) -> Result<(), ShelfError>;

    /// The newest records of sorted keys, of parts from `oldest` on; what is not there is left out.
    fn get(
        &mut self,
        family: Family,
        keys: &[u128],
        oldest: Part,
    ) -> Result<Vec<Record>, ShelfError>;

    /// Walks over the newest records of those keys whose newest record is of these parts.
    fn page(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        from: Cursor,
    ) -> Result<Page, ShelfError>;

    /// Records of this family and of parts before `oldest` will not be asked for again.
    fn drop_before(&mut self, family: Family, oldest: Part);
}

/// A shelf in memory: for replays and tests.
#[derive(Clone, Default, Debug)]
pub struct MemoryShelf {
    records: BTreeMap<(Family, u128), (Part, Vec<u8>)>,
    /// From which parts on there are records: looking through all of them at each entry would be
    /// slow.
    oldest: BTreeMap<Family, Part>,
}

/// Records of a page.
const PAGE_RECORDS: usize = 4_096;

// === impl MemoryShelf ===

impl MemoryShelf {
    /// Records that are kept.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Shelf for MemoryShelf {
    fn put(&mut self, batch: &Arc<Batch>) -> Result<(), ShelfError> {
        for (key, bytes) in &batch.records {
            self.records.insert((batch.family, *key), (batch.part, bytes.to_vec()));
        }
        Ok(())
    }

    fn get(
        &mut self,
        family: Family,
        keys: &[u128],
        oldest: Part,
    ) -> Result<Vec<Record>, ShelfError> {
        let found = keys.iter().filter_map(|key| {
            let (part, bytes) = self.records.get(&(family, *key))?;
            (*part >= oldest).then(|| Record { key: *key, part: *part, bytes: bytes.clone() })
        });
        Ok(found.collect())
    }

    fn page(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        from: Cursor,
    ) -> Result<Page, ShelfError> {
        let mut page = Page::default();
        let rest = self.records.range((family, from.at)..=(family, u128::MAX));
        for ((_, key), (part, bytes)) in rest {
            if page.records.len() == PAGE_RECORDS {
                page.next = Some(Cursor { at: *key, ..from });
                break;
            }
            if parts.contains(part) {
                page.records.push(Record { key: *key, part: *part, bytes: bytes.clone() });
            }
        }
        Ok(page)
    }

    fn drop_before(&mut self, family: Family, oldest: Part) {
        let known = self.oldest.entry(family).or_default();
        if *known < oldest {
            *known = oldest;
            self.records.retain(|key, record| key.0 != family || record.0 >= oldest);
        }
    }
}
