//! A server in this process, with a config of the test's own.

use armspan::app::server::{Core, Doors, Server};
use armspan::auth::token::Hash;
use armspan::config::{self, Config, Flags};
use std::path::Path;
use tempfile::TempDir;

/// What every config of these tests begins with.
const BASE: &str = "assignment_wait: 1s\nmatures_after: 0s\nlog: {segment_bytes: 1048576}\n\
                    listen: {grpc: 127.0.0.1:0, http: 127.0.0.1:0, web: 127.0.0.1:0}\n";

/// A server and its folder.
pub struct Running {
    pub server: Server,
    pub dir: TempDir,
}

/// A config; `more` follows the base.
pub fn config(dir: &Path, more: &str) -> Config {
    try_config(dir, more, "127.0.0.1:0").expect("config")
}

/// The same for pages at another address; what is wrong with it, if anything is.
pub fn try_config(dir: &Path, more: &str, web: &str) -> Result<Config, config::Error> {
    let file = dir.join("armspan.yaml");
    std::fs::write(&file, format!("{BASE}{more}")).expect("written");
    let data = Some(dir.join("data").display().to_string());
    let env = |name: &str| (name == "ARMSPAN_LISTEN_WEB").then(|| web.to_owned());
    config::load(Some(&file), &env, &Flags { data, ..Flags::default() })
}

/// One token of the config: its hash, never itself.
pub fn token(token: &str, tenant: &str, role: &str) -> String {
    let hash = Hash::of(token).hex();
    format!("{{name: {token}, sha256: {hash}, tenant: {tenant}, roles: [{role}]}}")
}

/// Three tokens of the tenant `default`, each called as its role.
pub fn three_roles() -> String {
    let tokens = ["ingest", "read", "admin"].map(|role| token(role, "default", role));
    format!("auth: {{tokens: [{}]}}\n", tokens.join(", "))
}

pub async fn start(more: &str) -> Running {
    start_in(TempDir::new().expect("folder"), more).await
}

pub async fn start_in(dir: TempDir, more: &str) -> Running {
    let config = config(dir.path(), more);
    let doors = Doors::bind(&config).await.expect("doors");
    let core = Core::start(config, false).await.expect("core");
    let server = Server::serve(core, doors).await.expect("server");
    Running { server, dir }
}

impl Running {
    /// Where a door is: `grpc`, `http` or `web`.
    pub fn url(&self, door: &str) -> String {
        let at = ["grpc", "http", "web"].iter().position(|name| *name == door).expect("a door");
        format!("http://{}", self.server.addresses[at])
    }

    /// Puts another config in force.
    pub async fn reload(&mut self, more: &str) {
        let config = config(self.dir.path(), more);
        self.server.reload(config).await.expect("reloaded");
    }
}
