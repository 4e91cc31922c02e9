//! No core dumps: the memory of a server holds prompts of requests in flight, and keys. The limit
//! is the process's own, so that it holds wherever it is started.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids them to this process and to what it starts.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed; where there is no such limit there is nothing to lower.
    let _ = setrlimit(Resource::Core, none);
}
