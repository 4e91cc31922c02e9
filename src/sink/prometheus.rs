//! `/metrics`: the Prometheus text format, and OpenMetrics when it is asked for. Label sets are
//! bounded; never a label by trace, user or prompt hash.

mod encode;
mod experiments;
mod histograms;

use crate::model::delivery::SinkStatus;
use crate::model::meter::{COMMIT_BUCKETS, Disk, Forwarded, Meter, SIGNALS};
use crate::model::metric::Role;
use crate::model::record::{MetricLine, RunRecord};
use crate::model::reject::Reject;
use crate::model::verdict::State;
use crate::model::view::{ArmView, ExperimentView, SiteView, View};
use encode::{Encoder, Kind};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

pub use encode::SERIES_MAX;

/// Content type of the Prometheus text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names that are on the page from the start: of a counter that comes with its first hit,
/// `increase` does not see that hit.
const ORPHANED: [&str; 3] = ["no_call", "session_only", "unknown_response"];

/// The same for limits.
const LIMITS: [&str; 10] = [
    "arms_max",
    "experiments_max",
    "horizon_bytes",
    "join_bytes",
    "names_max",
    "response_ids",
    "runs_max",
    "sealed_unreadable",
    "tally_bytes_max",
    "waiting_scores",
];

/// Writes the page. It remembers the highest count of each arm, because a counter never falls,
/// while calls may be taken back from an arm.
#[derive(Debug, Default)]
pub struct Prometheus {
    tenant: Option<String>,
    highest: Mutex<BTreeMap<[String; 3], Highest>>,
    histograms: Mutex<histograms::Highest>,
}

/// Calls of an arm: the most there ever were, the last count, and how many were taken back.
#[derive(Clone, Copy, Debug, Default)]
struct Highest {
    most: i64,
    last: i64,
    back: i64,
}

impl Prometheus {
    /// Every series has the label `tenant` when there is more than one.
    pub fn of_tenant(tenant: Option<&str>) -> Self {
        Prometheus { tenant: tenant.map(str::to_owned), ..Prometheus::default() }
    }

    /// Content type and text. `accept` is the request's header, `queue_bytes` what waits for
    /// the log and the engine.
    pub fn render(
        &self,
        view: &View,
        meter: &Meter,
        queue_bytes: u64,
        accept: Option<&str>,
    ) -> (&'static str, String) {
        let open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        let mut out = Encoder::new(open, self.tenant.as_deref());
        build_info(&mut out);
        doors(&mut out, meter, queue_bytes);
        engine(&mut out, view);
        self.arms(&mut out, view);
        self.histograms.lock().unwrap_or_else(PoisonError::into_inner).write(&mut out, view);
        metrics(&mut out, view);
        experiments::write(&mut out, view);
        evidence(&mut out, view);
        run_info(&mut out, view);
        (if open { OPEN_METRICS } else { TEXT }, out.finish())
    }

    fn arms(&self, out: &mut Encoder, view: &View) {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        for (experiment, site, arm) in total_arms(view) {
            let key = [experiment.name.clone(), arm.arm.clone(), site.site.clone()];
            // As many as the view has arms, which the engine bounds.
            let seen = highest.entry(key).or_default();
            seen.back += (seen.last - arm.calls).max(0);
            seen.most = arm.calls.max(seen.most);
            seen.last = arm.calls;
        }
        out.family(
            "armspan_arm_calls_total",
            Kind::ShadowedCounter,
            "Calls counted, never falling.",
        );
        for ([experiment, arm, site], calls) in highest.iter() {
            let labels = [("experiment", experiment.as_str()), ("arm", arm), ("site", site)];
            out.sample("armspan_arm_calls_total", &labels, calls.most as f64);
        }
        const BACK: &str = "armspan_arm_calls_retracted_total";
        out.family(BACK, Kind::Counter, "Calls that moved to another arm or run after all.");
        for ([experiment, arm, site], calls) in highest.iter() {
            let labels = [("experiment", experiment.as_str()), ("arm", arm), ("site", site)];
            out.sample(BACK, &labels, calls.back as f64);
        }
        out.family("armspan_arm_calls", Kind::Gauge, "Calls counted now, exactly.");
        for (experiment, site, arm) in total_arms(view) {
            let labels = place(experiment, site, arm);
            out.sample("armspan_arm_calls", &labels, arm.calls as f64);
        }
    }
}

