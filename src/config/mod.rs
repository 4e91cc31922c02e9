//! The config: a YAML file, variables and flags become one validated [`Config`].
//! Precedence: flag > `ARMSPAN_…` > file > default. What is written ([`File`]) and what is used
//! are two types; nothing past this module sees text that was not checked.

mod check;
mod doors;
mod error;
mod file;
mod scalar;
mod substitute;
mod tenants;

pub use crate::model::Secret;
pub use check::{MAPPED, MAPPED_MAX, NAME_BYTES_MAX};
pub use error::{Error, Fault, nearest};
pub use file::File;
pub use scalar::Size;

use crate::model::settings::{Settings, Span};
use check::Faults;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file that documents every key with its default.
pub const DOCUMENTED: &str = include_str!("../../config/armspan.yaml");

/// Largest config file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is used: every address resolved, every name and number checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// Certificates for all listeners.
    pub tls: Option<crate::auth::tls::Config>,
    /// Whose it is, when more than one is declared.
    pub tenant: Option<String>,
    /// What the tenant may send in a second.
    pub rates: crate::auth::Rates,
    /// Which credentials there are.
    pub auth: crate::auth::Config,
    /// Host names of the web listener.
    pub hosts: Vec<String>,
    /// The folder of log, snapshots and records.
    pub data: PathBuf,
    /// How spans are understood.
    pub normalize: Normalize,
    /// Limits of the doors.
    pub doors: Doors,
    /// The log's files.
    pub log: LogFiles,
    /// When a snapshot is made.
    pub snapshot: Snapshot,
    /// Where run records go.
    pub sinks: Vec<crate::sink::Config>,
    /// What is kept for them.
    pub outbox: Outbox,
    /// Where requests go on to.
    pub forward: Option<crate::otlp::forward::Config>,
    /// Where people open the dashboard, without a slash at its end.
    pub dashboard: Option<String>,
    /// Filter of our own log lines.
    pub log_level: String,
    settings: Settings,
    file: File,
}

/// Addresses to bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// OTLP and our API over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// Pages, JSON API and metrics.
    pub web: SocketAddr,
}

/// Parameters of `normalize`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Normalize {
    /// Canonical field ← attributes; the first present wins.
    pub mapping: BTreeMap<String, Vec<String>>,
    /// Key of content and unit hashes.
    pub hash_key: Secret,
    /// Its name in hashes.
    pub hash_key_id: String,
}

/// Limits of the doors, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doors {
    /// A request after decompression.
    pub request_bytes_max: u64,
    /// Requests between admission and acknowledgement.
    pub in_flight_bytes_max: u64,
    /// What waits for the log or the engine.
    pub queue_bytes_max: u64,
    /// Free disk below which nothing is accepted.
    pub disk_free_min: u64,
}

/// The log's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogFiles {
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// How long segments are kept.
    pub keep: Span,
    /// How many bytes of them at most.
    pub keep_bytes_max: u64,
}

/// When a snapshot is made; whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Time since the last one.
    pub every: Span,
    /// Bytes of log since the last one.
    pub log_bytes: u64,
}

/// What is kept for sinks, delivered or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outbox {
    /// How long.
    pub keep: Span,
    /// How many bytes of it at most.
    pub keep_bytes_max: u64,
}

/// What flags say; they win over everything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen-grpc`.
    pub listen_grpc: Option<String>,
    /// `--listen-http`.
    pub listen_http: Option<String>,
    /// `--listen-web`.
    pub listen_web: Option<String>,
    /// `--allow-remote`.
    pub allow_remote: bool,
    /// `--data`.
    pub data: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads the file, if there is one, and everything above it.
pub fn load(path: Option<&Path>, env: Env<'_>, flags: &Flags) -> Result<Config, Error> {
    let mut file = match path {
        Some(path) => parse(&read(path)?, path, env)?,
        None => File::default(),
    };
    override_with(&mut file, env, flags)?;
    Config::new(file)
}

/// Parses the text of a file; `path` is for error messages only.
pub fn parse(text: &str, path: &Path, env: Env<'_>) -> Result<File, Error> {
    let text = substitute::substitute(text, env)
        .map_err(|problem| Error::from_problem(path.to_owned(), problem))?;
    let options = serde_saphyr::Options { with_snippet: false, ..Default::default() };
    // A file of comments only is no document, and means the defaults.
    let lines = text.lines().map(str::trim);
    if lines.clone().all(|line| line.is_empty() || line.starts_with('#') || line == "---") {
        return Ok(File::default());
    }
    serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| Error::from_yaml(path.to_owned(), &text, &error))
}

