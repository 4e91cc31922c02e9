//! Numbers for people: 412 ms, 4.2 %, $0.0013, 12,480.

use super::record::{Level, MetricLine};

/// A level in the unit that people use.
pub fn level(value: f64, unit: &str) -> String {
    if value < 0.0 {
        return format!("−{}", level(-value, unit));
    }
    match unit {
        "s" if value.abs() < 1.0 => format!("{} ms", digits(value * 1e3)),
        "s" => format!("{} s", digits(value)),
        "1" => format!("{} %", digits(value * 100.0)),
        "USD" => dollars(value),
        "{call}" => count(value.round() as i64),
        _ => digits(value),
    }
}

/// A difference with its sign; shares and scores in [0, 1] differ by points of a percentage.
pub fn difference(value: f64, unit: &str) -> String {
    let size = match unit {
        "1" => format!("{} pp", digits(value.abs() * 100.0)),
        _ => level(value.abs(), unit),
    };
    match value {
        v if v > 0.0 => format!("+{size}"),
        v if v < 0.0 => format!("−{size}"),
        _ => size,
    }
}

/// By how much a metric may be worse, whichever way is worse: `10.0 pp`.
pub fn margin(size: f64, unit: &str) -> String {
    difference(size, unit).trim_start_matches('+').to_owned()
}

/// An interval of a difference: `+1.9 to +7.9 pp`; an open end says so.
pub fn interval(lower: Option<f64>, upper: Option<f64>, unit: &str) -> String {
    let (low, high) = (lower.map(|v| difference(v, unit)), upper.map(|v| difference(v, unit)));
    match (low, high) {
        (Some(low), Some(high)) => {
            let tail = low.rsplit_once(' ').map(|pair| pair.1.to_owned());
            let short = tail.filter(|tail| high.ends_with(&format!(" {tail}")));
            let low =
                short.map_or(low.clone(), |tail| low.trim_end_matches(&tail).trim_end().to_owned());
            format!("{low} to {high}")
        }
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "no interval yet".to_owned(),
    }
}

/// A length of time as people say it: `40 min`, `3 h`, `12 days`.
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if !s.is_finite() => return "–".to_owned(),
        s if s < 5_400.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "days"),
    };
    format!("{} {unit}", count(value.max(1.0).round() as i64))
}

/// How long ago something was, to the second: `3 s`, `12 min`, `5 h`.
pub fn age(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{} s", count(s.max(0.0).floor() as i64)),
        s => duration(s),
    }
}

/// The shape of a verdict's state or an action, for those who do not see its colour.
pub fn sign(state: &str) -> &'static str {
    match state {
        "better" | "ship" => "▲",
        "healthy" => "✓",
        "breached" | "regressed" | "roll back" => "▼",
        "invalid" => "✕",
        "insufficient" => "…",
        _ => "=",
    }
}

/// Who judged a metric: name, version and model.
pub fn grader(line: &MetricLine) -> String {
    let Some(grader) = &line.grader else { return "–".to_owned() };
    let parts = [&grader.name, &grader.version, &grader.model];
    let given: Vec<&str> = parts.into_iter().filter_map(|part| part.as_deref()).collect();
    given.join(" · ")
}

/// The level of a metric's line.
pub fn line(line: &MetricLine) -> String {
    line.level.as_ref().map_or("–".to_owned(), |found| level(found.estimate, &line.unit))
}

/// The interval of a level: `40.1 % to 42.3 %`; none when an end is open.
pub fn bounds(found: &Level, unit: &str) -> Option<String> {
    Some(format!("{} to {}", level(found.lower?, unit), level(found.upper?, unit)))
}

/// The confidence of an interval, all of its digits: 99.9375 % is not 99.9 %.
pub fn confidence(share: f64) -> String {
    // Shares are products and quotients of round numbers: what is beyond is rounding.
    format!("{} %", (share * 1e8).round() / 1e6)
}

/// A number as it is, three digits of it.
pub fn number(value: f64) -> String {
    level(value, "")
}

/// A share as a percentage.
pub fn share(value: f64) -> String {
    format!("{} %", digits(value * 100.0))
}

/// A probability of chance: 0.042, or 1.0e-9 where nobody counts zeros.
pub fn probability(value: f64) -> String {
    if value > 0.0 && value < 0.001 { format!("{value:.1e}") } else { digits(value) }
}

/// A whole number in groups of three.
pub fn count(value: i64) -> String {
    let text = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(text.len() + text.len() / 3 + 1);
    if value < 0 {
        out.push('−');
    }
    for (at, c) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in binary units.
pub fn bytes(value: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|unit| value >= unit.1) {
        Some((name, scale)) => format!("{} {name}", digits(value as f64 / *scale as f64)),
        None => format!("{value} B"),
    }
}

/// The first part of a run id.
pub fn run(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// 2026-11-23 14:02 of an RFC 3339 time; the text itself when it is none.
pub fn minute(at: &str) -> String {
    match at.get(..16) {
        Some(start) if at.as_bytes()[10] == b'T' => start.replace('T', " "),
        _ => at.to_owned(),
    }
}

fn dollars(value: f64) -> String {
    match value.abs() {
        0.0 => "$0".to_owned(),
        large if large >= 1.0 => format!("${value:.2}"),
        _ => format!("${}", digits(value)),
    }
}

/// Three significant digits; whole numbers from a thousand on in groups.
fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if size >= 99.95 {
        return count(value.round() as i64);
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metric::POINTS;

    #[test]
    fn numbers_look_as_people_write_them() {
        for (value, unit, text) in [
            (0.4123, "s", "412 ms"),
            (2.5, "s", "2.50 s"),
            (0.0421, "1", "4.21 %"),
            (0.00131, "USD", "$0.00131"),
            (12.3456, "USD", "$12.35"),
            (0.0, "1", "0 %"),
            (57.0, "{token}", "57.0"),
            (12_480.0, "{call}", "12,480"),
            (34.0, "{call}", "34"),
            (-0.00131, "USD", "−$0.00131"),
            (-12.3456, "USD", "−$12.35"),
            (-0.0042, "s", "−4.20 ms"),
            (f64::NAN, "s", "– s"),
        ] {
            assert_eq!(level(value, unit), text);
        }
        assert_eq!(difference(0.049, "1"), "+4.90 pp");
        assert_eq!(level(4.1, POINTS), "4.10");
        assert_eq!(interval(Some(-0.2), Some(0.35), POINTS), "−0.200 to +0.350");
        assert_eq!([0.95, 0.999375, 0.9995].map(confidence), ["95 %", "99.9375 %", "99.95 %"]);
        assert_eq!(difference(-0.2, "s"), "−200 ms");
        assert_eq!(interval(Some(0.019), Some(0.079), "1"), "+1.90 to +7.90 pp");
        assert_eq!(interval(Some(-0.2), Some(1.2), "s"), "−200 ms to +1.20 s");
        assert_eq!(interval(None, Some(0.1), "1"), "at most +10.0 pp");
        assert_eq!([1.0, 0.042, 2.3e-9, 0.0].map(probability), ["1.00", "0.0420", "2.3e-9", "0"]);
        assert_eq!(duration(2_400.0), "40 min");
        assert_eq!(duration(1e6), "12 days");
        assert_eq!((age(59.9), age(60.0)), ("59 s".to_owned(), "1 min".to_owned()));
        assert_eq!(count(-1_234_567), "−1,234,567");
        assert_eq!(bytes(20 << 20), "20.0 MiB");
        assert_eq!(minute("2026-11-23T14:02:11Z"), "2026-11-23 14:02");
    }
}
