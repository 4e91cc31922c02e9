//! What `apply` uses: experiments, metrics, horizons and limits. It goes into the log as a
//! `Config` entry in canonical JSON, so that the same log gives the same state.

use super::id::{Nanos, SECOND};
use super::metric::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A length of time, written `30s`, `15m`, `24h`, `7d` or as seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, JsonSchema)]
#[schemars(with = "String")]
pub struct Span(pub Nanos);

/// Everything the engine needs to know.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Declared experiments by name.
    pub experiments: BTreeMap<String, Experiment>,
    /// Declared metrics by name; the built-in ones are always there.
    pub metrics: BTreeMap<String, Metric>,
    /// Whether flags with two variants on traces with calls become experiments by themselves.
    pub experiments_auto: bool,
    /// Which flags may.
    pub flags: Filter,
    /// Which facets are recorded without splitting runs.
    pub observed: Vec<String>,
    /// USD per model, for calls that report no cost.
    pub prices: BTreeMap<String, Price>,
    /// How late data may come and still be counted.
    pub horizon: Span,
    /// How long a call waits for its arm, unit or prompt.
    pub assignment_wait: Span,
    /// The shortest time between two epochs.
    pub epoch_min: Span,
    /// Age at which a call enters a metric of scores.
    pub matures_after: Span,
    /// URL template of a trace, with `{trace_id}` and `{span_id}`, for the links of records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_link: Option<String>,
    /// Sizes and counts that a stranger cannot exceed.
    pub limits: Limits,
}

/// A declared experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Experiment {
    /// The arm the others are compared with.
    pub control: Option<String>,
    /// Planned shares of traffic by arm.
    pub split: BTreeMap<String, f64>,
    /// What was randomised: `user.id`, `session.id`, `conversation.id` or `armspan.unit.id`.
    pub unit: Option<String>,
    /// Chance of a false claim over the whole experiment.
    pub alpha: Option<f64>,
    /// Metrics that decide.
    pub family: Family,
    /// Sites that decide; the one with most calls by default.
    pub sites: Vec<String>,
}

/// Metrics that decide, and their weights.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Family {
    /// Quality metrics that a ship decision rests on.
    pub primary: Vec<String>,
    /// Guardrails that roll back.
    pub rollback: Vec<String>,
    /// Shares of α by metric; equal by default.
    pub weights: BTreeMap<String, f64>,
}

/// Names to include and exclude; an empty `include` takes all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only these.
    pub include: Vec<String>,
    /// Never these.
    pub exclude: Vec<String>,
}

/// USD for `per` tokens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input tokens that were not cached.
    pub input: f64,
    /// Input tokens from a cache; as `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Output tokens.
    pub output: f64,
    /// For how many tokens; one million by default.
    #[serde(default = "million")]
    pub per: f64,
}

/// Limits of the engine (`design.md`, Limits); behaviour at each is counted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Experiments; above, the experiment `other`.
    pub experiments_max: u32,
    /// Arms of an experiment; above, the arm `other`.
    pub arms_max: u32,
    /// Live runs of an arm and site in an epoch; above, one overflow run.
    pub runs_max: u32,
    /// Metrics of an experiment; above, the metric `other`.
    pub metrics_max: u32,
    /// Experiments on one call; above, dropped and counted.
    pub assignments_max: u32,
    /// Values of a facet in an arm before it is demoted to observed.
    pub facet_values_max: u32,
    /// Names and facet sets in the dictionary; above, `other`.
    pub names_max: u32,
    /// Bytes of young join and dedupe state.
    pub join_bytes_max: u64,
    /// Bytes of sealed traces on disk; above, the oldest go and the horizon is shorter.
    pub horizon_bytes_max: u64,
    /// Bytes of tallies.
    pub tally_bytes_max: u64,
    /// Bytes of the unit register.
    pub unit_cache_bytes: u64,
}

fn million() -> f64 {
    1e6
}

// === impl Span ===

impl Span {
    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Span(count * SECOND)
    }

    /// Reads `30s`, `15m`, `24h`, `7d`, `250ms` or bare seconds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let scale = match text[digits..].trim() {
            "ms" => SECOND / 1000,
            "" | "s" => SECOND,
            "m" | "min" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            "d" => 86_400 * SECOND,
            _ => return Err(format!("\"{text}\" is no length of time; write 30s, 15m, 24h or 7d")),
        };
        let count = text[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        count.map(Span).ok_or_else(|| format!("\"{text}\" is no length of time; write 30s or 15m"))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(86_400 * SECOND, "d"), (3_600 * SECOND, "h"), (60 * SECOND, "m")];
        match units.iter().find(|u| self.0 >= u.0 && self.0.is_multiple_of(u.0)) {
            Some((size, name)) => write!(f, "{}{name}", self.0 / size),
            None if self.0.is_multiple_of(SECOND) => write!(f, "{}s", self.0 / SECOND),
            None => write!(f, "{}ms", self.0 / (SECOND / 1000)),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Seconds(u64),
            Text(String),
        }
        match Raw::deserialize(input)? {
            Raw::Seconds(count) => Ok(Span(count.saturating_mul(SECOND))),
            Raw::Text(text) => Span::parse(&text).map_err(|_| {
                // Not `custom`: the YAML parser gives a place to wrong values only.
                let wrong = serde::de::Unexpected::Str(&text);
                serde::de::Error::invalid_value(wrong, &"a length of time such as 30s or 7d")
            }),
        }
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Settings {
            experiments: BTreeMap::new(),
            metrics: BTreeMap::new(),
            experiments_auto: true,
            flags: Filter::default(),
            observed: ["code", "seed", "system_fingerprint"].map(str::to_owned).to_vec(),
            prices: BTreeMap::new(),
            horizon: Span::seconds(7 * 86_400),
            assignment_wait: Span::seconds(30),
            epoch_min: Span::seconds(3_600),
            matures_after: Span::seconds(15 * 60),
            trace_link: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            experiments_max: 1_000,
            arms_max: 32,
            runs_max: 64,
            metrics_max: 256,
            assignments_max: 8,
            facet_values_max: 64,
            names_max: 65_536,
            join_bytes_max: 64 << 20,
            horizon_bytes_max: 10 << 30,
            tally_bytes_max: 32 << 20,
            unit_cache_bytes: 32 << 20,
        }
    }
}

impl Settings {
    /// Longer than any history: for replays, which have no horizon.
    pub const NO_HORIZON: Span = Span::seconds(200 * 365 * 86_400);
}

impl Filter {
    /// Whether a name passes.
    pub fn takes(&self, name: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|n| n == name);
        included && !self.exclude.iter().any(|n| n == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["30s", "15m", "24h", "7d", "250ms", "90s"] {
            let span = Span::parse(text).expect(text);
            assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
        }
        assert!(Span::parse("soon").expect_err("no time").contains("30s"));
        assert!(Span::parse("99999999999999999999d").is_err());
    }

    #[test]
    fn settings_survive_json() {
        let settings = Settings::default();
        let text = serde_json::to_string(&settings).expect("json");
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("settings"), settings);
    }
}
