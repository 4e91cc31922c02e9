//! The table of arms, and that of differences from control with their intervals.

use super::columns::{Cells, Column, fit};
use super::forest::{Mark, bar};
use super::screen::Screen;
use super::theme::Theme;
use crate::cli::print::clean;
use crate::model::human;
use crate::model::record::MetricLine;
use crate::model::view::{ArmView, SiteView};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

/// Columns of a bar, at least and at most; an odd number has zero in its middle.
const BAR: (usize, usize) = (9, 41);
/// Columns that a name or a model keeps when there is little room.
const NAME_LEAST: usize = 8;
/// The same where it stands first: `› A (control)`.
const ARM_LEAST: usize = 13;
/// Rows of sentences that are worth more than what exploration found.
const SAID_LEAST: usize = 6;
/// Below so many columns a verdict is a sign only.
const WORDS_FROM: usize = 60;
/// What stands for nothing.
const NONE: &str = "–";

/// The arms of the selected site, from the selected one's neighbourhood when not all fit.
pub fn arms(screen: &Screen, theme: Theme, room: usize, rows: usize) -> Vec<Line<'static>> {
    let all = screen.arms();
    let at = all.iter().position(|arm| arm.arm == screen.arm).unwrap_or(0);
    let from = at.saturating_sub(rows.saturating_sub(1)).min(all.len().saturating_sub(rows));
    let shown: Vec<&ArmView> = all.iter().skip(from).take(rows).collect();
    let style = |arm: &ArmView| match arm.arm == screen.arm {
        true => theme.strong(),
        false => Style::new(),
    };
    let texts = |text: &dyn Fn(&ArmView) -> String| -> Vec<(String, Style)> {
        shown.iter().map(|arm| (text(arm), style(arm))).collect()
    };
    let decisions = shown.iter().map(|arm| decision(arm, theme)).collect();
    let columns = vec![
        Column::new("  arm", 0, texts(&|arm| named(arm, &screen.arm))).shrinking(ARM_LEAST),
        Column::new("model", 6, texts(&model)).shrinking(ARM_LEAST - 2),
        Column::numbers("calls", 1, texts(&|arm| human::count(arm.calls))),
        Column::numbers("units", 3, texts(&|arm| human::count(arm.units))),
        Column::numbers("share", 5, texts(&share)),
        Column::new("evid.", 4, texts(&|arm| arm.evidence.clone())),
        Column::new("decision", 2, decisions),
    ];
    fit(columns, shown.len(), room, theme.dim())
}

fn named(arm: &ArmView, selected: &str) -> String {
    let mark = if arm.arm == selected { "› " } else { "  " };
    let control = if arm.control { " (control)" } else { "" };
    format!("{mark}{}{control}", clean(&arm.arm))
}

fn model(arm: &ArmView) -> String {
    arm.model.as_deref().map_or(NONE.to_owned(), clean)
}

/// The share of units, and the planned one.
pub fn share(arm: &ArmView) -> String {
    let planned = arm.planned.map(|share| format!(" of {}", human::share(share)));
    let is = arm.share.map_or(NONE.to_owned(), human::share);
    format!("{is}{}", planned.unwrap_or_default())
}

fn decision(arm: &ArmView, theme: Theme) -> (String, Style) {
    match arm.decision.as_ref().map(|decision| decision.action.as_str()) {
        Some("ship") => ("▲ ship".to_owned(), theme.good()),
        Some("roll back") => ("▼ roll back".to_owned(), theme.bad()),
        Some(other) => (format!("= {}", clean(other)), theme.dim()),
        None => (NONE.to_owned(), theme.dim()),
    }
}

/// One metric of one arm, beside control's.
struct Row<'a> {
    arm: &'a str,
    line: &'a MetricLine,
    control: Option<&'a MetricLine>,
    mark: Option<Mark>,
    /// What is at the ends of the bars of this metric.
    reach: f64,
}

