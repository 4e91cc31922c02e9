//! Laws of attribution over random arms: labels, separations, contrasts and the missing arm hold
//! whatever the order of the arms and whichever of the two comes first.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The situation in which causes may be told.
pub(super) const RANDOMISED: Situation =
    Situation { concurrent: true, randomised: true, ratio_ok: true, same_arm: false };

/// An arm with these facets.
pub(super) fn arm(name: &str, facets: &[(&str, &str)]) -> ArmConfig {
    let facets = facets.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned()));
    ArmConfig { name: name.to_owned(), facets: facets.collect(), unobserved_change: false }
}

const FIELDS: [&str; 4] = ["model", "prompt", "sampling", "tools"];

/// Two facets a field; level 2 leaves one of them out, unless the field is the model.
fn numbered(at: usize, levels: &[usize], unobserved_change: bool) -> ArmConfig {
    let mut facets = BTreeMap::new();
    for (field, level) in FIELDS.iter().zip(levels) {
        facets.insert(format!("{field}.version"), (level % 2).to_string());
        if *level < 2 || *field == "model" {
            facets.insert(format!("{field}.hash"), level.to_string());
        }
    }
    ArmConfig { name: format!("arm{:02}", (at * 5 + 8) % 13), facets, unobserved_change }
}

/// 2 to 12 arms; most levels are 0 or 1, so that 2×2s and paths are common.
fn any_arms() -> impl Strategy<Value = Vec<ArmConfig>> {
    let level = prop_oneof![20 => 0..2_usize, 1 => Just(2)];
    let one = (prop::collection::vec(level, 4), prop::bool::weighted(0.04));
    prop::collection::vec(one, 2..13).prop_map(|all| {
        all.iter().enumerate().map(|(at, (levels, moved))| numbered(at, levels, *moved)).collect()
    })
}

/// An arbitrary mean an arm, by its name.
fn mean(name: &str) -> f64 {
    name.bytes().fold(7_u64, |sum, byte| sum * 31 % 1009 + u64::from(byte)) as f64
}

/// The document with means by name and an interval without width.
fn document(arms: &[ArmConfig], a: usize, b: usize, margin: Option<f64>) -> AttributionView {
    let plan = attribute(arms, a, b, &RANDOMISED).expect("in range");
    let sequence = |c: &[f64], _: usize| {
        let sum = c.iter().zip(arms).map(|(c, arm)| c * mean(&arm.name)).sum();
        Some((sum, sum, sum))
    };
    let effects = evaluate(&plan, margin, &sequence);
    view(&plan, effects)
}

/// Fields whose facets are not the same in two arms, a missing one included.
fn unequal(x: &ArmConfig, y: &ArmConfig) -> BTreeSet<String> {
    let of = |arm: &ArmConfig| arm.facets.clone().into_iter().collect::<BTreeSet<_>>();
    let (x, y) = (of(x), of(y));
    x.symmetric_difference(&y).map(|(path, _)| groups::field_of(path).to_owned()).collect()
}

fn directly(plan: &Attribution) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for separation in &plan.separations {
        match separation {
            Separation::Factorial { fields, .. } => out.extend(fields.iter().cloned()),
            Separation::Path { order, .. } => out.extend(order.iter().cloned()),
            Separation::Edge { field, .. } => drop(out.insert(field.clone())),
            Separation::ModelBased { .. } => {}
        }
    }
    out
}

/// Numbers of effects rounded away from the noise of an additive fit.
fn calm(mut view: AttributionView) -> AttributionView {
    let calm = |x: &mut f64| *x = (*x * 1e6).round() / 1e6 + 0.0;
    for effect in &mut view.effects {
        effect.coefficients.values_mut().for_each(calm);
        effect.coefficients.retain(|_, c| *c != 0.0);
        [&mut effect.estimate, &mut effect.lower, &mut effect.upper]
            .into_iter()
            .flatten()
            .for_each(calm);
    }
    view
}

/// The two arms of a confounded pair, by the names they had in another order.
fn find(arms: &[ArmConfig], name: &str) -> usize {
    arms.iter().position(|arm| arm.name == name).expect("there")
}

