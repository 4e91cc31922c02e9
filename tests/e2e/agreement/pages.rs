//! What a browser shows: the page of the experiment with each metric in front and all arms open,
//! the page of each run, and the report that is one file.

use super::truth::{Truth, said};
use crate::server::Server;
use armspan::model::human;
use armspan::model::metric::Direction;
use armspan::model::record::MetricLine;
use armspan::model::view::ArmView;
use scraper::{ElementRef, Html, Selector};

fn all<'a>(from: ElementRef<'a>, path: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(path).expect("a selector");
    from.select(&selector).collect()
}

/// The text of an element, spaces as one.
fn text(of: ElementRef<'_>) -> String {
    of.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of what the path finds first.
fn at(from: ElementRef<'_>, path: &str) -> Option<String> {
    all(from, path).first().map(|found| text(*found))
}

pub async fn walk(truth: &Truth, server: &Server) {
    let names: Vec<&str> = truth.shown(truth.arm("B")).map(|line| line.name.as_str()).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let path = format!("/experiments/walk?open=A,B,C&metric={name}");
        let page = Html::parse_document(&server.text(&path).await.expect("a page"));
        let page = page.root_element();
        for arm in &truth.site().arms {
            let row = &all(page, &format!("tr[data-arm={}]", arm.arm))[..];
            let [row] = row else { panic!("{} rows of {} in {path}", row.len(), arm.arm) };
            front(*row, arm, name);
        }
        let opened = all(page, "tr.more");
        assert_eq!(opened.len(), 3, "{path}");
        opened.into_iter().zip(&truth.site().arms).for_each(|(part, arm)| lines(part, arm));
        tiles(truth, page);
        legend(truth, page, name);
    }
    for arm in &truth.site().arms {
        let page = server.text(&format!("/runs/{}", arm.runs[0])).await.expect("a page");
        run(Html::parse_document(&page).root_element(), arm);
    }
    report(truth, &server.text("/experiments/walk/report.html").await.expect("a page"));
}

/// The row of an arm, with the metric in front.
fn front(row: ElementRef<'_>, arm: &ArmView, name: &str) {
    let line = arm.line(name).expect(name);
    let place = format!("{name} of {} in front", arm.arm);
    let texts = said(line);
    assert_eq!(at(row, "span.level"), Some(texts.level), "{place}");
    let cell = |label: &str| at(row, &format!("td[data-label=\"{label}\"]")).expect("a cell");
    assert_eq!(at(row, "td.difference .said b"), texts.difference, "{place}");
    assert_eq!(at(row, "td.difference .said span.dim"), texts.interval, "{place}");
    if let Some(found) = &line.difference {
        let known = found.confidence.filter(|_| found.lower.is_some() || found.upper.is_some());
        let end = known.map(|share| format!(" at {}, at every look", human::confidence(share)));
        let (by, within) = (texts.difference.expect("one"), texts.interval.expect("one"));
        let wanted = format!("{by}, {within}{}", end.unwrap_or_default());
        let drawn = at(row, "svg.forest desc");
        assert!(drawn.is_none_or(|drawn| drawn.starts_with(&wanted)), "{place}");
    }
    let units = human::count(arm.units);
    assert_eq!(cell("calls · units"), format!("{}{units} units", human::count(arm.calls)));
    verdict(&cell("verdict"), line, &place);
}

/// Sign and word of a verdict.
fn verdict(cell: &str, line: &MetricLine, place: &str) {
    match &line.verdict {
        Some(found) if found.discovery => assert!(cell.contains("discovery"), "{place}: {cell}"),
        Some(found) => assert!(cell.contains(&found.state), "{place}: {cell}"),
        None => assert_eq!(cell, "–", "{place}"),
    }
}

/// All metrics of an arm, whatever their order.
fn lines(part: ElementRef<'_>, arm: &ArmView) {
    let rows = all(part, "table.metrics > tbody > tr");
    assert_eq!(rows.len(), arm.metrics.len(), "{}", arm.arm);
    for line in &arm.metrics {
        let grader = line.grader.as_ref().and_then(|by| by.name.as_deref()).unwrap_or("–");
        let name = line.name.replace('_', " ") + if line.decides() { "decides" } else { "" };
        let own = |row: &&ElementRef<'_>| {
            at(**row, "th").as_ref() == Some(&name)
                && at(**row, "td:last-child").as_deref() == Some(grader)
        };
        let found: Vec<_> = rows.iter().filter(own).collect();
        let [row] = found[..] else { panic!("{} rows of {name} by {grader}", found.len()) };
        let (texts, place) = (said(line), format!("{name} of {}", arm.arm));
        let cells: Vec<String> = all(*row, "td").into_iter().map(text).collect();
        assert_eq!(cells[0], texts.level, "{place}");
        assert_eq!(cells[1], texts.bounds.unwrap_or("–".into()), "{place}");
        assert_eq!(at(*row, "td.difference .said b"), texts.difference, "{place}");
        assert_eq!(at(*row, "td.difference .said span.dim"), texts.interval, "{place}");
        verdict(&cells[3], line, &place);
        let calls = human::count(line.calls);
        let scored = line.scored.map(|n| format!("{} of {calls}", human::count(n)));
        assert_eq!(cells[4], scored.unwrap_or(calls), "{place}");
    }
}

