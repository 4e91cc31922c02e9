//! In-toto Statements v1, unsigned, one per run and epoch: the subjects are the bytes of the
//! record and its report, the predicate says what was tested and what came out. `cosign` and
//! GitHub's attestations can sign them later.
//!
//! The claims have the shape of the `eval-result` predicate that is proposed for in-toto
//! (in-toto/attestation #575): metric, comparator, threshold, passed, sample size, assurance
//! level. It is not settled, so the predicate's type is our own. A field that is absent claims
//! nothing; a verdict that is not decided has no `passed`.

use super::files::replace;
use super::report::markdown;
use super::{Around, Failure, History, Settings, Sink};
use crate::model::canonical::sha256_text;
use crate::model::delivery::{Body, Item, ItemKind};
use crate::model::metric::{Direction, Role};
use crate::model::record::{Difference, MetricLine, Verdict};
use crate::model::{RunRecord, human};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;

/// The type of a statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of the predicate.
pub const PREDICATE: &str = "https://armspan.dev/attestations/eval-result/v1";

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its folder; `intoto` in the data folder when absent. On the command line without it,
    /// statements are printed, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// An open sink.
struct Intoto {
    dir: PathBuf,
    dashboard: Option<String>,
}

/// Files of one run and epoch: name and bytes, the statement last.
pub struct Files(pub Vec<(String, Vec<u8>)>);

// === impl Config ===

impl Settings for Config {
    fn target(&self) -> String {
        self.dir.as_ref().map_or_else(|| "data".to_owned(), |dir| dir.display().to_string())
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        let dir = self.dir.clone().unwrap_or_else(|| around.data.join("intoto"));
        Ok(Box::new(Intoto { dir, dashboard: around.dashboard.clone() }))
    }
}

#[async_trait]
impl Sink for Intoto {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        for record in &cut.records {
            for (name, bytes) in files(record, self.dashboard.as_deref()).0 {
                replace(&self.dir, &name, &bytes).await?;
            }
        }
        Ok(())
    }
}

/// The files of a record. The statement comes last: when it is there, so are its subjects.
pub fn files(record: &RunRecord, dashboard: Option<&str>) -> Files {
    let run = human::run(&record.run.id);
    let stem = format!("{run}-e{}", record.window.epoch);
    let bytes = serde_json::to_vec(record).expect("a record has text keys and finite numbers");
    let report = markdown(record, dashboard).into_bytes();
    let subjects =
        vec![(format!("{stem}.record.json"), bytes), (format!("{stem}.report.md"), report)];
    let statement = statement(record, &subjects).to_string() + "\n";
    let last = (format!("{stem}.intoto.json"), statement.into_bytes());
    Files(subjects.into_iter().chain([last]).collect())
}

/// The statement of a record over its subjects.
pub fn statement(record: &RunRecord, subjects: &[(String, Vec<u8>)]) -> Json {
    let subject = |(name, bytes): &(String, Vec<u8>)| json!({"name": name, "digest": {"sha256": hex(&sha256_text(bytes))}});
    json!({
        "_type": STATEMENT,
        "subject": subjects.iter().map(subject).collect::<Vec<Json>>(),
        "predicateType": PREDICATE,
        "predicate": predicate(record),
    })
}

fn hex(hash: &str) -> &str {
    hash.trim_start_matches("sha256:")
}

fn predicate(record: &RunRecord) -> Json {
    let mut out = json!({
        "run": record.run,
        "config": record.config,
        "observed": record.observed,
        "evidence": {"grade": record.evidence.grade, "calls": record.evidence.calls},
        "window": record.window,
        "traffic": record.traffic,
        "claims": record.metrics.iter().flat_map(claims).collect::<Vec<Json>>(),
        "assuranceLevel": "self_attested",
        "harness": {
            "name": "armspan",
            "version": record.collector.version,
            "configDigest": {"sha256": hex(&record.collector.config)},
        },
        "logPosition": record.collector.position,
    });
    if let Some(cases) = &record.cases {
        out["cases"] = json!(cases);
    }
    if let Some(at) = &record.collector.exported_at {
        out["evaluatedAt"] = json!(at);
    }
    out
}

/// What is claimed of a metric that decides: that it is better, or not worse by more than its
/// margin, and that its level is not beyond its ceiling.
fn claims(line: &MetricLine) -> Vec<Json> {
    let Some(verdict) = line.verdict.as_ref().filter(|verdict| verdict.decides) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if let Some(difference) = &line.difference {
        out.push(contrast(line, difference, verdict));
    }
    if let (Some(ceiling), Some(level)) = (line.ceiling, &line.level) {
        let (comparator, beyond) = match line.direction {
            Direction::Increase => (">=", level.upper.map(|upper| upper < ceiling)),
            _ => ("<=", level.lower.map(|lower| lower > ceiling)),
        };
        let within = match line.direction {
            Direction::Increase => level.lower.map(|lower| lower >= ceiling),
            _ => level.upper.map(|upper| upper <= ceiling),
        };
        let passed = match (within, beyond) {
            (Some(true), _) => Some(true),
            (_, Some(true)) => Some(false),
            _ => None,
        };
        let mut claim = claim(line, "level", comparator, Some(ceiling), passed, verdict);
        figures(&mut claim, level.estimate, level.lower, level.upper, level.confidence);
        out.push(Json::Object(claim));
    }
    out
}

