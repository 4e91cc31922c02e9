//! The state of one request's walk: what it defines, counts and appends.

use super::Normalizer;
use super::facets::{Identity, Whose};
use super::gather::Gathered;
use super::memo::Fresh;
use super::recall::Recall;
use super::recent::Recent;
use super::report::{Report, Times, Understood, Witness};
use super::slot::Slot;
use super::table::Carrier;
use super::value::{NAME_BYTES_MAX, Raw, Unread, cut};
use crate::model::canonical::set_id;
use crate::model::codec::Writer;
use crate::model::{
    Assignment, Batch, Call, Define, Field, Observation, Reject, SetId, Sym, UnitHash, Units, Value,
};
use crate::model::{FacetSet, Nanos, SpanId, TraceId};

/// Bytes of definitions that one request may add; beyond them calls have no facet set, counted.
pub const DEFINES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of texts in one facet set; beyond them every text is cut to [`CUT_TEXT_BYTES`].
const SET_BYTES_MAX: usize = 12 * 1024;
/// What texts of a set that is too large are cut to.
const CUT_TEXT_BYTES: usize = 256;

/// One request on its way through.
pub struct Walk<'n, 'o> {
    /// What is shared.
    pub normalizer: &'n Normalizer,
    /// Its limits of time.
    pub times: Times,
    /// Where observations go.
    pub batch: &'o mut Batch,
    writer: Writer,
    /// What is counted.
    pub report: Report,
    /// What is told of each span.
    pub witness: &'o mut dyn Witness,
    /// Whether the witness wants it.
    pub watched: bool,
    /// Class of the error of the call at hand; reused.
    pub class: String,
    fresh: Fresh,
    names: Recall,
    units: Recall,
    defines_before: usize,
}

impl<'n, 'o> Walk<'n, 'o> {
    /// At the start of a request.
    pub fn new(
        normalizer: &'n Normalizer,
        times: Times,
        batch: &'o mut Batch,
        witness: &'o mut dyn Witness,
    ) -> Self {
        let class = std::mem::take(&mut batch.text);
        Walk {
            normalizer,
            times,
            defines_before: batch.defines.len(),
            batch,
            writer: Writer::default(),
            report: Report::default(),
            watched: witness.wants(),
            witness,
            class,
            fresh: Fresh::default(),
            names: Recall::default(),
            units: Recall::default(),
        }
    }

    /// Appends an observation.
    pub fn emit(&mut self, observation: &Observation) {
        self.writer.put(observation, &mut self.batch.observations);
        self.batch.count += 1;
    }

    /// Appends a call.
    pub fn emit_call(&mut self, call: &Call) {
        self.writer.call(call, &mut self.batch.observations);
        self.batch.count += 1;
    }

    /// Appends an assignment.
    pub fn emit_assignment(&mut self, assignment: &Assignment) {
        self.writer.assignment(assignment, &mut self.batch.observations);
        self.batch.count += 1;
    }

    /// The symbol of a name, cut at its limit; defined when the log may not know it.
    pub fn name(&mut self, text: &str) -> Sym {
        let Walk { names, fresh, batch, normalizer, .. } = self;
        // A name that this request said before is known or defined.
        Sym(names.hash(text, |text| {
            let text = cut(text.trim(), NAME_BYTES_MAX);
            let sym = Sym::of(text);
            if !sym.is_none()
                && !normalizer.memo.knows(sym)
                && fresh.names.insert(sym, ()).is_none()
            {
                batch.define(&Define::Name(sym, text.into()));
            }
            sym.0
        }))
    }

    /// The symbol of a slot's text.
    pub fn slot_name(&mut self, gathered: &Gathered<'_>, slot: Slot) -> Sym {
        gathered.get(slot).and_then(Raw::text).map_or(Sym::NONE, |text| self.name(&text))
    }

    /// The keyed hash of a slot's text.
    pub fn slot_unit(&mut self, gathered: &Gathered<'_>, slot: Slot) -> Option<UnitHash> {
        gathered.get(slot).and_then(Raw::text).map(|id| self.unit(&id))
    }

    fn unit(&mut self, id: &str) -> UnitHash {
        UnitHash(self.units.hash(id, |id| self.normalizer.unit(id).0))
    }

    /// All units of a span or record.
    pub fn units(&mut self, gathered: &Gathered<'_>) -> Units {
        Units {
            explicit: self.slot_unit(gathered, Slot::Unit),
            user: self.slot_unit(gathered, Slot::User),
            session: self.slot_unit(gathered, Slot::Session),
            conversation: self.slot_unit(gathered, Slot::Conversation),
        }
    }

