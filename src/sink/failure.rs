//! Why an item was not delivered, and whether to try again.

use std::time::Duration;

/// A delivery that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The tool is down, slow, or refuses everything for now: the same item is tried again, after
    /// a growing pause. Wrong credentials are of this kind: nothing is lost until they are right.
    #[error("{what}")]
    Later {
        /// What happened, on what, and what to do.
        what: String,
        /// Not before this time is over, when the tool said so.
        after: Option<Duration>,
    },
    /// The tool refuses this item and always will. It is passed over, counted and shown; after
    /// the cause is gone, `armspan export KIND --from …` delivers it.
    #[error("{what}")]
    Refused {
        /// What was wrong with it, and what to do.
        what: String,
    },
}

impl Failure {
    /// To be tried again.
    pub fn later(what: impl Into<String>) -> Self {
        Failure::Later { what: what.into(), after: None }
    }

    /// Not to be tried again.
    pub fn refused(what: impl Into<String>) -> Self {
        Failure::Refused { what: what.into() }
    }

    /// A file or folder that could not be read or written.
    pub fn io(what: &str, path: &std::path::Path, source: &std::io::Error) -> Self {
        Failure::later(format!("{what} {}: {source}", path.display()))
    }
}
