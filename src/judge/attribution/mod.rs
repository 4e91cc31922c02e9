//! Attribution: what a difference between two arms may be put down to. Facets that differ are
//! gathered by field; one field between concurrently randomised arms is identified, several are
//! confounded, and the other arms are searched for contrasts that tell them apart
//! (`statistics.md` section 10). Flows: configurations → [`attribute`] → [`Attribution`], the
//! plan → [`evaluate`] → effects → [`view`]. It never looks at a mean itself and never calls a
//! comparison over time causal.

mod effects;
mod groups;
mod lattice;
mod sides;
mod view;

pub use effects::{Bounds, Contrast, Effect, EffectKind, Sequence, bounds, contrasts, evaluate};
pub use groups::FieldChange;
pub use sides::{MissingArm, Separation, Side};
pub use view::{AttributionView, view};

use groups::Groups;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Arms looked at: the two compared and the first others by name.
pub const ARMS_MAX: usize = 32;
/// Fields that differ or are unknown beyond which no separation is searched.
pub const FIELDS_MAX: usize = 24;
/// Orders of a telescoping decomposition listed.
pub const ORDERS_MAX: usize = 24;
/// Complete 2×2s listed.
pub const FACTORIALS_MAX: usize = 12;
/// The pseudo-field of what changed or may differ without being recorded.
pub const UNOBSERVED: &str = "provider_unobserved";

/// What one arm was configured with.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArmConfig {
    /// Its name; names of arms compared together are distinct.
    pub name: String,
    /// Facets by path, such as `prompt.hash`, with the text of their value. Observed values and
    /// context (`code`, `seed`, `system_fingerprint`, `agent` …) do not belong here.
    #[serde(default)]
    pub facets: BTreeMap<String, String>,
    /// An observed value, such as `system_fingerprint`, changed inside the window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unobserved_change: bool,
}

/// How the two arms came to their traffic. The default claims nothing, so it is `temporal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Situation {
    /// Same epoch, and the windows overlap.
    pub concurrent: bool,
    /// Assigned at random, in the same experiment and at the same site.
    pub randomised: bool,
    /// The sample ratio shows no mismatch.
    pub ratio_ok: bool,
    /// Both are runs of one arm.
    pub same_arm: bool,
}

/// What a difference between the two may be put down to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// To the one field that differs.
    Identified,
    /// To all fields that differ, together.
    Confounded,
    /// To anything that changed over time or between populations: never causal.
    Temporal,
    /// To chance or to something unrecorded: no recorded field differs.
    Same,
}

/// The plan: what the label is and which contrasts of arms say more. Indices and coefficients
/// are over `arms`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Attribution {
    /// What can be said.
    pub label: Label,
    /// Names of all arms passed in, in their order.
    pub arms: Vec<String>,
    /// Index of the arm compared from.
    pub a: usize,
    /// Index of the arm compared to; effects are b − a.
    pub b: usize,
    /// Fields that differ, by name.
    pub changes: Vec<FieldChange>,
    /// Fields that are equal, with a value for people.
    pub context: BTreeMap<String, String>,
    /// Why something unrecorded may differ too: adds [`UNOBSERVED`] to the fields.
    pub unobserved: Vec<String>,
    /// Why the comparison is temporal.
    pub reasons: Vec<String>,
    /// What tells confounded fields apart.
    pub separations: Vec<Separation>,
    /// The arm to run, when a field of a confounded pair has no edge of its own.
    pub missing: Option<MissingArm>,
    /// Limits that cut this plan short.
    pub limits: Vec<String>,
}

/// Says what a difference `b − a` may be put down to, and plans the contrasts that say more.
/// All arms passed in are in the same situation; the others serve only to separate fields.
/// `None` when an index is out of range.
///
/// Source: `statistics.md` section 10. A facet only one side has is unknown, never equal: unless
/// its field differs anyway, it adds [`UNOBSERVED`], as does a change inside the window.
pub fn attribute(
    arms: &[ArmConfig],
    a: usize,
    b: usize,
    situation: &Situation,
) -> Option<Attribution> {
    let (from, to) = (arms.get(a)?, arms.get(b)?);
    let (left, right) = (Groups::of(from), Groups::of(to));
    let difference = left.against(&right, &from.name, &to.name);
    let mut unobserved = difference.unknown_reasons();
    unobserved.extend(changed_inside(from));
    if a != b {
        unobserved.extend(changed_inside(to));
    }
    let reasons = temporal_reasons(situation, a == b);
    let count = difference.changes.len() + usize::from(!unobserved.is_empty());
    let label = match (reasons.is_empty(), count) {
        (_, 0) if a == b => Label::Same,
        (false, _) => Label::Temporal,
        (true, 0) => Label::Same,
        (true, 1) if unobserved.is_empty() => Label::Identified,
        _ => Label::Confounded,
    };
    let mut plan = Attribution {
        label,
        arms: arms.iter().map(|arm| arm.name.clone()).collect(),
        a,
        b,
        changes: difference.changes.clone(),
        context: difference.context.clone(),
        unobserved,
        reasons: if label == Label::Temporal { reasons } else { Vec::new() },
        separations: Vec::new(),
        missing: None,
        limits: Vec::new(),
    };
    if label == Label::Confounded {
        sides::separate(&mut plan, arms, &difference);
    }
    Some(plan)
}

fn changed_inside(arm: &ArmConfig) -> Option<String> {
    let name = &arm.name;
    arm.unobserved_change.then(|| format!("an observed value of {name} changed inside the window"))
}

