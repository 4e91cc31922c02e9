//! The gate's document, `armspan/gate/v1`: what an experiment, or one arm of it, answers to the
//! one who ships. A pure function of the experiment's document; it judges nothing anew, so it can
//! never say something else than the pages. Terminal, API, JUnit and comments show this document.

mod arms;
mod words;

use crate::model::metric::Role;
use crate::model::record::Breach;
use crate::model::verdict::Gate;
use crate::model::view::ExperimentView;
use arms::{of_arm, present, treated};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name and version of the document.
pub const GATE_SCHEMA: &str = "armspan/gate/v1";

/// What is asked of an experiment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked<'a> {
    /// Only of this arm; of every arm but control without one.
    pub arm: Option<&'a str>,
    /// What is not decided fails, too.
    pub fail_on_inconclusive: bool,
}

/// Why nothing can be asked of an arm.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not there.
    #[error("there is no arm \"{arm}\" in {experiment}; its arms are {}", .arms.join(", "))]
    NoSuchArm {
        /// What was asked for.
        arm: String,
        /// Of which experiment.
        experiment: String,
        /// The arms there are.
        arms: Vec<String>,
    },
    /// The others are compared with it.
    #[error(
        "{arm} is the control of {experiment}: the others are compared with it; ask for one of {}",
        .arms.join(", ")
    )]
    Control {
        /// What was asked for.
        arm: String,
        /// Of which experiment.
        experiment: String,
        /// The other arms.
        arms: Vec<String>,
    },
}

/// What the gate answers, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateDocument {
    /// Always [`GATE_SCHEMA`].
    pub schema: String,
    /// The experiment.
    pub experiment: String,
    /// The arm that was asked for; all but control without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// What the arms are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// The worst of all arms: `pass`, `inconclusive`, `invalid` or `fail`.
    pub result: Gate,
    /// What is not decided fails, too.
    pub fail_on_inconclusive: bool,
    /// Exit code of `armspan gate`: 0, 10, 11 or 12.
    pub exit_code: u8,
    /// The answer in one sentence.
    pub sentence: String,
    /// What made the answer what it is, a sentence each.
    pub reasons: Vec<String>,
    /// What does not fail and has to be known.
    pub warnings: Vec<String>,
    /// Each arm that was judged.
    pub arms: Vec<GateArm>,
    /// Call sites that do not decide: they are not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites_not_judged: Vec<String>,
    /// Log position that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Log time of that position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

/// An arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateArm {
    /// Its name.
    pub arm: String,
    /// The worst of its sites.
    pub result: Gate,
    /// Each call site that decides.
    pub sites: Vec<GateSite>,
}

/// An arm at a call site that decides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateSite {
    /// The call site.
    pub site: String,
    /// The epoch that is judged.
    pub epoch: u32,
    /// The worst of its metrics.
    pub result: Gate,
    /// Ids of the arm's runs there, the busiest first.
    pub runs: Vec<String>,
    /// Why there is nothing to judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// Each metric that decides.
    pub metrics: Vec<GateMetric>,
}

/// A metric that decides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateMetric {
    /// Its name.
    pub name: String,
    /// Quality, guardrail or info.
    pub role: Role,
    /// UCUM unit of the figures.
    pub unit: String,
    /// The state of its verdict.
    pub state: String,
    /// What the gate makes of it.
    pub result: Gate,
    /// Why, in words that stay; the deciding one first.
    pub reasons: Vec<String>,
    /// The same for people.
    pub sentence: String,
    /// It is worse than control, and does not fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// Difference from control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// Its lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Its upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Of the interval, at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The look since which the state holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When and on what it was breached; counts until the experiment is ramped, restarted or
    /// concluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Breach>,
}

// === impl GateDocument ===

impl GateDocument {
    /// Whether more data may change the answer from "not yet" to pass or fail.
    pub fn is_open(&self) -> bool {
        matches!(self.result, Gate::Inconclusive | Gate::Invalid)
    }

    /// Every metric that was judged, with its arm and site.
    pub fn rows(&self) -> impl Iterator<Item = (&GateArm, &GateSite, &GateMetric)> {
        let sites = self.arms.iter().flat_map(|arm| arm.sites.iter().map(move |site| (arm, site)));
        sites.flat_map(|(arm, site)| site.metrics.iter().map(move |metric| (arm, site, metric)))
    }
}

/// Asks the gate of an experiment.
pub fn document(experiment: &ExperimentView, asked: &Asked<'_>) -> Result<GateDocument, Error> {
    let mut warnings = Vec::new();
    let arms: Vec<GateArm> = match asked.arm {
        Some(arm) => vec![of_arm(experiment, checked(experiment, arm)?)],
        None => present(experiment, &mut warnings).map(|arm| of_arm(experiment, arm)).collect(),
    };
    warnings.extend(words::assumed(experiment));
    let rows = arms.iter().flat_map(|arm| &arm.sites).flat_map(|site| &site.metrics);
    warnings.extend(rows.filter(|metric| metric.warning).map(words::tolerated));
    let start = if arms.is_empty() { Gate::Invalid } else { Gate::Pass };
    let result = arms.iter().map(|arm| arm.result).fold(start, Gate::worse);
    let sites = experiment.sites.iter().filter(|site| !site.decides);
    let mut out = GateDocument {
        schema: GATE_SCHEMA.to_owned(),
        experiment: experiment.name.clone(),
        arm: asked.arm.map(str::to_owned),
        control: experiment.control.clone(),
        result,
        fail_on_inconclusive: asked.fail_on_inconclusive,
        exit_code: exit(result, asked.fail_on_inconclusive),
        sentence: String::new(),
        reasons: Vec::new(),
        warnings,
        arms,
        sites_not_judged: sites.map(|site| site.site.clone()).collect(),
        position: None,
        as_of: None,
    };
    out.reasons = words::reasons(&out, experiment);
    out.sentence = words::sentence(&out);
    Ok(out)
}

/// What is not decided passes, unless it is told not to.
fn exit(result: Gate, fail_on_inconclusive: bool) -> u8 {
    match result {
        Gate::Inconclusive if !fail_on_inconclusive => Gate::Pass.exit(),
        result => result.exit(),
    }
}

/// An arm that can be asked for.
fn checked<'a>(experiment: &ExperimentView, arm: &'a str) -> Result<&'a str, Error> {
    let others = || treated(experiment).map(str::to_owned).collect();
    let (own, name) = (arm.to_owned(), experiment.name.clone());
    if experiment.control.as_deref() == Some(arm) {
        return Err(Error::Control { arm: own, experiment: name, arms: others() });
    }
    match experiment.arms.iter().any(|known| known == arm) {
        true => Ok(arm),
        false => {
            Err(Error::NoSuchArm { arm: own, experiment: name, arms: experiment.arms.clone() })
        }
    }
}

#[cfg(test)]
mod tests;
