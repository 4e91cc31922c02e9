//! OTLP out: verdicts and changes as log records, the present figures as metrics.
//!
//! Events come through the outbox, each until the receiver has it. Metrics are cumulative sums of
//! our own and not measured here, so they are written into the messages by hand; they are sent
//! every interval and a lost request is made up for by the next one. All times are log time.

mod answer;
mod client;
mod events;
mod histogram;
mod points;

use super::{Around, Failure, History, Settings, Sink};
use crate::model::delivery::{Body, Event, Item, ItemKey, ItemKind};
use crate::model::settings::Span;
use crate::model::{Secret, View};
use answer::Fault;
use async_trait::async_trait;
use client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often metrics are sent unless the config says otherwise.
const INTERVAL: Span = Span::seconds(60);
/// The shortest interval.
const INTERVAL_MIN: Span = Span::seconds(1);
/// After so many answers 500 to one item it is passed over: OTLP does not call 500 worth another
/// try, and some receivers give it for what they never take.
const UNCLEAR_MAX: u32 = 5;

/// How requests travel.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Protobuf over HTTP.
    #[default]
    Http,
    /// gRPC.
    Grpc,
}

/// What is sent.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Verdicts and changes.
    Logs,
    /// Figures of arms.
    Metrics,
}

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// URL of the receiver; over HTTP, /v1/logs and /v1/metrics are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// How requests travel.
    #[arg(long, value_enum, default_value_t)]
    pub protocol: Protocol,
    /// Headers of every request, each `name=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[arg(long, value_name = "NAME=VALUE")]
    pub headers: Vec<Secret>,
    /// What is sent; all of it when absent. A receiver may take only one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub signals: Vec<Signal>,
    /// How often metrics are sent; every minute when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_parser = Span::parse, value_name = "TIME")]
    pub interval: Option<Span>,
}

/// An open sink.
pub struct Otlp {
    config: Config,
    client: Client,
    counters: points::Counters,
    unclear: Unclear,
}

/// How often the receiver gave no clear answer to an item.
#[derive(Default)]
struct Unclear {
    key: ItemKey,
    count: u32,
}

// === impl Config ===

impl Config {
    fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or_default().trim_end_matches('/')
    }

    fn sends(&self, signal: Signal) -> bool {
        self.signals.is_empty() || self.signals.contains(&signal)
    }
}

impl Settings for Config {
    fn target(&self) -> String {
        self.endpoint().to_owned()
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let url = self.endpoint();
        if http::Uri::try_from(url).ok().and_then(|uri| uri.host().map(str::len)).is_none()
            || !(url.starts_with("http://") || url.starts_with("https://"))
        {
            let what = "is needed: the URL of a receiver, such as https://collector:4318";
            out.push(("endpoint", what.into()));
        } else if url.contains('@') {
            out.push(("endpoint", "use headers for credentials".into()));
        }
        if ["/v1/logs", "/v1/metrics", "/v1/traces"].iter().any(|path| url.ends_with(path)) {
            out.push(("endpoint", "leave /v1/… away: it is added for each signal".into()));
        }
        for (number, header) in self.headers.iter().enumerate() {
            if let Err(what) = client::header(header) {
                // Not its text: it is secret.
                out.push(("headers", format!("header {}: {what}", number + 1)));
            }
        }
        if self.interval.is_some_and(|interval| interval < INTERVAL_MIN) {
            out.push(("interval", "at least 1s".into()));
        }
        out
    }

    fn receiver(&self) -> Option<&str> {
        Some(self.endpoint())
    }

    fn open(&self, _around: &Around) -> Result<Box<dyn Sink>, Failure> {
        let client = Client::new(self)?;
        let counters = points::Counters::default();
        let unclear = Unclear::default();
        Ok(Box::new(Otlp { config: self.clone(), client, counters, unclear }))
    }
}

// === impl Otlp ===

#[async_trait]
impl Sink for Otlp {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Event && self.config.sends(Signal::Logs)
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Event(event) = &item.body else { return Ok(()) };
        let done = self.client.send(events::request(event)).await;
        done.map_err(|fault| self.unclear.judge(item.key, fault, event))
    }

    fn pulse(&self) -> Option<Duration> {
        let interval = self.config.interval.unwrap_or(INTERVAL);
        self.config.sends(Signal::Metrics).then(|| Duration::from_nanos(interval.0))
    }

    async fn beat(&mut self, view: &View) -> Result<(), Failure> {
        let mut worst = Ok(());
        for request in points::requests(view, &mut self.counters) {
            match self.client.send(request).await {
                Ok(()) => {}
                // What is refused is a part of the figures only; the others still go.
                Err(fault @ Fault::Refused(_)) => worst = Err(fault.into_failure()),
                Err(fault) => return Err(fault.into_failure()),
            }
        }
        worst
    }
}

// === impl Unclear ===

impl Unclear {
    /// The failure that a fault is; an unclear answer is worth another try, but not for ever.
    fn judge(&mut self, key: ItemKey, fault: Fault, event: &Event) -> Failure {
        let Fault::Unclear(what) = fault else { return fault.into_failure() };
        if self.key != key {
            *self = Unclear { key, count: 0 };
        }
        self.count += 1;
        if self.count < UNCLEAR_MAX {
            return Failure::later(what);
        }
        let id = &event.id;
        Failure::refused(format!("{what}; event {id} was passed over after {UNCLEAR_MAX} tries"))
    }
}

#[cfg(test)]
mod tests;
