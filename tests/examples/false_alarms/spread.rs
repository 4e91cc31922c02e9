//! Work on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does something for each number, on some threads; answers are in the order of numbers.
pub fn spread<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut own = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return own;
            }
            own.push((number, work(number)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a stream panicked")).collect()
    });
    all.sort_by_key(|pair| pair.0);
    all.into_iter().map(|pair| pair.1).collect()
}
