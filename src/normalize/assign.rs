//! Which arm a trace is in, as a span, an event or a log record tells it.

use super::gather::{Family, Gathered};
use super::json;
use super::slot::{Slot, Slots, bits};
use super::value::Raw;
use super::walk::{Walk, ppm};
use crate::model::{Assignment, Nanos, Source, SpanId, Sym, TraceId};

/// Experiments told by one span's tags: what is beyond is not read.
const TAGS_MAX: usize = 32;
/// GrowthBook's tag for LLM tracers: `gb.exp:KEY=VARIATION`.
const GROWTHBOOK_TAG: &str = "gb.exp:";

/// Slots that tell an arm, besides those of a flag evaluation.
const TELLS: Slots = bits(&[Slot::Arm, Slot::MappedArm, Slot::TagArm, Slot::Tags]);

/// Where and when it was told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The trace.
    pub trace: TraceId,
    /// The span, or none.
    pub span: SpanId,
    /// When.
    pub time: Nanos,
}

impl Walk<'_, '_> {
    /// A flag evaluation; how many assignments it gave (0 or 1).
    pub fn assign_flag(&mut self, gathered: &Gathered<'_>, told: Told, source: Source) -> u64 {
        let Some(assignment) = self.flag(gathered, told, source) else { return 0 };
        self.assigned(&assignment);
        1
    }

    /// What a flag evaluation says.
    pub fn flag(
        &mut self,
        gathered: &Gathered<'_>,
        told: Told,
        source: Source,
    ) -> Option<Assignment> {
        let key = gathered.get(Slot::FlagKey).and_then(Raw::text)?;
        let Some(variant) = gathered.get(Slot::FlagVariant).and_then(Raw::text) else {
            self.report.flags_without_variant += 1;
            return None;
        };
        self.assignment(gathered, told, source, (&key, &variant), Slot::FlagContext)
    }

    /// Appends an assignment that was told.
    pub fn assigned(&mut self, assignment: &Assignment) {
        self.emit_assignment(assignment);
        self.report.assignments += 1;
    }

    /// What else a span or record says: our attributes, mapping rules, other tools' tags.
    /// `own` says whether a slot's value is its own and not its resource's.
    pub fn assign_told(
        &mut self,
        gathered: &Gathered<'_>,
        told: Told,
        own: impl Fn(Slot) -> bool,
    ) -> u64 {
        if !gathered.has(TELLS) && gathered.indexed.is_empty() {
            return 0;
        }
        let before = self.report.assignments;
        if let (true, Some(arm)) = (own(Slot::Arm), text(gathered, Slot::Arm)) {
            if let Some(experiment) =
                self.experiment(gathered, &[Slot::Experiment, Slot::MappedExperiment])
            {
                self.assign(gathered, told, Source::Ours, (&experiment, &arm), Slot::Unit);
            }
        } else if let (true, Some(arm)) = (own(Slot::MappedArm), text(gathered, Slot::MappedArm))
            && let Some(experiment) =
                self.experiment(gathered, &[Slot::MappedExperiment, Slot::Experiment])
        {
            self.assign(gathered, told, Source::Mapping, (&experiment, &arm), Slot::Unit);
        }
        self.assign_tags(gathered, told);
        self.report.assignments - before
    }

    fn assign_tags(&mut self, gathered: &Gathered<'_>, told: Told) {
        if let Some(arm) = text(gathered, Slot::TagArm)
            && let Some(experiment) = self.experiment(gathered, &[Slot::TagExperiment])
        {
            self.assign(gathered, told, Source::Tag, (&experiment, &arm), Slot::Unit);
        }
        for item in gathered.list(Family::Experiments).take(TAGS_MAX) {
            if let Some(arm) = item.raw.text().filter(|_| !item.name.is_empty()) {
                self.assign(gathered, told, Source::Tag, (item.name, &arm), Slot::Unit);
            }
        }
        let Some(tags) = gathered.get(Slot::Tags) else { return };
        let mut left = TAGS_MAX;
        let mut take = |raw: Raw<'_>| {
            if let (true, Some(tag)) = (left > 0, raw.text())
                && let Some((key, arm)) =
                    tag.strip_prefix(GROWTHBOOK_TAG).and_then(|tag| tag.split_once('='))
            {
                left -= 1;
                self.assign(gathered, told, Source::Tag, (key, arm), Slot::Unit);
            }
        };
        match tags {
            Raw::Text(tag) if !json::is_container(tag) => take(tags),
            _ => tags.each(take),
        }
    }

    fn experiment<'a>(
        &self,
        gathered: &Gathered<'a>,
        slots: &[Slot],
    ) -> Option<std::borrow::Cow<'a, str>> {
        let told = slots.iter().find_map(|slot| text(gathered, *slot));
        told.or_else(|| self.normalizer.only_experiment().map(|name| name.to_owned().into()))
    }

    fn assign(
        &mut self,
        gathered: &Gathered<'_>,
        told: Told,
        source: Source,
        names: (&str, &str),
        unit: Slot,
    ) {
        if let Some(assignment) = self.assignment(gathered, told, source, names, unit) {
            self.assigned(&assignment);
        }
    }

    fn assignment(
        &mut self,
        gathered: &Gathered<'_>,
        told: Told,
        source: Source,
        (experiment, arm): (&str, &str),
        unit: Slot,
    ) -> Option<Assignment> {
        let (experiment, arm) = (self.name(experiment), self.name(arm));
        if experiment == Sym::NONE || arm == Sym::NONE {
            return None;
        }
        let chance = gathered.get(Slot::AssignmentProbability).and_then(Raw::number);
        Some(Assignment {
            trace: Some(told.trace),
            span: told.span,
            experiment,
            arm,
            unit: self.slot_unit(gathered, unit),
            source,
            time: told.time,
            assigned_ppm: chance.and_then(ppm),
            service: self.slot_name(gathered, Slot::CodeService),
        })
    }
}

fn text<'a>(gathered: &Gathered<'a>, slot: Slot) -> Option<std::borrow::Cow<'a, str>> {
    gathered.get(slot).and_then(Raw::text)
}
