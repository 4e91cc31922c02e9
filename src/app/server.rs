//! A running server: engine thread and doors over one log. Doors are bound before they are
//! served, so a busy port is an error of the start; stopping drains in the order doors, log,
//! engine.

use super::clock::{TurnClock, WallClock};
pub use super::doors::Doors;
use super::driver::{Ask, Driver, Snapshots};
use super::export::{Exports, Shared};
use super::folder;
use super::open::{self, Data};
use super::tenants::{Metered, Others};
use crate::api::{ApiState, Items, Outgoing};
use crate::auth::{self, Door, Guard, Policy, Quota, guarded};
use crate::config::Config;
use crate::engine::Engine;
use crate::log::LocalLog;
use crate::model::view::{AskSeries, SeriesQuery};
use crate::model::{Body, Clock, Log, Meter, Nanos, Position, Settings, View};
use crate::normalize::Normalizer;
use crate::otlp::forward::Forwarder;
use crate::otlp::{self, Receiver};
use crate::sink::Around;
use crate::store;
use anyhow::{Context as _, Result, anyhow, bail};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long requests that run may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a question to the engine may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The inside: everything but the doors.
pub struct Core {
    /// Takes entries.
    pub log: LocalLog,
    /// Understands OTLP.
    pub normalizer: Arc<Normalizer>,
    /// Counts.
    pub meter: Arc<Meter>,
    /// Stamps.
    pub clock: Arc<TurnClock>,
    /// What there is to see.
    pub view: Arc<ArcSwap<View>>,
    /// Checked settings.
    pub config: Config,
    /// The settings in force as text, secrets hidden.
    pub effective: Arc<ArcSwap<String>>,
    /// What sinks get.
    pub outbox: store::Outbox,
    quota: Arc<Quota>,
    exports: Exports,
    outgoing: Outgoing,
    applied: watch::Receiver<Position>,
    asks: mpsc::Sender<Ask>,
    engine: JoinHandle<Engine>,
    _lock: store::Lock,
}

/// A running server.
pub struct Server {
    /// The inside.
    pub core: Core,
    /// Where it listens: gRPC, HTTP, web.
    pub addresses: [SocketAddr; 3],
    others: Others,
    guard: Arc<Guard>,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
}

// === impl Core ===

impl Core {
    /// Opens the data folder, puts the settings in force and starts the engine.
    pub async fn start(config: Config, accept_loss: bool) -> Result<Core> {
        let meter = Arc::new(Meter::default());
        let data = open::open(&config, accept_loss, &meter, &|_, _| {})?;
        Core::with_data(config, data, meter).await
    }

