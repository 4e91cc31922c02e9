//! What a run was made of and for: a logged model with the configuration that it served, and the
//! dataset of an offline run.

use super::batch::Entry;
use super::entries::{self, RUN_ID};
use super::keys;
use super::rest::{self, Rest, V2};
use super::runs::Run;
use crate::model::RunRecord;
use crate::sink::Failure;
use serde_json::{Value as Json, json};

/// Characters of a dataset's digest that MLflow takes.
const DIGEST_MAX: usize = 36;
/// Characters of a text of a dataset that MLflow takes.
const DATA_MAX: usize = 500;

/// What a search for a logged model gave.
enum Found {
    /// This one.
    Model(Json),
    /// None yet.
    None,
    /// The server is of a time before MLflow 3 and has no logged models.
    Unknown,
}

/// Sees to it that the run has its logged model, once for each process.
pub async fn model(rest: &Rest, run: &mut Run, record: &RunRecord) -> Result<(), Failure> {
    if run.has_model {
        return Ok(());
    }
    let model = match find_model(rest, run, record).await? {
        Found::Model(found) => found,
        Found::None => create_model(rest, run, record).await?,
        Found::Unknown => {
            run.has_model = true;
            return Ok(());
        }
    };
    if model["info"]["status"] != "LOGGED_MODEL_READY" {
        let id = &model["info"]["model_id"];
        let body = json!({"model_id": id, "status": "LOGGED_MODEL_READY"});
        let path = format!("{V2}/logged-models/{}", id.as_str().unwrap_or_default());
        rest.patch(&path, &body).await?;
    }
    link(rest, run, &model["info"]["model_id"]).await?;
    run.has_model = true;
    Ok(())
}

/// Makes it an output of the run. MLflow would add a second link without a word.
async fn link(rest: &Rest, run: &mut Run, id: &Json) -> Result<(), Failure> {
    let text = id.as_str().unwrap_or_default().to_owned();
    if run.models.contains(&text) {
        return Ok(());
    }
    let body = json!({"run_id": run.id, "models": [{"model_id": id, "step": 0}]});
    rest.post(&format!("{V2}/runs/outputs"), &body).await?;
    run.models.insert(text);
    Ok(())
}

async fn find_model(rest: &Rest, run: &Run, record: &RunRecord) -> Result<Found, Failure> {
    let body = json!({
        "experiment_ids": [run.experiment],
        "filter": format!("tags.`{RUN_ID}` = '{}'", record.run.id),
        "max_results": 1,
        "order_by": [{"field_name": "creation_timestamp", "ascending": true}],
    });
    let (answer, what) = rest.try_post(&format!("{V2}/logged-models/search"), &body).await?;
    if answer.status.as_u16() == 404 {
        return Ok(Found::Unknown);
    }
    let found: Json = serde_json::from_slice(&rest::ok(answer, &what)?.body).unwrap_or_default();
    let first = found["models"].as_array().and_then(|models| models.first());
    Ok(first.map_or(Found::None, |model| Found::Model(model.clone())))
}

async fn create_model(rest: &Rest, run: &Run, record: &RunRecord) -> Result<Json, Failure> {
    let params: Vec<Json> = entries::params(record)
        .iter()
        .filter_map(|param| match entries::short(param).0 {
            Entry::Param(pair) => Some(json!(pair)),
            _ => None,
        })
        .collect();
    let head = &record.run;
    let body = json!({
        "experiment_id": run.experiment,
        "name": model_name(record),
        "model_type": "agent",
        "source_run_id": run.id,
        "params": params,
        "tags": [
            {"key": RUN_ID, "value": head.id},
            {"key": "armspan.experiment", "value": head.experiment},
            {"key": "armspan.arm", "value": head.arm},
            {"key": "armspan.site", "value": head.site},
        ],
    });
    let made = rest.post(&format!("{V2}/logged-models"), &body).await?;
    Ok(made["model"].clone())
}

/// Arm, site and the start of the run's id, without the characters that names of models must not
/// have.
fn model_name(record: &RunRecord) -> String {
    let bad = |c: char| matches!(c, '/' | ':' | '.' | '%' | '"' | '\'') || c.is_control();
    let name = entries::name(record);
    name.chars().map(|c| if bad(c) { '_' } else { c }).take(250).collect()
}

/// Names the dataset of an offline run as its input; the same one again changes nothing.
pub async fn dataset(rest: &Rest, run: &Run, record: &RunRecord) -> Result<(), Failure> {
    let Some(dataset) = dataset_of(record) else { return Ok(()) };
    let body = json!({"run_id": run.id, "datasets": [dataset]});
    rest.post(&format!("{V2}/runs/log-inputs"), &body).await.map(|_| ())
}

/// A number as text; nothing for what is not there.
fn plain(value: &Json) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}

/// The dataset of an offline run as MLflow takes it; none when the run does not name it.
fn dataset_of(record: &RunRecord) -> Option<Json> {
    if record.run.mode != "offline" {
        return None;
    }
    let named = record.config.get("dataset")?;
    let text = |key: &str| {
        let text = named[key].as_str().map_or_else(|| plain(&named[key]), str::to_owned);
        entries::cut_to(&text, DATA_MAX, super::artifacts::REPORT)
    };
    let (name, version) = (text("name"), text("version"));
    if name.is_empty() {
        return None;
    }
    let inputs = record.cases.as_ref().map(|cases| cases.inputs.clone());
    let full = inputs
        .unwrap_or_else(|| format!("sha256:{}", keys::hex(&format!("{name}\n{version}"), 64)));
    let digest: String = full.rsplit(':').next()?.chars().take(DIGEST_MAX).collect();
    let mut tags = vec![
        json!({"key": "mlflow.data.context", "value": "eval"}),
        json!({"key": "armspan.inputs", "value": full}),
    ];
    if !version.is_empty() {
        tags.push(json!({"key": "armspan.dataset.version", "value": version}));
    }
    let source = json!({"tags": {"name": name, "version": version, "inputs": full}});
    let count = record.cases.as_ref().map(|cases| cases.count);
    let profile = count.map_or(json!({}), |count| json!({"num_rows": count}));
    Some(json!({
        "tags": tags,
        "dataset": {
            "name": name, "digest": digest, "source_type": "code", "source": source.to_string(),
            "schema": "{}", "profile": profile.to_string(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Cases;
    use crate::sink::sample;

    #[test]
    fn only_offline_runs_have_a_dataset_and_its_digest_is_short() {
        let mut record = sample::cut().records.remove(0);
        assert_eq!(dataset_of(&record), None);
        record.run.mode = "offline".into();
        assert_eq!(dataset_of(&record), None);
        record.config.insert("dataset".into(), json!({"name": "golden", "version": "4"}));
        let inputs = format!("sha256:{}", "ab".repeat(32));
        record.cases = Some(Cases { count: 120, inputs: inputs.clone(), expected_version: None });
        let found = dataset_of(&record).expect("dataset");
        assert_eq!(found["dataset"]["digest"], "ab".repeat(18));
        assert_eq!(found["dataset"]["profile"], r#"{"num_rows":120}"#);
        assert_eq!(found["tags"][1]["value"], inputs);
    }

    #[test]
    fn models_have_names_that_mlflow_takes() {
        let mut record = sample::cut().records.remove(0);
        record.run.arm = "v1.2/x: \"50%\"'".into();
        assert_eq!(model_name(&record), "v1_2_x_ _50___-answer-79e25078cdfe");
    }
}
