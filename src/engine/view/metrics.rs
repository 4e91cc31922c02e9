//! Metric lines of documents: levels, differences and verdicts as they were assessed.

use super::super::Engine;
use super::super::estimate::level::{Level as Found, level};
use super::super::estimate::line::{Line, lines};
use super::super::estimate::{N_STAR, Pool, Undeclared, tau};
use super::super::watch::assess::{ArmAssessment, Assessed, SiteAssessment};
use super::super::watch::memory::{Latch, LineMemory};
use super::time_text;
use crate::judge::sentence::{Told, sentence};
use crate::model::metric::{Margin, Origin, is_share};
use crate::model::observation::Grader;
use crate::model::record::{Breach, Difference, GraderLine, Level, MetricLine, Spread, Verdict};
use crate::model::{Sym, human};
use crate::stats::Interval;
use crate::stats::plan::{self, ScaleRule};
use std::collections::BTreeSet;

/// Where an arm's verdicts are, and what they are called.
pub(super) struct Place<'v, 'a> {
    pub site: &'v SiteAssessment<'a>,
    pub arm: &'v ArmAssessment<'a>,
    pub experiment: Sym,
    /// Seconds for which the epoch has been going on.
    pub seconds: f64,
}

/// Scores of which some arm has a level out of [0, 1]: they are no shares, and all arms are told
/// in one unit.
pub(super) struct Beyond<'v>(BTreeSet<&'v str>);

// === impl Beyond ===

impl<'v> Beyond<'v> {
    /// Of these epochs of a site.
    pub fn of(sites: impl IntoIterator<Item = &'v SiteAssessment<'v>>) -> Self {
        let lines = sites.into_iter().flat_map(|site| &site.arms).flat_map(|arm| &arm.lines);
        let beyond = lines.filter(|one| {
            one.line.definition.metric.from == Origin::Score
                && one.level.is_some_and(|level| !is_share(level.estimate))
        });
        Beyond(beyond.map(|one| one.line.definition.name.as_str()).collect())
    }

    /// The unit of a line.
    pub fn unit(&self, line: &Line<'_>) -> &'static str {
        let definition = &line.definition;
        definition.metric.unit(self.0.contains(definition.name.as_str()))
    }
}

/// Lines of an arm.
pub(super) fn of_arm(engine: &Engine, place: &Place<'_, '_>) -> Vec<MetricLine> {
    let beyond = Beyond::of([place.site]);
    place
        .arm
        .lines
        .iter()
        .map(|found| {
            let unit = beyond.unit(&found.line);
            let line = base(engine, &found.line, unit, found.level, found.alpha, found.units);
            judged(engine, place, found, line)
        })
        .collect()
}

/// Lines of a run: its own levels, and the difference and verdict of its arm.
pub(super) fn of_run(
    engine: &Engine,
    pool: &Pool<'_>,
    undeclared: &Undeclared,
    units: &dyn Fn(Sym) -> i64,
    place: &Place<'_, '_>,
) -> Vec<MetricLine> {
    let own = lines(pool, undeclared, &engine.context, &engine.dictionary);
    let beyond = Beyond::of([place.site]);
    let twin = |line: &Line<'_>| place.arm.lines.iter().find(|one| one.line.matches(line));
    let mut out: Vec<MetricLine> = own
        .iter()
        .map(|line| {
            let found = twin(line);
            let alpha = found.map_or(0.05, |found| found.alpha);
            let units = units(line.what) as f64;
            let level = level(line, units, alpha);
            let base = base(engine, line, beyond.unit(line), level, alpha, units);
            match found {
                Some(found) => judged(engine, place, found, base),
                None => base,
            }
        })
        .collect();
    // What the arm should report and does not is part of every run's record.
    let absent = |found: &&Assessed<'_>| {
        found.ruling.is_some() && !own.iter().any(|line| line.matches(&found.line))
    };
    out.extend(place.arm.lines.iter().filter(absent).map(|found| {
        let unit = beyond.unit(&found.line);
        let line = base(engine, &found.line, unit, None, found.alpha, found.units);
        judged(engine, place, found, line)
    }));
    out
}

/// Lines over several epochs: levels without interval or verdict, labelled so by their arm.
pub(super) fn mixed(
    engine: &Engine,
    pool: &Pool<'_>,
    undeclared: &Undeclared,
    units: &dyn Fn(Sym) -> i64,
    beyond: &Beyond<'_>,
) -> Vec<MetricLine> {
    let own = lines(pool, undeclared, &engine.context, &engine.dictionary);
    own.iter()
        .map(|line| {
            let units = units(line.what) as f64;
            let found = level(line, units, 0.05).map(|found| Found { interval: None, ..found });
            MetricLine { spread: None, ..base(engine, line, beyond.unit(line), found, 0.05, units) }
        })
        .collect()
}

fn base(
    engine: &Engine,
    line: &Line<'_>,
    unit: &str,
    found: Option<Found>,
    alpha: f64,
    units: f64,
) -> MetricLine {
    let definition = &line.definition;
    let (margin, margin_share) = match definition.metric.margin {
        Some(Margin::Absolute(size)) => (Some(size), None),
        Some(Margin::Relative(share)) => (None, Some(share)),
        None => (None, None),
    };
    MetricLine {
        name: definition.name.clone(),
        role: definition.metric.role,
        direction: line.direction(),
        unit: unit.to_owned(),
        definition: definition.hash.clone(),
        margin,
        margin_share,
        ceiling: definition.metric.ceiling,
        grader: line.grader.and_then(|grader| grader_line(engine, &grader)),
        calls: line.calls,
        scored: line.scored,
        units: line.grader.is_some().then_some(units as i64),
        level: found.map(|found| level_of(&found)),
        difference: None,
        verdict: None,
        spread: spread(line, alpha, units),
    }
}

