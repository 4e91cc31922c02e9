//! Summary and badge of the sample cut: content, limits, others' text, strangers' names.

use super::*;
use crate::model::delivery::{Item, ItemKey};
use crate::sink::report::experiment::Links;
use crate::sink::sample;

const NONE: Links<'static> = Links { dashboard: None, artifacts: None };

#[test]
fn the_summary_says_what_was_decided_and_names_runs() {
    let cut = sample::cut();
    let links = Links {
        dashboard: Some("https://evals.example.com"),
        artifacts: Some("https://ci.example.com/42"),
    };
    let text = summary::into("", &cut, &links);
    let run = &cut.experiments[0].sites[0].arms[1].runs[0];
    for part in [
        "## [support-bot](<https://evals.example.com/>)",
        "| `A` (control) |",
        "roll back",
        "- :green_circle: **better** answer_ok is better in B than in A",
        "- :red_circle: **breached**",
        "model.revision in B: `gpt-4o-mini-2024-07-18` → `gpt-4o-mini-2024-12-01`",
        "[artifacts](<https://ci.example.com/42>)",
        &format!("[{}](<https://evals.example.com/runs/{run}>)", &run[..12]),
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn what_others_wrote_stays_and_ours_is_replaced() {
    let mut cut = sample::cut();
    let first = summary::into("# Build\nall well", &cut, &NONE);
    assert!(first.starts_with("# Build\nall well\n<!-- armspan:summary -->"));
    assert_eq!(summary::into(&first, &cut, &NONE), first, "a repeat changes nothing");
    cut.experiments[0].name = "other".into();
    let second = summary::into(&(first.clone() + "# Deploy\n"), &cut, &NONE);
    assert!(second.contains("## other") && !second.contains("## support-bot"));
    assert!(second.starts_with("# Build\n") && second.ends_with("# Deploy\n"));
}

#[test]
fn a_summary_stays_below_the_limit_that_would_drop_it() {
    let mut cut = sample::cut();
    let one = cut.experiments[0].clone();
    cut.experiments = vec![one; 2_000];
    let text = summary::into("# Build\n", &cut, &NONE);
    assert!(text.len() <= summary::BYTES_MAX, "{}", text.len());
    assert!(text.contains("was cut here") && text.ends_with("<!-- /armspan:summary -->\n"));
}

#[test]
fn strangers_names_are_no_markup() {
    let mut cut = sample::cut();
    cut.experiments[0].name = "<img src=x>|`&".into();
    cut.experiments[0].sites[0].arms[1].arm = "B|<b>".into();
    let text = summary::into("", &cut, &NONE);
    assert!(text.contains("## \\<img src=x\\>") && text.contains("`B\\|<b>`"), "{text}");
    let svg = badge::svg(&cut, None);
    assert!(!svg.contains("<img") && svg.contains("&lt;img src=x&gt;"), "{svg}");
}

#[test]
fn the_badge_names_each_arms_action() {
    let cut = sample::cut();
    let svg = badge::svg(&cut, Some("https://evals.example.com"));
    assert!(svg.contains("C: roll back") && svg.contains("#cf222e"), "{svg}");
    assert!(svg.contains("<a href=\"https://evals.example.com\">"));
    assert!(svg.contains(&cut.experiments[0].sites[0].arms[1].runs[0][..12]));
    let mut none = cut;
    none.experiments.clear();
    assert!(badge::svg(&none, None).contains("no experiment"));
}

#[tokio::test]
async fn both_files_are_written_and_written_again() {
    let dir = tempfile::tempdir().expect("dir");
    let config = Config {
        summary: Some(dir.path().join("summary.md")),
        badge: Some(dir.path().join("public/badge.svg")),
        artifacts: None,
    };
    assert_eq!(config.faults(), []);
    let mut sink = config.open(&Around::default()).expect("opens");
    sink.deliver(&sample::item(), &sample::ThreeHours).await.expect("delivered");
    let read = |path: &Option<PathBuf>| std::fs::read_to_string(path.as_ref().expect("path"));
    let (summary, badge) =
        (read(&config.summary).expect("file"), read(&config.badge).expect("file"));
    sink.deliver(&sample::item(), &sample::ThreeHours).await.expect("again");
    assert_eq!(read(&config.summary).expect("file"), summary);
    assert!(badge.starts_with("<svg"));
    let mut cut = sample::cut();
    cut.experiments.clear();
    let key = ItemKey { position: 1, ordinal: 0 };
    let empty = Item { key, body: Body::Cut(Box::new(cut)) };
    sink.deliver(&empty, &sample::ThreeHours).await.expect("nothing to say");
    assert_eq!(read(&config.summary).expect("file"), summary);
    assert_eq!(Config::default().faults()[0].0, "summary");
}
