//! Flags that say which server is asked, and with what credentials.

use crate::model::Secret;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Which server to read from.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Server {
    /// Address of a running server, such as http://127.0.0.1:4390.
    #[arg(long, value_name = "URL", env = "ARMSPAN_SERVER", conflicts_with = "data")]
    pub server: Option<String>,
    /// Data folder: its server is asked, or without one the folder itself is read.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Bearer token for a server that wants one.
    #[arg(long, value_name = "TOKEN", env = "ARMSPAN_TOKEN", hide_env_values = true)]
    pub token: Option<Secret>,
    /// Certificates that a server's own is checked against, as PEM; else those of the system.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CA")]
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key in one PEM file, for a server that wants one.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CERT")]
    pub cert: Option<PathBuf>,
}

/// As [`Server`], for a command with subcommands of its own, some of which have a `--token` of
/// the tool that they deliver to.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct GlobalServer {
    /// Address of a running server, such as http://127.0.0.1:4390.
    #[arg(long, global = true, value_name = "URL", env = "ARMSPAN_SERVER")]
    pub server: Option<String>,
    /// Data folder, of a running server or of none.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Bearer token for a server that wants one.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "ARMSPAN_TOKEN",
        hide_env_values = true
    )]
    pub server_token: Option<Secret>,
    /// Certificates that a server's own is checked against, as PEM; else those of the system.
    #[arg(long, global = true, value_name = "FILE", env = "ARMSPAN_CA")]
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key in one PEM file, for a server that wants one.
    #[arg(long, global = true, value_name = "FILE", env = "ARMSPAN_CERT")]
    pub cert: Option<PathBuf>,
}

impl GlobalServer {
    /// The same server.
    pub fn get(&self) -> Server {
        let GlobalServer { server, data, server_token, ca, cert } = self.clone();
        Server { server, data, token: server_token, ca, cert }
    }
}
