//! Metric lines: levels from the sums. A quantile comes from the histogram, everything else is
//! a ratio of sums.

use super::super::Engine;
use super::super::tally::run::{Run, Sums};
use super::super::tally::scored_as;
use super::evidence::is_silent_on_failures;
use crate::model::canonical::{jcs, sha256_text};
use crate::model::metric::{Direction, Origin, Role, guess_direction};
use crate::model::record::{GraderLine, Level, MetricLine};
use crate::model::{Measure, Metric, Sym};
use serde_json::json;

/// Lines of all metrics that a run or arm has values for, in the order of tables. `units` counts
/// the distinct units of a kind of scores.
pub fn lines(engine: &Engine, run: &Run, units: &dyn Fn(Sym) -> i64) -> Vec<MetricLine> {
    let mut out = Vec::new();
    let declared = engine.context().metrics();
    for (name, metric) in &declared {
        match metric.from {
            Origin::Score => out.extend(score_lines(engine, run, units, name, metric, true)),
            Origin::Error if is_silent_on_failures(engine, run) => {}
            origin => out.extend(call_line(run, name, metric, origin)),
        }
    }
    for (name, metric) in undeclared(engine, run, &declared) {
        out.extend(score_lines(engine, run, units, &name, &metric, false));
    }
    out.extend(label_lines(engine, run));
    let max = engine.settings().limits.metrics_max as usize;
    out.truncate(max);
    out
}

/// Evaluations that no metric of the config uses.
fn undeclared(engine: &Engine, run: &Run, declared: &[(String, Metric)]) -> Vec<(String, Metric)> {
    let used = |name: &str| {
        declared.iter().any(|(own, metric)| {
            metric.from == Origin::Score && metric.score.as_deref().unwrap_or(own) == name
        })
    };
    let mut names: Vec<String> = run
        .measures
        .keys()
        .filter_map(|measure| match measure {
            Measure::Score(name, _) => Some(engine.dictionary().text(*name).to_owned()),
            _ => None,
        })
        .filter(|name| !used(name))
        .collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let direction = guess_direction(&name);
            let metric = plain(Role::Info, Origin::Score, direction);
            (name, metric)
        })
        .collect()
}

fn plain(role: Role, from: Origin, direction: Direction) -> Metric {
    Metric {
        role,
        from,
        score: None,
        grader: None,
        quantile: None,
        direction,
        range: None,
        effect_scale: None,
        margin: None,
        ceiling: None,
        matures_after: None,
    }
}

fn call_line(run: &Run, name: &str, metric: &Metric, origin: Origin) -> Option<MetricLine> {
    let sums = run.sums(Measure::Call(origin)).filter(|sums| sums.n > 0)?;
    let level = match (origin, metric.quantile) {
        (Origin::Calls, _) => Some(exact(sums.w as f64 / 1e6)),
        (_, Some(q)) => quantile(sums, q, origin.per_unit()),
        (_, None) => sums.level(origin.per_unit()).map(ratio),
    };
    Some(MetricLine { level, ..line(name, metric, sums.n) })
}

/// One line per grader: arms are compared on the same one.
fn score_lines(
    engine: &Engine,
    run: &Run,
    units: &dyn Fn(Sym) -> i64,
    name: &str,
    metric: &Metric,
    declared: bool,
) -> Vec<MetricLine> {
    let evaluation = Sym::of(metric.score.as_deref().unwrap_or(name));
    let grader = metric.grader.as_deref().map(Sym::of);
    let coverage = run.sums(Measure::Coverage(Sym::of(name)));
    let mut out: Vec<MetricLine> = Vec::new();
    for (measure, sums) in &run.measures {
        let Measure::Score(found, by) = measure else { continue };
        let wanted = *found == evaluation && grader.is_none_or(|grader| grader == by.name);
        if !wanted || sums.n <= 0 {
            continue;
        }
        let text =
            |sym: Sym| Some(engine.dictionary().text(sym).to_owned()).filter(|t| !t.is_empty());
        let grader =
            GraderLine { name: text(by.name), version: text(by.version), model: text(by.model) };
        let known = grader.name.is_some() || grader.version.is_some() || grader.model.is_some();
        out.push(MetricLine {
            grader: known.then_some(grader),
            scored: Some(sums.n),
            units: Some(units(scored_as(*found, by))),
            level: sums.level(Origin::Score.per_unit()).map(ratio),
            ..line(name, metric, coverage.map_or(run.calls, |c| c.n))
        });
    }
    if out.is_empty() && declared && coverage.is_some_and(|c| c.n > 0) {
        let calls = coverage.map_or(0, |c| c.n);
        out.push(MetricLine { scored: Some(0), ..line(name, metric, calls) });
    }
    out
}

/// Shares of labels that are neither pass nor fail: `name=label`.
fn label_lines(engine: &Engine, run: &Run) -> Vec<MetricLine> {
    let text = |sym: Sym| engine.dictionary().text(sym).to_owned();
    let mut out = Vec::new();
    for (measure, sums) in &run.measures {
        let Measure::Label(name, grader, label) = measure else { continue };
        let same = |m: &Measure| matches!(m, Measure::Label(n, g, _) if (n, g) == (name, grader));
        let all: i128 = run.measures.iter().filter(|pair| same(pair.0)).map(|pair| pair.1.w).sum();
        if sums.n <= 0 || all <= 0 {
            continue;
        }
        let metric = plain(Role::Info, Origin::Score, Direction::Unknown);
        let name = format!("{}={}", text(*name), text(*label));
        let level = Some(ratio(sums.w as f64 / all as f64));
        out.push(MetricLine { scored: Some(sums.n), level, ..line(&name, &metric, run.calls) });
    }
    out
}

fn line(name: &str, metric: &Metric, calls: i64) -> MetricLine {
    MetricLine {
        name: name.to_owned(),
        role: metric.role,
        direction: metric.direction,
        unit: metric.from.unit().to_owned(),
        definition: definition(name, metric),
        grader: None,
        calls,
        scored: None,
        units: None,
        level: None,
        difference: None,
        verdict: None,
    }
}

/// SHA-256 over the canonical form of the definition with its name.
pub fn definition(name: &str, metric: &Metric) -> String {
    let json = serde_json::to_value(metric).unwrap_or_default();
    sha256_text(jcs(&json!({"name": name, "definition": json})).as_bytes())
}

/// The middle of the bucket that holds the quantile's rank, on the scale of the buckets.
pub fn quantile(sums: &Sums, q: f64, per_unit: f64) -> Option<Level> {
    let (lower, upper) = sums.histogram.as_ref()?.quantile(q)?;
    Some(Level { method: "histogram".into(), ..ratio((lower * upper).sqrt() / per_unit) })
}

fn ratio(estimate: f64) -> Level {
    Level { estimate, lower: None, upper: None, confidence: None, method: "ratio of sums".into() }
}

fn exact(estimate: f64) -> Level {
    Level { method: "count".into(), ..ratio(estimate) }
}
