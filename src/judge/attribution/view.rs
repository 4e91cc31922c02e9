//! An attribution as a JSON document, with one sentence for people. It never says more than the
//! label: a temporal comparison is not causal, a confounded total belongs to no single field.

use super::effects::{Bounds, Contrast, Effect, EffectKind, bounds};
use super::groups::FieldChange;
use super::sides::{MissingArm, Separation, Side};
use super::{Attribution, Label};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Fields of the context named in the sentence.
const CONTEXT_SHOWN: usize = 4;

/// What a difference between two arms may be put down to, and what tells its causes apart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttributionView {
    /// `identified`, `confounded`, `temporal` or `same`.
    pub label: Label,
    /// Fields that differ; `provider_unobserved` when something unrecorded may.
    pub fields: Vec<String>,
    /// How they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Fields that are equal, with a value for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
    /// Why it is temporal, or why something unrecorded may differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Orders of single-field steps from a to b.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Vec<String>>,
    /// Effects, b − a: the total first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// What a field's effect ranges over, by where the other fields stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// The arm whose run would tell most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_arm: Option<MissingArm>,
    /// Limits that cut this short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// One sentence for people.
    pub sentence: String,
}

/// The document of a plan and its effects.
pub fn view(plan: &Attribution, effects: Vec<Effect>) -> AttributionView {
    let order = |separation: &Separation| match separation {
        Separation::Path { order, .. } => Some(order.clone()),
        _ => None,
    };
    AttributionView {
        label: plan.label,
        fields: plan.fields(),
        changes: plan.changes.clone(),
        context: plan.context.clone(),
        reasons: plan.reasons.iter().chain(&plan.unobserved).cloned().collect(),
        orders: plan.separations.iter().filter_map(order).collect(),
        bounds: bounds(&effects),
        effects,
        missing_arm: plan.missing.clone(),
        limits: plan.limits.clone(),
        sentence: sentence(plan),
    }
}

/// What a contrast is, for people: `prompt 3 → 4 at model=new`.
pub(super) fn text_of(plan: &Attribution, contrast: &Contrast) -> String {
    let arrows = |with: &str| -> String {
        let all: Vec<String> = contrast.fields.iter().map(|field| arrow(plan, field)).collect();
        all.join(with)
    };
    let base = match contrast.kind {
        EffectKind::Total if contrast.fields.is_empty() => "nothing recorded".to_owned(),
        EffectKind::Total => arrows(", "),
        EffectKind::Interaction => format!("interaction of {}", contrast.fields.join(" and ")),
        EffectKind::Main => format!("{}, averaged", arrows("")),
        EffectKind::ModelBased => format!("{}, if no fields interact", arrows("")),
        EffectKind::Field | EffectKind::Conditional => arrows(""),
    };
    let known = |change: &&FieldChange| contrast.given.contains_key(&change.field);
    let given: Vec<String> = plan.changes.iter().filter(known).map(|c| at(c, contrast)).collect();
    if given.is_empty() { base } else { format!("{base} at {}", given.join(", ")) }
}

fn at(change: &FieldChange, contrast: &Contrast) -> String {
    match contrast.given.get(&change.field) {
        Some(Side::B) => change.b.clone(),
        _ => change.a.clone(),
    }
}

/// `prompt 3 → 4`, or `sampling.temperature=0.2 → sampling.temperature=0.7`.
fn arrow(plan: &Attribution, field: &str) -> String {
    let Some(change) = plan.changes.iter().find(|change| change.field == field) else {
        return field.to_owned();
    };
    let bare = |text: &'_ str| -> Option<String> {
        text.strip_prefix(field)?.strip_prefix('=').map(str::to_owned)
    };
    match bare(&change.a).zip(bare(&change.b)) {
        Some((a, b)) => format!("{field} {a} → {b}"),
        None => format!("{} → {}", change.a, change.b),
    }
}

fn sentence(plan: &Attribution) -> String {
    match plan.label {
        Label::Same => "The recorded configuration is the same on both sides: any difference is \
                        chance or something unrecorded."
            .to_owned(),
        Label::Temporal => {
            let reasons = capital(&and(&plan.reasons));
            format!("{reasons}: any difference may come from the traffic.")
        }
        Label::Identified => {
            let what: Vec<String> =
                plan.changes.iter().map(|change| arrow(plan, &change.field)).collect();
            format!("Any difference is due to {}; {}.", what.join(", "), equal(plan))
        }
        Label::Confounded => confounded(plan),
    }
}

fn equal(plan: &Attribution) -> String {
    if plan.context.is_empty() {
        return "nothing else is recorded".to_owned();
    }
    let shown = plan.context.iter().take(CONTEXT_SHOWN);
    let mut parts: Vec<String> = shown.map(|(field, value)| format!("{field} {value}")).collect();
    if plan.context.len() > CONTEXT_SHOWN {
        parts.push("…".to_owned());
    }
    format!("everything else recorded is equal ({})", parts.join(", "))
}

