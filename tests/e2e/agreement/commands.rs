//! What the command line says, of a server or of the folder that it left: `arms status` in every
//! format, `arms watch`, `runs list`, `gate`, `report`.

use super::documents;
use super::pages;
use super::tables::{Table, columns, csv, markdown};
use super::truth::{Truth, bits, decided, said};
use crate::server::armspan;
use armspan::model::record::MetricLine;
use serde_json::Value as Json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Standard output of a command that may fail a gate.
fn out(words: &[&str], place: [&str; 2]) -> String {
    let out = armspan(&[words, &place].concat());
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(out.status.code(), Some(0 | 10)), "{words:?} {place:?}: {told}");
    String::from_utf8(out.stdout).expect("text")
}

fn json(words: &[&str], place: [&str; 2]) -> Json {
    serde_json::from_str(&out(words, place)).expect("JSON")
}

/// How a table is read back from what was printed.
type Read = fn(&str) -> Table;

/// The formats that hold a table.
const READERS: [(&str, Read); 3] = [("csv", csv), ("markdown", markdown), ("table", columns)];

pub fn walk(truth: &Truth, place: [&str; 2]) {
    let status = ["arms", "status", "walk", "-o"];
    let in_format = |format: &str| out(&[&status[..], &[format]].concat(), place);
    let document: Json = serde_json::from_str(&in_format("json")).expect("JSON");
    assert_eq!(bits(&document["sites"]), bits(&truth.json["sites"]), "arms status -o json");
    for (format, read) in READERS {
        arms(truth, &read(&in_format(format)), format);
    }
    for line in in_format("jsonl").lines() {
        let arm: Json = serde_json::from_str(line).expect("JSON");
        let name = arm["arm"].as_str().expect("arm");
        assert_eq!(bits(&arm["metrics"]), bits(truth.lines_json(name)), "{name} in JSON lines");
    }
    let runs = json(&["runs", "list", "--experiment", "walk", "-o", "json"], place);
    documents::records(truth, runs["runs"].as_array().expect("runs"));
    gate(truth, place);
    report(truth, place);
    watch(truth, place);
}

/// A row an arm: its name somewhere, and under each metric its level and what was decided.
fn arms(truth: &Truth, (head, rows): &Table, format: &str) {
    assert_eq!(rows.len(), truth.site().arms.len(), "{format}");
    for (row, arm) in rows.iter().zip(&truth.site().arms) {
        assert_eq!(row[1].trim_end_matches(" (control)"), arm.arm, "{format}");
        let cell = |name: &str| head.iter().position(|one| one == name).map(|at| &row[at]);
        let names = ["answer_ok", "rating", "tone", "mood", "error_rate", "latency_p95", "cost"];
        for name in names {
            let line = arm.line(name).expect(name);
            let end = if line.decides() { decided(line) } else { String::new() };
            let wanted = said(line).level + &end;
            assert_eq!(cell(name), Some(&wanted), "{name} of {} as {format}", arm.arm);
        }
        assert_eq!(cell("calls"), Some(&armspan::model::human::count(arm.calls)), "{format}");
    }
}

fn deciding<'a>(truth: &'a Truth, arm: &str) -> impl Iterator<Item = &'a MetricLine> {
    truth.arm(arm).metrics.iter().filter(|line| line.decides())
}

fn gate(truth: &Truth, place: [&str; 2]) {
    let words = ["gate", "--experiment", "walk", "-o"];
    let in_format = |format: &str| out(&[&words[..], &[format]].concat(), place);
    documents::gate(truth, &serde_json::from_str(&in_format("json")).expect("JSON"));
    for (format, read) in READERS {
        let (head, rows) = read(&in_format(format));
        assert_eq!(head[..6], ["arm", "site", "metric", "verdict", "difference", "interval"]);
        assert_eq!(rows.len(), 12, "{format}: {rows:?}");
        for row in rows {
            let line = deciding(truth, &row[0]).find(|line| line.name == row[2]).expect("a line");
            let (texts, state) = (said(line), &line.verdict.as_ref().expect("decides").state);
            let wanted = [state, &texts.difference.expect("one"), &texts.interval.expect("one")];
            assert_eq!(row[3..6].iter().collect::<Vec<_>>(), wanted, "{format}: {row:?}");
        }
    }
}

