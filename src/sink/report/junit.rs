//! The gate's document as JUnit XML, which every CI shows: a test suite for each arm at each site
//! that decides, with its busiest run; a test case for each metric that decides. What fails the
//! gate is a failure; what has not enough data is skipped; what cannot be trusted is an error.

use crate::judge::gate::{GateArm, GateDocument, GateMetric, GateSite};
use crate::model::human;
use crate::model::verdict::Gate;
use crate::sink::xml::escaped;
use std::fmt::Write as _;

/// What became of a test case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
    Unsure,
}

/// A test case.
struct Case {
    name: String,
    outcome: Outcome,
    /// The state of the verdict.
    state: String,
    /// Its sentence.
    sentence: String,
    /// Its figures and reasons, for who opens the case.
    details: String,
}

/// A test suite.
struct Suite {
    name: String,
    class: String,
    properties: Vec<(&'static str, String)>,
    cases: Vec<Case>,
}

/// The document as XML.
pub fn junit(document: &GateDocument) -> String {
    let suites = suites(document);
    let cases = || suites.iter().flat_map(|suite| &suite.cases);
    let name = escaped(&format!("armspan gate: {}", document.experiment));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    put(&mut out, &format!("<testsuites name=\"{name}\" {}>", counts(cases())));
    for suite in &suites {
        write_suite(&mut out, suite, document.as_of.as_deref());
    }
    put(&mut out, "</testsuites>");
    out
}

fn put(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn suites(document: &GateDocument) -> Vec<Suite> {
    let of = |arm: &GateArm, site: &GateSite| suite(document, arm, site);
    let places = document.arms.iter().flat_map(|arm| arm.sites.iter().map(move |site| (arm, site)));
    let suites: Vec<Suite> = places.map(|(arm, site)| of(arm, site)).collect();
    if !suites.is_empty() {
        return suites;
    }
    // A gate that had nothing to judge must not look as if all were well.
    let reason = document.reasons.first().unwrap_or(&document.sentence);
    let name = document.experiment.clone();
    vec![Suite { class: name.clone(), name, properties: Vec::new(), cases: vec![nothing(reason)] }]
}

fn suite(document: &GateDocument, arm: &GateArm, site: &GateSite) -> Suite {
    let mut properties = vec![("arm", arm.arm.clone()), ("site", site.site.clone())];
    properties.extend(document.control.clone().map(|control| ("control", control)));
    properties.extend(site.runs.first().map(|run| ("run", run.clone())));
    properties.push(("epoch", site.epoch.to_string()));
    let metrics = site.metrics.iter().map(|metric| case(document, metric));
    Suite {
        name: format!("{} / {} / {}", document.experiment, arm.arm, site.site),
        class: format!("{}.{}.{}", document.experiment, arm.arm, site.site),
        properties,
        cases: site.nothing.as_deref().map(nothing).into_iter().chain(metrics).collect(),
    }
}

fn nothing(reason: &str) -> Case {
    Case {
        name: "gate".to_owned(),
        outcome: Outcome::Unsure,
        state: "nothing to judge".to_owned(),
        sentence: reason.to_owned(),
        details: String::new(),
    }
}

fn case(document: &GateDocument, metric: &GateMetric) -> Case {
    let outcome = match metric.result {
        Gate::Pass => Outcome::Passed,
        Gate::Fail => Outcome::Failed,
        Gate::Inconclusive if document.fail_on_inconclusive => Outcome::Failed,
        Gate::Inconclusive => Outcome::Skipped,
        Gate::Invalid if metric.state == "insufficient" => Outcome::Skipped,
        Gate::Invalid => Outcome::Unsure,
    };
    Case {
        name: metric.name.clone(),
        outcome,
        state: metric.state.clone(),
        sentence: metric.sentence.clone(),
        details: details(metric),
    }
}

fn details(metric: &GateMetric) -> String {
    let difference = metric.estimate.map(|by| human::difference(by, &metric.unit));
    let interval = difference
        .map(|by| format!("{by}; {}", human::interval(metric.lower, metric.upper, &metric.unit)));
    let why = (!metric.reasons.is_empty()).then(|| metric.reasons.join(", "));
    [interval, why].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut all, mut failed, mut unsure, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        all += 1;
        failed += usize::from(case.outcome == Outcome::Failed);
        unsure += usize::from(case.outcome == Outcome::Unsure);
        skipped += usize::from(case.outcome == Outcome::Skipped);
    }
    format!(
        "tests=\"{all}\" failures=\"{failed}\" errors=\"{unsure}\" skipped=\"{skipped}\" time=\"0\""
    )
}

fn write_suite(out: &mut String, suite: &Suite, at: Option<&str>) {
    // Consumers that know the schema take seconds without a zone.
    let at = at.and_then(|at| at.get(..19));
    let at = at.map(|at| format!(" timestamp=\"{}\"", escaped(at))).unwrap_or_default();
    let counts = counts(suite.cases.iter());
    put(out, &format!("  <testsuite name=\"{}\"{at} {counts}>", escaped(&suite.name)));
    if !suite.properties.is_empty() {
        put(out, "    <properties>");
        for (name, value) in &suite.properties {
            put(out, &format!("      <property name=\"{name}\" value=\"{}\"/>", escaped(value)));
        }
        put(out, "    </properties>");
    }
    for case in &suite.cases {
        write_case(out, &suite.class, case);
    }
    put(out, "  </testsuite>");
}

fn write_case(out: &mut String, class: &str, case: &Case) {
    let (class, name) = (escaped(class), escaped(&case.name));
    put(out, &format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"0\">"));
    let message = escaped(&case.sentence);
    let (state, details) = (escaped(&case.state), escaped(&case.details));
    let line = match case.outcome {
        Outcome::Passed => format!("<system-out>{message}</system-out>"),
        Outcome::Skipped => format!("<skipped message=\"{message}\"/>"),
        Outcome::Failed => {
            format!("<failure type=\"{state}\" message=\"{message}\">{details}</failure>")
        }
        Outcome::Unsure => {
            format!("<error type=\"{state}\" message=\"{message}\">{details}</error>")
        }
    };
    put(out, &format!("      {line}"));
    put(out, "    </testcase>");
}

#[cfg(test)]
mod tests;
