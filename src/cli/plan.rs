//! `armspan plan`: how many units and days an effect takes, with the same sequences that later
//! decide: they hold at every look, so that one may look and stop at any time.

use super::args::Plan;
use super::print::Data;
use crate::engine::estimate::N_STAR;
use crate::model::human;
use crate::stats::multiple::epoch_share;
use crate::stats::plan::{ScaleRule, UNITS_MAX, minimum_detectable_effect};
use anyhow::{Result, bail};
use serde_json::{Value as Json, json};

/// Chances of deciding that are told when none is asked for.
const POWERS: [f64; 3] = [0.5, 0.8, 0.9];
/// Days after which the smallest effect is told.
const DAYS: [f64; 4] = [7.0, 14.0, 28.0, 56.0];
/// The power of that.
const POWER_USUAL: f64 = 0.8;
const SECONDS_A_DAY: f64 = 86_400.0;
/// Any number of units will do: the variance falls as one over it.
const AT: f64 = 1_000.0;

/// A checked question.
struct Asked {
    /// What an estimate has to be told from: 0, or the margin.
    distance: f64,
    /// Variance of the difference at [`AT`] units.
    variance: f64,
    /// Of this claim, in the first epoch.
    alpha: f64,
    per_day: Option<f64>,
    power: Option<f64>,
    unit: &'static str,
}

/// Computes it.
pub fn plan(args: &Plan) -> Result<Data> {
    let asked = Asked::new(args)?;
    let powers = asked.power.map_or(POWERS.to_vec(), |power| vec![power]);
    let found: Vec<Json> = powers.iter().map(|power| asked.row(*power)).collect();
    let text = |json: &Json, show: &dyn Fn(f64) -> String| json.as_f64().map_or("–".into(), show);
    let units = |json: &Json| text(json, &|value| human::count(value as i64));
    let days = |json: &Json| text(json, &|value| human::duration(value * SECONDS_A_DAY));
    let row = |found: &Json| {
        vec![
            text(&found["power"], &human::share),
            units(&found["units"]),
            days(&found["days"]),
            units(&found["units_undeclared"]),
            days(&found["days_undeclared"]),
        ]
    };
    let columns = [">chance to decide", ">units", ">time", ">units undeclared", ">time undeclared"];
    Ok(Data {
        columns: columns.map(str::to_owned).into(),
        rows: found.iter().map(row).collect(),
        document: json!({"alpha": asked.alpha, "plans": found, "smallest": asked.smallest()}),
        items: found,
        notes: asked.notes(args),
        ..Data::default()
    })
}

// === impl Asked ===

impl Asked {
    fn new(args: &Plan) -> Result<Asked> {
        let within = |flag: &str, value: f64| match 0.0 < value && value < 1.0 {
            true => Ok(value),
            false => bail!("{flag} {value} lies between 0 and 1, such as 0.05"),
        };
        let variance = match (args.sd, args.baseline) {
            (Some(sd), _) if sd > 0.0 && sd.is_finite() => sd * sd,
            (Some(sd), _) => bail!("--sd {sd} is a positive number, in the unit of the metric"),
            (None, Some(share)) => match within("--baseline", share) {
                Ok(share) => share * (1.0 - share),
                Err(error) => bail!("{error}; for a metric that is no share give --sd"),
            },
            (None, None) => bail!("give --baseline for a share, or --sd for any other metric"),
        };
        let distance = args.effect.or(args.margin).unwrap_or_default().abs();
        if !(distance > 0.0 && distance.is_finite()) {
            bail!("an effect or margin of 0 takes for ever; give the smallest that matters");
        }
        if args.units_per_day.is_some_and(|units| !(units > 0.0 && units.is_finite())) {
            bail!("--units-per-day is a positive number: users, sessions or what is randomised");
        }
        let share = within("--share", args.share)?;
        let alpha = within("--alpha", args.alpha)?;
        Ok(Asked {
            distance,
            variance: variance / (AT * share) + variance / (AT * (1.0 - share)),
            alpha: alpha * epoch_share(1) / f64::from(args.claims.max(1)),
            per_day: args.units_per_day,
            power: args.power.map(|power| within("--power", power)).transpose()?,
            unit: if args.sd.is_none() { "1" } else { "" },
        })
    }

    fn effect(&self, units: f64, rule: ScaleRule, power: f64) -> f64 {
        minimum_detectable_effect(self.variance, AT, units, rule, self.alpha, power)
    }

