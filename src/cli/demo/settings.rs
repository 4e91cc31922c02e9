//! The demo's config, as a user would write it.

use super::scenario::Scenario;
use crate::config::{Config, parse};
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;

const TEXT: &str = r#"
# A small first segment: nobody wants to wait until 64 MiB are zero-filled.
log: {segment_bytes: 8MiB}
experiments:
  support-bot:
    control: A
    unit: user.id
    family: {primary: [answer_ok], rollback: [latency_p95, error_rate]}
    split: {SPLIT}
metrics:
  answer_ok: {role: quality, from: score, grader: judge, direction: increase, range: [0, 1], effect_scale: 0.03, matures_after: 5m}
  latency_p95: {role: guardrail, from: latency, quantile: 0.95, direction: decrease, margin: "10%"}
  error_rate: {role: guardrail, from: error, direction: decrease, margin: 0.01, ceiling: 0.05}
prices:
  gpt-4o-mini: {input: 0.15, cached_input: 0.075, output: 0.60, per: 1000000}
"#;

/// The config of a scenario with its data in `folder`.
pub fn config(scenario: Scenario, folder: &Path) -> Result<Config> {
    let mut split = String::new();
    for plan in scenario.plans() {
        let comma = if split.is_empty() { "" } else { ", " };
        write!(split, "{comma}{}: {}", plan.arm, plan.planned)?;
    }
    let text = TEXT.replace("SPLIT", &split);
    let mut file = parse(&text, Path::new("demo.yaml"), &|_| None)?;
    file.data = folder.display().to_string();
    Ok(Config::new(file)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_scenario_has_a_valid_config() {
        for scenario in Scenario::value_variants() {
            let config = config(*scenario, Path::new("/nowhere")).expect("config");
            assert_eq!(config.settings().experiments["support-bot"].split.len(), 3);
        }
    }
}
