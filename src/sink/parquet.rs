//! Tidy tables as Parquet files, by UTC day of log time, in a folder or on S3:
//! `records/date=YYYY-MM-DD/<position>.parquet`, and so `estimates/` and `windows/`. Each cut
//! gives one file for each table that has rows. Its name is a function of the cut and it is only
//! ever created, so an item that comes again changes nothing: a file that is there with the same
//! rows is taken for delivered, one with other rows refuses the item. A crash between the tables
//! of a cut leaves whole files, and the next attempt adds the others; the records come last.

mod columns;
mod file;
mod folder;
mod tables;
mod target;

use super::{Around, Failure, History, Settings, Sink};
use crate::model::Secret;
use crate::model::delivery::{Body, Cut, Item, ItemKind};
use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tables::Table;
use target::Target;

pub use file::SCHEMA;

/// Settings. Keys that are absent are taken from the environment: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL` and the others
/// that S3 clients know.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A folder, or s3://bucket/prefix; the folder `parquet` in the data folder when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "DIR|s3://…")]
    pub dir: Option<String>,
    /// URL of an S3-compatible server; AWS when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub region: Option<String>,
    /// Id of the access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub access_key: Option<String>,
    /// The secret access key.
    #[serde(skip_serializing_if = "is_none")]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub secret_key: Secret,
    /// The session token of temporary keys.
    #[serde(skip_serializing_if = "is_none")]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub session_token: Secret,
}

fn is_none(secret: &Secret) -> bool {
    secret.reveal().is_none()
}

/// An open sink.
pub struct Parquet {
    target: Target,
}

/// The name of a table's file: the UTC day of the cut, and its position.
fn name(table: Table, cut: &Cut) -> Result<String, Failure> {
    let at = jiff::Timestamp::from_nanosecond(cut.at.into());
    let at = at.map_err(|error| Failure::refused(format!("time of the cut: {error}")))?;
    let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok(format!("{}/date={day}/{:020}.parquet", table.name(), cut.position))
}

/// The files of a cut with their names, in the order in which they are written.
fn files(cut: &Cut) -> Result<Vec<(String, Bytes)>, Failure> {
    let mut out = Vec::new();
    for table in Table::ALL {
        let encoded = file::encode(table, cut).map_err(|error| {
            Failure::refused(format!("{} of position {}: {error}", table.name(), cut.position))
        })?;
        if let Some(bytes) = encoded {
            out.push((name(table, cut)?, bytes));
        }
    }
    Ok(out)
}

// === impl Config ===

impl Settings for Config {
    fn target(&self) -> String {
        let dir = self.dir.as_deref().unwrap_or("data").trim_end_matches('/');
        match &self.endpoint {
            Some(endpoint) => format!("{dir} at {}", endpoint.trim_end_matches('/')),
            None => dir.to_owned(),
        }
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let dir = self.dir.as_deref().unwrap_or_default();
        let bucket = target::bucket_of(dir).is_some();
        if dir.contains("://") && !bucket {
            out.push(("dir", format!("{dir} is neither a folder nor s3://bucket/prefix")));
        }
        if let Some(url) = &self.endpoint {
            let http = url.starts_with("http://") || url.starts_with("https://");
            if !http {
                out.push(("endpoint", format!("{url} is no URL; begin it with https://")));
            } else if url.contains('@') {
                out.push(("endpoint", "use access_key and secret_key for credentials".into()));
            }
            if !bucket {
                out.push(("endpoint", "only for a dir such as s3://bucket/prefix".into()));
            }
        }
        if self.access_key.is_some() == is_none(&self.secret_key) {
            let what =
                "give access_key and secret_key, or neither to take them from AWS_… variables";
            out.push(("access_key", what.into()));
        }
        out
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Parquet { target: Target::new(self, &around.data)? }))
    }
}

#[async_trait]
impl Sink for Parquet {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        let cut = cut.clone();
        let encoded = tokio::task::spawn_blocking(move || files(&cut)).await;
        let files = encoded.map_err(|error| Failure::later(format!("tables: {error}")))??;
        for (name, bytes) in files {
            self.target.create(&name, bytes).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
