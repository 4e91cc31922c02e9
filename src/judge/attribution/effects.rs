//! From a plan to effects: every contrast the plan may report, its interval from the caller's
//! confidence sequence, and what of a 2×2 is told — main effects when the interaction is
//! negligible, conditional ones otherwise. It never picks the family after seeing the data.

use super::{Attribution, Label, Separation, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an effect is the effect of.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// All that differs, together.
    Total,
    /// The one field that differs.
    Field,
    /// One field, averaged over both levels of another.
    Main,
    /// How much the effect of one field changes with another: μ11 − μ10 − μ01 + μ00.
    Interaction,
    /// One field, with the other differing fields where `given` says.
    Conditional,
    /// One field, if no two fields interact.
    ModelBased,
}

/// A contrast: `Σ coefficient · mean`, with variance `Σ coefficient² · variance`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Contrast {
    /// What it is the effect of.
    pub kind: EffectKind,
    /// The fields it is about.
    pub fields: Vec<String>,
    /// Where other differing fields stand.
    pub given: BTreeMap<String, Side>,
    /// One an arm of the plan; they add up to 0.
    pub coefficients: Vec<f64>,
}

/// An effect with its interval, in the unit of the metric.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// What it is the effect of.
    pub kind: EffectKind,
    /// The fields it is about.
    pub fields: Vec<String>,
    /// Where other differing fields stand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, Side>,
    /// For people: `prompt 3 → 4 at model=new`.
    pub text: String,
    /// Coefficients by the name of the arm; arms not used are left out.
    pub coefficients: BTreeMap<String, f64>,
    /// How many contrasts share the error probability of the interval.
    pub family: usize,
    /// The estimate; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// Lower end; absent when there is no estimate or no such end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// What the effect of a field ranges over, when it was seen with the others at different values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// The field.
    pub field: String,
    /// How many conditional effects there are.
    pub count: usize,
    /// The least estimate.
    pub low: f64,
    /// The greatest estimate.
    pub high: f64,
    /// The least lower end; absent when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// The greatest upper end; absent when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// The caller's confidence sequence: coefficients over the plan's arms, and how many contrasts
/// share the error probability → estimate, lower, upper.
pub type Sequence<'a> = &'a dyn Fn(&[f64], usize) -> Option<(f64, f64, f64)>;

/// Everything the plan may report beyond the total, each once: the family for the correction.
/// Main effects are in it only when a margin could make them be told.
pub fn contrasts(plan: &Attribution, margin: Option<f64>) -> Vec<Contrast> {
    let mut out = Vec::new();
    for separation in &plan.separations {
        for found in of_separation(separation, plan.arms.len()) {
            let told = found.kind != EffectKind::Main || usable(margin).is_some();
            if told && !out.contains(&found) {
                out.push(found);
            }
        }
    }
    out
}

/// Evaluates a plan. The total comes first, in a family of its own: it is the verdict's interval.
/// A 2×2 tells its interaction, and main effects when that lies strictly inside ±`margin`, else
/// conditional effects; no margin, or one that is not positive, is never enough. A temporal plan
/// has no effects. An interval that is missing or not finite leaves the numbers out.
pub fn evaluate(plan: &Attribution, margin: Option<f64>, sequence: Sequence<'_>) -> Vec<Effect> {
    let mut out: Vec<Effect> = Vec::new();
    let Some(total) = total(plan) else { return out };
    out.push(effect(plan, &total, 1, sequence));
    let family = contrasts(plan, margin).len();
    for separation in &plan.separations {
        let all = of_separation(separation, plan.arms.len());
        let mut effects: Vec<Effect> =
            all.iter().map(|contrast| effect(plan, contrast, family, sequence)).collect();
        let negligible = effects.iter().any(|e| inside(e, usable(margin)));
        let is_factorial = matches!(separation, Separation::Factorial { .. });
        let left_out = if negligible { EffectKind::Conditional } else { EffectKind::Main };
        effects.retain(|effect| !is_factorial || effect.kind != left_out);
        for effect in effects {
            if !out.contains(&effect) {
                out.push(effect);
            }
        }
    }
    out
}

/// The range of each field's conditional effects, when there are several with an estimate. The
/// ends hold together, since all effects share one error probability.
pub fn bounds(effects: &[Effect]) -> Vec<Bounds> {
    let mut all: BTreeMap<&str, Bounds> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.kind == EffectKind::Conditional) {
        let Some((field, estimate)) = effect.fields.first().zip(effect.estimate) else { continue };
        let one = Bounds {
            field: field.clone(),
            count: 1,
            low: estimate,
            high: estimate,
            lower: effect.lower,
            upper: effect.upper,
        };
        all.entry(field).and_modify(|known| known.widen(&one)).or_insert(one);
    }
    all.into_values().filter(|bounds| bounds.count > 1).collect()
}

// === impl Bounds ===

impl Bounds {
    fn widen(&mut self, other: &Bounds) {
        self.count += other.count;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.lower = self.lower.zip(other.lower).map(|(x, y)| x.min(y));
        self.upper = self.upper.zip(other.upper).map(|(x, y)| x.max(y));
    }
}

