//! What the demo's arms do. Everything it shows is in this table: what is really better, what
//! breaks, what changes and when.

use clap::ValueEnum;

/// Which story the traffic tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Scenario {
    /// B is better, C breaks a guardrail, and B's model revision changes at 60 % of the day.
    #[default]
    RevisionChange,
    /// All arms are the same (A/A).
    Null,
    /// Users do not come in the planned shares.
    Srm,
    /// B's quality falls in the second half of the day though nothing was changed.
    Drift,
    /// Prompts and scores are missing, from C more than from the others.
    Missing,
}

/// One arm's traffic.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// Its name.
    pub arm: &'static str,
    /// Planned share of users.
    pub planned: f64,
    /// Real share of users.
    pub real: f64,
    /// Version and text of the system prompt.
    pub prompt: (&'static str, &'static str),
    /// Chance that the judge is content.
    pub quality: f64,
    /// The same at the end of the day; between, linear from noon.
    pub quality_late: f64,
    /// Share of failed calls.
    pub errors: f64,
    /// Median latency, seconds.
    pub latency: f64,
    /// Model revision before and after the change.
    pub revisions: (&'static str, &'static str),
    /// Share of calls without a prompt.
    pub promptless: f64,
    /// Share of calls that the judge gets to see.
    pub judged: f64,
}

/// The revision changes after this share of the day.
pub const CHANGE_AT: f64 = 0.6;
/// The model that is asked for.
pub const MODEL: &str = "gpt-4o-mini";
const OLD: &str = "gpt-4o-mini-2024-07-18";
const NEW: &str = "gpt-4o-mini-2024-12-01";
const PLAIN: &str = "You are a support assistant. Answer in one sentence.";
const FRIENDLY: &str = "You are a support assistant. Answer in one sentence, then offer more help.";
const THOROUGH: &str = "You are a support assistant. Think step by step, then answer at length.";

const BASE: Plan = Plan {
    arm: "A",
    planned: 0.34,
    real: 0.34,
    prompt: ("3", PLAIN),
    quality: 0.78,
    quality_late: 0.78,
    errors: 0.01,
    latency: 0.9,
    revisions: (OLD, OLD),
    promptless: 0.03,
    judged: 0.6,
};

impl Scenario {
    /// Its arms, control first.
    pub fn plans(self) -> [Plan; 3] {
        let b = Plan {
            arm: "B",
            planned: 0.33,
            real: 0.33,
            prompt: ("4", FRIENDLY),
            quality: 0.86,
            quality_late: 0.86,
            ..BASE
        };
        let c = Plan {
            arm: "C",
            planned: 0.33,
            real: 0.33,
            prompt: ("5", THOROUGH),
            errors: 0.045,
            latency: 1.35,
            ..BASE
        };
        let same = |arm, share| Plan { arm, planned: share, real: share, ..BASE };
        match self {
            Scenario::RevisionChange => [BASE, Plan { revisions: (OLD, NEW), ..b }, c],
            Scenario::Null => [BASE, same("B", 0.33), same("C", 0.33)],
            Scenario::Srm => {
                [Plan { real: 0.38, ..BASE }, Plan { real: 0.27, ..b }, Plan { real: 0.35, ..c }]
            }
            Scenario::Drift => [BASE, Plan { quality_late: 0.62, ..b }, c],
            Scenario::Missing => {
                let less = |plan: Plan, promptless, judged| Plan { promptless, judged, ..plan };
                [less(BASE, 0.2, 0.6), less(b, 0.2, 0.6), less(c, 0.6, 0.2)]
            }
        }
    }

    /// What there is to find in it, for the terminal.
    pub fn story(self) -> &'static str {
        match self {
            Scenario::RevisionChange => {
                "B answers better, C is slower and fails more, and B's model revision changed at 60 % of the day"
            }
            Scenario::Null => "all three arms are the same: nothing should win",
            Scenario::Srm => "users do not come in the planned shares",
            Scenario::Drift => "B's quality falls from noon on though its configuration stays",
            Scenario::Missing => "prompts and scores are missing, most of all from C",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for scenario in Scenario::value_variants() {
            let plans = scenario.plans();
            let sum = |of: fn(&Plan) -> f64| plans.iter().map(of).sum::<f64>();
            assert!((sum(|p| p.planned) - 1.0).abs() < 1e-9, "{scenario:?}");
            assert!((sum(|p| p.real) - 1.0).abs() < 1e-9, "{scenario:?}");
        }
    }
}
