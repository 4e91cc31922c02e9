//! Metrics: named, directed numbers, each a ratio of sums; and the measures they rest on.

use super::id::Sym;
use super::observation::Grader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a metric decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// How good it was.
    Quality,
    /// What must not get worse.
    Guardrail,
    /// For information.
    #[default]
    Info,
}

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Higher is better.
    Increase,
    /// Lower is better.
    Decrease,
    /// Undeclared: never better, never regressed.
    #[default]
    Unknown,
}

/// Where a metric's numbers come from. The population is part of the definition.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Scores of an evaluation; calls with a score.
    Score,
    /// Failed calls; all chat and completion calls.
    Error,
    /// Calls that ended with `content_filter`; all chat and completion calls.
    Refusal,
    /// Calls that were cut at the token limit; all chat and completion calls.
    Truncation,
    /// Seconds from start to end; calls without error.
    Latency,
    /// Seconds to the first token; calls without error that report it.
    TimeToFirstToken,
    /// Input tokens; calls that report them.
    TokensIn,
    /// Output tokens; calls that report them.
    TokensOut,
    /// USD; calls that report a cost or have a price.
    Cost,
    /// Calls; all.
    Calls,
}

/// By how much a guardrail may be worse.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Margin {
    /// In the metric's unit.
    Absolute(f64),
    /// A share of control, written `"10%"`.
    Relative(
        #[serde(with = "percent")]
        #[schemars(with = "String")]
        f64,
    ),
}

/// Which values a metric can have.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Domain {
    /// Yes or no, and yes may be rare.
    Rate,
    /// In a declared range.
    Bounded(f64, f64),
    /// Any number, or any from 0 on.
    Unbounded,
}

/// A metric's definition; its hash is part of the record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Quality, guardrail or info.
    #[serde(default)]
    pub role: Role,
    /// Where its numbers come from.
    pub from: Origin,
    /// Name of the evaluation, when it is not the metric's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// Only scores of this grader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<String>,
    /// A quantile instead of the mean, in (0, 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// Which way is better.
    #[serde(default)]
    pub direction: Direction,
    /// Smallest and largest possible value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Prior scale of the effect (τ), in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_scale: Option<f64>,
    /// By how much it may be worse than control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// Above this the arm is breached, whatever control does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Age at which a call enters the metric, scored or missing. Seconds, or `"5m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub matures_after: Option<super::settings::Span>,
}

/// The unit of scores that are not all in [0, 1]: a number as it is, no share.
pub const POINTS: &str = "{score}";

/// What is summed: several metrics (mean, p50, p95) may rest on one measure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Measure {
    /// One of the built-in sources.
    Call(Origin),
    /// Values of an evaluation by a grader.
    Score(Sym, Grader),
    /// Shares of a label of an evaluation by a grader: name, grader, label.
    Label(Sym, Grader, Sym),
    /// Matured calls, and how many of them have a score of this evaluation.
    Coverage(Sym),
}

// === impl Metric ===

impl Metric {
    /// A mean or rate of `from`, with nothing else declared.
    pub fn new(role: Role, from: Origin, direction: Direction) -> Self {
        Metric {
            role,
            from,
            score: None,
            grader: None,
            quantile: None,
            direction,
            range: None,
            effect_scale: None,
            margin: None,
            ceiling: None,
            matures_after: None,
        }
    }

    /// The UCUM unit of its values. Scores are shares while they lie in [0, 1]: by their declared
    /// range, else by whether a level was seen that does not.
    pub fn unit(&self, is_beyond: bool) -> &'static str {
        match (self.from, self.range) {
            (Origin::Score, Some(range)) if !range.into_iter().all(is_share) => POINTS,
            (Origin::Score, None) if is_beyond => POINTS,
            (from, _) => from.unit(),
        }
    }
}

/// Whether a level of a score can be a share.
pub fn is_share(level: f64) -> bool {
    (0.0..=1.0).contains(&level)
}

// === impl Origin ===

impl Origin {
    /// Sums are integers: `round(value / scale × weight)`. Units of 1/`scale` per unit of the
    /// metric: latency in µs, cost in nano-USD, scores in 10⁻⁶, counts in 1.
    pub fn per_unit(self) -> f64 {
        match self {
            Origin::Latency | Origin::TimeToFirstToken | Origin::Score => 1e6,
            Origin::Cost => 1e9,
            _ => 1.0,
        }
    }

