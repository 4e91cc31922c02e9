//! Sums by time step: sorted, the newest at the end, where nearly all values go.

use super::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::RangeBounds;

/// Sums of a stretch of time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// Values.
    pub n: i64,
    /// Weighted sum of values, in integer units of the measure.
    pub y: i128,
    /// Sum of weights, in millionths.
    pub w: i128,
    /// Distribution, where the measure has one.
    pub histogram: Option<Histogram>,
}

/// Cells by the number of their step since the Unix epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cells(VecDeque<(u32, Cell)>);

// === impl Cell ===

impl Cell {
    /// Adds to its sums.
    pub fn add(&mut self, n: i64, y: i128, w: i128) {
        self.n += n;
        self.y += y;
        self.w += w;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Cell) {
        self.n += other.n;
        self.y += other.y;
        self.w += other.w;
        if let Some(more) = &other.histogram {
            self.histogram.get_or_insert_default().merge(more);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.n == 0 && self.y == 0 && self.w == 0
    }
}

// === impl Cells ===

impl Cells {
    /// The place of a step, or where it would be.
    fn find(&self, key: u32) -> Result<usize, usize> {
        match self.0.back() {
            Some(last) if last.0 == key => Ok(self.0.len() - 1),
            Some(last) if last.0 > key => self.0.binary_search_by_key(&key, |row| row.0),
            _ => Err(self.0.len()),
        }
    }

    /// The cell of a step, made when there is none.
    pub fn entry(&mut self, key: u32) -> &mut Cell {
        let at = match self.find(key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, Cell::default()));
                at
            }
        };
        &mut self.0[at].1
    }

    /// The cell of a step.
    pub fn get(&self, key: u32) -> Option<&Cell> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// Drops a step.
    pub fn remove(&mut self, key: u32) {
        if let Ok(at) = self.find(key) {
            self.0.remove(at);
        }
    }

    /// Drops the oldest step.
    pub fn pop_first(&mut self) {
        self.0.pop_front();
    }

    /// The oldest step.
    pub fn first(&self) -> Option<u32> {
        self.0.front().map(|row| row.0)
    }

    /// The newest step.
    pub fn last(&self) -> Option<u32> {
        self.0.back().map(|row| row.0)
    }

    /// All steps, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Cell)> {
        self.0.iter().map(|row| (row.0, &row.1))
    }

    /// Some steps, oldest first.
    pub fn range(&self, steps: impl RangeBounds<u32>) -> impl Iterator<Item = (u32, &Cell)> {
        self.iter().filter(move |row| steps.contains(&row.0))
    }

    /// How many steps have a cell.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        let histograms = self.0.iter().filter_map(|row| row.1.histogram.as_ref());
        let inner: u64 = histograms.map(Histogram::bytes).sum();
        self.0.len() as u64 * size_of::<(u32, Cell)>() as u64 + inner
    }
}