/// Differences of the metrics that decide: of every arm when they fit, else of the selected one.
pub fn differences(screen: &Screen, theme: Theme, room: usize, most: usize) -> Vec<Line<'static>> {
    let Some(site) = screen.site() else { return Vec::new() };
    let mut rows = rows(site);
    if rows.len() + 1 + SAID_LEAST > most {
        // What was found by exploration gives way to what is said of the rest.
        let decides = |row: &Row<'_>| row.line.verdict.as_ref().is_some_and(|v| v.decides);
        if rows.iter().any(decides) {
            rows.retain(decides);
        }
    }
    if rows.len() + 1 > most {
        rows.retain(|row| row.arm == screen.arm);
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let style = |row: &Row<'_>| match row.arm == screen.arm {
        true => theme.strong(),
        false => Style::new(),
    };
    let texts = |text: &dyn Fn(&Row<'_>) -> String| -> Vec<(String, Style)> {
        rows.iter().map(|row| (text(row), style(row))).collect()
    };
    let control = screen.experiment().control.as_deref().map_or("control".to_owned(), clean);
    let words = room >= WORDS_FROM;
    let drawn = Cells::Drawn(BAR.1, Box::new(|row, columns| drawn(&rows[row], columns, theme)));
    let axis = format!("from {control}");
    let columns = vec![
        Column::new("  metric", 0, texts(&|row| format!("  {}", clean(&row.line.name))))
            .shrinking(NAME_LEAST + 4),
        Column::new("arm", 1, texts(&|row| clean(row.arm))).shrinking(NAME_LEAST),
        Column::numbers("level", 4, texts(&|row| human::line(row.line))),
        Column::numbers(&control, 5, texts(&|row| row.control.map_or(NONE.into(), human::line))),
        Column::numbers("by", 2, texts(&by)),
        Column { title: axis, right: false, goes: 3, least: BAR.0, cells: drawn },
        Column::new("interval", 6, texts(&interval)),
        Column::new(
            if words { "verdict" } else { "" },
            0,
            rows.iter().map(|row| verdict(row.line, theme, words)).collect(),
        ),
    ];
    let mut lines = fit(columns, rows.len(), room, theme.dim());
    lines.truncate(most);
    lines
}

fn rows(site: &SiteView) -> Vec<Row<'_>> {
    let control = site.arms.iter().find(|arm| arm.control);
    let others = || site.arms.iter().filter(|arm| !arm.control);
    let mut out: Vec<Row<'_>> = Vec::new();
    for name in names(site) {
        let beside = control.and_then(|arm| arm.metrics.iter().find(|line| line.name == name));
        let level = beside.and_then(|line| line.level.as_ref()).map(|level| level.estimate);
        let from = out.len();
        out.extend(others().filter_map(|arm| {
            let line = arm.metrics.iter().find(|line| line.name == name)?;
            let mark = Mark::of(line, level);
            Some(Row { arm: &arm.arm, line, control: beside, mark, reach: 0.0 })
        }));
        let reach = out[from..].iter().filter_map(|row| row.mark).map(|mark| mark.reach());
        let reach = reach.fold(0.0, f64::max);
        out[from..].iter_mut().for_each(|row| row.reach = reach);
    }
    out
}

/// Metrics that decide, in their order; those of exploration that found something; else the
/// ones that were scored, so that there is something to see.
fn names(site: &SiteView) -> Vec<String> {
    let lines = || site.arms.iter().flat_map(|arm| &arm.metrics);
    let told = |line: &&MetricLine| line.verdict.as_ref().is_some_and(|v| v.decides || v.discovery);
    let mut names: Vec<String> = Vec::new();
    let mut add = |line: &MetricLine| {
        if !names.contains(&line.name) {
            names.push(line.name.clone());
        }
    };
    lines().filter(told).for_each(&mut add);
    if !lines().any(|line| told(&line)) {
        lines().filter(|line| line.scored.is_some()).for_each(add);
    }
    names
}

fn by(row: &Row<'_>) -> String {
    let difference = row.line.difference.as_ref();
    difference.map_or(NONE.to_owned(), |d| human::difference(d.estimate, &row.line.unit))
}

fn interval(row: &Row<'_>) -> String {
    let difference = row.line.difference.as_ref();
    difference.map_or(NONE.to_owned(), |d| human::interval(d.lower, d.upper, &row.line.unit))
}

fn drawn(row: &Row<'_>, columns: usize, theme: Theme) -> (String, Style) {
    let state = row.line.verdict.as_ref().map_or("", |verdict| verdict.state.as_str());
    let style = theme.state(state).remove_modifier(Modifier::DIM | Modifier::BOLD);
    (row.mark.map_or(String::new(), |mark| bar(&mark, row.reach, columns)), style)
}

fn verdict(line: &MetricLine, theme: Theme, words: bool) -> (String, Style) {
    let Some(verdict) = &line.verdict else { return (NONE.to_owned(), theme.dim()) };
    let sign = human::sign(&verdict.state);
    let word = if verdict.discovery { "discovery" } else { verdict.state.as_str() };
    let text = if words { format!("{sign} {}", clean(word)) } else { sign.to_owned() };
    (text, theme.state(&verdict.state))
}
