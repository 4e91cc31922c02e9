//! The folder of an offline run: found again by the run's id, and replaced as a whole.

use super::Failure;
use crate::model::RunRecord;
use jiff::Timestamp;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const PREFIX: &str = "offline-run-";
/// `YYYYMMDD_HHMMSS-`
const TIME_LENGTH: usize = 16;
/// The name of the record among a run's files.
pub const RECORD: &str = "record.json";
/// The name of the report among a run's files.
pub const REPORT: &str = "report.md";

/// Where a run is or will be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folder {
    /// `…/wandb/offline-run-YYYYMMDD_HHMMSS-ID`, absolute.
    pub path: PathBuf,
    id: String,
}

// === impl Folder ===

impl Folder {
    /// The folder that is there for an id, else one that is named after the run's begin: late
    /// data may move that, but must not give the run a second folder.
    pub fn of(dir: &Path, id: &str, began: Timestamp) -> Result<Self, Failure> {
        let found = existing(dir, id).map_err(|e| Failure::io("cannot read", dir, &e))?;
        let name =
            found.unwrap_or_else(|| format!("{PREFIX}{}-{id}", began.strftime("%Y%m%d_%H%M%S")));
        Ok(Folder { path: dir.join(name), id: id.to_owned() })
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb", self.id))
    }

    /// The mark that the client leaves when it has uploaded the run.
    pub fn mark(&self) -> PathBuf {
        self.path.join(format!("run-{}.wandb.synced", self.id))
    }

    /// Whether a record belongs into it: not when it holds that of a later position.
    pub fn takes(&self, record: &RunRecord) -> bool {
        let Ok(bytes) = fs::read(self.path.join("files").join(RECORD)) else { return true };
        let Ok(held) = serde_json::from_slice::<RunRecord>(&bytes) else { return true };
        held.position() <= record.position()
    }

    /// Writes the run, unless it is there already, byte for byte.
    pub fn write(&self, log: &[u8], files: &[(&str, Vec<u8>)]) -> Result<(), Failure> {
        if self.holds(log, files) {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        // The dot keeps `wandb sync` from taking it for a run.
        let staged = dir.join(format!(".armspan-{}", self.id));
        let _lock = locked(dir).map_err(|error| Failure::io("cannot lock", dir, &error))?;
        self.stage(&staged, log, files)
            .and_then(|()| self.put(&staged))
            .and_then(|()| remove(&staged))
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(|error| Failure::io("cannot write the run", &self.path, &error))
    }

    fn holds(&self, log: &[u8], files: &[(&str, Vec<u8>)]) -> bool {
        let same = |path: PathBuf, bytes: &[u8]| fs::read(path).is_ok_and(|held| held == bytes);
        let inner = self.path.join("files");
        same(self.log(), log) && files.iter().all(|(name, bytes)| same(inner.join(name), bytes))
    }

    fn stage(&self, staged: &Path, log: &[u8], files: &[(&str, Vec<u8>)]) -> io::Result<()> {
        remove(staged)?;
        let inner = staged.join("files");
        fs::create_dir_all(&inner)?;
        fs::create_dir_all(staged.join("logs"))?;
        for (name, bytes) in files {
            write(&inner.join(name), bytes)?;
        }
        let name = self.log();
        write(&staged.join(name.file_name().unwrap_or_default()), log)?;
        File::open(&inner)?.sync_all()?;
        File::open(staged)?.sync_all()
    }

    /// Puts it in place; what was there is in `staged` afterwards.
    fn put(&self, staged: &Path) -> io::Result<()> {
        match renameat_with(CWD, staged, CWD, &self.path, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::NOENT) => {}
            // The file system cannot exchange: between the two steps a reader sees no run, and
            // after a crash between them the same item comes again.
            Err(_) => remove(&self.path)?,
        }
        fs::rename(staged, &self.path)
    }
}

/// A server and an export may write the same run: until the lock is dropped, one of them does.
fn locked(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let lock = File::create(dir.join(".armspan.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

fn existing(dir: &Path, id: &str) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut found = None;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let own = name.strip_prefix(PREFIX).and_then(|rest| rest.get(TIME_LENGTH..)) == Some(id);
        // Of several the oldest, whatever the order of the folder.
        if own && found.as_ref().is_none_or(|other| name < *other) {
            found = Some(name);
        }
    }
    Ok(found)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
