//! What stands beside the log in a data folder: snapshots of the engine, the lock that keeps a
//! second server out, and the address of the server that runs.

mod lock;
mod outbox;
mod sealed;
mod server;
mod snapshot;
mod steady;

pub use lock::Lock;
pub use outbox::{Outbox, Put};
pub use sealed::{Frozen, Manifest, Sealed};
pub use server::{Scheme, Server};
pub use snapshot::{Draft, covered, newest, save};

use crate::fail;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use steady::Steady;

/// Why something beside the log cannot be read or written.
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
    /// Another process has the folder.
    #[error(
        "{} is in use by another armspan{}; stop it, or give this one its own folder with --data",
        path.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// Who has it, when it says so.
        pid: Option<u32>,
    },
}

impl Error {
    fn outbox(what: &'static str, path: &Path, source: fjall::Error) -> Error {
        Error::io(what, path, std::io::Error::other(source))
    }

    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io { what, path: path.to_owned(), source }
    }
}

/// Writes a file so that after a crash there is the old one or the new one, whole.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut beside = Beside::begin(path)?;
    write(beside.file.file())?;
    beside.commit()
}

/// A file that is written beside the one that it is to replace.
struct Beside {
    file: Steady,
    path: PathBuf,
}

impl Beside {
    fn begin(path: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let file = options.open(path.with_extension("tmp"))?;
        Ok(Beside { file: Steady::new(file), path: path.to_owned() })
    }

    /// Syncs it, renames it, and syncs the folder.
    fn commit(mut self) -> std::io::Result<()> {
        self.file.file().sync_all()?;
        fail::point("store.rename");
        std::fs::rename(self.path.with_extension("tmp"), &self.path)?;
        fail::point("store.renamed");
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
