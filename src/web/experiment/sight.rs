//! What a page of an experiment shows: one site, one stretch of time, one metric in front. The
//! figures are those of the view; where a stretch has none of its own, the engine is asked for
//! its sums, which have neither interval nor verdict.

use super::asked::{Asked, Window};
use crate::model::id::{MINUTE, Nanos};
use crate::model::metric::Role;
use crate::model::record::{Level, MetricLine};
use crate::model::view::{
    ArmView, AskSeries, ExperimentView, SeriesPoint, SeriesQuery, SiteView, View,
};
use std::borrow::Cow;

/// Arms of a table before the rest is folded away.
pub const ARMS_SHOWN: usize = 40;
const HOUR: Nanos = 60 * MINUTE;
const DAY: Nanos = 24 * HOUR;

/// What is shown.
pub struct Sight<'a> {
    /// Everything.
    pub view: &'a View,
    /// The experiment.
    pub experiment: &'a ExperimentView,
    /// The site.
    pub site: &'a SiteView,
    /// What was asked for.
    pub asked: &'a Asked,
    /// The stretch of time.
    pub window: Window,
    /// Arms with the figures of the stretch, control first.
    pub arms: Cow<'a, [ArmView]>,
    /// The metric in front.
    pub metric: Option<String>,
    series: &'a AskSeries,
}

impl<'a> Sight<'a> {
    /// What is shown of an experiment; none when it has no site yet.
    pub fn new(
        view: &'a View,
        experiment: &'a ExperimentView,
        asked: &'a Asked,
        series: &'a AskSeries,
    ) -> Option<Self> {
        let named = |site: &&SiteView| asked.site.as_ref() == Some(&site.site);
        let site = experiment.sites.iter().find(named).or(experiment.sites.first())?;
        let window = asked.window();
        let arms = match window {
            Window::Epoch => Cow::Borrowed(site.arms.as_slice()),
            Window::All => Cow::Borrowed(site.all_epochs.as_slice()),
            Window::Day => {
                Cow::Owned(described(view, experiment, site, day_before(view.log_time), series))
            }
            Window::After(from) => Cow::Owned(described(view, experiment, site, from, series)),
        };
        let metric = in_front(site, asked.metric.as_deref());
        Some(Sight { view, experiment, site, asked, window, arms, metric, series })
    }

    /// When the stretch of time begins, if it is one of the clock.
    pub fn begins(&self) -> Option<Nanos> {
        match self.window {
            Window::Epoch | Window::All => None,
            Window::Day => Some(day_before(self.view.log_time)),
            Window::After(from) => Some(from),
        }
    }

    /// Levels of the metric in front by hour, or by day after two weeks, with their arms.
    pub fn levels(&self, metric: &str) -> Vec<SeriesPoint> {
        let to = self.view.log_time + 1;
        let from = self.begins().unwrap_or(to.saturating_sub(14 * DAY));
        let step = match to.saturating_sub(from) {
            short if short <= 3 * HOUR => MINUTE,
            _ => HOUR,
        };
        (self.series)(&query(self.experiment, self.site, metric, (from, to.max(from + 1)), step))
            .windows
    }

    /// Figures without interval and verdict.
    pub fn is_descriptive(&self) -> bool {
        self.window != Window::Epoch
    }

    /// The address of this page with a part of it changed.
    pub fn link(&self, change: impl FnOnce(&mut Asked)) -> String {
        let mut asked = self.asked.clone();
        change(&mut asked);
        asked.href(&self.experiment.name)
    }

    /// The line of an arm for the metric in front.
    pub fn front<'s>(&'s self, arm: &'s ArmView) -> Option<&'s MetricLine> {
        arm.line(self.metric.as_deref()?)
    }

    /// The control arm.
    pub fn control(&self) -> &str {
        self.experiment.control.as_deref().unwrap_or("control")
    }
}

/// Metrics that a reader may put in front: those that decide, then the rest; each once.
pub fn names(site: &SiteView) -> Vec<&str> {
    let lines = || site.arms.iter().flat_map(|arm| &arm.metrics);
    let quality = lines().filter(|line| line.decides() && line.role == Role::Quality);
    let rest = lines().filter(|line| line.decides() && line.role != Role::Quality);
    let scores = lines().filter(|line| line.scored.is_some());
    let mut out: Vec<&str> = Vec::new();
    for line in quality.chain(rest).chain(scores).chain(lines()) {
        if !out.contains(&line.name.as_str()) {
            out.push(&line.name);
        }
    }
    out
}

fn in_front(site: &SiteView, asked: Option<&str>) -> Option<String> {
    let names = names(site);
    let found = asked.filter(|asked| names.contains(asked)).or(names.first().copied());
    found.map(str::to_owned)
}

/// Arms with what was seen of each metric from a time on: levels only.
fn described(
    view: &View,
    experiment: &ExperimentView,
    site: &SiteView,
    from: Nanos,
    series: &AskSeries,
) -> Vec<ArmView> {
    let blank = |arm: &ArmView| ArmView {
        calls: 0,
        units: 0,
        decision: None,
        metrics: Vec::new(),
        ..arm.clone()
    };
    let mut arms: Vec<ArmView> = site.all_epochs.iter().map(blank).collect();
    for name in names(site) {
        let until = view.log_time.max(from) + 1;
        for point in series(&query(experiment, site, name, (from, until), 0)).windows {
            let base = site.all_epochs.iter().find(|arm| arm.arm == point.arm);
            let own = arms.iter_mut().find(|arm| arm.arm == point.arm);
            if let (Some(line), Some(arm)) = (base.and_then(|arm| arm.line(name)), own) {
                arm.metrics.push(descriptive(line, point.n, point.level));
                if name == "calls" {
                    arm.calls = point.n.round() as i64;
                }
            }
        }
    }
    arms
}

fn query(
    experiment: &ExperimentView,
    site: &SiteView,
    metric: &str,
    (from, to): (Nanos, Nanos),
    step: Nanos,
) -> SeriesQuery {
    SeriesQuery {
        experiment: experiment.name.clone(),
        site: Some(site.site.clone()),
        metric: metric.to_owned(),
        arm: None,
        from,
        to,
        step,
    }
}

/// A day before, from a full hour on: hours are what the engine keeps longest in detail.
fn day_before(now: Nanos) -> Nanos {
    (now / HOUR * HOUR).saturating_sub(DAY)
}

fn descriptive(line: &MetricLine, n: f64, level: Option<f64>) -> MetricLine {
    let n = n.round() as i64;
    let of = |estimate| Level {
        estimate,
        lower: None,
        upper: None,
        confidence: None,
        method: "window".to_owned(),
    };
    MetricLine {
        calls: n,
        scored: line.scored.map(|_| n),
        units: None,
        level: level.map(of),
        difference: None,
        verdict: None,
        ..line.clone()
    }
}
