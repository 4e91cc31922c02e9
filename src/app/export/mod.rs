//! Delivery: one task per sink takes items from the outbox, so that a tool that is down or slow
//! holds back neither what comes in nor the other sinks.

mod pump;

use crate::model::{Meter, RunRecord, View};
use crate::sink::{Around, Config, Failure, History};
use crate::store::Outbox;
use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use pump::Pump;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use pump::deliver_all;

/// How long sinks may take to deliver the last items when the server stops; what is left is in
/// the outbox for the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// The sinks that run.
pub struct Exports {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What all sinks of a server share.
#[derive(Clone)]
pub struct Shared {
    /// Items come from there.
    pub outbox: Outbox,
    /// The present figures.
    pub view: Arc<ArcSwap<View>>,
    /// How sinks do is told there.
    pub meter: Arc<Meter>,
    /// What sinks may know of the server.
    pub around: Around,
}

/// What an outbox keeps, as sinks read it.
pub struct Kept(pub Outbox);

impl History for Kept {
    fn of_run(
        &self,
        run: &str,
        epoch: u32,
        position: u64,
    ) -> Result<Vec<(u64, RunRecord)>, Failure> {
        let found = self.0.history(run, epoch, position);
        found.map_err(|error| Failure::later(format!("the outbox: {error}")))
    }
}

// === impl Exports ===

impl Exports {
    /// Starts a task for each sink; a sink that cannot be opened is an error of the start.
    pub fn start(sinks: &[Config], shared: &Shared) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for config in sinks {
            let name = config.name();
            let sink = config.settings().open(&shared.around);
            let sink = sink.with_context(|| format!("the sink {name} cannot be opened"))?;
            let pump = Pump::new(name, sink, config.settings().begin(), shared.clone())?;
            tasks.spawn(pump.run(stopped.clone()));
        }
        Ok(Exports { stop, tasks })
    }

    /// Lets the sinks deliver what there is, for a while.
    pub async fn stop(mut self) {
        // Without receivers there are no tasks, and nothing to stop.
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!("some sinks did not get everything; the next start goes on with it");
        }
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
