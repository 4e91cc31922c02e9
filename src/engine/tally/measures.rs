//! The sums of a run by measure. Those of calls, which each call adds to, are found without a
//! search.

use super::run::Sums;
use crate::model::metric::{Measure, Origin};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many origins there are.
const ORIGINS: usize = Origin::Calls as usize + 1;
/// No place.
const NONE: u8 = u8::MAX;

/// Sums by measure, in order.
#[derive(Clone, Debug)]
pub struct Measures {
    list: Vec<(Measure, Sums)>,
    /// Places of the measures of calls: they are first in the order, so these hold always.
    of_calls: [u8; ORIGINS],
}

// === impl Measures ===

impl Default for Measures {
    fn default() -> Self {
        Measures { list: Vec::new(), of_calls: [NONE; ORIGINS] }
    }
}

impl PartialEq for Measures {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Measures {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut measures = Measures { list: Vec::deserialize(input)?, ..Measures::default() };
        measures.find_places();
        Ok(measures)
    }
}

impl Measures {
    fn find(&self, measure: Measure) -> Result<usize, usize> {
        if let Measure::Call(origin) = measure {
            let place = self.of_calls[origin as usize];
            if place != NONE {
                return Ok(usize::from(place));
            }
        }
        self.list.binary_search_by_key(&measure, |row| row.0)
    }

    fn find_places(&mut self) {
        self.of_calls = [NONE; ORIGINS];
        for (at, (measure, _)) in self.list.iter().enumerate().take(ORIGINS) {
            if let Measure::Call(origin) = measure {
                self.of_calls[*origin as usize] = at as u8;
            }
        }
    }

    /// The sums of a measure.
    pub fn get(&self, measure: Measure) -> Option<&Sums> {
        self.find(measure).ok().map(|at| &self.list[at].1)
    }

    /// The sums of a measure, made when there are none.
    pub fn entry(&mut self, measure: Measure) -> &mut Sums {
        let at = match self.find(measure) {
            Ok(at) => at,
            Err(at) => {
                self.list.insert(at, (measure, Sums::default()));
                self.find_places();
                at
            }
        };
        &mut self.list[at].1
    }

    /// Drops a measure without any values.
    pub fn drop_if_empty(&mut self, measure: Measure) {
        let empty = |sums: &Sums| sums.n == 0 && sums.y == 0 && sums.w == 0 && sums.units == 0;
        if self.get(measure).is_some_and(empty) {
            self.remove(measure);
        }
    }

    /// Drops a measure.
    pub fn remove(&mut self, measure: Measure) {
        if let Ok(at) = self.find(measure) {
            self.list.remove(at);
            self.find_places();
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Measure, &Sums)> {
        self.list.iter().map(|row| (&row.0, &row.1))
    }

    /// Which there are, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Measure> {
        self.list.iter().map(|row| &row.0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
