//! The present figures as metrics, in requests of bounded size. Names are those of `/metrics`
//! with dots; what a label is there is an attribute `armspan.…` here.

use super::client::Request;
use super::{events, histogram};
use crate::model::View;
use crate::model::record::MetricLine;
use crate::model::verdict::State;
use crate::model::view::{ArmView, ExperimentView, SiteView};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::collections::{BTreeMap, BTreeSet};

/// Points of a request; receivers take 4 MiB and more, and a histogram is under 2 KiB.
pub const POINTS_MAX: usize = 1_000;

/// The highest count of each arm: a counter never falls, while calls may be taken back.
#[derive(Debug, Default)]
pub struct Counters(BTreeMap<[String; 3], i64>);

/// Metrics of plain numbers, in the order in which they are sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Family {
    Calls,
    Level,
    Difference,
    Verdict,
    SampleRatio,
}

/// A point with the metric that it belongs to.
enum Point {
    Number(Family, wire::NumberDataPoint),
    /// Quantity and unit.
    Histogram(String, String, wire::ExponentialHistogramDataPoint),
}

/// Collects points; of those with equal attributes (several graders) the first stays.
struct Points {
    at: u64,
    seen: BTreeSet<(Family, String)>,
    all: Vec<Point>,
}

/// A text as a value.
pub fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// An attribute.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Who sends.
pub fn resource() -> Resource {
    let attributes = vec![
        attribute("service.name", text("armspan")),
        attribute("service.version", text(env!("CARGO_PKG_VERSION"))),
    ];
    Resource { attributes, ..Resource::default() }
}

/// What in it.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "armspan".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The attributes of an arm.
pub fn place(experiment: &str, site: &str, arm: &str) -> Vec<KeyValue> {
    let all = [("armspan.experiment", experiment), ("armspan.site", site), ("armspan.arm", arm)];
    all.map(|(key, value)| attribute(key, text(value))).to_vec()
}

/// All figures of a view, as of its log time.
pub fn requests(view: &View, counters: &mut Counters) -> Vec<Request> {
    let mut points = Points { at: view.log_time, seen: BTreeSet::new(), all: Vec::new() };
    calls(&mut points, view, counters);
    levels(&mut points, view);
    differences(&mut points, view);
    verdicts(&mut points, view);
    sample_ratios(&mut points, view);
    histograms(&mut points, view);
    let mut rest = points.all.into_iter();
    let mut out = Vec::new();
    loop {
        let some: Vec<Point> = rest.by_ref().take(POINTS_MAX).collect();
        if some.is_empty() {
            return out;
        }
        out.push(request(some));
    }
}

fn request(points: Vec<Point>) -> Request {
    let mut numbers: BTreeMap<Family, Vec<_>> = BTreeMap::new();
    let mut distributions: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for point in points {
        match point {
            Point::Number(family, point) => numbers.entry(family).or_default().push(point),
            Point::Histogram(quantity, unit, point) => {
                distributions.entry((quantity, unit)).or_default().push(point);
            }
        }
    }
    let plain = numbers.into_iter().map(|(family, points)| family.metric(points));
    let others = distributions
        .into_iter()
        .map(|((quantity, unit), points)| histogram::metric(&quantity, &unit, points));
    let scoped = wire::ScopeMetrics {
        scope: Some(scope()),
        metrics: plain.chain(others).collect(),
        ..wire::ScopeMetrics::default()
    };
    let metrics = wire::ResourceMetrics {
        resource: Some(resource()),
        scope_metrics: vec![scoped],
        ..wire::ResourceMetrics::default()
    };
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics: vec![metrics] })
}

fn sites(view: &View) -> impl Iterator<Item = (&ExperimentView, &SiteView)> {
    view.experiments.iter().flat_map(|e| e.sites.iter().map(move |site| (e, site)))
}

/// Metrics of arms in their current epoch.
fn lines(view: &View) -> impl Iterator<Item = (Vec<KeyValue>, &MetricLine)> {
    sites(view).flat_map(|(experiment, site)| {
        site.arms.iter().flat_map(move |arm| {
            let here = move || place(&experiment.name, &site.site, &arm.arm);
            arm.metrics.iter().map(move |line| (here(), line))
        })
    })
}

fn calls(points: &mut Points, view: &View, counters: &mut Counters) {
    for (experiment, site) in sites(view) {
        // Over all epochs, so that it does not fall when an epoch begins.
        let arms = if site.all_epochs.is_empty() { &site.arms } else { &site.all_epochs };
        for arm in arms {
            let key = [experiment.name.clone(), site.site.clone(), arm.arm.clone()];
            // As many as the view has arms, which the engine bounds.
            let highest = counters.0.entry(key).or_default();
            *highest = arm.calls.max(*highest);
            let at = place(&experiment.name, &site.site, &arm.arm);
            let since = since(view, experiment, site, arm);
            points.push(Family::Calls, at, since, Number::AsInt(*highest));
        }
    }
}

