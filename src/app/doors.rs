//! The three listeners, bound before anything is served on them, so that a busy port is an error
//! of the start.

use crate::config::Config;
use anyhow::{Context as _, Result};
use std::io::{Write, stderr};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Addresses that are bound but not served yet.
pub struct Doors {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
    pub(super) web: TcpListener,
}

// === impl Doors ===

impl Doors {
    /// The addresses that were bound.
    pub fn addresses(&self) -> Result<[SocketAddr; 3]> {
        Ok([self.grpc.local_addr()?, self.http.local_addr()?, self.web.local_addr()?])
    }

    /// Binds all three addresses, taking a free port where one is taken, and says so.
    pub async fn bind_or_move(config: &Config) -> Result<Doors> {
        let listen = config.listen;
        Ok(Doors {
            grpc: bind_or_move("OTLP gRPC", listen.grpc).await?,
            http: bind_or_move("OTLP HTTP", listen.http).await?,
            web: bind_or_move("the dashboard", listen.web).await?,
        })
    }

    /// Binds all three addresses, or says which one is taken.
    pub async fn bind(config: &Config) -> Result<Doors> {
        let listen = config.listen;
        Ok(Doors {
            grpc: bind("grpc", listen.grpc).await?,
            http: bind("http", listen.http).await?,
            web: bind("web", listen.web).await?,
        })
    }
}

async fn bind_or_move(name: &str, address: SocketAddr) -> Result<TcpListener> {
    if let Ok(listener) = TcpListener::bind(address).await {
        return Ok(listener);
    }
    let listener = TcpListener::bind((address.ip(), 0)).await?;
    writeln!(stderr(), "{address} is taken; {name} moves to {}", listener.local_addr()?)?;
    Ok(listener)
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: stop what has the port, or choose another one with \
             --listen-{name} or listen.{name}"
        )
    })
}
