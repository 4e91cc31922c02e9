//! What a comparison looks like, in full.

use super::*;
use crate::cli::args::Format;
use crate::cli::print::print;
use crate::cli::read::tests::served;
use crate::compare::compare as compare_runs;
use crate::compare::tests::{run, square, view_of};
use crate::model::record::RunRecord;

fn printed(runs: &[RunRecord], format: Format) -> String {
    let found = compare_runs(&view_of(runs), &runs[0], &runs[1]);
    let document = serde_json::to_value(&found).expect("document");
    let mut out = Vec::new();
    print(&data(&found, document), format, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn people_read_the_conclusion_first_then_facets_metrics_and_effects() {
    let wanted = include_str!("tests.txt");
    assert_eq!(printed(&square(), Format::Table), wanted);
}

#[test]
fn the_arm_to_run_comes_last_and_unknown_facets_have_a_list() {
    let [mut a, b, ..] = square();
    let text = printed(&[a.clone(), b.clone()], Format::Table);
    let last = text.trim_end().lines().last().expect("a line");
    assert_eq!(last, " To separate model and prompt: run model=new with prompt=3.");
    let hash = format!("sha256:{}", "0123456789abcdef".repeat(4));
    a.config.insert("tools".into(), serde_json::json!({"hash": hash}));
    let text = printed(&[a, b], Format::Table);
    assert!(text.contains("\n unknown on one side  A              B\n"), "{text}");
    assert!(text.contains("\n tools.hash           0123456789ab…  –\n"), "{text}");
}

#[test]
fn names_stay_apart_and_gates_are_told() {
    let [_, b, ..] = square();
    let mut few = run("b2b2b2b2b2b2b2", "B", "new", "5", 0.9);
    few.metrics[0].spread.as_mut().expect("spread").units = 7.0;
    let text = printed(&[b, few], Format::Table);
    assert!(text.contains("  bb  b2b2b2b2b2b2  b2b2b2b2b2b2 − bb  interval"), "{text}");
    assert!(text.contains(" pp  none: too few units "), "{text}");
}

#[test]
fn other_formats_are_one_document_or_one_table() {
    let json = printed(&square(), Format::Json);
    let document: Json = serde_json::from_str(&json).expect("json");
    assert_eq!(document["attribution"]["label"], "confounded");
    let lines = printed(&square(), Format::Jsonl);
    assert_eq!(serde_json::from_str::<Json>(lines.trim_end()).expect("one line"), document);
    let csv = printed(&square(), Format::Csv);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(
        rows[..2],
        ["part,name,a,b,difference,interval", "differs,model.revision,old,new,,"]
    );
    assert!(rows.iter().all(|row| row.matches(',').count() >= 5), "{csv}");
    let markdown = printed(&square(), Format::Markdown);
    assert!(markdown.starts_with("Model and prompt changed together"), "{markdown}");
    assert!(markdown.contains("\n| prompt.version | 3   | 4   |\n"), "{markdown}");
}

#[tokio::test]
async fn runs_are_named_by_their_first_digits() {
    let client = served().await;
    let found = compare(&client, "aa1", "b").await.expect("comparison").document;
    assert_eq!((&found["a"], &found["b"]), (&"aa11".into(), &"bb00".into()));
    let told = compare(&client, "aa", "bb").await.expect_err("ambiguous").to_string();
    assert!(told.contains("aa11") && told.contains("aa22"), "{told}");
    let told = compare(&client, "bb", "aa1x").await.expect_err("unknown").to_string();
    assert!(told.contains("near: aa11"), "{told}");
}
