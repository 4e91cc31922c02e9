//! What became of every candidate of a trace, for `armspan explain`.

use super::facts::Tools;
use super::resolve::{self, Fate};
use super::{Join, facts, resolve_one};
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
        let Some(trace) = self.traces.get(&id) else { return Vec::new() };
        let (arms, _) = resolve::arms(trace, context);
        let all = resolve_one(id, trace, context, dictionary, &mut self.memo).facts;
        let mut out = Vec::new();
        for (at, fate) in resolve::fates(trace) {
            let Some(candidate) = trace.spans[at].candidate() else { continue };
            let resolved =
                resolve::resolve_call(trace, at, &arms, context, dictionary, &mut self.memo);
            let call = candidate.call;
            let tools = Tools { context, dictionary, memo: &mut self.memo };
            let cost_nano = facts::cost(&call, &resolved, &tools);
            let facts = all.iter().filter(|f| f.span == call.place.span).copied().collect();
            out.push(Explained { fate, resolved, call, cost_nano, facts });
        }
        out
    }
}
