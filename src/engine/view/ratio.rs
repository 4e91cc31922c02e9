//! The sample ratio as documents show it.

use super::Picture;
use crate::judge::family::ALPHA_TRUST;
use crate::model::Sym;
use crate::model::record::SampleRatio;

/// Units by arm of first exposure, the planned shares, and whether they agree.
pub(super) fn sample_ratio(picture: &Picture<'_>, experiment: Sym) -> SampleRatio {
    let engine = picture.engine;
    let name = engine.experiment_name(experiment);
    let expected =
        engine.settings().experiments.get(&name).map(|e| e.split.clone()).unwrap_or_default();
    let exposed = engine.tally().exposed(experiment).into_iter();
    let units = exposed.map(|(arm, n)| (engine.dictionary().text(arm).to_owned(), n)).collect();
    let found = picture.assessment(experiment);
    let log_e = found.and_then(|found| found.ratio.log_e);
    let largest = found.map_or(0.0, |found| found.ratio_log_e);
    let state = match log_e {
        None => "unknown",
        Some(_) if largest >= (1.0 / ALPHA_TRUST).ln() => "mismatch",
        Some(_) => "ok",
    };
    let p = log_e.map(|_| (-largest).exp().min(1.0));
    SampleRatio { state: state.into(), log_e, p, expected, units }
}
