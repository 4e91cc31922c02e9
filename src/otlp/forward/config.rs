//! Settings of forwarding.

use crate::model::Secret;
use crate::model::settings::Span;
use crate::otlp::Signal;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long downstream may take: two tries fit into the ten seconds of most SDKs.
const TIMEOUT: Span = Span::seconds(5);
/// The longest that it may be given: requests that wait hold their bytes.
const TIMEOUT_MAX: Span = Span::seconds(60);
/// Headers that belong to the protocol.
const OWN: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// How requests travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OTLP over HTTP: each request in the form it came in, protobuf or JSON.
    #[default]
    Http,
    /// OTLP over gRPC; JSON is written as protobuf.
    Grpc,
}

/// Where requests go on to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// URL of a receiver of OTLP; over HTTP, /v1/traces and so on are added.
    pub endpoint: String,
    /// How requests travel.
    pub protocol: Protocol,
    /// Headers of every request, each `name=value`; none of the client's go on.
    pub headers: Vec<Secret>,
    /// How long downstream may take, at most 60s; then the client is told to come back.
    pub timeout: Span,
    /// What goes on.
    pub signals: Vec<Signal>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            protocol: Protocol::default(),
            headers: Vec::new(),
            timeout: TIMEOUT,
            signals: Signal::ALL.to_vec(),
        }
    }
}

impl Config {
    /// Everything that is wrong, by key; no secret is in it.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if let Some(what) = self.endpoint_fault() {
            out.push(("endpoint", what));
        }
        if let Err(what) = self.header_map() {
            out.push(("headers", what));
        }
        if self.timeout.0 == 0 || self.timeout > TIMEOUT_MAX {
            out.push(("timeout", "lies above 0 and up to 60s".into()));
        }
        if self.signals.is_empty() {
            out.push(("signals", "names traces, logs or metrics".into()));
        }
        out
    }

    fn endpoint_fault(&self) -> Option<String> {
        let url = &self.endpoint;
        if url.contains('@') {
            return Some("use headers for credentials".into());
        }
        let uri = url.parse::<Uri>().ok();
        let web = uri.as_ref().is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if !web || url.contains(['?', '#']) {
            return Some(format!("\"{url}\" is no URL such as https://collector:4318"));
        }
        if Signal::ALL.iter().any(|signal| url.trim_end_matches('/').ends_with(signal.path())) {
            return Some("leave /v1/… away: it is added for each signal".into());
        }
        let path = uri.is_some_and(|uri| !matches!(uri.path(), "" | "/"));
        (path && self.protocol == Protocol::Grpc).then(|| "has no path over gRPC".into())
    }

    /// The headers, hidden from debug output.
    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut out = HeaderMap::new();
        for (at, text) in self.headers.iter().enumerate() {
            let (name, value) =
                header(text).map_err(|what| format!("header {}: {what}", at + 1))?;
            out.append(name, value);
        }
        Ok(out)
    }
}

/// Name and value of `name=value`; the error does not show it.
fn header(text: &Secret) -> Result<(HeaderName, HeaderValue), &'static str> {
    let pair = text.reveal().and_then(|text| text.split_once('='));
    let (name, value) = pair.ok_or("write it as name=value")?;
    let name: HeaderName = name.trim().to_ascii_lowercase().parse().map_err(|_| "no such name")?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| "its value is no text")?;
    if OWN.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
        return Err("this one is set by the protocol");
    }
    if name.as_str().ends_with("-bin") {
        return Err("names that end with -bin are for bytes");
    }
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(edit: impl Fn(&mut Config)) -> String {
        let mut config = Config { endpoint: "http://c:4318".into(), ..Config::default() };
        edit(&mut config);
        let lines = config.faults().into_iter().map(|(key, what)| format!("{key}: {what}\n"));
        lines.collect()
    }

    #[test]
    fn what_cannot_work_is_told_by_key() {
        assert_eq!(faults(|_| {}), "");
        assert_eq!(faults(|c| c.endpoint = "https://c/otlp/".into()), "");
        for url in ["", "collector:4318", "ftp://c", "http://c/?a=b"] {
            let told = faults(|c| c.endpoint = url.into());
            assert!(told.starts_with("endpoint: ") && told.contains("no URL"), "{url}: {told}");
        }
        assert!(faults(|c| c.endpoint = "http://c/v1/traces/".into()).contains("/v1/"));
        let grpc = faults(|c| {
            c.endpoint = "http://c/otlp".into();
            c.protocol = Protocol::Grpc;
        });
        assert!(grpc.contains("no path"), "{grpc}");
        assert!(faults(|c| c.timeout = Span(0)).starts_with("timeout: "));
        assert!(faults(|c| c.timeout = Span::seconds(61)).starts_with("timeout: "));
        assert!(faults(|c| c.signals.clear()).starts_with("signals: "));
    }

    #[test]
    fn a_wrong_header_is_told_without_its_text() {
        for text in ["hunter2", "a b=hunter2", "host=hunter2", "grpc-encoding=hunter2", "x=a\nb"] {
            let told = faults(|c| c.headers = vec![Secret::new("a=b"), Secret::new(text)]);
            assert!(told.starts_with("headers: header 2: "), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        let told = faults(|c| c.endpoint = "http://u:hunter2@c".into());
        assert!(told.contains("credentials") && !told.contains("hunter2"), "{told}");
        let config = Config { headers: vec![Secret::new("X-Key = hunter2")], ..Config::default() };
        let headers = config.header_map().expect("fits");
        assert_eq!(headers["x-key"], "hunter2");
        assert!(!format!("{headers:?}{config:?}").contains("hunter2"));
    }
}
