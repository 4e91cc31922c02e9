//! What is known of one trace: its spans, what log events add to them, assignments and scores.
//! Adding is idempotent and does not depend on the order, so a trace is a set of observations.

use crate::model::observation::Role;
use crate::model::shelf::Part;
use crate::model::{
    Assignment, Call, Covariate, Facets, Finish, Link, Nanos, Place, Score, SetId, SpanId, Sym,
    TraceId, UnitHash, Units,
};

/// Everything known of one trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Sorted by span id.
    pub spans: Vec<Node>,
    /// Candidates for calls, in the order in which they came.
    pub calls: Vec<Candidate>,
    /// What spans add that are no candidates, in the order in which they came.
    pub facets: Vec<Facets>,
    /// What log events add to spans, sorted, each once.
    pub contents: Vec<Content>,
    /// Sorted, each once.
    pub assignments: Vec<Assignment>,
    /// The winning score of every slot, sorted by slot.
    pub scores: Vec<Score>,
    /// The covariate of its unit: of several the one that came first, by end, span and value.
    pub covariate: Option<(Nanos, SpanId, i64)>,
    /// Log time when it was last resolved: decides what has matured.
    pub resolved_at: Nanos,
    /// Latest end of anything in it.
    pub newest: Nanos,
    /// When it has to be resolved again; 0 for never.
    pub due: Nanos,
    /// The part in which it was sealed last; 0 when it never left memory.
    pub part: Part,
}

/// One span.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its id.
    pub span: SpanId,
    /// Its parent.
    pub parent: SpanId,
    /// When it ended.
    pub end: Nanos,
    /// What it is.
    pub kind: NodeKind,
}

/// What a span is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// A candidate for a call, by its place in [`Trace::calls`].
    Call(u32),
    /// A span that adds facets, by its place in [`Trace::facets`].
    Facets(u32),
    /// A span that only links.
    Link,
}

/// A candidate for a call, and how far it got.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// What its span said.
    pub call: Call,
    /// Log time when it came.
    pub received: Nanos,
    /// Set when it is first counted: how many decisions were applied then.
    pub counted_at: Option<u32>,
    /// How often it came again.
    pub repeats: u32,
}

/// What a log event adds to the span it names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Content {
    /// The span.
    pub span: SpanId,
    /// Facets.
    pub set: SetId,
    /// Finish reasons, as bits.
    pub finish: u8,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Units: explicit, user, session, conversation.
    pub units: [Option<UnitHash>; 4],
    /// Response id.
    pub response: Option<UnitHash>,
}

/// What adding an observation did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// Something new.
    New,
    /// It was there already.
    Repeat,
    /// Its id was there with other content; the first one stays.
    Conflict,
}

// === impl Trace ===

impl Trace {
    /// Adds a candidate.
    pub fn add_call(&mut self, call: &Call, received: Nanos) -> Added {
        self.grow(call.place.end);
        match self.find(call.place.span) {
            Ok(at) => match self.candidate_mut(at) {
                Some(known) => {
                    known.repeats += 1;
                    if known.call == *call { Added::Repeat } else { Added::Conflict }
                }
                None => Added::Conflict,
            },
            Err(at) => {
                self.calls.push(Candidate { call: *call, received, counted_at: None, repeats: 0 });
                self.insert(at, &call.place, NodeKind::Call(self.calls.len() as u32 - 1))
            }
        }
    }

    /// Adds what another span or a log event tells.
    pub fn add_facets(&mut self, facets: &Facets) -> Added {
        self.grow(facets.place.end);
        if facets.role == Role::Content {
            return insert_sorted(&mut self.contents, Content::of(facets));
        }
        match self.find(facets.place.span) {
            Ok(at) => match self.facets_of(at) {
                Some(known) if known == facets => Added::Repeat,
                _ => Added::Conflict,
            },
            Err(at) => {
                self.facets.push(*facets);
                self.insert(at, &facets.place, NodeKind::Facets(self.facets.len() as u32 - 1))
            }
        }
    }

    /// Adds a link.
    pub fn add_link(&mut self, link: &Link) -> Added {
        self.grow(link.place.end);
        match self.find(link.place.span) {
            Ok(_) => Added::Repeat,
            Err(at) => self.insert(at, &link.place, NodeKind::Link),
        }
    }

    /// Adds a covariate.
    pub fn add_covariate(&mut self, told: &Covariate) {
        self.grow(told.place.end);
        let told = (told.place.end, told.place.span, told.value_micro);
        self.covariate = Some(self.covariate.map_or(told, |known| known.min(told)));
    }

    /// Adds an assignment.
    pub fn add_assignment(&mut self, assignment: &Assignment, not_before: Nanos) -> Added {
        self.grow(assignment.time.max(not_before));
        insert_by(&mut self.assignments, *assignment, |a| {
            (a.source, a.experiment, a.arm, a.time, a.span, a.unit, a.service, a.assigned_ppm)
        })
    }

    /// Adds a score: the greatest (time, id) of a slot wins, whatever the order of arrival.
    pub fn add_score(&mut self, score: &Score, not_before: Nanos) -> Added {
        self.grow(not_before);
        match self.scores.binary_search_by_key(&slot(score), slot) {
            Err(at) => {
                self.scores.insert(at, *score);
                Added::New
            }
            Ok(at) if self.scores[at].id == score.id => Added::Repeat,
            Ok(at) => {
                let known = &mut self.scores[at];
                if (score.time, score.id) > (known.time, known.id) {
                    *known = *score;
                }
                Added::New
            }
        }
    }

