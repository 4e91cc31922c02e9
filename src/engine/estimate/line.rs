//! Which metrics an arm or a run has values for, and the sums they rest on. A quantile comes
//! from the histogram, everything else is a ratio of sums.

use super::pool::{Pool, Pooled};
use crate::engine::context::{Context, Definition};
use crate::engine::dictionary::Dictionary;
use crate::engine::tally::histogram::Histogram;
use crate::engine::tally::run::Run;
use crate::engine::tally::scored_as;
use crate::identify::tells_failures;
pub use crate::model::metric::Domain;
use crate::model::metric::{Direction, Metric, Origin, Role, guess_direction};
use crate::model::record::Spread;
use crate::model::{Measure, Sym, observation::Grader};
use crate::stats::ratio::{Ratio, design_effect_of_rate};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One metric of an arm or a run.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The metric.
    pub definition: Arc<Definition>,
    /// Who judged, for scores.
    pub grader: Option<Grader>,
    /// Calls of its population.
    pub calls: i64,
    /// Calls with a score, for scores.
    pub scored: Option<i64>,
    /// As what its units are registered: calls, or scores of one grader.
    pub what: Sym,
    /// Its value.
    pub value: Quantity<'a>,
}

/// The value of a metric.
#[derive(Clone, Debug)]
pub enum Quantity<'a> {
    /// Nothing is known.
    Unknown,
    /// A number of calls.
    Count(f64),
    /// A share without an interval.
    Share(f64),
    /// A ratio of sums.
    Ratio(Moments),
    /// A quantile.
    Quantile(Tail<'a>),
}

/// What a ratio's interval rests on, in the metric's unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moments {
    /// The ratio with its cluster-robust variance.
    pub ratio: Ratio,
    /// Values.
    pub n: i64,
    /// Effective sample size.
    pub n_eff: f64,
    /// Which values there can be.
    pub domain: Domain,
}

/// What a quantile's interval rests on.
#[derive(Clone, Debug)]
pub struct Tail<'a> {
    /// Which quantile.
    pub q: f64,
    /// Values.
    pub n: i64,
    /// How much more their tail varies between units than between independent calls.
    pub deff: f64,
    /// The distribution, in integer units.
    pub histogram: Cow<'a, Histogram>,
    /// Integer units to one of the metric.
    pub per_unit: f64,
}

// === impl Line ===

impl Line<'_> {
    /// Which way is better: as declared, else by the name of an evaluation.
    pub fn direction(&self) -> Direction {
        match self.definition.metric.direction {
            Direction::Unknown => guess_direction(&self.definition.name),
            declared => declared,
        }
    }

    /// Whether two lines can be compared: the same metric by the same grader.
    pub fn matches(&self, other: &Line<'_>) -> bool {
        self.definition.name == other.definition.name && self.grader == other.grader
    }

    /// The sums that it rests on.
    pub fn measure(&self) -> Measure {
        let Definition { name, metric, .. } = &*self.definition;
        match (metric.from, self.grader) {
            (Origin::Score, Some(by)) => {
                Measure::Score(Sym::of(metric.score.as_deref().unwrap_or(name)), by)
            }
            (origin, _) => Measure::Call(origin),
        }
    }

    /// The moments of a ratio.
    pub fn moments(&self) -> Option<&Moments> {
        match &self.value {
            Quantity::Ratio(moments) => Some(moments),
            _ => None,
        }
    }
}

impl Moments {
    fn of(sums: &Pooled<'_>, metric: &Metric, origin: Origin) -> Option<Moments> {
        let ratio = sums.ratio(origin.per_unit())?;
        let domain = match (origin, metric.range) {
            (Origin::Error | Origin::Refusal | Origin::Truncation, _) => Domain::Rate,
            (_, Some([low, high])) => Domain::Bounded(low, high),
            _ => Domain::Unbounded,
        };
        Some(Moments { ratio, n: sums.n, n_eff: sums.n_eff(), domain })
    }

