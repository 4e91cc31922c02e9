//! Offline runs of the sample: their records, repeats, late data and older cuts.

use super::proto::{Kind, Record};
use super::*;
use crate::model::canonical::hex;
use crate::sink::sample::{self, ThreeHours};
use md5::{Digest, Md5};
use prost::Message as _;
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

const ID: &str = "79e25078cdfe-e1";
const NAME: &str = "offline-run-20261123_173114-79e25078cdfe-e1";

fn sink(config: &Config, dir: &TempDir) -> Box<dyn Sink> {
    let config = Config { dir: Some(dir.path().into()), ..config.clone() };
    let around = Around { data: dir.path().into(), dashboard: Some("https://arms.example".into()) };
    config.open(&around).expect("a sink")
}

fn item_of(cut: Cut) -> Item {
    Item { body: Body::Cut(Box::new(cut)), ..sample::item() }
}

async fn delivered(config: &Config, item: &Item) -> TempDir {
    let dir = tempfile::tempdir().expect("folder");
    sink(config, &dir).deliver(item, &ThreeHours).await.expect("delivered");
    dir
}

/// All files under a folder with their bytes.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("inside").display().to_string();
                out.insert(name, fs::read(path).expect("file"));
            }
        }
    }
    out
}

/// How many runs there are; nothing that was staged is left.
fn runs(dir: &TempDir) -> usize {
    let entries = fs::read_dir(dir.path().join("wandb")).expect("folder");
    let names = entries.map(|entry| entry.expect("entry").file_name());
    let (runs, others): (Vec<_>, Vec<_>) =
        names.partition(|name| name.to_string_lossy().starts_with("offline-run-"));
    assert_eq!(others, [".armspan.lock"]);
    runs.len()
}

fn kinds(dir: &TempDir, name: &str, id: &str) -> Vec<Kind> {
    let path = dir.path().join("wandb").join(name).join(format!("run-{id}.wandb"));
    let records = log::read(&fs::read(path).expect("log"));
    let decoded = records.iter().map(|bytes| Record::decode(&bytes[..]).expect("record"));
    let decoded: Vec<Record> = decoded.collect();
    assert!((1..).zip(&decoded).all(|(num, record)| record.num == num));
    decoded.into_iter().filter_map(|record| record.kind).collect()
}

fn value(items: &[proto::Item], key: &str) -> Option<serde_json::Value> {
    let item = items.iter().find(|item| item.key == key)?;
    Some(serde_json::from_str(&item.value_json).expect("JSON"))
}

#[tokio::test]
async fn the_runs_of_an_epoch_that_is_over_are_written() {
    let dir = delivered(&Config::default(), &sample::item()).await;
    assert_eq!(runs(&dir), 4, "no run of the epoch that is open");
    let [header, run, files, history @ .., summary, artifact, exit] = &kinds(&dir, NAME, ID)[..]
    else {
        panic!()
    };
    assert!(
        matches!(header, Kind::Header(_)) && matches!(files, Kind::Files(f) if f.files.len() == 2)
    );
    let Kind::Run(run) = run else { panic!("{run:?}") };
    assert_eq!(
        (run.run_id.as_str(), run.entity.as_str(), run.project.as_str()),
        (ID, "armspan", "support-bot")
    );
    assert_eq!((run.run_group.as_str(), run.job_type.as_str()), ("support-bot", "A"));
    assert_eq!(run.tags[..3], ["experiment:support-bot", "arm:A", "site:answer"]);
    let config = &run.config.as_ref().expect("config").update;
    assert_eq!(value(config, "sampling").expect("facet")["temperature"], 0.2);
    assert_eq!(value(config, "armspan").expect("identity")["epoch"], 1);
    assert_eq!(run.git.as_ref().expect("git").commit.len(), 40);
    assert_eq!(history.len(), 3);
    for (at, kind) in history.iter().enumerate() {
        let Kind::History(row) = kind else { panic!("{kind:?}") };
        assert_eq!(row.step.as_ref().expect("step").num, at as i64);
        assert_eq!(value(&row.item, "_step"), Some(at.into()));
        assert_eq!(value(&row.item, "hour"), Some((sample::cut().hour() - 2 + at as u64).into()));
        let bound = |end: &str| value(&row.item, &format!("latency_p95/{end}"))?.as_f64();
        assert!(bound("lower").is_some() && bound("lower") < bound("upper"));
    }
    let Kind::Summary(summary) = summary else { panic!("{summary:?}") };
    assert_eq!(value(&summary.update, "evidence/grade"), Some("B".into()));
    assert!(matches!(exit, Kind::Exit(proto::Exit { exit_code: 0, runtime: 52_057 })), "{exit:?}");
    artifact_is_what_is_on_disk(artifact);
}

fn artifact_is_what_is_on_disk(kind: &Kind) {
    let Kind::Artifact(artifact) = kind else { panic!("{kind:?}") };
    assert_eq!(artifact.kind, "armspan-run-record");
    assert_eq!((artifact.client_id.len(), artifact.sequence_client_id.len()), (128, 128));
    let contents = &artifact.manifest.as_ref().expect("manifest").contents;
    let mut lines = String::from("wandb-artifact-manifest-v1\n");
    for entry in contents {
        use base64::Engine as _;
        let bytes = fs::read(&entry.local_path).expect("the file is at its place");
        let digest = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&bytes));
        assert_eq!((&digest, bytes.len() as i64), (&entry.digest, entry.size));
        lines += &format!("{}:{digest}\n", entry.path);
    }
    assert_eq!(contents.len(), 2);
    assert_eq!(artifact.digest, hex(&Md5::digest(lines)));
}

