//! Histories of what decides, as charts draw them.

use super::Picture;
use super::metrics::Beyond;
use crate::engine::watch::assess::{ArmAssessment, Assessed, SiteAssessment};
use crate::engine::watch::memory::Look;
use crate::model::Sym;
use crate::model::metric::{Direction, Margin};
use crate::model::view::{Band, BandPoint};

/// Bands of one view at most; the API has all.
const BANDS_MAX: usize = 256;

/// Of every deciding metric in its current epoch.
pub(super) fn bands(picture: &Picture<'_>) -> Vec<Band> {
    let mut out = Vec::new();
    for experiment in picture.engine.visible() {
        let Some(found) = picture.assessment(experiment) else { continue };
        for site in found.sites.iter().filter(|site| site.current && site.decides) {
            for arm in &site.arms {
                let decides = arm.lines.iter().filter(|l| l.part.is_some() && l.ruling.is_some());
                out.extend(decides.filter_map(|line| band(picture, experiment, site, arm, line)));
            }
        }
    }
    out.sort_by(|a, b| (&a.experiment, &a.site, &a.arm).cmp(&(&b.experiment, &b.site, &b.arm)));
    out.truncate(BANDS_MAX);
    out
}

fn band(
    picture: &Picture<'_>,
    experiment: Sym,
    site: &SiteAssessment<'_>,
    arm: &ArmAssessment<'_>,
    line: &Assessed<'_>,
) -> Option<Band> {
    let engine = picture.engine;
    let text = |sym: Sym| engine.dictionary.text(sym).to_owned();
    let control = engine.context.experiments.get(&experiment)?.control?;
    let level = |line: &Assessed<'_>| line.level.map(|level| level.estimate);
    let own = |one: &&Assessed<'_>| one.line.matches(&line.line);
    let base = site.arms.iter().find(|one| one.arm == control)?.lines.iter().find(own);
    let history = &engine.watch.memory(experiment)?.lines.get(&line.key(site, arm.arm))?.history;
    Some(Band {
        experiment: engine.experiment_name(experiment),
        site: text(site.site),
        arm: text(arm.arm),
        control: text(control),
        metric: line.line.definition.name.clone(),
        unit: Beyond::of([site]).unit(&line.line).to_owned(),
        state: line.ruling.as_ref()?.state.name().to_owned(),
        margin: margin(line, base.and_then(level)),
        points: history.iter().map(point).collect(),
    })
}

/// The difference at which the margin is, with its sign.
fn margin(line: &Assessed<'_>, control: Option<f64>) -> Option<f64> {
    let size = match line.line.definition.metric.margin? {
        Margin::Absolute(size) => size,
        Margin::Relative(share) => share * control?,
    };
    match line.line.direction() {
        Direction::Decrease => Some(size),
        Direction::Increase => Some(-size),
        Direction::Unknown => None,
    }
}

fn point(look: &Look) -> BandPoint {
    let finite = |bound: f64| Some(bound).filter(|b| b.is_finite());
    let (lower, upper) = (finite(look.lower), finite(look.upper));
    BandPoint { at: look.at(), estimate: look.estimate, lower, upper }
}