fn temporal_reasons(situation: &Situation, one_run: bool) -> Vec<String> {
    let Situation { concurrent, randomised, ratio_ok, same_arm } = *situation;
    let all = [
        (!concurrent, "the runs did not overlap in time"),
        (same_arm && !one_run, "both are runs of the same arm, one after the other"),
        (!randomised, "traffic was not assigned to them at random"),
        (!ratio_ok, "the split of the traffic is not as planned"),
    ];
    all.iter().filter(|(holds, _)| *holds).map(|(_, text)| (*text).to_owned()).collect()
}

// === impl Attribution ===

impl Attribution {
    /// The fields that differ, with [`UNOBSERVED`] when something unrecorded may differ too.
    pub fn fields(&self) -> Vec<String> {
        let mut out: Vec<String> = self.changes.iter().map(|c| c.field.clone()).collect();
        if !self.unobserved.is_empty() {
            out.push(UNOBSERVED.to_owned());
        }
        out
    }
}

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests {
    use super::laws::{RANDOMISED, arm};
    use super::*;

    fn label(arms: &[ArmConfig], situation: &Situation) -> (Label, Vec<String>) {
        let plan = attribute(arms, 0, 1, situation).expect("in range");
        (plan.label, plan.fields())
    }

    #[test]
    fn one_field_is_identified_even_when_several_of_its_facets_differ() {
        let a =
            arm("a", &[("prompt.version", "3"), ("prompt.hash", "aa"), ("model.revision", "m")]);
        let b =
            arm("b", &[("prompt.version", "4"), ("prompt.hash", "bb"), ("model.revision", "m")]);
        let plan = attribute(&[a, b], 0, 1, &RANDOMISED).expect("in range");
        assert_eq!((plan.label, plan.fields()), (Label::Identified, vec!["prompt".to_owned()]));
        assert_eq!(plan.changes[0].paths, ["prompt.hash", "prompt.version"]);
        assert_eq!(plan.context["model"], "m");
    }

    #[test]
    fn two_fields_are_confounded() {
        let a = arm("a", &[("prompt.version", "3"), ("model.revision", "m")]);
        let b = arm("b", &[("prompt.version", "4"), ("model.revision", "n")]);
        let fields = vec!["model".to_owned(), "prompt".to_owned()];
        assert_eq!(label(&[a, b], &RANDOMISED), (Label::Confounded, fields));
    }

    #[test]
    fn what_is_missing_on_one_side_is_never_equal() {
        let a = arm("a", &[("prompt.version", "3")]);
        let mut b = arm("b", &[("prompt.version", "4"), ("tools.hash", "t")]);
        let pair = ["prompt".to_owned(), UNOBSERVED.to_owned()];
        assert_eq!(label(&[a.clone(), b.clone()], &RANDOMISED), (Label::Confounded, pair.to_vec()));
        b.facets.insert("prompt.version".to_owned(), "3".to_owned());
        let plan = attribute(&[a, b], 0, 1, &RANDOMISED).expect("in range");
        assert_eq!((plan.label, plan.fields()), (Label::Confounded, pair[1..].to_vec()));
        assert_eq!(plan.unobserved, ["tools.hash is known for b only"]);
        assert!(plan.context.keys().all(|field| field != "tools"));
    }

    #[test]
    fn a_change_inside_the_window_is_a_field_of_its_own() {
        let a = arm("a", &[("prompt.version", "3")]);
        let mut b = arm("b", &[("prompt.version", "4")]);
        b.unobserved_change = true;
        let plan = attribute(&[a, b], 0, 1, &RANDOMISED).expect("in range");
        assert_eq!(
            (plan.label, plan.fields()),
            (Label::Confounded, vec!["prompt".to_owned(), UNOBSERVED.to_owned()])
        );
        assert_eq!(plan.unobserved, ["an observed value of b changed inside the window"]);
        assert_eq!(plan.missing, None);
    }

    #[test]
    fn without_overlap_randomisation_or_ratio_it_is_temporal() {
        let arms = [arm("a", &[("prompt.version", "3")]), arm("b", &[("prompt.version", "4")])];
        for broken in [
            Situation { concurrent: false, ..RANDOMISED },
            Situation { randomised: false, ..RANDOMISED },
            Situation { ratio_ok: false, ..RANDOMISED },
            Situation { same_arm: true, ..RANDOMISED },
        ] {
            let plan = attribute(&arms, 0, 1, &broken).expect("in range");
            assert_eq!((plan.label, plan.reasons.len()), (Label::Temporal, 1), "{broken:?}");
            assert!(plan.separations.is_empty() && plan.missing.is_none());
        }
        let all = attribute(&arms, 0, 1, &Situation::default()).expect("in range");
        assert_eq!(all.reasons.len(), 3);
    }

    #[test]
    fn equal_configurations_are_the_same_and_indices_are_checked() {
        let arms = [arm("a", &[("prompt.version", "3")]), arm("b", &[("prompt.version", "3")])];
        assert_eq!(label(&arms, &RANDOMISED), (Label::Same, vec![]));
        assert_eq!(attribute(&arms, 0, 0, &RANDOMISED).expect("in range").label, Label::Same);
        assert_eq!(attribute(&arms, 0, 2, &RANDOMISED), None);
        assert_eq!(attribute(&[], 0, 0, &RANDOMISED), None);
    }
}
