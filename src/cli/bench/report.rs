//! What `bench` says: a table for people, and the document.

use super::args::Args;
use super::load::{Outcome, Server};
use crate::cli::print::Data;
use crate::model::human;
use serde_json::{Value as Json, json};

/// As both.
pub fn data(args: &Args, outcome: &Outcome) -> Data {
    let document = document(args, outcome);
    Data {
        columns: vec!["figure".to_owned(), "value".to_owned()],
        rows: rows(outcome).into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect(),
        items: vec![document.clone()],
        document,
        notes: outcome
            .first_failure
            .iter()
            .map(|why| format!("The first failure: {why}"))
            .collect(),
        ..Data::default()
    }
}

fn rows(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let per_second = |number: f64| human::count((number / outcome.seconds).round() as i64);
    let bytes = (outcome.bytes as f64 / outcome.seconds) as u64;
    let count = |number: u64| human::count(number as i64);
    let mut out = vec![
        (
            "acknowledged",
            format!(
                "{} spans/s, {}/s",
                per_second(outcome.acknowledged as f64),
                human::bytes(bytes)
            ),
        ),
        ("latency", latency(outcome)),
        ("dropped", format!("{} spans", count(outcome.dropped))),
        ("told to come back", format!("{} times", count(outcome.later))),
    ];
    if let Some(server) = &outcome.server {
        let cores = human::number(server.cpu_s / outcome.seconds);
        let each = per_cpu_s(outcome, server).map_or("–".to_owned(), |n| count(n as u64));
        out.push(("server", format!("{each} spans per CPU second, {cores} cores")));
        let (peak, end) = (human::bytes(server.peak_rss_bytes), human::bytes(server.rss_bytes));
        out.push(("server's memory", format!("at most {peak}, {end} in the end")));
    }
    if let Some(cpu_s) = outcome.client_cpu_s {
        out.push(("client", format!("{} cores", human::number(cpu_s / outcome.seconds))));
    }
    out
}

fn latency(outcome: &Outcome) -> String {
    let at = |share| {
        quantile(&outcome.latencies, share)
            .map_or("–".to_owned(), |micros| human::level(f64::from(micros) / 1e6, "s"))
    };
    let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(at);
    format!("p50 {p50}, p99 {p99}, p99.9 {p999}, at most {most}")
}

fn document(args: &Args, outcome: &Outcome) -> Json {
    let ms =
        |share| quantile(&outcome.latencies, share).map(|micros| round(f64::from(micros) / 1e3, 3));
    json!({
        "label": args.label,
        "protocol": args.protocol.name(),
        "batch": args.batch,
        "trace_len": args.trace_len,
        "arms": args.arms,
        "users": args.users,
        "connections": args.connections,
        "inflight": args.inflight,
        "offered_spans_per_s": args.rate,
        "bytes_per_span": round(outcome.bytes_per_span, 0),
        "seconds": round(outcome.seconds, 3),
        "spans_per_s": round(outcome.acknowledged as f64 / outcome.seconds, 0),
        "bytes_per_s": round(outcome.bytes as f64 / outcome.seconds, 0),
        "latency_ms": {"p50": ms(0.5), "p99": ms(0.99), "p999": ms(0.999), "max": ms(1.0)},
        "requests": outcome.latencies.len(),
        "spans": {
            "acknowledged": outcome.acknowledged,
            "acknowledged_in_all": outcome.acknowledged_in_all,
            "rejected": outcome.rejected,
            "dropped": outcome.dropped,
        },
        "answers": {"later": outcome.later, "refused": outcome.refused},
        "first_failure": outcome.first_failure,
        "server": outcome.server.as_ref().map(|server| json!({
            "cpu_s": round(server.cpu_s, 2),
            "spans_per_cpu_s": per_cpu_s(outcome, server),
            "rss_bytes": server.rss_bytes,
            "peak_rss_bytes": server.peak_rss_bytes,
        })),
        "client_cpu_s": outcome.client_cpu_s.map(|cpu_s| round(cpu_s, 2)),
        "stolen_s": outcome.stolen_s.map(|cpu_s| round(cpu_s, 2)),
    })
}

fn per_cpu_s(outcome: &Outcome, server: &Server) -> Option<f64> {
    (server.cpu_s > 0.0).then(|| round(outcome.acknowledged as f64 / server.cpu_s, 0))
}

/// The smallest value that so large a share does not exceed.
fn quantile(sorted: &[u32], share: f64) -> Option<u32> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Format;
    use crate::cli::bench::args::tests::parsed;
    use crate::cli::print;

    fn outcome() -> Outcome {
        Outcome {
            seconds: 2.0,
            acknowledged: 200_000,
            bytes: 200_000 * 1_375,
            dropped: 12,
            latencies: (1..=1_000).map(|at| at * 10).collect(),
            server: Some(Server { cpu_s: 1.6, rss_bytes: 3 << 20, peak_rss_bytes: 5 << 20 }),
            ..Outcome::default()
        }
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let seen = [1, 2, 3, 4];
        assert_eq!([0.5, 0.75, 0.76, 1.0].map(|q| quantile(&seen, q)), [2, 3, 4, 4].map(Some));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn table_and_document_say_the_same() {
        let data = data(&parsed(&["--label", "x"]), &outcome());
        let mut out = Vec::new();
        print::print(&data, Format::Table, &mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        for part in ["100,000 spans/s, 131 MiB/s", "125,000 spans per CPU second, 0.800 cores"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(
            text.contains("p50 5.00 ms, p99 9.90 ms, p99.9 9.99 ms, at most 10.0 ms"),
            "{text}"
        );
        let found = &data.document;
        assert_eq!((&found["label"], &found["spans_per_s"]), (&json!("x"), &json!(100_000.0)));
        assert_eq!(found["server"]["spans_per_cpu_s"], json!(125_000.0));
        assert_eq!(found["latency_ms"]["p99"], json!(9.9));
        assert_eq!(found["spans"]["dropped"], json!(12));
    }
}
