//! What `runs/log-batch` takes, in requests that are small enough for it.

use serde::Serialize;
use serde_json::{Value as Json, json};

/// Metrics of a request at most, and entries of all kinds.
const ENTRIES_MAX: usize = 1_000;
/// Params of a request at most.
const PARAMS_MAX: usize = 100;
/// Tags of a request at most.
const TAGS_MAX: usize = 100;
/// Bytes of a request at most: MLflow's limit is a million.
const BYTES_MAX: usize = 900_000;

/// One thing to log.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// A value of a metric's history.
    Metric(Point),
    /// What a run was made with; never changes.
    Param(Pair),
    /// What may change.
    Tag(Pair),
}

/// A value of a metric's history.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Point {
    /// The metric.
    pub key: String,
    /// Always finite.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Hours since the Unix epoch.
    pub step: u64,
}

/// A key and its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The text.
    pub value: String,
}

/// A request as it grows.
#[derive(Default)]
struct Request {
    metrics: Vec<Json>,
    params: Vec<Json>,
    tags: Vec<Json>,
    bytes: usize,
}

/// The bodies for a run, in the order of the entries.
pub fn requests(run: &str, entries: &[Entry]) -> Vec<Json> {
    let (mut out, mut open) = (Vec::new(), Request::default());
    for entry in entries {
        let (value, bytes) = entry.json();
        if open.is_full(entry, bytes) {
            out.push(std::mem::take(&mut open).body(run));
        }
        open.push(entry, value, bytes);
    }
    if open.len() > 0 {
        out.push(open.body(run));
    }
    out
}

// === impl Entry ===

impl Entry {
    /// A tag.
    pub fn tag(key: impl Into<String>, value: impl Into<String>) -> Self {
        Entry::Tag(Pair { key: key.into(), value: value.into() })
    }

    fn json(&self) -> (Json, usize) {
        let value = match self {
            Entry::Metric(point) => json!(point),
            Entry::Param(pair) | Entry::Tag(pair) => json!(pair),
        };
        let bytes = value.to_string().len() + 1;
        (value, bytes)
    }
}

// === impl Request ===

impl Request {
    fn len(&self) -> usize {
        self.metrics.len() + self.params.len() + self.tags.len()
    }

    fn is_full(&self, entry: &Entry, bytes: usize) -> bool {
        let kind = match entry {
            Entry::Metric(_) => false,
            Entry::Param(_) => self.params.len() == PARAMS_MAX,
            Entry::Tag(_) => self.tags.len() == TAGS_MAX,
        };
        self.len() > 0 && (kind || self.len() == ENTRIES_MAX || self.bytes + bytes > BYTES_MAX)
    }

    fn push(&mut self, entry: &Entry, value: Json, bytes: usize) {
        match entry {
            Entry::Metric(_) => self.metrics.push(value),
            Entry::Param(_) => self.params.push(value),
            Entry::Tag(_) => self.tags.push(value),
        }
        self.bytes += bytes;
    }

    fn body(self, run: &str) -> Json {
        json!({"run_id": run, "metrics": self.metrics, "params": self.params, "tags": self.tags})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: usize) -> Entry {
        let key = format!("m{at}");
        Entry::Metric(Point { key, value: 1.0, timestamp: 1, step: 1 })
    }

    fn param(at: usize) -> Entry {
        Entry::Param(Pair { key: format!("p{at}"), value: "x".repeat(6_000) })
    }

    fn sizes(body: &Json) -> [usize; 3] {
        ["metrics", "params", "tags"].map(|kind| body[kind].as_array().map_or(0, Vec::len))
    }

    #[test]
    fn requests_stay_below_each_limit() {
        let mut entries: Vec<Entry> = (0..250).map(param).collect();
        entries.extend((0..2_500).map(point));
        entries.extend((0..450).map(|at| Entry::tag(format!("t{at}"), "é".repeat(8_000))));
        let bodies = requests("r", &entries);
        let mut sum = [0, 0, 0];
        for body in &bodies {
            let sizes = sizes(body);
            assert!(sizes[1] <= 100 && sizes[2] <= 100 && sizes.iter().sum::<usize>() <= 1_000);
            assert!(body.to_string().len() < 1_000_000 && body["run_id"] == "r");
            (0..3).for_each(|kind| sum[kind] += sizes[kind]);
        }
        assert_eq!(sum, [2_500, 250, 450]);
        assert_eq!(requests("r", &entries[..100]).len(), 1);
        assert_eq!(requests("r", &[]).len(), 0);
    }
}