    /// The same over an opened folder.
    pub async fn with_data(config: Config, data: Data, meter: Arc<Meter>) -> Result<Core> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock::start(data.engine.log_time()));
        Core::with_clock(config, data, meter, clock).await
    }

    /// The same with a clock of one's own.
    pub async fn with_clock(
        config: Config,
        data: Data,
        meter: Arc<Meter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Core> {
        let clock = Arc::new(TurnClock::new(clock));
        let Data { lock, log, tail, engine, shelf, outbox, recorder } = data;
        let fresh = engine.position() == 0 || *engine.settings() != config.settings();
        let view = Arc::new(ArcSwap::from_pointee(engine.view()));
        let (asks, questions) = mpsc::channel();
        let (applying, applied) = watch::channel(engine.position());
        let driver = Driver {
            engine,
            shelf,
            applied: applying,
            log: log.clone(),
            tail,
            clock: clock.clone(),
            view: view.clone(),
            meter: meter.clone(),
            asks: questions,
            snapshots: snapshots(&config),
            recorder,
        };
        let shared = shared(&config, &outbox, &view, &meter);
        let exports = Exports::start(&config.sinks, &shared)?;
        let thread = std::thread::Builder::new().name("engine".into());
        let engine = thread.spawn(move || driver.run()).context("cannot start the engine")?;
        let normalizer = Arc::new(super::replay::normalizer(&config));
        let core = Core {
            log,
            normalizer,
            meter,
            clock,
            view,
            quota: Arc::new(Quota::new(config.rates)),
            effective: Arc::new(ArcSwap::from_pointee(config.shown())),
            config,
            outgoing: Outgoing::new(items(&outbox), applied.clone()),
            outbox,
            exports,
            applied,
            asks,
            engine,
            _lock: lock,
        };
        if fresh {
            core.configure(&core.config.settings()).await?;
        }
        Ok(core)
    }

    /// Puts settings in force, durably.
    pub async fn configure(&self, settings: &Settings) -> Result<()> {
        let json = serde_json::to_value(settings).context("settings as JSON")?;
        let json = crate::model::canonical::jcs(&json);
        let appended = self.log.append(self.clock.now(), Body::Config(json)).await;
        appended.map(drop).context("the settings could not be written to the log")
    }

    /// The view of everything that was durable when it was asked for.
    pub async fn fresh_view(&self) -> Result<Arc<View>> {
        let (next, _) = self.log.depth();
        let asks = self.asks.clone();
        let view = tokio::task::spawn_blocking(move || {
            loop {
                let (to, answer) = mpsc::channel();
                asks.send(Ask::View(to)).ok()?;
                let view = answer.recv_timeout(ANSWER).ok()?;
                if view.position >= next {
                    return Some(view);
                }
            }
        });
        view.await?.context("the engine does not answer")
    }

    /// Waits until everything that is in the log is applied, what `watch` settled by it too:
    /// history that is fed this way gives the same state each time.
    pub async fn settle(&self) {
        let mut applied = self.applied.clone();
        // An error means that the engine has ended: nothing more will be applied.
        let _ = applied.wait_for(|position| *position >= self.log.depth().0).await;
    }

    /// A receiver of OTLP with a clock and a horizon of its own.
    pub fn receiver(&self, clock: Arc<dyn Clock>, horizon: Nanos) -> Arc<Receiver> {
        Arc::new(self.new_receiver(clock, horizon))
    }

    fn new_receiver(&self, clock: Arc<dyn Clock>, horizon: Nanos) -> Receiver {
        let config = otlp::Config {
            request_bytes_max: self.config.doors.request_bytes_max as usize,
            in_flight_bytes_max: self.config.doors.in_flight_bytes_max as usize,
            ..otlp::Config::default()
        };
        let log: Arc<dyn Log> = Arc::new(self.log.clone());
        let (normalizer, meter) = (self.normalizer.clone(), self.meter.clone());
        Receiver::new(config, normalizer, log, clock, meter, horizon)
    }

    /// The receiver of the doors, which passes requests on when the config says so.
    fn door(&self) -> Result<Arc<Receiver>> {
        let receiver = self.new_receiver(self.clock.clone(), self.config.settings().horizon.0);
        let receiver = receiver.within(self.quota.clone());
        Ok(Arc::new(match &self.config.forward {
            Some(to) => {
                let to = Forwarder::new(to, self.meter.clone()).map_err(|what| anyhow!(what));
                receiver.forwarding(to.context("forward")?)
            }
            None => receiver,
        }))
    }

    /// Goes on by another clock: after history was fed, by that of the wall.
    pub fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock.replace(clock);
    }

    /// Puts what can change in force: experiments, metrics, horizons.
    pub async fn reload(&mut self, config: Config) -> Result<()> {
        let settings = config.settings();
        if settings != self.config.settings() {
            self.configure(&settings).await?;
        }
        if config.sinks != self.config.sinks || config.dashboard != self.config.dashboard {
            self.replace_exports(&config).await?;
        }
        if config.forward != self.config.forward {
            tracing::warn!("a change of forward: needs a restart");
        }
        self.effective.store(Arc::new(config.shown()));
        self.config = config;
        Ok(())
    }

    /// Runs the sinks of another config; when one of them cannot be opened, those there were.
    async fn replace_exports(&mut self, config: &Config) -> Result<()> {
        let shared = |config| shared(config, &self.outbox, &self.view, &self.meter);
        let (before, after) = (shared(&self.config), shared(config));
        let none = Exports::start(&[], &after)?;
        // The same sink must not run twice, so the old ones end first.
        std::mem::replace(&mut self.exports, none).stop().await;
        self.meter.sinks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        match Exports::start(&config.sinks, &after) {
            Ok(exports) => self.exports = exports,
            Err(error) => {
                self.exports = Exports::start(&self.config.sinks, &before)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Answers charts from the engine; nothing when it takes too long.
    pub fn series(&self) -> AskSeries {
        let asks = self.asks.clone();
        let series = move |query: &SeriesQuery| {
            let (to, answer) = mpsc::channel();
            let sent = asks.send(Ask::Series(folder::chart(query), to)).ok();
            sent.and_then(|()| answer.recv_timeout(ANSWER).ok()).unwrap_or_default()
        };
        Arc::new(series)
    }

    /// What the API reads and writes.
    pub fn api_state(&self) -> ApiState {
        ApiState {
            view: self.view.clone(),
            meter: self.meter.clone(),
            normalizer: self.normalizer.clone(),
            log: Arc::new(Metered::new(self.log.clone(), self.quota.clone())),
            clock: self.clock.clone(),
            series: self.series(),
            outgoing: self.outgoing.clone(),
        }
    }

    /// Writes the last records, makes everything durable and ends the engine.
    pub async fn stop(self) -> Result<Engine> {
        let cut = self.log.append(self.clock.now(), Body::Cut).await;
        if let Err(refused) = cut {
            tracing::warn!(%refused, "the last records could not be cut");
        }
        let Core { log, engine, exports, .. } = self;
        let ended = tokio::task::spawn_blocking(move || {
            log.close();
            engine.join()
        });
        let ended = ended.await?;
        exports.stop().await;
        match ended {
            Ok(engine) => Ok(engine),
            Err(_) => bail!("the engine's thread panicked; the log has everything it had"),
        }
    }
}

/// Credentials that others could read on the way.
fn in_clear(addresses: &[SocketAddr]) {
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            "credentials come in clear text: set tls:, unless a proxy before armspan speaks TLS"
        );
    }
}

