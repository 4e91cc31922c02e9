//! Flags of `bench`.

use clap::ValueEnum;
use std::num::NonZeroU32;

/// Users have eight digits.
const USERS_MAX: i64 = 100_000_000;

/// `bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The receiver; by default http://127.0.0.1:4317, over HTTP http://127.0.0.1:4318.
    #[arg(value_name = "URL")]
    pub target: Option<String>,
    /// How to talk to it.
    #[arg(long, value_enum, default_value_t)]
    pub protocol: Protocol,
    /// Offer so many spans a second, and count latency from when a request was due; else flat out.
    #[arg(long, value_name = "SPANS", value_parser = positive)]
    pub rate: Option<f64>,
    /// How long to measure.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    pub seconds: f64,
    /// How long to send before that.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = not_negative)]
    pub warmup: f64,
    /// Spans in a request.
    #[arg(long, value_name = "SPANS", default_value = "512")]
    pub batch: NonZeroU32,
    /// Spans in a trace: calls of one user and arm, below a span that another service would send.
    #[arg(long, value_name = "SPANS", default_value = "4")]
    pub trace_len: NonZeroU32,
    /// Arms, each with equally many users.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub arms: u32,
    /// Distinct users; each always gets the same arm, and all come equally often.
    #[arg(long, default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1..=USERS_MAX))]
    pub users: u32,
    /// Name of the flag.
    #[arg(long, value_name = "NAME", default_value = "support-bot-prompt")]
    pub experiment: String,
    /// Connections over gRPC; HTTP has one for each request in flight.
    #[arg(long, default_value = "4")]
    pub connections: NonZeroU32,
    /// Requests in flight.
    #[arg(long, default_value = "16")]
    pub inflight: NonZeroU32,
    /// Threads of the client.
    #[arg(long, default_value_t = 1, value_parser = threads)]
    pub threads: usize,
    /// What a span carries.
    #[arg(long, value_enum, default_value_t)]
    pub shape: Shape,
    /// Let the spans' times run so many times faster than the clock, from the past until now.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = positive)]
    pub clock_speed: f64,
    /// Process of the receiver on this machine, for its CPU seconds and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Name of this run, for the document.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
}

/// How to talk to the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Protocol {
    /// OTLP over gRPC.
    #[default]
    Grpc,
    /// OTLP over HTTP, as protobuf.
    Http,
}

/// What a span carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Shape {
    /// 26 attributes as the current conventions for GenAI have them, about 1.4 kB.
    #[default]
    Genai,
    /// The 8 attributes that an experiment needs at least, about 0.4 kB.
    Small,
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|_| "not a number".to_owned())?;
    number.is_finite().then_some(number).ok_or("not a finite number".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    number(text)
        .and_then(|number| (number > 0.0).then_some(number).ok_or("must be above 0".to_owned()))
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| {
        (number >= 0.0).then_some(number).ok_or("must not be below 0".to_owned())
    })
}

fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_| "not a whole number".to_owned())?;
    (1..=64).contains(&number).then_some(number).ok_or("must be 1 to 64".to_owned())
}

// === impl Args ===

impl Args {
    /// Where the receiver listens.
    pub fn target(&self) -> &str {
        match (&self.target, self.protocol) {
            (Some(url), _) => url.trim_end_matches('/'),
            (None, Protocol::Grpc) => "http://127.0.0.1:4317",
            (None, Protocol::Http) => "http://127.0.0.1:4318",
        }
    }
}

// === impl Protocol ===

impl Protocol {
    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    pub fn parsed(words: &[&str]) -> Args {
        let words = std::iter::once("bench").chain(words.iter().copied());
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn what_makes_no_load_is_a_usage_error() {
        let bad = ["--batch=0", "--rate=-1", "--seconds=0", "--users=100000001", "--arms=0"];
        for word in bad.into_iter().chain(["--threads=0", "--clock-speed=NaN", "--inflight=0"]) {
            assert!(Line::try_parse_from(["bench", word]).is_err(), "{word}");
        }
    }

    #[test]
    fn the_receiver_is_where_its_protocol_listens() {
        assert_eq!(parsed(&[]).target(), "http://127.0.0.1:4317");
        assert_eq!(parsed(&["--protocol", "http"]).target(), "http://127.0.0.1:4318");
        assert_eq!(parsed(&["http://example:1/"]).target(), "http://example:1");
    }
}
