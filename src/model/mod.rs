//! Nouns. No I/O, no clock, no attribute names: what every other module talks about.

pub mod appended;
pub mod batch;
pub mod canonical;
pub mod codec;
pub mod delivery;
pub mod entry;
pub mod facet;
pub mod human;
pub mod id;
pub mod log;
pub mod markdown;
pub mod meter;
pub mod metric;
pub mod observation;
pub mod record;
pub mod reject;
pub mod secret;
pub mod settings;
pub mod shelf;
pub mod url;
pub mod varint;
pub mod verdict;
pub mod view;

pub use batch::Batch;
pub use entry::{Body, Decision, Entry, Position, Settled, UnitKind};
pub use facet::{FacetSet, Field, Value};
pub use id::{MINUTE, Nanos, SECOND, SetId, SpanId, Sym, TraceId, UnitHash, minute_of};
pub use log::{Appended, Clock, Log, Refused};
pub use meter::Meter;
pub use metric::{Measure, Metric};
pub use observation::*;
pub use record::RunRecord;
pub use reject::Reject;
pub use secret::Secret;
pub use settings::Settings;
pub use view::View;
