//! Judgements, from whichever carrier: evaluation events, OpenInference attributes, the output of
//! an evaluator span, the API.

use super::gather::{Family, Gathered, Indexed, Part};
use super::slot::Slot;
use super::value::{NAME_BYTES_MAX, Raw, cut};
use super::walk::{Walk, ppm};
use crate::model::id::keyed_hash;
use crate::model::{Grader, Nanos, Observation, Reject, Score, Sym, Target, TraceId};

/// Scores read from one evaluator's output.
const OUTPUTS_MAX: usize = 64;
/// A value in millionths may be at most this.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A judgement before its names are symbols.
#[derive(Clone, Copy, Default, Debug)]
pub struct Judgement<'t> {
    /// Name of the evaluation.
    pub name: &'t str,
    /// Its value.
    pub value: Option<f64>,
    /// Its label.
    pub label: Option<&'t str>,
    /// The judge failed.
    pub failed: bool,
    /// Who judged: name, version, model; empty when unknown.
    pub grader: [&'t str; 3],
    /// Tells judgements of one grader apart; often a person, so only its hash goes further.
    pub annotator: &'t str,
    /// Identity given by the sender, if any.
    pub id: Option<&'t str>,
    /// When.
    pub time: Nanos,
    /// Chance that the call was picked for grading.
    pub probability: Option<f64>,
}

/// The value of a label that is a word for pass or fail.
pub fn word_value(label: &str) -> Option<f64> {
    const WORDS: [(&str, f64); 8] = [
        ("pass", 1.0),
        ("correct", 1.0),
        ("true", 1.0),
        ("yes", 1.0),
        ("fail", 0.0),
        ("incorrect", 0.0),
        ("false", 0.0),
        ("no", 0.0),
    ];
    WORDS.iter().find(|pair| pair.0.eq_ignore_ascii_case(label)).map(|pair| pair.1)
}

/// A value in millionths, rounded half to even.
fn micro(value: f64) -> Result<i64, Reject> {
    let micro = (value * 1e6).round_ties_even();
    if micro.is_nan() {
        return Err(Reject::MalformedScore);
    }
    if micro.abs() > EXACT_MAX { Err(Reject::ValueOutOfRange) } else { Ok(micro as i64) }
}

/// The score, its names made by `name`.
pub fn score(
    judgement: &Judgement<'_>,
    target: Target,
    mut name: impl FnMut(&str) -> Sym,
) -> Result<Score, Reject> {
    let label = judgement.label.map(str::trim).filter(|label| !label.is_empty());
    let word = label.and_then(word_value);
    let value = judgement.value.or(word).map(micro).transpose()?;
    let silent = value.is_none() && label.is_none();
    if judgement.name.trim().is_empty() || (silent && !judgement.failed) {
        return Err(Reject::MalformedScore);
    }
    let mut score = Score {
        target,
        name: name(judgement.name),
        value_micro: value,
        label: label.filter(|_| word.is_none()).map_or(Sym::NONE, &mut name),
        failed: silent,
        grader: Grader {
            name: name(judgement.grader[0]),
            version: name(judgement.grader[1]),
            model: name(judgement.grader[2]),
        },
        annotator: Sym::of(cut(judgement.annotator.trim(), NAME_BYTES_MAX)),
        id: 0,
        time: judgement.time,
        picked_ppm: judgement.probability.and_then(ppm),
    };
    score.id = identity(judgement.id, &score);
    Ok(score)
}

/// Given by the sender, else of everything that the score says, so that a resend is a repeat.
fn identity(id: Option<&str>, score: &Score) -> u64 {
    const KEY: &[u8; 16] = b"armspan score id";
    match id.filter(|id| !id.is_empty()) {
        Some(id) => keyed_hash(KEY, id.as_bytes()),
        None => {
            let mut bytes = Vec::with_capacity(128);
            score.encode(&mut bytes);
            keyed_hash(KEY, &bytes)
        }
    }
}

impl Walk<'_, '_> {
    /// A `gen_ai.evaluation.result`, or the plain evaluation attributes of a span.
    pub fn score_event(
        &mut self,
        gathered: &Gathered<'_>,
        target: Target,
        time: Nanos,
    ) -> Result<(), Reject> {
        let text = |slot| gathered.get(slot).and_then(Raw::text).unwrap_or_default();
        let (name, label) = (text(Slot::ScoreName), text(Slot::ScoreLabel));
        let grader = [Slot::GraderName, Slot::GraderVersion, Slot::GraderModel].map(text);
        let identifier = text(Slot::ScoreAnnotator);
        let annotator = if identifier.is_empty() { text(Slot::ScoreKind) } else { identifier };
        let judgement = Judgement {
            name: &name,
            value: gathered.get(Slot::ScoreValue).and_then(Raw::number),
            label: Some(&label),
            failed: gathered.has(Slot::ErrorType.bit()),
            grader: [&grader[0], &grader[1], &grader[2]],
            annotator: &annotator,
            id: None,
            time,
            probability: gathered.get(Slot::ScoreProbability).and_then(Raw::number),
        };
        self.judge(&judgement, target)
    }

