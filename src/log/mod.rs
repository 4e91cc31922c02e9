//! The log of one node: append-only segments, one `fdatasync` for all requests that wait.
//!
//! Flow: doors → [`LocalLog::append`] → queue → writer thread → segment → [`Tail`] → engine.
//! What was answered is durable. Opening finds the end of the last segment and cuts a torn
//! write; anything else that cannot be read refuses the start and is named.

mod accepted;
mod entries;
mod files;
mod frame;
mod prepare;
mod queue;
mod search;
mod segments;
mod trailer;
mod trim;
mod writer;

#[cfg(test)]
mod tests;

pub use entries::{Entries, Lost};
pub use queue::{Next, Tail};
pub use trim::Keep;

use crate::model::{Appended, Body, Log, Meter, Nanos, Position};
use accepted::Accepted;
use entries::End;
use files::Files;
use queue::Shared;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use trailer::TRAILER;
use writer::{Current, Writer};

/// Where the log is and what bounds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The data folder; segments are in `log` inside it.
    pub dir: PathBuf,
    /// Size of a segment, 64 MiB.
    pub segment_bytes: u64,
    /// Bytes that may wait to be written or applied, 8 MiB; above it, `Busy`.
    pub queue_bytes_max: u64,
    /// Free bytes that are left on the disk, 256 MiB; below it, `Disk`.
    pub disk_free_min: u64,
    /// Skip what cannot be read, note it, and go on.
    pub accept_loss: bool,
}

/// Why the log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// Something cannot be read, and it is not the torn end of the last write.
    #[error(
        "the log is damaged at byte {offset} of {}: {what}; {} lost; restore the file from a copy, or start with --accept-loss to go on without them",
        file.display(),
        lost(*from, *to)
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// The byte in it.
        offset: u64,
        /// First position that cannot be read.
        from: Position,
        /// The next one that can.
        to: Position,
        /// What was seen.
        what: &'static str,
    },
    /// A whole entry that this version does not know.
    #[error("entry {position} is of kind {kind}, which a newer armspan wrote; use that version")]
    Newer {
        /// Where.
        position: Position,
        /// Its kind.
        kind: u8,
    },
}

/// A log that was opened and is not yet written to: the time to read what it holds.
pub struct Opened {
    config: Config,
    files: Files,
    meter: Arc<Meter>,
    folder: PathBuf,
    firsts: Vec<Position>,
    end: End,
    current: Option<Current>,
    /// A torn write was cut at the end: segment, byte.
    pub cut: Option<(PathBuf, u64)>,
}

/// A handle to the log; clones share it. Dropping the last one ends its threads.
#[derive(Clone)]
pub struct LocalLog {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    files: Files,
    folder: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Reads the entries of a data folder from a position on, while no server or another one runs.
/// Writes nothing. Damage is an error and the end; a torn last write is just the end.
pub fn read(dir: &Path, from: Position) -> Result<Entries, Error> {
    let mut entries = Entries::new(&segments::folder(dir), from, false)?;
    entries.live = true;
    Ok(entries)
}

/// Which positions are lost; what came after the last one nobody knows.
fn lost(from: Position, to: Position) -> String {
    if from < to {
        return format!("positions {from} to {to} (exclusive) are");
    }
    format!("position {from} and what may have followed it are")
}

// === impl Error ===

impl Error {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io { what, path: path.to_owned(), source }
    }
}

// === impl Opened ===

impl Opened {
    /// The first position that the log still has.
    pub fn first(&self) -> Position {
        self.firsts.first().copied().unwrap_or(self.end.next)
    }

    /// The position that the next entry gets.
    pub fn next(&self) -> Position {
        self.end.next
    }

    /// Reads entries from a position on, one at a time.
    pub fn entries(&self, from: Position) -> Result<Entries, Error> {
        Entries::new(&self.folder, from, self.config.accept_loss)
    }

    /// Starts the writer: from here on entries are taken.
    pub fn start(self) -> Result<(LocalLog, Tail), Error> {
        let shared = Shared::new(self.config, self.meter, self.firsts, self.end.next);
        let shared = Arc::new(shared);
        let epoch = epoch_after(self.end.epoch);
        let wrap = |error| Error::io("cannot start the writer of", &self.folder, error);
        let (files, folder) = (self.files.clone(), self.folder.clone());
        let writer =
            Writer::new(shared.clone(), files, folder, epoch, self.current).map_err(wrap)?;
        let builder = std::thread::Builder::new().name("log-write".into());
        let thread = Mutex::new(Some(builder.spawn(move || writer.run()).map_err(wrap)?));
        let tail = Tail::new(shared.clone());
        let owner = Owner { shared, files: self.files, folder: self.folder, thread };
        Ok((LocalLog { owner: Arc::new(owner) }, tail))
    }

