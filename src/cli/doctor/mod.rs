//! `armspan doctor`: what each service and its SDK leave out, how often, and the line that adds
//! it; from OTLP files, or from the evidence that a server or a folder has. It reads only.

mod files;
mod lines;

use super::args::Doctor;
use super::client::Client;
use super::print::Data;
use super::read::typed;
use crate::api::{ExperimentList, Status};
use crate::model::RunRecord;
use crate::model::human;
use crate::model::url::part;
use crate::model::view::ExperimentView;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is left out less often is no fault of a setting: failed calls have no revision.
const SHARE_LEAST: f64 = 0.01;
/// What stands for somebody that is not known.
const NOBODY: &str = "–";

/// Something that is left out.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Gap {
    /// The service, by `service.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The scope of the SDK, where the source tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
    /// A facet's path, `arm`, `unit`, `variant`, `failures` or `too many values`.
    pub what: String,
    /// Calls without it; for `too many values` nothing.
    pub missing: i64,
    /// Of so many.
    pub calls: i64,
    /// What adds it.
    pub add: String,
}

/// Finds what is left out.
pub async fn doctor(args: &Doctor) -> Result<Data> {
    let gaps = match args.files.as_slice() {
        [] => of_server(&Client::new(&args.server)?).await?,
        paths => files::gaps(paths, args.config.as_deref())?,
    };
    Ok(table(gaps))
}

fn table(mut gaps: Vec<Gap>) -> Data {
    gaps.retain(|gap| gap.calls == 0 || gap.missing as f64 >= SHARE_LEAST * gap.calls as f64);
    gaps.sort_by(|a, b| (&a.service, &a.sdk, -a.missing).cmp(&(&b.service, &b.sdk, -b.missing)));
    let some = |text: &Option<String>| text.clone().unwrap_or(NOBODY.to_owned());
    let row = |gap: &Gap| {
        let often = match gap.calls {
            0 => NOBODY.to_owned(),
            calls => format!("{} of {}", human::count(gap.missing), human::count(calls)),
        };
        vec![some(&gap.service), some(&gap.sdk), gap.what.clone(), often, gap.add.clone()]
    };
    let items: Vec<_> = gaps.iter().filter_map(|gap| serde_json::to_value(gap).ok()).collect();
    let columns = ["service", "sdk", "leaves out", ">calls", "this adds it"];
    let notes = if gaps.is_empty() { vec!["Nothing is left out.".to_owned()] } else { Vec::new() };
    Data {
        columns: columns.map(str::to_owned).into(),
        rows: gaps.iter().map(row).collect(),
        document: serde_json::json!({"gaps": items}),
        items,
        notes,
        ..Data::default()
    }
}

/// From the evidence of the newest records, and from what has no run: calls without an arm.
async fn of_server(client: &Client) -> Result<Vec<Gap>> {
    let runs = client.all_runs(&[]).await?;
    let runs: Vec<RunRecord> = runs.iter().map(typed).collect::<Result<_>>()?;
    let mut gaps = of_records(&newest(runs));
    let status: Status = typed(&client.get("/api/v1/status", &[]).await?)?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let calls = number(status.engine.calls);
    gaps.extend(nobodys("arm", number(status.engine.unassigned), calls));
    let unnamed = number(status.received.flags_without_variant);
    gaps.extend(nobodys("variant", unnamed, unnamed));
    let list: ExperimentList = typed(&client.get("/api/v1/experiments", &[]).await?)?;
    for experiment in &list.experiments {
        let path = format!("/api/v1/experiments/{}", part(&experiment.name));
        let found: ExperimentView = typed(&client.get(&path, &[]).await?)?;
        gaps.extend(found.demoted.iter().map(|facet| Gap {
            service: None,
            sdk: None,
            what: format!("{facet}: too many values to tell runs apart"),
            missing: 0,
            calls: 0,
            add: lines::line("too many values", ""),
        }));
    }
    Ok(gaps)
}

fn nobodys(what: &str, missing: i64, calls: i64) -> Option<Gap> {
    (missing > 0).then(|| Gap {
        service: None,
        sdk: None,
        what: what.to_owned(),
        missing,
        calls,
        add: lines::line(what, ""),
    })
}

/// Of each run the record of its newest epoch.
fn newest(runs: Vec<RunRecord>) -> Vec<RunRecord> {
    let mut out: BTreeMap<String, RunRecord> = BTreeMap::new();
    for run in runs {
        let known = out.get(&run.run.id).is_some_and(|k| k.window.epoch >= run.window.epoch);
        if !known {
            out.insert(run.run.id.clone(), run);
        }
    }
    out.into_values().collect()
}

/// Calls without a facet, by service, of those of the runs that should have it.
fn of_records(runs: &[RunRecord]) -> Vec<Gap> {
    let mut found: BTreeMap<(Option<String>, String), (i64, i64)> = BTreeMap::new();
    for run in runs {
        for facet in run.evidence.facets.iter().filter(|facet| facet.share < 1.0) {
            let calls = run.evidence.calls;
            let mut add = |service: Option<String>, missing: i64| {
                let gap = found.entry((service, facet.facet.clone())).or_default();
                *gap = (gap.0 + missing, gap.1 + calls);
            };
            for missing in &facet.missing_from {
                add(Some(missing.service.clone()), missing.calls);
            }
            if facet.missing_from.is_empty() {
                add(None, calls - facet.present);
            }
        }
    }
    let gap = |((service, what), (missing, calls)): ((Option<String>, String), (i64, i64))| Gap {
        add: lines::line(&what, ""),
        service,
        sdk: None,
        what,
        missing,
        calls,
    };
    found.into_iter().map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(id: &str, epoch: u32, missing: i64) -> RunRecord {
        let mut record = crate::api::tests::record(id, "A", 0.2);
        record["window"]["epoch"] = json!(epoch);
        record["evidence"] = json!({"grade": "C", "calls": 100, "facets": [
            {"facet": "prompt.hash", "present": 100 - missing, "share": 0.5,
             "missing_from": [{"service": "edge-2", "calls": missing}]},
            {"facet": "unit", "present": 90, "share": 0.9, "missing_from": []},
            {"facet": "code.commit", "present": 100, "share": 1.0, "missing_from": []}]});
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn what_a_service_leaves_out_is_added_up_over_its_runs() {
        let runs = newest(vec![record("aa", 1, 99), record("aa", 2, 50), record("bb", 1, 20)]);
        let data = table(of_records(&runs));
        let seen: Vec<&[String]> = data.rows.iter().map(|row| &row[..4]).collect();
        assert_eq!(
            seen,
            [["–", "–", "unit", "20 of 200"], ["edge-2", "–", "prompt.hash", "70 of 200"]]
                .map(|row| row.map(str::to_owned))
        );
        assert!(data.rows.iter().all(|row| row[4].contains("set_attribute")), "{:?}", data.rows);
        assert_eq!(data.items[1]["missing"], 70);
    }

    #[test]
    fn what_is_hardly_ever_left_out_is_no_fault() {
        let mut rare = record("aa", 1, 0);
        rare.evidence.facets.truncate(1);
        rare.evidence.facets[0].missing_from[0].calls = 0;
        let data = table(of_records(&[rare]));
        assert_eq!(
            (data.rows.len(), data.notes.as_slice()),
            (0, &["Nothing is left out.".to_owned()][..])
        );
    }
}