    /// The fewest units, both arms together, at which the effect is found with this power.
    fn units(&self, rule: ScaleRule, power: f64) -> Option<f64> {
        let found = |units: f64| self.effect(units, rule, power) <= self.distance;
        if !found(UNITS_MAX) {
            return None;
        }
        let (mut low, mut high) = (1.0, UNITS_MAX);
        while high - low > 1.0 {
            let middle = ((low + high) * 0.5_f64).floor();
            if found(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    fn declared(&self) -> ScaleRule {
        ScaleRule::Effect(self.distance)
    }

    fn row(&self, power: f64) -> Json {
        let days = |units: Option<f64>| units.zip(self.per_day).map(|(units, rate)| units / rate);
        let declared = self.units(self.declared(), power);
        let undeclared = self.units(ScaleRule::NStar(N_STAR), power);
        let mut row = json!({"power": power});
        for (name, value) in [
            ("units", declared),
            ("days", days(declared)),
            ("units_undeclared", undeclared),
            ("days_undeclared", days(undeclared)),
        ] {
            // What is not known is absent.
            if let Some(value) = value {
                row[name] = json!(value);
            }
        }
        row
    }

    /// The smallest effect that is found after some days.
    fn smallest(&self) -> Vec<Json> {
        let power = self.power.unwrap_or(POWER_USUAL);
        let after = |(days, rate): (f64, f64)| {
            let effect = self.effect(days * rate, self.declared(), power);
            effect.is_finite().then(|| json!({"days": days, "effect": effect, "power": power}))
        };
        DAYS.iter().filter_map(|days| after((*days, self.per_day?))).collect()
    }

    fn notes(&self, args: &Plan) -> Vec<String> {
        let by = human::difference(self.distance, self.unit);
        let by = by.trim_start_matches('+');
        let mut notes = vec![match args.margin {
            Some(_) => format!(
                "Units of both arms together until an arm that is as good as control is known to \
                 be at most {by} worse."
            ),
            None => format!("Units of both arms together until a difference of {by} is found."),
        }];
        notes.push(match args.margin {
            Some(_) => "Declared: the metric has this margin in the config.".to_owned(),
            None => format!(
                "Declared: the metric has `effect_scale: {}` in the config before it begins.",
                self.distance
            ),
        });
        notes.push(
            "It may be looked at and stopped at any time: the error rate holds at every look."
                .to_owned(),
        );
        let smallest = self.smallest();
        let told = smallest.iter().filter_map(|found| {
            let effect = human::difference(found["effect"].as_f64()?, self.unit);
            let after = human::duration(found["days"].as_f64()? * SECONDS_A_DAY);
            Some(format!("{} after {after}", effect.trim_start_matches('+')))
        });
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            let power = human::share(self.power.unwrap_or(POWER_USUAL));
            notes.push(format!("Smallest difference found with {power}: {}.", told.join(", ")));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use clap::Parser;

    fn asked(line: &str) -> Result<Data> {
        let args = Args::try_parse_from(line.split_whitespace()).expect("arguments");
        let Command::Plan(args) = args.command else { panic!("a plan") };
        plan(&args)
    }

    #[test]
    fn a_plan_takes_more_than_a_test_of_fixed_size_and_less_than_three_times_it() {
        let line = "armspan plan --baseline 0.8 --effect 0.03 --units-per-day 2000 --power 0.8";
        let data = asked(line).expect("a plan");
        let units = data.items[0]["units"].as_f64().expect("units");
        // (z(0.98) + z(0.8))² · 2·p·q / d² units an arm: α 0.05 · 0.8, two-sided.
        let fixed = 2.0 * (2.0537 + 0.8416_f64).powi(2) * 2.0 * 0.16 / 0.03 / 0.03;
        assert!(units > fixed && units < 3.0 * fixed, "{units} of {fixed}");
        assert_eq!(data.items[0]["days"].as_f64(), Some(units / 2000.0));
        let undeclared = data.items[0]["units_undeclared"].as_f64().expect("units");
        assert!(undeclared > units * 0.8, "{undeclared}");
    }

    #[test]
    fn smaller_effects_more_claims_and_uneven_splits_take_more() {
        let units = |more: &str| {
            let line = format!("armspan plan --sd 2 --power 0.9 {more}");
            asked(&line).expect("a plan").items[0]["units"].as_f64().expect("units")
        };
        let plain = units("--effect 0.2");
        for more in ["--effect 0.1", "--effect 0.2 --claims 4", "--effect 0.2 --share 0.1"] {
            assert!(units(more) > plain, "{more}");
        }
        assert_eq!(units("--margin 0.2"), plain);
    }

    #[test]
    fn what_cannot_be_planned_is_told() {
        for (line, wanted) in [
            ("armspan plan --effect 0 --baseline 0.5", "for ever"),
            ("armspan plan --effect 0.1 --baseline 80", "--sd"),
            ("armspan plan --effect 0.1 --sd 1 --power 1", "--power"),
            ("armspan plan --effect 0.1 --sd 1 --units-per-day 0", "--units-per-day"),
        ] {
            let told = asked(line).expect_err(line).to_string();
            assert!(told.contains(wanted), "{line}: {told}");
        }
    }
}
