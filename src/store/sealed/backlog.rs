//! Batches on their way to disk. A thread writes them one after the other, so that whoever puts
//! them goes on at once; until then they are answered from memory. What waits is bounded: who
//! puts more waits, too. The same thread removes files that nothing needs any more.

use super::frozen::Named;
use super::table::Table;
use super::volume::Volumes;
use crate::fail;
use crate::model::shelf::{Batch, Family, Record, ShelfError};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of batches that wait; one alone may be larger.
pub const BYTES_MAX: u64 = 32 << 20;
/// What a record takes in memory beside its bytes.
const RECORD_BYTES: u64 = 64;
/// Before a full disk is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What waits, and the thread that writes it. It is started by the first job.
pub struct Backlog {
    folder: PathBuf,
    waiting: VecDeque<Waiting>,
    bytes: u64,
    thread: Option<(Sender<Job>, JoinHandle<()>)>,
    stop: Arc<AtomicBool>,
}

/// A batch that is not known to be written.
pub struct Waiting {
    /// The number of its table.
    pub number: u64,
    /// What is in it.
    pub batch: Arc<Batch>,
    /// What becomes of it.
    pub outcome: Arc<Outcome>,
}

/// What became of a batch: told by the thread, asked by the engine's and by a snapshot's.
#[derive(Default)]
pub struct Outcome {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Waits,
    /// The disk has no room; it is tried again.
    Refused(String),
    /// The table, until it is taken, what it is called, and its file.
    Written(Option<Box<Table>>, Named, Arc<File>),
    Failed(ShelfError),
}

enum Job {
    Write {
        number: u64,
        batch: Arc<Batch>,
        outcome: Arc<Outcome>,
    },
    Clean {
        needed: BTreeSet<u64>,
        below: u64,
    },
    /// Many small pieces of memory: to give them back takes a while.
    Forget(Arc<Batch>),
    /// Tells when all before it is done.
    #[cfg(test)]
    Tell(Sender<()>),
    /// Goes on when the other end is dropped.
    #[cfg(test)]
    Hold(Receiver<()>),
}

// === impl Backlog ===

impl Backlog {
    /// Into a folder.
    pub fn new(folder: PathBuf) -> Self {
        let (waiting, thread, stop) = Default::default();
        Backlog { folder, waiting, bytes: 0, thread, stop }
    }

    /// Whether a batch finds no room.
    pub fn is_full_for(&self, batch: &Batch) -> bool {
        !self.waiting.is_empty() && self.bytes + bytes_of(batch) > BYTES_MAX
    }

    /// Has a batch written as a table.
    pub fn push(&mut self, number: u64, batch: &Arc<Batch>) -> Result<(), ShelfError> {
        let (batch, outcome) = (batch.clone(), Arc::<Outcome>::default());
        self.bytes += bytes_of(&batch);
        let (writes, tells) = (batch.clone(), outcome.clone());
        self.waiting.push_back(Waiting { number, batch, outcome });
        self.send(Job::Write { number, batch: writes, outcome: tells })
    }

    /// Has files removed whose number is not needed, and below this one.
    pub fn clean(&mut self, needed: BTreeSet<u64>, below: u64) -> Result<(), ShelfError> {
        self.send(Job::Clean { needed, below })
    }

    /// The next table that is written, and its family. Those of a family come in their order.
    pub fn written(&mut self) -> Result<Option<(Family, Table)>, ShelfError> {
        let Some(oldest) = self.waiting.front() else { return Ok(None) };
        let table = match &mut *oldest.outcome.state() {
            State::Written(table, ..) => table.take(),
            State::Failed(error) => return Err(error.clone()),
            State::Waits | State::Refused(_) => None,
        };
        let Some(table) = table else { return Ok(None) };
        let Some(oldest) = self.waiting.pop_front() else { return Ok(None) };
        let family = oldest.batch.family;
        self.bytes -= bytes_of(&oldest.batch);
        self.send(Job::Forget(oldest.batch))?;
        Ok(Some((family, *table)))
    }

    /// Waits for the oldest batch.
    pub fn wait(&self) -> Result<(), ShelfError> {
        self.waiting.front().map_or(Ok(()), |oldest| oldest.outcome.wait().map(drop))
    }

    /// What waits of a family, the oldest first.
    pub fn of(&self, family: Family) -> impl DoubleEndedIterator<Item = &Waiting> {
        self.waiting.iter().filter(move |one| one.batch.family == family)
    }

