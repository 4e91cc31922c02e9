//! Whether a config makes sense. Every fault is collected, so that one run shows them all.

use super::error::{Fault, nearest};
use super::file::File;
use crate::model::entry::UnitKind;
use crate::model::facet::{FIELDS, Use};
use crate::model::metric::{Metric, Origin, Role, built_in};
use crate::model::settings::{Experiment, Span};
use std::collections::BTreeSet;

/// Longest name of an experiment, arm, metric or attribute, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Attributes of one mapped field at most.
pub const MAPPED_MAX: usize = 32;

/// Fields that a mapping can give besides the facets.
pub const MAPPED: [&str; 8] =
    ["experiment", "arm", "unit", "user", "session", "conversation", "site", "response_id"];

/// Collects what is wrong.
#[derive(Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Notes a fault at a key.
    pub fn add(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.0.push(Fault { key: key.into(), what: what.into() });
    }

    fn expect(&mut self, holds: bool, key: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.add(key, what());
        }
    }
}

/// Everything that can be said without looking at the machine.
pub fn check(file: &File, faults: &mut Faults) {
    mapping(file, faults);
    observed(file, faults);
    experiments(file, faults);
    for (name, metric) in &file.metrics {
        let key = format!("metrics.{name}");
        named(name, &key, faults);
        metric_faults(metric, &key, faults);
    }
    prices(file, faults);
    times(file, faults);
    sizes(file, faults);
    links(file, faults);
    sinks(file, faults);
    for (key, what) in file.forward.iter().flat_map(|forward| forward.faults()) {
        faults.add(format!("forward.{key}"), what);
    }
}

