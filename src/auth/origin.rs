//! Requests that a browser was tricked into: a name that was bound to our address (DNS
//! rebinding), and a page of another site that posts here (CSRF).

use super::Door;
use super::refusal::Refusal;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Uri, Version};
use std::net::IpAddr;

/// Host names under which we are asked, beside `localhost` and addresses: no stranger can bind
/// an address to another one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Those of the config.
    pub fn new(names: &[String]) -> Hosts {
        Hosts(names.iter().map(|name| plain(name)).collect())
    }

    fn knows(&self, host: &str) -> bool {
        let host = plain(host);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }

    /// The web listener answers only to names that are its own.
    pub fn check_host(&self, parts: &Parts) -> Result<(), Refusal> {
        match authority(parts) {
            Some(authority) if self.knows(authority.host()) => Ok(()),
            Some(_) => Err(Refusal::host(
                "this host name is not known here; if it is meant to be ours, add it to web.hosts",
            )),
            None => Err(Refusal::host("the request names no host")),
        }
    }

    /// What changes something does not come from a page of another site. Programs that are no
    /// browsers send neither header.
    pub fn check_origin(&self, parts: &Parts) -> Result<(), Refusal> {
        let other = "this came from a page of another site";
        let site = parts.headers.get("sec-fetch-site");
        if site.is_some_and(|site| site == "cross-site") {
            return Err(Refusal::forbidden(other));
        }
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        let origin = origin.as_ref().and_then(Uri::authority);
        let ours = origin.is_some_and(|origin| {
            authority(parts).is_some_and(|own| same(&own, origin)) || self.names(origin.host())
        });
        if ours && origins.next().is_none() { Ok(()) } else { Err(Refusal::forbidden(other)) }
    }

    /// A proxy may have changed our name on the way.
    fn names(&self, host: &str) -> bool {
        self.0.contains(&plain(host))
    }
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn same(one: &Authority, two: &Authority) -> bool {
    let of = |authority: &Authority| (plain(authority.host()), authority.port_u16());
    of(one) == of(two)
}

/// As whom we are asked: `:authority` of HTTP/2, else the one `Host`.
fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok();
    if hosts.next().is_some() { None } else { host }
}

/// Scores are JSON and say so: a form of another page cannot.
pub fn check_media(door: Door, parts: &Parts) -> Result<(), Refusal> {
    if door != Door::Web || parts.method != Method::POST {
        return Ok(());
    }
    let media = parts.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let json = |media: &str| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    };
    match media {
        Some(media) if json(media) => Ok(()),
        None if is_empty(parts) => Ok(()),
        _ => Err(Refusal::media("the content type must be application/json")),
    }
}

/// Whether the head says that there is no body.
fn is_empty(parts: &Parts) -> bool {
    match parts.headers.get(CONTENT_LENGTH) {
        Some(length) => length == "0",
        // HTTP/2 needs no length for a body; without a content type it is no matter of ours.
        None => parts.version < Version::HTTP_2 && !parts.headers.contains_key(TRANSFER_ENCODING),
    }
}
