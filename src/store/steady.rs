//! Writes a large file so that the disk is never busy with it for long: the log beside it waits for
//! its own syncs, and senders for the log.

use std::fs::File;
use std::io::Write;

/// Bytes after which what was written is synced.
const AT_ONCE: u64 = 1 << 20;

/// See the module.
pub struct Steady {
    file: File,
    unsynced: u64,
}

impl Steady {
    /// Of a file to which all that is written goes.
    pub fn new(file: File) -> Self {
        Steady { file, unsynced: 0 }
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written as u64;
        if self.unsynced >= AT_ONCE {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    #[test]
    fn all_is_there() {
        let path = tempfile::NamedTempFile::new().expect("file");
        let mut steady = Steady::new(path.reopen().expect("file"));
        let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        steady.write_all(&bytes).expect("written");
        steady.write_all(b"end").expect("written");
        steady.file().seek(SeekFrom::Start(0)).expect("seeks");
        steady.write_all(b"new").expect("written");
        steady.flush().expect("flushed");
        let read = std::fs::read(path.path()).expect("read");
        assert_eq!(&read[..4], &[b'n', b'e', b'w', bytes[3]]);
        assert_eq!((&read[4..3_000_000], &read[3_000_000..]), (&bytes[4..], &b"end"[..]));
    }
}