fn confounded(plan: &Attribution) -> String {
    let changed: Vec<String> = plan.changes.iter().map(|change| change.field.clone()).collect();
    let head = match (changed.len(), plan.unobserved.is_empty()) {
        (0, _) => format!(
            "No recorded field differs, but {}: a difference may come from what is not recorded",
            and(&plan.unobserved)
        ),
        (_, false) => format!(
            "{} changed, and something unrecorded may have too ({}){}",
            capital(&and(&changed)),
            and(&plan.unobserved),
            told(plan, &changed)
        ),
        _ => format!("{} changed together{}", capital(&and(&changed)), told(plan, &changed)),
    };
    match &plan.missing {
        Some(arm) => {
            format!("{head}; {} to separate {}.", arm.text, scope(&arm.separates, &changed))
        }
        None => format!("{head}."),
    }
}

/// Which effects other arms tell apart, as the end of a sentence.
fn told(plan: &Attribution, changed: &[String]) -> String {
    let (mut apart, mut modelled) = (BTreeSet::new(), BTreeSet::new());
    for separation in &plan.separations {
        match separation {
            Separation::Factorial { fields, .. } => apart.extend(fields.iter().cloned()),
            Separation::Path { order, .. } => apart.extend(order.iter().cloned()),
            Separation::Edge { field, .. } => drop(apart.insert(field.clone())),
            Separation::ModelBased { field, .. } => drop(modelled.insert(field.clone())),
        }
    }
    let assumed = match list(&modelled) {
        text if text.is_empty() => text,
        text => format!(", and {text} if no fields interact"),
    };
    match (apart.len(), modelled.is_empty()) {
        (0, true) if changed.len() == 1 => ": its effect cannot be told apart".to_owned(),
        (0, true) => ": their effects cannot be told apart".to_owned(),
        (0, false) => format!(": other arms separate {} if no fields interact", list(&modelled)),
        _ => format!(": other arms separate {}{assumed}", list(&apart)),
    }
}

/// `them` when the arm separates all that changed.
fn scope(separates: &[String], changed: &[String]) -> String {
    if separates == changed { "them".to_owned() } else { and(separates) }
}

fn list(names: &BTreeSet<String>) -> String {
    and(&names.iter().cloned().collect::<Vec<String>>())
}

/// `a, b and c`.
fn and(parts: &[String]) -> String {
    match parts.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::super::laws::{RANDOMISED, arm};
    use super::super::{ArmConfig, Situation, attribute};
    use super::*;

    fn said(arms: &[ArmConfig], situation: &Situation) -> String {
        view(&attribute(arms, 0, 1, situation).expect("in range"), Vec::new()).sentence
    }

    fn pair() -> [ArmConfig; 2] {
        let a = [("model.revision", "old"), ("prompt.version", "3"), ("tools.hash", "t")];
        let b = [("model.revision", "new"), ("prompt.version", "4"), ("tools.hash", "t")];
        [arm("a", &a), arm("b", &b)]
    }

    #[test]
    fn the_sentence_names_the_arm_to_run() {
        assert_eq!(
            said(&pair(), &RANDOMISED),
            "Model and prompt changed together: their effects cannot be told apart; run model=new \
             with prompt=3 to separate them."
        );
    }

    #[test]
    fn the_sentence_says_what_is_equal_and_what_is_unknown() {
        let [a, mut b] = pair();
        b.facets.insert("model.revision".to_owned(), "old".to_owned());
        assert_eq!(
            said(&[a.clone(), b.clone()], &RANDOMISED),
            "Any difference is due to prompt 3 → 4; everything else recorded is equal (model old, \
             tools t)."
        );
        b.facets.remove("tools.hash");
        assert_eq!(
            said(&[a.clone(), b.clone()], &RANDOMISED),
            "Prompt changed, and something unrecorded may have too (tools.hash is known for a \
             only): its effect cannot be told apart."
        );
        b.facets.insert("prompt.version".to_owned(), "3".to_owned());
        assert_eq!(
            said(&[a, b], &RANDOMISED),
            "No recorded field differs, but tools.hash is known for a only: a difference may come \
             from what is not recorded."
        );
    }

    #[test]
    fn the_sentence_gives_the_reasons_of_a_temporal_comparison() {
        let apart = Situation { concurrent: false, ..RANDOMISED };
        assert_eq!(
            said(&pair(), &apart),
            "The runs did not overlap in time: any difference may come from the traffic."
        );
    }

    #[test]
    fn the_sentence_says_what_other_arms_tell() {
        let [a, b] = pair();
        let between = [("model.revision", "new"), ("prompt.version", "3"), ("tools.hash", "t")];
        assert_eq!(
            said(&[a.clone(), b.clone(), arm("c", &between)], &RANDOMISED),
            "Model and prompt changed together: other arms separate model and prompt."
        );
        let elsewhere = |name, model| {
            arm(name, &[("model.revision", model), ("prompt.version", "9"), ("tools.hash", "t")])
        };
        assert_eq!(
            said(&[a, b, elsewhere("c", "old"), elsewhere("d", "new")], &RANDOMISED),
            "Model and prompt changed together: other arms separate model and prompt if no fields \
             interact; run model=new with prompt=3 to separate them."
        );
    }
}
