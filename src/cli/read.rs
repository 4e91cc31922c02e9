//! Reading commands: ask a running server, or a folder, and print the answer.

use super::print::Data;
use crate::api::{ExperimentLine, ExperimentList, Status};
use crate::judge::trust::{self, Notice};
use crate::model::human;
use crate::model::record::{MetricLine, RunRecord};
use crate::model::reject::Reject;
use crate::model::url::part;
use crate::model::view::{ArmView, ExperimentView, SiteView};
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use super::client::Client;
pub(super) use super::client::refusal;

pub(super) fn typed<T: DeserializeOwned>(json: &Json) -> Result<T> {
    T::deserialize(json).context("the server has another version of this document")
}

/// What must be known before the figures of an experiment, by what its server refused.
pub(super) fn notices(experiment: &ExperimentView, status: &Status) -> Vec<Notice> {
    let refused = Reject::ALL.into_iter().filter_map(|reason| {
        let refusal = status.rejected.get(reason.name())?;
        Some((reason, refusal.count))
    });
    let refused: Vec<(Reject, u64)> = refused.collect();
    trust::notices(experiment, &status.engine, &refused)
}

/// `armspan arms status EXPERIMENT`.
pub async fn arms(client: &Client, experiment: &str) -> Result<Data> {
    let document = client.get(&format!("/api/v1/experiments/{}", part(experiment)), &[]).await?;
    Ok(arms_table(&typed(&document)?, document))
}

/// The arms of an experiment as a table, a row per site and arm.
pub fn arms_table(experiment: &ExperimentView, document: Json) -> Data {
    let metrics = metric_names(experiment);
    let mut columns: Vec<String> =
        ["site", "arm", "model", ">calls", ">units", ">share", "evidence"]
            .map(str::to_owned)
            .into();
    columns.extend(metrics.iter().map(|name| format!(">{name}")));
    columns.push("decision".into());
    let pairs = || experiment.sites.iter().flat_map(|s| s.arms.iter().map(move |arm| (s, arm)));
    let items = pairs().filter_map(|(site, arm)| {
        let mut item = serde_json::to_value(arm).ok()?;
        item["site"] = Json::String(site.site.clone());
        Some(item)
    });
    Data {
        columns,
        rows: pairs().map(|(site, arm)| arm_row(site, arm, &metrics)).collect(),
        items: items.collect(),
        notes: sentences(experiment),
        document,
        sections: Vec::new(),
    }
}

/// What is said of the metrics that decide, a line each.
fn sentences(experiment: &ExperimentView) -> Vec<String> {
    let lines = experiment.sites.iter().flat_map(|s| &s.arms).flat_map(|arm| &arm.metrics);
    let verdicts = lines.filter_map(|line| line.verdict.as_ref());
    let said = verdicts.filter(|verdict| verdict.decides || verdict.discovery);
    said.map(|verdict| format!("{:<12}  {}", verdict.state, verdict.sentence)).collect()
}

/// A level, with its difference from control and what that means where it decides.
fn cell(line: &MetricLine) -> String {
    let level = human::line(line);
    let Some(verdict) = line.verdict.as_ref().filter(|verdict| verdict.decides) else {
        return level;
    };
    let difference = line.difference.as_ref();
    let by = difference.map(|d| format!(" {}", human::difference(d.estimate, &line.unit)));
    format!("{level}{} {}", by.unwrap_or_default(), verdict.state)
}

fn arm_row(site: &SiteView, arm: &ArmView, metrics: &[String]) -> Vec<String> {
    let mark = if arm.control { " (control)" } else { "" };
    let share = arm.share.map(human::share).unwrap_or_default();
    let planned = arm.planned.map(|p| format!(" of {}", human::share(p))).unwrap_or_default();
    let level = |name: &String| arm.line(name).map_or("–".into(), cell);
    let mut row = vec![
        site.site.clone(),
        format!("{}{mark}", arm.arm),
        arm.model.clone().unwrap_or_default(),
        human::count(arm.calls),
        human::count(arm.units),
        format!("{share}{planned}"),
        arm.evidence.clone(),
    ];
    row.extend(metrics.iter().map(level));
    row.push(arm.decision.as_ref().map_or("–".into(), |decision| decision.action.clone()));
    row
}