proptest! {
    #[test]
    fn the_label_is_what_the_facets_say(arms in any_arms()) {
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        let unequal = unequal(&arms[0], &arms[1]);
        let (a, b) = (&arms[0].facets, &arms[1].facets);
        let differs = |field: &&String| {
            let mine = |path: &str| groups::field_of(path) == field.as_str();
            a.iter().any(|(path, value)| mine(path) && b.get(path).is_some_and(|x| x != value))
        };
        let (changed, unknown): (Vec<&String>, Vec<&String>) = unequal.iter().partition(differs);
        let moved = arms[0].unobserved_change || arms[1].unobserved_change;
        let hidden = moved || !unknown.is_empty();
        let expected = match (changed.len(), hidden) {
            (0, false) => Label::Same,
            (1, false) => Label::Identified,
            _ => Label::Confounded,
        };
        prop_assert_eq!(plan.label, expected);
        prop_assert_eq!(plan.changes.iter().map(|c| &c.field).collect::<Vec<_>>(), changed);
        prop_assert_eq!(!plan.unobserved.is_empty(), hidden);
        prop_assert_eq!(plan.context.len() + unequal.len(), FIELDS.len());
    }

    #[test]
    fn contrasts_add_up_to_nothing_and_use_arms_that_differ_as_said(arms in any_arms()) {
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        for contrast in contrasts(&plan, Some(1.0)) {
            let used: Vec<usize> =
                (0..arms.len()).filter(|i| contrast.coefficients[*i] != 0.0).collect();
            prop_assert!(contrast.coefficients.iter().sum::<f64>().abs() < 1e-9);
            prop_assert!(used.iter().all(|i| !arms[*i].unobserved_change));
            prop_assert!(contrast.fields.iter().all(|f| plan.fields().contains(f)));
            if contrast.kind == EffectKind::Conditional {
                let differ = unequal(&arms[used[0]], &arms[used[1]]);
                prop_assert_eq!(Vec::from_iter(differ), contrast.fields.clone());
                for (field, side) in &contrast.given {
                    let like = if *side == Side::A { &arms[0] } else { &arms[1] };
                    prop_assert!(used.iter().all(|i| !unequal(&arms[*i], like).contains(field)));
                }
            }
        }
    }

    #[test]
    fn the_steps_of_every_path_add_up_to_the_total(arms in any_arms()) {
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        for path in plan.separations.iter().filter(|s| matches!(s, Separation::Path { .. })) {
            let alone = Attribution { separations: vec![path.clone()], ..plan.clone() };
            let mut left: Vec<f64> = vec![0.0; arms.len()];
            (left[0], left[1]) = (-1.0, 1.0);
            for step in contrasts(&alone, None) {
                left.iter_mut().zip(&step.coefficients).for_each(|(sum, c)| *sum -= c);
            }
            prop_assert!(left.iter().all(|c| *c == 0.0), "{path:?}");
        }
    }

    #[test]
    fn every_contrast_recovers_the_truth_of_an_additive_world(arms in any_arms()) {
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        let value = |arm: &ArmConfig, field: &str| -> f64 {
            let mine = arm.facets.iter().filter(|(path, _)| groups::field_of(path) == field);
            mean(&mine.map(|(path, value)| format!("{path}{value}")).collect::<String>())
        };
        let world = |arm: &ArmConfig| FIELDS.iter().map(|field| value(arm, field)).sum::<f64>();
        for contrast in contrasts(&plan, Some(1.0)) {
            let parts = contrast.coefficients.iter().zip(&arms).map(|(c, arm)| c * world(arm));
            let told: f64 = parts.sum();
            let field = &contrast.fields[0];
            let truth = match contrast.kind {
                EffectKind::Interaction => 0.0,
                _ => value(&arms[1], field) - value(&arms[0], field),
            };
            prop_assert!((told - truth).abs() < 1e-6, "{contrast:?}");
        }
    }

    #[test]
    fn a_square_is_found_whatever_the_order_of_arms(
        others in any_arms(),
        at in prop::sample::subsequence(vec![0, 1, 2, 3], 2),
        turn in 0..9_usize,
    ) {
        let (f, g) = (at[0], at[1]);
        let mut arms = Vec::new();
        for (name, levels) in [("p", [0, 0]), ("q", [0, 1]), ("r", [1, 0]), ("s", [1, 1])] {
            let mut all = [0; 4];
            (all[f], all[g]) = (levels[0], levels[1]);
            arms.push(ArmConfig { name: name.to_owned(), ..numbered(0, &all, false) });
        }
        for other in others {
            if arms.iter().all(|arm| arm.facets != other.facets) {
                arms.push(other);
            }
        }
        let count = arms.len();
        arms.rotate_left(turn % count);
        let plan = attribute(&arms, find(&arms, "p"), find(&arms, "s"), &RANDOMISED).expect("in range");
        let expected = Separation::Factorial {
            fields: [FIELDS[f].to_owned(), FIELDS[g].to_owned()],
            arms: ["p", "q", "r", "s"].map(|name| find(&arms, name)),
            given: BTreeMap::new(),
        };
        prop_assert_eq!(&plan.separations, &vec![expected]);
        prop_assert_eq!(plan.missing, None);
    }

    #[test]
    fn the_missing_arm_separates_what_it_says_and_is_there_when_needed(arms in any_arms()) {
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        let covered = directly(&plan);
        let open = plan.changes.iter().any(|change| !covered.contains(&change.field));
        let wanted = plan.label == Label::Confounded && plan.unobserved.is_empty() && open;
        prop_assert_eq!(plan.missing.is_some(), wanted);
        if let Some(missing) = &plan.missing {
            let mut next = arms.clone();
            let mut added = arms[0].clone();
            added.name = "added".to_owned();
            let replaced = |path: &String| missing.config.contains_key(groups::field_of(path));
            added.facets.retain(|path, _| !replaced(path));
            added.facets.extend(missing.facets.clone());
            next.push(added);
            let then = attribute(&next, 0, 1, &RANDOMISED).expect("in range");
            prop_assert!(!missing.separates.is_empty());
            prop_assert!(missing.separates.iter().all(|field| !covered.contains(field)));
            let now = directly(&then);
            prop_assert_eq!(&now - &covered, BTreeSet::from_iter(missing.separates.clone()));
            if plan.changes.len() == 2 {
                let whole = |s: &Separation| {
                    matches!(s, Separation::Factorial { .. } | Separation::Path { .. })
                };
                prop_assert!(then.separations.iter().any(whole));
            }
        }
    }

    #[test]
    fn the_order_of_arms_changes_nothing(arms in any_arms(), turn in 1..12_usize, flip: bool) {
        let mut other = arms.clone();
        let count = other.len();
        other.rotate_left(turn % count);
        if flip {
            other.reverse();
        }
        let (a, b) = (find(&other, &arms[0].name), find(&other, &arms[1].name));
        for margin in [None, Some(500.0)] {
            let (left, right) = (document(&arms, 0, 1, margin), document(&other, a, b, margin));
            prop_assert_eq!(calm(left), calm(right));
        }
    }

    #[test]
    fn swapping_the_two_negates_every_effect_but_the_interaction(arms in any_arms()) {
        let flipped = |given: &BTreeMap<String, Side>| -> BTreeMap<String, Side> {
            let turn = |side: &Side| if *side == Side::A { Side::B } else { Side::A };
            given.iter().map(|(field, side)| (field.clone(), turn(side))).collect()
        };
        for margin in [None, Some(500.0)] {
            let (there, back) = (document(&arms, 0, 1, margin), document(&arms, 1, 0, margin));
            prop_assert_eq!((there.label, &there.fields), (back.label, &back.fields));
            if !there.limits.is_empty() {
                continue; // what is listed first depends on what is a
            }
            prop_assert_eq!(there.effects.len(), back.effects.len());
            for effect in &there.effects {
                let given = flipped(&effect.given);
                let key = (effect.kind, &effect.fields, &given);
                let same = |other: &&Effect| (other.kind, &other.fields, &other.given) == key;
                let twin = back.effects.iter().find(same).expect("the same effect the other way");
                let sign = if effect.kind == EffectKind::Interaction { 1.0 } else { -1.0 };
                let off = twin.estimate.expect("a number") - sign * effect.estimate.expect("a number");
                prop_assert!(off.abs() < 1e-6, "{effect:?} {twin:?}");
            }
        }
    }

    #[test]
    fn documents_survive_json(arms in any_arms()) {
        let view = document(&arms, 0, 1, Some(500.0));
        let text = serde_json::to_string(&view).expect("JSON");
        prop_assert!(!text.contains("null"));
        prop_assert_eq!(serde_json::from_str::<AttributionView>(&text).expect("JSON"), view);
        let plan = attribute(&arms, 0, 1, &RANDOMISED).expect("in range");
        let text = serde_json::to_string(&plan).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Attribution>(&text).expect("JSON"), plan);
    }
}

