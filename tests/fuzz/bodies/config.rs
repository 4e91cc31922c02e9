//! The config: any text is a config or an error, and what `--print-effective` shows of it is the
//! same config, without its secrets.

use armspan::config::{self, Config, File};
use std::net::IpAddr;
use std::path::Path;

const KEY: &str = "9f2c-the-key-that-nobody-prints";

fn env(name: &str) -> Option<String> {
    (name == "KEY").then(|| KEY.to_owned())
}

/// Any text.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("armspan.yaml");
    let mut file = match config::parse(text, path, &env) {
        Ok(file) => file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    offline(&mut file);
    let keyed = text.contains("${env:KEY}");
    let config = match Config::new(file) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let shown = config.effective();
    if keyed && config.normalize.hash_key.reveal() == Some(KEY) && text.matches("KEY").count() == 1
    {
        assert!(!shown.contains(KEY), "the key is shown: {shown}");
    }
    // A dollar in a name would be read as a variable.
    if shown.contains('$') {
        return;
    }
    let again = config::parse(&shown, path, &env).expect("what is shown can be read");
    let again = Config::new(again).expect("and is valid");
    assert_eq!(shown, again.effective());
    assert_eq!(config.settings(), again.settings());
}

/// Names would be looked up in the network.
fn offline(file: &mut File) {
    let defaults = File::default().listen;
    for (address, default) in [
        (&mut file.listen.grpc, defaults.grpc),
        (&mut file.listen.http, defaults.http),
        (&mut file.listen.web, defaults.web),
    ] {
        if address.parse::<std::net::SocketAddr>().is_err() {
            *address = default;
        }
    }
    let shown = serde_json::to_string(&file.sinks).unwrap_or_default();
    let named = |host: &str| {
        let host = host.split(['/', ':', '"']).next().unwrap_or_default();
        host.parse::<IpAddr>().is_err()
    };
    if shown.split("://").skip(1).any(named) {
        file.sinks.clear();
    }
}
