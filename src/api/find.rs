//! Finding runs and experiments in a view: by id, by prefix, by filter, page by page.

use super::problem::Problem;
use crate::compare::find::{Absent, nearest, short};
use crate::compare::{self, side_by_side};
use crate::model::record::RunRecord;
use crate::model::view::{ExperimentView, View};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Records on a page when nothing else is asked for.
pub const PAGE_DEFAULT: usize = 100;

/// Records on a page at most.
pub const PAGE_MAX: usize = 1_000;

/// Which runs, and which page of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RunQuery {
    /// Only of this experiment.
    pub experiment: Option<String>,
    /// Only of this arm.
    pub arm: Option<String>,
    /// Only of this site.
    pub site: Option<String>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// How many.
    pub limit: Option<usize>,
}

/// A page of records.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunPage {
    /// In the order of run id and epoch.
    pub runs: Vec<RunRecord>,
    /// Give it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl RunQuery {
    /// Whether a record passes the filters.
    pub fn takes(&self, record: &RunRecord) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        fits(&self.experiment, &record.run.experiment)
            && fits(&self.arm, &record.run.arm)
            && fits(&self.site, &record.run.site)
    }
}

/// A cursor is the key of the last record seen, so records that come or go do not shift pages.
fn cursor(record: &RunRecord) -> String {
    format!("{}.{:010}", record.run.id, record.window.epoch)
}

/// A page of the records that match.
pub fn page(view: &View, query: &RunQuery) -> Result<RunPage, Problem> {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit lies between 1 and {PAGE_MAX}")));
    }
    let after = query.after.as_deref().unwrap_or_default();
    let matching = view.runs.iter().filter(|record| query.takes(record));
    let mut keyed: Vec<(String, &RunRecord)> = matching
        .map(|record| (cursor(record), record))
        .filter(|pair| pair.0.as_str() > after)
        .collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let more = keyed.len() > limit;
    keyed.truncate(limit);
    let next = keyed.last().filter(|_| more).map(|pair| pair.0.clone());
    Ok(RunPage { runs: keyed.into_iter().map(|pair| pair.1.clone()).collect(), next })
}

/// The newest record of a run, by id or unique prefix of it.
pub fn run<'a>(view: &'a View, id: &str) -> Result<&'a RunRecord, Problem> {
    compare::find::run(view, id).map_err(|absent| {
        let status = match absent {
            Absent::None(_) => StatusCode::NOT_FOUND,
            Absent::Several(..) => StatusCode::CONFLICT,
        };
        let candidates = absent.candidates().to_vec();
        Problem { candidates, ..Problem::new(status, absent.says(id)) }
    })
}

/// Two runs by id or unique prefix: the records of them that are compared.
pub fn pair<'a>(
    view: &'a View,
    a: &str,
    b: &str,
) -> Result<(&'a RunRecord, &'a RunRecord), Problem> {
    Ok(side_by_side(view, run(view, a)?, run(view, b)?))
}

/// An experiment by name.
pub fn experiment<'a>(view: &'a View, name: &str) -> Result<&'a ExperimentView, Problem> {
    view.experiments.iter().find(|experiment| experiment.name == name).ok_or_else(|| {
        let names = view.experiments.iter().map(|experiment| experiment.name.as_str());
        Problem::not_found(
            format!("there is no experiment \"{}\"", short(name)),
            nearest(name, names),
        )
    })
}