/// The certificates, which must be good at the start.
fn tls(config: &Config) -> Result<Option<Arc<auth::Tls>>> {
    let opened = config.tls.as_ref().map(auth::Tls::open).transpose();
    Ok(opened.map_err(|what| anyhow!(what)).context("tls")?.map(Arc::new))
}

fn policy(config: &Config) -> Policy {
    Policy::new(&config.auth, &config.hosts)
}

fn snapshots(config: &Config) -> Snapshots {
    Snapshots {
        dir: config.data.clone(),
        every: Duration::from_nanos(config.snapshot.every.0),
        log_bytes: config.snapshot.log_bytes,
        keep: config.log.keep.0,
        keep_bytes_max: config.log.keep_bytes_max,
    }
}

/// Reads items page by page.
fn items(outbox: &store::Outbox) -> Items {
    let outbox = outbox.clone();
    Arc::new(move |mut after, limit| {
        let mut out = Vec::new();
        while out.len() < limit {
            let next = outbox.next(after, &|_| true).map_err(|error| error.to_string())?;
            let Some(item) = next else { break };
            after = Some(item.key);
            out.push(item);
        }
        Ok(out)
    })
}

fn shared(
    config: &Config,
    outbox: &store::Outbox,
    view: &Arc<ArcSwap<View>>,
    meter: &Arc<Meter>,
) -> Shared {
    let around = Around { data: config.data.clone(), dashboard: config.dashboard.clone() };
    Shared { outbox: outbox.clone(), view: view.clone(), meter: meter.clone(), around }
}

// === impl Server ===

impl Server {
    /// Serves a core on bound doors, and the tenants that its config declares.
    pub async fn serve(core: Core, doors: Doors) -> Result<Server> {
        Server::serve_accepting(core, doors, false).await
    }

    /// The same; `accept_loss` is for the tenants' logs.
    pub async fn serve_accepting(core: Core, doors: Doors, accept_loss: bool) -> Result<Server> {
        let addresses = doors.addresses()?;
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let guard = Guard::new(policy(&core.config));
        let tls = tls(&core.config)?;
        if tls.is_none() && core.config.auth.is_on() {
            in_clear(&addresses);
        }
        let others = Others::start(&core.config, accept_loss).await?;
        let mut routers = [const { BTreeMap::new() }; 3];
        for (tenant, core) in others.with(&core) {
            let receiver = core.door()?;
            let grpc = super::grpc::router(receiver.clone(), core.api_state()).await?;
            let web = super::web::router(core, addresses, stopped.clone());
            let own = [grpc, otlp::http_router(receiver), others.ready_for_all(web)];
            for (door, router) in routers.iter_mut().zip(own) {
                door.insert(tenant.to_owned(), router);
            }
        }
        let listeners = [doors.grpc, doors.http, doors.web];
        let names = [Door::Grpc, Door::Http, Door::Web];
        for ((listener, door), tenants) in listeners.into_iter().zip(names).zip(routers) {
            let router = guarded(door, guard.clone(), tenants);
            let mut stopped = stopped.clone();
            let until = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            serving.spawn(otlp::serve_tls(listener, router, tls.clone(), until, DRAIN));
        }
        let scheme = match tls {
            Some(_) => store::Scheme::Https,
            None => store::Scheme::Http,
        };
        if let Some(tls) = tls {
            let mut stopped = stopped.clone();
            serving.spawn(async move {
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = tls.watch() => {}
                }
            });
        }
        let [grpc, http, web] = addresses;
        let server = store::Server { scheme, grpc, http, web, pid: std::process::id() };
        server.write(&core.config.data)?;
        Ok(Server { core, addresses, others, guard, stop, serving })
    }

    /// Puts what can change in force: credentials first, then what the core has.
    pub async fn reload(&mut self, config: Config) -> Result<()> {
        if config.listen != self.core.config.listen {
            // What was checked are other addresses than those that are bound.
            bail!("a change of listen: needs a restart");
        }
        if config.tls != self.core.config.tls {
            bail!("a change of tls: needs a restart; only the files' contents are looked at");
        }
        self.guard.replace(policy(&config));
        self.others.reload(&config).await?;
        self.core.reload(config).await
    }

    /// Whether a sync of a log failed, so that nothing can be promised any more.
    pub fn poisoned(&self) -> bool {
        self.core.log.poisoned() || self.others.poisoned()
    }

    /// Takes no more, lets running requests end, and drains log and engine.
    pub async fn stop(mut self) -> Result<Engine> {
        // Nobody listens any more when all doors have failed; there is nothing to stop then.
        let _ = self.stop.send(true);
        while self.serving.join_next().await.is_some() {}
        let data = self.core.config.data.clone();
        let others = self.others.stop().await;
        let engine = self.core.stop().await?;
        others?;
        store::Server::remove(&data)?;
        Ok(engine)
    }
}
