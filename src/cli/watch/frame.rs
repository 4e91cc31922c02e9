//! The whole screen as a function of its state: what cannot be trusted first, then arms,
//! differences, what can be said, what changed. What has no room is left out from the bottom.

use super::screen::Screen;
use super::tables::{arms, differences, share};
use super::text::{cut, width, wrap};
use super::theme::Theme;
use crate::cli::compare::value;
use crate::cli::print::clean;
use crate::judge::trust::Severity;
use crate::model::human;
use crate::model::record::Change;
use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Below so many rows there are no blank ones.
const AIRY_FROM: usize = 20;
/// Between parts of a line.
const DOT: &str = " · ";

/// Draws the screen.
pub fn render(screen: &Screen, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    let mut lines = match screen.help {
        true => help(theme),
        false => body(screen, theme, columns, rows.saturating_sub(1)),
    };
    lines.truncate(rows.saturating_sub(1));
    lines.resize(rows.saturating_sub(1), Line::default());
    lines.push(footer(screen, theme, columns));
    frame.render_widget(Paragraph::new(lines), area);
}

fn body(screen: &Screen, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let blank = |lines: &mut Vec<Line<'static>>| {
        if rows >= AIRY_FROM {
            lines.push(Line::default());
        }
    };
    let mut lines = packed(header(screen, theme), columns, if rows < AIRY_FROM { 2 } else { 3 });
    lines.extend(stale(screen, theme, columns));
    lines.extend(notices(screen, theme, columns, (rows / 4).max(1)));
    if screen.experiment().sites.is_empty() {
        lines.push(Line::styled("no call has come with an arm of it yet", theme.dim()));
        return lines;
    }
    blank(&mut lines);
    lines.extend(arms(screen, theme, columns, (rows / 3).max(3)));
    blank(&mut lines);
    let left = rows.saturating_sub(lines.len());
    lines.extend(differences(screen, theme, columns, left.max(2)));
    blank(&mut lines);
    let left = rows.saturating_sub(lines.len());
    lines.extend(pane(screen, theme, columns, left));
    lines
}

fn header(screen: &Screen, theme: Theme) -> Vec<Span<'static>> {
    let experiment = screen.experiment();
    let live = experiment.state == "live" && !screen.seen.offline;
    let ago = screen.quiet_for().map(|age| format!(", last span {} ago", human::age(age)));
    let mark = if live { "●" } else { "○" };
    let state = match screen.seen.offline {
        true => "no server runs".to_owned(),
        false => clean(&experiment.state),
    };
    let state = format!("{mark} {state}{}", ago.unwrap_or_default());
    let mut parts = vec![
        Span::styled(clean(&experiment.name), theme.strong()),
        Span::styled(state, if live { theme.good() } else { theme.warning() }),
    ];
    if let Some(site) = screen.site() {
        let at = experiment.sites.iter().position(|other| other.site == site.site).unwrap_or(0);
        let of = match experiment.sites.len() {
            1 => String::new(),
            count => format!(" ({} of {count})", at + 1),
        };
        let units: i64 = site.arms.iter().map(|arm| arm.units).sum();
        let began = site.epoch_began.as_deref().map(|at| format!(" since {}", human::minute(at)));
        parts.push(Span::raw(format!("site {}{of}", clean(&site.site))));
        parts.push(Span::raw(format!("{} calls", human::count(site.calls))));
        parts.push(Span::raw(format!("{} units", human::count(units))));
        parts.push(Span::raw(format!("epoch {}{}", site.epoch, began.unwrap_or_default())));
    }
    if let Some(confidence) = experiment.confidence {
        parts.push(Span::raw(format!("{} confidence", human::confidence(confidence))));
    }
    parts
}

/// Parts in as few lines as they take, but no more than `most`.
fn packed(parts: Vec<Span<'static>>, columns: usize, most: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    for part in parts {
        let Some(line) = lines.last_mut() else { break };
        let room = columns.saturating_sub(line.width());
        if line.width() > 0 && room < width(DOT) + part.width() {
            lines.push(Line::from(cut_span(part, columns)));
            continue;
        }
        if line.width() > 0 {
            line.push_span(Span::raw(DOT));
        }
        line.push_span(cut_span(part, columns));
    }
    lines.truncate(most);
    lines
}

fn cut_span(span: Span<'static>, columns: usize) -> Span<'static> {
    Span::styled(cut(&span.content, columns), span.style)
}

/// That the figures are not those of now.
fn stale(screen: &Screen, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(fault) = &screen.fault else { return Vec::new() };
    let age = human::age(screen.since(screen.fresh));
    let text = format!("stale: figures of {age} ago, asking again; {}", clean(fault));
    told("✕ ", &text, theme.alarm(), columns).into_iter().take(3).collect()
}

/// What there is to know before the figures.
fn notices(screen: &Screen, theme: Theme, columns: usize, most: usize) -> Vec<Line<'static>> {
    let all = screen.seen.notices.iter().map(|notice| {
        let (sign, style) = match notice.severity {
            Severity::Invalid => ("✕ ", theme.alarm()),
            Severity::Warning => ("! ", theme.warning()),
        };
        let text = format!("{}: {} {}", notice.title, notice.text, notice.advice);
        (sign, clean(&text), style)
    });
    let all: Vec<(&str, String, Style)> = all.collect();
    let full = all.iter().flat_map(|(sign, text, style)| told(sign, text, *style, columns));
    let full: Vec<Line<'static>> = full.collect();
    if full.len() <= most {
        return full;
    }
    // The first words of each are worth more than the whole of one.
    let shown = if all.len() > most { most.saturating_sub(1).max(1) } else { all.len() };
    let short = all
        .iter()
        .take(shown)
        .map(|(sign, text, style)| Line::styled(cut(&format!("{sign}{text}"), columns), *style));
    let mut lines: Vec<Line<'static>> = short.collect();
    if all.len() > shown && lines.len() < most {
        let more = format!("! {} more: see the page of the experiment", all.len() - shown);
        lines.push(Line::styled(cut(&more, columns), theme.warning()));
    }
    lines
}

