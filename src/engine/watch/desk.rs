//! One site of an experiment in one epoch: each arm's metrics against control's, judged.

use super::Scene;
use super::assess::{ArmAssessment, Assessed, line_key};
use super::memory::{ExperimentMemory, Latch, LineKey, LineMemory};
use crate::engine::context::ExperimentState;
use crate::engine::estimate::level::Level;
use crate::engine::estimate::trust::{self, Choice, Missing};
use crate::engine::estimate::{self, Line, Pool, Quantity, Undeclared, difference};
use crate::engine::fact::ArmKey;
use crate::engine::tally::buckets::{BUCKETS, Buckets};
use crate::judge::family::{Family, Part, Spending};
use crate::judge::{self, Case, Rule, Ruling};
use crate::model::metric::{Origin, Role};
use crate::model::verdict::{Gate, Reason};
use crate::model::{MINUTE, Measure, Sym, UnitKind};
use crate::stats::rare::Arrivals;
use crate::stats::ratio::Ratio;
use crate::stats::{Interval, cuped};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Calls after which a declared metric without any value is not reported, not just late.
const CALLS_FOR_REPORT: i64 = 100;
/// Share of calls without a unit above which the trace is the unit.
const WITHOUT_UNIT_MAX: f64 = 0.5;

/// What assessing one site in one epoch needs.
pub(super) struct Desk<'a, 's> {
    pub scene: &'s Scene<'a>,
    pub experiment: Sym,
    pub site: Sym,
    pub epoch: u32,
    pub family: &'s Family,
    pub spending: Spending,
    pub decides: bool,
    /// Faults of the whole experiment.
    pub invalid: Vec<Reason>,
    pub memory: Option<&'s ExperimentMemory>,
    pub undeclared: &'s Undeclared,
    /// How units were drawn.
    pub ratio: &'s trust::SampleRatio,
}

/// Units with a covariate that each arm needs before it is used.
const COVARIATES_MIN: i64 = 100;

/// What arms are compared with.
struct Control<'a, 's> {
    arm: Sym,
    pool: &'s Pool<'a>,
    lines: Vec<Line<'a>>,
    levels: Vec<Option<Level>>,
}

// === impl Desk ===

