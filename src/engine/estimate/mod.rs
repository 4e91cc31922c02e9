//! Estimates from the sums: levels and differences with intervals that hold at every look
//! (`statistics.md`). One estimate feeds chart, gate, API and record. No memory: what looks
//! remember is `watch`'s.

pub mod contrast;
pub mod difference;
pub mod level;
pub mod line;
pub mod pool;
pub mod trust;

pub use difference::{Compared, compare};
pub use level::level;
pub use line::{Line, Quantity, Undeclared, lines, undeclared};
pub use pool::Pool;

use crate::model::metric::{Margin, Metric};
use crate::stats::sequence::{Scale, rho2};

/// Units that the prior scale of an effect is tuned to when nobody declares one (gbstats).
pub const N_STAR: f64 = 5_000.0;

/// The scale of the effect in the metric's unit: as declared, else an absolute margin.
pub fn tau(metric: &Metric) -> Option<f64> {
    metric.effect_scale.or(match metric.margin {
        Some(Margin::Absolute(margin)) => Some(margin),
        _ => None,
    })
}

/// The scale of the effect: as declared, else by a number of units. Never from the data that is
/// tested (`statistics.md` §1).
pub fn scale(tau: Option<f64>, units: f64, alpha: f64) -> Scale {
    match tau {
        Some(tau) => Scale::Effect(tau),
        None => Scale::Units { rho2: rho2(alpha, N_STAR), units },
    }
}
