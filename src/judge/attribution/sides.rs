//! From arms to separations: puts the arms on the lattice between a and b and names what is found
//! there; what has no edge of its own is tried on an additive model over all arms, and the arm
//! worth running next is written out. It never uses an arm that changed inside its window.

use super::groups::{Difference, Groups, Paths};
use super::lattice::{Edge, Lattice};
use super::{ARMS_MAX, ArmConfig, Attribution, FACTORIALS_MAX, FIELDS_MAX, ORDERS_MAX};
use crate::stats::design;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Which arm's value a field takes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// That of a.
    A,
    /// That of b.
    B,
}

/// Arms that tell a field apart from the others; `given` is where the other differing fields
/// stand meanwhile.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Separation {
    /// A complete 2×2.
    Factorial {
        /// Its two fields.
        fields: [String; 2],
        /// Arms at 00, 01, 10, 11: 0 is a's value, the first digit is the first field's.
        arms: [usize; 4],
        /// The other differing fields.
        given: BTreeMap<String, Side>,
    },
    /// Single-field steps from a to b; their effects add up to the total.
    Path {
        /// The fields in the order they change.
        order: Vec<String>,
        /// The arms passed, a first and b last.
        arms: Vec<usize>,
    },
    /// Two arms that differ in one field alone, in no 2×2 and on no path listed.
    Edge {
        /// The field.
        field: String,
        /// The arm with a's value and the arm with b's.
        arms: [usize; 2],
        /// The other differing fields.
        given: BTreeMap<String, Side>,
    },
    /// A contrast that holds if no two fields interact.
    ModelBased {
        /// The field.
        field: String,
        /// One an arm.
        coefficients: Vec<f64>,
    },
}

/// The arm whose run would tell most.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MissingArm {
    /// Whose value each differing field takes; everything else as a and b have it.
    pub config: BTreeMap<String, Side>,
    /// The facets of those fields by path, values in full.
    pub facets: BTreeMap<String, String>,
    /// Fields that get an edge of their own by it.
    pub separates: Vec<String>,
    /// For people: `run model=new with prompt=old`.
    pub text: String,
}

/// An arm that may serve: its index and its facets.
type Clean<'a> = (usize, Groups<'a>);

/// Adds separations, the missing arm and the limits met to the plan of a confounded pair.
pub(super) fn separate(plan: &mut Attribution, arms: &[ArmConfig], difference: &Difference) {
    let dims = difference.dims();
    if plan.changes.is_empty() {
        return;
    }
    if dims.len() > FIELDS_MAX {
        plan.limits
            .push(format!("more than {FIELDS_MAX} fields differ: no separation is searched"));
        return;
    }
    let clean = clean_arms(plan, arms);
    let found = lattice(plan, arms, &dims, &clean);
    let named = Named { dims: &dims, lattice: &found };
    let (squares, squares_cut) = found.squares();
    let (mut orders, orders_cut) = found.orders();
    // The two orders of a 2×2 are its conditional effects; without b itself no path ends at b.
    let needless = found.walkable == 2 && !squares.is_empty();
    if needless || !plan.unobserved.is_empty() {
        orders.clear();
    }
    let mut listed: BTreeSet<Edge> = squares.iter().flat_map(|square| square.edges()).collect();
    listed.extend(orders.iter().flatten());
    let factorials = squares.iter().map(|s| named.factorial(s.fields, s.base, s.corners()));
    plan.separations.extend(factorials);
    plan.separations.extend(orders.iter().map(|order| named.path(order)));
    let lone = found.edges().into_iter().filter(|edge| !listed.contains(edge));
    plan.separations.extend(lone.map(|edge| named.edge(edge)));
    let apart = found.separated();
    let rest = (0..found.walkable).filter(|field| !apart.contains(field));
    let modelled = rest.filter_map(|field| model_based(plan, arms, &dims[field as usize], &clean));
    let modelled: Vec<Separation> = modelled.collect();
    plan.separations.extend(modelled);
    if plan.unobserved.is_empty() {
        plan.missing = found.missing().map(|corner| missing(plan, arms, &named, corner));
    }
    if squares_cut {
        plan.limits.push(format!("only the first {FACTORIALS_MAX} complete 2×2s are listed"));
    }
    if orders_cut {
        plan.limits.push(format!("only the first {ORDERS_MAX} orders are listed"));
    }
}

/// The arms without a change inside the window: a and b first, the others by name, up to the
/// limit.
fn clean_arms<'a>(plan: &mut Attribution, arms: &'a [ArmConfig]) -> Vec<Clean<'a>> {
    let mut order: Vec<usize> = (0..arms.len()).collect();
    order.sort_by_key(|i| (*i != plan.a && *i != plan.b, *i != plan.a, &arms[*i].name));
    if order.len() > ARMS_MAX {
        plan.limits.push(format!("only the first {ARMS_MAX} arms by name are looked at"));
        order.truncate(ARMS_MAX);
    }
    order.retain(|i| !arms[*i].unobserved_change);
    order.into_iter().map(|i| (i, Groups::of(&arms[i]))).collect()
}