fn usable(margin: Option<f64>) -> Option<f64> {
    margin.filter(|m| m.is_finite() && *m > 0.0)
}

fn inside(effect: &Effect, margin: Option<f64>) -> bool {
    let Some(((lower, upper), m)) = effect.lower.zip(effect.upper).zip(margin) else {
        return false;
    };
    effect.kind == EffectKind::Interaction && -m < lower && upper < m
}

/// b − a: the field's effect when it is the only one.
fn total(plan: &Attribution) -> Option<Contrast> {
    if plan.label == Label::Temporal || plan.a == plan.b {
        return None;
    }
    let kind = if plan.label == Label::Identified { EffectKind::Field } else { EffectKind::Total };
    let coefficients = spread(plan.arms.len(), &[(plan.a, -1.0), (plan.b, 1.0)]);
    Some(Contrast { kind, fields: plan.fields(), given: BTreeMap::new(), coefficients })
}

fn spread(arms: usize, weights: &[(usize, f64)]) -> Vec<f64> {
    let mut out = vec![0.0; arms];
    for (arm, weight) in weights {
        if let Some(slot) = out.get_mut(*arm) {
            *slot += weight;
        }
    }
    out
}

/// All that a separation may tell: of a 2×2 its interaction, two main and four conditional
/// effects.
fn of_separation(separation: &Separation, count: usize) -> Vec<Contrast> {
    match separation {
        Separation::Factorial { fields, arms, given } => factorial(fields, arms, given, count),
        Separation::Path { order, arms } => steps(order, arms, count),
        Separation::Edge { field, arms, given } => {
            vec![conditional(field, *arms, given.clone(), count)]
        }
        Separation::ModelBased { field, coefficients } => vec![Contrast {
            kind: EffectKind::ModelBased,
            fields: vec![field.clone()],
            given: BTreeMap::new(),
            coefficients: coefficients.clone(),
        }],
    }
}

fn factorial(
    fields: &[String; 2],
    arms: &[usize; 4],
    given: &BTreeMap<String, Side>,
    count: usize,
) -> Vec<Contrast> {
    let whole = |kind, fields: &[String], weights: [f64; 4]| {
        let pairs: Vec<(usize, f64)> = arms.iter().copied().zip(weights).collect();
        let coefficients = spread(count, &pairs);
        Contrast { kind, fields: fields.to_vec(), given: given.clone(), coefficients }
    };
    let at = |field: &String, side: Side| {
        let mut given = given.clone();
        given.insert(field.clone(), side);
        given
    };
    let ([f, g], [i00, i01, i10, i11]) = (fields, *arms);
    vec![
        whole(EffectKind::Interaction, fields, [1.0, -1.0, -1.0, 1.0]),
        whole(EffectKind::Main, &fields[..1], [-0.5, -0.5, 0.5, 0.5]),
        whole(EffectKind::Main, &fields[1..], [-0.5, 0.5, -0.5, 0.5]),
        conditional(f, [i00, i10], at(g, Side::A), count),
        conditional(f, [i01, i11], at(g, Side::B), count),
        conditional(g, [i00, i01], at(f, Side::A), count),
        conditional(g, [i10, i11], at(f, Side::B), count),
    ]
}

/// The steps of a path; fields before a step are as in b, those after it as in a.
fn steps(order: &[String], arms: &[usize], count: usize) -> Vec<Contrast> {
    let mut out = Vec::new();
    for (at, (field, pair)) in order.iter().zip(arms.windows(2)).enumerate() {
        let side = |other: usize| if other < at { Side::B } else { Side::A };
        let others = order.iter().enumerate().filter(|(other, _)| *other != at);
        let given = others.map(|(other, name)| (name.clone(), side(other))).collect();
        out.push(conditional(field, [pair[0], pair[1]], given, count));
    }
    out
}

fn conditional(
    field: &str,
    [from, to]: [usize; 2],
    given: BTreeMap<String, Side>,
    count: usize,
) -> Contrast {
    let coefficients = spread(count, &[(from, -1.0), (to, 1.0)]);
    Contrast { kind: EffectKind::Conditional, fields: vec![field.to_owned()], given, coefficients }
}

