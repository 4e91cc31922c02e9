//! A log in a folder, with somebody who takes what is durable, as the engine does.

use armspan::log::{Config, LocalLog, Next};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A log that is open, and its reader.
pub struct Working {
    /// Takes entries.
    pub log: LocalLog,
    reader: JoinHandle<()>,
}

impl Working {
    /// In this folder, with segments of so many bytes.
    pub fn open(folder: &Path, segment_bytes: u64) -> Working {
        let config = Config {
            dir: folder.to_owned(),
            segment_bytes,
            queue_bytes_max: 32 << 20,
            disk_free_min: 0,
            accept_loss: false,
        };
        let opened = LocalLog::open(config, Arc::default()).expect("a log");
        let (log, mut tail) = opened.start().expect("started");
        let reader = std::thread::spawn(move || {
            while !matches!(tail.recv_timeout(Duration::from_millis(50)), Next::Closed) {}
        });
        Working { log, reader }
    }

    /// Closes it, and waits until all was read.
    pub fn close(self) {
        self.log.close();
        self.reader.join().expect("the reader");
    }
}