/// The metrics worth a column: scores, then the ones that people look at first.
pub fn metric_names(experiment: &ExperimentView) -> Vec<String> {
    const USUAL: [&str; 3] = ["error_rate", "latency_p95", "cost"];
    let lines = || experiment.sites.iter().flat_map(|s| &s.arms).flat_map(|arm| &arm.metrics);
    let mut names: Vec<String> = Vec::new();
    let scores = lines().filter(|line| line.scored.is_some()).map(|line| line.name.as_str());
    let usual = USUAL.into_iter().filter(|name| lines().any(|line| line.name == *name));
    for name in scores.chain(usual) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// `armspan experiments list`.
pub async fn experiments(client: &Client) -> Result<Data> {
    let document = client.get("/api/v1/experiments", &[]).await?;
    let list: ExperimentList = typed(&document)?;
    let row = |line: &ExperimentLine| {
        let some = |text: Option<&String>| text.map_or("–".to_owned(), String::clone);
        vec![
            line.name.clone(),
            line.state.clone(),
            some(line.control.as_ref()),
            line.arms.join(" "),
            human::count(line.calls),
            line.last_seen.as_deref().map_or("–".to_owned(), human::minute),
        ]
    };
    let columns = ["experiment", "state", "control", "arms", ">calls", "last seen"];
    Ok(Data {
        columns: columns.map(str::to_owned).into(),
        rows: list.experiments.iter().map(row).collect(),
        items: document["experiments"].as_array().cloned().unwrap_or_default(),
        document,
        ..Data::default()
    })
}

/// What was meant by filters that no run passes: a name that is not there is an error.
async fn check_filters(client: &Client, filters: &[(&str, &Option<String>)]) -> Result<()> {
    let given = |name: &str| {
        let pair = filters.iter().find(|pair| pair.0 == name);
        pair.and_then(|pair| pair.1.as_deref())
    };
    let Some(name) = given("experiment") else { return Ok(()) };
    let found = client.get(&format!("/api/v1/experiments/{}", part(name)), &[]).await?;
    let found: ExperimentView = typed(&found)?;
    let sites = found.sites.iter().map(|site| site.site.clone()).collect();
    for (kind, known) in [("arm", found.arms.clone()), ("site", sites)] {
        if let Some(given) = given(kind).filter(|given| !known.iter().any(|name| name == given)) {
            bail!("{name} has no {kind} \"{given}\"; it has {}", known.join(", "));
        }
    }
    Ok(())
}

/// `armspan runs list`.
pub async fn runs(client: &Client, filters: &[(&str, &Option<String>)]) -> Result<Data> {
    let runs = client.all_runs(filters).await?;
    if runs.is_empty() {
        check_filters(client, filters).await?;
    }
    let columns =
        ["run", "experiment", "site", "arm", "model", ">epoch", ">calls", "evidence", "last seen"];
    let rows = runs.iter().map(|json| Ok(run_row(&typed(json)?))).collect::<Result<_>>()?;
    let document = serde_json::json!({"runs": runs});
    Ok(Data {
        columns: columns.map(str::to_owned).into(),
        rows,
        items: runs,
        document,
        ..Data::default()
    })
}

fn run_row(record: &RunRecord) -> Vec<String> {
    let model = &record.config.get("model").cloned().unwrap_or_default();
    let name = model["revision"].as_str().or(model["requested"].as_str()).unwrap_or_default();
    vec![
        human::run(&record.run.id).to_owned(),
        record.run.experiment.clone(),
        record.run.site.clone(),
        record.run.arm.clone(),
        name.to_owned(),
        record.window.epoch.to_string(),
        human::count(record.traffic.calls),
        record.evidence.grade.clone(),
        human::minute(&record.window.last_seen),
    ]
}

/// `armspan runs show RUN`.
pub async fn run(client: &Client, id: &str) -> Result<Data> {
    let document = client.get(&format!("/api/v1/runs/{}", part(id)), &[]).await?;
    Ok(fields(document))
}

/// `armspan status`.
pub async fn status(client: &Client) -> Result<Data> {
    Ok(fields(client.get("/api/v1/status", &[]).await?))
}

/// `armspan export jsonl`: the records as they are.
pub async fn export(client: &Client, experiment: &Option<String>) -> Result<Vec<RunRecord>> {
    let runs = client.all_runs(&[("experiment", experiment)]).await?;
    runs.iter().map(typed).collect()
}

/// A document as a table of its leaves.
fn fields(document: Json) -> Data {
    let mut rows = Vec::new();
    leaves("", &document, &mut rows);
    let columns = vec!["field".to_owned(), "value".to_owned()];
    Data { columns, rows, items: vec![document.clone()], document, ..Data::default() }
}

fn leaves(path: &str, json: &Json, rows: &mut Vec<Vec<String>>) {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match json {
        Json::Object(map) => map.iter().for_each(|(k, v)| leaves(&inner(k), v, rows)),
        Json::Array(list) => list.iter().enumerate().for_each(|(at, item)| {
            let name = item["name"].as_str().or(item["facet"].as_str()).or(item["field"].as_str());
            leaves(&inner(name.unwrap_or(&at.to_string())), item, rows);
        }),
        Json::String(text) => rows.push(vec![path.to_owned(), text.clone()]),
        leaf => rows.push(vec![path.to_owned(), leaf.to_string()]),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::args::Server;
    use super::*;

    #[test]
    fn a_document_becomes_its_leaves() {
        let data = fields(serde_json::json!({"a": {"b": 1}, "m": [{"name": "x", "v": "t"}]}));
        let wanted = [["a.b", "1"], ["m.x.name", "x"], ["m.x.v", "t"]];
        assert_eq!(data.rows, wanted.map(|row| row.map(str::to_owned).to_vec()));
    }

    /// A server with the view of the API's tests.
    pub(in crate::cli) async fn served() -> Client {
        let state = crate::api::tests::state_over(std::sync::Arc::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address").to_string();
        let router = crate::api::http_router(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Client::new(&Server { server: Some(address), ..Server::default() }).expect("client")
    }

    #[tokio::test]
    async fn commands_read_a_running_server() {
        let client = served().await;
        let (arm, none) = (Some("A".to_owned()), None);
        let found = runs(&client, &[("arm", &arm), ("site", &none)]).await.expect("runs");
        assert_eq!(found.rows.len(), 2);
        assert_eq!(found.rows[0][..4], ["aa11", "bot", "answer", "A"].map(str::to_owned));
        let shown = run(&client, "bb").await.expect("run");
        assert!(shown.rows.contains(&vec!["run.arm".to_owned(), "B".to_owned()]));
        let told = run(&client, "aa").await.expect_err("ambiguous").to_string();
        assert!(told.contains("aa11") && told.contains("aa22"), "{told}");
        let told = arms(&client, "bto").await.expect_err("unknown").to_string();
        assert!(told.contains("near: bot"), "{told}");
        let (bot, other) = (Some("bot".to_owned()), Some("Z".to_owned()));
        let filters = [("experiment", &bot), ("arm", &other)];
        let told = runs(&client, &filters).await.expect_err("no such arm").to_string();
        assert!(told.contains("bot has no arm \"Z\"; it has A, B"), "{told}");
        let listed = experiments(&client).await.expect("experiments");
        assert_eq!(listed.rows, [["bot", "live", "A", "A B", "9", "–"].map(str::to_owned)]);
        assert_eq!(export(&client, &none).await.expect("records").len(), 3);
        let document = status(&client).await.expect("status").document;
        assert_eq!(document["queue"]["bytes"], 11);
    }

    #[test]
    fn the_arms_table_has_a_row_an_arm_with_levels_people_read() {
        let view = crate::web::tests::sample();
        let data = arms_table(&view.experiments[0], Json::Null);
        let columns: Vec<&str> = data.columns.iter().map(String::as_str).collect();
        assert_eq!(
            columns[7..],
            [">answer_ok", ">error_rate", ">latency_p95", ">cost", "decision"]
        );
        let row: Vec<&str> = data.rows[2].iter().map(String::as_str).collect();
        assert_eq!(row[..4], ["answer", "C", "gpt-4o-mini-2024-07-18", "3,890"]);
        assert_eq!(row[7..], ["81.5 %", "1.23 %", "2.40 s", "$0.00131", "–"]);
        assert_eq!(data.items.len(), 3);
    }
}