    fn with(config: Config, meter: Arc<Meter>, files: Files) -> Result<Opened, Error> {
        let folder = segments::folder(&config.dir);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("cannot create", &folder, e))?;
        let synced = files.sync_dir(&config.dir).and_then(|()| files.sync_dir(&folder));
        synced.map_err(|e| Error::io("cannot sync", &folder, e))?;
        let firsts = segments::list(&folder)?;
        let end = find_end(&folder, &firsts, config.accept_loss)?;
        let end_none = End { offset: 0, next: 0, epoch: 0 };
        let mut opened = Opened {
            config,
            files,
            meter,
            folder,
            firsts,
            end: end.unwrap_or(end_none),
            current: None,
            cut: None,
        };
        opened.cut_tail()?;
        Ok(opened)
    }

    /// Makes the last segment ready to go on: nothing but zeros after its last frame, and a
    /// trailer. Where there is no room for one the next entry begins a new segment.
    fn cut_tail(&mut self) -> Result<(), Error> {
        let Some(&first) = self.firsts.last() else { return Ok(()) };
        let path = segments::path(&self.folder, first);
        let wrap = |error| Error::io("cannot repair", &path, error);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(wrap)?;
        let (have, from) = (file.metadata().map_err(wrap)?.len(), self.end.offset);
        let trailer = trailer::read(&file, have).map_err(wrap)?;
        if trailer.is_some_and(|trailer| trailer.next.is_some()) {
            return Ok(());
        }
        let frames_end = have - trailer.map_or(0, |_| TRAILER);
        if !search::is_clear(&file, from, frames_end).map_err(wrap)? {
            self.cut = Some((path.clone(), from));
        }
        let len = if trailer.is_some() { have } else { have.max(self.config.segment_bytes) };
        let room = len - TRAILER;
        if from > room {
            return self.files.clear(&file, from, len).map_err(wrap);
        }
        if self.cut.is_some() || trailer.is_none() {
            self.files.clear(&file, from, room).map_err(wrap)?;
        }
        if trailer.is_none() {
            self.files.write_at(&file, &trailer::open(len), room).map_err(wrap)?;
        }
        // What a process wrote that ended before its sync is read and applied like all else.
        self.files.sync(&file).map_err(wrap)?;
        self.current = Some(Current { file, durable: from, written: from, dirty: 0, len: room });
        Ok(())
    }

    /// Goes on at a later position, in a segment of its own; what lies between is noted as lost.
    pub fn skip_to(&mut self, position: Position) -> Result<(), Error> {
        let file = segments::path(&self.folder, position);
        let lost = Lost { file, offset: 0, from: self.end.next, to: position };
        Accepted::load(&self.folder, true)?.take(&lost)?;
        (self.end.next, self.current) = (position, None);
        Ok(())
    }
}

/// Reads the last segment to its end. When it holds nothing yet, the one before it as well: the
/// next epoch must be above all that were used.
fn find_end(folder: &Path, firsts: &[Position], accept: bool) -> Result<Option<End>, Error> {
    let mut end = None;
    for &first in firsts.iter().rev() {
        let mut entries = Entries::new(folder, first, accept)?;
        for entry in entries.by_ref() {
            entry?;
        }
        end = Some(entries.end());
        if entries.end().epoch > 0 {
            break;
        }
    }
    Ok(end)
}

/// Above every epoch used so far, and not to be guessed from outside.
fn epoch_after(last: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64).max(last + 1)
}

// === impl LocalLog ===

impl LocalLog {
    /// Opens or creates the log of a data folder and cuts a torn last write.
    pub fn open(config: Config, meter: Arc<Meter>) -> Result<Opened, Error> {
        Opened::with(config, meter, Files::default())
    }

    /// The first position that the log still has.
    pub fn first(&self) -> Position {
        let state = self.owner.shared.state();
        state.firsts.first().copied().unwrap_or(state.next)
    }

    /// The position that the next entry gets.
    pub fn next(&self) -> Position {
        self.owner.shared.state().next
    }

    /// A sync failed: everything is refused from now on and the process has to exit.
    pub fn poisoned(&self) -> bool {
        self.owner.shared.state().failed
    }

    /// Takes nothing any more, as after a failed sync: what was taken can no longer be applied.
    pub fn fail(&self) {
        self.owner.shared.update(|state| state.failed = true);
    }

    /// Takes no more, and waits until everything that was taken is durable or refused. The
    /// tail ends after its last entry.
    pub fn close(&self) {
        self.owner.shared.update(|state| state.closing = true);
        let mut thread = self.owner.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

impl Log for LocalLog {
    fn append(&self, stamp: Nanos, body: Body) -> Appended {
        self.owner.shared.push(stamp, body).unwrap_or_else(|why| Appended::known(Err(why)))
    }

    fn depth(&self) -> (Position, u64) {
        (self.next(), self.owner.shared.held())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.update(|state| state.closing = true);
    }
}
