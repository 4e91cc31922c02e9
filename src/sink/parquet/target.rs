//! Where files go: a folder, or a bucket on S3. A file is created as a whole or not at all, is
//! durable then, and is never overwritten.

use super::{Config, file, folder};
use crate::sink::Failure;
use crate::sink::http::cause;
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// Where instances of AWS ask for their credentials: it is asked when there are no others.
const METADATA: &str = "169.254.169.254";
/// Characters of an error's text that are shown.
const SHOWN_MAX: usize = 400;

/// A folder or a bucket.
#[derive(Clone)]
pub enum Target {
    /// A folder on this machine.
    Folder(PathBuf),
    /// Objects whose names begin with a prefix.
    Bucket {
        /// The bucket.
        store: Arc<dyn ObjectStore>,
        /// `s3://bucket`, for errors.
        name: String,
        /// Without slashes at its ends; empty when there is none.
        prefix: String,
    },
}

/// Bucket and prefix of `s3://bucket/prefix`.
pub fn bucket_of(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
}

fn bucket(config: &Config, bucket: &str) -> Result<Arc<dyn ObjectStore>, Error> {
    let plain = config.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
    let mut client = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST);
    if plain {
        client = client.with_allow_http(true);
    }
    // The outbox tries again, with one backoff for all sinks.
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(once)
        .with_client_options(client);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let (Some(key), Some(secret)) = (&config.access_key, config.secret_key.reveal()) {
        builder = builder.with_access_key_id(key).with_secret_access_key(secret);
    }
    if let Some(token) = config.session_token.reveal() {
        builder = builder.with_token(token);
    }
    Ok(Arc::new(builder.build()?))
}

// === impl Target ===

impl Target {
    /// The target of a config. It does not connect and makes no folder.
    pub fn new(config: &Config, data: &Path) -> Result<Target, Failure> {
        let Some(text) = &config.dir else { return Ok(Target::Folder(data.join("parquet"))) };
        let Some((name, prefix)) = bucket_of(text) else { return Ok(Target::Folder(text.into())) };
        let store = bucket(config, name).map_err(|error| {
            Failure::refused(format!("{text}: {}; check the sink's settings", shown(&error)))
        })?;
        Ok(Target::Bucket { store, name: format!("s3://{name}"), prefix: prefix.to_owned() })
    }

    /// Writes a file that is not there yet. When it is, its rows must be the same.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Target::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                let done = tokio::task::spawn_blocking(move || into_folder(&folder, &name, &bytes));
                done.await.map_err(|error| Failure::later(format!("write: {error}")))?
            }
            Target::Bucket { store, name: bucket, prefix } => {
                let full = format!("{prefix}/{name}").trim_start_matches('/').to_owned();
                let shown = format!("{bucket}/{full}");
                let key = Key::parse(&full).map_err(|error| {
                    Failure::refused(format!("{shown}: {error}; choose another dir"))
                })?;
                into_bucket(&**store, &key, bytes, &shown).await
            }
        }
    }
}

fn into_folder(folder: &Path, name: &str, ours: &Bytes) -> Result<(), Failure> {
    let path = folder.join(name);
    let failed = |error| Failure::io("write", &path, &error);
    if folder::create(folder, name, ours).map_err(failed)? {
        return Ok(());
    }
    let theirs = std::fs::read(&path).map_err(failed)?;
    compare(&theirs.into(), ours, &path.display().to_string())
}

async fn into_bucket(
    store: &dyn ObjectStore,
    key: &Key,
    ours: Bytes,
    shown: &str,
) -> Result<(), Failure> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(key, ours.clone().into(), options).await {
        Ok(_) => Ok(()),
        Err(Error::AlreadyExists { .. }) => {
            let read = |error| failure("read", shown, &error);
            let theirs = store.get(key).await.map_err(read)?.bytes().await.map_err(read)?;
            compare(&theirs, &ours, shown)
        }
        Err(error) => Err(failure("write", shown, &error)),
    }
}

/// Whether a file that is there has the rows of ours. Bytes may differ between versions.
fn compare(theirs: &Bytes, ours: &Bytes, shown: &str) -> Result<(), Failure> {
    if theirs == ours || file::content(theirs).is_some_and(|is| Some(is) == file::content(ours)) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{shown} is there with other rows: another server writes to the same place, or its data \
         was replaced; give each server a dir of its own, or move the file away and run \
         `armspan export parquet`"
    )))
}

fn failure(doing: &str, shown_name: &str, error: &Error) -> Failure {
    let text = format!("{doing} {shown_name}: {}", shown(error));
    match error {
        _ if text.contains(METADATA) => Failure::later(format!(
            "{text}; no credentials: set access_key and secret_key, or AWS_… variables"
        )),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            Failure::later(format!("{text}; check the sink's access_key and secret_key"))
        }
        Error::NotFound { .. } => {
            Failure::later(format!("{text}; check that the bucket or folder is there"))
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } => Failure::later(format!(
            "{text}; the server must know conditional writes (If-None-Match)"
        )),
        // Of a connection, not of an answer: the cause says it, without times that always differ.
        Error::Generic { .. } if !text.contains("status") => {
            Failure::later(format!("{doing} {shown_name}: {}", cause(error)))
        }
        _ => Failure::later(text),
    }
}

/// The error with its causes on one line, not endlessly.
fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(SHOWN_MAX).collect();
    if cut.len() < line.len() { cut + "…" } else { cut }
}
