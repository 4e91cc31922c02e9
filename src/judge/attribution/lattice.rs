//! The lattice of configurations between two arms: a corner takes each differing field from a
//! (bit 0) or from b (bit 1). Finds single-field edges, complete 2×2s, paths from a to b and the
//! corner worth running next. It knows bits and arms, never names or values.

use super::{FACTORIALS_MAX, ORDERS_MAX};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Corners that arms occupy. Bits below `walkable` are fields a step may change; those above are
/// unknown on one side and only tell corners apart.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    /// The arm at each corner.
    pub corners: BTreeMap<u32, usize>,
    /// Fields a step may change.
    pub walkable: u32,
    /// The corner of b; that of a is 0.
    pub goal: u32,
}

/// A step that changes `field` alone, from its value in a to that in b.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Edge {
    /// The field's bit number.
    pub field: u32,
    /// The corner with the field as in a.
    pub from: u32,
}

/// Four corners of two fields over one `base`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Square {
    /// The fields' bit numbers, ascending.
    pub fields: [u32; 2],
    /// The corner with both as in a.
    pub base: u32,
}

// === impl Edge ===

impl Edge {
    /// The corner with the field as in b.
    pub fn to(self) -> u32 {
        self.from | 1 << self.field
    }
}

// === impl Square ===

impl Square {
    /// Corners 00, 01, 10, 11: the first digit is the first field's.
    pub fn corners(self) -> [u32; 4] {
        let [f, g] = self.fields.map(|field| 1 << field);
        [self.base, self.base | g, self.base | f, self.base | f | g]
    }

    /// Its four edges: the first field at both levels of the second, then the other way round.
    pub fn edges(self) -> [Edge; 4] {
        let ([f, g], base) = (self.fields, self.base);
        [
            Edge { field: f, from: base },
            Edge { field: f, from: base | 1 << g },
            Edge { field: g, from: base },
            Edge { field: g, from: base | 1 << f },
        ]
    }
}

// === impl Lattice ===

impl Lattice {
    /// Every edge between occupied corners, by field and then by how near to a.
    pub fn edges(&self) -> Vec<Edge> {
        let mut out = Vec::new();
        for field in 0..self.walkable {
            for from in self.near_first().filter(|corner| corner & (1 << field) == 0) {
                let edge = Edge { field, from };
                if self.corners.contains_key(&edge.to()) {
                    out.push(edge);
                }
            }
        }
        out
    }

    /// Complete 2×2s, by fields and then by how near to a; whether some were left off.
    pub fn squares(&self) -> (Vec<Square>, bool) {
        let mut out = Vec::new();
        for f in 0..self.walkable {
            for g in f + 1..self.walkable {
                let free = |corner: &u32| corner & (1 << f | 1 << g) == 0;
                let over =
                    self.near_first().filter(free).map(|base| Square { fields: [f, g], base });
                out.extend(over.filter(|square| self.has_all(&square.corners())));
            }
        }
        let cut = out.len() > FACTORIALS_MAX;
        out.truncate(FACTORIALS_MAX);
        (out, cut)
    }

    /// Orders of single-field steps from a to b, in the order of fields; whether some were left
    /// off. Dead ends are known beforehand, so the work is bounded by what is listed.
    pub fn orders(&self) -> (Vec<Vec<Edge>>, bool) {
        let alive = self.leading_to_b();
        let mut out = Vec::new();
        let mut open: Vec<Vec<Edge>> = vec![Vec::new()];
        while let Some(done) = open.pop() {
            let at = done.last().map_or(0, |edge| edge.to());
            if !alive.contains(&at) || out.len() > ORDERS_MAX {
                continue;
            }
            if at == self.goal {
                out.push(done);
                continue;
            }
            for field in (0..self.walkable).rev().filter(|field| at & (1 << field) == 0) {
                let mut next = done.clone();
                next.push(Edge { field, from: at });
                open.push(next);
            }
        }
        let cut = out.len() > ORDERS_MAX;
        out.truncate(ORDERS_MAX);
        (out, cut)
    }

