//! The messages of `wandb_internal.proto` that an offline run consists of; only what is written
//! here. The numbers of fields are those of wandb 0.31.0.

use prost::Message;

/// One record of a `.wandb` file.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    #[prost(int64, tag = "1")]
    pub num: i64,
    #[prost(oneof = "Kind", tags = "2, 3, 6, 8, 17, 18, 21")]
    pub kind: Option<Kind>,
}

/// What a record is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    #[prost(message, tag = "2")]
    History(History),
    #[prost(message, tag = "3")]
    Summary(Summary),
    #[prost(message, tag = "6")]
    Files(Files),
    #[prost(message, tag = "8")]
    Artifact(Artifact),
    #[prost(message, tag = "17")]
    Run(Run),
    #[prost(message, tag = "18")]
    Exit(Exit),
    #[prost(message, tag = "21")]
    Header(Header),
}

/// The first record.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    #[prost(message, tag = "1")]
    pub version_info: Option<Version>,
}

/// Who wrote it, and the oldest client that can read it.
#[derive(Clone, PartialEq, Message)]
pub struct Version {
    #[prost(string, tag = "1")]
    pub producer: String,
    #[prost(string, tag = "2")]
    pub min_consumer: String,
}

/// The second record: which run.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(string, tag = "2")]
    pub entity: String,
    #[prost(string, tag = "3")]
    pub project: String,
    #[prost(message, tag = "4")]
    pub config: Option<Config>,
    #[prost(string, tag = "6")]
    pub run_group: String,
    #[prost(string, tag = "7")]
    pub job_type: String,
    #[prost(string, tag = "8")]
    pub display_name: String,
    #[prost(string, tag = "9")]
    pub notes: String,
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    #[prost(message, tag = "17")]
    pub start_time: Option<prost_types::Timestamp>,
    #[prost(message, tag = "21")]
    pub git: Option<Git>,
}

/// Values to set.
#[derive(Clone, PartialEq, Message)]
pub struct Config {
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
}

/// A key with a value as JSON text.
#[derive(Clone, PartialEq, Message)]
pub struct Item {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "16")]
    pub value_json: String,
}

/// Where the code came from.
#[derive(Clone, PartialEq, Message)]
pub struct Git {
    #[prost(string, tag = "2")]
    pub commit: String,
}

/// A row.
#[derive(Clone, PartialEq, Message)]
pub struct History {
    #[prost(message, repeated, tag = "1")]
    pub item: Vec<Item>,
    #[prost(message, tag = "2")]
    pub step: Option<Step>,
}

/// The step of a row.
#[derive(Clone, PartialEq, Message)]
pub struct Step {
    #[prost(int64, tag = "1")]
    pub num: i64,
}

/// Last values.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
}

/// Files of the run.
#[derive(Clone, PartialEq, Message)]
pub struct Files {
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<File>,
}

/// A path relative to the run's `files`; policy 1 uploads it at the end.
#[derive(Clone, PartialEq, Message)]
pub struct File {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(int32, tag = "2")]
    pub policy: i32,
}

/// A version of an artifact.
#[derive(Clone, PartialEq, Message)]
pub struct Artifact {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub entity: String,
    #[prost(string, tag = "4")]
    pub kind: String,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(string, tag = "6")]
    pub digest: String,
    #[prost(string, tag = "8")]
    pub metadata: String,
    #[prost(string, repeated, tag = "11")]
    pub aliases: Vec<String>,
    #[prost(message, tag = "12")]
    pub manifest: Option<Manifest>,
    #[prost(bool, tag = "14")]
    pub finalize: bool,
    #[prost(string, tag = "15")]
    pub client_id: String,
    #[prost(string, tag = "16")]
    pub sequence_client_id: String,
    #[prost(string, tag = "20")]
    pub digest_algorithm: String,
}

/// Its files.
#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(string, tag = "2")]
    pub storage_policy: String,
    #[prost(message, repeated, tag = "3")]
    pub storage_policy_config: Vec<PolicyItem>,
    #[prost(message, repeated, tag = "4")]
    pub contents: Vec<Entry>,
}

/// A key with a value as JSON text.
#[derive(Clone, PartialEq, Message)]
pub struct PolicyItem {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value_json: String,
}

/// A file: base64 of its MD5, its bytes, and where the client reads it from.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub digest: String,
    #[prost(int64, tag = "4")]
    pub size: i64,
    #[prost(string, tag = "6")]
    pub local_path: String,
}

/// The last record; without it the run counts as failed.
#[derive(Clone, PartialEq, Message)]
pub struct Exit {
    #[prost(int32, tag = "1")]
    pub exit_code: i32,
    #[prost(int32, tag = "2")]
    pub runtime: i32,
}
