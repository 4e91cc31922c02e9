//! One thing we understood, as it goes into the log.
//! Nothing here holds content: texts are symbols, units are keyed hashes, prompts are hashes.

use super::facet::FacetSet;
use super::id::{Nanos, SetId, SpanId, Sym, TraceId, UnitHash};
use serde::{Deserialize, Serialize};

/// One entry of a batch. All but [`Observation::Define`] are plain values without allocation.
#[derive(Clone, PartialEq, Debug)]
pub enum Observation {
    /// A candidate for a model invocation.
    Call(Call),
    /// What another span or a log event adds to a trace.
    Facets(Facets),
    /// Span to parent, of a span that adds nothing else.
    Link(Link),
    /// One judgement.
    Score(Score),
    /// Trace (or only a unit) to experiment and arm.
    Assignment(Assignment),
    /// Response id to trace, for scores that name no trace.
    Alias(Alias),
    /// What was known of a unit before its exposure.
    Covariate(Covariate),
    /// A name or a facet set, before its first use.
    Define(Define),
}

/// Gives a [`Sym`] its text or a [`SetId`] its facets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Define {
    /// A name of at most 128 bytes.
    Name(Sym, Box<str>),
    /// A canonical facet set.
    Set(SetId, FacetSet),
}

/// Where a span stands in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// Its parent, or [`SpanId::NONE`].
    pub parent: SpanId,
    /// When it ended; the minute of this time is where it is looked up.
    pub end: Nanos,
}

/// The ids that may serve as the randomisation unit, as keyed hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Units {
    /// `armspan.unit.id`.
    pub explicit: Option<UnitHash>,
    /// The user.
    pub user: Option<UnitHash>,
    /// The session.
    pub session: Option<UnitHash>,
    /// The conversation.
    pub conversation: Option<UnitHash>,
}

/// One model invocation, as its own span tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Where it stands.
    pub place: Place,
    /// From start to end, nanoseconds.
    pub duration: Nanos,
    /// The facets of its own span.
    pub set: SetId,
    /// What was asked for.
    pub operation: Operation,
    /// Class of the error; [`Sym::NONE`] when it succeeded.
    pub error: Sym,
    /// Why it ended.
    pub finish: Finish,
    /// Whether the answer was streamed.
    pub streaming: bool,
    /// Token counts, cached ones included in the input, reasoning ones in the output.
    pub tokens: Tokens,
    /// Cost in nano-USD, when the span says it.
    pub cost_nano: Option<u64>,
    /// Time to the first token, microseconds.
    pub first_token_us: Option<u64>,
    /// The sampling seed.
    pub seed: Option<i64>,
    /// Units of its own span.
    pub units: Units,
    /// Keyed hash of the response id.
    pub response: Option<UnitHash>,
    /// Chance that this call was sampled, in millionths; `None` is certainty.
    pub sampled_ppm: Option<u32>,
    /// Hash of the input of an offline case, as a name.
    pub input: Sym,
}

/// What was asked of the model.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Operation {
    /// `chat`.
    #[default]
    Chat,
    /// `generate_content`.
    GenerateContent,
    /// `text_completion`.
    TextCompletion,
    /// `embeddings`.
    Embeddings,
}

/// Token counts of a call; absent is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// All input tokens.
    pub input: Option<u64>,
    /// All output tokens.
    pub output: Option<u64>,
    /// Of the input, read from a cache.
    pub cached: Option<u64>,
    /// Of the input, written to a cache.
    pub cache_written: Option<u64>,
    /// Of the output, spent on reasoning.
    pub reasoning: Option<u64>,
    /// The counts are the emitter's own estimate.
    pub estimated: bool,
}

/// Finish reasons as a set, synonyms folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Finish(pub u8);

/// What a span or log record is that is no call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Role {
    /// An app span, or any other.
    #[default]
    Other,
    /// An agent, chain or workflow, or a refused candidate that repeats its calls.
    Wrapper,
    /// An evaluator: calls under it are the judge's, not traffic.
    Evaluator,
    /// A retrieval: its source belongs to every call of the trace.
    Retrieval,
    /// A log record or span event that completes the span it names.
    Content,
}

/// What another span or log event adds to a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Facets {
    /// Where it stands. For [`Role::Content`] the span it completes; its parent is unknown.
    pub place: Place,
    /// What it is.
    pub role: Role,
    /// Its facets; zero when it has none.
    pub set: SetId,
    /// Its units.
    pub units: Units,
    /// The sampling seed.
    pub seed: Option<i64>,
    /// Finish reasons that only a log event told.
    pub finish: Finish,
    /// Keyed hash of the response id.
    pub response: Option<UnitHash>,
}

/// Span to parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Link {
    /// Where it stands.
    pub place: Place,
}

/// What a score is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Target {
    /// A span of a trace.
    Span(TraceId, SpanId),
    /// A whole trace.
    Trace(TraceId),
    /// A response id, as its keyed hash.
    Response(UnitHash),
    /// A session, as its keyed hash.
    Session(UnitHash),
}

/// One judgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Score {
    /// What it is about.
    pub target: Target,
    /// Name of the evaluation.
    pub name: Sym,
    /// Value in millionths; absent when there is only a label, or when the judge failed.
    pub value_micro: Option<i64>,
    /// A label that is not one of the words for pass and fail.
    pub label: Sym,
    /// The judge failed: no value, no label.
    pub failed: bool,
    /// Who judged.
    pub grader: Grader,
    /// Annotator or identifier: tells judgements of one grader apart.
    pub annotator: Sym,
    /// Identity of the score; an equal one is a repeat.
    pub id: u64,
    /// When it was judged.
    pub time: Nanos,
    /// Chance that this call was picked for grading, in millionths; `None` is unknown.
    pub picked_ppm: Option<u32>,
}