/// The JSON Schema of the file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other("larger than 4 MiB")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn override_with(file: &mut File, env: Env<'_>, flags: &Flags) -> Result<(), Error> {
    let pick = |flag: &Option<String>, name: &str| flag.clone().or_else(|| env(name));
    let put = |to: &mut String, value: Option<String>| value.into_iter().for_each(|v| *to = v);
    put(&mut file.listen.grpc, pick(&flags.listen_grpc, "ARMSPAN_LISTEN_GRPC"));
    put(&mut file.listen.http, pick(&flags.listen_http, "ARMSPAN_LISTEN_HTTP"));
    put(&mut file.listen.web, pick(&flags.listen_web, "ARMSPAN_LISTEN_WEB"));
    put(&mut file.data, pick(&flags.data, "ARMSPAN_DATA"));
    put(&mut file.log_level, pick(&flags.log_level, "ARMSPAN_LOG_LEVEL"));
    put(&mut file.identity.hash_key_id, env("ARMSPAN_HASH_KEY_ID"));
    if let Some(key) = env("ARMSPAN_HASH_KEY") {
        file.identity.hash_key = Secret::new(key);
    }
    match env("ARMSPAN_LISTEN_ALLOW_REMOTE").as_deref() {
        None => {}
        Some("true" | "1") => file.listen.allow_remote = true,
        Some("false" | "0") => file.listen.allow_remote = false,
        Some(_) => {
            let key = "ARMSPAN_LISTEN_ALLOW_REMOTE".to_owned();
            return Err(Error::Invalid(vec![Fault { key, what: "is true or false".into() }]));
        }
    }
    file.listen.allow_remote |= flags.allow_remote;
    Ok(())
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config::new(File::default()).expect("the defaults are valid; a test says so")
    }
}

impl Config {
    /// Checks a file; lists everything that is wrong with it.
    pub fn new(file: File) -> Result<Self, Error> {
        let mut faults = Faults::default();
        check::check(&file, &mut faults);
        key_id(&file, &mut faults);
        if file.data.is_empty() {
            faults.add("data", "names a folder");
        }
        let listen = doors::listen(&file, &mut faults);
        doors::auth(&file, &mut faults);
        tenants::check(&file, listen.as_ref(), &mut faults);
        doors::loops(&file, listen.as_ref(), &mut faults);
        match listen {
            Some(listen) if faults.0.is_empty() => Ok(Config::build(file, listen)),
            _ => Err(Error::Invalid(faults.0)),
        }
    }

    fn build(file: File, listen: Listen) -> Self {
        let data = PathBuf::from(&file.data);
        Config {
            listen,
            tls: file.tls.clone(),
            tenant: (!file.tenants.is_empty()).then(|| crate::auth::DEFAULT_TENANT.to_owned()),
            rates: crate::auth::Rates {
                bytes: file.quota.bytes_per_second.map(|size| size.0),
                spans: file.quota.spans_per_second,
            },
            auth: file.auth.clone(),
            hosts: file.web.hosts.clone(),
            sinks: file.sinks.clone(),
            normalize: Normalize {
                mapping: file.mapping.clone(),
                hash_key: file.identity.hash_key.clone(),
                hash_key_id: file.identity.hash_key_id.clone(),
            },
            doors: limits(&file),
            log: LogFiles {
                segment_bytes: file.log.segment_bytes.0,
                keep: file.log.keep.unwrap_or(file.horizon),
                keep_bytes_max: file.log.keep_bytes_max.0,
            },
            snapshot: Snapshot { every: file.snapshot.every, log_bytes: file.snapshot.log_bytes.0 },
            outbox: Outbox { keep: file.outbox.keep, keep_bytes_max: file.outbox.keep_bytes_max.0 },
            forward: file.forward.clone(),
            dashboard: file.links.dashboard.as_ref().map(|u| u.trim_end_matches('/').to_owned()),
            log_level: file.log_level.clone(),
            settings: settings(&file),
            data,
            file,
        }
    }

    /// What the engine uses, and what goes into the log.
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// The whole config as YAML, secrets hidden.
    pub fn effective(&self) -> String {
        serde_saphyr::to_string(&self.file).expect("a config of plain maps is always YAML")
    }

    /// The whole config as JSON, secrets hidden.
    pub fn effective_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.file).expect("a config of plain maps is always JSON")
    }
}

fn settings(file: &File) -> Settings {
    Settings {
        experiments: file.experiments.clone(),
        metrics: file.metrics.clone(),
        experiments_auto: file.experiments_auto,
        flags: file.flags.clone(),
        observed: file.identity.observed.clone(),
        prices: file.prices.clone(),
        horizon: file.horizon,
        assignment_wait: file.assignment_wait,
        epoch_min: file.epoch_min,
        matures_after: file.matures_after,
        trace_link: file.links.trace.clone(),
        limits: file.limits.engine(),
    }
}

fn limits(file: &File) -> Doors {
    let limits = &file.limits;
    let in_flight = file.quota.in_flight_bytes_max.unwrap_or(limits.in_flight_bytes_max);
    Doors {
        request_bytes_max: limits.request_bytes_max.0,
        in_flight_bytes_max: in_flight.0,
        queue_bytes_max: limits.queue_bytes_max.0,
        disk_free_min: limits.disk_free_min.0,
    }
}

fn key_id(file: &File, faults: &mut Faults) {
    let id = &file.identity.hash_key_id;
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.is_empty() || id.len() > 32 || !id.chars().all(valid) {
        faults.add("identity.hash_key_id", "has 1 to 32 letters, digits, dots or dashes");
    }
}

#[cfg(test)]
mod tests;
