//! Both text formats. A series that was written already is left out: names of strangers can
//! collide, and one repeated series makes a scraper drop the whole page.

use crate::model::view::Exemplar;
use std::collections::HashSet;
use std::fmt::Write;

/// Series on the page at most; more are left out, and how many is told.
pub const SERIES_MAX: usize = 50_000;

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Never falls; its name ends with `_total`.
    Counter,
    /// A counter `x_total` beside a gauge `x`: OpenMetrics gives both the family name `x`, and
    /// forbids that, so there the counter goes without a type.
    ShadowedCounter,
    /// Goes up and down.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

/// Writes families one after the other.
#[derive(Debug)]
pub struct Encoder {
    open: bool,
    tenant: Option<String>,
    text: String,
    seen: HashSet<String>,
    left_out: usize,
}

impl Encoder {
    /// For OpenMetrics when `open`, else for the Prometheus text format; each series has the label
    /// `tenant` when there is one.
    pub fn new(open: bool, tenant: Option<&str>) -> Self {
        let tenant = tenant.map(str::to_owned);
        Encoder { open, tenant, text: String::new(), seen: HashSet::new(), left_out: 0 }
    }

    /// A name with its labels.
    fn series(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let tenant = self.tenant.as_ref().map(|tenant| ("tenant", tenant.as_str()));
        let labels: Vec<_> = tenant.into_iter().chain(labels.iter().copied()).collect();
        series(name, &labels)
    }

    /// Begins a family.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let short = name.strip_suffix("_total").unwrap_or(name);
        let name = if self.open && kind == Kind::Counter { short } else { name };
        let word = match kind {
            Kind::ShadowedCounter if self.open => "unknown",
            Kind::Counter | Kind::ShadowedCounter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {word}\n");
    }

    /// One sample of the family that was begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.line(self.series(name, labels), value, "");
    }

    /// A bucket of a histogram with a call that fell into it, where the format has exemplars.
    pub fn bucket(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: f64,
        exemplar: Option<&Exemplar>,
    ) {
        let tail = exemplar.filter(|_| self.open).map(|call| {
            let (trace, span) = (&call.trace_id, &call.span_id);
            let at = Decimal(call.at);
            format!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {at}", number(call.value))
        });
        self.line(self.series(name, labels), value, tail.as_deref().unwrap_or_default());
    }

    fn line(&mut self, series: String, value: f64, tail: &str) {
        if self.seen.len() >= SERIES_MAX {
            self.left_out += 1;
            return;
        }
        let line = format!("{series} {}{tail}\n", number(value));
        if self.seen.insert(series) {
            self.text.push_str(&line);
        }
    }

    /// The page.
    pub fn finish(mut self) -> String {
        const NAME: &str = "armspan_series_left_out";
        self.family(NAME, Kind::Gauge, "Series above the limit of this page.");
        let _ = writeln!(self.text, "{} {}", self.series(NAME, &[]), self.left_out);
        if self.open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A name with its labels.
fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let mut series = name.to_owned();
    for (at, (label, text)) in labels.iter().enumerate() {
        let open = if at == 0 { '{' } else { ',' };
        let _ = write!(series, "{open}{label}=\"{}\"", escaped(text));
    }
    if !labels.is_empty() {
        series.push('}');
    }
    series
}

/// Nanoseconds as seconds, to the millisecond.
struct Decimal(u64);

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{}.{:03}", millis / 1_000, millis % 1_000)
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    value.to_string()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            // A bare one would end the line for some readers.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