/// Who judged.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Grader {
    /// Its name.
    pub name: Sym,
    /// Its version.
    pub version: Sym,
    /// Its model.
    pub model: Sym,
}

/// How an assignment was told, in the order of precedence of `semconv.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Source {
    /// `armspan.experiment`, `armspan.arm`.
    Ours,
    /// A mapping rule of the config.
    Mapping,
    /// `feature_flag.*` attributes of a span.
    FlagAttributes,
    /// A `feature_flag.evaluation` span event.
    FlagSpanEvent,
    /// A `feature_flag.evaluation` child span.
    FlagSpan,
    /// A `feature_flag.evaluation` log record.
    FlagLog,
    /// A tag or attribute of another experiment tool.
    Tag,
    /// `POST /api/v1/assignments`.
    Api,
}

/// Trace → (experiment, arm, unit).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The trace, or `None` for an exposure that names only a unit.
    pub trace: Option<TraceId>,
    /// The span that told it; [`SpanId::NONE`] when only the trace is known.
    pub span: SpanId,
    /// The experiment, or the key of the flag.
    pub experiment: Sym,
    /// The arm, or the variant.
    pub arm: Sym,
    /// The unit that was randomised.
    pub unit: Option<UnitHash>,
    /// How it was told.
    pub source: Source,
    /// When.
    pub time: Nanos,
    /// Chance of this arm, in millionths, when it was logged.
    pub assigned_ppm: Option<u32>,
    /// The service that evaluated it.
    pub service: Sym,
}

/// A number that was known of a unit before it was exposed: it explains part of the spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Covariate {
    /// The span that told it; it holds for its whole trace.
    pub place: Place,
    /// Its value, in millionths.
    pub value_micro: i64,
}

/// Response id → the call's trace and span.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// Keyed hash of the response id.
    pub response: UnitHash,
    /// Where the call is.
    pub trace: TraceId,
    /// The call's span.
    pub span: SpanId,
}

// === impl Operation ===

impl Operation {
    /// Its name in the conventions.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::GenerateContent => "generate_content",
            Operation::TextCompletion => "text_completion",
            Operation::Embeddings => "embeddings",
        }
    }

    /// Whether it produces text: the population of the error, refusal and truncation rates.
    pub fn is_completion(self) -> bool {
        self != Operation::Embeddings
    }

    pub(crate) fn from_u8(code: u8) -> Option<Self> {
        use Operation::*;
        [Chat, GenerateContent, TextCompletion, Embeddings].get(code as usize).copied()
    }
}

// === impl Finish ===

impl Finish {
    /// Folded reasons and their bits.
    pub const NAMES: [(&'static str, Finish); 5] = [
        ("stop", Finish::STOP),
        ("length", Finish::LENGTH),
        ("tool_calls", Finish::TOOL_CALLS),
        ("content_filter", Finish::CONTENT_FILTER),
        ("other", Finish::OTHER),
    ];
    /// The model was done.
    pub const STOP: Finish = Finish(1);
    /// Cut at the token limit.
    pub const LENGTH: Finish = Finish(2);
    /// It asked for tools.
    pub const TOOL_CALLS: Finish = Finish(4);
    /// Refused or filtered.
    pub const CONTENT_FILTER: Finish = Finish(8);
    /// Anything else.
    pub const OTHER: Finish = Finish(16);

    /// Whether it has any of `other`'s reasons.
    pub fn has(self, other: Finish) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets of reasons.
    pub fn and(self, other: Finish) -> Finish {
        Finish(self.0 | other.0)
    }

    /// Whether no reason is known.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The folded names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |pair| self.has(pair.1)).map(|pair| pair.0)
    }
}

// === impl Source ===

impl Source {
    /// For people, as `explain` prints it.
    pub fn describe(self) -> &'static str {
        match self {
            Source::Ours => "armspan.arm",
            Source::Mapping => "a mapping rule",
            Source::FlagAttributes => "feature_flag attributes",
            Source::FlagSpanEvent => "span event feature_flag.evaluation",
            Source::FlagSpan => "span feature_flag.evaluation",
            Source::FlagLog => "log record feature_flag.evaluation",
            Source::Tag => "a tag of another tool",
            Source::Api => "the assignments API",
        }
    }

    pub(crate) fn from_u8(code: u8) -> Option<Self> {
        use Source::*;
        let all = [Ours, Mapping, FlagAttributes, FlagSpanEvent, FlagSpan, FlagLog, Tag, Api];
        all.get(code as usize).copied()
    }
}

// === impl Role ===

impl Role {
    pub(crate) fn from_u8(code: u8) -> Option<Self> {
        use Role::*;
        [Other, Wrapper, Evaluator, Retrieval, Content].get(code as usize).copied()
    }
}

// === impl Units ===

impl Units {
    /// What is missing here is taken from `other`.
    pub fn or(self, other: Units) -> Units {
        Units {
            explicit: self.explicit.or(other.explicit),
            user: self.user.or(other.user),
            session: self.session.or(other.session),
            conversation: self.conversation.or(other.conversation),
        }
    }

    /// Their hashes, in the order in which they are written.
    #[inline]
    pub fn hashes(&self) -> [Option<u64>; 4] {
        let Units { explicit, user, session, conversation } = self;
        [explicit, user, session, conversation].map(|unit| unit.map(|hash| hash.0))
    }

    /// Whether there is none at all.
    pub fn is_empty(self) -> bool {
        self == Units::default()
    }
}
