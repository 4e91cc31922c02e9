//! `armspan serve`: collects until it is told to stop, then drains.

use super::args::{Format, Serve};
use super::progress::Bar;
use super::{DISK_FAILED, INTERRUPTED};
use crate::app::open;
use crate::app::server::{Core, Doors, Server};
use crate::app::telemetry;
use crate::config::{self, Config, Flags};
use crate::model::Meter;
use anyhow::Result;
use std::io::{Write, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the log's health is looked at.
const HEALTH: Duration = Duration::from_millis(500);
/// How long reads are still answered after a sync failed.
const LAST_READS: Duration = Duration::from_secs(10);

/// Why a server stops.
enum Stop {
    Asked,
    DiskFailed,
}

/// Runs it.
pub fn serve(args: &Serve, _format: Format) -> Result<ExitCode> {
    let config = load(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args, config))
}

/// The config as file, environment and flags say.
fn load(args: &Serve) -> Result<Config> {
    let flags = Flags {
        listen_grpc: args.listen_grpc.clone(),
        listen_http: args.listen_http.clone(),
        listen_web: args.listen_web.clone(),
        allow_remote: args.allow_remote,
        data: args.data.clone(),
        log_level: args.log_level.clone(),
    };
    Ok(config::load(args.config.as_deref(), &config::process_env, &flags)?)
}

async fn run(args: &Serve, config: Config) -> Result<ExitCode> {
    let doors = Doors::bind(&config).await?;
    let endpoint = telemetry::endpoint(&config::process_env);
    if let Some(endpoint) = &endpoint {
        telemetry::refuse_own("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, &doors.addresses()?)?;
    }
    if let Some(forward) = &config.forward {
        telemetry::refuse_own("forward.endpoint", &forward.endpoint, &doors.addresses()?)?;
    }
    let _telemetry = telemetry::start(&config.log_level, endpoint.as_deref())?;
    let mut signals = Signals::new()?;
    let opened = open(&config, args)?;
    let core = Core::with_data(config, opened.0, opened.1).await?;
    let mut server = Server::serve_accepting(core, doors, args.accept_loss).await?;
    greet(&server)?;
    match wait(args, &mut server, &mut signals).await {
        Stop::DiskFailed => {
            tracing::error!("a sync of the log failed: nothing is accepted, exiting with 74");
            tokio::time::sleep(LAST_READS).await;
            Ok(ExitCode::from(DISK_FAILED))
        }
        Stop::Asked => {
            tracing::info!("draining; a second signal ends at once");
            tokio::select! {
                stopped = server.stop() => stopped.map(|_| ExitCode::SUCCESS),
                () = signals.stop() => Ok(ExitCode::from(INTERRUPTED)),
            }
        }
    }
}

/// Opens the folder; how far recovery has come is shown when it takes long.
fn open(config: &Config, args: &Serve) -> Result<(open::Data, Arc<Meter>)> {
    let meter = Arc::new(Meter::default());
    let progress = Bar::new("entries of the log");
    let seen = |done, of| progress.at(done, of);
    Ok((open::open(config, args.accept_loss, &meter, &seen)?, meter))
}

fn greet(server: &Server) -> Result<()> {
    let [grpc, http, web] = server.addresses;
    let config = &server.core.config;
    let data = config.data.display();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    writeln!(stderr(), "armspan {} is ready", env!("CARGO_PKG_VERSION"))?;
    writeln!(stderr(), "  OTLP gRPC   {grpc}")?;
    writeln!(stderr(), "  OTLP HTTP   {scheme}://{http}")?;
    writeln!(stderr(), "  dashboard   {scheme}://{web}")?;
    writeln!(stderr(), "  data        {data}")?;
    Ok(())
}

async fn wait(args: &Serve, server: &mut Server, signals: &mut Signals) -> Stop {
    let mut health = tokio::time::interval(HEALTH);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Stop::Asked,
            _ = signals.interrupt.recv() => return Stop::Asked,
            _ = signals.reload.recv() => reload(args, server).await,
            _ = health.tick() => {
                if server.poisoned() {
                    return Stop::DiskFailed;
                }
            }
        }
    }
}

/// Puts a changed file in force; a bad one changes nothing.
async fn reload(args: &Serve, server: &mut Server) {
    let reloaded = match load(args) {
        Ok(config) => server.reload(config).await,
        Err(error) => Err(error),
    };
    match reloaded {
        Ok(()) => tracing::info!("the config was reloaded"),
        Err(error) => tracing::error!("the config was not reloaded: {error:#}"),
    }
}

/// What the system tells us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
