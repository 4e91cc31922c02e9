//! Room and caches that the folds use again and again. They are no state: nothing depends on what
//! is in them, so a clone begins with none, and a snapshot copies only what it writes.

use std::ops::{Deref, DerefMut};

/// See the module.
#[derive(Debug, Default)]
pub struct Spare<T>(T);

impl<T: Default> Clone for Spare<T> {
    fn clone(&self) -> Self {
        Spare::default()
    }
}

impl<T> PartialEq for Spare<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Deref for Spare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Spare<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
