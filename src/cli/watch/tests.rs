//! The screen as text, at several sizes and in every state that a reader has to tell apart.

use super::frame::render;
use super::screen::{Screen, Wish};
use super::theme::Theme;
use super::*;
use crate::judge::trust::Severity;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde_json::{Value as Json, json};

/// 2026-11-23T14:02:14Z.
const NOW: Nanos = 1_795_442_534_000_000_000;
const SECOND: Nanos = 1_000_000_000;

fn line(name: &str, better: &str, unit: &str, level: f64, more: Json) -> Json {
    let mut line = json!({"name": name, "role": "guardrail", "direction": better, "unit": unit,
        "definition": "sha256:00", "calls": 3890, "level": {"estimate": level, "method": "ratio"}});
    if let (Some(line), Json::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    line
}

fn judged(state: &str, by: [f64; 3], sentence: &str) -> Json {
    json!({"difference": {"from": "A", "estimate": by[0], "lower": by[1], "upper": by[2], "method": "m"},
        "verdict": {"state": state, "reasons": ["interval excludes 0"], "decides": true, "sentence": sentence}})
}

fn arm(name: &str, calls: i64, metrics: Vec<Json>, action: &str) -> Json {
    let mut arm = json!({"arm": name, "control": name == "A", "calls": calls, "units": calls / 3,
        "share": 0.331, "planned": 0.333, "model": "gpt-4o-mini-2024-07-18", "evidence": "A",
        "runs": ["9f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e"], "metrics": metrics});
    if !action.is_empty() {
        arm["decision"] = json!({"action": action, "because": ["answer_ok"], "gate": "pass"});
    }
    arm
}

/// An experiment with three arms at one site, and an empty site.
pub fn experiment() -> Json {
    let with = |mut line: Json, key: &str, value: Json| {
        line[key] = value;
        line
    };
    let scored = |level: f64, more: Json| {
        with(line("answer_ok", "increase", "1", level, more), "scored", json!(3801))
    };
    let slow = |level: f64, more: Json| {
        with(line("latency_p95", "decrease", "s", level, more), "margin_share", json!(0.1))
    };
    let b_ok = judged(
        "better",
        [0.061, 0.02, 0.102],
        "answer_ok is better in B than in A (+6.10 pp; +2.00 to +10.2 pp).",
    );
    let b_slow =
        judged("healthy", [0.01, -0.03, 0.05], "latency_p95 of B is within its margin (+10.0 ms).");
    let c_ok = judged(
        "inconclusive",
        [0.003, -0.04, 0.046],
        "It is open whether answer_ok differs between C and A.",
    );
    let c_slow =
        judged("breached", [0.4, 0.31, 0.52], "latency_p95 of C is beyond its margin (+400 ms).");
    let arms = [
        arm("A", 4160, vec![scored(0.812, json!({})), slow(0.92, json!({}))], ""),
        arm("B\u{1b}[31m\u{202e}", 4102, vec![scored(0.873, b_ok), slow(0.93, b_slow)], "ship"),
        arm("C", 4180, vec![scored(0.815, c_ok), slow(1.32, c_slow)], "roll back"),
    ];
    json!({
        "schema": "armspan/experiment/v1", "name": "support-bot", "configured": true, "control": "A",
        "control_assumed": false, "state": "live", "unit": "user.id", "confidence": 0.95,
        "calls": 12_442, "last_seen": "2026-11-23T14:02:11Z", "arms": ["A", "B", "C"],
        "crossover_units": 0, "conflicting_traces": 0,
        "sites": [
            {"site": "answer", "epoch": 2, "epoch_began": "2026-11-23T12:00:00Z", "calls": 12_442,
             "decides": true, "arms": arms, "all_epochs": [], "changes": [
                {"at": "2026-11-23T12:00:00Z", "arm": "C", "field": "model.revision",
                 "from": "gpt-4o-mini-2024-07-18", "to": "gpt-4o-mini-2024-12-01"}]},
            {"site": "embeddings", "epoch": 1, "calls": 0, "arms": [], "all_epochs": [], "changes": []},
        ],
    })
}

/// An answer with that.
pub fn seen(experiment: &Json) -> Seen {
    let experiment = serde_json::from_value(experiment.clone()).expect("an experiment");
    Seen {
        experiment,
        notices: Vec::new(),
        log_time: "2026-11-23T14:02:12Z".into(),
        offline: false,
    }
}

fn screen() -> Screen {
    Screen::new(seen(&experiment()), None, NOW)
}

fn drawn(screen: &Screen, columns: u16, rows: u16, color: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    terminal.draw(|frame| render(screen, Theme { color }, frame)).expect("drawn");
    terminal
}

fn text(screen: &Screen, columns: u16, rows: u16) -> String {
    drawn(screen, columns, rows, false).backend().to_string()
}

fn press(screen: &mut Screen, code: KeyCode) -> Wish {
    screen.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn it_fits_every_size() {
    for (columns, rows) in [(140, 40), (80, 24), (40, 12)] {
        insta::assert_snapshot!(format!("{columns}x{rows}"), text(&screen(), columns, rows));
    }
    for (columns, rows) in [(1, 1), (7, 2), (20, 5), (300, 3)] {
        text(&screen(), columns, rows);
    }
}

#[test]
fn what_cannot_be_trusted_is_above_all_else() {
    let mut screen = screen();
    let notice = |severity, title: &str, text: &str| Notice {
        severity,
        title: title.into(),
        text: text.into(),
        advice: "Find what loses units.",
    };
    screen.seen.notices = vec![
        notice(
            Severity::Invalid,
            "Sample ratio mismatch",
            "Units did not come in the planned shares: A 80.0 % of 50.0 %.",
        ),
        notice(
            Severity::Warning,
            "Late data",
            "12 observations came after the horizon and are not counted.",
        ),
    ];
    insta::assert_snapshot!("notices", text(&screen, 80, 24));
    screen.seen.notices.extend((0..20).map(|_| notice(Severity::Warning, "A limit was hit", "…")));
    let shown = text(&screen, 80, 24);
    assert!(shown.contains("18 more") && shown.contains("latency_p95"), "{shown}");
}

#[test]
fn figures_of_a_server_that_is_gone_stay_and_are_marked() {
    let mut screen = screen();
    screen.answer(Err("cannot reach http://127.0.0.1:4390".into()), NOW + 90 * SECOND);
    insta::assert_snapshot!("stale", text(&screen, 80, 24));
    screen.answer(Ok(seen(&experiment())), NOW + 92 * SECOND);
    assert!(!text(&screen, 80, 24).contains("stale"));
}

#[test]
fn a_folder_without_a_server_is_not_taken_for_live() {
    let mut screen = screen();
    screen.seen.offline = true;
    let shown = text(&screen, 80, 24);
    assert!(shown.contains("○ no server runs") && !shown.contains("live"), "{shown}");
}

#[test]
fn keys_select_pause_explain_and_quit() {
    let mut screen = screen();
    assert!(screen.arm.starts_with('B'), "the first arm that is compared");
    press(&mut screen, KeyCode::Char('j'));
    assert_eq!(screen.arm, "C");
    press(&mut screen, KeyCode::Down);
    assert_eq!(screen.arm, "A", "round the end");
    press(&mut screen, KeyCode::Up);
    assert_eq!(screen.arm, "C");
    assert_eq!(press(&mut screen, KeyCode::Char('p')), Wish::Draw);
    assert!(screen.paused && text(&screen, 80, 24).contains("PAUSED"));
    assert_eq!(press(&mut screen, KeyCode::Char('p')), Wish::Ask);
    press(&mut screen, KeyCode::Tab);
    assert_eq!((screen.site.as_str(), screen.arm.as_str()), ("embeddings", ""));
    press(&mut screen, KeyCode::Left);
    assert_eq!(screen.site, "answer");
    press(&mut screen, KeyCode::Char('?'));
    assert!(text(&screen, 80, 24).contains("another arm"));
    assert_eq!(press(&mut screen, KeyCode::Esc), Wish::Draw, "closes the help");
    assert_eq!(press(&mut screen, KeyCode::Esc), Wish::Quit);
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Wish::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.key(interrupt), Wish::Interrupt);
}

#[test]
fn without_colours_the_same_is_told() {
    let colours = |color| {
        let terminal = drawn(&screen(), 140, 40, color);
        let cells = terminal.backend().buffer().content.iter();
        cells.filter(|cell| cell.fg != Color::Reset).count()
    };
    assert!(colours(true) > 0);
    assert_eq!(colours(false), 0);
    assert_eq!(text(&screen(), 140, 40), drawn(&screen(), 140, 40, true).backend().to_string());
}

#[test]
fn what_strangers_named_is_not_obeyed() {
    let shown = text(&screen(), 140, 40);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("B\u{fffd}[31m"), "{shown}");
}

#[test]
fn an_arm_that_is_out_of_sight_is_scrolled_to() {
    let mut experiment = experiment();
    let arms: Vec<Json> = (0..30).map(|at| arm(&format!("arm-{at}"), 9, vec![], "")).collect();
    experiment["sites"][0]["arms"] = json!(arms);
    let mut screen = Screen::new(seen(&experiment), None, NOW);
    assert!(!text(&screen, 80, 24).contains("› arm-29"));
    press(&mut screen, KeyCode::Up);
    assert!(text(&screen, 80, 24).contains("› arm-29"));
}

#[test]
fn a_site_that_is_not_there_is_told_with_those_that_are() {
    let told = check_site(&seen(&experiment()).experiment, "anwser").expect_err("none").to_string();
    assert!(told.contains("answer, embeddings"), "{told}");
}
