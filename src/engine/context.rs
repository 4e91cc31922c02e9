//! What resolving a trace depends on besides the trace: settings and decisions. It changes only
//! with `Config` and `Decision` entries; then every trace it concerns is resolved anew.

use crate::identify::Identity;
use crate::model::canonical::{jcs, sha256_text};
use crate::model::metric::{Metric, Origin, built_in};
use crate::model::settings::Price;
use crate::model::{Decision, Field, MINUTE, Nanos, Settings, Settled, Sym, UnitKind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Settings and decisions in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// The settings in force.
    pub settings: Settings,
    /// Experiments by symbol: configured ones and flags taken for one.
    pub experiments: BTreeMap<Sym, ExperimentState>,
    /// How many decisions were applied: the stamp of a call that is counted now.
    pub applied: u32,
    #[serde(skip)]
    derived: Derived,
}

/// Looked up often, computed from the rest.
#[derive(Clone, Debug, Default)]
struct Derived {
    identity: Identity,
    by_experiment: BTreeMap<Sym, Identity>,
    scores: Vec<(Sym, Sym, Option<Sym>, Nanos)>,
    definitions: Vec<Arc<Definition>>,
}

/// A metric with all that a line of it needs.
#[derive(Clone, PartialEq, Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What it is.
    pub metric: Metric,
    /// SHA-256 over its canonical form and its name.
    pub hash: String,
    /// The config names it.
    pub declared: bool,
}

/// What is settled about one experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExperimentState {
    /// Its name.
    pub name: String,
    /// The config names it.
    pub configured: bool,
    /// Its control arm.
    pub control: Option<Sym>,
    /// The control was assumed by a decision.
    pub control_assumed: bool,
    /// What was randomised.
    pub unit: Option<UnitKind>,
    /// Facets that no longer split its runs.
    pub demoted: BTreeSet<Field>,
    /// Epochs by site, oldest first; the first epoch is not listed.
    pub epochs: BTreeMap<Sym, Vec<Epoch>>,
    /// The last decision's number by site.
    pub decided: BTreeMap<Sym, u32>,
    /// Planned splits, oldest first: units are expected in the shares of the allocation in
    /// which they were first seen.
    pub allocations: Vec<Allocation>,
}

/// A planned split and when it began.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Allocation {
    /// Its first minute.
    pub minute: u32,
    /// Planned shares by arm; empty when no split is planned.
    pub split: BTreeMap<Sym, f64>,
}

/// The beginning of an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 2.
    pub epoch: u32,
    /// Its first minute.
    pub minute: u32,
    /// Its place among all decisions.
    pub applied: u32,
}

impl Context {
    /// With these settings and no decisions.
    pub fn new(settings: Settings) -> Self {
        let mut context = Context::default();
        context.configure(settings, 0);
        context
    }

    /// Puts new settings in force at log time `now`. Decisions stay, configured values win over
    /// decided ones.
    pub fn configure(&mut self, settings: Settings, now: Nanos) {
        for state in self.experiments.values_mut() {
            state.configured = settings.experiments.contains_key(&state.name);
        }
        for (name, declared) in &settings.experiments {
            let known = self.experiments.contains_key(&Sym::of(name));
            let state = self.experiments.entry(Sym::of(name)).or_default();
            let minute = if known { crate::model::minute_of(now) + 1 } else { 0 };
            state.allocate(&declared.split, minute);
            state.name.clone_from(name);
            state.configured = true;
            if let Some(control) = &declared.control {
                state.control = Some(Sym::of(control));
                state.control_assumed = false;
            }
            if let Some(unit) = declared.unit.as_deref().and_then(UnitKind::from_name) {
                state.unit = Some(unit);
            }
        }
        self.settings = settings;
        self.derive();
    }

    /// Applies a decision; `name` is the experiment's. False when its number is already known.
    pub fn decide(&mut self, decision: &Decision, name: &str) -> bool {
        let state = self.experiments.entry(decision.experiment).or_default();
        let last = state.decided.entry(decision.site).or_default();
        if decision.number <= *last {
            return false;
        }
        *last = decision.number;
        self.applied += 1;
        name.clone_into(&mut state.name);
        match decision.what {
            Settled::Experiment => {}
            Settled::Control(arm) if state.control.is_none() => {
                state.control = Some(arm);
                state.control_assumed = true;
            }
            Settled::Control(_) => {}
            Settled::Unit(kind) => state.unit = state.unit.or(Some(kind)),
            Settled::Epoch { epoch, minute } => {
                let epoch = Epoch { epoch, minute, applied: self.applied };
                state.epochs.entry(decision.site).or_default().push(epoch);
            }
            Settled::Demoted(field) => drop(state.demoted.insert(field)),
        }
        self.derive();
        true
    }

    /// Computes what is looked up often; needed after reading a snapshot.
    pub fn derive(&mut self) {
        let identity = Identity::new(&self.settings.observed);
        let by_experiment =
            self.experiments.iter().map(|(e, s)| (*e, identity.demoting(&s.demoted))).collect();
        let scores = score_metrics(&self.settings);
        let declared = |name: &str| self.settings.metrics.contains_key(name);
        let define = |(name, metric): (String, Metric)| {
            let declared = declared(&name);
            Arc::new(Definition::new(name, metric, declared))
        };
        let definitions = metrics(&self.settings).into_iter().map(define).collect();
        self.derived = Derived { identity, by_experiment, scores, definitions };
    }

    /// Which fields identify the runs of an experiment.
    pub fn identity(&self, experiment: Sym) -> &Identity {
        self.derived.by_experiment.get(&experiment).unwrap_or(&self.derived.identity)
    }

