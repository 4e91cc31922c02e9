//! Places of connections and requests at a door. When all places are taken, who has been silent
//! longest gives up its place: first those without a request, then those whose body does not come.
//! Strangers who open connections and say nothing keep nobody out. Says, now and then, how often
//! that happened.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Connections at once.
const CONNECTIONS_MAX: usize = 4096;
/// Requests at once over all connections: each may hold as much in headers as is allowed. Above it,
/// those whose body has not come for [`BODY_PATIENCE`] are cut; when there are none, or half as many
/// more run, new ones are told to come back.
const REQUESTS_MAX: usize = 1024;
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// Connections whose frames may be large: what a request has in one frame need not be copied
/// together, but each connection may hold a frame that is not yet whole.
const WIDE_MAX: usize = 16;
/// How many places are made free at once; looking for the oldest costs as much as one.
const FREED_AT_ONCE: usize = 64;
/// The pause between two lines that say so.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The places of one door; clones share them.
#[derive(Clone)]
pub struct Seats {
    shared: Arc<Shared>,
    connections_max: usize,
}

struct Shared {
    began: Instant,
    table: Mutex<Table>,
    running: AtomicUsize,
    wide: AtomicUsize,
    freed: AtomicU64,
    refused: AtomicU64,
    told: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Arc<Place>>,
}

struct Place {
    /// Milliseconds since the door opened: when its client came, or its last request began to run
    /// alone or ended.
    heard: AtomicU64,
    running: AtomicUsize,
    /// Of these, whose body has not yet come.
    reading: AtomicUsize,
    leave: Notify,
}

/// A connection's place, free again when it is dropped.
pub struct Seat {
    seats: Seats,
    id: u64,
    place: Arc<Place>,
    wide: bool,
}

/// A request that runs, until it is dropped.
pub struct Running {
    shared: Arc<Shared>,
    place: Arc<Place>,
}

/// A body that has not yet come, until it is dropped.
pub struct Reading(Arc<Place>);

// === impl Seats ===

impl Seats {
    /// All free.
    pub fn new() -> Seats {
        Seats::with(CONNECTIONS_MAX)
    }

    fn with(connections_max: usize) -> Seats {
        let shared = Shared {
            began: Instant::now(),
            table: Mutex::default(),
            running: AtomicUsize::new(0),
            wide: AtomicUsize::new(0),
            freed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            told: Mutex::default(),
        };
        Seats { shared: Arc::new(shared), connections_max }
    }

    /// A place for a new connection; there always is one.
    pub fn take(&self) -> Arc<Seat> {
        let heard = AtomicU64::new(self.shared.now());
        let (running, reading) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let place = Arc::new(Place { heard, running, reading, leave: Notify::new() });
        let mut table = self.shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.taken.len() >= self.connections_max {
            let freed = table.free(FREED_AT_ONCE.min(self.connections_max), |_| true);
            self.shared.freed.fetch_add(freed, Relaxed);
        }
        let id = table.next;
        table.next += 1;
        table.taken.insert(id, place.clone());
        drop(table);
        self.shared.tell();
        let wide = self.shared.wide.fetch_add(1, Relaxed) < WIDE_MAX;
        if !wide {
            self.shared.wide.fetch_sub(1, Relaxed);
        }
        Arc::new(Seat { seats: self.clone(), id, place, wide })
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Cuts connections whose bodies do not come; says whether there were any.
    fn cut_slow(&self) -> bool {
        let patience = self.now().saturating_sub(BODY_PATIENCE.as_millis() as u64);
        let slow = |place: &Place| place.order().0 == 1 && place.heard.load(Relaxed) < patience;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let freed = table.free(FREED_AT_ONCE, slow);
        self.freed.fetch_add(freed, Relaxed);
        freed > 0
    }

    fn tell(&self) {
        if self.freed.load(Relaxed) == 0 && self.refused.load(Relaxed) == 0 {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            return;
        }
        *told = Some(Instant::now());
        let (freed, refused) = (self.freed.swap(0, Relaxed), self.refused.swap(0, Relaxed));
        tracing::warn!(
            freed,
            refused,
            "a door is full: silent connections were cut, or requests \
                                        told to come back"
        );
    }
}

impl Table {
    /// Frees the places of those who have been silent longest, of those that are meant; says how
    /// many.
    fn free(&mut self, most: usize, meant: impl Fn(&Place) -> bool) -> u64 {
        let meant = self.taken.iter().filter(|(_, place)| meant(place));
        let mut all: Vec<_> = meant.map(|(id, place)| (place.order(), *id)).collect();
        if most < all.len() {
            all.select_nth_unstable(most);
            all.truncate(most);
        }
        for (_, id) in &all {
            if let Some(place) = self.taken.remove(id) {
                place.leave.notify_one();
            }
        }
        all.len() as u64
    }
}

impl Place {
    /// Who goes first: idle ones, those whose body does not come, those we are working for.
    fn order(&self) -> (u8, u64) {
        let class = match (self.running.load(Relaxed), self.reading.load(Relaxed)) {
            (0, _) => 0,
            (_, 0) => 2,
            _ => 1,
        };
        (class, self.heard.load(Relaxed))
    }
}

// === impl Seat ===

impl Seat {
    /// Whether its frames may be large: those of the first few connections.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// Resolves when the place is needed.
    pub async fn needed(&self) {
        self.place.leave.notified().await;
    }