fn effect(
    plan: &Attribution,
    contrast: &Contrast,
    family: usize,
    sequence: Sequence<'_>,
) -> Effect {
    let found = sequence(&contrast.coefficients, family).filter(|found| found.0.is_finite());
    let used = plan.arms.iter().zip(&contrast.coefficients).filter(|(_, c)| **c != 0.0);
    Effect {
        kind: contrast.kind,
        fields: contrast.fields.clone(),
        given: contrast.given.clone(),
        text: super::view::text_of(plan, contrast),
        coefficients: used.map(|(name, c)| (name.clone(), *c)).collect(),
        family,
        estimate: found.map(|found| found.0),
        lower: found.map(|found| found.1).filter(|x| x.is_finite()),
        upper: found.map(|found| found.2).filter(|x| x.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{RANDOMISED, arm};
    use super::super::{ArmConfig, attribute};
    use super::*;

    const SQUARE: [(&str, &str, &str); 4] =
        [("a", "old", "3"), ("b", "new", "4"), ("c", "new", "3"), ("d", "old", "4")];

    fn arms(of: &[(&str, &str, &str)]) -> Vec<ArmConfig> {
        let one = |(name, m, p): &(&str, &str, &str)| {
            arm(name, &[("model.revision", *m), ("prompt.version", *p)])
        };
        of.iter().map(one).collect()
    }

    /// Effects from known means, with an interval of ±`radius` times the family.
    fn effects(of: &[(&str, &str, &str)], means: &[f64], margin: Option<f64>) -> Vec<Effect> {
        let plan = attribute(&arms(of), 0, 1, &RANDOMISED).expect("in range");
        let sequence = |c: &[f64], family: usize| {
            let estimate: f64 = c.iter().zip(means).map(|(c, mean)| c * mean).sum();
            let radius = 0.01 * family as f64;
            Some((estimate, estimate - radius, estimate + radius))
        };
        evaluate(&plan, margin, &sequence)
    }

    fn kinds(effects: &[Effect]) -> Vec<EffectKind> {
        effects.iter().map(|effect| effect.kind).collect()
    }

    #[test]
    fn main_effects_are_told_when_the_interaction_is_negligible() {
        use EffectKind::{Interaction, Main, Total};
        let found = effects(&SQUARE, &[1.0, 4.0, 2.0, 3.0], Some(0.1));
        assert_eq!(kinds(&found), [Total, Interaction, Main, Main]);
        let estimates: Vec<f64> = found.iter().filter_map(|e| e.estimate).collect();
        assert_eq!(estimates, [3.0, 0.0, 1.0, 2.0]);
        assert_eq!(found.iter().map(|e| e.family).collect::<Vec<_>>(), [1, 7, 7, 7]);
        assert_eq!(found[2].text, "model old → new, averaged");
    }

    #[test]
    fn otherwise_conditional_effects_are_told_with_their_bounds() {
        for margin in [None, Some(0.1), Some(0.0), Some(f64::NAN), Some(f64::INFINITY), Some(1.0)] {
            let found = effects(&SQUARE, &[1.0, 5.0, 2.0, 3.0], margin);
            let conditional = found.iter().filter(|e| e.kind == EffectKind::Conditional);
            let told: Vec<(&str, f64)> =
                conditional.map(|e| (e.text.as_str(), e.estimate.expect("a number"))).collect();
            let expected = [
                ("model old → new at prompt=3", 1.0),
                ("model old → new at prompt=4", 2.0),
                ("prompt 3 → 4 at model=old", 2.0),
                ("prompt 3 → 4 at model=new", 3.0),
            ];
            assert_eq!(told, expected);
            assert!(found.iter().all(|e| e.kind != EffectKind::Main), "{margin:?}");
            let ranges: Vec<(f64, f64)> = bounds(&found).iter().map(|b| (b.low, b.high)).collect();
            assert_eq!(ranges, [(1.0, 2.0), (2.0, 3.0)]);
            let prompt = &bounds(&found)[1];
            let radius = 0.01 * found[1].family as f64;
            assert_eq!(prompt.lower.zip(prompt.upper), Some((2.0 - radius, 3.0 + radius)));
        }
        assert_eq!(effects(&SQUARE, &[1.0, 5.0, 2.0, 3.0], None)[1].family, 5);
    }

    #[test]
    fn a_margin_must_hold_the_whole_interval() {
        let at = |margin| kinds(&effects(&SQUARE, &[0.0; 4], Some(margin))).len();
        assert_eq!((at(0.07), at(0.0701)), (6, 4), "the interval is ±0.07");
        for below_or_above in [-9.0, 9.0] {
            let found = effects(&SQUARE, &[0.0, below_or_above, 0.0, 0.0], Some(1.0));
            assert_eq!(found.len(), 6);
        }
    }

    #[test]
    fn a_single_path_is_told_step_by_step() {
        let found = effects(&SQUARE[..3], &[1.0, 4.0, 2.0], Some(9.0));
        let told: Vec<(&str, Option<f64>)> =
            found.iter().map(|e| (e.text.as_str(), e.estimate)).collect();
        let expected = [
            ("model old → new, prompt 3 → 4", Some(3.0)),
            ("model old → new at prompt=3", Some(1.0)),
            ("prompt 3 → 4 at model=new", Some(2.0)),
        ];
        assert_eq!(told, expected);
        assert!(bounds(&found).is_empty());
    }

    #[test]
    fn what_cannot_be_estimated_has_no_numbers() {
        let plan = attribute(&arms(&SQUARE), 0, 1, &RANDOMISED).expect("in range");
        for none in [None, Some((f64::NAN, 0.0, 1.0))] {
            let found = evaluate(&plan, Some(1.0), &|_, _| none);
            assert_eq!(found.len(), 6);
            assert!(found.iter().all(|e| (e.estimate, e.lower, e.upper) == (None, None, None)));
        }
        let open = evaluate(&plan, Some(1.0), &|_, _| Some((0.0, f64::NEG_INFINITY, 0.1)));
        assert!(open.iter().all(|e| e.lower.is_none() && e.kind != EffectKind::Main));
    }
}
