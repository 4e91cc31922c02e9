//! Tests of the whole sink: what is read back from the files of the sample cut.

use super::*;
use crate::sink::sample::{self, ThreeHours};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

async fn deliver(dir: &Path, cut: Cut) -> Result<(), Failure> {
    let config = Config { dir: Some(dir.display().to_string()), ..Config::default() };
    let mut sink = config.open(&Around::default()).expect("a sink");
    let mut item = sample::item();
    item.body = Body::Cut(Box::new(cut));
    sink.deliver(&item, &ThreeHours).await
}

/// Every file under a folder, by its name there, with its bytes.
fn everything(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for table in Table::ALL {
        for day in fs::read_dir(dir.join(table.name())).expect("table") {
            for file in fs::read_dir(day.expect("day").path()).expect("day") {
                let path = file.expect("file").path();
                let name = path.strip_prefix(dir).expect("inside").display().to_string();
                out.insert(name, fs::read(&path).expect("bytes"));
            }
        }
    }
    out
}

fn read(bytes: &[u8]) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes));
    let mut batches = reader.expect("a file").build().expect("a reader");
    let batch = batches.next().expect("a batch").expect("rows");
    assert!(batches.next().is_none());
    batch
}

fn integers(rows: &RecordBatch, name: &str) -> Vec<i64> {
    rows[name].as_primitive::<Int64Type>().values().to_vec()
}

fn texts(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    rows[name].as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// What other programs rely on: a change here is a new version of `SCHEMA`.
#[test]
fn columns_are_as_agreed() {
    let cut = sample::cut();
    for table in Table::ALL {
        let bytes = file::encode(table, &cut).expect("encoded").expect("rows");
        let metadata = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a file");
        let metadata = metadata.metadata().file_metadata();
        let mut text = Vec::new();
        parquet::schema::printer::print_schema(&mut text, metadata.schema());
        insta::assert_snapshot!(table.name(), String::from_utf8(text).expect("text"));
        let notes = metadata.key_value_metadata().expect("notes");
        let of = |key: &str| notes.iter().find(|note| note.key == key)?.value.as_deref();
        assert_eq!(of("armspan.schema"), Some("armspan/parquet/v1"));
        assert_eq!(of("armspan.table"), Some(table.name()));
    }
}

#[tokio::test]
async fn a_cut_becomes_three_files_that_never_change() {
    let dir = tempfile::tempdir().expect("folder");
    let below = dir.path().join("a/b");
    deliver(&below, sample::cut()).await.expect("delivered");
    let first = everything(&below);
    assert_eq!(fs::read_dir(below.join(".writing")).expect("folder").count(), 0);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let day = "date=2026-11-24/00000000000000003000.parquet";
    let expected = ["estimates", "records", "windows"].map(|table| format!("{table}/{day}"));
    assert_eq!(names, expected);
    let times =
        |name: &str| fs::metadata(below.join(name)).expect("file").modified().expect("time");
    let before: Vec<_> = expected.iter().map(|name| times(name)).collect();
    deliver(&below, sample::cut()).await.expect("delivered again");
    assert_eq!(everything(&below), first);
    assert_eq!(expected.iter().map(|name| times(name)).collect::<Vec<_>>(), before);
    let encoded = files(&sample::cut()).expect("files");
    assert!(encoded.iter().all(|(name, bytes)| first[name] == *bytes), "the same bytes");
    assert!(encoded.last().expect("files").0.starts_with("records/"), "records come last");
}

#[test]
fn rows_say_what_the_cut_says() {
    let cut = sample::cut();
    let files: BTreeMap<_, _> = files(&cut).expect("files").into_iter().collect();
    let of = |table| read(&files[&name(table, &cut).expect("name")]);
    let records = of(Table::Records);
    let calls: Vec<i64> = cut.records.iter().map(|record| record.traffic.calls).collect();
    assert_eq!(integers(&records, "calls"), calls);
    let time = |name: &str| records[name].as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(time("cut_at"), 1_795_543_200_250_000);
    assert_eq!(time("cut_hour"), 1_795_539_600_000_000);
    assert_eq!(integers(&records, "cut_position")[0], 3_000);
    let whole: Vec<_> = texts(&records, "record").into_iter().flatten().collect();
    let whole: Vec<crate::model::RunRecord> =
        whole.iter().map(|json| serde_json::from_str(json).expect("a record")).collect();
    assert_eq!(whole, cut.records);
    let estimates = of(Table::Estimates);
    let lines = cut.experiments[0].sites[0].arms.iter().flat_map(|arm| &arm.metrics);
    let lines: Vec<_> = lines.collect();
    assert_eq!((estimates.num_rows(), lines.len()), (39, 39));
    for (row, line) in lines.iter().enumerate() {
        let column = |name: &str| estimates[name].as_primitive::<Float64Type>();
        let value = |name: &str| column(name).is_valid(row).then(|| column(name).value(row));
        let difference = line.difference.as_ref();
        assert_eq!(value("estimate"), line.level.as_ref().map(|level| level.estimate));
        assert_eq!(value("difference"), difference.map(|found| found.estimate));
        assert_eq!(value("log_e"), difference.and_then(|found| found.log_e));
        let reasons = estimates["reasons"].as_list::<i32>();
        let reasons = reasons.is_valid(row).then(|| reasons.value(row));
        let reasons = reasons.map(|list| list.as_string::<i32>().len());
        assert_eq!(reasons, line.verdict.as_ref().map(|verdict| verdict.reasons.len()));
    }
    assert_eq!(of(Table::Windows).num_rows(), cut.windows.len());
}

#[test]
fn a_table_without_rows_is_no_file() {
    let mut cut = sample::cut();
    cut.windows.clear();
    cut.records.clear();
    let files = files(&cut).expect("files");
    assert_eq!(files.len(), 1);
    assert!(files[0].0.starts_with("estimates/"));
}

#[tokio::test]
async fn other_rows_under_the_same_name_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    deliver(dir.path(), sample::cut()).await.expect("delivered");
    let first = everything(dir.path());
    let mut other = sample::cut();
    other.records[0].traffic.calls += 1;
    let failure = deliver(dir.path(), other).await.expect_err("another server");
    let Failure::Refused { what } = &failure else { panic!("{failure}") };
    assert!(what.contains("records/date=") && what.contains("dir of its own"), "{what}");
    assert_eq!(everything(dir.path()), first);
}