    /// What a document keeps of them besides the estimate, so that runs can be compared later.
    pub fn spread(&self, units: f64, alpha: f64, tau: Option<f64>) -> Spread {
        let Moments { ratio, n, n_eff, domain } = *self;
        let Ratio { variance, clusters, huge, .. } = ratio;
        Spread { variance, clusters, huge, n, n_eff, domain, units, alpha, tau }
    }

    /// The moments of a published level.
    pub fn published(estimate: f64, spread: &Spread) -> Moments {
        let Spread { variance, clusters, huge, n, n_eff, domain, .. } = *spread;
        Moments { ratio: Ratio { estimate, variance, clusters, huge }, n, n_eff, domain }
    }

    /// Design effect of a rate.
    pub fn design_effect(&self) -> f64 {
        design_effect_of_rate(&self.ratio, self.n_eff)
    }
}

/// Lines of all metrics that a pool has values for, in the order of tables; declared scores that
/// are missing altogether have a line, too.
pub fn lines<'a>(
    pool: &Pool<'a>,
    undeclared: &Undeclared,
    context: &Context,
    dictionary: &Dictionary,
) -> Vec<Line<'a>> {
    let mut out = Vec::new();
    let measures = pool.measures();
    let silent = is_silent_on_failures(pool, dictionary);
    for definition in context.definitions() {
        match definition.metric.from {
            Origin::Score => out.extend(score_lines(pool, &measures, definition)),
            Origin::Error if silent => {}
            origin => out.extend(call_line(pool, definition, origin)),
        }
    }
    let mut others: Vec<&Arc<Definition>> =
        undeclared.iter().filter(|row| has_score(&measures, *row.0)).map(|row| row.1).collect();
    others.sort_by(|a, b| a.name.cmp(&b.name));
    others.into_iter().for_each(|one| out.extend(score_lines(pool, &measures, one)));
    out.extend(label_lines(pool, &measures, dictionary));
    out.truncate(context.settings.limits.metrics_max as usize);
    out
}

/// Whether no failure of a pool could have been told: its error rate is unknown, not 0 %.
pub fn is_silent_on_failures(pool: &Pool<'_>, dictionary: &Dictionary) -> bool {
    let sets = || pool.runs.iter().flat_map(|run| run.full.iter()).filter(|row| row.1.calls > 0);
    sets().next().is_some() && sets().all(|row| !tells_failures(&dictionary.set(*row.0)))
}

fn call_line<'a>(
    pool: &Pool<'a>,
    definition: &Arc<Definition>,
    origin: Origin,
) -> Option<Line<'a>> {
    let sums = pool.sums(Measure::Call(origin))?;
    let metric = &definition.metric;
    let value = match (origin, metric.quantile) {
        (Origin::Calls, _) => Quantity::Count(sums.w as f64 / 1e6),
        (_, Some(q)) => {
            tail(&sums, q, origin.per_unit()).map_or(Quantity::Unknown, Quantity::Quantile)
        }
        (_, None) => Moments::of(&sums, metric, origin).map_or(Quantity::Unknown, Quantity::Ratio),
    };
    let definition = definition.clone();
    Some(Line { definition, grader: None, calls: sums.n, scored: None, what: Sym::NONE, value })
}

fn tail<'a>(sums: &Pooled<'a>, q: f64, per_unit: f64) -> Option<Tail<'a>> {
    let histogram = sums.histogram()?;
    let bucket = histogram.bucket_at(histogram.rank_of(q)?)?;
    let deff = sums.tail_design_effect(bucket);
    Some(Tail { q, n: histogram.count(), deff, histogram, per_unit })
}

