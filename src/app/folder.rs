//! A data folder that no server has, for reading: the newest snapshot and the rest of the log
//! make the engine, and the API answers from it as a server's would. Nothing in the folder is
//! written, locked or repaired.

use super::overlay::Overlay;
use super::{open, replay};
use crate::api::{ApiState, Outgoing};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::view::Query;
use crate::model::log::{Appended, Refused};
use crate::model::view::{Series, SeriesQuery};
use crate::model::{Body, Clock, Log, Meter, Nanos, Position, SECOND};
use crate::web::{self, Addresses, Queue, WebState};
use anyhow::{Result, bail};
use arc_swap::ArcSwap;
use axum::Router;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes nothing; its clock stands still.
struct Still {
    position: Position,
    now: Nanos,
}

impl Log for Still {
    fn append(&self, _stamp: Nanos, _body: Body) -> Appended {
        Appended::known(Err(Refused::Closing))
    }

    fn depth(&self) -> (Position, u64) {
        (self.position, 0)
    }
}

impl Clock for Still {
    fn now(&self) -> Nanos {
        self.now
    }
}

/// The engine at the end of a folder's log; `seen` is told the positions on the way.
pub fn engine(dir: &Path, seen: &dyn Fn(Position)) -> Result<Engine> {
    let open::Restored { mut engine, shelf } = open::restore(dir, false)?;
    let mut shelf = Overlay::new(shelf);
    let from = engine.position();
    for entry in crate::log::read(dir, from)? {
        let (position, entry) = entry?;
        if position > engine.position() {
            bail!(
                "positions {} to {} of the log in {} are missing, and no snapshot reaches beyond \
                 them: restore the folder `snap` from a copy",
                engine.position(),
                position - 1,
                dir.display()
            );
        }
        super::fold::apply(&mut engine, position, &entry, &mut shelf)?;
        seen(position + 1);
    }
    Ok(engine)
}

/// What the API needs to answer from a folder.
pub fn state(dir: &Path, seen: &dyn Fn(Position)) -> Result<ApiState> {
    let engine = engine(dir, seen)?;
    let still = Arc::new(Still { position: engine.position(), now: engine.log_time() });
    let view = Arc::new(ArcSwap::from_pointee(engine.view()));
    let applied = tokio::sync::watch::channel(engine.position()).1;
    let name = dir.display().to_string();
    let items = move |_, _| Err(format!("no server runs on {name}: use `armspan export --data`"));
    Ok(ApiState {
        view,
        meter: Arc::new(Meter::default()),
        normalizer: Arc::new(replay::normalizer(&Config::default())),
        log: still.clone(),
        clock: still,
        series: series(engine),
        outgoing: Outgoing::new(Arc::new(items), applied),
    })
}

/// The pages over the same: a report of a folder is that of its server.
pub fn pages(state: &ApiState) -> Router {
    let nowhere = || "no server".to_owned();
    let position = state.log.depth().0;
    web::router(WebState {
        view: state.view.clone(),
        meter: state.meter.clone(),
        addresses: Addresses {
            grpc: nowhere(),
            http: nowhere(),
            web: nowhere(),
            tls: false,
            credentials: false,
        },
        queue: Arc::new(move || Queue { position, bytes: 0 }),
        series: state.series.clone(),
        effective: Arc::new(|| "no server runs: the settings are those of the log".to_owned()),
    })
}

fn series(engine: Engine) -> crate::model::view::AskSeries {
    let engine = Mutex::new(engine);
    Arc::new(move |query: &SeriesQuery| -> Series {
        let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.series(&chart(query))
    })
}

/// A chart's query as the engine takes it.
pub fn chart(query: &SeriesQuery) -> Query {
    Query {
        experiment: query.experiment.clone(),
        metric: query.metric.clone(),
        arm: query.arm.clone(),
        site: query.site.clone(),
        from: Some(query.from),
        to: Some(query.to),
        step_s: Some(query.step / SECOND),
    }
}
