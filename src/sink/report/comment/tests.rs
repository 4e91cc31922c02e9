//! Comments of the sample: their content, their bounds, and names that want to be more.

use super::*;
use crate::judge::gate::{Asked, document};
use crate::judge::trust::notices;
use crate::model::view::Counts;
use crate::sink::sample;

fn experiment() -> ExperimentView {
    sample::cut().experiments.swap_remove(0)
}

/// The comment on all arms, or on one.
fn comment_on(experiment: &ExperimentView, arm: Option<&str>, links: Links<'_>) -> String {
    let asked = Asked { arm, fail_on_inconclusive: false };
    let mut gate = document(experiment, &asked).expect("a document");
    (gate.position, gate.as_of) = (Some(3_000), Some("2026-11-24T18:00:00.25Z".to_owned()));
    let counts = Counts { late: 12, ..Counts::default() };
    let notices = notices(experiment, &counts, &[]);
    comment(&Subject { experiment, gate: &gate, notices: &notices, links })
}

const LINKS: Links<'static> = Links {
    dashboard: Some("https://evals.example.com"),
    artifacts: Some("https://ci.example.com/42"),
};

#[test]
fn the_comment_says_first_what_was_decided() {
    insta::assert_snapshot!(comment_on(&experiment(), None, LINKS));
}

#[test]
fn a_question_has_one_id_whatever_was_deployed() {
    let first = |experiment: &ExperimentView, arm| {
        comment_on(experiment, arm, Links::default()).lines().next().expect("a line").to_owned()
    };
    let mut later = experiment();
    later.sites[0].arms[1].runs = vec!["00".repeat(16)];
    assert_eq!(first(&experiment(), None), first(&later, None));
    assert_ne!(first(&experiment(), None), first(&later, Some("B")));
    let all = first(&later, None);
    let id = all.strip_prefix("<!-- armspan:run=").and_then(|rest| rest.strip_suffix(" -->"));
    assert!(id.is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
}

#[test]
fn a_comment_stays_below_the_limit_and_closes_what_it_opened() {
    let mut long = experiment();
    let change = long.sites[0].changes[0].clone();
    long.sites[0].changes = vec![change; 2_000];
    let text = comment_on(&long, None, LINKS);
    assert!(text.len() <= BYTES_MAX && text.len() > BYTES_MAX - 500, "{}", text.len());
    assert!(text.contains("was cut here") && !text.contains(FOLD));
    assert!(text.ends_with("[artifacts](<https://ci.example.com/42>)</sub>\n\n"), "{text}");
    let mut many = experiment();
    many.sites[0].arms[1].runs = (0..2_000).map(|n| format!("{n:032x}")).collect();
    let text = comment_on(&many, None, LINKS);
    let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert!(text.len() <= BYTES_MAX && text.contains("was cut here"));
    assert_eq!((lines(FOLD), lines("</details>")), (1, 1));
}

/// A text without its code spans, in which nothing is markup, and without what is escaped.
fn bare(text: &str) -> String {
    let text = text.replace("\\`", "");
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find('`') {
        out.push_str(&rest[..at]);
        let fence = rest[at..].chars().take_while(|c| *c == '`').count();
        let inner = &rest[at + fence..];
        let end = inner.find(&"`".repeat(fence)).expect("a code span ends");
        rest = inner[end..].trim_start_matches('`');
    }
    (out + rest).replace("\\<", "").replace("\\>", "").replace("\\[", "").replace("\\#", "")
}

#[test]
fn names_are_no_markup_and_mention_nobody() {
    let hostile = "B`|<!-- x -->\n</details>\n@team ![x](http://e.example/x.png) <b> #1";
    let mut renamed = serde_json::to_value(experiment()).expect("JSON").to_string();
    renamed = renamed.replace("\"B\"", &json!(hostile).to_string());
    renamed = renamed.replace(" in B", " in </details>@all <b>");
    let renamed: ExperimentView = serde_json::from_str(&renamed).expect("an experiment");
    let text = comment_on(&renamed, Some(hostile), LINKS);
    let bare = bare(&text);
    let tags: Vec<&str> =
        bare.split('<').skip(1).filter_map(|part| part.split('>').next()).collect();
    let links = tags.iter().filter(|tag| tag.starts_with("https://")).count();
    let ours: Vec<&str> = tags.into_iter().filter(|tag| !tag.starts_with("https://")).collect();
    assert!(links > 3, "{bare}");
    assert!(ours[0].starts_with("!-- armspan:run="), "{bare}");
    assert_eq!(ours[1..], ["details", "summary", "/summary", "/details", "sub", "/sub"], "{bare}");
    for word in ["@team", "@all", "![x](", "#1"] {
        assert!(!bare.contains(word), "{word} in {bare}");
    }
}
