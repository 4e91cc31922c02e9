//! Facts: what one call or score adds to the sums, after all joins. A fact is a plain value that
//! names everything by content (symbols, set ids), so that any partition can add it, and taking
//! it back is adding it with the opposite sign.

use crate::model::observation::Grader;
use crate::model::{Finish, Nanos, Operation, SetId, SpanId, Sym, TraceId, UnitHash, UnitKind};
use serde::{Deserialize, Serialize};

/// One millionth: the scale of weights.
pub const MICRO: u64 = 1_000_000;

/// Which tally a fact goes to.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct RunKey {
    /// The experiment.
    pub experiment: Sym,
    /// The call site.
    pub site: Sym,
    /// The arm.
    pub arm: Sym,
    /// The epoch.
    pub epoch: u32,
    /// The exact identifying facet set, before folding.
    pub set: SetId,
}

/// How a unit was drawn into its arm.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Draw {
    /// The planned split that was in force, by its place in the experiment's list.
    pub plan: u32,
    /// The logged probability of the arm, in thousandths; 0 when none was logged.
    pub chance: u16,
}

impl Draw {
    /// Of a logged probability in millionths.
    pub fn new(plan: u32, chance_ppm: Option<u32>) -> Self {
        let chance = chance_ppm.map_or(0, |ppm| (ppm / 1_000).clamp(1, 1_000) as u16);
        Draw { plan, chance }
    }

    /// Whether it went as planned: a share, when the plan says one.
    pub fn as_planned(&self, share: Option<f64>) -> bool {
        let planned = share.map(|share| (share * 1e3).round() as i32);
        self.chance == 0 || planned.is_some_and(|own| (own - i32::from(self.chance)).abs() <= 1)
    }
}

/// An arm at a site in an epoch: what is compared.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ArmKey {
    /// The experiment.
    pub experiment: Sym,
    /// The call site.
    pub site: Sym,
    /// The epoch.
    pub epoch: u32,
    /// The arm.
    pub arm: Sym,
}

impl RunKey {
    /// The arm that a run belongs to.
    pub fn arm_key(&self) -> ArmKey {
        let RunKey { experiment, site, arm, epoch, .. } = *self;
        ArmKey { experiment, site, epoch, arm }
    }
}

/// What a call or a score adds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// To which run.
    pub run: RunKey,
    /// Its unit: what was randomised, or the trace when that is unknown.
    pub unit: UnitHash,
    /// What the unit is.
    pub kind: UnitKind,
    /// The call's trace.
    pub trace: TraceId,
    /// The call's span.
    pub span: SpanId,
    /// End of the call: the minute it belongs to.
    pub end: Nanos,
    /// How its unit was drawn.
    pub draw: Draw,
    /// What was known of the unit before its exposure, in millionths.
    pub covariate: Option<i64>,
    /// What it adds.
    pub body: FactBody,
}

/// What is added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum FactBody {
    /// A call.
    Call(CallFact),
    /// A score of the call.
    Score {
        /// Name of the evaluation.
        name: Sym,
        /// Who judged.
        grader: Grader,
        /// Value in millionths, or none when there is only a label.
        value_micro: Option<i64>,
        /// A label.
        label: Sym,
        /// Weight in millionths.
        weight_micro: u64,
    },
    /// A matured call, scored or missing, of a declared score metric.
    Coverage {
        /// The metric.
        metric: Sym,
        /// Whether it has a score.
        scored: bool,
        /// What the score stands for, in millionths: the inverse of its chance to be picked.
        picked_micro: u64,
        /// From the end of the call to its score, microseconds.
        delay_us: Option<u64>,
        /// Weight in millionths.
        weight_micro: u64,
    },
}

/// The numbers of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct CallFact {
    /// Its full facet set: observed values and the service to blame.
    pub full: SetId,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Weight in millionths: the inverse of the sampling probability, and the planned share
    /// over the logged probability of the arm.
    pub weight_micro: u64,
    /// How many calls it stands for, in millionths: the inverse of the sampling probability.
    pub sampled_micro: u64,
    /// What was asked for.
    pub operation: Operation,
    /// It failed.
    pub failed: bool,
    /// Why it ended, as bits.
    pub finish: u8,
    /// From start to end, microseconds.
    pub latency_us: u64,
    /// To the first token, microseconds.
    pub first_token_us: Option<u64>,
    /// Input tokens.
    pub tokens_in: Option<u64>,
    /// Output tokens.
    pub tokens_out: Option<u64>,
    /// Cost, nano-USD.
    pub cost_nano: Option<u64>,
    /// Input hash of an offline case.
    pub input: Sym,
    /// How often its span came again; not counted.
    pub repeats: u32,
}

impl CallFact {
    /// Its finish reasons.
    pub fn finish(&self) -> Finish {
        Finish(self.finish)
    }
}

/// A unit that was seen to be given an arm, without a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Exposure {
    /// The experiment.
    pub experiment: Sym,
    /// The arm.
    pub arm: Sym,
    /// The unit.
    pub unit: UnitHash,
    /// When.
    pub at: Nanos,
    /// How it was drawn.
    pub draw: Draw,
}
