//! Makes the next segment ahead of its use, on a thread of its own: zero-filled and synced, so
//! that appending never has to allocate blocks and a full disk is met here, not half-way.

use super::files::Files;
use super::trailer;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Makes segments of one size.
pub struct Preparer {
    maker: Maker,
    ask: Option<Sender<()>>,
    made: Receiver<io::Result<File>>,
    /// Made, and not yet taken.
    ready: Option<File>,
    asked: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Maker {
    files: Files,
    folder: PathBuf,
    bytes: u64,
    disk_free_min: u64,
}

// === impl Preparer ===

impl Preparer {
    /// Starts the thread; nothing is made before it is asked for.
    pub fn start(
        files: Files,
        folder: &Path,
        bytes: u64,
        disk_free_min: u64,
    ) -> io::Result<Preparer> {
        let maker = Maker { files, folder: folder.to_owned(), bytes, disk_free_min };
        let (ask, asked) = channel::<()>();
        let (give, made) = channel();
        let worker = maker.clone();
        let work = move || {
            while asked.recv().is_ok() {
                if give.send(worker.make(&path(&worker.folder), worker.bytes)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-prepare".into()).spawn(work)?;
        Ok(Preparer {
            maker,
            ask: Some(ask),
            made,
            ready: None,
            asked: false,
            thread: Some(thread),
        })
    }

    /// Begins the next segment, unless it is begun already.
    pub fn ask(&mut self) {
        if !self.asked
            && self.ready.is_none()
            && let Some(ask) = &self.ask
        {
            self.asked = ask.send(()).is_ok();
        }
    }

    /// Whether the next segment is made; never waits. One that could not be made is begun again.
    pub fn is_ready(&mut self) -> bool {
        if let Ok(made) = self.made.try_recv() {
            self.asked = false;
            self.ready = made.ok();
        }
        self.ask();
        self.ready.is_some()
    }

    /// The next segment and where it is until it is renamed; waits until it is made. One that
    /// has to hold more than usual is made here and now.
    pub fn take(&mut self, bytes_min: u64) -> io::Result<(File, PathBuf)> {
        if bytes_min > self.maker.bytes {
            let path = self.maker.folder.join("large.tmp");
            return Ok((self.maker.make(&path, bytes_min)?, path));
        }
        if let Some(ready) = self.ready.take() {
            return Ok((ready, path(&self.maker.folder)));
        }
        self.ask();
        self.asked = false;
        let made = self.made.recv().map_err(|_| io::Error::other("no thread prepares segments"))?;
        Ok((made?, path(&self.maker.folder)))
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic; and if it did, there is nothing left to do here.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(path(&self.maker.folder));
    }
}

impl Maker {
    fn make(&self, path: &Path, bytes: u64) -> io::Result<File> {
        if self.files.free(&self.folder)? < self.disk_free_min.saturating_add(bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files.zeros(path, bytes, &trailer::open(bytes))
    }
}

/// Where a prepared segment waits.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("prepared.tmp")
}