fn build_info(out: &mut Encoder) {
    const NAME: &str = "armspan_build_info";
    out.family(NAME, Kind::Gauge, "Always 1: the version of armspan.");
    out.sample(NAME, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}

/// Requests that went on to another receiver; signals that have none are left away.
fn forwarded(out: &mut Encoder, meter: &Meter) {
    const NAME: &str = "armspan_forwarded_total";
    out.family(NAME, Kind::Counter, "Requests sent on to another receiver, by its answer.");
    for (signal, counters) in SIGNALS.into_iter().zip(&meter.forwarded) {
        let counts = counters.each_ref().map(|counter| counter.load(Relaxed));
        if counts == [0; 3] {
            continue;
        }
        for (outcome, count) in Forwarded::ALL.into_iter().zip(counts) {
            let labels = [("signal", signal), ("outcome", outcome.name())];
            out.sample(NAME, &labels, count as f64);
        }
    }
}

fn doors(out: &mut Encoder, meter: &Meter, queue_bytes: u64) {
    let counters = [
        ("armspan_spans_received_total", "Spans received, accepted or not.", &meter.spans),
        ("armspan_log_records_received_total", "Log records received.", &meter.log_records),
        ("armspan_metric_points_received_total", "Metric points, not used.", &meter.metric_points),
        (
            "armspan_flags_without_variant_total",
            "Flag evaluations that named no variant.",
            &meter.flags_without_variant,
        ),
        ("armspan_bad_values_total", "Values of a wrong type.", &meter.bad_values),
    ];
    for (name, help, counter) in counters {
        out.family(name, Kind::Counter, help);
        out.sample(name, &[], counter.load(Relaxed) as f64);
    }
    out.family("armspan_requests_total", Kind::Counter, "Requests by outcome.");
    let outcomes = [
        ("ok", &meter.requests_ok),
        ("bad", &meter.requests_bad),
        ("busy", &meter.requests_refused),
        ("quota", &meter.requests_over_quota),
    ];
    for (outcome, counter) in outcomes {
        out.sample("armspan_requests_total", &[("outcome", outcome)], counter.load(Relaxed) as f64);
    }
    forwarded(out, meter);
    out.family("armspan_rejected_total", Kind::Counter, "Refused, by reason.");
    for reason in Reject::ALL {
        let count = meter.rejected[reason as usize].load(Relaxed) as f64;
        out.sample("armspan_rejected_total", &[("reason", reason.name())], count);
    }
    let gauges = [
        ("armspan_queue_bytes", "Bytes that wait for the log or the engine.", queue_bytes),
        (
            "armspan_in_flight_bytes",
            "Bytes not yet acknowledged.",
            meter.in_flight_bytes.load(Relaxed),
        ),
        ("armspan_ready", "Whether data is taken.", u64::from(meter.takes())),
    ];
    for (name, help, value) in gauges {
        out.family(name, Kind::Gauge, help);
        out.sample(name, &[], value as f64);
    }
    const DISK: &str = "armspan_log_disk";
    out.family(DISK, Kind::Gauge, "What the log's disk does: 1 at takes, refuses or failed.");
    for state in Disk::ALL {
        out.sample(DISK, &[("state", state.name())], f64::from(u8::from(meter.disk() == state)));
    }
    commits(out, meter);
    sinks(out, meter);
}

/// How the sinks do.
fn sinks(out: &mut Encoder, meter: &Meter) {
    let sinks = meter.sinks.lock().unwrap_or_else(PoisonError::into_inner);
    const SUCCESS: &str = "armspan_export_last_success_timestamp_seconds";
    out.family(SUCCESS, Kind::Gauge, "When a sink got something last.");
    for sink in sinks.values() {
        let at = sink.last_success.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        if let Some(at) = at {
            let seconds = at.as_nanosecond() as f64 / 1e9;
            out.sample(SUCCESS, &[("sink", &sink.name)], seconds);
        }
    }
    let mut counts = |name: &str, kind, help: &str, count: fn(&SinkStatus) -> u64| {
        out.family(name, kind, help);
        for sink in sinks.values() {
            out.sample(name, &[("sink", &sink.name)], count(sink) as f64);
        }
    };
    let (gauge, counter) = (Kind::Gauge, Kind::Counter);
    counts("armspan_export_waiting", gauge, "Items that wait.", |s| s.waiting);
    counts("armspan_export_delivered_total", counter, "Items delivered.", |s| s.delivered);
    counts("armspan_export_refused_total", counter, "Items refused for ever.", |s| s.refused);
    counts("armspan_export_failures_total", counter, "Attempts that failed.", |s| s.failures);
}

fn commits(out: &mut Encoder, meter: &Meter) {
    const NAME: &str = "armspan_log_commit_seconds";
    out.family(NAME, Kind::Histogram, "Times of commits of the log.");
    let mut below = 0;
    for (at, count) in meter.commits.iter().enumerate() {
        below += count.load(Relaxed);
        let bound = COMMIT_BUCKETS.get(at);
        let bound = bound.map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
        out.sample(&format!("{NAME}_bucket"), &[("le", &bound)], below as f64);
    }
    out.sample(&format!("{NAME}_sum"), &[], meter.commit_us.load(Relaxed) as f64 / 1e6);
    out.sample(&format!("{NAME}_count"), &[], below as f64);
}

fn engine(out: &mut Encoder, view: &View) {
    let counts = &view.counts;
    let maps = [
        (
            "armspan_observations_total",
            "kind",
            "Observations applied.",
            &[][..],
            &counts.observations,
        ),
        ("armspan_orphaned_total", "reason", "Scores given up.", &ORPHANED, &counts.orphaned),
        ("armspan_limit_hits_total", "limit", "Limits that were hit.", &LIMITS, &counts.limits),
    ];
    for (name, label, help, known, map) in maps {
        out.family(name, Kind::Counter, help);
        let zeros = known.iter().filter(|known| !map.contains_key(**known)).map(|k| (*k, 0));
        let counted = map.iter().map(|(value, count)| (value.as_str(), *count));
        for (value, count) in zeros.chain(counted) {
            out.sample(name, &[(label, value)], count as f64);
        }
    }
    for (name, help, count) in [
        ("armspan_duplicates_total", "Repeats, not counted.", counts.duplicates),
        ("armspan_conflicts_total", "Repeats with other content.", counts.conflicts),
        ("armspan_late_total", "Later than the horizon, not counted.", counts.late),
    ] {
        out.family(name, Kind::Counter, help);
        out.sample(name, &[], count as f64);
    }
    out.family("armspan_calls", Kind::Gauge, "Calls counted now, by what is known of them.");
    for (state, count) in [
        ("with_arm", counts.with_arm),
        ("with_score", counts.with_score),
        ("unassigned", counts.unassigned),
        ("parked", counts.parked),
    ] {
        out.sample("armspan_calls", &[("state", state)], count as f64);
    }
    const WAITING: &str = "armspan_waiting_scores";
    out.family(WAITING, Kind::Gauge, "Scores that found no call yet.");
    out.sample(WAITING, &[], counts.waiting_scores as f64);
    out.family("armspan_state_bytes", Kind::Gauge, "Bytes of state, by part.");
    for (part, bytes) in &counts.bytes {
        out.sample("armspan_state_bytes", &[("part", part)], *bytes as f64);
    }
}

/// Arms over all epochs.
fn total_arms(view: &View) -> impl Iterator<Item = (&ExperimentView, &SiteView, &ArmView)> {
    let sites = view.experiments.iter().flat_map(|e| e.sites.iter().map(move |site| (e, site)));
    sites.flat_map(|(experiment, site)| {
        let arms = if site.all_epochs.is_empty() { &site.arms } else { &site.all_epochs };
        arms.iter().map(move |arm| (experiment, site, arm))
    })
}

/// Metrics of arms in their current epoch; of several graders the line that pages show.
fn lines(view: &View) -> impl Iterator<Item = ([(&'static str, &str); 3], &MetricLine)> {
    let sites = view.experiments.iter().flat_map(|e| e.sites.iter().map(move |site| (e, site)));
    sites.flat_map(|(experiment, site)| {
        site.arms.iter().flat_map(move |arm| {
            let shown = |line: &&MetricLine| {
                arm.line(&line.name).is_some_and(|shown| std::ptr::eq(shown, *line))
            };
            arm.metrics.iter().filter(shown).map(move |line| (place(experiment, site, arm), line))
        })
    })
}

fn place<'a>(
    experiment: &'a ExperimentView,
    site: &'a SiteView,
    arm: &'a ArmView,
) -> [(&'static str, &'a str); 3] {
    [("experiment", &experiment.name), ("arm", &arm.arm), ("site", &site.site)]
}

fn bounds(
    estimate: f64,
    lower: Option<f64>,
    upper: Option<f64>,
) -> [(&'static str, Option<f64>); 3] {
    [("estimate", Some(estimate)), ("lower", lower), ("upper", upper)]
}

fn metrics(out: &mut Encoder, view: &View) {
    out.family("armspan_arm_metric", Kind::Gauge, "Level of a metric, current epoch.");
    for (place, line) in lines(view) {
        let Some(level) = &line.level else { continue };
        for (bound, value) in bounds(level.estimate, level.lower, level.upper) {
            bounded(out, "armspan_arm_metric", place, line, bound, value);
        }
    }
    out.family("armspan_arm_difference", Kind::Gauge, "Difference from control, current epoch.");
    for (place, line) in lines(view) {
        let Some(found) = &line.difference else { continue };
        for (bound, value) in bounds(found.estimate, found.lower, found.upper) {
            bounded(out, "armspan_arm_difference", place, line, bound, value);
        }
    }
    verdicts(out, view);
}

/// Verdicts of what decides: a 1 for the state that holds and a 0 for every other one, so that a
/// state that ended is seen to have ended.
fn verdicts(out: &mut Encoder, view: &View) {
    let decided = || {
        lines(view).filter_map(|(place, line)| {
            let verdict = line.verdict.as_ref().filter(|verdict| verdict.decides)?;
            Some((place, line, verdict))
        })
    };
    out.family("armspan_verdict", Kind::Gauge, "1 for the state a verdict is in, 0 for others.");
    for ([experiment, arm, site], line, verdict) in decided() {
        for state in State::ALL.map(State::name) {
            let labels = [experiment, arm, site, ("metric", &line.name), ("state", state)];
            let holds = f64::from(u8::from(verdict.state == state));
            out.sample("armspan_verdict", &labels, holds);
        }
    }
    const BREACHED: &str = "armspan_guardrail_breached";
    out.family(BREACHED, Kind::Gauge, "1 from a breach until the experiment is ramped.");
    for ([experiment, arm, site], line, verdict) in decided() {
        if line.role == Role::Guardrail {
            let labels = [experiment, arm, site, ("metric", line.name.as_str())];
            let latched = verdict.breach.is_some() || verdict.state == State::Breached.name();
            out.sample(BREACHED, &labels, f64::from(u8::from(latched)));
        }
    }
}

fn bounded(
    out: &mut Encoder,
    name: &str,
    [experiment, arm, site]: [(&str, &str); 3],
    line: &MetricLine,
    bound: &str,
    value: Option<f64>,
) {
    let labels = [experiment, arm, site, ("metric", line.name.as_str()), ("bound", bound)];
    if let Some(value) = value {
        out.sample(name, &labels, value);
    }
}

fn evidence(out: &mut Encoder, view: &View) {
    let mut sums: BTreeMap<[&str; 3], (i64, i64)> = BTreeMap::new();
    for record in &view.runs {
        for facet in &record.evidence.facets {
            let key = [record.run.experiment.as_str(), &record.run.arm, &facet.facet];
            let sum = sums.entry(key).or_default();
            *sum = (sum.0 + facet.present, sum.1 + record.evidence.calls);
        }
    }
    out.family("armspan_evidence_share", Kind::Gauge, "Share of calls that carry a facet.");
    for ([experiment, arm, facet], (present, calls)) in sums {
        let labels = [("experiment", experiment), ("arm", arm), ("facet", facet)];
        if calls > 0 {
            out.sample("armspan_evidence_share", &labels, present as f64 / calls as f64);
        }
    }
}

fn run_info(out: &mut Encoder, view: &View) {
    out.family("armspan_run_info", Kind::Gauge, "Always 1: what each run is.");
    for record in &view.runs {
        let run = &record.run;
        let labels = [
            ("experiment", run.experiment.as_str()),
            ("arm", &run.arm),
            ("site", &run.site),
            ("run", run.id.get(..12).unwrap_or(&run.id)),
            ("model_revision", revision(record)),
        ];
        out.sample("armspan_run_info", &labels, 1.0);
    }
}

fn revision(record: &RunRecord) -> &str {
    let model = record.config.get("model");
    let text = |name: &str| model.and_then(|model| model.get(name)?.as_str());
    text("revision").or(text("requested")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