    /// The facet set; made canonical only when its raw bytes were never seen.
    pub fn set<'a>(&mut self, identity: &Identity<'_, 'a>, recent: &mut Recent<'a>) -> SetId {
        if !identity.is_worth_it() {
            return SetId::default();
        }
        if let Some(id) = recent.find(identity) {
            return id;
        }
        let id = self.hashed_set(identity);
        // Nothing may also mean that there was no room for its definition: that is counted.
        if id != SetId::default() {
            recent.note(identity, id);
        }
        id
    }

    fn hashed_set(&mut self, identity: &Identity<'_, '_>) -> SetId {
        let memo = &self.normalizer.memo;
        let mut feed = memo.feed();
        identity.feed(&mut feed);
        let raw = feed.hash();
        if let Some(id) = memo.set(raw).or_else(|| self.fresh.sets.get(&raw).copied()) {
            return id;
        }
        let set = bounded(identity.canonical(&self.normalizer.secret));
        let id = if set.is_empty() { SetId::default() } else { set_id(&set) };
        if !set.is_empty() && !self.define(id, set) {
            return SetId::default();
        }
        self.fresh.sets.insert(raw, id);
        self.batch.new_sets.push((raw, id));
        id
    }

    fn define(&mut self, id: SetId, set: FacetSet) -> bool {
        if self.fresh.defined.contains_key(&id) {
            return true;
        }
        if self.batch.defines.len() - self.defines_before > DEFINES_BYTES_MAX {
            self.report.cut_sets += 1;
            return false;
        }
        self.batch.define(&Define::Set(id, set));
        self.fresh.defined.insert(id, ());
        true
    }

    /// Gathers one attribute of a span or record.
    #[inline]
    pub fn attribute<'a>(
        &mut self,
        gathered: &mut Gathered<'a>,
        on: Carrier,
        body: &'a [u8],
    ) -> Result<(), Reject> {
        match gathered.attribute(&self.normalizer.table, on, body) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.report.cut_attributes += 1;
                Ok(())
            }
            Err(Unread::Broken) => Err(Reject::MalformedSpan),
            Err(Unread::Utf8) => Err(Reject::InvalidUtf8),
        }
    }

    /// Which attribute filled a slot.
    pub fn source(&self, gathered: &Gathered<'_>, slots: &[Slot]) -> Option<String> {
        let rank = slots.iter().find_map(|slot| gathered.ranked(*slot))?.1;
        self.normalizer.table.of_rank(rank).map(|meaning| meaning.key.to_string())
    }

    /// Tells the witness, if it wants to know.
    pub fn tell(&mut self, seen: impl FnOnce(&Self) -> Understood) {
        if self.watched {
            let seen = seen(self);
            self.witness.saw(seen);
        }
    }
}

/// What was seen of something that is no call.
pub fn understood(
    kind: &'static str,
    reason: &str,
    dialect: &'static str,
    at: (Option<TraceId>, Option<SpanId>),
    name: &[u8],
) -> Understood {
    Understood {
        kind,
        reason: reason.to_owned(),
        dialect,
        trace_id: at.0,
        span_id: at.1,
        name: cut(&String::from_utf8_lossy(name), NAME_BYTES_MAX).to_owned(),
        response_id: None,
        finish_reasons: Vec::new(),
        error: None,
        unit_from: None,
        session_from: None,
    }
}

/// A probability in millionths; `None` for certainty, for 0 and for what is none.
pub fn ppm(probability: f64) -> Option<u32> {
    (probability > 0.0 && probability < 1.0)
        .then(|| ((probability * 1e6).round_ties_even() as u32).max(1))
}

/// A time, or now when there is none.
pub fn time_or(time: Nanos, now: Nanos) -> Nanos {
    if time == 0 { now } else { time }
}

/// The facets that whoever is no call has.
pub fn whose(role: crate::model::Role) -> Whose {
    match role {
        crate::model::Role::Retrieval => Whose::Retrieval,
        crate::model::Role::Content => Whose::Content,
        _ => Whose::Above,
    }
}

fn bounded(set: FacetSet) -> FacetSet {
    let size = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Number(_) => 8,
        Value::List(list) => list.len() * 16,
    };
    if set.iter().map(|pair| size(pair.1)).sum::<usize>() <= SET_BYTES_MAX {
        return set;
    }
    let short = |(field, value): (Field, &Value)| match value {
        Value::Text(text) => (field, Value::text(cut(text, CUT_TEXT_BYTES))),
        other => (field, other.clone()),
    };
    set.iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certainty_is_no_probability() {
        assert_eq!(ppm(0.25), Some(250_000));
        assert_eq!(ppm(1e-12), Some(1));
        for none in [1.0, 0.0, -1.0, f64::NAN, 2.0] {
            assert_eq!(ppm(none), None);
        }
    }
}
