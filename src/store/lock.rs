//! One server per data folder: an advisory lock on `DIR/lock`, gone with the process that has it.

use super::Error;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

/// Holds the folder until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a data folder, which is created when it is missing.
    pub fn take(dir: &Path) -> Result<Lock, Error> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("cannot create", dir, e))?;
        let path = dir.join("lock");
        let wrap = |error| Error::io("cannot lock", &path, error);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(wrap)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked { path: dir.to_owned(), pid: holder(&mut file) });
            }
            Err(error) => return Err(wrap(error.into())),
        }
        // Only for the message that a second server gives; the lock does not rest on it.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Lock { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_folder() {
        let dir = tempfile::TempDir::new().expect("dir");
        let first = Lock::take(dir.path()).expect("free");
        let message = Lock::take(dir.path()).expect_err("taken").to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert!(message.contains("--data"), "{message}");
        drop(first);
        Lock::take(dir.path()).expect("free again");
    }
}
