//! A temporary folder that goes with its value.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names that are tried: those of processes that were killed may be taken.
const TRIES: u32 = 1_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The folder; only its owner may look into it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

// === impl Scratch ===

impl Scratch {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        let base = std::path::absolute(std::env::temp_dir())?;
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("armspan-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Scratch(path)),
            }
        }
        Err(io::Error::other("no free name"))
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.as_ref().join(name)
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
