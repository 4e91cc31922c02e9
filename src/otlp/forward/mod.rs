//! Forwarding: a request's bytes go on to another receiver of OTLP, untouched, and the client is
//! answered when they are in our log and there.
//!
//! Nothing is kept and nothing is sent again: what downstream does not take is answered
//! retryably, the client sends it again, and our dedupe absorbs the repeat. No header of the
//! client goes on, only those of the config: credentials for us are not meant for others.

mod answer;
mod config;
mod way;

pub use config::{Config, Protocol};

use super::admit::Permit;
use super::answer::Partial;
use super::denied::Denied;
use super::inflate::Encoding;
use super::{Receiver, Signal};
use crate::model::{Meter, meter};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use way::{Outgoing, Way};

/// Requests that are sent at once, which bounds connections over HTTP/1.1; others wait.
const AT_ONCE_MAX: usize = 64;

/// A request as it came and as it was read; all of it counts as in flight.
pub(super) struct Parcel {
    /// The message, compressed as `encoding` says.
    pub wire: Bytes,
    /// How.
    pub encoding: Encoding,
    /// The same with its gRPC prefix, when it came over gRPC.
    pub frame: Option<Bytes>,
    /// Not compressed: protobuf or JSON.
    pub plain: Bytes,
    /// Whether it is JSON.
    pub json: bool,
    /// Protobuf; the same as `plain` unless that is JSON.
    pub protobuf: Bytes,
}

impl Parcel {
    /// Of uncompressed protobuf.
    pub fn plain(message: Bytes) -> Parcel {
        let (plain, protobuf) = (message.clone(), message.clone());
        let (encoding, frame, json) = (Encoding::Identity, None, false);
        Parcel { wire: message, encoding, frame, plain, json, protobuf }
    }
}

/// Sends requests on.
pub struct Forwarder {
    way: Way,
    endpoint: String,
    signals: Vec<Signal>,
    timeout: Duration,
    places: Semaphore,
    meter: Arc<Meter>,
    failing: AtomicBool,
}

// === impl Forwarder ===

impl Forwarder {
    /// Does not connect yet, but needs the runtime that it lives in. Errors are those of
    /// [`Config::faults`].
    pub fn new(config: &Config, meter: Arc<Meter>) -> Result<Self, String> {
        Ok(Forwarder {
            way: Way::new(config)?,
            endpoint: config.endpoint.clone(),
            signals: config.signals.clone(),
            timeout: Duration::from_nanos(config.timeout.0),
            places: Semaphore::new(AT_ONCE_MAX),
            meter,
            failing: AtomicBool::new(false),
        })
    }

    /// What there is to send; `None` when this signal stays here. Bytes that are copied for it
    /// are admitted.
    fn prepare(
        &self,
        signal: Signal,
        parcel: &Parcel,
        permit: &mut Permit,
    ) -> Result<Option<Outgoing>, Denied> {
        if !self.signals.contains(&signal) {
            return Ok(None);
        }
        self.way.prepare(parcel, permit).map(Some)
    }

    /// Sends once and says what downstream answered.
    async fn send(&self, signal: Signal, outgoing: Outgoing) -> Result<Partial, Denied> {
        let mut begun = false;
        let sending = async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await;
            begun = true;
            self.way.send(signal, outgoing).await
        };
        let sent = timeout(self.timeout, sending).await;
        let sent = sent.unwrap_or_else(|_| {
            if begun {
                self.way.reconnect();
            }
            Err(Denied::Downstream("it did not answer in time".into()))
        });
        self.count(signal, &sent);
        sent
    }

    fn count(&self, signal: Signal, sent: &Result<Partial, Denied>) {
        let outcome = match sent {
            Ok(_) => meter::Forwarded::Ok,
            Err(denied) if denied.retryable() => meter::Forwarded::Later,
            Err(_) => meter::Forwarded::Refused,
        };
        Meter::add(&self.meter.forwarded[signal as usize][outcome as usize], 1);
        // One line when it begins and one when it ends, not one for each request. What downstream
        // says is for the client only: it may quote content.
        let failing = outcome == meter::Forwarded::Later;
        if self.failing.swap(failing, Relaxed) != failing {
            let endpoint = &self.endpoint;
            match failing {
                true => tracing::warn!("forward: {endpoint} does not take requests now"),
                false => tracing::info!("forward: {endpoint} takes requests again"),
            }
        }
    }
}

impl Receiver {
    /// What goes on of a request.
    pub(super) fn prepare(
        &self,
        signal: Signal,
        parcel: &Parcel,
        permit: &mut Permit,
    ) -> Result<Option<Outgoing>, Denied> {
        let forward = self.forward.as_ref();
        forward.map_or(Ok(None), |forward| forward.prepare(signal, parcel, permit))
    }

    /// Downstream's answer; `None` when nothing goes on.
    pub(super) async fn pass(
        &self,
        signal: Signal,
        outgoing: Option<Outgoing>,
    ) -> Option<Result<Partial, Denied>> {
        Some(self.forward.as_ref()?.send(signal, outgoing?).await)
    }
}
