//! The one thread that writes: takes everything that waits, writes it, syncs once, answers.
//! While a sync runs requests collect, so the groups adapt to the disk without a delay of ours.
//!
//! A failed write refuses and is repeated at the same place by the next group, under a new
//! epoch, so that what it left behind cannot validate. A failed sync is never repeated.

use super::files::Files;
use super::frame::{self, HEADER, Header};
use super::prepare::Preparer;
use super::queue::{Shared, Waiting};
use super::segments;
use super::trailer::{self, TRAILER};
use crate::fail;
use crate::model::log::Promise;
use crate::model::meter::Disk;
use crate::model::{Position, Refused};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Bytes of frames that are collected before they are given to the system.
const BUFFER_BYTES: usize = 1 << 20;
/// Entries of a group for which there is always room.
const KEPT_MAX: usize = 1 << 10;
const FREE_CHECK: Duration = Duration::from_secs(1);

/// State of the writer thread.
pub struct Writer {
    shared: Arc<Shared>,
    files: Files,
    folder: PathBuf,
    epoch: u64,
    current: Option<Current>,
    preparer: Preparer,
    buffer: Vec<u8>,
    answers: Vec<(Position, Promise)>,
    free_checked: Option<Instant>,
}

/// The segment that is written to.
pub struct Current {
    /// The file.
    pub file: File,
    /// Everything before this is durable.
    pub durable: u64,
    /// Everything before this was given to the system.
    pub written: u64,
    /// What a write that was refused may have left behind ends here.
    pub dirty: u64,
    /// Frames end before it; the trailer follows.
    pub len: u64,
}

// === impl Writer ===

impl Writer {
    /// Ready to write after `current`'s durable end.
    pub fn new(
        shared: Arc<Shared>,
        files: Files,
        folder: PathBuf,
        epoch: u64,
        current: Option<Current>,
    ) -> std::io::Result<Writer> {
        let config = &shared.config;
        let (bytes, free_min) = (config.segment_bytes, config.disk_free_min);
        let mut preparer = Preparer::start(files.clone(), &folder, bytes, free_min)?;
        preparer.ask();
        Ok(Writer {
            shared,
            files,
            folder,
            epoch,
            current,
            preparer,
            buffer: Vec::new(),
            answers: Vec::new(),
            free_checked: None,
        })
    }

