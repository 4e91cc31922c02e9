//! `armspan check --dry-run`: what a config would make of OTLP files, and what it names that is
//! not in them. Nothing is written.

use super::args::Check;
use super::print::Data;
use super::progress::Counter;
use crate::app::replay;
use crate::config::Config;
use crate::model::human;
use crate::model::settings::Experiment;
use crate::model::view::{ExperimentView, View};
use crate::normalize::Blind;
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;

/// Something that the config names.
struct Found {
    what: &'static str,
    name: String,
    calls: i64,
    /// What is wrong; none when it is there.
    wrong: Option<String>,
}

/// What was found of a config, and whether something is missing.
pub fn dry_run(args: &Check, config: &Config) -> Result<(Data, bool)> {
    let progress = Counter::new("requests read");
    let fold = replay::otlp(config, &args.dry_run, &mut Blind, &|done| progress.at(done))?;
    drop(progress);
    let found = look(config, &fold.engine.view());
    let missing = found.iter().any(|found| found.wrong.is_some());
    Ok((table(&found), missing))
}

fn look(config: &Config, view: &View) -> Vec<Found> {
    let settings = config.settings();
    let calls = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut out = vec![Found {
        what: "calls",
        name: "all".to_owned(),
        calls: calls(view.counts.calls),
        wrong: (view.counts.calls == 0)
            .then(|| "no span is a model call; `armspan explain FILE` says why".to_owned()),
    }];
    if view.counts.unassigned > 0 {
        let calls = calls(view.counts.unassigned);
        out.push(Found { what: "calls", name: "without an arm".to_owned(), calls, wrong: None });
    }
    for seen in &view.experiments {
        if !settings.experiments.contains_key(&seen.name) && seen.calls > 0 {
            let name = format!("{} (by its flag)", seen.name);
            out.push(Found { what: "experiment", name, calls: seen.calls, wrong: None });
        }
    }
    for (name, wanted) in &settings.experiments {
        let seen = view.experiments.iter().find(|seen| &seen.name == name && seen.calls > 0);
        out.extend(experiment(name, wanted, seen, view));
    }
    let declared = settings.experiments.values().flat_map(|wanted| {
        let family = &wanted.family;
        family.primary.iter().chain(&family.rollback)
    });
    let declared: BTreeSet<&String> = declared.chain(settings.metrics.keys()).collect();
    out.extend(declared.into_iter().map(|name| metric(name, view)));
    out
}

fn experiment(
    name: &str,
    wanted: &Experiment,
    seen: Option<&ExperimentView>,
    view: &View,
) -> Vec<Found> {
    let Some(seen) = seen else {
        let others = view.experiments.iter().filter(|other| other.calls > 0);
        let others: Vec<&str> = others.map(|other| other.name.as_str()).collect();
        let there = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        let wrong = Some(format!("no call belongs to it; there is {there}"));
        return vec![Found { what: "experiment", name: name.to_owned(), calls: 0, wrong }];
    };
    let calls = seen.calls;
    let mut out = vec![Found { what: "experiment", name: name.to_owned(), calls, wrong: None }];
    let arms: BTreeSet<&String> = wanted.control.iter().chain(wanted.split.keys()).collect();
    let of = |arm: &str| -> i64 {
        let all = seen.sites.iter().flat_map(|site| &site.arms);
        all.filter(|view| view.arm == arm).map(|view| view.calls).sum()
    };
    out.extend(arms.into_iter().map(|arm| {
        let calls = of(arm);
        let there = seen.arms.join(", ");
        let wrong = (calls == 0).then(|| format!("no call has this arm; there is {there}"));
        Found { what: "arm", name: format!("{arm} of {name}"), calls, wrong }
    }));
    out
}

fn metric(name: &str, view: &View) -> Found {
    let arms = view.experiments.iter().flat_map(|seen| &seen.sites).flat_map(|site| &site.arms);
    let lines = arms.flat_map(|arm| &arm.metrics).filter(|line| line.name == name);
    let calls = lines.map(|line| line.scored.unwrap_or(line.calls)).sum();
    let wrong = (calls == 0).then(|| "no call with an arm reports it".to_owned());
    Found { what: "metric", name: name.to_owned(), calls, wrong }
}

fn table(found: &[Found]) -> Data {
    let row = |found: &Found| {
        let wrong = found.wrong.clone().unwrap_or("there".to_owned());
        vec![found.what.to_owned(), found.name.clone(), human::count(found.calls), wrong]
    };
    let item = |found: &Found| {
        let mut item = json!({"what": found.what, "name": found.name, "calls": found.calls});
        if let Some(wrong) = &found.wrong {
            item["wrong"] = json!(wrong);
        }
        item
    };
    let items: Vec<_> = found.iter().map(item).collect();
    Data {
        columns: ["what", "name", ">calls", "found"].map(str::to_owned).into(),
        rows: found.iter().map(row).collect(),
        document: json!({"found": items}),
        items,
        ..Data::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};
    use std::path::Path;

    fn tried(text: &str) -> (Vec<Vec<String>>, bool) {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("armspan.yaml");
        std::fs::write(&path, text).expect("config");
        let config = config::load(Some(&path), &|_: &str| None, &Flags::default()).expect("config");
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let file = corpus.join("python/openai_v2/v130_chat_default.traces.pb");
        let args = Check { dry_run: vec![file], ..Check::default() };
        let (data, missing) = dry_run(&args, &config).expect("read");
        (data.rows, missing)
    }

    #[test]
    fn what_the_config_names_is_looked_for() {
        let good = "experiments: {support-answer: {control: control}}\n";
        let (rows, missing) = tried(good);
        assert!(!missing, "{rows:?}");
        assert!(rows.iter().any(|row| row[1] == "control of support-answer" && row[2] == "1"));
        let bad = "experiments: {support-answer: {control: A}, other: {control: A}}\n\
                   metrics: {answer_ok: {from: score, role: quality, direction: increase}}\n";
        let (rows, missing) = tried(bad);
        let wrong = |name: &str| {
            let row = rows.iter().find(|row| row[1] == name).expect(name);
            row[3].clone()
        };
        assert!(missing && wrong("A of support-answer").contains("there is"), "{rows:?}");
        assert!(wrong("other").contains("support-answer"), "{rows:?}");
        assert!(wrong("answer_ok").contains("no call"), "{rows:?}");
    }
}
