//! A thread that makes one file of others at a time.

use super::catalog::Catalog;
use super::table::Table;
use crate::model::shelf::{Family, ShelfError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;

/// What is to be made.
pub trait Job: Send + 'static {
    /// The files whose place it takes.
    fn inputs(&self) -> Vec<u64>;

    /// Makes it, durable; gives up when it should stop.
    fn make(&self, path: &Path, number: u64, stop: &AtomicBool) -> Result<Made, ShelfError>;
}

/// What was made.
pub enum Made {
    /// Nothing was left of the inputs.
    Nothing,
    /// One of tables.
    Table(Box<Table>),
    /// One of catalogs, and of tables that had none.
    Catalog(Box<Catalog>),
}

/// A job that ended.
pub struct Done {
    /// Of which family.
    pub family: Family,
    /// See [`Job::inputs`].
    pub inputs: Vec<u64>,
    /// What came of it.
    pub made: Result<Made, ShelfError>,
}

/// See the module.
#[derive(Default)]
pub struct Worker {
    running: Option<Running>,
    stop: Arc<AtomicBool>,
}

struct Running {
    number: u64,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

// === impl Worker ===

impl Worker {
    /// The number of the file that is being written, while a job runs.
    pub fn writing(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.number)
    }

    /// The job that ended, once.
    pub fn done(&mut self) -> Option<Done> {
        let got = self.running.as_ref()?.done.try_recv();
        if !matches!(got, Err(TryRecvError::Empty)) {
            self.running = None;
        }
        got.ok()
    }

    /// Begins a job.
    pub fn start(
        &mut self,
        family: Family,
        number: u64,
        path: PathBuf,
        job: Box<dyn Job>,
    ) -> std::io::Result<()> {
        let (to, done) = channel();
        let stop = self.stop.clone();
        let work = move || {
            let made = job.make(&path, number, &stop);
            if !matches!(made, Ok(Made::Table(_) | Made::Catalog(_))) {
                let _ = std::fs::remove_file(&path);
            }
            // Nobody waits any more when the process ends.
            let _ = to.send(Done { family, inputs: job.inputs(), made });
        };
        let thread = std::thread::Builder::new().name("merge".into()).spawn(work)?;
        self.running = Some(Running { number, done, thread });
        Ok(())
    }
}

impl Drop for Worker {
    /// Whoever opens the folder next must be the only one who writes there.
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
    }
}
