//! Traces that a record links to: the worst calls, one that breaches, one at random.

use crate::engine::Engine;
use crate::engine::tally::exemplars::{At, Ends};
use crate::engine::tally::run::Run;
use crate::model::human;
use crate::model::metric::{Direction, Origin, guess_direction};
use crate::model::record::Link;

/// Scores whose worst call is linked.
const SCORES_MAX: usize = 4;

/// Of a run; the worst first.
pub(super) fn links(engine: &Engine, run: &Run) -> Vec<Link> {
    let template = engine.settings().trace_link.as_deref();
    let link = |rel: &str, why: String, at: At| {
        let (trace_id, span_id) = (at.1.to_string(), at.2.to_string());
        let fill = |url: &str| url.replace("{trace_id}", &trace_id).replace("{span_id}", &span_id);
        let href = template.map(fill);
        Link { rel: rel.to_owned(), why: Some(why), href, trace_id, span_id }
    };
    let found = &run.exemplars;
    let mut out: Vec<Link> = Vec::new();
    let mut scores: Vec<(String, At)> =
        found.scores.iter().map(|(name, e)| judged(engine.dictionary().text(*name), e)).collect();
    scores.sort();
    out.extend(scores.into_iter().take(SCORES_MAX).map(|(why, at)| link("worst", why, at)));
    if let Some((latency, end, trace, span)) = found.slowest {
        let seconds = latency as f64 / Origin::Latency.per_unit();
        let why = format!("slowest: {}", human::level(seconds, "s"));
        out.push(link("worst", why, (end, trace, span)));
    }
    out.extend(found.failed.map(|at| link("breaching", "failed".to_owned(), at)));
    out.extend(found.random.map(|(_, at)| link("random", "any call".to_owned(), at)));
    out
}

/// The call that was judged worst, and by what.
fn judged(name: &str, ends: &Ends) -> (String, At) {
    let (word, value, at) = match guess_direction(name) {
        Direction::Decrease => ("highest", ends.highest.0, ends.highest.1),
        _ => ("lowest", ends.lowest.0.0, ends.lowest.1),
    };
    let value = human::number(value as f64 / Origin::Score.per_unit());
    (format!("{word} {name}: {value}"), at)
}
