//! An experiment as wide as limits allow, 32 arms of 20 metrics, with the histories that the
//! engine keeps; and a thousand small ones. Both are made from the demo's figures. What uses it
//! brings `model`, the crate's, into scope: the bench and the unit tests of the pages do.

use super::model::View;
use super::model::delivery::Cut;
use super::model::record::{MetricLine, RunRecord};
use super::model::view::{ArmView, Band, BandPoint};

/// As many as an experiment may have.
pub const ARMS: usize = 32;
/// Of each arm.
pub const METRICS: usize = 20;
/// Looks that the engine keeps of what decides, `watch::memory`.
const LOOKS: u64 = 256;
/// Histories of one view, `view::bands`.
const BANDS: usize = 256;

fn cut() -> Cut {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cut.json"));
    serde_json::from_str(text).expect("a cut")
}

fn name(arm: usize) -> String {
    if arm == 0 { "A".to_owned() } else { format!("arm-{arm:02}") }
}

fn id(arm: usize) -> String {
    format!("{:032x}", 0x9f0c_1d2e_u128 << 96 | arm as u128)
}

/// A figure that differs from arm to arm.
fn moved(value: &mut f64, arm: usize) {
    *value *= 1.0 + (arm * 37 % 101) as f64 / 1000.0;
}

/// More scores, until there are enough.
fn widened(lines: &[MetricLine], arm: usize) -> Vec<MetricLine> {
    let score = lines.iter().find(|line| line.scored.is_some()).expect("a score");
    let more = (0..METRICS - lines.len())
        .map(|at| MetricLine { name: format!("evaluation_{at}"), ..score.clone() });
    let mut out: Vec<MetricLine> = lines.iter().cloned().chain(more).collect();
    for line in &mut out {
        for found in line.level.iter_mut() {
            let figures = [Some(&mut found.estimate), found.lower.as_mut(), found.upper.as_mut()];
            figures.into_iter().flatten().for_each(|figure| moved(figure, arm));
        }
        for found in line.difference.iter_mut() {
            let figures = [Some(&mut found.estimate), found.lower.as_mut(), found.upper.as_mut()];
            figures.into_iter().flatten().for_each(|figure| moved(figure, arm));
        }
    }
    out
}

fn arm(of: &[ArmView], arm: usize) -> ArmView {
    let like = &of[if arm == 0 { 0 } else { 1 + arm % 2 }];
    let metrics = widened(&like.metrics, arm);
    ArmView { arm: name(arm), runs: vec![id(arm)], metrics, ..like.clone() }
}

fn record(of: &[RunRecord], view: &ArmView, number: usize) -> RunRecord {
    let mut record = of[number % of.len()].clone();
    (record.run.arm, record.run.id) = (view.arm.clone(), id(number));
    (record.run.control, record.window.epoch) = (view.control, 2);
    record.metrics.clone_from(&view.metrics);
    record
}

/// The history of a metric that decides: narrower from look to look.
fn band(view: &ArmView, line: &MetricLine, end: u64) -> Option<Band> {
    let found = line.difference.as_ref().filter(|_| line.decides())?;
    let point = |at: u64| {
        let half =
            found.estimate.abs() * 40.0 / (at as f64 + 10.0) * (1.0 + (at % 7) as f64 / 50.0);
        let estimate = found.estimate * (1.0 + (at % 11) as f64 / 40.0);
        let (lower, upper) = (Some(estimate - half), Some(estimate + half));
        BandPoint { at: end - (LOOKS - at) * 120_000_000_000, estimate, lower, upper }
    };
    Some(Band {
        experiment: "support-bot".to_owned(),
        site: "answer".to_owned(),
        arm: view.arm.clone(),
        control: name(0),
        metric: line.name.clone(),
        unit: line.unit.clone(),
        state: line.verdict.as_ref()?.state.clone(),
        margin: Some(found.estimate / 2.0),
        points: (0..LOOKS).map(point).collect(),
    })
}

/// One experiment, 32 arms × 20 metrics.
pub fn wide() -> View {
    let mut cut = cut();
    let experiment = &mut cut.experiments[0];
    let arms: Vec<ArmView> = (0..ARMS).map(|at| arm(&experiment.sites[0].arms, at)).collect();
    assert!(arms.iter().all(|arm| arm.metrics.len() == METRICS));
    experiment.arms = (0..ARMS).map(name).collect();
    let pairs = arms.iter().flat_map(|arm| arm.metrics.iter().map(move |line| (arm, line)));
    let bands = pairs.filter_map(|(arm, line)| band(arm, line, cut.at)).take(BANDS).collect();
    let runs = arms.iter().enumerate().map(|(at, arm)| record(&cut.records, arm, at)).collect();
    experiment.sites[0].all_epochs.clone_from(&arms);
    experiment.sites[0].arms = arms;
    View {
        position: cut.position,
        log_time: cut.at,
        experiments: cut.experiments,
        runs,
        bands,
        ..View::default()
    }
}

/// The page with every arm open.
pub fn all_open() -> String {
    let names: Vec<String> = (0..ARMS).map(name).collect();
    format!("/experiments/support-bot?open={}", names.join(","))
}

/// A thousand experiments.
pub fn many() -> View {
    let cut = cut();
    let mut experiments = Vec::new();
    for at in 0..1_000 {
        let mut one = cut.experiments[0].clone();
        one.name = format!("experiment-{at:04}");
        experiments.push(one);
    }
    View { position: cut.position, log_time: cut.at, experiments, ..View::default() }
}
