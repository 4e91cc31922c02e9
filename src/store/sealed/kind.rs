//! The tables of a family, oldest parts first, and the catalogs of the oldest of them.

use super::catalog::build::{self, Build};
use super::catalog::{Catalog, TABLES_MAX, place_of};
use super::filter::Probe;
use super::merge::{self, Merge};
use super::recent::Recent;
use super::table::Table;
use crate::model::shelf::{Family, Part, Record, ShelfError};
use std::path::PathBuf;

/// Large tables that get a catalog together.
const CATALOGUED_AT_ONCE: usize = if cfg!(test) { 2 } else { 8 };

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
    /// How many of the tables the catalogs cover, and the parts of those that each one covers.
    covered: usize,
    parts: Vec<(Part, Part)>,
    /// Room for which tables may have a key.
    found: Vec<u8>,
}

// === impl Kind ===

impl Kind {
    /// Without tables.
    pub fn new(family: Family, oldest: Part, recent: Recent) -> Self {
        let (tables, catalogs, parts, found) = Default::default();
        Kind { family, oldest, recent, tables, catalogs, covered: 0, parts, found }
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
    }

    /// A catalog takes the place of its inputs.
    pub fn replace_catalogs(&mut self, inputs: &[u64], made: Catalog) {
        self.catalogs.retain(|one| !inputs.contains(&one.number));
        self.push_catalog(made);
    }

    /// Counts anew what catalogs cover: always the oldest tables, as only newer ones are merged.
    fn recount(&mut self) {
        let has = |one: &Catalog, table: &Table| one.tables.contains(&table.number);
        let is_in = |table: &&Table| self.catalogs.iter().any(|one| has(one, table));
        self.covered = self.tables.iter().take_while(is_in).count();
        if self.tables[self.covered..].iter().any(|table| is_in(&table)) {
            // One between them is gone.
            self.catalogs.clear();
            self.covered = 0;
        }
        let (covered, _) = self.tables.split_at_mut(self.covered);
        covered.iter_mut().for_each(Table::forget_filter);
        let parts = |one: &Catalog| {
            let own = covered.iter().filter(|table| has(one, table)).map(|table| table.parts);
            own.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        };
        self.catalogs.retain(|one| parts(one).is_some());
        self.parts = self.catalogs.iter().filter_map(parts).collect();
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

    /// Tables to merge, if it is time.
    pub fn merge(&self) -> Option<Merge> {
        let range = merge::due(&self.tables[self.covered..], self.family)?;
        let inputs = self.tables[self.covered..][range].iter().map(named).collect();
        Some(Merge { family: self.family, oldest: self.oldest, inputs })
    }

    /// A catalog to make, if it is time.
    pub fn build(&self) -> Option<Build> {
        let rest = &self.tables[self.covered..];
        let large = |table: &Table| merge::is_large(table, self.family);
        if rest.iter().filter(|table| large(table)).count() < CATALOGUED_AT_ONCE {
            return None;
        }
        let end = rest.iter().take(TABLES_MAX).rposition(large)? + 1;
        let keys: u64 = rest[..end].iter().map(|table| table.records).sum();
        let taken = build::taken(&self.catalogs, end, keys);
        let catalogs = &self.catalogs[self.catalogs.len() - taken..];
        let is_of = |table: &&Table| catalogs.iter().any(|one| one.tables.contains(&table.number));
        let still = self.tables[..self.covered].iter().filter(is_of);
        Some(Build {
            family: self.family,
            covers: still.chain(&rest[..end]).map(|table| table.number).collect(),
            keys: keys + catalogs.iter().map(|one| one.keys).sum::<u64>(),
            catalogs: catalogs.iter().map(|one| (one.number, one.path().to_owned())).collect(),
            tables: rest[..end].iter().map(named).collect(),
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
        let tables = self.tables.get_mut(self.covered.max(from)..).unwrap_or_default();
        for table in tables.iter_mut().rev().take_while(|table| table.parts.1 >= ask.oldest) {
            if ask.concerns(table.parts, since)
                && table.may_have(ask.probe)?
                && let Some(record) = table.get(ask.key)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn in_covered(&mut self, from: usize, ask: &Ask) -> Result<Option<Record>, ShelfError> {
        let (place, since) = (place_of(self.family, ask.key), self.recent.since());
        for (catalog, parts) in self.catalogs.iter().zip(&self.parts).rev() {
            if !ask.concerns(*parts, since) || parts.1 < ask.oldest {
                continue;
            }
            if let Err(error) = catalog.find(place, &mut self.found) {
                self.forget_catalogs(error)?;
                return self.in_uncovered(from, ask);
            }
            for name in &self.found {
                let number = catalog.tables.get(usize::from(*name));
                let mut tables = self.tables[..self.covered].iter_mut().skip(from);
                let table = tables.find(|table| Some(&table.number) == number);
                if let Some(record) = table.map_or(Ok(None), |table| table.get(ask.key))? {
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

fn named(table: &Table) -> (u64, PathBuf) {
    (table.number, table.path().to_owned())
}
