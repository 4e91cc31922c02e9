//! A run in words: the note that MLflow shows beside it, and the report among its files. Both
//! are Markdown.

use super::keys;
use crate::model::human;
use crate::model::record::{Level, MetricLine, RunRecord};
use serde_json::Value as Json;
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

/// The report: all that the record says.
pub fn report(record: &RunRecord, dashboard: Option<&str>) -> String {
    let run = &record.run;
    let [experiment, arm, site] = [&run.experiment, &run.arm, &run.site].map(|name| text(name));
    let mut out = format!("# {experiment} {arm} at {site}\n\n");
    out += &head(record);
    let _ = writeln!(out, "\n{}", traffic(record));
    if let Some(link) = run_link(record, dashboard) {
        let _ = writeln!(out, "\n[Open in armspan]({link})");
    }
    verdicts(&mut out, record);
    config(&mut out, record);
    metrics(&mut out, record);
    evidence(&mut out, record);
    changes(&mut out, record);
    links(&mut out, record);
    let collector = &record.collector;
    let at = collector.exported_at.as_deref().unwrap_or("unknown");
    let _ = writeln!(out, "\narmspan {}, figures of {at}.", collector.version);
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
        let _ = writeln!(lines, "- **{}**: {}", verdict.state, text(&verdict.sentence));
    }
    if let Some(ratio) = &record.sample_ratio {
        let _ = writeln!(lines, "- Sample ratio: {}", text(&ratio.state));
    }
    section(out, "Verdicts", &lines);
}

fn config(out: &mut String, record: &RunRecord) {
    let mut lines = String::new();
    for param in super::entries::params(record) {
        let _ = writeln!(lines, "| {} | {} |", text(&param.key), code(&param.text));
    }
    section(out, "Configuration", &format!("| facet | value |\n|---|---|\n{lines}"));
}

fn metrics(out: &mut String, record: &RunRecord) {
    let mut lines =
        String::from("| metric | level | interval | against control | state | calls |\n");
    lines += "|---|---|---|---|---|---|\n";
    for (line, key) in record.metrics.iter().zip(keys::of_metrics(&record.metrics)) {
        let state = line.verdict.as_ref().map_or("", |verdict| verdict.state.as_str());
        let _ = writeln!(
            lines,
            "| {} | {} | {} | {} | {} | {} |",
            text(&key),
            human::line(line),
            line.level.as_ref().map_or(String::new(), |level| bounds(level, line)),
            contrast(line),
            text(state),
            human::count(line.calls)
        );
    }
    section(out, "Metrics", &lines);
}

/// The interval of a level, with its confidence.
fn bounds(level: &Level, line: &MetricLine) -> String {
    let end = |value: f64| {
        let level = Level { estimate: value, ..level.clone() };
        human::line(&MetricLine { level: Some(level), ..line.clone() })
    };
    let range = match (level.lower, level.upper) {
        (Some(low), Some(high)) => format!("{} to {}", end(low), end(high)),
        (Some(low), None) => format!("at least {}", end(low)),
        (None, Some(high)) => format!("at most {}", end(high)),
        (None, None) => return String::new(),
    };
    let confidence = level.confidence.map(|share| format!(" (at {} %)", percent(share)));
    range + &confidence.unwrap_or_default()
}

fn contrast(line: &MetricLine) -> String {
    let Some(difference) = &line.difference else { return String::new() };
    format!(
        "{} ({})",
        human::difference(difference.estimate, &line.unit),
        human::interval(difference.lower, difference.upper, &line.unit)
    )
}

/// A confidence with its digits: 99.75, not 99.8.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn evidence(out: &mut String, record: &RunRecord) {
    let mut lines = format!(
        "Grade {}, of {} calls.\n\n",
        record.evidence.grade,
        human::count(record.evidence.calls)
    );
    lines += "| facet | share of calls | missing from |\n|---|---|---|\n";
    for facet in &record.evidence.facets {
        let missing: Vec<String> = facet
            .missing_from
            .iter()
            .map(|from| format!("{} ({})", text(&from.service), human::count(from.calls)))
            .collect();
        let share = human::share(facet.share);
        let _ = writeln!(lines, "| {} | {share} | {} |", text(&facet.facet), missing.join(", "));
    }
    section(out, "Evidence", &lines);
}

fn changes(out: &mut String, record: &RunRecord) {
    let mut lines = String::new();
    for change in &record.changes {
        let [from, to] = [&change.from, &change.to]
            .map(|value| value.as_ref().map_or_else(|| "none".to_owned(), value_text));
        let _ = writeln!(
            lines,
            "- {} UTC: {} from {} to {}",
            human::minute(&change.at),
            text(&change.field),
            code(&from),
            code(&to)
        );
    }
    section(out, "Changes", &lines);
}

fn links(out: &mut String, record: &RunRecord) {
    let mut lines = String::new();
    for link in &record.links {
        let trace = match &link.href {
            Some(href) if is_plain(href) => format!("[`{}`]({href})", link.trace_id),
            _ => format!("`{}`", link.trace_id),
        };
        let _ = writeln!(lines, "- {}: {trace}, span `{}`", text(&link.rel), link.span_id);
    }
    section(out, "Traces", &lines);
}

fn run_link(record: &RunRecord, dashboard: Option<&str>) -> Option<String> {
    Some(format!("{}/runs/{}", dashboard?, record.run.id))
}

fn value_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn section(out: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(out, "\n## {title}\n\n{body}");
    }
}

/// Text on one line that is no Markdown and no HTML: names come from traffic.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '\\' | '`' | '*' | '[' | ']' | '|' | '#' => out.extend(['\\', c]),
            '<' => out += "&lt;",
            '&' => out += "&amp;",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Whether a link can stand in Markdown as it is.
fn is_plain(href: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '<' | '>' | '\\');
    (href.starts_with("http://") || href.starts_with("https://")) && !href.contains(bad)
}

/// Code on one line, fit for a table.
fn code(raw: &str) -> String {
    let line: String = raw.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.contains(['`', '|']) {
        true => text(&line),
        false => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample;

    #[test]
    fn the_report_says_what_the_record_says() {
        let record = sample::cut().records.remove(1);
        let text = report(&record, Some("http://armspan"));
        for part in [
            "# support-bot B at answer",
            "3,583 calls of 1,190 units (`user.id`) from 2026-11-24 07:59",
            "- **better**: answer_ok is better in B than in A (+6.74 pp; +1.50 to +12.0 pp).",
            "| model.revision | `gpt-4o-mini-2024-12-01` |",
            "| answer_ok | 86.1 % | 82.8 % to 89.4 % (at 99.75 %) | +6.74 pp (+1.50 to +12.0 pp) | better | 3,557 |",
            "Grade B, of 3,583 calls.",
            "- 2026-11-24 07:55 UTC: model.revision from `gpt-4o-mini-2024-07-18` to",
            "- slowest: `3565af0286f6fa42f89f9d174b6fd35d`, span `86e6fafa6c7600f7`",
            "[Open in armspan](http://armspan/runs/9cb97ebd526e853fa2707bdde1deacf4)",
            "figures of 2026-11-24T18:00:00.25Z.",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn names_from_traffic_do_not_become_markup() {
        let mut record = sample::cut().records.remove(0);
        record.run.arm = "`x`|<script>\n# A".into();
        let text = report(&record, None) + &note(&record, None);
        assert!(!text.contains("<script>"), "{text}");
        assert!(text.contains("\\`x\\`\\|&lt;script> \\# A"), "{text}");
    }
}