/// The guardrails that decide, each with its difference, margin and ceiling.
fn tiles(truth: &Truth, page: ElementRef<'_>) {
    let tiles = all(page, "article.tile");
    assert_eq!(tiles.len(), 2 * 4, "two arms, four guardrails");
    for tile in tiles {
        let title = at(tile, "h3").expect("a title");
        let (arm, name) = title.split_once(' ').expect("arm and metric");
        let line = truth.arm(arm).line(&name.replace(' ', "_")).expect("a line");
        let texts = said(line);
        assert_eq!(at(tile, "p.said b"), texts.difference, "{title}");
        assert_eq!(at(tile, "p.said span.dim"), texts.interval, "{title}");
        verdict(&at(tile, "span.verdict").expect("a verdict"), line, &title);
        let told: Vec<String> = all(tile, "span.threshold").into_iter().map(text).collect();
        let control = truth.arm("A").line(&line.name).and_then(|line| line.level.as_ref());
        let share = line.margin_share.zip(control).map(|(share, level)| share * level.estimate);
        let sign = if line.direction == Direction::Increase { -1.0 } else { 1.0 };
        let margin = line.margin.or(share).map(|m| human::difference(sign * m, &line.unit));
        let ceiling = line.ceiling.map(|most| human::level(most, &line.unit));
        let wanted =
            [margin.map(|m| format!("margin {m}")), ceiling.map(|c| format!("ceiling {c}"))];
        assert_eq!(told, wanted.into_iter().flatten().collect::<Vec<_>>(), "{title}");
    }
}

/// The chart's legend: the last look of what decides is what the table shows.
fn legend(truth: &Truth, page: ElementRef<'_>, name: &str) {
    let entries = all(page, "section.series ul.legend li");
    let decides = truth.arm("B").line(name).is_some_and(|line| line.decides());
    assert_eq!(entries.len(), if decides { 2 } else { 0 }, "{name}");
    for entry in entries {
        let arm = at(entry, "b").expect("an arm");
        let texts = said(truth.arm(&arm).line(name).expect(name));
        let (by, within) = (texts.difference.expect("one"), texts.interval.expect("one"));
        assert_eq!(text(entry), format!("{arm} {by} {within}"), "{name} in the legend");
    }
}

/// The page of a run, whose figures are the arm's.
fn run(page: ElementRef<'_>, arm: &ArmView) {
    let rows: Vec<_> =
        all(page, "table tbody tr").into_iter().filter(|row| all(*row, "td").len() == 9).collect();
    assert_eq!(rows.len(), arm.metrics.len(), "{}", arm.arm);
    for (row, line) in rows.into_iter().zip(&arm.metrics) {
        let (texts, place) = (said(line), format!("{} of a run of {}", line.name, arm.arm));
        assert_eq!(at(row, "th").as_ref(), Some(&line.name), "{place}");
        let cells: Vec<String> = all(row, "td").into_iter().map(text).collect();
        let at = |confidence: Option<f64>| {
            confidence.map(|share| format!(" at {}", human::confidence(share))).unwrap_or_default()
        };
        let confidence = at(line.level.as_ref().and_then(|level| level.confidence));
        let bounds = texts.bounds.map(|bounds| bounds + &confidence).unwrap_or_default();
        assert_eq!(cells[1], texts.level + &bounds, "{place}");
        let known = line.difference.as_ref().filter(|d| d.lower.is_some() || d.upper.is_some());
        let confidence = at(known.and_then(|found| found.confidence));
        let by = texts.difference.zip(texts.interval);
        let by = by.map_or("–".to_owned(), |(by, within)| by + &within + &confidence);
        assert_eq!(cells[2], by, "{place}");
        verdict(&cells[3], line, &place);
        let parts = [
            line.margin.map(|size| human::margin(size, &line.unit)),
            line.margin_share.map(|share| format!("{} of control", human::share(share))),
            line.ceiling.map(|most| format!("at most {}", human::level(most, &line.unit))),
        ];
        let margin = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        assert_eq!(cells[4], if margin.is_empty() { "–" } else { &margin }, "{place}");
        assert_eq!(cells[5], human::count(line.calls), "{place}");
        let optional = |n: Option<i64>| n.map_or("–".to_owned(), human::count);
        assert_eq!([&cells[6], &cells[7]], [&optional(line.scored), &optional(line.units)]);
    }
}

/// The report shows every metric of every arm.
pub fn report(truth: &Truth, page: &str) {
    let page = Html::parse_document(page);
    let parts = all(page.root_element(), "section");
    for arm in &truth.site().arms {
        let title = format!("All metrics of arm {}", arm.arm);
        let part = parts.iter().find(|part| at(**part, "h2").as_ref() == Some(&title));
        lines(*part.expect(&title), arm);
    }
    tiles(truth, page.root_element());
}
