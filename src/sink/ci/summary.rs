//! The Markdown summary of a cut: a table per experiment and site, verdicts as sentences, run
//! ids. GitHub drops a summary above 1024 KiB as a whole, so ours ends well before that.

use crate::model::delivery::Cut;
use crate::model::id::rfc3339;
use crate::model::markdown::bounded;
use crate::model::view::ExperimentView;
use crate::sink::report::experiment::{Links, foot, line, sites};

/// Bytes of the whole file.
pub const BYTES_MAX: usize = 1_000_000;
/// What begins and ends our part of the file.
const BEGIN: &str = "<!-- armspan:summary -->\n";
const END: &str = "<!-- /armspan:summary -->\n";
/// What stands where it was cut.
const CUT: &str = "\n*The summary was cut here: it has a limit of size.*\n";

/// A file's text with our part replaced, or added at its end.
pub fn into(there: &str, cut: &Cut, links: &Links<'_>) -> String {
    let (before, after) = match there.split_once(BEGIN) {
        Some((before, rest)) => (before, rest.split_once(END).map_or("", |pair| pair.1)),
        None => (there, ""),
    };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let others = before.len() + gap.len() + after.len() + BEGIN.len() + END.len();
    let room = BYTES_MAX.saturating_sub(others).max(CUT.len());
    format!("{before}{gap}{BEGIN}{}{END}{after}", bounded(summary(cut, links), room, CUT))
}

/// Our part.
fn summary(cut: &Cut, links: &Links<'_>) -> String {
    let mut out = String::new();
    for experiment in &cut.experiments {
        one(&mut out, experiment, links);
    }
    foot(&mut out, &rfc3339(cut.at), cut.position, links);
    out
}

fn one(out: &mut String, experiment: &ExperimentView, links: &Links<'_>) {
    line(out, &format!("## {}", links.experiment(&experiment.name)));
    if let Some(ratio) = experiment.sample_ratio.as_ref().filter(|r| r.state == "mismatch") {
        let p = ratio.p.map(|p| format!(" (p = {p:.1e})")).unwrap_or_default();
        line(out, &format!(":warning: **Sample ratio mismatch**{p}: no verdict can be trusted."));
    }
    sites(out, experiment, links);
}
