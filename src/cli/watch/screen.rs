//! What the screen knows: the last answer, what is selected, and what keys do to that. Nothing
//! here asks, draws or reads a clock.

use super::Seen;
use crate::model::Nanos;
use crate::model::id::nanos;
use crate::model::view::{ArmView, ExperimentView, SiteView};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Nanoseconds of a second.
const SECOND: f64 = 1e9;

/// The state of the screen.
#[derive(Clone, Debug)]
pub struct Screen {
    /// The last good answer.
    pub seen: Seen,
    /// When it came, by the clock of this machine.
    pub fresh: Nanos,
    /// Now, by the same clock.
    pub now: Nanos,
    /// Why the last question was not answered.
    pub fault: Option<String>,
    /// The selected site.
    pub site: String,
    /// The selected arm.
    pub arm: String,
    /// Keys are explained.
    pub help: bool,
    /// Nothing is asked.
    pub paused: bool,
}

/// What a key asks of the terminal's loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Draw again.
    Draw,
    /// Ask now.
    Ask,
    /// End.
    Quit,
    /// End as interrupted.
    Interrupt,
}

// === impl Screen ===

impl Screen {
    /// After the first answer; begins with the site, the first arm that is compared selected.
    pub fn new(seen: Seen, site: Option<&str>, now: Nanos) -> Screen {
        let mut screen = Screen {
            seen,
            fresh: now,
            now,
            fault: None,
            site: site.unwrap_or_default().to_owned(),
            arm: String::new(),
            help: false,
            paused: false,
        };
        screen.settle();
        screen
    }

    /// Takes an answer, or why there was none.
    pub fn answer(&mut self, answer: Result<Seen, String>, now: Nanos) {
        self.now = now;
        match answer {
            Ok(seen) => {
                self.seen = seen;
                self.fresh = now;
                self.fault = None;
            }
            Err(fault) => self.fault = Some(fault),
        }
        self.settle();
    }

    /// What is selected exists, as far as anything does.
    fn settle(&mut self) {
        let sites = &self.seen.experiment.sites;
        if !sites.iter().any(|site| site.site == self.site) {
            self.site = sites.first().map(|site| site.site.clone()).unwrap_or_default();
        }
        let arms = self.arms();
        if !arms.iter().any(|arm| arm.arm == self.arm) {
            let first = arms.iter().find(|arm| !arm.control).or(arms.first());
            self.arm = first.map(|arm| arm.arm.clone()).unwrap_or_default();
        }
    }

    /// The experiment.
    pub fn experiment(&self) -> &ExperimentView {
        &self.seen.experiment
    }

    /// The selected site.
    pub fn site(&self) -> Option<&SiteView> {
        self.experiment().sites.iter().find(|site| site.site == self.site)
    }

    /// Its arms.
    pub fn arms(&self) -> &[ArmView] {
        self.site().map_or(&[], |site| &site.arms)
    }

    /// Seconds since a time of this machine's clock.
    pub fn since(&self, at: Nanos) -> f64 {
        self.now.saturating_sub(at) as f64 / SECOND
    }

    /// Seconds since the last span.
    pub fn quiet_for(&self) -> Option<f64> {
        Some(self.since(nanos(self.experiment().last_seen.as_deref()?)?))
    }

    /// Does what a key means.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Draw;
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Wish::Interrupt;
            }
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.step_arm(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step_arm(1),
            KeyCode::Left | KeyCode::Char('h') | KeyCode::BackTab => self.step_site(-1),
            KeyCode::Right | KeyCode::Char('l') | KeyCode::Tab => self.step_site(1),
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Char('p') => {
                self.paused = !self.paused;
                return if self.paused { Wish::Draw } else { Wish::Ask };
            }
            _ => {}
        }
        Wish::Draw
    }

    fn step_arm(&mut self, by: isize) {
        let names: Vec<&str> = self.arms().iter().map(|arm| arm.arm.as_str()).collect();
        self.arm = step(&names, &self.arm, by);
    }

    fn step_site(&mut self, by: isize) {
        let sites = self.experiment().sites.iter();
        let names: Vec<&str> = sites.map(|site| site.site.as_str()).collect();
        self.site = step(&names, &self.site, by);
        self.settle();
    }
}

/// The name so many places on, round the ends.
fn step(names: &[&str], from: &str, by: isize) -> String {
    let at = names.iter().position(|name| *name == from).unwrap_or(0) as isize;
    let count = names.len() as isize;
    let to = if count == 0 { None } else { names.get((at + by).rem_euclid(count) as usize) };
    to.map_or(from.to_owned(), |name| (*name).to_owned())
}
