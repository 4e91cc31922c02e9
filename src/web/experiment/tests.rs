//! The page of an experiment, over figures of the demo: as it is served, in every window, with
//! every state that a reader can meet.

use crate::model::delivery::Cut;
use crate::model::view::{Band, BandPoint, Counts, Series, SeriesPoint, View};
use crate::web::tests::{pages_asking, read};
use std::sync::Arc;

/// The demo's figures, with histories of what decides.
pub fn demo() -> View {
    let cut = include_str!("../../../tests/fixtures/cut.json");
    let cut: Cut = serde_json::from_str(cut).expect("a cut");
    let mut view = View {
        position: cut.position,
        log_time: cut.at,
        config: "sha256:fba5f7c525e3e6b888dc0770f9b94c90".to_owned(),
        experiments: cut.experiments,
        runs: cut.records,
        ..View::default()
    };
    let bands = [
        ("B", "answer_ok", "1", "better", -0.02, 0.067),
        ("C", "latency_p95", "s", "breached", 0.19, 1.03),
    ];
    view.bands = bands
        .map(|(arm, metric, unit, state, margin, estimate)| Band {
            experiment: "support-bot".to_owned(),
            site: "answer".to_owned(),
            arm: arm.to_owned(),
            control: "A".to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            state: state.to_owned(),
            margin: Some(margin),
            points: (1..6_u64).map(|at| look(cut.at, at, estimate)).collect(),
        })
        .into();
    view
}

fn look(end: u64, at: u64, estimate: f64) -> BandPoint {
    let half = estimate * 2.0 / at as f64;
    let (lower, upper) = (Some(estimate - half), Some(estimate + half));
    BandPoint { at: end - (6 - at) * 60_000_000_000, estimate, lower, upper }
}

async fn page(view: View, query: &str) -> (u16, String) {
    let series = |query: &crate::model::view::SeriesQuery| {
        let arms = ["A", "B", "C"];
        let point = |arm: &str| SeriesPoint {
            at: "2026-11-24T12:00:00Z".to_owned(),
            arm: arm.to_owned(),
            n: 1_234.0,
            level: Some(if query.metric == "latency_p95" { 1.5 } else { 0.5 }),
        };
        Series { windows: arms.map(point).into(), looks: Vec::new() }
    };
    let router = pages_asking(view, Arc::new(series));
    let (status, page) = read(router, &format!("/experiments/support-bot{query}")).await;
    (status.as_u16(), page)
}

/// The part between the navigation and the foot, a tag a line.
fn main_of(page: &str) -> String {
    let from = page.find("<main").expect("main");
    let to = page.find("</main>").expect("its end");
    page[from..to].replace("><", ">\n<")
}

#[tokio::test]
async fn the_page_is_as_it_was_looked_at() {
    let (status, found) = page(demo(), "?open=C").await;
    assert_eq!(status, 200);
    insta::assert_snapshot!("experiment", main_of(&found));
    let report = crate::web::tests::plain(demo(), "/experiments/support-bot/report.html").await;
    assert!(!report.contains(" href=\"/") && !report.contains(" src="), "a file needs nothing");
    insta::assert_snapshot!("report", main_of(&report));
}

#[tokio::test]
async fn what_makes_verdicts_invalid_stands_above_them() {
    let mut view = demo();
    let ratio = view.experiments[0].sample_ratio.as_mut().expect("a ratio");
    (ratio.state, ratio.p) = ("mismatch".to_owned(), Some(1e-12));
    view.counts = Counts { late: 7, ..Counts::default() };
    let (_, found) = page(view, "").await;
    let banner = found.find("Sample ratio mismatch").expect("the banner");
    assert!(banner < found.find("What to do").expect("the answer"), "it stands above all else");
    assert!(found.contains("role=\"alert\"") && found.contains("Late data"));
    let (_, calm) = page(demo(), "").await;
    assert!(!calm.contains("class=\"banner"), "nothing is said of data that can be trusted");
}

#[tokio::test]
async fn a_descriptive_window_has_levels_and_no_verdict() {
    let (_, found) = page(demo(), "?window=24h&metric=latency_p95").await;
    assert!(found.contains("1.50 s") && found.contains("1,234"), "figures of the window");
    let place = |id: &str| found.find(&format!("id=\"{id}\"")).expect("a section");
    let table = &found[place("arms-title")..place("series-title")];
    for verdict in ["class=\"verdict", "class=\"answer", "<svg class=\"forest", "class=\"tile"] {
        assert!(!table.contains(verdict), "{verdict} in a window that decides nothing");
    }
    let (_, mixed) = page(demo(), "?window=all").await;
    assert!(mixed.contains("mixed") && !mixed.contains("class=\"answer"));
}

#[tokio::test]
async fn a_change_leads_to_what_came_after_it_and_to_the_two_runs() {
    let (_, found) = page(demo(), "").await;
    let change = "after=2026-11-24T07%3A55%3A18";
    let link = found.split('"').find(|part| part.contains(change)).expect("a link");
    let query = link.split_once('?').expect("a query").1.split('#').next().expect("a part");
    let (_, after) = page(demo(), &format!("?{}", query.replace("&amp;", "&"))).await;
    assert!(after.contains("Only after 2026-11-24 07:55 UTC"), "{query}");
    assert!(after.contains("id=\"diff\"") && after.contains("gpt-4o-mini-2024-12-01"));
}

#[tokio::test]
async fn a_thousand_arms_are_folded_and_a_name_that_is_not_there_is_told() {
    let mut view = demo();
    let site = &mut view.experiments[0].sites[0];
    let one = site.arms[1].clone();
    site.arms.extend(
        (0..1_000).map(|n| crate::model::view::ArmView { arm: format!("x{n}"), ..one.clone() }),
    );
    let (_, found) = page(view.clone(), "").await;
    assert!(found.contains("963 more arms") && found.matches("data-arm=").count() == 40);
    let (_, all) = page(view, "?arms=all").await;
    assert_eq!(all.matches("data-arm=").count(), 1_003);
    let (status, absent) =
        read(pages_asking(demo(), Arc::new(|_| Series::default())), "/experiments/suport-bot")
            .await;
    assert!(status == 404 && absent.contains("href=\"/experiments/support-bot\""));
}
