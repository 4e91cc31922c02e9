//! Verdict and change events as signed POSTs: CloudEvents 1.0 in structured JSON, or messages for
//! Slack and what understands its format. Signed as Standard Webhooks 1.0 has it; the event's id
//! is the message's, so a receiver can tell a repeat.

mod slack;

use super::http::{self, Auth};
use super::{Around, Begin, Failure, History, Settings, Sink};
use crate::model::Secret;
use crate::model::delivery::{Body, Event, EventKind, Item, ItemKind};
use crate::model::url::part;
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// Begin of a key in base64, as Standard Webhooks writes them.
const KEY_PREFIX: &str = "whsec_";

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to post.
    #[arg(long, default_value_t, hide_default_value = true)]
    #[serde(serialize_with = "shown")]
    pub url: String,
    /// Key of the signature, as text or whsec_ and base64; unsigned without.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub secret: Secret,
    /// What is posted.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Which events; all when empty.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub events: Vec<Kind>,
    /// Verdicts that enter or leave one of these states; all when empty.
    #[arg(long, value_delimiter = ',')]
    pub states: Vec<String>,
    /// Only of this experiment.
    #[arg(id = "only", long = "only")]
    pub only: Option<String>,
}

/// The URL as it is shown: the path of a hook, and what follows it, is a key to it.
fn shown<S: serde::Serializer>(url: &str, out: S) -> Result<S::Ok, S::Error> {
    let whole = reqwest::Url::parse(url).ok().filter(|u| u.path() != "/" || u.query().is_some());
    let Some(mut bare) = whole else { return out.serialize_str(url) };
    bare.set_path("/");
    bare.set_query(None);
    bare.set_fragment(None);
    out.serialize_str(&format!("{bare}(secret)"))
}

/// What is posted.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents 1.0, structured JSON.
    #[default]
    Cloudevents,
    /// A message as Slack's incoming webhooks take it.
    Slack,
}

/// Which events.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The state of a verdict that decides.
    Verdict,
    /// Something changed inside an arm.
    Change,
}

/// An open sink.
struct Webhook {
    config: Config,
    client: reqwest::Client,
    dashboard: Option<String>,
}

// === impl Config ===

impl Settings for Config {
    /// The URL without its query and credentials: Slack's URLs are secrets from the path on, so
    /// of those only the host is named.
    fn target(&self) -> String {
        let Ok(url) = reqwest::Url::parse(&self.url) else { return self.url.clone() };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let hash = crate::model::canonical::sha256_text(self.url.as_bytes());
        let mark = hash.trim_start_matches("sha256:").get(..6).unwrap_or_default().to_owned();
        format!("{}://{host}{port}#{mark}", url.scheme())
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let url = reqwest::Url::parse(&self.url);
        if !url.is_ok_and(|url| ["http", "https"].contains(&url.scheme())) {
            out.push(("url", "is needed: an http or https URL that takes POSTs".to_owned()));
        }
        if key(&self.secret).is_none() && self.secret.reveal().is_some() {
            out.push(("secret", "begins with whsec_ but what follows is no base64".to_owned()));
        }
        let known = crate::model::verdict::State::ALL.map(|state| state.name());
        for state in self.states.iter().filter(|state| !known.contains(&state.as_str())) {
            out.push(("states", format!("\"{state}\" is none of {}", known.join(", "))));
        }
        out
    }

    fn begin(&self) -> Begin {
        Begin::Now
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        let (config, client) = (self.clone(), http::client()?);
        Ok(Box::new(Webhook { config, client, dashboard: around.dashboard.clone() }))
    }
}

impl Config {
    fn wants(&self, event: &Event) -> bool {
        let kind = match event.kind {
            EventKind::Verdict => Kind::Verdict,
            EventKind::Change => Kind::Change,
        };
        let states = [event.was.as_deref(), state(event)];
        let listed = |wanted: &String| states.contains(&Some(wanted.as_str()));
        (self.events.is_empty() || self.events.contains(&kind))
            && self.only.as_deref().is_none_or(|only| only == event.experiment)
            && (kind == Kind::Change || self.states.is_empty() || self.states.iter().any(listed))
    }
}

/// The state that a verdict entered.
fn state(event: &Event) -> Option<&str> {
    Some(event.metric.as_ref()?.verdict.as_ref()?.state.as_str())
}

// === impl Webhook ===

#[async_trait]
impl Sink for Webhook {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Event
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Event(event) = &item.body else { return Ok(()) };
        if !self.config.wants(event) {
            return Ok(());
        }
        let (kind, document) = match self.config.format {
            Format::Cloudevents => {
                ("application/cloudevents+json", cloud_event(event, self.dashboard.as_deref()))
            }
            Format::Slack => ("application/json", slack::message(event, self.dashboard.as_deref())),
        };
        let body = document.to_string();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .client
            .post(&self.config.url)
            .header("content-type", kind)
            .header("idempotency-key", &event.id)
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", seconds.to_string());
        if let Some(key) = key(&self.config.secret) {
            request = request.header("webhook-signature", sign(&key, &event.id, seconds, &body));
        }
        let what = format!("POST {}", self.config.target());
        http::send(request.body(body), &Auth::None, &what).await?.ok(&what)?;
        Ok(())
    }
}

/// The event as a CloudEvent; `source` and `id` together are unique.
fn cloud_event(event: &Event, dashboard: Option<&str>) -> Json {
    let parts = [Some(event.site.as_str()), event.arm.as_deref(), metric(event)];
    let subject: Vec<&str> = parts.into_iter().flatten().collect();
    json!({
        "specversion": "1.0",
        "id": event.id,
        "source": source(event, dashboard),
        "type": format!("dev.armspan.{}", event.kind.name()),
        "subject": subject.join("/"),
        "time": event.at,
        "datacontenttype": "application/json",
        "dataschema": format!("urn:{}", event.schema.replace('/', ":")),
        "data": event,
    })
}

fn metric(event: &Event) -> Option<&str> {
    Some(event.metric.as_ref()?.name.as_str())
}

/// Where the experiment can be looked at; a URI reference without a dashboard.
fn source(event: &Event, dashboard: Option<&str>) -> String {
    format!("{}/experiments/{}", dashboard.unwrap_or_default(), part(&event.experiment))
}

/// The bytes of the key; none when there is none, or when it is no base64.
fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.reveal()?;
    match text.strip_prefix(KEY_PREFIX) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok().filter(|key| !key.is_empty()),
        None => Some(text.as_bytes().to_vec()),
    }
}

/// `v1,` and the base64 of the HMAC-SHA-256 over id, time and body.
fn sign(key: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests;