impl<'a> Desk<'a, '_> {
    /// Its arms, control included.
    pub fn arms(
        &self,
        pools: &BTreeMap<Sym, Pool<'a>>,
        state: &ExperimentState,
    ) -> Vec<ArmAssessment<'a>> {
        let lines = |pool: &Pool<'a>| {
            estimate::lines(pool, self.undeclared, self.scene.context, self.scene.dictionary)
        };
        let control = state.control.and_then(|arm| {
            let pool = pools.get(&arm)?;
            let lines = lines(pool);
            let levels =
                lines.iter().map(|line| self.level(arm, pool, line.clone()).level).collect();
            Some(Control { arm, pool, lines, levels })
        });
        let mut out = Vec::with_capacity(pools.len());
        for (arm, pool) in pools {
            let assessed = match &control {
                Some(control) if control.arm == *arm => self.alone(*arm, pool, lines(pool)),
                None => self.alone(*arm, pool, lines(pool)),
                Some(control) => self.against(*arm, pool, lines(pool), control, state),
            };
            out.push(assessed);
        }
        out
    }

    /// Levels only: control, or an arm without one.
    fn alone(&self, arm: Sym, pool: &Pool<'a>, lines: Vec<Line<'a>>) -> ArmAssessment<'a> {
        let lines = lines.into_iter().map(|line| self.level(arm, pool, line)).collect();
        ArmAssessment { arm, pool: pool.clone(), lines, rule: None, gate: Gate::Pass }
    }

    fn level(&self, arm: Sym, pool: &Pool<'a>, line: Line<'a>) -> Assessed<'a> {
        let name = &line.definition.name;
        let part = self.family.part(name).filter(|_| self.decides);
        let alpha = match part {
            Some(_) => self.family.alpha(name, self.spending),
            None => self.family.alpha("", self.spending),
        };
        let metric = &line.definition.metric;
        // A margin and a ceiling are two claims.
        let claims = if metric.margin.is_some() && metric.ceiling.is_some() { 2.0 } else { 1.0 };
        let alpha = alpha / claims;
        let units = self.units(arm, pool, &line);
        Assessed {
            level: estimate::level(&line, units, alpha),
            line,
            part,
            alpha,
            units,
            compared: None,
            ruling: None,
            discovery: false,
            held: false,
            latched: None,
        }
    }

    /// Distinct units of a line; where most calls name none, each call is taken for one.
    fn units(&self, arm: Sym, pool: &Pool<'_>, line: &Line<'_>) -> f64 {
        if pool.share_without_unit() > WITHOUT_UNIT_MAX {
            return line.scored.unwrap_or(line.calls) as f64;
        }
        self.scene.tally.units_of(self.arm_key(arm), line.what) as f64
    }

    fn arm_key(&self, arm: Sym) -> ArmKey {
        ArmKey { experiment: self.experiment, site: self.site, epoch: self.epoch, arm }
    }

    fn against(
        &self,
        arm: Sym,
        pool: &Pool<'a>,
        mut lines: Vec<Line<'a>>,
        control: &Control<'a, '_>,
        state: &ExperimentState,
    ) -> ArmAssessment<'a> {
        self.add_unreported(&mut lines, pool);
        let chosen = self.choices(arm, pool, &lines, control);
        let mut out: Vec<Assessed<'a>> = Vec::with_capacity(lines.len());
        for (at, line) in lines.into_iter().enumerate() {
            let choice = chosen.get(&line.definition.name).copied();
            let own = match choice {
                Some(Choice::Pair(own, _) | Choice::Held(own, _)) => own == at,
                _ => false,
            };
            // By a grader that does not decide, a metric is exploratory.
            let choice = choice.filter(|_| own);
            out.push(self.judged(arm, pool, line, choice, control, state));
        }
        let (rule, gate) = self.rule(&out);
        ArmAssessment { arm, pool: pool.clone(), lines: out, rule, gate }
    }

    /// A line for every metric of the declared family that the arm's calls do not report.
    fn add_unreported(&self, lines: &mut Vec<Line<'a>>, pool: &Pool<'_>) {
        if !self.decides || !self.family.declared {
            return;
        }
        for (name, _) in self.family.members() {
            if lines.iter().any(|line| line.definition.name == name) {
                continue;
            }
            let Some(definition) = self.scene.context.definition(name) else { continue };
            lines.push(Line {
                definition: Arc::clone(definition),
                grader: None,
                calls: pool.calls(),
                scored: (definition.metric.from == Origin::Score).then_some(0),
                what: Sym::NONE,
                value: Quantity::Unknown,
            });
        }
    }

    /// For each metric with several graders or none in control: which line decides.
    fn choices(
        &self,
        arm: Sym,
        pool: &Pool<'a>,
        lines: &[Line<'a>],
        control: &Control<'a, '_>,
    ) -> BTreeMap<String, Choice> {
        let last = |line: &Line<'_>| {
            line.grader?;
            [pool, control.pool].into_iter().filter_map(|p| last_judged(p, line)).max()
        };
        let passes = |own: usize, other: usize| {
            let ask = self.ask(arm, pool, &lines[own], control, 0.05);
            difference::compare(&lines[own], &control.lines[other], &ask)
                .is_some_and(|compared| compared.unmet.is_empty())
        };
        let names: BTreeSet<&String> = lines.iter().map(|line| &line.definition.name).collect();
        names
            .into_iter()
            .map(|name| {
                let choice = trust::choose(lines, &control.lines, name, &last, &passes);
                (name.clone(), choice)
            })
            .collect()
    }

    fn ask(
        &self,
        arm: Sym,
        pool: &Pool<'a>,
        line: &Line<'_>,
        control: &Control<'a, '_>,
        alpha: f64,
    ) -> difference::Ask {
        let units = (self.units(arm, pool, line), self.units(control.arm, control.pool, line));
        let arrivals = self.arrivals(line.definition.metric.from, arm, control.arm);
        difference::Ask { alpha, units, arrivals, ..difference::Ask::default() }
    }

    /// Both levels with what a covariate from before the exposure explains taken out of them;
    /// none unless enough units of both arms have one.
    fn adjusted(
        &self,
        arm: Sym,
        pool: &Pool<'a>,
        line: &Line<'_>,
        control: &Control<'a, '_>,
        at: usize,
    ) -> Option<(Ratio, Ratio)> {
        let known = |arm: Sym| {
            let rows = covariates(self.scene.tally.covariates_of(self.arm_key(arm))?)?;
            let units: i64 = rows.iter().map(|row| row.1).sum();
            (units >= COVARIATES_MIN).then_some(rows)
        };
        let (own, other) = (known(arm)?, known(control.arm)?);
        let sums = |pool: &Pool<'a>, line: &Line<'_>| pool.sums(line.measure())?.rows();
        let (treated, base) = (sums(pool, line)?, sums(control.pool, &control.lines[at])?);
        let found = cuped::adjust((&base, &other), (&treated, &own))?;
        let scale = 1e6 / line.measure().per_unit();
        Some((found.treated.scaled(scale), found.control.scaled(scale)))
    }

    /// First events of units by the allocation in which the units were first seen; none unless
    /// the shares were planned in all of them, are uneven now, and units were drawn as planned.
    fn arrivals(&self, origin: Origin, arm: Sym, control: Sym) -> Option<Vec<Arrivals>> {
        if self.ratio.moved {
            return None;
        }
        let tally = self.scene.tally;
        let mut rows: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        tally.events_of(self.arm_key(arm), origin).for_each(|(draw, n)| {
            rows.entry(draw.plan).or_default().0 += count(n);
        });
        tally.events_of(self.arm_key(control), origin).for_each(|(draw, n)| {
            rows.entry(draw.plan).or_default().1 += count(n);
        });
        let planned = |at: u32, arm: Sym| self.scene.context.planned(self.experiment, at, arm);
        // The present plan decides the route: it must not change with the first event.
        let now = self.scene.context.allocation(self.experiment, self.scene.now);
        let (to, of) = (planned(now, arm)?, planned(now, control)?);
        if to.min(of) / (to + of) >= difference::UNEVEN_MAX {
            return None;
        }
        rows.into_iter()
            .map(|(at, (treated, own))| {
                let (to, of) = (planned(at, arm)?, planned(at, control)?);
                Some(Arrivals { share: to / (to + of), treated, control: own })
            })
            .collect()
    }

    fn judged(
        &self,
        arm: Sym,
        pool: &Pool<'a>,
        line: Line<'a>,
        choice: Option<Choice>,
        control: &Control<'a, '_>,
        state: &ExperimentState,
    ) -> Assessed<'a> {
        let mut out = self.level(arm, pool, line);
        if choice.is_none() {
            out.part = None;
        }
        let other = match choice {
            Some(Choice::Pair(_, other)) => other,
            _ => control.lines.iter().position(|other| other.matches(&out.line)),
        };
        let mut ask = self.ask(arm, pool, &out.line, control, out.alpha);
        ask.levels = other.and_then(|at| same_confidence(out.level?, control.levels[at]?));
        ask.adjusted = other.and_then(|at| self.adjusted(arm, pool, &out.line, control, at));
        out.compared =
            other.and_then(|at| difference::compare(&out.line, &control.lines[at], &ask));
        let decides = out.part.is_some();
        if out.compared.is_none() && !decides {
            return out;
        }
        let mut invalid = self.invalid.clone();
        if let Some(Choice::Held(_, reason)) = choice {
            invalid.push(reason);
        }
        if self.is_unreported(&out, pool) {
            invalid.push(Reason::NotReported);
        }
        let missing = self.missing(&out.line, pool, control.pool, ask.units);
        out.held = missing == Missing::Held;
        if missing == Missing::Differs {
            invalid.push(Reason::MissingScores);
        }
        let key = line_key(self.site, self.epoch, arm, &out.line);
        out.latched = self.latched(&key, state);
        let case = self.case(&out, invalid, (pool, control.pool), state, self.line_memory(&key));
        out.ruling = Some(judge::judge(&case));
        out
    }

    fn line_memory(&self, key: &LineKey) -> Option<&LineMemory> {
        self.memory.and_then(|memory| memory.lines.get(key))
    }

    /// A breach that still counts: not before the traffic was last moved.
    fn latched(&self, key: &LineKey, state: &ExperimentState) -> Option<(u32, Latch)> {
        let moved = state.allocations.last().map_or(0, |last| u64::from(last.minute) * MINUTE);
        self.memory?.breached(key.site, key.arm, key.metric, moved)
    }

    fn is_unreported(&self, line: &Assessed<'_>, pool: &Pool<'_>) -> bool {
        let empty = matches!(line.line.value, Quantity::Unknown);
        let waited = match line.line.scored {
            Some(_) => {
                line.line.calls >= CALLS_FOR_REPORT
                    && pool_has_coverage(pool, &line.line)
                    && !self.was_scored(&line.line)
            }
            None => pool.calls() >= CALLS_FOR_REPORT,
        };
        self.family.declared && line.part.is_some() && empty && waited
    }

    /// Whether the site has scores of an evaluation, in any arm and epoch: then they are only late.
    fn was_scored(&self, line: &Line<'_>) -> bool {
        let metric = &line.definition.metric;
        let name = Sym::of(metric.score.as_deref().unwrap_or(&line.definition.name));
        let is_score = |measure: &Measure| matches!(measure, Measure::Score(of, _) if *of == name);
        let mut runs = self.scene.tally.runs_of(self.experiment);
        runs.any(|(key, run)| key.site == self.site && run.measures.keys().any(is_score))
    }

    fn missing(
        &self,
        line: &Line<'_>,
        pool: &Pool<'_>,
        control: &Pool<'_>,
        units: (f64, f64),
    ) -> Missing {
        if line.scored.is_none() || !line.definition.declared {
            return Missing::Alike;
        }
        let metric = &line.definition.metric;
        let after = metric.matures_after.unwrap_or(self.scene.context.settings.matures_after).0;
        trust::missing(&line.definition.name, (pool, control), units, after)
    }

    fn case(
        &self,
        line: &Assessed<'_>,
        invalid: Vec<Reason>,
        (pool, control): (&Pool<'_>, &Pool<'_>),
        state: &ExperimentState,
        memory: Option<&LineMemory>,
    ) -> Case {
        let metric = &line.line.definition.metric;
        let compared = line.compared.as_ref();
        let mut unmet = compared.map(|c| c.unmet.clone()).unwrap_or_default();
        if compared.is_none() {
            unmet.push(if line.line.scored == Some(0) {
                Reason::Scores
            } else {
                Reason::NoControl
            });
        }
        let accepted = state.unit == Some(UnitKind::Trace) && state.configured;
        let nameless = pool.share_without_unit().max(control.share_without_unit());
        if nameless > WITHOUT_UNIT_MAX && !accepted && metric.role == Role::Quality {
            unmet.push(Reason::UnitKind);
        }
        let over_ceiling =
            metric.ceiling.and_then(|ceiling| Some(line.level?.interval?.shifted(-ceiling)));
        Case {
            role: metric.role,
            direction: line.line.direction(),
            part: line.part,
            invalid,
            unmet,
            difference: compared.map(|c| c.interval),
            excess: compared.and_then(|c| c.excess),
            over_ceiling,
            latched: memory.is_some_and(|m| m.latch.is_some()),
            adaptive: self.ratio.adaptive,
        }
    }

    fn rule(&self, lines: &[Assessed<'_>]) -> (Option<Rule>, Gate) {
        if !self.decides {
            return (None, Gate::Pass);
        }
        let places: Vec<usize> = (0..lines.len())
            .filter(|at| lines[*at].part.is_some() && lines[*at].ruling.is_some())
            .collect();
        let family: Vec<(Part, Role, &Ruling, bool)> = places
            .iter()
            .filter_map(|at| {
                let line = &lines[*at];
                let role = line.line.definition.metric.role;
                Some((line.part?, role, line.ruling.as_ref()?, line.latched.is_some()))
            })
            .collect();
        let gates = family.iter().map(|(_, role, ruling, latched)| match latched {
            true => Gate::Fail,
            false => judge::gate(*role, ruling.state),
        });
        // Nothing declared: there is nothing to judge.
        let start = if self.family.declared { Gate::Pass } else { Gate::Invalid };
        let gate = gates.fold(start, Gate::worse);
        let rule = judge::rule(&family);
        let because = rule.because.iter().map(|at| places[*at]).collect();
        (Some(Rule { because, ..rule }), gate)
    }
}

/// Rows of a covariate by bucket; none when a sum does not fit.
fn covariates(sums: &Buckets) -> Option<Vec<(i64, i64)>> {
    let mut rows = vec![(0, 0); BUCKETS];
    sums.add_to(&mut rows).then_some(rows)
}

/// Intervals of two levels that were made for one difference.
fn same_confidence(arm: Level, control: Level) -> Option<(Interval, Interval)> {
    let pair = Some((arm.interval?, control.interval?));
    pair.filter(|_| arm.alpha == control.alpha)
}

fn pool_has_coverage(pool: &Pool<'_>, line: &Line<'_>) -> bool {
    let measure = Measure::Coverage(Sym::of(&line.definition.name));
    pool.sums(measure).is_some_and(|sums| sums.n >= CALLS_FOR_REPORT)
}

/// The minute of the last call that a grader judged.
fn last_judged(pool: &Pool<'_>, line: &Line<'_>) -> Option<u32> {
    let sums = pool.runs.iter().filter_map(|run| run.sums(line.measure()));
    sums.filter_map(|sums| sums.windows.last_minute()).max()
}