fn report(truth: &Truth, place: [&str; 2]) {
    let words = ["report", "--experiment", "walk", "--format"];
    let in_format = |format: &str| out(&[&words[..], &[format]].concat(), place);
    let document: Json = serde_json::from_str(&in_format("json")).expect("JSON");
    assert_eq!(bits(&document["experiment"]["sites"]), bits(&truth.json["sites"]));
    documents::gate(truth, &document["gate"]);
    documents::records(truth, document["runs"].as_array().expect("runs"));
    comment(truth, &in_format("markdown"));
    junit(truth, &in_format("junit"));
    if place[0] == "--server" {
        pages::report(truth, &in_format("html"));
    }
}

/// The table of the comment, and a sentence for each verdict.
fn comment(truth: &Truth, text: &str) {
    let (head, rows) = markdown(text);
    for (row, arm) in rows.iter().zip(&truth.site().arms) {
        assert_eq!(row[0].trim_end_matches(" (control)").trim_matches('`'), arm.arm);
        for (at, name) in head.iter().enumerate().skip(3).take(head.len() - 5) {
            let line = arm.line(&name.replace('\\', "")).expect(name);
            let by = said(line).difference.map(|by| format!(" ({by})")).unwrap_or_default();
            assert_eq!(row[at], said(line).level + &by, "{name} of {} in the comment", arm.arm);
        }
    }
    assert_eq!((rows.len(), head.len()), (3, 11), "{head:?}");
    let plain = text.replace('\\', "");
    for line in ["B", "C"].into_iter().flat_map(|arm| deciding(truth, arm)) {
        let verdict = line.verdict.as_ref().expect("decides");
        assert!(plain.contains(&verdict.sentence), "{}: {plain}", verdict.sentence);
    }
}

fn junit(truth: &Truth, text: &str) {
    for arm in ["B", "C"] {
        for line in deciding(truth, arm) {
            let case = format!("classname=\"walk.{arm}.answer\" name=\"{}\"", line.name);
            let from = text.find(&case).expect(&case);
            let case = &text[from..from + text[from..].find("</testcase>").expect("its end")];
            let (texts, verdict) = (said(line), line.verdict.as_ref().expect("decides"));
            assert!(case.contains(&verdict.sentence), "{case}");
            let details = format!(
                ">{}; {};",
                texts.difference.expect("a difference"),
                texts.interval.expect("an interval")
            );
            assert_eq!(case.contains("<failure"), case.contains(&details), "{details} in {case}");
        }
    }
    assert!(text.contains("<failure"), "nothing fails in {text}");
}

/// The first lines of a watch into a pipe: one an arm.
fn watch(truth: &Truth, place: [&str; 2]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armspan"));
    command.args(["arms", "watch", "walk", "-o", "json"]).args(place);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let events = lines
        .map_while(Result::ok)
        .map(|line| -> Json { serde_json::from_str(&line).expect("JSON") });
    let told: Vec<Json> = events.filter(|event| event["kind"] == "arm").take(3).collect();
    child.kill().expect("killed");
    child.wait().expect("ended");
    for event in told {
        let (arm, text) = (event["arm"].as_str().expect("arm"), event["text"].as_str());
        let mut parts = text.expect("text").split("; ").skip(1);
        for line in deciding(truth, arm) {
            let wanted = format!("{} {}{}", line.name, said(line).level, decided(line));
            assert_eq!(parts.next(), Some(wanted.as_str()), "{arm} of a watch");
        }
    }
}