    /// Writes groups until the log is closed or a sync failed.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        let mut group = Vec::new();
        while let Some(first) = shared.take_group(&mut group) {
            if self.group(first, &mut group) == Err(Refused::Failed) {
                break;
            }
            // A flood is over some time.
            group.shrink_to(KEPT_MAX);
            self.answers.shrink_to(KEPT_MAX);
        }
        drop(self);
        shared.update(|state| state.ended = true);
    }

    /// Writes a group, and answers each of its entries.
    fn group(&mut self, first: Position, group: &mut Vec<Waiting>) -> Result<(), Refused> {
        let began = Instant::now();
        let mut durable = first;
        let written = self.write(first, group, &mut durable);
        let mut group = group.drain(..);
        let count = (durable - first) as usize;
        fail::point("log.answer");
        self.shared.publish(first, group.by_ref().take(count), &mut self.answers);
        match written {
            Ok(()) => self.shared.meter.commit(began.elapsed().as_micros() as u64),
            Err(why) => self.give_up(why),
        }
        self.note_trouble(written.err());
        written.inspect_err(|why| self.shared.refuse(group, *why))
    }

    /// Frames, writes and syncs; `durable` follows what is safe.
    fn write(
        &mut self,
        first: Position,
        group: &[Waiting],
        durable: &mut Position,
    ) -> Result<(), Refused> {
        self.check_free()?;
        self.clean()?;
        for (seq, waiting) in (first..).zip(group) {
            let (kind, payload) = frame::payload(&waiting.entry.body);
            let len = (HEADER + payload.len()) as u64;
            if !self.has_room(len) {
                self.sync()?;
                *durable = seq;
                self.rotate(seq, len)?;
            }
            let header = Header {
                len: 0,
                crc: 0,
                epoch: self.epoch,
                seq,
                stamp: waiting.entry.stamp,
                group: (seq - *durable) as u32,
                kind,
            };
            frame::append(&mut self.buffer, header, &payload);
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        self.sync()?;
        *durable = first + group.len() as Position;
        Ok(())
    }

    /// Puts zeros where a refused write may have left something: what comes next is written over
    /// zeros, or a torn write could not be told from damage.
    fn clean(&mut self) -> Result<(), Refused> {
        let Some(current) = self.current.as_mut().filter(|c| c.dirty > c.durable) else {
            return Ok(());
        };
        let zeros = vec![0; (current.dirty - current.durable) as usize];
        let written = self.files.write_at(&current.file, &zeros, current.durable);
        written.map_err(|error| refused("cannot write to the log", &error))?;
        self.files.sync(&current.file).map_err(|error| failed(&error))?;
        current.dirty = 0;
        Ok(())
    }

    fn has_room(&self, len: u64) -> bool {
        let buffered = self.buffer.len() as u64;
        self.current.as_ref().is_some_and(|current| current.written + buffered + len <= current.len)
    }

    /// Gives the buffer to the system.
    fn flush(&mut self) -> Result<(), Refused> {
        fail::point("log.append");
        if let Some(current) = self.current.as_mut() {
            let written = self.files.write_at(&current.file, &self.buffer, current.written);
            written.map_err(|error| refused("cannot write to the log", &error))?;
            current.written += self.buffer.len() as u64;
        }
        self.buffer.clear();
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    /// Makes everything written so far durable.
    fn sync(&mut self) -> Result<(), Refused> {
        self.flush()?;
        if let Some(current) = self.current.as_mut().filter(|c| c.durable < c.written) {
            fail::point("log.sync");
            self.files.sync(&current.file).map_err(|error| failed(&error))?;
            current.durable = current.written;
        }
        Ok(())
    }

    /// Goes on in a new segment whose first position is `seq`.
    fn rotate(&mut self, seq: Position, len_min: u64) -> Result<(), Refused> {
        let (file, prepared) = self
            .preparer
            .take(len_min + TRAILER)
            .map_err(|error| refused("cannot make a segment", &error))?;
        let wrap = |error| refused("cannot name a segment", &error);
        // Opened before anything is renamed: too few file handles are no failed sync.
        let folder = File::open(&self.folder).map_err(wrap)?;
        std::fs::rename(&prepared, segments::path(&self.folder, seq)).map_err(wrap)?;
        fail::point("log.rotate");
        folder.sync_all().map_err(|error| failed(&error))?;
        if let Some(before) = &self.current {
            let at = trailer::closed_at(before.len);
            self.files.write_at(&before.file, &trailer::closed(seq), at).map_err(wrap)?;
            self.files.sync(&before.file).map_err(|error| failed(&error))?;
        }
        let len = self.shared.config.segment_bytes.max(len_min + TRAILER) - TRAILER;
        self.current = Some(Current { file, durable: 0, written: 0, dirty: 0, len });
        self.shared.update(|state| {
            if state.firsts.last() != Some(&seq) {
                state.firsts.push(seq);
            }
        });
        self.preparer.ask();
        Ok(())
    }

    /// Forgets what was written and is not durable; the next group takes its place.
    fn give_up(&mut self, why: Refused) {
        let buffered = self.buffer.len() as u64;
        self.buffer.clear();
        self.epoch += 1;
        if let Some(current) = self.current.as_mut() {
            current.dirty = current.dirty.max(current.written + buffered).min(current.len);
            current.written = current.durable;
        }
        if why == Refused::Failed {
            self.shared.update(|state| state.failed = true);
            let waiting = std::mem::take(&mut self.shared.state().waiting);
            self.shared.refuse(waiting.into_iter(), why);
        }
    }

    fn check_free(&mut self) -> Result<(), Refused> {
        if self.free_checked.is_some_and(|at| at.elapsed() < FREE_CHECK) {
            return Ok(());
        }
        let free = self.files.free(&self.folder).map_err(|e| refused("cannot ask the disk", &e))?;
        if free < self.shared.config.disk_free_min {
            return Err(Refused::Disk);
        }
        self.free_checked = Some(Instant::now());
        Ok(())
    }

    /// Says it once when trouble begins, and once when it ends.
    fn note_trouble(&mut self, trouble: Option<Refused>) {
        let disk = match trouble {
            // What is small still fits where the next segment cannot be made.
            None if self.shared.meter.disk() == Disk::Refuses && !self.preparer.is_ready() => {
                return;
            }
            None => Disk::Takes,
            Some(Refused::Failed) => Disk::Failed,
            Some(_) => Disk::Refuses,
        };
        let before = self.shared.meter.disk.swap(disk as u8, Relaxed);
        if disk == Disk::Refuses && before != disk as u8 {
            tracing::warn!("the log takes nothing: senders are told to come back");
        }
        if disk == Disk::Takes && before != disk as u8 {
            tracing::info!("the log takes entries again");
        }
    }
}

fn refused(what: &'static str, error: &std::io::Error) -> Refused {
    tracing::debug!(%error, what);
    Refused::Disk
}

fn failed(error: &std::io::Error) -> Refused {
    tracing::error!(%error, "a sync of the log failed; nothing more is accepted");
    Refused::Failed
}
