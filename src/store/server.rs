//! `DIR/server.json`: where the server of a data folder listens, for commands that are given
//! the folder instead of an address.

use super::{Error, replace};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How its listeners are spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Server {
    /// How it is spoken to.
    #[serde(default)]
    pub scheme: Scheme,
    /// OTLP over gRPC and our gRPC API.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// Dashboard, API and `/metrics`.
    pub web: SocketAddr,
    /// Its process.
    pub pid: u32,
}

impl Server {
    /// Where pages and API are, as a URL.
    pub fn web_url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.web)
    }

    /// Writes it into a data folder.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = path(dir);
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        let json = json.map(|json| [&json[..], b"\n"].concat());
        let written = json.and_then(|json| replace(&path, |file| file.write_all(&json)));
        written.map_err(|error| Error::io("cannot write", &path, error))
    }

    /// Reads it from a data folder; `None` when no server ran there, or the file is no such.
    pub fn read(dir: &Path) -> Result<Option<Server>, Error> {
        let path = path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read", &path, error)),
        }
    }

    /// Takes it away when the server ends; that it is gone already is no error.
    pub fn remove(dir: &Path) -> Result<(), Error> {
        match std::fs::remove_file(path(dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", &path(dir), error))
            }
            _ => Ok(()),
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("server.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_goes() {
        let dir = tempfile::TempDir::new().expect("dir");
        assert_eq!(Server::read(dir.path()).expect("reads"), None);
        let server = Server {
            scheme: Scheme::Https,
            grpc: "127.0.0.1:4317".parse().expect("address"),
            http: "127.0.0.1:4318".parse().expect("address"),
            web: "[::1]:4390".parse().expect("address"),
            pid: 7,
        };
        server.write(dir.path()).expect("writes");
        assert_eq!(server.web_url(), "https://[::1]:4390");
        assert_eq!(Server::read(dir.path()).expect("reads"), Some(server));
        Server::remove(dir.path()).expect("removes");
        Server::remove(dir.path()).expect("again");
        assert_eq!(Server::read(dir.path()).expect("reads"), None);
    }
}