    /// What becomes of all that wait, the oldest first.
    pub fn outcomes(&self) -> impl Iterator<Item = Arc<Outcome>> {
        self.waiting.iter().map(|one| one.outcome.clone())
    }

    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Waits until the thread has nothing to do.
    #[cfg(test)]
    pub fn settle(&mut self) -> Result<(), ShelfError> {
        let (to, told) = channel();
        self.send(Job::Tell(to))?;
        told.recv().map_err(|_| ShelfError::Failed("the thread that writes has ended".into()))
    }

    /// Has the thread stand still until the other end is dropped.
    #[cfg(test)]
    pub fn hold(&mut self, until: Receiver<()>) {
        self.send(Job::Hold(until)).expect("sent");
    }

    fn send(&mut self, job: Job) -> Result<(), ShelfError> {
        if self.thread.is_none() {
            let (to, jobs) = channel();
            let (stop, volumes) = (self.stop.clone(), Volumes::new(self.folder.clone()));
            let thread = std::thread::Builder::new().name("seal".into());
            self.thread = Some((to, thread.spawn(move || run(&jobs, volumes, &stop))?));
        }
        let sent = self.thread.as_ref().is_some_and(|thread| thread.0.send(job).is_ok());
        let gone = || ShelfError::Failed("the thread that writes sealed traces has ended".into());
        sent.then_some(()).ok_or_else(gone)
    }
}

impl Drop for Backlog {
    /// Whoever opens the folder next must be the only one who writes there. What is not written
    /// is in the log.
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some((to, thread)) = self.thread.take() {
            drop(to);
            let _ = thread.join();
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// The record of a key.
    pub fn get(&self, key: u128) -> Option<Record> {
        let Batch { part, records, .. } = &*self.batch;
        let at = records.binary_search_by_key(&key, |record| record.0).ok()?;
        Some(Record { key, part: *part, bytes: records[at].1.to_vec() })
    }
}

// === impl Outcome ===

impl Outcome {
    /// Waits until the table is written; gives what it is called, and its file. A disk without room
    /// is an error, though it is tried again.
    pub fn wait(&self) -> Result<(Named, Arc<File>), ShelfError> {
        let mut state = self.state();
        loop {
            match &*state {
                State::Waits => {}
                State::Refused(text) => return Err(ShelfError::Full(text.clone())),
                State::Written(_, named, file) => return Ok((*named, file.clone())),
                State::Failed(error) => return Err(error.clone()),
            }
            state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self, what: State) {
        *self.state() = what;
        self.told.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(batch: &Batch) -> u64 {
    batch.records.iter().map(|record| record.1.len() as u64 + RECORD_BYTES).sum()
}

fn run(jobs: &Receiver<Job>, mut volumes: Volumes, stop: &AtomicBool) {
    for job in jobs {
        if stop.load(Relaxed) {
            return;
        }
        match job {
            Job::Write { number, batch, outcome } => {
                outcome.tell(persist(&mut volumes, number, &batch, &outcome, stop));
            }
            Job::Clean { mut needed, below } => {
                needed.extend(volumes.numbers(&needed));
                if let Err(error) = clean(volumes.folder(), &needed, below) {
                    tracing::warn!(%error, "sealed tables that nothing needs were not removed");
                }
            }
            Job::Forget(batch) => drop(batch),
            #[cfg(test)]
            Job::Tell(to) => drop(to.send(())),
            #[cfg(test)]
            Job::Hold(until) => drop(until.recv()),
        }
    }
}

/// Writes a table. A full disk is waited for.
fn persist(
    volumes: &mut Volumes,
    number: u64,
    batch: &Batch,
    outcome: &Outcome,
    stop: &AtomicBool,
) -> State {
    let mut told = false;
    loop {
        fail::point("seal.put");
        let written = volumes.append(batch, number);
        fail::point("seal.written");
        let error = match written {
            Ok(table) => {
                let (named, file) = (Named::of(batch.family, &table), table.extent.file.clone());
                return State::Written(Some(Box::new(table)), named, file);
            }
            Err(error) => error,
        };
        let ShelfError::Full(text) = &error else { return State::Failed(error) };
        if !told {
            tracing::error!(%error, "sealed traces find no room on disk; waiting for it");
            told = true;
        }
        if stop.load(Relaxed) {
            return State::Failed(error);
        }
        outcome.tell(State::Refused(text.clone()));
        std::thread::sleep(PAUSE);
    }
}

fn clean(folder: &Path, needed: &BTreeSet<u64>, below: u64) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        fail::point("seal.clean");
        if super::number_of(&path).is_some_and(|n| n < below && !needed.contains(&n)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
