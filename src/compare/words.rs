//! A comparison in words and figures for people. Terminal, page and Markdown all take theirs from
//! here, so that they say the same to the letter.

use super::{Comparison, MetricContrast};
use crate::judge::attribution::MissingArm;
use crate::model::human;

/// What stands for nothing.
pub const NONE: &str = "–";

/// One line about what a part of the difference is put down to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EffectLine {
    /// What it is the effect of.
    pub text: String,
    /// Its estimate, or the range of several.
    pub estimate: String,
    /// Its interval.
    pub interval: String,
}

/// The arm to run, as a sentence.
pub fn missing_arm(arm: &MissingArm) -> String {
    format!("To separate {}: {}.", arm.separates.join(" and "), arm.text)
}

// === impl Comparison ===

impl Comparison {
    /// How columns call the two: by arm, or by run when both are of one arm.
    pub fn names(&self) -> [String; 2] {
        if self.run_a.arm != self.run_b.arm {
            return [self.run_a.arm.clone(), self.run_b.arm.clone()];
        }
        match self.a == self.b {
            true => ["a".to_owned(), "b".to_owned()],
            false => [human::run(&self.a).to_owned(), human::run(&self.b).to_owned()],
        }
    }

    /// How many facets are equal.
    pub fn equal_text(&self) -> String {
        let count = self.equal.len();
        let are =
            if count == 1 { "1 facet is equal" } else { &format!("{count} facets are equal") };
        match (self.differing.is_empty(), self.missing.is_empty(), count) {
            (true, true, 0) => "No facet is recorded.".to_owned(),
            (true, _, _) => format!("No facet differs; {are}."),
            _ => format!("{are}."),
        }
    }

    /// The name of a metric, with its grader when there are several.
    pub fn named(&self, metric: &MetricContrast) -> String {
        let several = self.metrics.iter().filter(|other| other.name == metric.name).count() > 1;
        let grader = metric.grader.as_ref().filter(|_| several).map(|grader| {
            let parts = [&grader.name, &grader.version, &grader.model];
            parts.into_iter().flatten().cloned().collect::<Vec<String>>().join(" ")
        });
        grader.map_or(metric.name.clone(), |grader| format!("{} ({grader})", metric.name))
    }
}

// === impl MetricContrast ===

impl MetricContrast {
    /// A level of one of the two.
    pub fn level(&self, value: Option<f64>) -> String {
        value.map_or(NONE.to_owned(), |value| human::level(value, &self.unit))
    }

    /// A difference with its sign.
    pub fn signed(&self, value: Option<f64>) -> String {
        value.map_or(NONE.to_owned(), |value| human::difference(value, &self.unit))
    }

    /// The interval of the difference, or why there is none.
    pub fn interval(&self) -> String {
        match (&self.method, self.unmet.as_slice()) {
            (None, _) => NONE.to_owned(),
            (_, []) => self.within(self.lower, self.upper),
            (_, [first, ..]) => format!("none: {first}"),
        }
    }

    /// The confidence of the interval.
    pub fn confidence_text(&self) -> String {
        self.confidence.map_or(NONE.to_owned(), human::confidence)
    }

    /// Effects beyond the whole difference, then what they range over.
    pub fn effect_lines(&self) -> Vec<EffectLine> {
        let Some(told) = self.effects.get(1..).filter(|told| !told.is_empty()) else {
            return Vec::new();
        };
        let effects = told.iter().map(|effect| EffectLine {
            text: effect.text.clone(),
            estimate: self.signed(effect.estimate),
            interval: self.within(effect.lower, effect.upper),
        });
        let ranges = self.bounds.iter().map(|range| EffectLine {
            text: format!("{} over {} settings of the rest", range.field, range.count),
            estimate: self.within(Some(range.low), Some(range.high)),
            interval: self.within(range.lower, range.upper),
        });
        effects.chain(ranges).collect()
    }

    fn within(&self, lower: Option<f64>, upper: Option<f64>) -> String {
        human::interval(lower, upper, &self.unit)
    }
}