/// Since when an arm's calls are counted; 0 when nobody knows.
fn since(view: &View, experiment: &ExperimentView, site: &SiteView, arm: &ArmView) -> u64 {
    let distributions = view
        .distributions
        .iter()
        .filter(|of| of.experiment == experiment.name && of.site == site.site && of.arm == arm.arm);
    let runs = view.runs.iter().filter(|record| {
        let run = &record.run;
        run.experiment == experiment.name && run.site == site.site && run.arm == arm.arm
    });
    let seen = runs.map(|record| events::nanos(&record.window.first_seen)).filter(|at| *at > 0);
    distributions.map(|of| of.since).chain(seen).min().unwrap_or(0)
}

fn levels(points: &mut Points, view: &View) {
    for (here, line) in lines(view) {
        let Some(level) = &line.level else { continue };
        points.bounds(Family::Level, &here, line, [Some(level.estimate), level.lower, level.upper]);
    }
}

fn differences(points: &mut Points, view: &View) {
    for (here, line) in lines(view) {
        let Some(found) = &line.difference else { continue };
        let bounds = [Some(found.estimate), found.lower, found.upper];
        points.bounds(Family::Difference, &here, line, bounds);
    }
}

/// Verdicts of what decides: a 1 for the state that holds and a 0 for every other one, so that a
/// state that ended is seen to have ended.
fn verdicts(points: &mut Points, view: &View) {
    for (here, line) in lines(view) {
        let Some(verdict) = line.verdict.as_ref().filter(|verdict| verdict.decides) else {
            continue;
        };
        for state in State::ALL.map(State::name) {
            let mut labels = here.clone();
            labels.push(attribute("armspan.metric", text(&line.name)));
            labels.push(attribute("armspan.state", text(state)));
            let holds = i64::from(verdict.state == state);
            points.push(Family::Verdict, labels, 0, Number::AsInt(holds));
        }
    }
}

fn sample_ratios(points: &mut Points, view: &View) {
    for experiment in &view.experiments {
        let log_e = experiment.sample_ratio.as_ref().and_then(|ratio| ratio.log_e);
        let labels = vec![attribute("armspan.experiment", text(&experiment.name))];
        if let Some(log_e) = log_e.filter(|value| value.is_finite()) {
            points.push(Family::SampleRatio, labels, 0, Number::AsDouble(log_e));
        }
    }
}

fn histograms(points: &mut Points, view: &View) {
    for of in view.distributions.iter().filter(|of| of.count > 0) {
        let point = histogram::point(of, view.log_time);
        points.all.push(Point::Histogram(of.quantity.clone(), of.unit.clone(), point));
    }
}

// === impl Points ===

impl Points {
    fn push(&mut self, family: Family, attributes: Vec<KeyValue>, since: u64, value: Number) {
        if self.seen.insert((family, format!("{attributes:?}"))) {
            let point = wire::NumberDataPoint {
                attributes,
                start_time_unix_nano: since.min(self.at),
                time_unix_nano: self.at,
                value: Some(value),
                ..wire::NumberDataPoint::default()
            };
            self.all.push(Point::Number(family, point));
        }
    }

    fn bounds(
        &mut self,
        family: Family,
        here: &[KeyValue],
        line: &MetricLine,
        values: [Option<f64>; 3],
    ) {
        for (bound, value) in ["estimate", "lower", "upper"].into_iter().zip(values) {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let mut labels = here.to_vec();
            labels.push(attribute("armspan.metric", text(&line.name)));
            labels.push(attribute("armspan.bound", text(bound)));
            self.push(family, labels, 0, Number::AsDouble(value));
        }
    }
}

// === impl Family ===

impl Family {
    fn metric(self, points: Vec<wire::NumberDataPoint>) -> wire::Metric {
        let (name, unit, description) = match self {
            Family::Calls => ("armspan.arm.calls", "{call}", "Calls counted, never falling."),
            Family::Level => ("armspan.arm.metric", "", "Level of a metric, current epoch."),
            Family::Difference => {
                ("armspan.arm.difference", "", "Difference from control, current epoch.")
            }
            Family::Verdict => {
                ("armspan.verdict", "", "1 for the state a verdict is in, 0 for others.")
            }
            Family::SampleRatio => {
                ("armspan.sample_ratio.log_e", "", "Evidence against the planned split.")
            }
        };
        let data = match self {
            Family::Calls => wire::metric::Data::Sum(wire::Sum {
                data_points: points,
                aggregation_temporality: wire::AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            _ => wire::metric::Data::Gauge(wire::Gauge { data_points: points }),
        };
        wire::Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..wire::Metric::default()
        }
    }
}
