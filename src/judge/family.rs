//! The family of an experiment: which metrics decide, and the share of α that each may spend.
//!
//! `α_i = α · (epoch's share) / (sites · (arms − 1)) · w_i` (`statistics.md`, Choices made): α is
//! spent over epochs, deciding sites and treated arms, and by weight over the metrics of a part.
//! Primary metrics and guardrails have an α each.

use crate::model::settings;
use crate::stats::multiple;

/// Chance of a false claim over a whole experiment, when the config says nothing.
pub const ALPHA: f64 = 0.05;
/// What a sample-ratio or missingness alarm may cost.
pub const ALPHA_TRUST: f64 = 0.001;

/// A part of the family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Quality metrics that a ship decision rests on.
    Primary,
    /// Guardrails that roll back.
    Rollback,
}

/// Which metrics decide, and the share of α that each has.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    members: Vec<(String, Part, f64)>,
    alpha: f64,
    /// The config names it.
    pub declared: bool,
}

/// Over what α is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spending {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Sites that decide.
    pub sites: usize,
    /// Arms that are compared with control.
    pub treatments: usize,
}

// === impl Family ===

impl Family {
    /// The family of an experiment. Without one in the config no metric is primary, and error
    /// rate, mean latency and cost roll back.
    pub fn of(experiment: Option<&settings::Experiment>) -> Self {
        let alpha = experiment.and_then(|e| e.alpha).unwrap_or(ALPHA);
        let given = experiment.map(|e| &e.family);
        match given.filter(|f| !f.primary.is_empty() || !f.rollback.is_empty()) {
            Some(family) => {
                let mut members = spent(alpha, &family.primary, Part::Primary, family);
                members.extend(spent(alpha, &family.rollback, Part::Rollback, family));
                Family { members, alpha, declared: true }
            }
            None => {
                let names = ["error_rate", "latency_mean", "cost"].map(str::to_owned);
                let members = spent(alpha, &names, Part::Rollback, &settings::Family::default());
                Family { members, alpha, declared: false }
            }
        }
    }

    /// Metrics that decide, with their part.
    pub fn members(&self) -> impl Iterator<Item = (&str, Part)> {
        self.members.iter().map(|row| (row.0.as_str(), row.1))
    }

    /// The part of a metric; none when it is exploratory.
    pub fn part(&self, metric: &str) -> Option<Part> {
        self.members.iter().find(|row| row.0 == metric).map(|row| row.1)
    }

    /// The share of α that a metric may spend on one arm at one site in one epoch. What is in no
    /// family has the epoch's share of it: labelled, never gating.
    pub fn alpha(&self, metric: &str, spending: Spending) -> f64 {
        let epoch = multiple::epoch_share(spending.epoch);
        let over = (spending.sites.max(1) * spending.treatments.max(1)) as f64;
        match self.members.iter().find(|row| row.0 == metric) {
            Some((_, _, share)) => share * epoch / over,
            None => self.alpha * epoch,
        }
    }
}

/// Members of a part with their share of α, by weight.
fn spent(
    alpha: f64,
    names: &[String],
    part: Part,
    family: &settings::Family,
) -> Vec<(String, Part, f64)> {
    let weights: Vec<f64> =
        names.iter().map(|name| family.weights.get(name).copied().unwrap_or(1.0)).collect();
    let shares = multiple::bonferroni(alpha, &weights);
    names.iter().zip(shares).map(|(name, share)| (name.clone(), part, share)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Family {
        let mut experiment = settings::Experiment { alpha: Some(0.1), ..Default::default() };
        experiment.family.primary = vec!["ok".into(), "tone".into()];
        experiment.family.rollback = vec!["error_rate".into()];
        experiment.family.weights = [("ok".to_owned(), 3.0)].into();
        Family::of(Some(&experiment))
    }

    #[test]
    fn alpha_is_spent_over_epochs_sites_arms_and_metrics() {
        let spending = Spending { epoch: 1, sites: 2, treatments: 2 };
        let alpha = |name| family().alpha(name, spending);
        assert!((alpha("ok") - 0.1 * 0.8 / 4.0 * 0.75).abs() < 1e-12);
        assert!((alpha("error_rate") - 0.1 * 0.8 / 4.0).abs() < 1e-12, "an α of its own");
        let spent: f64 = (1..2_000)
            .map(|epoch| {
                let spending = Spending { epoch, sites: 3, treatments: 5 };
                let all = family().alpha("ok", spending) + family().alpha("tone", spending);
                all * 15.0
            })
            .sum();
        assert!(spent <= 0.1 + 1e-9 && spent > 0.0998, "{spent}");
    }

    #[test]
    fn without_a_family_guardrails_are_watched() {
        let family = Family::of(None);
        assert!(!family.declared);
        assert_eq!(family.part("cost"), Some(Part::Rollback));
        assert_eq!(family.part("answer_ok"), None);
    }
}