    /// A request begins, and its body is still to come; nothing when too many run.
    pub fn begin(&self) -> Option<(Running, Reading)> {
        let (shared, place) = (&self.seats.shared, &self.place);
        let running = shared.running.fetch_add(1, Relaxed);
        if running >= REQUESTS_MAX && (running >= REQUESTS_MAX / 2 * 3 || !shared.cut_slow()) {
            shared.running.fetch_sub(1, Relaxed);
            shared.refused.fetch_add(1, Relaxed);
            shared.tell();
            return None;
        }
        place.reading.fetch_add(1, Relaxed);
        if place.running.fetch_add(1, Relaxed) == 0 {
            place.heard.store(shared.now(), Relaxed);
        }
        Some((Running { shared: shared.clone(), place: place.clone() }, Reading(place.clone())))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.wide {
            self.seats.shared.wide.fetch_sub(1, Relaxed);
        }
        let table = &self.seats.shared.table;
        table.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Relaxed);
        self.place.running.fetch_sub(1, Relaxed);
        self.place.heard.store(self.shared.now(), Relaxed);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn sits(seat: &Seat) -> bool {
        seat.needed().now_or_never().is_none()
    }

    fn free(seats: &Seats, most: usize) -> u64 {
        seats.shared.table.lock().expect("lock").free(most, |_| true)
    }

    #[test]
    fn the_silent_ones_leave_first_and_those_we_work_for_last() {
        let seats = Seats::with(4);
        let seated: Vec<_> = (0..4).map(|_| seats.take()).collect();
        let (working, read) = seated[0].begin().expect("one runs");
        drop(read);
        let slow = seated[1].begin().expect("one runs");
        for (at, seat) in seated.iter().enumerate() {
            seat.place.heard.store(at as u64, Relaxed);
        }
        let sitting = || seated.iter().map(|seat| sits(seat)).collect::<Vec<_>>();
        for expected in [[true, true, false, true], [true, true, true, false]] {
            assert_eq!(free(&seats, 1), 1);
            assert_eq!(sitting(), expected);
        }
        assert_eq!(free(&seats, 1), 1);
        assert_eq!(sitting(), [true, false, true, true], "its body did not come");
        assert_eq!(free(&seats, 9), 1, "nobody else was left");
        drop((working, slow, seated));
        assert_eq!(seats.shared.running.load(Relaxed), 0);
    }

    #[test]
    fn few_are_wide_and_their_places_are_given_on() {
        let seats = Seats::with(100);
        let mut seated: Vec<_> = (0..WIDE_MAX + 3).map(|_| seats.take()).collect();
        let wide = |seated: &[Arc<Seat>]| seated.iter().filter(|seat| seat.is_wide()).count();
        assert_eq!(wide(&seated), WIDE_MAX);
        drop((seated.pop(), seated.remove(0)));
        assert_eq!(wide(&seated), WIDE_MAX - 1);
        assert!(seats.take().is_wide());
        drop(seated);
        assert_eq!(seats.shared.wide.load(Relaxed), 0);
    }

    #[test]
    fn there_is_always_a_place_and_it_is_free_again() {
        let seats = Seats::with(8);
        let seated: Vec<_> = (0..20).map(|_| seats.take()).collect();
        assert!(seats.shared.table.lock().expect("lock").taken.len() <= 8);
        assert!(sits(&seated[19]));
        drop(seated);
        assert!(seats.shared.table.lock().expect("lock").taken.is_empty());
    }

    #[test]
    fn requests_are_bounded_over_all_connections() {
        let seats = Seats::with(3);
        let (one, other) = (seats.take(), seats.take());
        let mut running: Vec<_> = (0..REQUESTS_MAX).map(|_| one.begin().expect("fits")).collect();
        assert!(other.begin().is_none(), "their bodies may still come");
        running.pop();
        assert!(other.begin().is_some());
        running.push(one.begin().expect("fits again"));
        std::thread::sleep(BODY_PATIENCE + Duration::from_millis(50));
        assert!(other.begin().is_some() && !sits(&one), "the slow one had to go");
    }
}