    /// The user of the first of its calls, in the order of their ids.
    pub fn first_user(&self) -> Option<UnitHash> {
        self.spans.iter().find_map(|node| self.call_of(node))?.call.units.user
    }

    /// The place of a span.
    pub fn find(&self, span: SpanId) -> Result<usize, usize> {
        self.spans.binary_search_by_key(&span, |node| node.span)
    }

    /// Places of the spans above one, nearest first. Stops at a gap or a cycle.
    pub fn ancestors(&self, at: usize) -> impl Iterator<Item = usize> {
        let (mut here, mut left) = (at, self.spans.len());
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let above = self.find(self.spans[here].parent).ok()?;
            if above == at {
                return None;
            }
            here = above;
            Some(above)
        })
    }

    /// Log events of a span.
    pub fn contents_of(&self, span: SpanId) -> &[Content] {
        let from = self.contents.partition_point(|content| content.span < span);
        let to = self.contents.partition_point(|content| content.span <= span);
        &self.contents[from..to]
    }

    /// Whether it says something of an experiment.
    pub fn names(&self, experiment: Sym) -> bool {
        self.assignments.iter().any(|told| told.experiment == experiment)
    }

    /// Whether a call of it waits to be counted.
    pub fn is_parked(&self) -> bool {
        self.calls.iter().any(|candidate| candidate.counted_at.is_none())
    }

    /// Forgets everything but the room it takes.
    pub fn clear(&mut self) {
        let Trace { spans, calls, facets, contents, assignments, scores, .. } = self;
        spans.clear();
        calls.clear();
        facets.clear();
        contents.clear();
        assignments.clear();
        scores.clear();
        self.covariate = None;
        (self.resolved_at, self.newest, self.due, self.part) = (0, 0, 0, 0);
    }

    /// The candidate at a place, when it is one.
    pub fn candidate(&self, at: usize) -> Option<&Candidate> {
        self.call_of(&self.spans[at])
    }

    /// The candidate of a span, when it is one.
    pub fn call_of(&self, node: &Node) -> Option<&Candidate> {
        match node.kind {
            NodeKind::Call(place) => self.calls.get(place as usize),
            _ => None,
        }
    }

    /// The candidate at a place, to be changed.
    pub fn candidate_mut(&mut self, at: usize) -> Option<&mut Candidate> {
        match self.spans[at].kind {
            NodeKind::Call(place) => self.calls.get_mut(place as usize),
            _ => None,
        }
    }

    fn facets_of(&self, at: usize) -> Option<&Facets> {
        match self.spans[at].kind {
            NodeKind::Facets(place) => self.facets.get(place as usize),
            _ => None,
        }
    }

    /// A span's own facets; zero when it has none.
    pub fn set(&self, at: usize) -> SetId {
        let own = self.candidate(at).map(|candidate| candidate.call.set);
        own.or_else(|| self.facets_of(at).map(|facets| facets.set)).unwrap_or_default()
    }

    /// A span's own units.
    pub fn units(&self, at: usize) -> Units {
        let own = self.candidate(at).map(|candidate| candidate.call.units);
        own.or_else(|| self.facets_of(at).map(|facets| facets.units)).unwrap_or_default()
    }

    /// A span's own seed.
    pub fn seed(&self, at: usize) -> Option<i64> {
        let own = self.candidate(at).map(|candidate| candidate.call.seed);
        own.or_else(|| self.facets_of(at).map(|facets| facets.seed)).flatten()
    }

    /// Whether a span has this role.
    pub fn is(&self, at: usize, role: Role) -> bool {
        self.facets_of(at).is_some_and(|facets| facets.role == role)
    }

    /// Whether any span has this role.
    pub fn has(&self, role: Role) -> bool {
        self.facets.iter().any(|facets| facets.role == role)
    }

    fn grow(&mut self, end: Nanos) {
        self.newest = self.newest.max(end);
    }

    fn insert(&mut self, at: usize, place: &Place, kind: NodeKind) -> Added {
        let node = Node { span: place.span, parent: place.parent, end: place.end, kind };
        self.spans.insert(at, node);
        Added::New
    }
}

// === impl Content ===

impl Content {
    fn of(facets: &Facets) -> Self {
        let units = facets.units;
        Content {
            span: facets.place.span,
            set: facets.set,
            finish: facets.finish.0,
            seed: facets.seed,
            units: [units.explicit, units.user, units.session, units.conversation],
            response: facets.response,
        }
    }

    /// Its units.
    pub fn units(&self) -> Units {
        let [explicit, user, session, conversation] = self.units;
        Units { explicit, user, session, conversation }
    }

    /// Its finish reasons.
    pub fn finish(&self) -> Finish {
        Finish(self.finish)
    }
}

type Slot = (crate::model::Target, crate::model::Sym, crate::model::Grader, crate::model::Sym);

/// A slot: target, metric, grader and version, annotator. One score counts in each.
fn slot(score: &Score) -> Slot {
    (score.target, score.name, score.grader, score.annotator)
}

fn insert_sorted<T: Ord>(list: &mut Vec<T>, item: T) -> Added {
    match list.binary_search(&item) {
        Ok(_) => Added::Repeat,
        Err(at) => {
            list.insert(at, item);
            Added::New
        }
    }
}

fn insert_by<T, K: Ord>(list: &mut Vec<T>, item: T, key: impl Fn(&T) -> K) -> Added {
    match list.binary_search_by_key(&key(&item), key) {
        Ok(_) => Added::Repeat,
        Err(at) => {
            list.insert(at, item);
            Added::New
        }
    }
}

/// The trace that an observation belongs to, and the end of what it tells.
pub fn trace_of_place(place: &Place) -> (TraceId, Nanos) {
    (place.trace, place.end)
}
