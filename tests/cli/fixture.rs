//! A data folder as a server leaves it, with hours of the demo's traffic at times that
//! stay: the same bytes each time, so that every figure read from it stays, too.

use armspan::app::{fold, replay};
use armspan::cli::demo::scenario::Scenario;
use armspan::cli::demo::settings;
use armspan::cli::demo::traffic::{Sent, Traffic};
use armspan::engine::Engine;
use armspan::log::{self, LocalLog};
use armspan::model::canonical::jcs;
use armspan::model::shelf::MemoryShelf;
use armspan::model::{Batch, Body, Entry, Log, MINUTE, Meter, Nanos};
use armspan::normalize::{Blind, Normalizer, Times};
use armspan::store::Manifest;
use prost::Message;
use std::path::Path;
use std::sync::Arc;

const BEGAN: &str = "2026-11-23T08:00:00Z";
const MINUTES: u64 = 150;
/// After so many a snapshot is taken, as servers do: what is read rests on it and on the log.
const SNAPSHOT: u64 = 130;

/// Log and engine in step, as the server's driver has them.
struct Writer {
    log: LocalLog,
    engine: Engine,
    shelf: MemoryShelf,
}

impl Writer {
    async fn push(&mut self, stamp: Nanos, body: Body) {
        let position = self.log.append(stamp, body.clone()).await.expect("durable");
        let output =
            fold::apply(&mut self.engine, position, &Entry { stamp, body }, &mut self.shelf)
                .expect("a shelf in memory");
        for decision in output.decisions {
            Box::pin(self.push(stamp, Body::Decision(decision))).await;
        }
    }

    async fn send(&mut self, sent: &Sent, normalizer: &Normalizer) {
        let mut batch = Batch::default();
        let (traces, logs) = (sent.traces.encode_to_vec(), sent.logs.encode_to_vec());
        normalizer.traces(&traces, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        normalizer.logs(&logs, Times::any(), &mut batch, &mut Blind).expect("OTLP");
        if !batch.is_empty() {
            self.push(sent.latest, Body::Batch(batch.payload())).await;
            normalizer.durable(&batch);
        }
    }
}

/// Writes the folder.
pub async fn write(dir: &Path) {
    let began: jiff::Timestamp = BEGAN.parse().expect("a time");
    let began = Nanos::try_from(began.as_nanosecond()).expect("a time");
    let config = settings::config(Scenario::RevisionChange, dir).expect("config");
    let limits = log::Config {
        dir: dir.to_owned(),
        segment_bytes: 1 << 20,
        queue_bytes_max: 1 << 25,
        disk_free_min: 0,
        accept_loss: false,
    };
    let opened = LocalLog::open(limits, Arc::new(Meter::default())).expect("opens");
    // Nobody takes entries from the tail here; it only has to be there.
    let (log, _tail) = opened.start().expect("starts");
    let (engine, shelf) = (Engine::new(Default::default()), MemoryShelf::default());
    let mut writer = Writer { log, engine, shelf };
    let settings = serde_json::to_value(config.settings()).expect("settings");
    writer.push(began, Body::Config(jcs(&settings))).await;
    let normalizer = replay::normalizer(&config);
    let mut traffic = Traffic::new(Scenario::RevisionChange, 1, began);
    for minute in 0..MINUTES {
        let (from, to) = (began + minute * MINUTE, began + (minute + 1) * MINUTE);
        let sent = traffic.between(from, to);
        writer.send(&sent, &normalizer).await;
        writer.push(to.max(sent.latest), Body::Tick).await;
        if minute + 1 == SNAPSHOT {
            let (position, state) = (writer.engine.position(), writer.engine.state());
            let (no_tables, mut snapshot) = (Manifest::default(), state.expect("bytes of state"));
            snapshot.extend(postcard::to_stdvec(&no_tables).expect("bytes"));
            armspan::store::save(dir, &armspan::app::state_version(), position, &snapshot)
                .expect("a snapshot");
        }
    }
    writer.log.close();
}
