//! Epochs: a stretch of a site during which no arm's configuration changed. A new one opens when
//! a facet set that the arm is not known to serve takes a good part of its calls for three
//! closed minutes, or when the planned split changes.

use super::{ChangeEvent, Scene, SiteWatch, unnumbered};
use crate::model::facet::FacetSet;
use crate::model::{Decision, MINUTE, Nanos, SetId, Settled, Sym, minute_of};
use std::collections::{BTreeMap, BTreeSet};

/// Closed minutes in a row that a new set must be seen in.
const MINUTES: u32 = 3;
/// Its share of the arm's calls in each of them, in percent.
const SHARE_MIN_PERCENT: i64 = 20;
/// Its calls in each of them.
const CALLS_MIN: i64 = 5;

/// Calls of an arm by set.
type BySet = BTreeMap<SetId, i64>;

/// Looks for sets that are new to an arm: opens an epoch, or notes a change when the last epoch
/// is too young.
pub fn look(
    watch: &mut SiteWatch,
    experiment: Sym,
    site: Sym,
    closed: u32,
    scene: &Scene<'_>,
    out: &mut Vec<Decision>,
) {
    let current = scene.context.current_epoch(experiment, site).copied();
    let mut opens = false;
    for arm in arms(experiment, site, scene) {
        let strong = strong(experiment, site, arm, closed, scene);
        let overall = overall(experiment, site, arm, scene);
        let known = watch.arms.entry(arm).or_default();
        if known.established.is_empty() {
            known.established = usual(&overall);
            continue;
        }
        let size = known_size(&known.established, &overall, scene);
        let fresh: Vec<SetId> = strong
            .into_iter()
            .filter(|set| !known.established.contains(set))
            .filter(|set| scene.dictionary.set(*set).len() >= size)
            .collect();
        if fresh.is_empty() {
            continue;
        }
        let young = |epoch: &super::super::context::Epoch| {
            let since = u64::from(closed.saturating_sub(epoch.minute)) * MINUTE;
            since < scene.context.settings.epoch_min.0
        };
        if current.as_ref().is_some_and(young) {
            let before = most_used(&known.established, &overall);
            known.established.extend(&fresh);
            fresh.iter().for_each(|set| note(watch, experiment, site, arm, before, *set, scene));
        } else {
            opens = true;
        }
    }
    if opens {
        let epoch = current.map_or(1, |epoch| epoch.epoch) + 1;
        let minute = minute_of(scene.now) + 1;
        out.push(unnumbered(experiment, site, Settled::Epoch { epoch, minute }));
    }
}

/// An epoch was opened: what is strong now is what the arms are known to serve from now on.
pub fn opened(
    watch: &mut SiteWatch,
    experiment: Sym,
    site: Sym,
    closed: u32,
    epoch: u32,
    minute: u32,
    scene: &Scene<'_>,
) {
    for arm in arms(experiment, site, scene) {
        let strong = strong(experiment, site, arm, closed, scene);
        if strong.is_empty() {
            continue;
        }
        let overall = overall(experiment, site, arm, scene);
        let known = watch.arms.entry(arm).or_default();
        let before = most_used(&known.established, &overall);
        let fresh: Vec<SetId> = strong.difference(&known.established).copied().collect();
        known.established = strong;
        fresh.iter().for_each(|set| note(watch, experiment, site, arm, before, *set, scene));
    }
    watch.push(ChangeEvent {
        at: u64::from(minute) * MINUTE,
        arm: Sym::NONE,
        field: "epoch".into(),
        from: Some((epoch - 1).to_string()),
        to: Some(epoch.to_string()),
    });
}

/// Epochs for a split that changed, at every site.
pub fn split_changed(experiment: Sym, scene: &Scene<'_>) -> Vec<Decision> {
    let minute = minute_of(scene.now) + 1;
    let open = |site: Sym| {
        let current = scene.context.current_epoch(experiment, site);
        let epoch = current.map_or(1, |epoch| epoch.epoch) + 1;
        unnumbered(experiment, site, Settled::Epoch { epoch, minute })
    };
    super::sites(experiment, scene.tally).into_iter().map(open).collect()
}

