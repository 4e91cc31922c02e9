//! The note that MLflow shows beside a run, in Markdown; the whole report is among its files.

use crate::model::human;
use crate::model::markdown::{code, prose};
use crate::model::record::RunRecord;
use std::fmt::Write;

/// The note: what was tested, what came of it, and where to look.
pub fn note(record: &RunRecord, dashboard: Option<&str>) -> String {
    let mut out = head(record);
    let _ = writeln!(out, "\n{}", traffic(record));
    verdicts(&mut out, record);
    if let Some(link) = run_link(record, dashboard) {
        let _ = writeln!(out, "\n[Open in armspan]({link})");
    }
    let _ = writeln!(out, "\nThe whole report: artifact `{}`.", super::artifacts::REPORT);
    out
}

fn head(record: &RunRecord) -> String {
    let run = &record.run;
    let role = if run.control { " (control)" } else { "" };
    format!(
        "Experiment {}, arm {}{role}, site {}: {} run `{}` in epoch {}.\n",
        code(&run.experiment),
        code(&run.arm),
        code(&run.site),
        run.mode,
        run.id,
        record.window.epoch
    )
}

fn traffic(record: &RunRecord) -> String {
    let (traffic, window) = (&record.traffic, &record.window);
    let state = if window.closed { "the epoch is over" } else { "the epoch goes on" };
    format!(
        "{} calls of {} units ({}) from {} to {} UTC; {state}.",
        human::count(traffic.calls),
        human::count(traffic.units),
        code(&traffic.unit),
        human::minute(&window.first_seen),
        human::minute(&window.last_seen)
    )
}

fn verdicts(out: &mut String, record: &RunRecord) {
    let mut lines = String::new();
    for line in &record.metrics {
        let Some(verdict) = line.verdict.as_ref().filter(|verdict| verdict.decides) else {
            continue;
        };
        let _ = writeln!(lines, "- **{}**: {}", verdict.state, prose(&verdict.sentence));
    }
    if let Some(ratio) = &record.sample_ratio {
        let _ = writeln!(lines, "- Sample ratio: {}", prose(&ratio.state));
    }
    if !lines.is_empty() {
        let _ = write!(out, "\n## Verdicts\n\n{lines}");
    }
}

fn run_link(record: &RunRecord, dashboard: Option<&str>) -> Option<String> {
    Some(format!("{}/runs/{}", dashboard?, record.run.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample;

    #[test]
    fn the_note_says_what_was_tested_and_what_came_of_it() {
        let record = sample::cut().records.remove(1);
        let text = note(&record, Some("http://armspan"));
        for part in [
            "Experiment `support-bot`, arm `B`, site `answer`",
            "3,583 calls of 1,190 units (`user.id`) from 2026-11-24 07:59",
            "- **better**: answer_ok is better in B than in A (+6.74 pp; +1.50 to +12.0 pp).",
            "[Open in armspan](http://armspan/runs/9cb97ebd526e853fa2707bdde1deacf4)",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn names_from_traffic_do_not_become_markup() {
        let mut record = sample::cut().records.remove(0);
        record.run.arm = "x<script>\n# A".into();
        let text = note(&record, None);
        assert!(text.contains("arm `x<script> # A`"), "{text}");
    }
}
