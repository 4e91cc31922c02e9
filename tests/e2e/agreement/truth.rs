//! The figures of the API's document, against which every surface is held: numbers as they are,
//! and the texts that `model::human` makes of them.

use super::traffic::ARMS;
use armspan::model::human;
use armspan::model::record::MetricLine;
use armspan::model::view::{ArmView, ExperimentView, SiteView};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The document, and as it came.
pub struct Truth {
    pub view: ExperimentView,
    pub json: Json,
}

/// What people read of a line.
pub struct Said {
    pub level: String,
    pub bounds: Option<String>,
    pub difference: Option<String>,
    pub interval: Option<String>,
}

pub fn said(line: &MetricLine) -> Said {
    let (unit, found) = (line.unit.as_str(), line.difference.as_ref());
    Said {
        level: human::line(line),
        bounds: line.level.as_ref().and_then(|level| human::bounds(level, unit)),
        difference: found.map(|found| human::difference(found.estimate, unit)),
        interval: found.map(|found| human::interval(found.lower, found.upper, unit)),
    }
}

/// ` +4.90 pp better` of a line that decides.
pub fn decided(line: &MetricLine) -> String {
    let by = said(line).difference.map(|by| format!(" {by}")).unwrap_or_default();
    line.verdict.as_ref().map_or(by.clone(), |verdict| format!("{by} {}", verdict.state))
}

/// Its number in JSON, digit for digit: equal texts are equal bits.
pub fn bits(json: &Json) -> String {
    json.to_string()
}

impl Truth {
    pub fn of(json: Json) -> Truth {
        let view = ExperimentView::deserialize(&json).expect("an experiment");
        Truth { view, json }
    }

    pub fn site(&self) -> &SiteView {
        &self.view.sites[0]
    }

    pub fn arm(&self, name: &str) -> &ArmView {
        self.site().arms.iter().find(|arm| arm.arm == name).expect(name)
    }

    /// The lines of an arm as they came.
    pub fn lines_json(&self, arm: &str) -> &Json {
        let arms = self.json["sites"][0]["arms"].as_array().expect("arms");
        &arms.iter().find(|one| one["arm"] == arm).expect(arm)["metrics"]
    }

    /// The lines that a table with one line a metric shows.
    pub fn shown<'a>(&'a self, arm: &'a ArmView) -> impl Iterator<Item = &'a MetricLine> {
        let shown = |line: &&MetricLine| std::ptr::eq(arm.line(&line.name).expect("a line"), *line);
        arm.metrics.iter().filter(shown)
    }

    /// A walk over figures that are all alike would prove little.
    pub fn is_worth_walking(&self) {
        let site = self.site();
        assert_eq!(self.view.sites.len(), 1);
        assert_eq!(site.arms.iter().map(|arm| arm.arm.as_str()).collect::<Vec<_>>(), ARMS);
        let lines = || site.arms.iter().flat_map(|arm| &arm.metrics);
        let states: BTreeSet<&str> =
            lines().filter_map(|line| Some(line.verdict.as_ref()?.state.as_str())).collect();
        for state in ["better", "breached", "healthy", "inconclusive"] {
            assert!(states.contains(state), "no verdict is {state}: {states:?}");
        }
        let units: BTreeSet<&str> = lines().map(|line| line.unit.as_str()).collect();
        assert_eq!(units.len(), 6, "{units:?}");
        let b = self.arm("B");
        let of_mood = || b.metrics.iter().filter(|line| line.name == "mood");
        assert_eq!(of_mood().count(), 2, "two graders");
        for line in of_mood().chain(b.line("rating")) {
            let texts = said(line);
            let all = [Some(texts.level), texts.difference, texts.interval, texts.bounds];
            for text in all.into_iter().flatten() {
                assert!(!text.contains('%') && !text.contains("pp"), "{}: {text}", line.name);
            }
        }
        let sentence = &b.line("rating").and_then(|l| l.verdict.as_ref()).expect("rating").sentence;
        assert!(!sentence.contains("pp") && !sentence.contains('%'), "{sentence}");
    }
}