fn grader_line(engine: &Engine, grader: &Grader) -> Option<GraderLine> {
    let text = |sym: Sym| Some(engine.dictionary.text(sym).to_owned()).filter(|t| !t.is_empty());
    let line = GraderLine {
        name: text(grader.name),
        version: text(grader.version),
        model: text(grader.model),
    };
    let known = line.name.is_some() || line.version.is_some() || line.model.is_some();
    known.then_some(line)
}

fn spread(line: &Line<'_>, alpha: f64, units: f64) -> Option<Spread> {
    Some(line.moments()?.spread(units, alpha, tau(&line.definition.metric)))
}

fn level_of(found: &Found) -> Level {
    let (lower, upper) = ends(found.interval);
    let confidence = found.interval.map(|_| confidence(found.alpha));
    let bounded = lower.is_some() || upper.is_some();
    let confidence = confidence.filter(|_| bounded);
    Level { estimate: found.estimate, lower, upper, confidence, method: found.method.to_owned() }
}

/// Bounds that are known: an open end is absent.
fn ends(interval: Option<Interval>) -> (Option<f64>, Option<f64>) {
    let finite = |bound: f64| Some(bound).filter(|b| b.is_finite());
    interval.map_or((None, None), |i| (finite(i.lower), finite(i.upper)))
}

/// 1 − α without the noise of the subtraction.
pub(super) fn confidence(alpha: f64) -> f64 {
    ((1.0 - alpha) * 1e9).round() / 1e9
}

/// Adds the difference and the verdict.
fn judged(
    engine: &Engine,
    place: &Place<'_, '_>,
    found: &Assessed<'_>,
    line: MetricLine,
) -> MetricLine {
    let Some(ruling) = &found.ruling else { return line };
    let memory = engine.watch.memory(place.experiment);
    let memory = memory.and_then(|m| m.lines.get(&found.key(place.site, place.arm.arm)));
    let control = engine.context.experiments.get(&place.experiment).and_then(|s| s.control);
    let control = control.map(|arm| engine.dictionary.text(arm)).unwrap_or_default();
    let difference = found.compared.as_ref().map(|compared| {
        let (lower, upper) = ends(Some(compared.interval));
        let largest = memory.map_or(0.0, |m| m.log_e).max(compared.log_e.unwrap_or(0.0));
        Difference {
            from: control.to_owned(),
            estimate: compared.estimate,
            lower,
            upper,
            confidence: Some(confidence(found.alpha)),
            log_e: compared.log_e.filter(|log_e| log_e.is_finite()),
            p: compared.log_e.map(|_| (-largest).exp().min(1.0)),
            method: compared.method.to_owned(),
        }
    });
    let metric = &found.line.definition.metric;
    let margin = metric.margin.map(|margin| margin_text(margin, &line.unit));
    let told = Told {
        metric: &line.name,
        unit: &line.unit,
        arm: engine.dictionary.text(place.arm.arm),
        control,
        difference: difference.as_ref().map(|d| (d.estimate, d.lower, d.upper)),
        margin: margin.as_deref(),
        seconds_to_decide: seconds_to_decide(found, place.seconds),
        discovery: found.discovery,
    };
    let mut reasons: Vec<String> = ruling.reasons.iter().map(|r| r.words().to_owned()).collect();
    reasons.extend(found.held.then(|| "test of missing scores held".to_owned()));
    let verdict = Verdict {
        state: ruling.state.name().to_owned(),
        reasons,
        sentence: sentence(ruling, &told),
        discovery: found.discovery,
        decides: found.part.is_some(),
        since: since(memory, ruling.state),
        breach: found.latched.map(breach),
    };
    MetricLine { difference, verdict: Some(verdict), ..line }
}

fn since(memory: Option<&LineMemory>, state: crate::model::verdict::State) -> Option<String> {
    let memory = memory.filter(|memory| memory.state == state && memory.since > 0)?;
    Some(time_text(memory.since))
}

fn breach((epoch, latch): (u32, Latch)) -> Breach {
    let (lower, upper) = ends(Some(Interval { lower: latch.look.lower, upper: latch.look.upper }));
    let reason = latch.reason.words().to_owned();
    Breach { epoch, at: time_text(latch.at), reason, estimate: latch.look.estimate, lower, upper }
}

fn margin_text(margin: Margin, unit: &str) -> String {
    match margin {
        Margin::Absolute(size) => human::margin(size, unit),
        Margin::Relative(share) => human::share(share),
    }
}

/// How long it takes, at the rate of the epoch so far, until the interval is narrower than the
/// distance to what would decide: 0, or the margin.
fn seconds_to_decide(found: &Assessed<'_>, seconds: f64) -> Option<f64> {
    let compared = found.compared.as_ref()?;
    let (variance, units) = compared.spread?;
    let metric = &found.line.definition.metric;
    let distance = match metric.margin {
        Some(Margin::Absolute(margin)) => (compared.estimate.abs() - margin).abs(),
        _ => compared.estimate.abs(),
    };
    let rule = tau(metric).map_or(ScaleRule::NStar(N_STAR), ScaleRule::Effect);
    let needed = plan::units_to_decide(distance, variance, units, rule, found.alpha)?;
    let rate = units / seconds;
    (rate > 0.0 && needed > units).then(|| (needed - units) / rate)
}
