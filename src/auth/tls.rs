//! TLS at the doors: certificates from files that are read again when they change, so that new
//! ones need no restart; and who a client is by its own certificate, which must be signed by an
//! authority of the config.

use super::Peer;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is spoken inside, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// `tls:` of the config: PEM files for all three listeners.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our certificate, and those between it and a root.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// Authorities that sign clients' certificates; clients show none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// Let clients in that show no certificate, for other credentials.
    #[serde(default)]
    pub client_optional: bool,
}

/// What new connections are met with.
pub struct Tls {
    files: Config,
    now: ArcSwap<ServerConfig>,
    /// Hash of the files' bytes when they were last read, good or not.
    seen: Mutex<[u8; 32]>,
}

/// The bytes of the files.
struct Bytes {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

// === impl Config ===

impl Config {
    /// What is wrong with it: the key, and what to do. `auth` tells whether there are credentials.
    pub fn faults(&self, auth: bool) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (key, file) in [("cert", &self.cert), ("key", &self.key)] {
            if file.is_empty() {
                faults.push((key, "names a PEM file".to_owned()));
            }
        }
        match &self.client_ca {
            Some(file) if file.is_empty() => {
                faults.push(("client_ca", "names a PEM file".to_owned()));
            }
            Some(_) if !auth => {
                let what = "needs auth.clients or other credentials, which say what whoever has a \
                            certificate may do";
                faults.push(("client_ca", what.to_owned()));
            }
            None if self.client_optional => {
                faults.push(("client_optional", "needs client_ca".to_owned()));
            }
            _ => {}
        }
        faults
    }
}

// === impl Tls ===

impl Tls {
    /// Reads the files, which must be good now.
    pub fn open(files: &Config) -> Result<Tls, String> {
        let bytes = Bytes::read(files)?;
        let config = bytes.server_config(files)?;
        let seen = Mutex::new(bytes.hash());
        Ok(Tls { files: files.clone(), now: ArcSwap::from_pointee(config), seen })
    }

    /// Looks whether the files changed and puts them in force: `true` when it did. What cannot be
    /// used is an error, once, and what was in force stays.
    pub fn look(&self) -> Result<bool, String> {
        let bytes = Bytes::read(&self.files)?;
        let hash = bytes.hash();
        let before =
            std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), hash);
        if before == hash {
            return Ok(false);
        }
        self.now.store(Arc::new(bytes.server_config(&self.files)?));
        Ok(true)
    }

    /// Looks again and again.
    pub async fn watch(self: Arc<Self>) {
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let own = self.clone();
            let looked = tokio::task::spawn_blocking(move || own.look()).await;
            match looked.unwrap_or_else(|_| Err("looking at the files failed".to_owned())) {
                Ok(changed) => {
                    if changed {
                        tracing::info!("the certificates changed and are in force");
                    }
                    told = None;
                }
                Err(what) if told.as_ref() == Some(&what) => {}
                Err(what) => {
                    tracing::error!("the certificates stay as they were: {what}");
                    told = Some(what);
                }
            }
        }
    }

    /// Greets a connection; none when it is no TLS, too slow, or of a client that may not enter.
    pub async fn greet(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Peer)> {
        let acceptor = TlsAcceptor::from(self.now.load_full());
        let greeted = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
        let stream = match greeted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection was not TLS as we speak it");
                return None;
            }
            Err(_) => return None,
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = chain.first().map(names).unwrap_or_default();
        Some((stream, peer))
    }
}

/// DNS names and URIs of a certificate.
fn names(certificate: &CertificateDer<'_>) -> Peer {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Peer::default() };
    let names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
    Peer(names.map(str::to_owned).collect())
}

// === impl Bytes ===

impl Bytes {
    fn read(files: &Config) -> Result<Bytes, String> {
        let client_ca = files.client_ca.as_deref().map(read).transpose()?;
        Ok(Bytes { cert: read(&files.cert)?, key: read(&files.key)?, client_ca })
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for bytes in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            let bytes = bytes.map(Vec::as_slice).unwrap_or_default();
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }

    fn server_config(&self, files: &Config) -> Result<ServerConfig, String> {
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| format!("{} holds no key in PEM", files.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            Some(bytes) => builder.with_client_cert_verifier(verifier(bytes, files)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("{} and {} do not belong together: {error}", files.cert, files.key)
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

fn verifier(bytes: &[u8], files: &Config) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let file = files.client_ca.as_deref().unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bytes, file)? {
        roots.add(certificate).map_err(|error| format!("{file}: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match files.client_optional {
        true => builder.allow_unauthenticated(),
        false => builder,
    };
    builder.build().map_err(|error| format!("{file}: {error}"))
}

fn certificates(bytes: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{file} holds no certificate in PEM")),
    }
}

fn read(file: &str) -> Result<Vec<u8>, String> {
    let path = Path::new(file);
    let size = std::fs::metadata(path).map_err(|error| format!("{file}: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{file} is larger than 1 MiB"));
    }
    std::fs::read(path).map_err(|error| format!("{file}: {error}"))
}
