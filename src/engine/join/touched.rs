//! The traces that an entry touches, with what they gave before, in the order in which they were
//! touched. The room they take is used again by the next entry.

use super::facts::Resolution;
use super::trace::Trace;
use crate::model::{Nanos, TraceId};
use hashbrown::HashMap;

/// Traces whose room is kept.
const KEPT_MAX: usize = 1_024;
/// Spans of a trace whose room is kept.
const SPANS_KEPT_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    list: Vec<Touch>,
    used: usize,
    index: HashMap<TraceId, usize>,
}

/// One of them.
#[derive(Clone, Debug, Default)]
pub struct Touch {
    /// Which trace.
    pub id: TraceId,
    /// As it is by now.
    pub trace: Trace,
    /// What it gave before.
    pub before: Resolution,
    /// Its latest end and when it was due, as the agendas have it; zeros when it is new.
    pub was: (Nanos, Nanos),
}

// === impl Touched ===

impl Touched {
    /// The place of a trace that was touched already. Spans of one trace mostly come one after
    /// the other.
    pub fn find(&self, id: TraceId) -> Option<usize> {
        let last = self.used.checked_sub(1)?;
        if self.list[last].id == id {
            return Some(last);
        }
        self.index.get(&id).copied()
    }

    /// A new place, with an empty trace.
    pub fn open(&mut self, id: TraceId) -> usize {
        let at = self.used;
        if at == self.list.len() {
            self.list.push(Touch::default());
        }
        let touch = &mut self.list[at];
        touch.id = id;
        touch.trace.clear();
        touch.before.clear();
        touch.was = (0, 0);
        self.index.insert(id, at);
        self.used += 1;
        at
    }

    /// The one at a place.
    pub fn at(&mut self, place: usize) -> &mut Touch {
        &mut self.list[place]
    }

    /// All of them.
    pub fn all(&mut self) -> &mut [Touch] {
        &mut self.list[..self.used]
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.used = 0;
        self.index.clear();
        self.list.truncate(KEPT_MAX);
        let large = |touch: &&mut Touch| touch.trace.spans.capacity() > SPANS_KEPT_MAX;
        self.list.iter_mut().filter(large).for_each(|touch| *touch = Touch::default());
    }
}
