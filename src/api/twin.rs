//! The record and the comparison as their protobuf twins.

mod comparison;

pub use comparison::comparison;

use super::proto;
use crate::model::record as model;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;

/// The protobuf twin of a record.
pub fn to_proto(record: &model::RunRecord) -> proto::RunRecord {
    proto::RunRecord {
        schema: record.schema.clone(),
        run: Some(head(&record.run)),
        config: Some(structure(&record.config)),
        observed: record.observed.iter().map(observed).collect(),
        evidence: Some(evidence(&record.evidence)),
        window: Some(proto::Window {
            first_seen: record.window.first_seen.clone(),
            last_seen: record.window.last_seen.clone(),
            epoch: record.window.epoch,
            closed: record.window.closed,
        }),
        traffic: Some(traffic(&record.traffic)),
        metrics: record.metrics.iter().map(metric).collect(),
        sample_ratio: record.sample_ratio.as_ref().map(sample_ratio),
        changes: record.changes.iter().map(change).collect(),
        links: record.links.iter().map(link).collect(),
        cases: record.cases.as_ref().map(|cases| proto::Cases {
            count: cases.count,
            inputs: cases.inputs.clone(),
            expected_version: cases.expected_version.clone(),
        }),
        collector: Some(proto::Collector {
            version: record.collector.version.clone(),
            config: record.collector.config.clone(),
            position: record.collector.position.clone(),
            exported_at: record.collector.exported_at.clone(),
        }),
    }
}

fn head(run: &model::RunHead) -> proto::RunHead {
    proto::RunHead {
        id: run.id.clone(),
        experiment: run.experiment.clone(),
        arm: run.arm.clone(),
        control: run.control,
        site: run.site.clone(),
        mode: run.mode.clone(),
        fingerprint: run.fingerprint.clone(),
        partial: run.partial,
        overflow: run.overflow,
    }
}

fn observed(field: &model::Observed) -> proto::Observed {
    let one = |seen: &model::ObservedValue| proto::ObservedValue {
        value: Some(value(&seen.value)),
        calls: seen.calls,
        first_seen: seen.first_seen.clone(),
        last_seen: seen.last_seen.clone(),
    };
    proto::Observed {
        field: field.field.clone(),
        values: field.values.iter().map(one).collect(),
        more: field.more,
    }
}

fn evidence(evidence: &model::Evidence) -> proto::Evidence {
    let missing =
        |m: &model::Missing| proto::Missing { service: m.service.clone(), calls: m.calls };
    let one = |facet: &model::FacetEvidence| proto::FacetEvidence {
        facet: facet.facet.clone(),
        present: facet.present,
        share: facet.share,
        missing_from: facet.missing_from.iter().map(missing).collect(),
    };
    proto::Evidence {
        grade: evidence.grade.clone(),
        calls: evidence.calls,
        facets: evidence.facets.iter().map(one).collect(),
    }
}

fn traffic(traffic: &model::Traffic) -> proto::Traffic {
    proto::Traffic {
        calls: traffic.calls,
        units: traffic.units,
        unit: traffic.unit.clone(),
        duplicates: traffic.duplicates,
        late: traffic.late,
        crossover_units: traffic.crossover_units,
    }
}

fn metric(line: &model::MetricLine) -> proto::MetricLine {
    proto::MetricLine {
        name: line.name.clone(),
        role: word(&line.role),
        direction: word(&line.direction),
        unit: line.unit.clone(),
        definition: line.definition.clone(),
        grader: line.grader.as_ref().map(grader),
        calls: line.calls,
        scored: line.scored,
        units: line.units,
        level: line.level.as_ref().map(level),
        difference: line.difference.as_ref().map(difference),
        verdict: line.verdict.as_ref().map(verdict),
        margin: line.margin,
        margin_share: line.margin_share,
        ceiling: line.ceiling,
    }
}

fn grader(grader: &model::GraderLine) -> proto::GraderLine {
    proto::GraderLine {
        name: grader.name.clone(),
        version: grader.version.clone(),
        model: grader.model.clone(),
    }
}

fn level(level: &model::Level) -> proto::Level {
    proto::Level {
        estimate: level.estimate,
        lower: level.lower,
        upper: level.upper,
        confidence: level.confidence,
        method: level.method.clone(),
    }
}

fn difference(difference: &model::Difference) -> proto::Difference {
    proto::Difference {
        from: difference.from.clone(),
        estimate: difference.estimate,
        lower: difference.lower,
        upper: difference.upper,
        log_e: difference.log_e,
        method: difference.method.clone(),
        confidence: difference.confidence,
        p: difference.p,
    }
}

fn verdict(verdict: &model::Verdict) -> proto::Verdict {
    proto::Verdict {
        state: verdict.state.clone(),
        reasons: verdict.reasons.clone(),
        sentence: verdict.sentence.clone(),
        discovery: verdict.discovery,
        decides: verdict.decides,
        since: verdict.since.clone(),
        breach: verdict.breach.as_ref().map(|breach| proto::Breach {
            epoch: breach.epoch,
            at: breach.at.clone(),
            reason: breach.reason.clone(),
            estimate: breach.estimate,
            lower: breach.lower,
            upper: breach.upper,
        }),
    }
}

fn sample_ratio(ratio: &model::SampleRatio) -> proto::SampleRatio {
    proto::SampleRatio {
        state: ratio.state.clone(),
        log_e: ratio.log_e,
        p: ratio.p,
        expected: ratio.expected.clone(),
        units: ratio.units.clone(),
    }
}

fn change(change: &model::Change) -> proto::Change {
    proto::Change {
        at: change.at.clone(),
        arm: change.arm.clone(),
        field: change.field.clone(),
        from: change.from.as_ref().map(value),
        to: change.to.as_ref().map(value),
    }
}

fn link(link: &model::Link) -> proto::Link {
    proto::Link {
        rel: link.rel.clone(),
        trace_id: link.trace_id.clone(),
        span_id: link.span_id.clone(),
        href: link.href.clone(),
        why: link.why.clone(),
    }
}

/// The word that an enum is written with in JSON.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn structure(map: &serde_json::Map<String, Json>) -> Struct {
    Struct { fields: map.iter().map(|(key, json)| (key.clone(), value(json))).collect() }
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(*truth),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(list) => {
            Kind::ListValue(ListValue { values: list.iter().map(value).collect() })
        }
        Json::Object(map) => Kind::StructValue(structure(map)),
    };
    Value { kind: Some(kind) }
}