    /// The last epoch of a site.
    pub fn current_epoch(&self, experiment: Sym, site: Sym) -> Option<&Epoch> {
        self.experiments.get(&experiment)?.epochs.get(&site)?.last()
    }

    /// The price of a model: by revision, then by requested model.
    pub fn price(&self, revision: Option<&str>, requested: Option<&str>) -> Option<&Price> {
        let find = |name: Option<&str>| self.settings.prices.get(name?);
        find(revision).or_else(|| find(requested))
    }

    /// The allocation of an experiment in which something that happened at `at` falls.
    pub fn allocation(&self, experiment: Sym, at: Nanos) -> u32 {
        self.experiments.get(&experiment).map_or(0, |state| state.allocation(at))
    }

    /// The planned share of an arm in an allocation.
    pub fn planned(&self, experiment: Sym, allocation: u32, arm: Sym) -> Option<f64> {
        self.experiments.get(&experiment)?.planned(allocation, arm)
    }

    /// Declared metrics of scores: (metric, evaluation, grader, age at which calls enter).
    pub fn score_metrics(&self) -> &[(Sym, Sym, Option<Sym>, Nanos)] {
        &self.derived.scores
    }

    /// The age at which a call enters the metric of an evaluation.
    pub fn matures_after(&self, evaluation: Sym) -> Nanos {
        let declared = self.derived.scores.iter().find(|row| row.1 == evaluation);
        declared.map_or(self.settings.matures_after.0, |row| row.3)
    }

    /// Declared and built-in metrics, in the order of tables.
    pub fn definitions(&self) -> &[Arc<Definition>] {
        &self.derived.definitions
    }

    /// A declared or built-in metric.
    pub fn definition(&self, name: &str) -> Option<&Arc<Definition>> {
        self.derived.definitions.iter().find(|one| one.name == name)
    }
}

impl Definition {
    /// Of a metric.
    pub fn new(name: String, metric: Metric, declared: bool) -> Self {
        let json = serde_json::to_value(&metric).unwrap_or_default();
        let whole = serde_json::json!({"name": name, "definition": json});
        Definition { hash: sha256_text(jcs(&whole).as_bytes()), name, metric, declared }
    }
}

impl ExperimentState {
    /// The epoch of a call: the last one that was applied when the call was first counted and
    /// began no later than its end.
    pub fn epoch(&self, site: Sym, end: Nanos, counted_at: u32) -> u32 {
        let began =
            |epoch: &&Epoch| epoch.applied <= counted_at && u64::from(epoch.minute) * MINUTE <= end;
        let last = self.epochs.get(&site).and_then(|list| list.iter().rev().find(began));
        last.map_or(1, |epoch| epoch.epoch)
    }

    /// The allocation in which something that happened at `at` falls: its place in
    /// [`ExperimentState::allocations`], 0 when there is none.
    pub fn allocation(&self, at: Nanos) -> u32 {
        let began = |one: &&Allocation| u64::from(one.minute) * MINUTE <= at;
        self.allocations.iter().take_while(began).count().saturating_sub(1) as u32
    }

    /// The planned share of an arm in an allocation.
    pub fn planned(&self, allocation: u32, arm: Sym) -> Option<f64> {
        self.allocations.get(allocation as usize)?.split.get(&arm).copied()
    }

    /// Notes a planned split. What was seen before the first plan was not planned.
    fn allocate(&mut self, split: &BTreeMap<String, f64>, minute: u32) {
        let split: BTreeMap<Sym, f64> =
            split.iter().map(|(arm, share)| (Sym::of(arm), *share)).collect();
        if self.allocations.is_empty() && minute > 0 {
            self.allocations.push(Allocation { minute: 0, split: BTreeMap::new() });
        }
        if self.allocations.last().is_none_or(|last| last.split != split) {
            self.allocations.push(Allocation { minute, split });
        }
    }
}

/// Declared metrics first, then the built-in ones that are not redeclared.
pub fn metrics(settings: &Settings) -> Vec<(String, Metric)> {
    let declared = settings.metrics.iter().map(|(name, metric)| (name.clone(), metric.clone()));
    let inherent = built_in().into_iter().filter(|m| !settings.metrics.contains_key(m.0));
    declared.chain(inherent.map(|(name, metric)| (name.to_owned(), metric))).collect()
}

fn score_metrics(settings: &Settings) -> Vec<(Sym, Sym, Option<Sym>, Nanos)> {
    let scores = settings.metrics.iter().filter(|(_, metric)| metric.from == Origin::Score);
    scores
        .map(|(name, metric)| {
            let evaluation = metric.score.as_deref().unwrap_or(name);
            let after = metric.matures_after.unwrap_or(settings.matures_after).0;
            (Sym::of(name), Sym::of(evaluation), metric.grader.as_deref().map(Sym::of), after)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32, epoch: u32, minute: u32) -> Decision {
        let (experiment, site) = (Sym::of("e"), Sym::of("s"));
        Decision { experiment, site, number, what: Settled::Epoch { epoch, minute } }
    }

    #[test]
    fn a_call_keeps_the_epoch_that_was_known_when_it_was_counted() {
        let mut context = Context::new(Settings::default());
        let at = |context: &Context, minute: u64, counted| {
            let state = context.experiments.get(&Sym::of("e")).expect("decided");
            state.epoch(Sym::of("s"), minute * MINUTE, counted)
        };
        assert!(context.decide(&epoch(1, 2, 10), "e"));
        assert!(!context.decide(&epoch(1, 2, 10), "e"), "known numbers are ignored");
        assert_eq!(at(&context, 12, 1), 2);
        assert_eq!(at(&context, 9, 1), 1, "ended before");
        assert_eq!(at(&context, 12, 0), 1, "counted before the decision");
    }
}
