//! The log as a trait: the seam that doors append to and the engine reads from.
//! One node has the segments of `crate::log`; a fleet would have Kafka behind the same trait.

pub use super::appended::{Appended, Promise};
use super::entry::{Body, Position};
use super::id::Nanos;

/// Why the log did not take an entry. None of it was kept; a repeat is safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// More bytes wait than are allowed; come back in a second.
    #[error("the log's queue is full")]
    Busy,
    /// The tenant has sent what it may for now; come back in a second.
    #[error("the tenant's quota is used up; come back in a second")]
    Quota,
    /// The disk is full, read-only or out of file handles; ends by itself.
    #[error("the disk takes no more: free some space or make it writable")]
    Disk,
    /// A sync failed: nothing can be promised any more, the process will exit with 74.
    #[error("a sync of the log failed; this process is about to stop")]
    Failed,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Closing,
}

/// An ordered, durable sequence of entries.
pub trait Log: Send + Sync + 'static {
    /// Appends an entry. `stamp` is nanoseconds since the Unix epoch.
    fn append(&self, stamp: Nanos, body: Body) -> Appended;

    /// The next position, and how many bytes wait to be written or applied.
    fn depth(&self) -> (Position, u64);
}

/// Where the receiver's stamps come from: wall clock at start plus monotonic time since.
pub trait Clock: Send + Sync + 'static {
    /// Now, nanoseconds since the Unix epoch; never goes back.
    fn now(&self) -> Nanos;
}