/// A text under a sign, its lines indented.
fn told(sign: &str, text: &str, style: Style, columns: usize) -> Vec<Line<'static>> {
    let lines = wrap(text, columns.saturating_sub(width(sign)));
    let own = lines.into_iter().enumerate().map(|(at, line)| {
        let lead = if at == 0 { sign.to_owned() } else { " ".repeat(width(sign)) };
        Line::styled(format!("{lead}{line}"), style)
    });
    own.collect()
}

/// The selected arm in full, what can be said of it and of the others, and what changed.
fn pane(screen: &Screen, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let mut lines = selected(screen, columns);
    let changed = changes(screen, theme, columns);
    // Some room is kept for what changed, however much there is to say.
    let kept = if rows >= 8 { changed.len().min(rows / 3) } else { 0 };
    lines.extend(sentences(screen, theme, columns));
    lines.truncate(rows.saturating_sub(kept));
    lines.extend(changed);
    lines.truncate(rows);
    lines
}

fn selected(screen: &Screen, columns: usize) -> Vec<Line<'static>> {
    let Some(arm) = screen.arms().iter().find(|arm| arm.arm == screen.arm) else {
        return Vec::new();
    };
    let runs: Vec<&str> = arm.runs.iter().take(3).map(|id| human::run(id)).collect();
    let more = arm.runs.len().saturating_sub(runs.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let model = arm.model.as_deref().map_or("no model seen".to_owned(), clean);
    let text = format!(
        "{}: {model}{DOT}{} units{DOT}{}{DOT}evidence {}{DOT}runs {}{more}",
        clean(&arm.arm),
        human::count(arm.units),
        share(arm),
        clean(&arm.evidence),
        clean(&runs.join(" ")),
    );
    wrap(&text, columns).into_iter().map(Line::from).collect()
}

fn sentences(screen: &Screen, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let arms = screen.arms().iter();
    let (own, others): (Vec<_>, Vec<_>) = arms.partition(|arm| arm.arm == screen.arm);
    let lines = own.into_iter().chain(others).flat_map(|arm| &arm.metrics);
    let verdicts = lines.filter_map(|line| line.verdict.as_ref());
    let said = verdicts.filter(|verdict| verdict.decides || verdict.discovery);
    let own = said.flat_map(|verdict| {
        let sign = format!("{} ", human::sign(&verdict.state));
        told(&sign, &clean(&verdict.sentence), theme.state(&verdict.state), columns)
    });
    own.collect()
}

fn changes(screen: &Screen, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let changes = screen.site().map_or(&[][..], |site| &site.changes);
    let newest = changes.iter().rev();
    newest.map(|change| Line::styled(cut(&change_text(change), columns), theme.dim())).collect()
}

/// One change in one line.
pub fn change_text(change: &Change) -> String {
    let from = change.from.as_ref().map(|from| format!("{} ", value(Some(from))));
    let to = change.to.as_ref().map_or("absent".to_owned(), |to| value(Some(to)));
    let at = human::minute(&change.at);
    let text =
        format!("{at}  {}  {}  {}→ {to}", change.arm, change.field, from.unwrap_or_default());
    clean(&text)
}

fn footer(screen: &Screen, theme: Theme, columns: usize) -> Line<'static> {
    let keys = match (screen.help, columns) {
        (true, _) => "? back  q quit",
        (false, 60..) => "q quit  ↑↓ arm  ←→ site  p pause  ? help",
        _ => "q quit  ? help",
    };
    let state = match (screen.paused, &screen.fault) {
        (true, _) => "PAUSED".to_owned(),
        (false, Some(_)) => "STALE".to_owned(),
        _ => format!("{} UTC", human::minute(&screen.seen.log_time)),
    };
    let pad = columns.saturating_sub(width(keys) + width(&state));
    let style = if screen.paused { theme.warning() } else { theme.dim() };
    Line::from(vec![
        Span::styled(keys, theme.dim()),
        Span::raw(" ".repeat(pad)),
        Span::styled(state, style),
    ])
}

fn help(theme: Theme) -> Vec<Line<'static>> {
    const TEXT: [(&str, &str); 13] = [
        ("↑ ↓  k j", "another arm"),
        ("← →  Tab", "another site"),
        ("p", "pause, and go on"),
        ("?", "this page, and back"),
        ("q  Esc", "quit"),
        ("", ""),
        ("▲ ✓ ▼", "better; healthy; worse or breached"),
        ("✕ …", "cannot be trusted; too little data"),
        ("=", "not decided yet"),
        ("├─●─┤", "the interval that decides, its estimate"),
        ("│ ┼", "no difference from control"),
        ("║ ╫", "the margin: harm begins there"),
        ("‹ ›", "the interval is open on this side"),
    ];
    let line = |(key, text): (&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("  {key:<10}"), theme.strong()), Span::raw(text)])
    };
    TEXT.into_iter().map(line).collect()
}
