//! Delivers cuts to a sink as the outbox does, for proofs against the real tools:
//! `cargo run --example deliver -- '{"kind": "jsonl", "dir": "/tmp/x"}' CUT.json…`
//! A history is made of the cuts given so far. Exit code 1 and the failure's text when a delivery
//! fails for now, 3 when it is refused.

use armspan::model::RunRecord;
use armspan::model::delivery::{Body, Cut, Item, ItemKey};
use armspan::sink::{Around, Config, Failure, History};
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

async fn deliver(config: &str, cuts: &[String]) -> Result<(), Failure> {
    let broken = |what: &str, error: &dyn std::fmt::Display| {
        Failure::refused(format!("{what} cannot be read: {error}"))
    };
    let config: Config = serde_json::from_str(config).map_err(|e| broken("the sink", &e))?;
    if let Some((key, what)) = config.settings().faults().first() {
        return Err(Failure::refused(format!("{key}: {what}")));
    }
    let around = Around { data: "armspan-data".into(), dashboard: None };
    let mut sink = config.settings().open(&around)?;
    let mut given = Given::default();
    for path in cuts {
        let text = std::fs::read_to_string(path).map_err(|e| broken(path, &e))?;
        let cut: Cut = serde_json::from_str(&text).map_err(|e| broken(path, &e))?;
        given.0.push(cut.clone());
        let key = ItemKey { position: cut.position, ordinal: 0 };
        let item = Item { key, body: Body::Cut(Box::new(cut)) };
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
