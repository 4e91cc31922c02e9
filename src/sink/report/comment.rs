//! The comment on a pull request: the gate's answer, what makes the data untrustworthy, the arms
//! with their figures, what was decided, what changed, and every run id.
//!
//! Its first line is `<!-- armspan:run=ID -->`, by which the comment is found again and replaced.
//! ID is 32 hex digits: the start of the SHA-256 of the canonical JSON `["armspan/comment/v1",
//! experiment, arm]`, where the arm is null when all are asked for. So a pull request has one
//! comment for each question, whatever was deployed meanwhile, and no name can break the line.

use super::BYTES_MAX;
use super::experiment::{Links, foot, line, sites};
use crate::judge::gate::GateDocument;
use crate::judge::trust::{Notice, Severity};
use crate::model::canonical::{jcs, sha256_text};
use crate::model::markdown::{bounded, code, code_cell, link, prose};
use crate::model::verdict::Gate;
use crate::model::view::{ArmView, ExperimentView, SiteView};
use serde_json::json;
use std::fmt::Write as _;

/// Digits of an id.
const ID_DIGITS: usize = 32;
/// What begins and ends what is folded away; no name can be a line of its own.
const FOLD: &str = "<details>";
const UNFOLD: &str = "</details>\n";

/// What the comment is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The experiment.
    pub experiment: &'a ExperimentView,
    /// What the gate says of it.
    pub gate: &'a GateDocument,
    /// What has to be known before the figures.
    pub notices: &'a [Notice],
    /// Where more is to be seen.
    pub links: Links<'a>,
}

/// The id in the first line.
pub fn id(gate: &GateDocument) -> String {
    let asked = json!(["armspan/comment/v1", gate.experiment, gate.arm]);
    let hash = sha256_text(jcs(&asked).as_bytes());
    hash.trim_start_matches("sha256:").chars().take(ID_DIGITS).collect()
}

/// The comment, at most [`BYTES_MAX`] bytes; GitHub refuses one of more than 65,536 characters.
pub fn comment(subject: &Subject<'_>) -> String {
    let Subject { experiment, gate, notices, links } = subject;
    let mut out = format!("<!-- armspan:run={} -->\n", id(gate));
    line(&mut out, &format!("### {} {}", sign(gate), prose(&gate.sentence)));
    notices.iter().for_each(|notice| told(&mut out, notice));
    for warning in &gate.warnings {
        line(&mut out, &format!(":warning: {}", prose(warning)));
    }
    nothing(&mut out, gate);
    sites(&mut out, experiment, links);
    runs(&mut out, experiment);
    let mut end = String::new();
    if let Some(dashboard) = links.dashboard {
        line(&mut end, &link("Open the dashboard", &format!("{dashboard}/")));
    }
    let at = gate.as_of.as_deref().unwrap_or("an unknown time");
    foot(&mut end, at, gate.position.unwrap_or_default(), links);
    fitted(out, &end)
}

fn sign(gate: &GateDocument) -> &'static str {
    match gate.result {
        Gate::Pass => ":green_circle:",
        Gate::Fail => ":red_circle:",
        Gate::Inconclusive => ":white_circle:",
        Gate::Invalid => ":warning:",
    }
}

fn told(out: &mut String, notice: &Notice) {
    let sign = match notice.severity {
        Severity::Invalid => ":no_entry:",
        Severity::Warning => ":warning:",
    };
    let (title, text) = (prose(&notice.title), prose(&notice.text));
    line(out, &format!("{sign} **{title}** {text} *{}*", prose(notice.advice)));
}

/// Reasons that no verdict tells: where there is nothing to judge.
fn nothing(out: &mut String, gate: &GateDocument) {
    let sites = gate.arms.iter().flat_map(|arm| &arm.sites);
    let mut reasons: Vec<&str> = sites.filter_map(|site| site.nothing.as_deref()).collect();
    reasons.dedup();
    // The first one is in the answer.
    let rest =
        reasons.into_iter().filter(|reason| gate.reasons.first().is_none_or(|r| r != reason));
    rest.for_each(|reason| line(out, &format!(":warning: {}", prose(reason))));
}

/// Every run id in full, for who wants to ask for one.
fn runs(out: &mut String, experiment: &ExperimentView) {
    let arms =
        experiment.sites.iter().flat_map(|site| site.arms.iter().map(move |arm| (site, arm)));
    let named: Vec<(&SiteView, &ArmView)> = arms.filter(|pair| !pair.1.runs.is_empty()).collect();
    if named.is_empty() {
        return;
    }
    let _ =
        writeln!(out, "{FOLD}<summary>Run ids</summary>\n\n| arm | site | run |\n|---|---|---|");
    for (site, arm) in named {
        for run in &arm.runs {
            let (arm, site) = (code_cell(&arm.arm), code_cell(&site.site));
            let _ = writeln!(out, "| {arm} | {site} | {} |", code(run));
        }
    }
    let _ = writeln!(out, "\n{UNFOLD}");
}

/// As much of the body as fits, with what it left open closed, and the end.
fn fitted(body: String, end: &str) -> String {
    let cut = "\n*The report was cut here: a comment has a limit of size.*\n\n";
    let room = BYTES_MAX.saturating_sub(end.len() + UNFOLD.len());
    let mut out = bounded(body, room, cut);
    let lines = |start: &str| out.lines().filter(|line| line.starts_with(start)).count();
    if lines(FOLD) > lines(UNFOLD.trim_end()) {
        out.push_str(UNFOLD);
    }
    out + end
}

#[cfg(test)]
mod tests;
