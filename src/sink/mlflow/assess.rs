//! Verdicts on traces: MLflow knows assessments of traces only, and armspan keeps none. But when
//! the same traces also go to MLflow, the verdicts of a run are found on those that the record
//! links to. MLflow would take the same assessment twice, so each has an id of ours.

use super::keys;
use super::rest::{self, Rest, V3};
use crate::model::RunRecord;
use crate::model::record::MetricLine;
use crate::sink::Failure;
use serde_json::{Value as Json, json};

/// The key of our id in an assessment's metadata.
const EVENT: &str = "armspan.event";

/// Adds the record's verdicts to the traces that it links to, as far as MLflow has them.
pub async fn verdicts(rest: &Rest, record: &RunRecord) -> Result<(), Failure> {
    let keys = keys::of_metrics(&record.metrics);
    let decides = |line: &MetricLine| line.verdict.as_ref().is_some_and(|v| v.decides);
    let lines: Vec<_> = record.metrics.iter().zip(keys).filter(|row| decides(row.0)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let mut traces: Vec<String> =
        record.links.iter().map(|link| format!("tr-{}", link.trace_id)).collect();
    traces.sort();
    traces.dedup();
    for trace in traces {
        let path = format!("{V3}/traces/{trace}");
        let Some(found) = rest.peek(&path).await? else { continue };
        let known = &found["trace"]["trace_info"]["assessments"];
        for (line, key) in &lines {
            if let Some(body) = assessment(record, line, key, known) {
                add(rest, &format!("{path}/assessments"), &json!({"assessment": body})).await?;
            }
        }
    }
    Ok(())
}

/// Traces are someone else's: that one does not take an assessment (its experiment may only be
/// read, say) does not keep the figures of runs back.
async fn add(rest: &Rest, path: &str, body: &Json) -> Result<(), Failure> {
    let (answer, what) = rest.try_post(path, body).await?;
    if matches!(answer.status.as_u16(), 400 | 403 | 404) {
        tracing::warn!("{what}: {}; the trace stays without this verdict", answer.shown());
        return Ok(());
    }
    rest::ok(answer, &what).map(|_| ())
}

/// The assessment of a metric; `None` when the trace has it.
fn assessment(record: &RunRecord, line: &MetricLine, key: &str, known: &Json) -> Option<Json> {
    let verdict = line.verdict.as_ref()?;
    let name = format!("armspan_verdict/{key}");
    let id = event(record, key, &verdict.state, verdict.since.as_deref());
    let ours = |other: &&Json| {
        other["assessment_name"] == name && other["metadata"]["armspan.run_id"] == record.run.id
    };
    let before: Vec<&Json> = known.as_array().into_iter().flatten().filter(ours).collect();
    if before.iter().any(|other| other["metadata"][EVENT] == id) {
        return None;
    }
    let mut body = json!({
        "assessment_name": name,
        "source": {"source_type": "CODE", "source_id": format!("armspan/{}", record.collector.version)},
        "feedback": {"value": verdict.state},
        "rationale": verdict.sentence,
        "metadata": {
            "armspan.run_id": record.run.id,
            "armspan.epoch": record.window.epoch.to_string(),
            EVENT: id,
        },
    });
    // The state before no longer holds.
    if let Some(last) = before.iter().rfind(|other| other["valid"] != false) {
        body["overrides"] = last["assessment_id"].clone();
    }
    Some(body)
}

/// The same verdict has the same id wherever it is delivered from.
fn event(record: &RunRecord, key: &str, state: &str, since: Option<&str>) -> String {
    let (run, epoch) = (&record.run.id, record.window.epoch);
    keys::hex(&format!("{run}\n{epoch}\n{key}\n{state}\n{}", since.unwrap_or_default()), 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample;

    #[test]
    fn a_verdict_is_added_once_and_replaces_the_one_before() {
        let record = sample::cut().records.remove(1);
        let line = &record.metrics[0];
        let first = assessment(&record, line, "answer_ok", &json!(null)).expect("new");
        assert_eq!(first["feedback"]["value"], "better");
        let mut known = first.clone();
        known["assessment_id"] = json!("a-1");
        assert_eq!(assessment(&record, line, "answer_ok", &json!([known])), None);
        let mut other = line.clone();
        other.verdict.as_mut().expect("verdict").state = "regressed".into();
        let next = assessment(&record, &other, "answer_ok", &json!([known])).expect("changed");
        assert_eq!(next["overrides"], "a-1");
        assert_ne!(next["metadata"][EVENT], first["metadata"][EVENT]);
        assert_eq!(assessment(&record, &record.metrics[12], "calls", &json!([])), None);
    }
}