fn contrast(line: &MetricLine, difference: &Difference, verdict: &Verdict) -> Json {
    let rising = line.direction == Direction::Increase;
    let (quantity, threshold) = match (line.role, line.margin, line.margin_share) {
        (Role::Guardrail, Some(margin), _) => ("difference", Some(margin)),
        (Role::Guardrail, None, Some(share)) => ("relative difference", Some(share)),
        (Role::Guardrail, None, None) => ("difference", None),
        _ => ("difference", Some(0.0)),
    };
    // A guardrail holds when the harm is below the margin; what rises is harmed by falling.
    let threshold = match (line.role, threshold) {
        (Role::Guardrail, Some(margin)) if rising => Some(-margin),
        (_, threshold) => threshold,
    };
    let passed = match verdict.state.as_str() {
        "better" | "healthy" => Some(true),
        "breached" | "regressed" => Some(false),
        _ => None,
    };
    let comparator = if rising { ">" } else { "<" };
    let mut out = claim(line, quantity, comparator, threshold, passed, verdict);
    out.insert("control".into(), json!(difference.from));
    let Difference { estimate, lower, upper, confidence, .. } = *difference;
    figures(&mut out, estimate, lower, upper, confidence);
    out.insert("method".into(), json!(difference.method));
    Json::Object(out)
}

fn claim(
    line: &MetricLine,
    quantity: &str,
    comparator: &str,
    threshold: Option<f64>,
    passed: Option<bool>,
    verdict: &Verdict,
) -> Map<String, Json> {
    let mut out = Map::new();
    out.insert("metric".into(), json!(line.name));
    out.insert("metricDefinition".into(), json!({"sha256": hex(&line.definition)}));
    out.insert("quantity".into(), json!(quantity));
    out.insert("unit".into(), json!(line.unit));
    if let Some(threshold) = threshold {
        out.insert("comparator".into(), json!(comparator));
        out.insert("threshold".into(), json!(threshold));
    }
    if let Some(passed) = passed {
        out.insert("passed".into(), json!(passed));
    }
    out.insert("verdict".into(), json!(verdict.state));
    out.insert("sampleSize".into(), json!(line.scored.unwrap_or(line.calls)));
    if let Some(units) = line.units {
        out.insert("units".into(), json!(units));
    }
    if let Some(grader) = &line.grader {
        out.insert("grader".into(), json!(grader));
    }
    out
}

fn figures(
    claim: &mut Map<String, Json>,
    estimate: f64,
    lower: Option<f64>,
    upper: Option<f64>,
    confidence: Option<f64>,
) {
    claim.insert("estimate".into(), json!(estimate));
    for (name, value) in [("lower", lower), ("upper", upper), ("confidence", confidence)] {
        if let Some(value) = value {
            claim.insert(name.into(), json!(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample;

    fn record_of(arm: &str) -> RunRecord {
        let cut = sample::cut();
        cut.records.into_iter().find(|r| r.run.arm == arm && r.window.epoch == 2).expect("a record")
    }

    fn claim_of(record: &RunRecord, metric: &str) -> Json {
        let line = record.metrics.iter().find(|line| line.name == metric).expect("a metric");
        claims(line).remove(0)
    }

    #[test]
    fn a_decided_verdict_is_a_claim_and_an_open_one_claims_nothing() {
        let mut record = record_of("C");
        for line in &mut record.metrics {
            line.margin = (line.name == "error_rate").then_some(0.01);
        }
        let claim = claim_of(&record, "error_rate");
        assert_eq!(claim["comparator"], "<");
        assert_eq!((&claim["threshold"], &claim["passed"]), (&json!(0.01), &json!(false)));
        let better = claim_of(&record_of("B"), "answer_ok");
        assert_eq!((&better["comparator"], &better["passed"]), (&json!(">"), &json!(true)));
        assert_eq!(better["threshold"], 0.0);
        let open = claim_of(&record_of("C"), "answer_ok");
        assert!(open.get("passed").is_none(), "{open}");
    }

    #[test]
    fn a_ceiling_is_a_claim_on_the_level() {
        let mut record = record_of("C");
        let line = record.metrics.iter_mut().find(|l| l.name == "error_rate").expect("a metric");
        line.ceiling = Some(0.5);
        let claim = claims(line).pop().expect("a claim");
        assert_eq!((&claim["quantity"], &claim["comparator"]), (&json!("level"), &json!("<=")));
        assert_eq!(claim["passed"], true);
        line.ceiling = Some(0.0001);
        assert_eq!(claims(line).pop().expect("a claim")["passed"], false);
    }

    #[tokio::test]
    async fn digests_are_those_of_the_files() {
        let dir = tempfile::tempdir().expect("dir");
        let config = Config { dir: Some(dir.path().to_owned()) };
        let mut sink = config.open(&Around::default()).expect("opens");
        for _ in 0..2 {
            sink.deliver(&sample::item(), &sample::ThreeHours).await.expect("delivered");
        }
        let files = std::fs::read_dir(dir.path()).expect("list").count();
        assert_eq!(files, 7 * 3, "nothing is left over, nothing is there twice");
        let record = record_of("B");
        let stem = format!("{}-e2", &record.run.id[..12]);
        let read =
            |end: &str| std::fs::read(dir.path().join(format!("{stem}.{end}"))).expect("file");
        let statement: Json = serde_json::from_slice(&read("intoto.json")).expect("JSON");
        assert_eq!(statement["_type"], STATEMENT);
        for (at, end) in ["record.json", "report.md"].into_iter().enumerate() {
            let subject = &statement["subject"][at];
            assert_eq!(subject["name"], format!("{stem}.{end}"));
            assert_eq!(subject["digest"]["sha256"], hex(&sha256_text(&read(end))));
        }
        assert!(!statement.to_string().contains("null"), "absent is absent");
    }
}
