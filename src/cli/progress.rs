//! How far something long has come, on standard error; only when that is a terminal, and only
//! once it takes long.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// What takes less is not worth a line.
const QUIET: Duration = Duration::from_millis(400);
/// How often it is drawn, a second.
const RATE: u8 = 10;

/// Counts something whose end is not known.
pub struct Counter {
    bar: ProgressBar,
    began: Instant,
}

/// Shows how much of something is done.
pub struct Bar(Counter);

// === impl Counter ===

impl Counter {
    /// Of things with a name.
    pub fn new(what: &'static str) -> Counter {
        Counter::with(ProgressBar::no_length(), "{spinner} {human_pos} {msg}", what)
    }

    fn with(bar: ProgressBar, template: &str, what: &'static str) -> Counter {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        // A template that cannot be read leaves indicatif's own.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Counter { bar, began: Instant::now() }
    }

    /// So many are done.
    pub fn at(&self, done: u64) {
        if self.bar.is_hidden() && stderr().is_terminal() && self.began.elapsed() >= QUIET {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
        }
        self.bar.set_position(done);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

// === impl Bar ===

impl Bar {
    /// Of things with a name.
    pub fn new(what: &'static str) -> Bar {
        const TEMPLATE: &str = "{wide_bar} {human_pos} of {human_len} {msg}, {eta} left";
        Bar(Counter::with(ProgressBar::new(0), TEMPLATE, what))
    }

    /// So many of so many are done.
    pub fn at(&self, done: u64, of: u64) {
        self.0.bar.set_length(of);
        self.0.at(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_a_terminal_nothing_is_drawn_however_long_it_takes() {
        let bar = Bar::new("entries");
        bar.at(1, 10);
        std::thread::sleep(QUIET);
        bar.at(2, 10);
        assert!(bar.0.bar.is_hidden() || stderr().is_terminal());
        assert_eq!((bar.0.bar.position(), bar.0.bar.length()), (2, Some(10)));
    }
}
