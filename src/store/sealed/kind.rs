//! The tables of a family, oldest parts first, and the catalogs of the oldest of them.

use super::catalog::build::{self, Build};
use super::catalog::{Catalog, TABLES_MAX, place_of};
use super::filter::Probe;
use super::merge::{self, Merge};
use super::recent::{NEVER, Recent, span};
use super::table::{Desk, Table};
use super::worker::Job;
use crate::model::shelf::{Family, Part, Record, ShelfError};
use std::collections::{HashMap, HashSet};

/// Records of large tables that get a catalog together.
const CATALOGUED_AT_ONCE: u64 = if cfg!(test) { 1_200 } else { 2 << 20 };

/// What is asked for.
pub struct Ask {
    /// A key …
    pub key: u128,
    /// … and where it is in filters.
    pub probe: Probe,
    /// From which part on.
    pub oldest: Part,
    /// Among what was put since the process began it may be in these parts, if anywhere.
    pub among: Option<(Part, Part)>,
}

/// See the module.
pub struct Kind {
    family: Family,
    /// Of tables; no other ones are asked for.
    pub oldest: Part,
    /// What was put lately.
    pub recent: Recent,
    tables: Vec<Table>,
    catalogs: Vec<Catalog>,
    /// How many of the tables the catalogs cover, and of each catalog, what it covers.
    covered: usize,
    covers: Vec<Covers>,
    /// The least part of tables without a catalog.
    first_uncovered: Part,
    /// Room for which tables may have a key, and for what is read of one.
    found: Vec<u16>,
    desk: Desk,
}

/// What a catalog covers.
struct Covers {
    /// The parts of its tables that are still there.
    parts: (Part, Part),
    /// Where each of its tables is; none that is gone.
    places: Vec<Option<u32>>,
}

// === impl Kind ===

impl Kind {
    /// Without tables.
    pub fn new(family: Family, oldest: Part, recent: Recent) -> Self {
        let (tables, catalogs, covers, found, desk) = Default::default();
        let (covered, first_uncovered) = (0, NEVER);
        Kind {
            family,
            oldest,
            recent,
            tables,
            catalogs,
            covered,
            covers,
            first_uncovered,
            found,
            desk,
        }
    }

    /// The least part of all tables.
    pub fn first(&self) -> Part {
        let covered = self.covers.iter().map(|one| one.parts.0);
        covered.fold(self.first_uncovered, Part::min)
    }

    /// Oldest parts first.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Those that are asked by their own filters.
    pub fn uncovered_mut(&mut self) -> &mut [Table] {
        &mut self.tables[self.covered..]
    }

    /// Of the oldest tables.
    pub fn catalogs(&self) -> &[Catalog] {
        &self.catalogs
    }

    /// Adds the newest table.
    pub fn push(&mut self, table: Table) {
        self.first_uncovered = self.first_uncovered.min(table.parts.0);
        self.tables.push(table);
    }

    /// Adds the newest catalog.
    pub fn push_catalog(&mut self, catalog: Catalog) {
        self.catalogs.push(catalog);
        self.recount();
    }

    /// Lets go of tables with older parts only.
    pub fn drop_before(&mut self, oldest: Part) {
        self.oldest = oldest;
        self.recent.drop_before(oldest);
        let before = self.tables.len();
        self.tables.retain(|table| table.parts.1 >= oldest);
        if self.tables.len() < before {
            self.recount();
        }
    }

    /// A table takes the place of its inputs.
    pub fn replace(&mut self, inputs: &[u64], merged: Option<Table>) {
        let at = self.tables.iter().position(|table| inputs.contains(&table.number));
        self.tables.retain(|table| !inputs.contains(&table.number));
        if let (Some(at), Some(merged)) = (at, merged) {
            self.tables.insert(at, merged);
        }
        self.recount();
    }

    /// A catalog takes the place of its inputs.
    pub fn replace_catalogs(&mut self, inputs: &[u64], made: Catalog) {
        self.catalogs.retain(|one| !inputs.contains(&one.number));
        self.push_catalog(made);
    }

    /// Counts anew what catalogs cover: always the oldest tables, as only newer ones are merged.
    fn recount(&mut self) {
        let named: HashSet<u64> = self.catalogs.iter().flat_map(|one| one.tables.clone()).collect();
        let is_in = |table: &Table| named.contains(&table.number);
        self.covered = self.tables.iter().take_while(|table| is_in(table)).count();
        if self.tables[self.covered..].iter().any(is_in) {
            // One between them is gone.
            self.catalogs.clear();
            self.covered = 0;
        }
        let (covered, rest) = self.tables.split_at_mut(self.covered);
        self.first_uncovered = rest.iter().map(|table| table.parts.0).fold(NEVER, Part::min);
        covered.iter_mut().for_each(Table::forget_filter);
        let places = covered.iter().enumerate().map(|(at, table)| (table.number, at as u32));
        let places: HashMap<u64, u32> = places.collect();
        self.covers.clear();
        self.catalogs.retain(|one| {
            let places: Vec<Option<u32>> =
                one.tables.iter().map(|number| places.get(number).copied()).collect();
            let parts = places.iter().flatten().map(|at| covered[*at as usize].parts);
            let parts = span(parts);
            self.covers.extend(parts.map(|parts| Covers { parts, places }));
            parts.is_some()
        });
    }

