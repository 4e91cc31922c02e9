//! What changed between two answers, and how it is written.

use super::super::tests::{experiment, seen};
use super::*;
use crate::judge::trust::{Notice, Severity};
use serde_json::json;

#[test]
fn it_begins_with_a_line_for_each_arm() {
    let first = seen(&experiment());
    let lines: Vec<String> = beginning(&first, None).iter().map(plain).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[2],
        "2026-11-23 14:02  answer  C  4,180 calls, 1,393 units, 33.1 % of 33.3 %, evidence A; \
         answer_ok 81.5 % +0.300 pp inconclusive; latency_p95 1.32 s +400 ms breached; roll back"
    );
    assert!(!lines[1].contains('\u{1b}'), "names are not obeyed");
    assert!(beginning(&first, Some("embeddings")).is_empty());
}

#[test]
fn what_changed_is_told_once() {
    let before = seen(&experiment());
    assert_eq!(changed(&before, &before.clone(), None), []);
    let mut next = experiment();
    next["state"] = json!("quiet");
    next["sites"][0]["epoch"] = json!(3);
    let arm = &mut next["sites"][0]["arms"][2];
    arm["runs"] = json!(["aa0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e", "9f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e"]);
    arm["metrics"][0]["verdict"]["state"] = json!("regressed");
    arm["decision"]["action"] = json!("wait");
    // Figures move all the time: that is no change.
    arm["calls"] = json!(4_181);
    let change =
        json!({"at": "2026-11-23T14:00:00Z", "arm": "C", "field": "prompt.version", "to": "8"});
    next["sites"][0]["changes"].as_array_mut().expect("changes").push(change);
    let mut after = seen(&next);
    after.notices.push(Notice {
        severity: Severity::Warning,
        title: "Late data".into(),
        text: "3 observations.".into(),
        advice: "Send sooner.",
    });
    let events = changed(&before, &after, None);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["notice", "state", "epoch", "change", "run", "verdict", "decision"]);
    let verdict = &events[5];
    assert_eq!(
        (verdict.from.as_deref(), verdict.to.as_deref(), verdict.name.as_deref()),
        (Some("inconclusive"), Some("regressed"), Some("answer_ok"))
    );
    assert!(
        verdict.text.starts_with("answer_ok: inconclusive → ▼ regressed: "),
        "{}",
        verdict.text
    );
    assert_eq!(changed(&before, &after, Some("embeddings")).len(), 2, "only the experiment's own");
}

#[test]
fn a_spreadsheet_gets_as_many_cells_as_columns() {
    let event = Event { text: "a, \"b\"".into(), kind: "arm", ..Event::default() };
    assert_eq!(csv(&event), ",arm,,,,,,,\"a, \"\"b\"\"\"");
}
