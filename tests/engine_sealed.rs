//! Memory decides nothing: a day's traffic through an engine that keeps hardly any trace and
//! hardly any unit in memory gives the sums that an engine with room for all of them gives. The
//! demo's traffic has what makes that hard: flags that become experiments, units that are settled
//! later, scores that come late and mature, settings that change.

use armspan::app::fold::Fold;
use armspan::app::replay;
use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::settings;
use armspan::cli::demo::traffic::Traffic;
use armspan::engine::fact::ArmKey;
use armspan::model::canonical::jcs;
use armspan::model::{Batch, Body, MINUTE, Measure, Nanos, SECOND, Settings, Sym};
use armspan::normalize::{Blind, Times};
use prost::Message;
use std::collections::BTreeMap;

const BASE: Nanos = 1_795_000_000 * SECOND;
const MINUTES: u64 = 90;
/// When settings change.
const CHANGE: u64 = 55;

/// Calls, sums by measure: (n, y, w), of all epochs and facet sets of an arm at a site.
type Sums = BTreeMap<(Sym, Sym, Sym), (i64, BTreeMap<Measure, (i64, i128, i128)>)>;

fn feed(scenario: Scenario, settings: Settings, change: impl Fn(&mut Settings)) -> Fold {
    let dir = std::env::temp_dir();
    let config = settings::config(scenario, &dir).expect("config");
    let normalizer = replay::normalizer(&config);
    let (limits, mut changed) = (settings.limits.clone(), settings.clone());
    let mut fold = Fold::new(settings);
    let mut traffic = Traffic::new(scenario, 7, BASE);
    for minute in 0..MINUTES {
        let (from, to) = (BASE + minute * MINUTE, BASE + (minute + 1) * MINUTE);
        let sent = traffic.between(from, to);
        let mut batch = Batch::default();
        let (traces, logs) = (sent.traces.encode_to_vec(), sent.logs.encode_to_vec());
        normalizer.traces(&traces, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        normalizer.logs(&logs, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        if !batch.is_empty() {
            fold.push(sent.latest, Body::Batch(batch.payload()));
            normalizer.durable(&batch);
        }
        fold.push(to.max(sent.latest), Body::Tick);
        if minute == CHANGE {
            change(&mut changed);
            changed.limits = limits.clone();
            changed.horizon = Settings::NO_HORIZON;
            let json = serde_json::to_value(&changed).expect("settings");
            fold.push(to, Body::Config(jcs(&json)));
        }
    }
    fold.finish();
    fold
}

fn sums(fold: &Fold) -> Sums {
    let mut out = Sums::new();
    for (key, run) in fold.engine.tally().runs() {
        let line = out.entry((key.experiment, key.site, key.arm)).or_default();
        line.0 += run.calls;
        for (measure, sums) in run.measures.iter() {
            let all = line.1.entry(*measure).or_default();
            *all = (all.0 + sums.n, all.1 + sums.y, all.2 + sums.w);
        }
    }
    out.values_mut().for_each(|line| line.1.retain(|_, sums| *sums != (0, 0, 0)));
    out.retain(|_, line| *line != (0, BTreeMap::new()));
    out
}

/// Units of arms, and by arm of first exposure.
fn units(fold: &Fold) -> BTreeMap<(Sym, Sym, Sym), (i64, i64)> {
    let tally = fold.engine.tally();
    let mut out = BTreeMap::new();
    for (key, _) in tally.runs() {
        let arm = ArmKey { epoch: 1, ..key.arm_key() };
        let exposed = tally.exposed(key.experiment).get(&key.arm).copied().unwrap_or(0);
        let units = tally.units_of(arm, Sym::NONE);
        out.insert((key.experiment, key.site, key.arm), (units, exposed));
    }
    out
}

fn both(scenario: Scenario, own: impl Fn(&mut Settings), change: impl Fn(&mut Settings) + Copy) {
    let config = settings::config(scenario, &std::env::temp_dir()).expect("config");
    let mut roomy = config.settings();
    own(&mut roomy);
    roomy.limits.join_bytes_max = 1 << 30;
    let mut cramped = roomy.clone();
    cramped.limits.join_bytes_max = 48 << 10;
    cramped.limits.unit_cache_bytes = 12 << 10;
    let (roomy, cramped) = (feed(scenario, roomy, change), feed(scenario, cramped, change));
    assert_eq!(roomy.shelved(), 0);
    assert!(cramped.shelved() > 1_000, "{} records left memory", cramped.shelved());
    let (expected, got) = (sums(&roomy), sums(&cramped));
    assert!(expected.values().map(|line| line.0).sum::<i64>() > 1_000);
    let scored = |line: &(i64, BTreeMap<Measure, _>)| {
        line.1.keys().any(|measure| matches!(measure, Measure::Coverage(_)))
    };
    assert!(expected.values().any(scored), "scores mature");
    for (key, line) in &expected {
        assert_eq!(got.get(key), Some(line), "{key:?}");
    }
    assert_eq!(got.len(), expected.len());
    assert_eq!(units(&cramped), units(&roomy));
    let (mut a, mut b) = (roomy.engine.view().counts, cramped.engine.view().counts);
    for counts in [&mut a, &mut b] {
        counts.bytes.clear();
        counts.limits.clear();
    }
    assert_eq!(a, b);
}

#[test]
fn a_day_is_the_same_with_hardly_any_memory() {
    both(Scenario::RevisionChange, |_| {}, |_| {});
}

#[test]
fn settings_that_change_reach_what_left_memory() {
    let change = |settings: &mut Settings| {
        settings.observed.push("sampling".into());
        for metric in settings.metrics.values_mut() {
            metric.matures_after = Some(armspan::model::settings::Span::seconds(40 * 60));
        }
    };
    both(Scenario::Null, |_| {}, change);
}

#[test]
fn a_flag_becomes_an_experiment_with_what_left_memory() {
    let forget = |settings: &mut Settings| settings.experiments.clear();
    both(Scenario::RevisionChange, forget, |_| {});
}
