//! `armspan runs compare`: two runs side by side, for people. First what a difference may be put
//! down to, then facets, then levels with their differences, then effects and the arm to run.

use super::print::{Data, Section};
use super::read::{Client, typed};
use crate::compare::words::{NONE, missing_arm};
use crate::compare::{Comparison, FacetDifference, MetricContrast, RunSide};
use crate::model::human;
use crate::model::url::part;
use anyhow::Result;
use serde_json::Value as Json;

/// Characters of a facet's value shown, and digits of a hash.
const VALUE_MAX: usize = 40;
const DIGITS_SHOWN: usize = 12;

/// Asks for a comparison; each run by its id or the first digits of it.
pub async fn compare(client: &Client, a: &str, b: &str) -> Result<Data> {
    let path = format!("/api/v1/runs/{}/compare/{}", part(a), part(b));
    let document = client.get(&path, &[]).await?;
    Ok(data(&typed(&document)?, document))
}

/// A comparison as sections for people, and as one flat table for a spreadsheet.
fn data(found: &Comparison, document: Json) -> Data {
    let names = found.names();
    let mut sections = vec![sides(found)];
    sections.extend(facets("differs", &found.differing, &names));
    sections.extend(facets("unknown on one side", &found.missing, &names));
    sections.push(Section::text(found.equal_text()));
    sections.push(metrics(found, &names));
    sections.extend(found.metrics.iter().filter_map(|metric| effects(found, metric)));
    sections
        .extend(found.attribution.missing_arm.as_ref().map(|arm| Section::text(missing_arm(arm))));
    sections.extend(found.attribution.limits.iter().map(|limit| Section::text(limit.clone())));
    sections.retain(|section| !section.is_empty());
    Data {
        columns: ["part", "name", "a", "b", "difference", "interval"].map(str::to_owned).into(),
        rows: flat(found),
        items: vec![document.clone()],
        document,
        sections,
        ..Data::default()
    }
}

fn sides(found: &Comparison) -> Section {
    let one = found.run_a.experiment == found.run_b.experiment;
    let place = |side: &RunSide| match one {
        true => side.site.clone(),
        false => format!("{} of {}", side.site, side.experiment),
    };
    let row = |id: &str, side: &RunSide| -> Vec<String> {
        let mark = if side.control { " (control)" } else { "" };
        vec![
            human::run(id).to_owned(),
            place(side),
            format!("{}{mark}", side.arm),
            side.epoch.to_string(),
            human::count(side.calls),
            human::count(side.units),
            human::minute(&side.last_seen),
        ]
    };
    let columns = ["run", "site", "arm", ">epoch", ">calls", ">units", "last seen"];
    Section {
        text: found.attribution.sentence.clone(),
        columns: columns.map(str::to_owned).into(),
        rows: vec![row(&found.a, &found.run_a), row(&found.b, &found.run_b)],
    }
}

fn facets(title: &str, list: &[FacetDifference], names: &[String; 2]) -> Option<Section> {
    let row = |facet: &FacetDifference| {
        vec![facet.facet.clone(), value(facet.a.as_ref()), value(facet.b.as_ref())]
    };
    let [a, b] = names.clone();
    (!list.is_empty()).then(|| Section {
        text: String::new(),
        columns: vec![title.to_owned(), a, b],
        rows: list.iter().map(row).collect(),
    })
}

/// A value in one line; hashes and long texts are cut.
pub(super) fn value(value: Option<&Json>) -> String {
    let text = match value {
        None => return NONE.to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let shorten = |text: &str, at: usize| text.chars().take(at).chain(['…']).collect::<String>();
    match text.strip_prefix("sha256:") {
        Some(digits) if digits.len() > DIGITS_SHOWN => shorten(digits, DIGITS_SHOWN),
        _ if text.chars().count() > VALUE_MAX => shorten(&text, VALUE_MAX - 1),
        _ => text,
    }
}

fn metrics(found: &Comparison, names: &[String; 2]) -> Section {
    let [a, b] = names;
    let minus = format!(">{b} − {a}");
    let columns = ["metric", &format!(">{a}"), &format!(">{b}"), &minus, "interval", ">confidence"];
    let row = |metric: &MetricContrast| {
        vec![
            found.named(metric),
            metric.level(metric.a),
            metric.level(metric.b),
            metric.signed(metric.difference),
            metric.interval(),
            metric.confidence_text(),
        ]
    };
    Section {
        text: String::new(),
        columns: columns.map(str::to_owned).into(),
        rows: found.metrics.iter().map(row).collect(),
    }
}

/// Effects of a metric beyond its whole difference, which is among the metrics.
fn effects(found: &Comparison, metric: &MetricContrast) -> Option<Section> {
    let lines = metric.effect_lines();
    if lines.is_empty() {
        return None;
    }
    let rows = lines.into_iter().map(|line| vec![line.text, line.estimate, line.interval]);
    let title = format!("effect on {}", found.named(metric));
    Some(Section {
        text: String::new(),
        columns: [title.as_str(), ">estimate", "interval"].map(str::to_owned).into(),
        rows: rows.collect(),
    })
}

fn flat(found: &Comparison) -> Vec<Vec<String>> {
    let facet = |part: &'static str| {
        move |facet: &FacetDifference| {
            let (a, b) = (value(facet.a.as_ref()), value(facet.b.as_ref()));
            [part.to_owned(), facet.facet.clone(), a, b, String::new(), String::new()].to_vec()
        }
    };
    let mut rows: Vec<Vec<String>> = found.differing.iter().map(facet("differs")).collect();
    rows.extend(found.missing.iter().map(facet("unknown on one side")));
    rows.extend(found.equal.iter().map(facet("equal")));
    for metric in &found.metrics {
        rows.push(vec![
            "metric".to_owned(),
            found.named(metric),
            metric.level(metric.a),
            metric.level(metric.b),
            metric.signed(metric.difference),
            metric.interval(),
        ]);
    }
    for section in found.metrics.iter().filter_map(|metric| effects(found, metric)) {
        let title = section.columns[0].clone();
        rows.extend(section.rows.into_iter().map(|row| {
            let [name, estimate, interval] = [0, 1, 2].map(|at| row[at].clone());
            vec![title.clone(), name, String::new(), String::new(), estimate, interval]
        }));
    }
    rows
}

#[cfg(test)]
mod tests;