    /// Nothing was made of these: when they are damaged, a catalog among them may be it.
    pub fn failed(&mut self, inputs: &[u64], error: &ShelfError) {
        if self.catalogs.iter().any(|one| inputs.contains(&one.number)) {
            // What else is wrong is met again.
            let _ = self.forget_catalogs(error.clone());
        }
    }

    /// A catalog that is damaged is of no use; what it covers can be asked itself.
    fn forget_catalogs(&mut self, error: ShelfError) -> Result<(), ShelfError> {
        let ShelfError::Damaged { .. } = error else { return Err(error) };
        tracing::warn!(%error, "goes on without catalogs of sealed records until there are new ones");
        self.catalogs.clear();
        self.recount();
        Ok(())
    }

    /// What should be made of tables, if it is time for something.
    pub fn job(&self) -> Option<Box<dyn Job>> {
        let build = self.build().map(|build| Box::new(build) as Box<dyn Job>);
        build.or_else(|| Some(Box::new(self.merge()?)))
    }

    fn merge(&self) -> Option<Merge> {
        let range = merge::due(&self.tables[self.covered..], self.family)?;
        let inputs = self.tables[self.covered..][range].iter().map(Table::about).collect();
        Some(Merge { family: self.family, oldest: self.oldest, inputs })
    }

    fn build(&self) -> Option<Build> {
        let rest = &self.tables[self.covered..];
        let rest = &rest[..rest.len().min(TABLES_MAX)];
        let large = |table: &Table| merge::is_large(table, self.family);
        let rest = &rest[..=rest.iter().rposition(large)?];
        let keys: u64 = rest.iter().map(|table| table.records).sum();
        if keys < CATALOGUED_AT_ONCE {
            return None;
        }
        let taken = build::taken(&self.catalogs, self.family, rest.len(), keys);
        let first = self.catalogs.len() - taken;
        let (catalogs, covers) = (&self.catalogs[first..], &self.covers[first..]);
        let mut still: Vec<u32> =
            covers.iter().flat_map(|one| one.places.iter().flatten().copied()).collect();
        still.sort_unstable();
        let still = still.iter().map(|at| &self.tables[*at as usize]);
        Some(Build {
            family: self.family,
            covers: still.chain(rest).map(|table| table.number).collect(),
            keys: keys + catalogs.iter().map(|one| one.keys).sum::<u64>(),
            catalogs: catalogs.iter().map(|one| (one.number, one.path().to_owned())).collect(),
            tables: rest.iter().map(Table::about).collect(),
        })
    }

    /// The newest record of a key among tables from this one on, when its part is not too old.
    pub fn newest(&mut self, from: usize, ask: &Ask) -> Result<Option<Record>, ShelfError> {
        let found = match self.in_uncovered(from, ask)? {
            None if from < self.covered => self.in_covered(from, ask)?,
            found => found,
        };
        Ok(found.filter(|record| record.part >= ask.oldest))
    }

    fn in_uncovered(&mut self, from: usize, ask: &Ask) -> Result<Option<Record>, ShelfError> {
        let since = self.recent.since();
        if ask.among.is_none() && self.first_uncovered >= since {
            return Ok(None);
        }
        let tables = self.tables.get(self.covered.max(from)..).unwrap_or_default();
        for table in tables.iter().rev().take_while(|table| table.parts.1 >= ask.oldest) {
            if ask.concerns(table.parts, since)
                && table.may_have(ask.probe)?
                && let Some(record) = table.get(ask.key, &mut self.desk)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn in_covered(&mut self, from: usize, ask: &Ask) -> Result<Option<Record>, ShelfError> {
        let (place, since) = (place_of(self.family, ask.key), self.recent.since());
        for (catalog, covers) in self.catalogs.iter().zip(&self.covers).rev() {
            if !ask.concerns(covers.parts, since) || covers.parts.1 < ask.oldest {
                continue;
            }
            if let Err(error) = catalog.find(place, &mut self.found) {
                self.forget_catalogs(error)?;
                return self.in_uncovered(from, ask);
            }
            let places = self.found.iter().filter_map(|name| covers.places[usize::from(*name)]);
            for at in places.map(|at| at as usize).filter(|at| *at >= from) {
                if let Some(record) = self.tables[at].get(ask.key, &mut self.desk)? {
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }
}

// === impl Ask ===

impl Ask {
    /// Whether the key may be in these parts.
    fn concerns(&self, parts: (Part, Part), since: Part) -> bool {
        let among = |among: (Part, Part)| parts.1 >= among.0 && parts.0 <= among.1;
        parts.0 < since || self.among.is_some_and(among)
    }
}