    /// The UCUM unit of its values.
    pub fn unit(self) -> &'static str {
        match self {
            Origin::Latency | Origin::TimeToFirstToken => "s",
            Origin::TokensIn | Origin::TokensOut => "{token}",
            Origin::Cost => "USD",
            Origin::Calls => "{call}",
            _ => "1",
        }
    }

    /// A time that a call took: even minutes keep its distribution.
    pub fn is_time(self) -> bool {
        matches!(self, Origin::Latency | Origin::TimeToFirstToken)
    }

    /// Whether a histogram is kept, so that quantiles are known.
    pub fn has_histogram(self) -> bool {
        use Origin::*;
        matches!(self, Latency | TimeToFirstToken | TokensIn | TokensOut | Cost)
    }
}

impl Measure {
    /// Units of the integer sums per unit of the metric.
    pub fn per_unit(self) -> f64 {
        match self {
            Measure::Call(from) => from.per_unit(),
            Measure::Score(..) | Measure::Coverage(_) => Origin::Score.per_unit(),
            Measure::Label(..) => 1.0,
        }
    }
}

/// The built-in metrics of `contract.md`, in the order of tables.
pub fn built_in() -> Vec<(&'static str, Metric)> {
    use Direction::{Decrease, Unknown};
    use Role::{Guardrail, Info};
    let metric =
        |role, from, direction, quantile| Metric { quantile, ..Metric::new(role, from, direction) };
    vec![
        ("error_rate", metric(Guardrail, Origin::Error, Decrease, None)),
        ("refusal_rate", metric(Info, Origin::Refusal, Decrease, None)),
        ("truncation_rate", metric(Info, Origin::Truncation, Decrease, None)),
        ("latency_mean", metric(Guardrail, Origin::Latency, Decrease, None)),
        ("latency_p50", metric(Info, Origin::Latency, Decrease, Some(0.5))),
        ("latency_p95", metric(Info, Origin::Latency, Decrease, Some(0.95))),
        ("latency_p99", metric(Info, Origin::Latency, Decrease, Some(0.99))),
        ("time_to_first_token", metric(Info, Origin::TimeToFirstToken, Decrease, None)),
        ("tokens_in", metric(Info, Origin::TokensIn, Unknown, None)),
        ("tokens_out", metric(Info, Origin::TokensOut, Unknown, None)),
        ("cost", metric(Guardrail, Origin::Cost, Decrease, None)),
        ("calls", metric(Info, Origin::Calls, Unknown, None)),
    ]
}

/// The direction of an evaluation that no config declares, by a short list of names.
pub fn guess_direction(name: &str) -> Direction {
    const LOWER: [&str; 8] =
        ["toxicity", "hallucination", "error", "latency", "cost", "bias", "refusal", "harm"];
    let name = name.to_ascii_lowercase();
    if LOWER.iter().any(|word| name.contains(word)) {
        return Direction::Decrease;
    }
    Direction::Unknown
}

mod percent {
    //! `"10%"` ↔ 0.1.
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(share: &f64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{}%", share * 100.0))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
        let text = String::deserialize(input)?;
        let number = text.trim().strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
        let hint =
            || D::Error::custom(format!("margin \"{text}\" is neither a number nor \"10%\""));
        number.map(|share| share / 100.0).ok_or_else(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_numbers_or_percentages() {
        let read = |text| serde_json::from_str::<Margin>(text).expect("margin");
        assert_eq!(read("0.01"), Margin::Absolute(0.01));
        assert_eq!(read("\"10%\""), Margin::Relative(0.1));
        assert!(serde_json::from_str::<Margin>("\"ten\"").is_err());
    }

    #[test]
    fn a_score_is_a_share_by_its_range_else_by_its_levels() {
        let score = |range| Metric {
            range,
            ..Metric::new(Role::Quality, Origin::Score, Direction::Increase)
        };
        let units = |range| [false, true].map(|is_beyond| score(range).unit(is_beyond));
        assert_eq!(units(None), ["1", POINTS]);
        assert_eq!(units(Some([0.0, 1.0])), ["1", "1"]);
        assert_eq!(units(Some([1.0, 5.0])), [POINTS; 2]);
        let rate = Metric::new(Role::Guardrail, Origin::Error, Direction::Decrease);
        assert_eq!(rate.unit(true), "1");
    }

    #[test]
    fn undeclared_names_of_harm_are_better_lower() {
        assert_eq!(guess_direction("Toxicity"), Direction::Decrease);
        assert_eq!(guess_direction("faithfulness"), Direction::Unknown);
    }
}
