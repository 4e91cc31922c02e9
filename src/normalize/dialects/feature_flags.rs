//! The feature-flag conventions, current and older names, on spans, span events and log records.

use super::{Dialect, slot};
use crate::normalize::slot::Slot;

/// `feature_flag.*`
pub const DIALECT: Dialect = Dialect {
    keys: &[
        ("feature_flag.key", slot(Slot::FlagKey)),
        ("feature_flag.result.variant", slot(Slot::FlagVariant)),
        ("feature_flag.variant", slot(Slot::FlagVariant)),
        ("feature_flag.context.id", slot(Slot::FlagContext)),
    ],
};