/// A crash between the tables of a cut: the next attempt adds what is missing. A file of another
/// version of the writer, with the same rows in other bytes, is as good.
#[tokio::test]
async fn what_is_missing_is_added_and_other_bytes_of_the_same_rows_are_kept() {
    let dir = tempfile::tempdir().expect("folder");
    let cut = sample::cut();
    let (windows, estimates) =
        (name(Table::Windows, &cut).expect("name"), name(Table::Estimates, &cut).expect("name"));
    deliver(dir.path(), cut.clone()).await.expect("delivered");
    let mut expected = everything(dir.path());
    fs::remove_file(dir.path().join(&windows)).expect("removed");
    let older = uncompressed(Table::Estimates, &cut);
    assert_ne!(expected[&estimates], older);
    fs::write(dir.path().join(&estimates), &older).expect("replaced");
    deliver(dir.path(), cut).await.expect("delivered again");
    expected.insert(estimates, older);
    assert_eq!(everything(dir.path()), expected);
}

fn uncompressed(table: Table, cut: &Cut) -> Vec<u8> {
    use parquet::file::metadata::KeyValue;
    let note = KeyValue::new("armspan.content".into(), table.content(cut));
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_key_value_metadata(Some(vec![note]))
        .build();
    let rows = table.rows(cut).expect("rows");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))
            .expect("a writer");
    writer.write(&rows).expect("written");
    writer.into_inner().expect("bytes")
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_tried_again() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("written");
    let failure = deliver(&file.join("below"), sample::cut()).await.expect_err("no folder");
    assert!(matches!(failure, Failure::Later { .. }), "{failure}");
    assert!(failure.to_string().contains("write "), "{failure}");
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    let faults = |json: &str| {
        let config: Config = serde_json::from_str(json).expect("config");
        config.faults().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert!(faults("{}").is_empty() && faults(r#"{"dir": "/x"}"#).is_empty());
    assert_eq!(faults(r#"{"dir": "gs://x"}"#), ["dir"]);
    assert_eq!(faults(r#"{"dir": "s3:///x"}"#), ["dir"]);
    assert_eq!(faults(r#"{"dir": "/x", "endpoint": "https://h"}"#), ["endpoint"]);
    assert_eq!(faults(r#"{"dir": "s3://b", "endpoint": "h:1"}"#), ["endpoint"]);
    assert_eq!(faults(r#"{"dir": "s3://b", "endpoint": "http://k:s@h:1"}"#), ["endpoint"]);
    assert_eq!(faults(r#"{"dir": "s3://b/p", "access_key": "k"}"#), ["access_key"]);
    assert_eq!(faults(r#"{"dir": "s3://b/p", "secret_key": "s"}"#), ["access_key"]);
    let config: Config =
        serde_json::from_str(r#"{"dir": "s3://b/p/", "endpoint": "http://h/"}"#).expect("config");
    assert_eq!(config.target(), "s3://b/p at http://h");
    assert_eq!(target::bucket_of("s3://b/p/q/"), Some(("b", "p/q")));
}
