//! Old segments go: those that are not needed, oldest first, by age and by size. The last one
//! never goes. Nothing here decides what is needed; the caller says it.

use super::frame::{HEADER, Header};
use super::{Error, LocalLog, segments};
use crate::fail;
use crate::model::{Nanos, Position};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// Everything from this position on is needed.
    pub from: Position,
    /// A segment stays as long as it has an entry stamped at or after this …
    pub since: Nanos,
    /// … unless all segments together have more bytes than this.
    pub bytes_max: u64,
}

impl LocalLog {
    /// Removes segments that may go, and says how many did.
    pub fn trim(&self, keep: Keep) -> Result<usize, Error> {
        let folder = &self.owner.folder;
        let firsts = self.owner.shared.state().firsts.clone();
        let mut bytes: u64 = firsts.iter().map(|first| bytes_of(folder, *first)).sum();
        let mut removed = 0;
        for pair in firsts.windows(2).take_while(|pair| pair[1] <= keep.from) {
            // The next segment's first stamp bounds all stamps of this one closely enough.
            let old = || stamp_of(folder, pair[1]).is_some_and(|stamp| stamp <= keep.since);
            if bytes <= keep.bytes_max && !old() {
                break;
            }
            let path = segments::path(folder, pair[0]);
            bytes = bytes.saturating_sub(bytes_of(folder, pair[0]));
            fail::point("log.truncate");
            std::fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, e))?;
            fail::point("log.truncated");
            self.owner.shared.state().firsts.retain(|first| *first != pair[0]);
            removed += 1;
        }
        if removed > 0 {
            let synced = self.owner.files.sync_dir(folder);
            synced.map_err(|e| Error::io("cannot sync", folder, e))?;
        }
        Ok(removed)
    }
}

/// A segment that is gone has none.
fn bytes_of(folder: &Path, first: Position) -> u64 {
    std::fs::metadata(segments::path(folder, first)).map_or(0, |meta| meta.len())
}

/// The stamp of a segment's first entry, when it has one.
fn stamp_of(folder: &Path, first: Position) -> Option<Nanos> {
    let file = File::open(segments::path(folder, first)).ok()?;
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, 0).ok()?;
    Header::read(&head).map(|header| header.stamp)
}
