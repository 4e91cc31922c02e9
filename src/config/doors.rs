//! Whether what is said of the doors makes sense: addresses, credentials, and that nothing comes
//! back to where it came from.

use super::check::Faults;
use super::file::File;
use super::{Listen, NAME_BYTES_MAX};
use crate::auth::DEFAULT_TENANT;
use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses to bind. One that other machines reach needs credentials, or a word that it is
/// meant.
pub fn listen(file: &File, faults: &mut Faults) -> Option<Listen> {
    let raw = &file.listen;
    let may = raw.allow_remote || file.auth.is_closed();
    let mut address = |key: &str, text: &str| {
        let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
        match found {
            None => faults.add(key, format!("\"{text}\" is no address; write 127.0.0.1:4317")),
            Some(at) if !at.ip().is_loopback() && !may => faults.add(
                key,
                format!(
                    "{at} can be reached from other machines, and whoever reaches it needs no \
                     credentials; name some under auth, or set listen.allow_remote: true if the \
                     network is trusted"
                ),
            ),
            Some(_) => {}
        }
        found
    };
    let grpc = address("listen.grpc", &raw.grpc);
    let http = address("listen.http", &raw.http);
    let web = address("listen.web", &raw.web);
    Some(Listen { grpc: grpc?, http: http?, web: web? })
}

/// Credentials, and the names of the web listener.
pub fn auth(file: &File, faults: &mut Faults) {
    let declared = file.tenants.keys().map(String::as_str);
    let tenants: BTreeSet<&str> = declared.chain([DEFAULT_TENANT]).collect();
    for (key, what) in file.auth.faults(&tenants) {
        faults.add(format!("auth.{key}"), what);
    }
    for (key, what) in file.tls.iter().flat_map(|tls| tls.faults(file.auth.is_on())) {
        faults.add(format!("tls.{key}"), what);
    }
    let checked = file.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !file.auth.clients.is_empty() && !checked {
        let what = "needs tls.client_ca: without it no certificate of a client is asked for";
        faults.add("auth.clients", what);
    }
    for (at, host) in file.web.hosts.iter().enumerate() {
        let valid = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if host.is_empty() || host.len() > NAME_BYTES_MAX || !host.chars().all(valid) {
            let what = "is a host name without scheme and port, such as evals.example.com";
            faults.add(format!("web.hosts[{at}]"), what);
        }
    }
}

/// A sink that sends to one of our own listeners.
pub fn loops(file: &File, listen: Option<&Listen>, faults: &mut Faults) {
    let own: Vec<SocketAddr> = listen.iter().flat_map(|l| [l.grpc, l.http, l.web]).collect();
    for (at, sink) in file.sinks.iter().enumerate() {
        let url = sink.settings().receiver().and_then(|url| url.parse::<http::Uri>().ok());
        let Some((host, port)) = url.as_ref().and_then(|url| Some((url.host()?, url.port_u16()?)))
        else {
            continue;
        };
        let found = (host.trim_matches(['[', ']']), port).to_socket_addrs();
        if found.is_ok_and(|mut all| all.any(|address| own.contains(&address))) {
            let key = format!("sinks[{at}].endpoint");
            faults.add(key, "is this server itself; name the receiver that is to have it");
        }
    }
}
