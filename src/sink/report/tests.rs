//! Reports of the sample, and of text that wants to be more than text.

use super::*;
use crate::sink::sample;

fn record() -> RunRecord {
    sample::cut().records.swap_remove(1)
}

#[test]
fn a_report_says_what_was_tested_and_what_came_out() {
    let report = markdown(&record(), Some("https://arms.example"));
    for part in [
        "# support-bot, arm B: run 9cb97ebd526e\n",
        "[Open it in the dashboard](<https://arms.example/runs/9cb97ebd526e853fa2707bdde1deacf4>)",
        "| `model.revision` | `gpt-4o-mini-2024-12-01` |\n",
        "Commit of most calls: `9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e`.",
        "Grade B on 3,583 calls.",
        "| `prompt.hash` | 3,484 | 97.2 % | `edge-2` (99) |\n",
        "3,583 calls of 1,190 units (`user.id`); 0 repeats",
        "| metric | role | level | interval | difference from `A` | interval | verdict |\n",
        "| `answer_ok` | quality | 86.1 % | 82.8 % to 89.4 % (99.75 %) | +6.74 pp \
         | +1.50 to +12.0 pp (99.75 %) | better |\n",
        "- answer_ok is better in B than in A (+6.74 pp; +1.50 to +12.0 pp).\n",
        "Units against the planned shares: ok, p = 0.639.",
        "| `C` | 1,320 | 33.0 % |\n",
        "| `model.revision` |",
        "- worst (slowest): `3565af0286f6fa42f89f9d174b6fd35d`\n",
        "armspan 0.1.0, log position 3000, 2026-11-24T18:00:00.25Z.\n",
    ] {
        assert!(report.contains(part), "{part}\n--- not in ---\n{report}");
    }
    assert_eq!(report, markdown(&record(), Some("https://arms.example")));
    assert!(!markdown(&record(), None).contains("dashboard"));
    assert!(!report.contains("not part of the decision"), "what does not decide is in the table");
    assert!(report.contains("| no interval yet | inconclusive |"));
}

#[test]
fn rows_of_a_table_have_its_columns_whatever_the_values_are() {
    let mut record = record();
    record.run.arm = "B | <b>@all</b>\n# big".into();
    record.changes[0].arm = record.run.arm.clone();
    record.evidence.facets[0].facet = "a|b\u{7}`c`".into();
    record.links[0].href = Some("javascript:alert(1)".into());
    record.links[1].href = Some("https://t.example/x".into());
    record.config.insert("new\nline".into(), Json::String("|`|".repeat(400)));
    let report = markdown(&record, None);
    assert!(
        report.starts_with("# support-bot, arm B \\| \\<b\\>@\u{200b}all\\</b\\> \\# big: run")
    );
    assert!(report.contains("- worst (slowest): 3565af0286f6fa42f89f9d174b6fd35d\n"), "{report}");
    assert!(report.contains("](<https://t.example/x>)") && !report.contains("javascript"));
    assert!(
        report.contains("| ``a\\|b `c` ``") || report.contains("| `` a\\|b `c` ``"),
        "{report}"
    );
    assert!(!report.contains(|c: char| c.is_control() && c != '\n'));
    let mut columns = None;
    for row in report.lines() {
        let bars = row.replace("\\|", "").matches('|').count();
        match columns {
            _ if !row.starts_with('|') => columns = None,
            None => columns = Some(bars),
            Some(expected) => assert_eq!(bars, expected, "{row}"),
        }
    }
}

#[test]
fn a_long_report_is_cut_at_a_lines_end() {
    let mut record = record();
    let change = record.changes[0].clone();
    record.changes = vec![change; 2_000];
    let report = markdown(&record, None);
    assert!(report.len() <= BYTES_MAX && report.len() > BYTES_MAX - 500, "{}", report.len());
    assert!(report.ends_with(&format!("|\n{CUT}")), "{}", &report[report.len() - 300..]);
}

#[test]
fn the_commit_is_that_of_most_calls() {
    let mut record = record();
    let values = &mut record.observed[0].values;
    values[1].value["commit"] = "b".into();
    values.push(values[1].clone());
    (values[0].calls, values[1].calls, values[2].calls) = (30, 20, 20);
    assert_eq!(commit(&record), Some("b"));
    record.observed[0].values.truncate(1);
    assert_eq!(commit(&record), Some("9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e"));
    record.observed.clear();
    assert_eq!(commit(&record), None);
}