    /// The free corner that would give most fields an edge of their own; among equals one that
    /// completes a path from a to b, then the least change from a, then the lowest bits.
    /// `None` when no corner would add a field.
    pub fn missing(&self) -> Option<u32> {
        let now = self.separated().len();
        let mut seen = BTreeSet::new();
        let mut best = None;
        for corner in self.corners.keys() {
            for candidate in (0..self.walkable).map(|field| corner ^ (1 << field)) {
                if self.corners.contains_key(&candidate) || !seen.insert(candidate) {
                    continue;
                }
                let then = self.with(candidate);
                let gain = (then.separated().len(), !then.leading_to_b().is_empty());
                let least = (Reverse(candidate.count_ones()), Reverse(candidate));
                best = best.max(Some((gain, least, candidate)));
            }
        }
        best.filter(|found| found.0.0 > now).map(|found| found.2)
    }

    /// The fields that have an edge of their own.
    pub fn separated(&self) -> BTreeSet<u32> {
        let has = |field: &u32| {
            let flipped = |corner: &u32| self.corners.contains_key(&(corner ^ (1 << *field)));
            self.corners.keys().any(flipped)
        };
        (0..self.walkable).filter(has).collect()
    }

    /// The lattice with one more corner occupied, by no arm in particular.
    pub fn with(&self, corner: u32) -> Lattice {
        let mut more = self.clone();
        more.corners.insert(corner, usize::MAX);
        more
    }

    fn has_all(&self, corners: &[u32]) -> bool {
        corners.iter().all(|corner| self.corners.contains_key(corner))
    }

    /// Occupied corners, those with least of b first.
    fn near_first(&self) -> impl Iterator<Item = u32> {
        let mut all: Vec<u32> = self.corners.keys().copied().collect();
        all.sort_by_key(|corner| (corner.count_ones(), *corner));
        all.into_iter()
    }

    /// Corners on a way of single-field steps to b; empty when a is not one of them.
    fn leading_to_b(&self) -> BTreeSet<u32> {
        let mut alive = BTreeSet::new();
        let far_first: Vec<u32> = self.near_first().collect();
        for corner in far_first.into_iter().rev() {
            let step =
                |field: u32| corner & (1 << field) == 0 && alive.contains(&(corner | 1 << field));
            if corner == self.goal || (0..self.walkable).any(step) {
                alive.insert(corner);
            }
        }
        if alive.contains(&0) { alive } else { BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lattice(walkable: u32, corners: &[u32]) -> Lattice {
        let corners = corners.iter().enumerate().map(|(arm, corner)| (*corner, arm)).collect();
        Lattice { corners, walkable, goal: (1 << walkable) - 1 }
    }

    #[test]
    fn a_full_square_has_four_edges_and_two_orders() {
        let full = lattice(2, &[0, 1, 2, 3]);
        assert_eq!(full.edges().len(), 4);
        assert_eq!(full.squares(), (vec![Square { fields: [0, 1], base: 0 }], false));
        assert_eq!(full.orders().0.len(), 2);
        assert_eq!(full.missing(), None);
    }

    #[test]
    fn of_two_fields_the_missing_corner_keeps_the_first_field_of_b() {
        assert_eq!(lattice(2, &[0, 3]).missing(), Some(1));
        assert_eq!(lattice(3, &[0, 7]).missing(), Some(1));
        assert_eq!(lattice(3, &[0, 1, 7]).missing(), Some(3));
        let either = lattice(4, &[0, 1, 3, 12, 15]);
        assert_eq!(either.missing(), Some(7), "4 would give as many edges but no path");
    }

    #[test]
    fn an_unknown_bit_is_never_walked() {
        let mut broken = lattice(1, &[0, 1, 2]);
        broken.goal = 3;
        assert_eq!(broken.edges(), [Edge { field: 0, from: 0 }]);
        assert!(broken.orders().0.is_empty());
    }

    #[test]
    fn a_full_cube_of_five_lists_up_to_the_limits() {
        let cube = lattice(5, &(0..32).collect::<Vec<u32>>());
        let (orders, squares) = (cube.orders(), cube.squares());
        assert_eq!((orders.0.len(), orders.1), (ORDERS_MAX, true));
        assert_eq!((squares.0.len(), squares.1), (FACTORIALS_MAX, true));
        assert_eq!(cube.edges().len(), 80);
        let by_field = [0, 1, 2, 3, 4];
        assert_eq!(orders.0[0].iter().map(|e| e.field).collect::<Vec<_>>(), by_field);
    }
}
