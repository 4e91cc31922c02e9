//! `armspan demo`: seeded traffic through the same path as production. A day of history comes in
//! through a private listener whose clock is that of the data; then the public doors open and
//! traffic goes on live. Nothing leaves the machine or is written outside a temporary folder.

mod feed;
pub(super) mod random;
pub mod scenario;
pub mod settings;
pub mod traffic;
pub(super) mod wire;

use super::args::{Demo, Format};
use super::print;
use super::progress::Bar;
use crate::app::clock::{SetClock, WallClock};
use crate::app::open;
use crate::app::server::{Core, Doors, Server};
use crate::config::Config;
use crate::model::settings::Settings as Engine;
use crate::model::{Clock, MINUTE, Meter, Nanos, SECOND, View};
use crate::otlp;
use anyhow::{Context as _, Result};
use feed::Feed;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use traffic::{DAY, EXPERIMENT, Traffic};

/// How long the private listener's last request may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs it.
pub fn demo(args: &Demo, format: Format) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args, format))
}

async fn run(args: &Demo, format: Format) -> Result<ExitCode> {
    let folder = Folder::new()?;
    let config = settings::config(args.scenario, &folder.0)?;
    let doors = match args.once {
        true => None,
        false => Some(Doors::bind_or_move(&config).await?),
    };
    let began = Instant::now();
    // From a full minute on: the same seed then gives the same figures.
    let now = WallClock::start(0).now() / MINUTE * MINUTE;
    let mut traffic = Traffic::new(args.scenario, args.seed, now - DAY);
    let (core, calls) = history(config, &mut traffic, now - DAY, now).await?;
    let view = core.fresh_view().await?;
    writeln!(stderr(), "{calls} calls of one day in {:.1} s", began.elapsed().as_secs_f64())?;
    print_table(&view, format)?;
    match doors {
        None => drop(core.stop().await?),
        Some(doors) => live(args, core, doors, traffic).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Feeds the history through a private listener on a clock that shows the data's own time.
async fn history(
    config: Config,
    traffic: &mut Traffic,
    from: Nanos,
    to: Nanos,
) -> Result<(Core, usize)> {
    let meter = Arc::new(Meter::default());
    let data = open::open(&config, false, &meter, &|_, _| {})?;
    let clock = Arc::new(SetClock::default());
    clock.set(from);
    let shown: Arc<dyn Clock> = clock.clone();
    let mut core = Core::with_clock(config, data, meter, shown.clone()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let receiver = core.receiver(shown, Engine::NO_HORIZON.0);
    let until = async move { drop(stopped.await) };
    let door = tokio::spawn(otlp::serve(listener, otlp::grpc_router(receiver), until, DRAIN));
    let mut feed = Feed::connect(address).await?;
    let mut calls = 0;
    let progress = Bar::new("minutes of history");
    let mut at = from;
    while at < to {
        let next = (at + MINUTE).min(to);
        let sent = traffic.between(at, next);
        calls += sent.calls;
        clock.set(sent.latest);
        feed.send(sent).await?;
        core.settle().await;
        at = next;
        progress.at((at - from) / MINUTE, (to - from) / MINUTE);
    }
    drop(progress);
    // A receiver that is gone has stopped, too.
    let _ = stop.send(());
    drop(feed);
    door.await?;
    core.set_clock(Arc::new(WallClock::start(clock.now())));
    Ok((core, calls))
}

/// Serves, and sends each second what its users do.
async fn live(args: &Demo, core: Core, doors: Doors, mut traffic: Traffic) -> Result<()> {
    let clock = core.clock.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut stopped = signal(SignalKind::interrupt())?;
    let server = Server::serve(core, doors).await?;
    what_next(args, &server)?;
    let mut feed = Feed::connect(server.addresses[0]).await?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut at = clock.now() - SECOND;
    loop {
        tokio::select! {
            _ = second.tick() => {
                let to = clock.now();
                feed.send(traffic.between(at, to)).await?;
                at = to;
            }
            _ = stopped.recv() => break,
            _ = terminated.recv() => break,
        }
    }
    drop(feed);
    server.stop().await.map(drop)
}

fn print_table(view: &View, format: Format) -> Result<()> {
    let experiment = view.experiments.iter().find(|e| e.name == EXPERIMENT);
    let experiment = experiment.context("the demo's experiment is missing from its own view")?;
    let mut out = stdout().lock();
    let document = serde_json::to_value(experiment)?;
    print::print(&super::read::arms_table(experiment, document), format, &mut out)?;
    Ok(out.flush()?)
}

fn what_next(args: &Demo, server: &Server) -> Result<()> {
    let [grpc, _, web] = server.addresses;
    let mut out = stderr();
    writeln!(out)?;
    writeln!(out, "What there is to find: {}.", args.scenario.story())?;
    writeln!(out)?;
    writeln!(out, "  dashboard   http://{web}")?;
    writeln!(out, "  records     curl http://{web}/api/v1/runs")?;
    writeln!(out, "  in a shell  armspan arms status {EXPERIMENT} --server http://{web}")?;
    writeln!(out, "  your spans  OTEL_EXPORTER_OTLP_ENDPOINT=http://{grpc}")?;
    writeln!(out)?;
    writeln!(out, "Traffic goes on live. Ctrl-C ends it; nothing is kept.")?;
    Ok(())
}

/// A temporary folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let now = WallClock::start(0).now();
        let path = std::env::temp_dir().join(format!("armspan-demo-{}-{now}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder, where it does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::scenario::Scenario;
    use super::*;
    use crate::compare::compare;
    use crate::judge::attribution::Label;
    use crate::model::record::RunRecord;

    /// The busiest run of an arm.
    fn run<'v>(view: &'v View, arm: &str) -> &'v RunRecord {
        let own = view.runs.iter().filter(|record| record.run.arm == arm);
        own.max_by_key(|record| record.traffic.calls).expect(arm)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn real_runs_can_be_compared() {
        let folder = Folder::new().expect("folder");
        let config = settings::config(Scenario::RevisionChange, &folder.0).expect("config");
        let now = WallClock::start(0).now() / MINUTE * MINUTE;
        let (from, hours) = (now - DAY, 4 * 60 * MINUTE);
        let mut traffic = Traffic::new(Scenario::RevisionChange, 1, from);
        let (core, _) = history(config, &mut traffic, from, from + hours).await.expect("history");
        let view = core.fresh_view().await.expect("view");
        let found = compare(&view, run(&view, "A"), run(&view, "C"));
        assert_eq!(found.attribution.label, Label::Identified, "{:?}", found.attribution);
        assert_eq!(found.attribution.fields, ["prompt"]);
        let metric = |name: &str| found.metrics.iter().find(|m| m.name == name).expect(name);
        for name in ["answer_ok", "latency_p50"] {
            let metric = metric(name);
            assert!(metric.unmet.is_empty() && metric.confidence.is_some(), "{metric:?}");
        }
        assert!(metric("latency_p50").lower > Some(0.0), "{:?}", metric("latency_p50"));
        let effect = &metric("answer_ok").effects[0];
        assert_eq!((effect.text.as_str(), effect.family), ("prompt 3 → 5", 1));
        core.stop().await.expect("stopped");
    }
}
