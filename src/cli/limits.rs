//! Limits of the process. No core dumps: the memory of a server holds prompts of requests in
//! flight, and keys. And as many open files as the system allows anyway, because each connection
//! is one: the usual 1,024 are fewer than the doors have places.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for all places of all doors and for our own files.
const FILES_MAX: u64 = 65_536;

/// Puts them in force, for this process and what it starts.
pub fn set() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed, and raising the soft one up to the hard one is; where
    // a system has no such limit there is nothing to change.
    let _ = setrlimit(Resource::Core, none);
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(FILES_MAX).min(FILES_MAX);
    if files.current.is_some_and(|now| now < most) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..files });
    }
}
