//! The few things the log asks of a file system, in one place so that tests can make them fail.
//! What is written here is durable only after `sync` (a file) and `sync_dir` (a name).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A handle to the file system.
#[derive(Clone, Default)]
pub struct Files {
    /// What goes wrong, in tests.
    #[cfg(test)]
    pub faults: std::sync::Arc<Faults>,
}

/// Switches for tests: each makes one kind of operation fail while it is set.
#[cfg(test)]
#[derive(Default)]
pub struct Faults {
    /// Writes fail, as on a full disk, after half of the bytes.
    pub write: std::sync::atomic::AtomicBool,
    /// Syncs fail.
    pub sync: std::sync::atomic::AtomicBool,
    /// Creating files fails.
    pub create: std::sync::atomic::AtomicBool,
    /// How many syncs there were.
    pub syncs: std::sync::atomic::AtomicU64,
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

impl Files {
    /// Writes all bytes at an offset.
    pub fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.faults.write.load(std::sync::atomic::Ordering::SeqCst) {
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, offset)
    }

    /// Makes what was written to a file durable.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::SeqCst;
            self.faults.syncs.fetch_add(1, SeqCst);
            if self.faults.sync.load(SeqCst) {
                return Err(io::Error::other("injected"));
            }
        }
        file.sync_data()
    }

    /// Makes names in a folder durable: created, renamed and removed ones.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// A new file of `bytes` bytes, zeros and `last` at its end, written and synced; leaves
    /// nothing behind when it fails.
    pub fn zeros(&self, path: &Path, bytes: u64, last: &[u8]) -> io::Result<File> {
        #[cfg(test)]
        if self.faults.create.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = self.try_zeros(path, bytes, last);
        if made.is_err() {
            let _ = std::fs::remove_file(path);
        }
        made
    }

    /// Zeroes a file from an offset up to a length and syncs it.
    pub fn clear(&self, file: &File, mut from: u64, to: u64) -> io::Result<()> {
        while from < to {
            let count = (to - from).min(ZEROS.len() as u64);
            file.write_all_at(&ZEROS[..count as usize], from)?;
            from += count;
        }
        file.sync_all()
    }

    /// Free bytes for us on the file system of a folder.
    pub fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn try_zeros(&self, path: &Path, bytes: u64, last: &[u8]) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        let mut left = bytes.saturating_sub(last.len() as u64);
        while left > 0 {
            let count = left.min(ZEROS.len() as u64);
            file.write_all(&ZEROS[..count as usize])?;
            left -= count;
        }
        file.write_all(last)?;
        file.sync_all()?;
        Ok(file)
    }
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

/// Reads up to `buffer.len()` bytes at an offset; fewer only at the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