fn named(name: &str, key: &str, faults: &mut Faults) {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    faults.expect(fits, key, || format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    faults.expect(!name.contains(char::is_control), key, || {
        "a name has no control characters".into()
    });
}

fn mapping(file: &File, faults: &mut Faults) {
    let known = || FIELDS.iter().map(|row| row.1).chain(MAPPED);
    for (field, attributes) in &file.mapping {
        let key = format!("mapping.{field}");
        if !known().any(|name| name == field) {
            let hint = nearest(field, known()).map(|name| format!("; did you mean \"{name}\"?"));
            faults.add(&key, format!("unknown field{}", hint.unwrap_or_default()));
        }
        let fits = !attributes.is_empty() && attributes.len() <= MAPPED_MAX;
        faults.expect(fits, &key, || format!("give 1 to {MAPPED_MAX} attributes"));
        attributes.iter().for_each(|attribute| named(attribute, &key, faults));
    }
}

fn observed(file: &File, faults: &mut Faults) {
    let facets = || FIELDS.iter().filter(|row| row.2 != Use::Context);
    let known: BTreeSet<&str> =
        facets().flat_map(|row| [row.1, row.1.split('.').next().unwrap_or_default()]).collect();
    for (at, name) in file.identity.observed.iter().enumerate() {
        if !known.contains(name.as_str()) {
            let hint = nearest(name, known.iter().copied());
            let hint = hint.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            faults
                .add(format!("identity.observed[{at}]"), format!("unknown facet \"{name}\"{hint}"));
        }
    }
}

fn experiments(file: &File, faults: &mut Faults) {
    let limit = file.limits.experiments_max as usize;
    faults.expect(file.experiments.len() <= limit, "experiments", || {
        format!("more than limits.experiments_max, {limit}")
    });
    let built = built_in();
    let metrics: BTreeSet<&str> =
        built.iter().map(|pair| pair.0).chain(file.metrics.keys().map(String::as_str)).collect();
    for (name, experiment) in &file.experiments {
        let key = format!("experiments.{name}");
        named(name, &key, faults);
        arms(experiment, file.limits.arms_max as usize, &key, faults);
        family(experiment, &metrics, &key, faults);
        unit_and_alpha(experiment, &key, faults);
    }
}

fn arms(experiment: &Experiment, limit: usize, key: &str, faults: &mut Faults) {
    let split = &experiment.split;
    let at = format!("{key}.split");
    faults.expect(split.len() <= limit, &at, || format!("more than limits.arms_max, {limit}"));
    split.keys().for_each(|arm| named(arm, &at, faults));
    let shares = split.values().all(|share| share.is_finite() && *share > 0.0);
    faults.expect(shares, &at, || "every share is above 0".into());
    let sum: f64 = split.values().sum();
    let whole = split.is_empty() || (sum - 1.0).abs() <= 1e-6;
    faults.expect(whole, &at, || format!("the shares sum to {sum}, not to 1"));
    if let Some(control) = &experiment.control {
        let at = format!("{key}.control");
        named(control, &at, faults);
        let planned = split.is_empty() || split.contains_key(control);
        faults.expect(planned, &at, || format!("arm \"{control}\" has no share in split"));
    }
}

fn family(experiment: &Experiment, metrics: &BTreeSet<&str>, key: &str, faults: &mut Faults) {
    let family = &experiment.family;
    let parts = [("primary", &family.primary), ("rollback", &family.rollback)];
    let mut members = BTreeSet::new();
    for (part, names) in parts {
        for name in names {
            let at = format!("{key}.family.{part}");
            faults.expect(members.insert(name.as_str()), &at, || {
                format!("metric \"{name}\" is in the family twice")
            });
            if !metrics.contains(name.as_str()) {
                let hint = nearest(name, metrics.iter().copied());
                let hint = hint.map(|n| format!("; did you mean \"{n}\"?")).unwrap_or_default();
                faults.add(&at, format!("metric \"{name}\" is not declared{hint}"));
            }
        }
    }
    for (name, weight) in &family.weights {
        let at = format!("{key}.family.weights.{name}");
        faults.expect(members.contains(name.as_str()), &at, || "is not in the family".into());
        faults.expect(weight.is_finite() && *weight > 0.0, &at, || "a weight is above 0".into());
    }
}

fn unit_and_alpha(experiment: &Experiment, key: &str, faults: &mut Faults) {
    if let Some(unit) = &experiment.unit {
        faults.expect(UnitKind::from_name(unit).is_some(), &format!("{key}.unit"), || {
            format!(
                "\"{unit}\" is no unit; write user.id, session.id, conversation.id, \
                 armspan.unit.id or trace"
            )
        });
    }
    if let Some(alpha) = experiment.alpha {
        let fits = alpha > 0.0 && alpha <= 0.5;
        faults.expect(fits, &format!("{key}.alpha"), || "lies above 0 and up to 0.5".into());
    }
    experiment.sites.iter().for_each(|site| named(site, &format!("{key}.sites"), faults));
}

fn metric_faults(metric: &Metric, key: &str, faults: &mut Faults) {
    if let Some([low, high]) = metric.range {
        let fits = low.is_finite() && high.is_finite() && low < high;
        faults.expect(fits, &format!("{key}.range"), || {
            format!("[{low}, {high}] is no range: the first number is below the second")
        });
    }
    if let Some(quantile) = metric.quantile {
        let at = format!("{key}.quantile");
        faults.expect(quantile > 0.0 && quantile < 1.0, &at, || "lies between 0 and 1".into());
        faults.expect(metric.from.has_histogram(), &at, || {
            "only latency, time_to_first_token, tokens and cost have quantiles".into()
        });
    }
    let scored = metric.from == Origin::Score;
    let only_scores = |part: &str| format!("only a metric from scores has a {part}");
    let lone = metric.grader.is_none() || scored;
    faults.expect(lone, &format!("{key}.grader"), || only_scores("grader"));
    let lone = metric.score.is_none() || scored;
    faults.expect(lone, &format!("{key}.score"), || only_scores("score"));
    let positive = metric.effect_scale.is_none_or(|scale| scale.is_finite() && scale > 0.0);
    faults.expect(positive, &format!("{key}.effect_scale"), || "is above 0".into());
    guardrail_faults(metric, key, faults);
}

fn guardrail_faults(metric: &Metric, key: &str, faults: &mut Faults) {
    use crate::model::metric::Margin::{Absolute, Relative};
    let guards = metric.role == Role::Guardrail;
    let positive = match metric.margin {
        Some(Absolute(margin) | Relative(margin)) => margin.is_finite() && margin > 0.0,
        None => true,
    };
    let at = format!("{key}.margin");
    faults.expect(positive, &at, || "is above 0".into());
    faults.expect(guards || metric.margin.is_none(), &at, || "needs role: guardrail".into());
    let at = format!("{key}.ceiling");
    faults.expect(guards || metric.ceiling.is_none(), &at, || "needs role: guardrail".into());
    let finite = metric.ceiling.is_none_or(f64::is_finite);
    faults.expect(finite, &at, || "is a finite number".into());
}

fn prices(file: &File, faults: &mut Faults) {
    for (model, price) in &file.prices {
        let key = format!("prices.{model}");
        named(model, &key, faults);
        let numbers = [Some(price.input), price.cached_input, Some(price.output)];
        let fits = numbers.iter().flatten().all(|usd| usd.is_finite() && *usd >= 0.0);
        faults.expect(fits, &key, || "a price is not below 0".into());
        let fits = price.per.is_finite() && price.per > 0.0;
        faults.expect(fits, &format!("{key}.per"), || "is above 0".into());
    }
}

fn times(file: &File, faults: &mut Faults) {
    const MINUTE: Span = Span::seconds(60);
    faults.expect(file.horizon >= MINUTE, "horizon", || "is at least 1m".into());
    let fits = file.assignment_wait <= file.horizon;
    faults.expect(fits, "assignment_wait", || "is at most the horizon".into());
    faults.expect(file.epoch_min >= MINUTE, "epoch_min", || "is at least 1m".into());
    let fits = file.matures_after <= file.horizon;
    faults.expect(fits, "matures_after", || "is at most the horizon".into());
    let fits = file.snapshot.every >= Span::seconds(1);
    faults.expect(fits, "snapshot.every", || "is at least 1s".into());
    let fits = file.log.keep.is_none_or(|keep| keep >= file.horizon);
    faults.expect(fits, "log.keep", || format!("is at least the horizon, {}", file.horizon));
}

fn sizes(file: &File, faults: &mut Faults) {
    let limits = &file.limits;
    let fits = limits.in_flight_bytes_max >= limits.request_bytes_max;
    faults.expect(fits, "limits.in_flight_bytes_max", || {
        "is at least limits.request_bytes_max, or the largest request never passes".into()
    });
    let fits = file.log.segment_bytes.0 >= 1 << 20 && file.log.segment_bytes.0 <= 1 << 30;
    faults.expect(fits, "log.segment_bytes", || "lies between 1MiB and 1GiB".into());
    let counts = [
        ("limits.experiments_max", limits.experiments_max),
        ("limits.arms_max", limits.arms_max),
        ("limits.runs_max", limits.runs_max),
        ("limits.metrics_max", limits.metrics_max),
        ("limits.assignments_max", limits.assignments_max),
        ("limits.facet_values_max", limits.facet_values_max),
        ("limits.names_max", limits.names_max),
    ];
    for (key, count) in counts {
        faults.expect(count > 0, key, || "is at least 1".into());
    }
}

fn sinks(file: &File, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for (at, sink) in file.sinks.iter().enumerate() {
        for (key, what) in sink.settings().faults() {
            faults.add(format!("sinks[{at}].{key}"), what);
        }
        let name = sink.name();
        faults.expect(names.insert(name.clone()), &format!("sinks[{at}]"), || {
            format!("{name} is there twice: what is delivered would be delivered twice")
        });
    }
    let fits = file.outbox.keep >= Span::seconds(86_400);
    faults.expect(fits, "outbox.keep", || "is at least 1d".into());
    let fits = file.outbox.keep_bytes_max.0 >= 64 << 20;
    faults.expect(fits, "outbox.keep_bytes_max", || "is at least 64MiB".into());
}

fn links(file: &File, faults: &mut Faults) {
    let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    if let Some(url) = &file.links.dashboard {
        faults.expect(is_web(url), "links.dashboard", || "is an http or https URL".into());
    }
    let Some(template) = &file.links.trace else { return };
    let web = is_web(template);
    faults.expect(web && template.contains("{trace_id}"), "links.trace", || {
        "is an http or https URL that contains {trace_id}".into()
    });
}