/// Arms that take each differing or unknown field from a or b, and all else as both have it; the
/// first arm at a corner holds it.
fn lattice(
    plan: &Attribution,
    arms: &[ArmConfig],
    dims: &[String],
    clean: &[Clean<'_>],
) -> Lattice {
    let (left, right) = (Groups::of(&arms[plan.a]), Groups::of(&arms[plan.b]));
    let mut corners = BTreeMap::new();
    for (arm, groups) in clean {
        if let Some(corner) = corner(groups, &left, &right, dims) {
            corners.entry(corner).or_insert(*arm);
        }
    }
    let walkable = plan.changes.len() as u32;
    Lattice { corners, walkable, goal: bits(dims.len()) }
}

fn bits(count: usize) -> u32 {
    (0..count).fold(0, |mask, at| mask | 1 << at)
}

fn corner(arm: &Groups<'_>, a: &Groups<'_>, b: &Groups<'_>, dims: &[String]) -> Option<u32> {
    let varies = |field: &str| dims.iter().any(|dim| dim == field);
    let fixed = arm.fields().chain(a.fields()).filter(|field| !varies(field));
    if fixed.into_iter().any(|field| arm.get(field) != a.get(field)) {
        return None;
    }
    let mut mask = 0;
    for (at, field) in dims.iter().enumerate() {
        let value = arm.get(field);
        if value == b.get(field) {
            mask |= 1 << at;
        } else if value != a.get(field) {
            return None;
        }
    }
    Some(mask)
}

/// The effect of a field under an additive model over all clean arms, when they can tell it.
fn model_based(
    plan: &Attribution,
    arms: &[ArmConfig],
    field: &str,
    clean: &[Clean<'_>],
) -> Option<Separation> {
    let fields: BTreeSet<&str> = clean.iter().flat_map(|arm| arm.1.fields()).collect();
    let fields: Vec<&str> = fields.into_iter().collect();
    let at = fields.iter().position(|name| *name == field)?;
    let values: Vec<Vec<Paths<'_>>> =
        fields.iter().map(|name| distinct(clean.iter().map(|arm| arm.1.get(name)))).collect();
    let level = |at: usize, value: &Paths<'_>| values[at].iter().position(|known| known == value);
    let row = |arm: &Clean<'_>| -> Option<Vec<usize>> {
        fields.iter().enumerate().map(|(at, name)| level(at, &arm.1.get(name))).collect()
    };
    let levels: Vec<Vec<usize>> = clean.iter().filter_map(row).collect();
    let from = level(at, &Groups::of(&arms[plan.a]).get(field))?;
    let to = level(at, &Groups::of(&arms[plan.b]).get(field))?;
    let found = design::field_effect(&levels, at, from, to)?;
    let mut coefficients = vec![0.0; arms.len()];
    clean.iter().zip(found).for_each(|(arm, c)| coefficients[arm.0] = c);
    Some(Separation::ModelBased { field: field.to_owned(), coefficients })
}

fn distinct<'a>(values: impl Iterator<Item = Paths<'a>>) -> Vec<Paths<'a>> {
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

fn missing(plan: &Attribution, arms: &[ArmConfig], named: &Named<'_>, corner: u32) -> MissingArm {
    let config = named.given(corner, 0);
    let (left, right) = (Groups::of(&arms[plan.a]), Groups::of(&arms[plan.b]));
    let side = |field: &str| config.get(field).copied().unwrap_or(Side::A);
    let mut facets = BTreeMap::new();
    for change in &plan.changes {
        let from = if side(&change.field) == Side::A { &left } else { &right };
        let paths = from.get(&change.field);
        facets.extend(paths.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())));
    }
    let then = named.lattice.with(corner).separated();
    let before = named.lattice.separated();
    let separates = then.difference(&before).map(|field| named.name(*field)).collect();
    let setting = |wanted: Side| {
        let of = plan.changes.iter().filter(move |change| side(&change.field) == wanted);
        of.map(move |change| if wanted == Side::A { change.a.clone() } else { change.b.clone() })
    };
    let settings: Vec<String> = setting(Side::B).chain(setting(Side::A)).collect();
    let text = match settings.split_first() {
        Some((first, rest)) => format!("run {first} with {}", rest.join(" and ")),
        None => String::new(),
    };
    MissingArm { config, facets, separates, text }
}

/// A lattice whose bits have names.
struct Named<'a> {
    dims: &'a [String],
    lattice: &'a Lattice,
}

// === impl Named ===

impl Named<'_> {
    fn name(&self, field: u32) -> String {
        self.dims[field as usize].clone()
    }

    fn arm(&self, corner: u32) -> usize {
        self.lattice.corners[&corner]
    }

    /// Where the fields outside `but` stand at a corner.
    fn given(&self, corner: u32, but: u32) -> BTreeMap<String, Side> {
        let others = (0..self.dims.len() as u32).filter(|field| but & (1 << field) == 0);
        let side = |field: u32| if corner & (1 << field) == 0 { Side::A } else { Side::B };
        others.map(|field| (self.name(field), side(field))).collect()
    }

    fn factorial(&self, fields: [u32; 2], base: u32, corners: [u32; 4]) -> Separation {
        Separation::Factorial {
            fields: fields.map(|field| self.name(field)),
            arms: corners.map(|corner| self.arm(corner)),
            given: self.given(base, 1 << fields[0] | 1 << fields[1]),
        }
    }

    fn path(&self, order: &[Edge]) -> Separation {
        let stops = std::iter::once(0).chain(order.iter().map(|edge| edge.to()));
        Separation::Path {
            order: order.iter().map(|edge| self.name(edge.field)).collect(),
            arms: stops.map(|corner| self.arm(corner)).collect(),
        }
    }

    fn edge(&self, edge: Edge) -> Separation {
        Separation::Edge {
            field: self.name(edge.field),
            arms: [self.arm(edge.from), self.arm(edge.to())],
            given: self.given(edge.from, 1 << edge.field),
        }
    }
}

// === impl Difference ===

impl Difference {
    /// Fields that differ, by name, then those unknown on one side.
    fn dims(&self) -> Vec<String> {
        self.changes.iter().map(|c| c.field.clone()).chain(self.unknown.iter().cloned()).collect()
    }
}
