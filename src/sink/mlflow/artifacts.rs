//! Files of a run, through the server's artifact proxy. Where there is none (a server that was
//! started with `--no-serve-artifacts`, or an experiment whose files lie in a bucket), all else is
//! still delivered: params, metrics and tags hold what the files say.

use super::rest::Rest;
use crate::model::RunRecord;
use crate::sink::Failure;

/// The report for people.
pub const REPORT: &str = "armspan/report.md";
/// The proxy's path on the server.
const PROXY: &str = "api/2.0/mlflow-artifacts/artifacts";
/// The scheme of folders that the server itself keeps.
const SCHEME: &str = "mlflow-artifacts:/";

/// The record of an epoch.
pub fn record_path(epoch: u32) -> String {
    format!("armspan/record-epoch-{epoch}.json")
}

/// The record as the file is to have it.
pub fn record_bytes(record: &RunRecord) -> Vec<u8> {
    let text = serde_json::to_string_pretty(record);
    (text.expect("a record has text keys and finite numbers") + "\n").into_bytes()
}

/// The folder on the proxy of an artifact URI; `None` when the server does not keep it.
pub fn folder(uri: &str) -> Option<String> {
    let path = uri.strip_prefix(SCHEME)?;
    let path = path.trim_end_matches('/');
    (!path.starts_with('/') && !path.is_empty()).then(|| path.to_owned())
}

/// Writes a file, over the one that is there.
pub async fn put(rest: &Rest, folder: &str, path: &str, bytes: Vec<u8>) -> Result<(), Failure> {
    rest.put(&format!("{PROXY}/{folder}/{path}"), bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_keeps_has_a_folder() {
        assert_eq!(folder("mlflow-artifacts:/1/ab/artifacts").as_deref(), Some("1/ab/artifacts"));
        for other in ["s3://bucket/1/ab", "file:///x", "/x", "mlflow-artifacts://host/1/ab"] {
            assert_eq!(folder(other), None, "{other}");
        }
    }
}