#[test]
fn beyond_the_limits_it_says_so() {
    let wide = |name: &str, value: &str| {
        let facets = (0..100).map(|i| (format!("f{i}.x"), value.to_owned())).collect();
        ArmConfig { name: name.to_owned(), facets, unobserved_change: false }
    };
    let plan = attribute(&[wide("a", "1"), wide("b", "2")], 0, 1, &RANDOMISED).expect("in range");
    assert_eq!((plan.changes.len(), plan.limits.len()), (100, 1));
    assert!(plan.separations.is_empty() && plan.missing.is_none());
    let field = |f: usize, bit: usize| (format!("f{f:02}.x"), bit.to_string());
    let at = |corner: usize| ArmConfig {
        name: format!("arm{corner:03}"),
        facets: (0..FIELDS_MAX).map(|f| field(f, corner >> f & 1)).collect(),
        unobserved_change: false,
    };
    let mut arms: Vec<ArmConfig> = (0..64).map(at).collect();
    arms.push(at((1 << FIELDS_MAX) - 1));
    let plan = attribute(&arms, 0, 64, &RANDOMISED).expect("in range");
    let first = format!("only the first {ARMS_MAX} arms by name are looked at");
    assert_eq!(plan.limits[0], first);
    assert_eq!(directly(&plan).len(), 5, "of the 31 corners below 2^5 that are looked at");
    assert!(contrasts(&plan, Some(1.0)).len() <= 80 + 3 * FACTORIALS_MAX + FIELDS_MAX);
}