    /// Appends a score.
    pub fn judge(&mut self, judgement: &Judgement<'_>, target: Target) -> Result<(), Reject> {
        let score = score(judgement, target, |text| self.name(text))?;
        self.emit(&Observation::Score(score));
        self.report.scores += 1;
        Ok(())
    }

    /// Flattened lists of evaluations on a span.
    pub fn score_lists(
        &mut self,
        gathered: &Gathered<'_>,
        own: Target,
        trace: TraceId,
        time: Nanos,
    ) {
        let session = self.slot_unit(gathered, Slot::Session).map(Target::Session);
        let lists = [
            (Family::Evaluations, Some(own)),
            (Family::Annotations, Some(own)),
            (Family::TraceEvaluations, Some(Target::Trace(trace))),
            (Family::SessionEvaluations, session),
        ];
        for (family, target) in lists {
            for first in gathered.list(family).filter(|item| item.part == Part::Name) {
                let judged = target
                    .is_some_and(|target| self.score_item(gathered, first, target, time).is_ok());
                self.report.bad_values += u64::from(!judged);
            }
        }
    }

    fn score_item(
        &mut self,
        gathered: &Gathered<'_>,
        first: &Indexed<'_>,
        target: Target,
        time: Nanos,
    ) -> Result<(), Reject> {
        let member = |part| {
            let mut same = gathered.list(first.family).filter(|item| item.index == first.index);
            same.find(|item| item.part == part).map(|item| item.raw)
        };
        let text = |part| member(part).and_then(Raw::text).unwrap_or_default();
        let (name, label, kind) = (text(Part::Name), text(Part::Label), text(Part::Kind));
        let identifier = text(Part::Id);
        let judgement = Judgement {
            name: &name,
            value: member(Part::Score).and_then(Raw::number),
            label: Some(&label),
            annotator: if identifier.is_empty() { &kind } else { &identifier },
            time,
            ..Judgement::default()
        };
        self.judge(&judgement, target)
    }

    /// Scores inside the output of an evaluator span: a JSON list of {name, score, label,
    /// metadata.{trace_id, model}}.
    pub fn score_output(&mut self, gathered: &Gathered<'_>, trace: TraceId, time: Nanos) {
        let Some(output) = gathered.get(Slot::OutputValue).map(Raw::opened) else { return };
        let mut left = OUTPUTS_MAX;
        output.each(|item| {
            let text = |key| item.get(key).and_then(Raw::text).unwrap_or_default();
            let (name, label) = (text("name"), text("label"));
            if name.is_empty() || left == 0 {
                return;
            }
            left -= 1;
            let metadata = item.get("metadata").unwrap_or_default();
            let judged = metadata.get("trace_id").and_then(Raw::text);
            let judged = judged.and_then(|id| TraceId::from_hex(&id)).unwrap_or(trace);
            let model = metadata.get("model").and_then(Raw::text).unwrap_or_default();
            let judgement = Judgement {
                name: &name,
                value: item.get("score").and_then(Raw::number),
                label: Some(&label),
                grader: ["", "", &model],
                time,
                ..Judgement::default()
            };
            let judged = self.judge(&judgement, Target::Trace(judged));
            self.report.bad_values += u64::from(judged.is_err());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(judgement: Judgement<'_>) -> Result<Score, Reject> {
        score(&judgement, Target::Trace(TraceId(1)), Sym::of)
    }

    #[test]
    fn words_for_pass_and_fail_are_values() {
        let named = Judgement { name: "n", ..Judgement::default() };
        let pass = made(Judgement { label: Some("Pass"), ..named }).expect("score");
        assert_eq!((pass.value_micro, pass.label), (Some(1_000_000), Sym::NONE));
        let both =
            made(Judgement { label: Some("pass"), value: Some(0.83), ..named }).expect("score");
        assert_eq!((both.value_micro, both.label), (Some(830_000), Sym::NONE));
        let label = made(Judgement { label: Some("friendly"), ..named }).expect("score");
        assert_eq!((label.value_micro, label.label), (None, Sym::of("friendly")));
        let failed = made(Judgement { failed: true, ..named }).expect("score");
        assert!(failed.failed && failed.value_micro.is_none());
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        let named = Judgement { name: "n", ..Judgement::default() };
        assert_eq!(made(named), Err(Reject::MalformedScore));
        assert_eq!(
            made(Judgement { name: " ", value: Some(1.0), ..named }),
            Err(Reject::MalformedScore)
        );
        assert_eq!(made(Judgement { value: Some(f64::NAN), ..named }), Err(Reject::MalformedScore));
        assert_eq!(made(Judgement { value: Some(1e10), ..named }), Err(Reject::ValueOutOfRange));
    }

    #[test]
    fn a_resend_has_the_same_identity_and_a_correction_another() {
        let one = Judgement { name: "n", value: Some(0.5), time: 7, ..Judgement::default() };
        let id = |judgement| made(judgement).expect("score").id;
        assert_eq!(id(one), id(one));
        assert_ne!(id(one), id(Judgement { value: Some(0.6), ..one }));
        assert_ne!(id(one), id(Judgement { time: 8, ..one }));
        assert_eq!(
            id(Judgement { id: Some("x"), ..one }),
            id(Judgement { id: Some("x"), time: 9, ..one })
        );
    }
}
