//! Entries of the log, in the order in which the engine applies them.

use super::facet::Field;
use super::id::{Nanos, Sym};
use serde::{Deserialize, Serialize};

/// Where an entry stands in the log: dense, from 0.
pub type Position = u64;

/// One entry with the receiver's stamp. Log time is the running maximum of the stamps.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When it was received, nanoseconds since the Unix epoch.
    pub stamp: Nanos,
    /// What it is.
    pub body: Body,
}

/// What an entry is.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Encoded observations of one request.
    Batch(Vec<u8>),
    /// Time goes on: waits expire, scores mature, minutes close.
    Tick,
    /// Canonical JSON of [`super::settings::Settings`].
    Config(String),
    /// What `watch` settled.
    Decision(Decision),
    /// A drain or an export: records are made here.
    Cut,
}

/// What `watch` settles at a look. Numbered densely per experiment and site; one whose number
/// is already known is ignored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The experiment, or the flag.
    pub experiment: Sym,
    /// The site; [`Sym::NONE`] for what holds for the whole experiment.
    pub site: Sym,
    /// Its number, from 1.
    pub number: u32,
    /// What was settled.
    pub what: Settled,
}

/// What was settled.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Settled {
    /// A flag is taken for an experiment.
    Experiment,
    /// The control was not configured and is assumed.
    Control(Sym),
    /// The kind of unit.
    Unit(UnitKind),
    /// An epoch begins at this minute.
    Epoch {
        /// The epoch's number, from 2; the first one needs no decision.
        epoch: u32,
        /// Its first minute.
        minute: u32,
    },
    /// A facet with too many values no longer splits runs.
    Demoted(Field),
}

/// Which id was randomised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum UnitKind {
    /// `armspan.unit.id` or the flag's context id.
    Explicit,
    /// The user.
    User,
    /// The session.
    Session,
    /// The conversation.
    Conversation,
    /// Nothing better: the trace.
    Trace,
}

impl UnitKind {
    /// Its name in config and records.
    pub fn name(self) -> &'static str {
        match self {
            UnitKind::Explicit => "armspan.unit.id",
            UnitKind::User => "user.id",
            UnitKind::Session => "session.id",
            UnitKind::Conversation => "conversation.id",
            UnitKind::Trace => "trace",
        }
    }

    /// From a name in the config; several spellings are understood.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "armspan.unit.id" | "unit" | "feature_flag.context.id" => UnitKind::Explicit,
            "user.id" | "user" | "enduser.id" => UnitKind::User,
            "session.id" | "session" => UnitKind::Session,
            "conversation.id" | "conversation" | "gen_ai.conversation.id" => UnitKind::Conversation,
            "trace" => UnitKind::Trace,
            _ => return None,
        })
    }
}