/// One line per grader: arms are compared on the same one.
fn score_lines<'a>(
    pool: &Pool<'a>,
    measures: &BTreeSet<Measure>,
    definition: &Arc<Definition>,
) -> Vec<Line<'a>> {
    let metric = &definition.metric;
    let evaluation = Sym::of(metric.score.as_deref().unwrap_or(&definition.name));
    let grader = metric.grader.as_deref().map(Sym::of);
    let coverage = pool.sums(Measure::Coverage(Sym::of(&definition.name))).map(|c| c.n);
    let calls = coverage.unwrap_or_else(|| pool.calls());
    let line = |grader, scored, what, value| Line {
        definition: definition.clone(),
        grader,
        calls,
        scored: Some(scored),
        what,
        value,
    };
    let mut out: Vec<Line<'a>> = Vec::new();
    for measure in from_score(measures, evaluation) {
        let Measure::Score(found, by) = *measure else { break };
        if found != evaluation {
            break;
        }
        let wanted = grader.is_none_or(|grader| grader == by.name);
        let Some(sums) = pool.sums(*measure).filter(|_| wanted) else { continue };
        let value =
            Moments::of(&sums, metric, Origin::Score).map_or(Quantity::Unknown, Quantity::Ratio);
        out.push(line(Some(by), sums.n, scored_as(found, &by), value));
    }
    if out.is_empty() && definition.declared && coverage.is_some() {
        out.push(line(None, 0, Sym::NONE, Quantity::Unknown));
    }
    out
}

/// Evaluations that no metric of the config uses, as metrics for information.
pub type Undeclared = BTreeMap<Sym, Arc<Definition>>;

/// The undeclared evaluations of some runs.
pub fn undeclared<'r>(
    runs: impl Iterator<Item = &'r Run>,
    context: &Context,
    dictionary: &Dictionary,
) -> Undeclared {
    let scores = |one: &&Arc<Definition>| one.metric.from == Origin::Score;
    let used: BTreeSet<Sym> = context
        .definitions()
        .iter()
        .filter(scores)
        .map(|one| Sym::of(one.metric.score.as_deref().unwrap_or(&one.name)))
        .collect();
    let names = runs.flat_map(|run| run.measures.keys()).filter_map(|measure| match measure {
        Measure::Score(name, _) if !used.contains(name) => Some(*name),
        _ => None,
    });
    let names: BTreeSet<Sym> = names.collect();
    let define = |name: Sym| {
        let text = dictionary.text(name).to_owned();
        let metric = plain(guess_direction(&text));
        (name, Arc::new(Definition::new(text, metric, false)))
    };
    names.into_iter().map(define).collect()
}

fn plain(direction: Direction) -> Metric {
    Metric::new(Role::Info, Origin::Score, direction)
}

/// Measures from the first score of an evaluation on.
fn from_score(measures: &BTreeSet<Measure>, evaluation: Sym) -> impl Iterator<Item = &Measure> {
    measures.range(Measure::Score(evaluation, Grader::default())..)
}

fn has_score(measures: &BTreeSet<Measure>, evaluation: Sym) -> bool {
    let first = from_score(measures, evaluation).next();
    matches!(first, Some(Measure::Score(found, _)) if *found == evaluation)
}

/// Shares of labels that are neither pass nor fail: `name=label`.
fn label_lines<'a>(
    pool: &Pool<'a>,
    measures: &BTreeSet<Measure>,
    dictionary: &Dictionary,
) -> Vec<Line<'a>> {
    let mut out = Vec::new();
    for measure in measures {
        let Measure::Label(name, grader, label) = measure else { continue };
        let Some(sums) = pool.sums(*measure) else { continue };
        let same = |m: &&Measure| matches!(m, Measure::Label(n, g, _) if (n, g) == (name, grader));
        let all: i128 =
            measures.iter().filter(same).filter_map(|m| pool.sums(*m)).map(|s| s.w).sum();
        if all <= 0 {
            continue;
        }
        let name = format!("{}={}", dictionary.text(*name), dictionary.text(*label));
        let definition = Arc::new(Definition::new(name, plain(Direction::Unknown), false));
        let value = Quantity::Share(sums.w as f64 / all as f64);
        let (calls, scored) = (pool.calls(), Some(sums.n));
        out.push(Line { definition, grader: None, calls, scored, what: Sym::NONE, value });
    }
    out
}
