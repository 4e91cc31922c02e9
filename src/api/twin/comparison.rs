//! The comparison as its protobuf twin.

use super::{grader, proto, value, word};
use crate::compare::{Comparison, FacetDifference, MetricContrast, RunSide};
use crate::judge::attribution::{AttributionView, Bounds, Effect, FieldChange, MissingArm, Side};
use std::collections::BTreeMap;

/// The protobuf twin of a comparison.
pub fn comparison(found: &Comparison) -> proto::CompareRunsResponse {
    let facets = |list: &[FacetDifference]| list.iter().map(facet).collect();
    proto::CompareRunsResponse {
        a: found.a.clone(),
        b: found.b.clone(),
        concurrent: found.concurrent,
        run_a: Some(side(&found.run_a)),
        run_b: Some(side(&found.run_b)),
        attribution: Some(attribution(&found.attribution)),
        differing: facets(&found.differing),
        missing: facets(&found.missing),
        equal: facets(&found.equal),
        metrics: found.metrics.iter().map(contrast).collect(),
    }
}

fn side(side: &RunSide) -> proto::RunSide {
    proto::RunSide {
        experiment: side.experiment.clone(),
        arm: side.arm.clone(),
        control: side.control,
        site: side.site.clone(),
        epoch: side.epoch,
        calls: side.calls,
        units: side.units,
        first_seen: side.first_seen.clone(),
        last_seen: side.last_seen.clone(),
    }
}

fn facet(found: &FacetDifference) -> proto::FacetDifference {
    let (a, b) = (found.a.as_ref().map(value), found.b.as_ref().map(value));
    proto::FacetDifference { facet: found.facet.clone(), a, b }
}

fn contrast(line: &MetricContrast) -> proto::MetricContrast {
    proto::MetricContrast {
        name: line.name.clone(),
        unit: line.unit.clone(),
        grader: line.grader.as_ref().map(grader),
        a: line.a,
        b: line.b,
        difference: line.difference,
        lower: line.lower,
        upper: line.upper,
        confidence: line.confidence,
        log_e: line.log_e,
        method: line.method.clone(),
        unmet: line.unmet.clone(),
        effects: line.effects.iter().map(effect).collect(),
        bounds: line.bounds.iter().map(bounds).collect(),
    }
}

fn attribution(found: &AttributionView) -> proto::Attribution {
    let order = |fields: &Vec<String>| proto::Order { fields: fields.clone() };
    proto::Attribution {
        label: word(&found.label),
        fields: found.fields.clone(),
        changes: found.changes.iter().map(change).collect(),
        context: found.context.clone(),
        reasons: found.reasons.clone(),
        orders: found.orders.iter().map(order).collect(),
        missing_arm: found.missing_arm.as_ref().map(missing_arm),
        limits: found.limits.clone(),
        sentence: found.sentence.clone(),
    }
}

fn change(change: &FieldChange) -> proto::FieldChange {
    proto::FieldChange {
        field: change.field.clone(),
        paths: change.paths.clone(),
        unknown: change.unknown.clone(),
        a: change.a.clone(),
        b: change.b.clone(),
    }
}

fn missing_arm(arm: &MissingArm) -> proto::MissingArm {
    proto::MissingArm {
        config: words(&arm.config),
        facets: arm.facets.clone(),
        separates: arm.separates.clone(),
        text: arm.text.clone(),
    }
}

fn effect(effect: &Effect) -> proto::Effect {
    proto::Effect {
        kind: word(&effect.kind),
        fields: effect.fields.clone(),
        given: words(&effect.given),
        text: effect.text.clone(),
        coefficients: effect.coefficients.clone(),
        family: effect.family as u64,
        estimate: effect.estimate,
        lower: effect.lower,
        upper: effect.upper,
    }
}

fn bounds(bounds: &Bounds) -> proto::Bounds {
    proto::Bounds {
        field: bounds.field.clone(),
        count: bounds.count as u64,
        low: bounds.low,
        high: bounds.high,
        lower: bounds.lower,
        upper: bounds.upper,
    }
}

fn words(sides: &BTreeMap<String, Side>) -> BTreeMap<String, String> {
    sides.iter().map(|(field, side)| (field.clone(), word(side))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::compare::tests::{square, view_of};

    #[test]
    fn figures_and_words_are_those_of_the_document() {
        let runs = square();
        let found = compare(&view_of(&runs), &runs[0], &runs[1]);
        let twin = comparison(&found);
        assert_eq!(twin.attribution.as_ref().expect("attribution").label, "confounded");
        let (score, theirs) = (&found.metrics[0], &twin.metrics[0]);
        assert_eq!((theirs.lower, theirs.log_e), (score.lower, score.log_e));
        assert_eq!(theirs.effects.len(), 6);
        assert_eq!((theirs.effects[1].kind.as_str(), theirs.effects[1].family), ("interaction", 7));
        assert_eq!(theirs.effects[3].given["prompt"], "b");
        assert_eq!(theirs.bounds.len(), 2);
        let pair = compare(&view_of(&runs[..2]), &runs[0], &runs[1]);
        let arm = comparison(&pair).attribution.expect("attribution").missing_arm.expect("arm");
        assert_eq!(arm.config["model"], "b");
    }
}
