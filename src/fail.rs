//! Fail points: named places where a process dies when it is told to, so that tests can prove
//! that nothing is lost there. `ARMSPAN_FAILPOINTS=log.sync=3,outbox.put=1` kills it, as the
//! system would, at the third time that it is about to sync the log or the first time that it puts
//! into the outbox. A release build has none of this: [`point`] is empty there.

/// All names. A new place needs a line here and a call of [`point`].
pub const POINTS: [&str; 23] = [
    // A group of entries is about to be written, is written, is durable but not yet answered.
    "log.append",
    "log.sync",
    "log.answer",
    // A segment has its name, which is not durable yet.
    "log.rotate",
    // A durable entry is about to be applied, was applied.
    "engine.apply",
    "engine.applied",
    // What leaves memory is about to be written, is written; tables are about to be synced, one
    // took the place of several, those that nothing needs are about to go.
    "seal.put",
    "seal.written",
    "seal.sync",
    "seal.merged",
    "seal.clean",
    // A snapshot is about to be made, written, and was written.
    "snapshot.state",
    "snapshot.write",
    "snapshot.written",
    // A file is whole beside the one that it replaces; it took its place, not yet durably.
    "store.rename",
    "store.renamed",
    // An old segment is about to go; it is gone, not yet durably.
    "log.truncate",
    "log.truncated",
    // Records and events are about to be put, were put; are about to be synced.
    "outbox.put",
    "outbox.stored",
    "outbox.sync",
    // A sink has it, and nobody noted it yet; it was noted.
    "export.cursor",
    "export.noted",
];

/// A place where the process dies when it was told to.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::hit(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// How many times each point may still be passed, and then no more.
    static ARMED: OnceLock<BTreeMap<String, AtomicU64>> = OnceLock::new();

    pub fn hit(name: &'static str) {
        debug_assert!(super::POINTS.contains(&name), "{name} is not listed");
        let armed =
            ARMED.get_or_init(|| parse(&std::env::var("ARMSPAN_FAILPOINTS").unwrap_or_default()));
        if armed.get(name).is_some_and(|left| left.fetch_sub(1, SeqCst) == 1) {
            die();
        }
    }

    pub fn parse(text: &str) -> BTreeMap<String, AtomicU64> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        let counted = pairs.filter_map(|(name, count)| Some((name, count.trim().parse().ok()?)));
        counted.map(|(name, count): (_, u64)| (name.trim().to_owned(), count.into())).collect()
    }

    /// As `kill -9` does it: no destructor runs, nothing is flushed.
    fn die() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn points_are_named_once_and_counted() {
        let names: std::collections::BTreeSet<_> = super::POINTS.into_iter().collect();
        assert_eq!(names.len(), super::POINTS.len());
        let armed = super::armed::parse("log.sync=3, outbox.put = 1,nonsense,x=y");
        let counts: Vec<_> = armed
            .iter()
            .map(|(name, count)| (name.as_str(), count.load(std::sync::atomic::Ordering::SeqCst)))
            .collect();
        assert_eq!(counts, [("log.sync", 3), ("outbox.put", 1)]);
    }
}
