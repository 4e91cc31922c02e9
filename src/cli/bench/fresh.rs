//! What differs each time a span is sent: ids, users, times. A span is known by the number of its
//! request and its place in it; equal numbers give equal values, so that a resend is the same.

use super::args::Args;
use crate::cli::demo::random::Random;
use crate::model::{Nanos, SECOND};

/// Call lengths that are drawn once; a span takes one by its id.
const DURATIONS: usize = 4_096;
const DURATION_MEDIAN: f64 = 0.8 * SECOND as f64;
const DURATION_SIGMA: f64 = 0.6;
/// A prime above any number of users: steps of it visit all of them before one comes again.
const STRIDE: u64 = 2_654_435_761;
const SEED: u64 = 1;

/// The bytes of one span.
#[derive(Default)]
pub struct Fresh {
    /// Trace id, big-endian, as random as an SDK's.
    pub trace: [u8; 16],
    /// Span id.
    pub span: [u8; 8],
    /// Span id of what made the calls of a trace, which another service exports.
    pub parent: [u8; 8],
    /// Nanoseconds, little-endian.
    pub start: [u8; 8],
    /// Nanoseconds, little-endian.
    pub end: [u8; 8],
    /// Hex digits of the response's id.
    pub response: [u8; 16],
    /// Digits of the user.
    pub user: [u8; 8],
    /// Hex digits of the conversation's id.
    pub conversation: [u8; 16],
}

/// Where a span stands in its request.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Its own number, from 0.
    pub position: u32,
    /// That of the first span of its trace.
    pub first: u32,
    /// Its arm.
    pub arm: u32,
    /// Which trace of its arm it belongs to, from 0.
    pub of_arm: u32,
    /// Traces of its arm in the request.
    pub arm_traces: u32,
}

/// Makes fresh values.
pub struct Source {
    nonce: u64,
    batch: u64,
    arms: u64,
    users_per_arm: u64,
    durations: Vec<Nanos>,
}

/// The seats of a request: traces take the arms in turn.
pub fn seats(args: &Args) -> Vec<Seat> {
    let (batch, length) = (args.batch.get(), args.trace_len.get());
    let traces = batch.div_ceil(length);
    let seat = |position: u32| {
        let trace = position / length;
        let arm = trace % args.arms;
        Seat {
            position,
            first: trace * length,
            arm,
            of_arm: trace / args.arms,
            arm_traces: (traces - arm).div_ceil(args.arms),
        }
    };
    (0..batch).map(seat).collect()
}

/// A bijection: distinct numbers stay distinct.
fn scatter(number: u64) -> u64 {
    Random::new(number).bits()
}

fn hex(value: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(value >> (60 - 4 * at) & 15) as usize])
}

fn digits(mut value: u64) -> [u8; 8] {
    let mut out = [b'0'; 8];
    for place in out.iter_mut().rev() {
        *place += (value % 10) as u8;
        value /= 10;
    }
    out
}

// === impl Source ===

impl Source {
    /// The nonce makes ids differ from those of other runs.
    pub fn new(args: &Args, nonce: u64) -> Self {
        let mut random = Random::new(SEED);
        let draw = |_| random.log_normal(DURATION_MEDIAN, DURATION_SIGMA) as Nanos;
        Source {
            nonce: scatter(nonce),
            batch: u64::from(args.batch.get()),
            arms: u64::from(args.arms),
            users_per_arm: u64::from(args.users.div_ceil(args.arms)),
            durations: (0..DURATIONS).map(draw).collect(),
        }
    }

    /// The values of a span of a request that is made at `now`.
    pub fn fresh(&self, request: u64, seat: Seat, now: Nanos) -> Fresh {
        let number = |position: u32| request * self.batch + u64::from(position);
        let trace = scatter(self.nonce ^ number(seat.first));
        let span = scatter(self.nonce.rotate_left(32) ^ number(seat.position));
        let duration = self.durations[span as usize % DURATIONS];
        // Spans of a request end within 65 µs of each other, as those of one process do.
        let end = now - (span >> 48);
        Fresh {
            trace: (u128::from(scatter(trace)) << 64 | u128::from(trace)).to_be_bytes(),
            span: span.to_be_bytes(),
            parent: scatter(trace.rotate_left(32)).to_be_bytes(),
            start: (end - duration).to_le_bytes(),
            end: end.to_le_bytes(),
            response: hex(scatter(span)),
            user: digits(self.user(request, seat)),
            conversation: hex(trace),
        }
    }

    fn user(&self, request: u64, seat: Seat) -> u64 {
        let turn = request * u64::from(seat.arm_traces) + u64::from(seat.of_arm);
        let within = (turn % self.users_per_arm) * STRIDE % self.users_per_arm;
        within * self.arms + u64::from(seat.arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::tests::parsed;
    use std::collections::HashSet;

    #[test]
    fn every_user_of_an_arm_comes_before_one_comes_again() {
        let args = parsed(&["--users", "96", "--batch", "24", "--trace-len", "2"]);
        let (source, seats) = (Source::new(&args, 7), seats(&args));
        let mut seen = HashSet::new();
        for request in 0..8 {
            for seat in seats.iter().filter(|seat| seat.position == seat.first) {
                let user = source.user(request, *seat);
                assert!(user < 96 && user % 2 == u64::from(seat.arm));
                assert!(seen.insert(user), "{user} again");
            }
        }
        assert_eq!(seen.len(), 96);
    }

    #[test]
    fn a_request_that_ends_within_a_trace_has_whole_seats() {
        let args = parsed(&["--batch", "7", "--trace-len", "2", "--arms", "3"]);
        let seats = seats(&args);
        let short = |seat: &Seat| (seat.first, seat.arm, seat.of_arm, seat.arm_traces);
        let found: Vec<_> = seats.iter().map(short).collect();
        let (a, b, c) = ((0, 0, 0, 2), (2, 1, 0, 1), (4, 2, 0, 1));
        assert_eq!(found, [a, a, b, b, c, c, (6, 0, 1, 2)]);
    }
}
