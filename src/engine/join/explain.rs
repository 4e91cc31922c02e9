//! What became of every candidate of a trace, for `armspan explain`.

use super::facts::{Resolution, Tools};
use super::resolve::{self, Arm, Arms, Fate, Fates};
use super::{Join, facts};
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::engine::fact::Fact;
use crate::model::{Call, TraceId};

/// One call of a trace as `explain` shows it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What becomes of the candidate.
    pub fate: Fate,
    /// After all joins.
    pub resolved: resolve::Resolved,
    /// Its experiments and arms.
    pub arms: Vec<Arm>,
    /// What its span said.
    pub call: Call,
    /// Cost, nano-USD, prices included.
    pub cost_nano: Option<u64>,
    /// Its facts in each experiment.
    pub facts: Vec<Fact>,
}

impl Join {
    /// What became of every candidate of a trace.
    pub fn explain(
        &mut self,
        id: TraceId,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> Vec<Explained> {
        let Some(trace) = self.trace(id) else { return Vec::new() };
        let arms = Arms::of(&trace, context).list;
        let mut tools = Tools { context, dictionary, memo: &mut self.memo };
        let all = Resolution::of(id, &trace, &mut tools);
        let mut out = Vec::new();
        for (at, fate) in Fates::of(&trace).iter() {
            let Some(candidate) = trace.candidate(at) else { continue };
            let resolved = resolve::resolve_call(&trace, at, context, tools.dictionary, tools.memo);
            let (call, arms) = (candidate.call, arms.clone());
            let cost_nano = facts::cost(&call, &resolved, &mut tools);
            let facts = all.facts.iter().filter(|f| f.span == call.place.span).copied().collect();
            out.push(Explained { fate, resolved, arms, call, cost_nano, facts });
        }
        out
    }
}
