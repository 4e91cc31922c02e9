//! The database under an outbox: opened, opened again after the disk failed it, and made anew when
//! it is damaged. fjall takes nothing more after one write failed; a new opening reads what is there.

use super::{CACHE_BYTES, Error, JOURNAL_BYTES, MEMTABLE_BYTES, Outbox, row};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Bytes of values that are read at opening, the newest first, to see damage early.
const LOOK_BYTES_MAX: usize = 32 << 20;
/// How long an opening waits for those who are still reading.
const READERS: Duration = Duration::from_secs(5);
/// A file with this name says that damage was met while running.
const MARK: &str = "damaged";

/// An open database and its keyspaces.
pub struct Spaces {
    pub db: Database,
    pub items: Keyspace,
    pub records: Keyspace,
    pub latest: Keyspace,
    pub cursors: Keyspace,
    pub meta: Keyspace,
}

/// Spaces that can be opened again under those who use them.
pub struct Slot {
    path: PathBuf,
    open: RwLock<Option<Arc<Spaces>>>,
}

// === impl Spaces ===

impl Spaces {
    fn open(path: &Path) -> Result<Spaces, fjall::Error> {
        let builder = Database::builder(path).cache_size(CACHE_BYTES).worker_threads(1);
        let db = builder.max_journaling_size(JOURNAL_BYTES).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let space = |name: &str| db.keyspace(name, options);
        Ok(Spaces {
            items: space("items")?,
            records: space("records")?,
            latest: space("latest")?,
            cursors: space("cursors")?,
            meta: space("meta")?,
            db,
        })
    }

    /// Reads what is there, the newest first, up to a number of bytes.
    fn look(&self) -> Result<(), fjall::Error> {
        let mut left = LOOK_BYTES_MAX;
        for space in [&self.meta, &self.cursors, &self.items, &self.latest, &self.records] {
            for guard in space.iter().rev() {
                let value = guard.value()?;
                left = left.saturating_sub(value.len());
                if left == 0 {
                    return Ok(());
                }
            }
        }
        let items = self.items.iter().rev().take(1);
        for guard in items {
            let (key, value) = guard.into_inner()?;
            if row::item_key(&key).is_none() || zstd::decode_all(&value[..]).is_err() {
                return Err(fjall::Error::Unrecoverable);
            }
        }
        Ok(())
    }
}

// === impl Slot ===

impl Slot {
    /// Opens the database at a path; the error is fjall's own.
    fn new(path: &Path) -> Result<Slot, fjall::Error> {
        let spaces = Spaces::open(path)?;
        spaces.look()?;
        Ok(Slot { path: path.to_owned(), open: RwLock::new(Some(Arc::new(spaces))) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is open now.
    pub fn spaces(&self) -> Result<Arc<Spaces>, Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || std::io::Error::other("it could not be opened again yet");
        open.clone().ok_or_else(|| Error::io("cannot use", &self.path, closed()))
    }

    /// Closes and opens: what was not durable may be gone.
    fn reopen(&self) -> Result<(), Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        while open.as_ref().is_some_and(|spaces| Arc::strong_count(spaces) > 1) {
            if began.elapsed() > READERS {
                let busy = std::io::Error::other("it is still being read");
                return Err(Error::io("cannot open again", &self.path, busy));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        *open = None;
        let spaces = unpanicked(|| Spaces::open(&self.path));
        let spaces = spaces.map_err(|e| Error::outbox("cannot open again", &self.path, e))?;
        *open = Some(Arc::new(spaces));
        Ok(())
    }
}

impl Outbox {
    /// Opens or creates it under a data folder.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("outbox");
        let slot = unpanicked(|| Slot::new(&path));
        Outbox::over(slot.map_err(|e| Error::outbox("cannot open", &path, e))?)
    }

    /// The same; one that is damaged is moved to `outbox.damaged` and begun anew. Says whether.
    pub fn open_or_remake(dir: &Path) -> Result<(Self, Option<PathBuf>), Error> {
        let path = dir.join("outbox");
        let why = match unpanicked(|| Slot::new(&path)) {
            Ok(_) if path.join(MARK).exists() => "it was found damaged while running".to_owned(),
            Ok(slot) => return Ok((Outbox::over(slot)?, None)),
            Err(error) if is_damage(&error) => error.to_string(),
            Err(error) => return Err(Error::outbox("cannot open", &path, error)),
        };
        let aside = dir.join("outbox.damaged");
        let wrap = |error| Error::io("cannot move aside", &path, error);
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(wrap)?;
        }
        std::fs::rename(&path, &aside).map_err(wrap)?;
        tracing::error!(why, "the outbox is damaged and is begun anew; see {}", aside.display());
        Ok((Outbox::open(dir)?, Some(aside)))
    }

    /// After the disk failed it: what was put and not synced may be gone, and may be put again.
    pub fn reopen(&self) -> Result<(), Error> {
        self.slot.reopen()?;
        self.tell_newest()
    }

    /// Something in it cannot be read: the next start begins it anew.
    pub(super) fn mark_damaged(&self) {
        // When even that fails, the next read of it says so again.
        let _ = std::fs::write(self.path.join(MARK), b"");
    }
}

/// fjall may panic over bytes that it did not expect.
fn unpanicked<T>(open: impl FnOnce() -> Result<T, fjall::Error>) -> Result<T, fjall::Error> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or(Err(fjall::Error::Unrecoverable))
}

/// Whether an opening failed by what is in the files, not by what the system refuses for now.
fn is_damage(error: &fjall::Error) -> bool {
    let kind = match error {
        fjall::Error::Locked | fjall::Error::Poisoned => return false,
        fjall::Error::Io(error) => error.kind(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.kind(),
        _ => return true,
    };
    use ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound};
    matches!(
        kind,
        NotFound
            | InvalidData
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | ErrorKind::UnexpectedEof
            | ErrorKind::Other
            | ErrorKind::AlreadyExists
    )
}