/// Writes the fields in which two sets differ on the time line.
fn note(
    watch: &mut SiteWatch,
    experiment: Sym,
    site: Sym,
    arm: Sym,
    before: Option<SetId>,
    after: SetId,
    scene: &Scene<'_>,
) {
    let at = first_seen(experiment, site, arm, after, scene);
    let old = before.map(|set| scene.dictionary.set(set)).unwrap_or_default();
    for (field, from, to) in differing(&old, &scene.dictionary.set(after)) {
        watch.push(ChangeEvent { at, arm, field, from, to });
    }
}

/// Fields in which two sets differ, with both values.
pub fn differing(old: &FacetSet, new: &FacetSet) -> Vec<(String, Option<String>, Option<String>)> {
    let fields: BTreeSet<_> = old.iter().chain(new.iter()).map(|pair| pair.0).collect();
    fields
        .into_iter()
        .map(|field| (field, old.get(field), new.get(field)))
        .filter(|row| row.1 != row.2)
        .map(|(field, a, b)| {
            (field.path().to_owned(), a.map(|v| v.display()), b.map(|v| v.display()))
        })
        .collect()
}

/// Sets with ≥ 20 % and ≥ 5 of the arm's calls in each of the last closed minutes.
fn strong(experiment: Sym, site: Sym, arm: Sym, closed: u32, scene: &Scene<'_>) -> BTreeSet<SetId> {
    let minutes = closed.saturating_sub(MINUTES - 1)..=closed;
    let mut common: Option<BTreeSet<SetId>> = None;
    for minute in minutes {
        let mut calls = BySet::new();
        for (key, run) in scene.tally.runs_of(experiment) {
            if (key.site, key.arm) == (site, arm) {
                *calls.entry(key.set).or_default() += run.calls_in(minute);
            }
        }
        let total: i64 = calls.values().sum();
        let enough = |n: i64| n >= CALLS_MIN && n * 100 >= total * SHARE_MIN_PERCENT;
        let here = calls.into_iter().filter(|row| enough(row.1)).map(|row| row.0).collect();
        common = Some(match common {
            None => here,
            Some(before) => before.intersection(&here).copied().collect(),
        });
    }
    common.unwrap_or_default()
}

/// Calls of an arm by set, over all epochs.
fn overall(experiment: Sym, site: Sym, arm: Sym, scene: &Scene<'_>) -> BySet {
    let mut calls = BySet::new();
    for (key, run) in scene.tally.runs_of(experiment) {
        if (key.site, key.arm) == (site, arm) {
            *calls.entry(key.set).or_default() += run.calls;
        }
    }
    calls
}

/// What an arm is taken to serve when it is first looked at.
fn usual(overall: &BySet) -> BTreeSet<SetId> {
    let total: i64 = overall.values().sum();
    if total < CALLS_MIN {
        return BTreeSet::new();
    }
    let enough = |n: i64| n * 100 >= total * SHARE_MIN_PERCENT;
    overall.iter().filter(|row| enough(*row.1)).map(|row| *row.0).collect()
}

fn most_used(sets: &BTreeSet<SetId>, overall: &BySet) -> Option<SetId> {
    sets.iter().copied().max_by_key(|set| (overall.get(set).copied().unwrap_or(0), *set))
}

/// Number of facets of the usual set: a smaller one is a partial set, not a change.
fn known_size(sets: &BTreeSet<SetId>, overall: &BySet, scene: &Scene<'_>) -> usize {
    most_used(sets, overall).map_or(0, |set| scene.dictionary.set(set).len())
}

fn first_seen(experiment: Sym, site: Sym, arm: Sym, set: SetId, scene: &Scene<'_>) -> Nanos {
    let runs = scene.tally.runs_of(experiment);
    runs.filter(|(key, _)| (key.site, key.arm, key.set) == (site, arm, set))
        .filter_map(|(_, run)| run.seen)
        .map(|seen| seen.0)
        .min()
        .unwrap_or(scene.now)
}

fn arms(experiment: Sym, site: Sym, scene: &Scene<'_>) -> BTreeSet<Sym> {
    let runs = scene.tally.runs_of(experiment).filter(|pair| pair.0.site == site);
    runs.map(|pair| pair.0.arm).collect()
}
