//! Delivers cuts to a sink as the outbox does, for proofs against the real tools:
//! `cargo run --example deliver -- '{"kind": "jsonl", "dir": "/tmp/x"}' CUT.json…`
//! A history is made of the cuts given so far. A file may also hold an event, and after `--view` a
//! view, which is given as the present figures. Exit code 1 and the failure's text when a delivery
//! fails for now, 3 when it is refused.

use armspan::model::delivery::{Body, Cut, EVENT_SCHEMA, Event, Item, ItemKey};
use armspan::model::{RunRecord, View};
use armspan::sink::{Around, Config, Failure, History, Sink};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::process::ExitCode;

/// The cuts so far.
#[derive(Default)]
struct Given(Vec<Cut>);

impl History for Given {
    fn of_run(
        &self,
        run: &str,
        epoch: u32,
        position: u64,
    ) -> Result<Vec<(u64, RunRecord)>, Failure> {
        let cuts = self.0.iter().filter(|cut| cut.position <= position);
        let own = |record: &&RunRecord| record.run.id == run && record.window.epoch == epoch;
        let rows = cuts.flat_map(|cut| {
            cut.records.iter().filter(own).map(|record| (cut.hour(), record.clone()))
        });
        Ok(rows.collect())
    }
}

fn broken(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::refused(format!("{what} cannot be read: {error}"))
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| broken(path, error))?;
    serde_json::from_str(&text).map_err(|error| broken(path, error))
}

fn open(config: &str) -> Result<Box<dyn Sink>, Failure> {
    let config: Config = serde_json::from_str(config).map_err(|error| broken("sink", error))?;
    if let Some((key, what)) = config.settings().faults().first() {
        return Err(Failure::refused(format!("{key}: {what}")));
    }
    config.settings().open(&Around { data: "armspan-data".into(), dashboard: None })
}

/// The item in a file; an event is told by its schema, and its key by its place in the list.
fn item(path: &str, number: usize, given: &mut Given) -> Result<Item, Failure> {
    let json: Value = read(path)?;
    if json["schema"] == EVENT_SCHEMA {
        let event: Event = serde_json::from_value(json).map_err(|error| broken(path, error))?;
        let key = ItemKey { position: number as u64, ordinal: 0 };
        return Ok(Item { key, body: Body::Event(Box::new(event)) });
    }
    let cut: Cut = read(path)?;
    given.0.push(cut.clone());
    let key = ItemKey { position: cut.position, ordinal: 0 };
    Ok(Item { key, body: Body::Cut(Box::new(cut)) })
}

async fn deliver(config: &str, paths: &[String]) -> Result<(), Failure> {
    let mut sink = open(config)?;
    let mut given = Given::default();
    let mut paths = paths.iter().enumerate();
    while let Some((number, path)) = paths.next() {
        if path == "--view" {
            let view: View = read(paths.next().map_or("", |next| next.1))?;
            sink.beat(&view).await?;
            continue;
        }
        let item = item(path, number, &mut given)?;
        if sink.takes(item.body.kind()) {
            sink.deliver(&item, &given).await?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let config = words.next().unwrap_or_default();
    let cuts: Vec<String> = words.collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.expect("a runtime").block_on(deliver(&config, &cuts));
    if let Err(failure) = &done {
        eprintln!("{failure}");
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Later { .. }) => ExitCode::from(1),
        Err(Failure::Refused { .. }) => ExitCode::from(3),
    }
}
