//! Admission: bytes of requests between their first byte and their answer, bounded over all
//! connections. A request takes its bytes before they are read, and more as it grows.

use super::denied::Denied;
use crate::model::Meter;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Gives out permits; the count itself is [`Meter::in_flight_bytes`].
#[derive(Clone)]
pub struct Gate {
    meter: Arc<Meter>,
    bytes_max: u64,
}

/// The bytes that one request holds; given back when it is dropped.
pub struct Permit {
    gate: Gate,
    bytes: u64,
}

impl Gate {
    /// At most so many bytes at once.
    pub fn new(meter: Arc<Meter>, bytes_max: usize) -> Self {
        Gate { meter, bytes_max: bytes_max as u64 }
    }

    /// A permit for nothing yet.
    pub fn permit(&self) -> Permit {
        Permit { gate: self.clone(), bytes: 0 }
    }
}

impl Permit {
    /// Takes so many bytes more. A request that is alone always gets them: its size is bounded
    /// elsewhere, and otherwise it would be refused for ever.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Denied> {
        let (count, more) = (&self.gate.meter.in_flight_bytes, bytes as u64);
        let before = count.fetch_add(more, Relaxed);
        if before > self.bytes && before + more > self.gate.bytes_max {
            count.fetch_sub(more, Relaxed);
            return Err(Denied::Full);
        }
        self.bytes += more;
        Ok(())
    }

    /// Takes what is missing to hold so many.
    pub fn reach(&mut self, bytes: usize) -> Result<(), Denied> {
        self.grow(bytes.saturating_sub(self.bytes as usize))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.meter.in_flight_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_over_all_and_is_given_back() {
        let meter = Arc::new(Meter::default());
        let gate = Gate::new(meter.clone(), 100);
        let (mut one, mut two) = (gate.permit(), gate.permit());
        one.grow(60).expect("fits");
        two.reach(40).expect("fits");
        two.reach(30).expect("has them");
        assert!(matches!(two.grow(1), Err(Denied::Full)));
        drop(one);
        two.grow(500).expect("alone");
        assert!(gate.permit().grow(1).is_err());
        drop(two);
        assert_eq!(meter.in_flight_bytes.load(Relaxed), 0);
    }
}
