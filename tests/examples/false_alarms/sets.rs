//! The sample ratio through the engine, from exposures alone, and the drift detector.

use super::Task;
use super::feed::{BASE, EXPERIMENT};
use super::random::{Random, seed_of};
use super::spread::spread;
use super::table::{most, upper};
use armspan::app::fold::Fold;
use armspan::model::observation::{Define, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;
use armspan::stats::drift::Detector;
use std::io::{Result, Write};

/// Units of a stream and looks at it.
const UNITS: usize = 5_000;
const LOOKS: usize = 100;
/// Units of a stream with a mismatch.
const UNITS_MISMATCH: usize = 20_000;

/// A plan and what happens: shares by arm, before and after the change at the half, if any.
struct Ratio {
    name: &'static str,
    planned: &'static [&'static [f64]],
    real: Option<&'static [f64]>,
}

const RATIOS: [Ratio; 5] = [
    Ratio { name: "50/50", planned: &[&[0.5, 0.5]], real: None },
    Ratio { name: "90/10", planned: &[&[0.9, 0.1]], real: None },
    Ratio { name: "34/33/33", planned: &[&[0.34, 0.33, 0.33]], real: None },
    Ratio { name: "90/10, then 50/50", planned: &[&[0.9, 0.1], &[0.5, 0.5]], real: None },
    Ratio { name: "52/48 instead of 50/50", planned: &[&[0.5, 0.5]], real: Some(&[0.52, 0.48]) },
];
const ARMS: [&str; 3] = ["A", "B", "C"];

/// Counts alarms of the sample-ratio test.
pub fn ratios(task: &Task, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "\n| sample ratio | streams | alarms | 99 % quantile at 0.001 | share | median units |\n|---|---|---|---|---|---|"
    )?;
    for ratio in &RATIOS {
        let count = if ratio.real.is_some() { task.count.min(500) } else { task.count };
        let found = spread(task.threads, count, |number| alarm(ratio, task.seed, number as u64));
        let mut times: Vec<usize> = found.iter().flatten().copied().collect();
        times.sort_unstable();
        let share = 100.0 * times.len() as f64 / count as f64;
        let bound = match ratio.real {
            Some(_) => "–".to_owned(),
            None => most(count, 0.001, 0.01).to_string(),
        };
        let median = times.get(count / 2).map_or("–".to_owned(), usize::to_string);
        writeln!(
            out,
            "| {} | {count} | {} | {bound} | {share:.2} % | {median} |",
            ratio.name,
            times.len()
        )?;
    }
    Ok(())
}

fn settings(split: &[f64]) -> Settings {
    let mut settings = Settings { experiments_auto: false, ..Settings::default() };
    let split = ARMS.iter().zip(split).map(|(arm, share)| ((*arm).to_owned(), *share)).collect();
    let experiment = Experiment {
        control: Some("A".into()),
        unit: Some("user.id".into()),
        split,
        ..Experiment::default()
    };
    settings.experiments.insert(EXPERIMENT.into(), experiment);
    settings
}

/// Units until the alarm.
fn alarm(ratio: &Ratio, seed: u64, number: u64) -> Option<usize> {
    let mut random = Random::new(seed, number.wrapping_mul(31).wrapping_add(seed_of(ratio.name)));
    let mut fold = Fold::new(settings(ratio.planned[0]));
    let mut bytes = Vec::new();
    for text in [EXPERIMENT, "A", "B", "C"] {
        Observation::Define(Define::Name(Sym::of(text), text.into())).encode(&mut bytes);
    }
    fold.push(BASE, Body::Batch(bytes));
    let units = if ratio.real.is_some() { UNITS_MISMATCH } else { UNITS };
    let half = LOOKS / 2;
    for look in 0..LOOKS {
        let plan = ratio.planned[usize::from(ratio.planned.len() > 1 && look >= half)];
        let real = ratio.real.unwrap_or(plan);
        let start = BASE + look as u64 * MINUTE;
        let mut bytes = Vec::new();
        for at in 0..units / LOOKS {
            let time = start + at as u64 * SECOND / 4;
            exposure(&mut random, real, time).encode(&mut bytes);
        }
        fold.push(start + MINUTE + 31 * SECOND, Body::Batch(bytes));
        if ratio.planned.len() > 1 && look + 2 == half {
            let json = serde_json::to_string(&settings(ratio.planned[1])).expect("JSON");
            fold.push(fold.stamp(), Body::Config(json));
        }
        let memory = fold.engine.watch().memory(Sym::of(EXPERIMENT));
        if memory.is_some_and(|memory| memory.ratio_log_e >= 1_000f64.ln()) {
            return Some((look + 1) * (units / LOOKS));
        }
    }
    None
}

fn exposure(random: &mut Random, shares: &[f64], time: Nanos) -> Observation {
    let mut left = random.share();
    let at = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    Observation::Assignment(Assignment {
        trace: None,
        span: SpanId::NONE,
        experiment: Sym::of(EXPERIMENT),
        arm: Sym::of(ARMS[at.unwrap_or(shares.len() - 1)]),
        unit: Some(UnitHash(random.bits())),
        source: Source::Api,
        time,
        assigned_ppm: None,
        service: Sym::NONE,
    })
}

/// Minutes that a detector is fed.
const MINUTES: usize = 2_000;

/// Counts false alarms of detectors within 2,000 minutes: at most 2,000/A.
pub fn drifts(task: &Task, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "\n| drift | A | streams | false alarms | bound T/A | 99 % bound of the share |\n|---|---|---|---|---|---|"
    )?;
    type Draw = fn(&mut Random) -> f64;
    let rate: Draw = |random| f64::from(u8::from(random.chance(0.01)));
    let score: Draw = |random| random.beta(32.0, 8.0);
    let half: Draw = |random| f64::from(u8::from(random.chance(0.5)));
    let kinds: [(&str, f64, Draw); 3] =
        [("refusals 1 %", 0.01, rate), ("score .80", 0.8, score), ("pass/fail .5", 0.5, half)];
    for (name, mean, draw) in kinds {
        let peaks = spread(task.threads, task.count, |number| {
            let mut random = Random::new(task.seed, number as u64 ^ mean.to_bits());
            let mut detector = Detector::new(mean);
            let mut peak = f64::NEG_INFINITY;
            for minute in 0..MINUTES {
                detector.push(draw(&mut random), minute as u32);
                peak = peak.max(detector.log_sr());
            }
            peak
        });
        for level in [1e4, 1e5, 1e6] {
            let alarms = peaks.iter().filter(|peak| **peak >= f64::ln(level)).count();
            let bound = MINUTES as f64 / level;
            let sure = upper(alarms, task.count, 0.01);
            writeln!(
                out,
                "| {name} | {level:.0e} | {} | {alarms} | {bound:.3} | {sure:.3} |",
                task.count
            )?;
        }
    }
    Ok(())
}