#[tokio::test]
async fn the_same_cut_gives_the_same_bytes_and_a_repeat_touches_nothing() {
    let dir = delivered(&Config::default(), &sample::item()).await;
    let first = tree(dir.path());
    let log = dir.path().join("wandb").join(NAME).join(format!("run-{ID}.wandb"));
    let mark = log.with_extension("wandb.synced");
    fs::write(&mark, "").expect("mark");
    sink(&Config::default(), &dir).deliver(&sample::item(), &ThreeHours).await.expect("repeat");
    assert!(mark.exists(), "a repeat would be uploaded again");
    fs::remove_dir_all(dir.path().join("wandb")).expect("removed");
    // What a crash left behind goes.
    fs::create_dir_all(dir.path().join("wandb").join(format!(".armspan-{ID}/files")))
        .expect("left");
    fs::write(dir.path().join("wandb").join(format!(".armspan-{ID}/files/x")), "").expect("left");
    sink(&Config::default(), &dir).deliver(&sample::item(), &ThreeHours).await.expect("again");
    assert_eq!(tree(dir.path()), first);
}

#[tokio::test]
async fn late_data_replaces_the_run_and_an_older_cut_changes_nothing() {
    let dir = delivered(&Config::default(), &sample::item()).await;
    let mut cut = sample::cut();
    for record in &mut cut.records {
        record.window.first_seen = "2026-11-23T12:00:00Z".into();
        record.collector.position.insert("0".into(), 4_000);
        record.traffic.calls += 5;
    }
    let mark = dir.path().join("wandb").join(NAME).join(format!("run-{ID}.wandb.synced"));
    fs::write(&mark, "").expect("mark");
    let mut sink = sink(&Config::default(), &dir);
    sink.deliver(&item_of(cut), &ThreeHours).await.expect("late data");
    let late = tree(dir.path());
    assert!(!mark.exists(), "what is new must be uploaded");
    assert_eq!(late.keys().filter(|name| name.ends_with(".wandb")).count(), 4, "{:?}", late.keys());
    let record = &late[&format!("wandb/{NAME}/files/record.json")];
    assert!(String::from_utf8_lossy(record).contains("\"0\": 4000"));
    sink.deliver(&sample::item(), &ThreeHours).await.expect("an older cut");
    assert_eq!(tree(dir.path()), late);
}

#[tokio::test]
async fn open_epochs_are_written_when_asked_for_and_what_is_broken_is_refused() {
    let config = Config { open: true, project: Some("p".into()), ..Config::default() };
    let dir = delivered(&config, &sample::item()).await;
    assert_eq!(runs(&dir), 7);
    let mut cut = sample::cut();
    cut.records.truncate(4);
    cut.records[1].window.first_seen = "yesterday".into();
    let dir = tempfile::tempdir().expect("folder");
    let failure =
        sink(&config, &dir).deliver(&item_of(cut), &ThreeHours).await.expect_err("broken");
    assert!(
        matches!(&failure, Failure::Refused { what } if what.contains("9cb97ebd526e-e2")),
        "{failure}"
    );
    assert_eq!(runs(&dir), 3, "the others");
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    assert_eq!(Config::default().faults(), []);
    let config = Config { entity: " ".into(), project: Some("a/b".into()), ..Config::default() };
    let keys: Vec<&str> = config.faults().iter().map(|fault| fault.0).collect();
    assert_eq!(keys, ["entity", "project"]);
    assert_eq!(project("eval: a/b?"), "eval- a-b-");
    assert_eq!(project(".."), "armspan");
    assert_eq!(Config::default(), serde_json::from_str("{}").expect("defaults"));
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        config: Config,
    }
    let parsed = |args: &[&str]| <Command as clap::Parser>::parse_from(args).config;
    assert_eq!(parsed(&["wandb"]), Config::default());
    let config = Config { entity: "team".into(), sync: true, open: true, ..Config::default() };
    assert_eq!(parsed(&["wandb", "--entity", "team", "--sync", "--open"]), config);
}

#[test]
fn keys_of_the_client_and_numbers_without_json_are_left_out() {
    let mut record = sample::cut().records.swap_remove(0);
    record.metrics[0].name = "_step".into();
    record.metrics[1].level.as_mut().expect("level").upper = Some(f64::NAN);
    let past = vec![(7, record.clone()), (5, record.clone()), (7, record.clone())];
    let rows = Rows::new(past, 9, &record).expect("rows");
    let named = Named { entity: "e".into(), project: "p".into(), dashboard: None };
    let bytes = run::log(&record, &rows, &named, Path::new("/x"), &[]);
    let steps = log::read(&bytes).into_iter().filter_map(|bytes| {
        let Kind::History(row) = Record::decode(&bytes[..]).expect("record").kind? else {
            return None;
        };
        assert!(value(&row.item, "x_step").is_some() && value(&row.item, "error_rate").is_some());
        assert_eq!(value(&row.item, "error_rate/upper"), None);
        value(&row.item, "_step")?.as_u64()
    });
    assert_eq!(steps.collect::<Vec<_>>(), [0, 2, 4], "hours without a row are a gap");
}
