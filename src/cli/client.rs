//! Who answers reading commands: a running server over HTTP; or, for a data folder that no
//! server has, the same routes in this process. The answers are the same, and reading leaves a
//! folder as it was.

use super::args::Server;
use super::progress;
use crate::api;
use crate::app::{folder, replay};
use crate::model::Secret;
use crate::store;
use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value as Json;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Mutex;
use tower::ServiceExt;

/// Where a server without `--server` or `--data` is looked for.
const DATA_DEFAULT: &str = "./armspan-data";
const WEB_DEFAULT: &str = "http://127.0.0.1:4390";

/// What a server that knows us not says.
const TOKEN_WANTED: &str = "wants credentials, or other ones: give a token with ARMSPAN_TOKEN or \
                            --token (of an export: --server-token), or a certificate with --cert";

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    /// The server at an address.
    Address(String),
    /// The server of a data folder, else the folder.
    Folder(PathBuf),
    /// Nothing was said: the default folder's server, the default address, the default folder.
    Default,
}

/// Why there was no answer.
enum Fault {
    /// Nobody listens there.
    Unreachable(anyhow::Error),
    /// It listens, and says no.
    Refused(anyhow::Error),
}

/// Asks a server, or a folder.
pub struct Client {
    place: Place,
    http: reqwest::Client,
    token: Secret,
    /// The routes over the folder, once it was read.
    folder: Mutex<Option<Router>>,
    /// Says nothing on standard error: a screen is there.
    quiet: AtomicBool,
}

// === impl Client ===

impl Client {
    /// The one that the flags mean.
    pub fn new(server: &Server) -> Result<Self> {
        let place = match (&server.server, &server.data) {
            (Some(url), _) if url.contains("://") => Place::Address(url.clone()),
            (Some(address), _) => Place::Address(format!("http://{address}")),
            (None, Some(dir)) => Place::Folder(dir.clone()),
            (None, None) => Place::Default,
        };
        let place = match place {
            Place::Address(url) => Place::Address(url.trim_end_matches('/').to_owned()),
            Place::Folder(dir) if address(&dir)?.is_none() && !replay::is_data(&dir) => bail!(
                "no server runs on {0}, and {0} is no data folder; start one with `armspan serve \
                 --data {0}` or give --server URL",
                dir.display()
            ),
            place => place,
        };
        let http = http(server)?;
        let token = server.token.clone().unwrap_or_default();
        Ok(Client { place, http, token, folder: Mutex::default(), quiet: AtomicBool::new(false) })
    }

    /// The same, for what only a running server can do.
    pub fn of_server(server: &Server) -> Result<Self> {
        let client = Client::new(server)?;
        let base = client.base()?;
        Ok(Client { place: Place::Address(base), ..client })
    }

    /// The address of the running server.
    fn base(&self) -> Result<String> {
        match &self.place {
            Place::Address(base) => Ok(base.clone()),
            Place::Folder(dir) => address(dir)?.with_context(|| {
                format!("no server runs on {0}; start it with `armspan serve`", dir.display())
            }),
            Place::Default => {
                Ok(address(Path::new(DATA_DEFAULT))?.unwrap_or(WEB_DEFAULT.to_owned()))
            }
        }
    }

    /// Says nothing on standard error any more: the terminal is a screen now.
    pub(super) fn hush(&self) {
        self.quiet.store(true, Relaxed);
    }

    /// Whether the last answer came from a folder that no server has.
    pub(super) async fn is_offline(&self) -> bool {
        self.folder.lock().await.is_some()
    }

    /// Asks for a document; `path` holds percent-encoded parts only.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Json> {
        let (status, text) = self.get_text(path, query).await?;
        let json: Json =
            serde_json::from_str(&text).context("the answer is no JSON: is this armspan?")?;
        if (200..300).contains(&status) { Ok(json) } else { Err(refusal(&json)) }
    }

    /// Asks for anything: the status and the text of the answer.
    pub(super) async fn get_text(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(u16, String)> {
        let dir = match &self.place {
            Place::Address(base) => return Ok(self.over_http(base, path, query).await?),
            Place::Folder(dir) => dir.as_path(),
            Place::Default => Path::new(DATA_DEFAULT),
        };
        let server = match (address(dir)?, &self.place) {
            (None, Place::Default) => Some(WEB_DEFAULT.to_owned()),
            (found, _) => found,
        };
        if let Some(base) = server {
            match self.over_http(&base, path, query).await {
                // Killed, or not up yet: its log can be read all the same.
                Err(Fault::Unreachable(_)) if replay::is_data(dir) => {}
                answer => {
                    // It may be gone by the next question, and will have written until then.
                    self.folder.lock().await.take();
                    return Ok(answer?);
                }
            }
        }
        self.in_folder(dir, path, query).await
    }

    async fn over_http(
        &self,
        base: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(u16, String), Fault> {
        let url = format!("{base}{path}");
        let fault = |error: reqwest::Error| {
            if error.is_builder() {
                // Kept as it is: no waiting makes an address of it.
                let what = format!("cannot reach {base}: write an address as http://host:port");
                return Fault::Refused(anyhow::Error::new(error).context(what));
            }
            if let Some(what) = tls(&error) {
                // Somebody is there: its folder must not answer in its place.
                let hint = "--ca names whom to trust, --cert our own certificate";
                return Fault::Refused(anyhow!("cannot speak TLS with {base}: {what}; {hint}"));
            }
            let told = anyhow!(
                "cannot reach {base}: {}; start it with `armspan serve` or give --server URL",
                root(&error)
            );
            if error.is_connect() { Fault::Unreachable(told) } else { Fault::Refused(told) }
        };
        let request = self.with_token(self.http.get(&url).query(query));
        let answer = request.send().await.map_err(fault)?;
        let status = answer.status().as_u16();
        if status == 401 {
            return Err(Fault::Refused(anyhow!("{base} {TOKEN_WANTED}")));
        }
        Ok((status, answer.text().await.map_err(fault)?))
    }

    async fn in_folder(
        &self,
        dir: &Path,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(u16, String)> {
        let router = self.routes(dir).await?;
        let uri = reqwest::Url::parse_with_params(&format!("http://folder{path}"), query)?;
        let request = http::Request::get(uri.as_str()).body(Body::empty())?;
        let answer = router.oneshot(request).await?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(bytes.to_vec()).context("the answer is no text")?))
    }

    /// The routes over a folder, which is read once.
    async fn routes(&self, dir: &Path) -> Result<Router> {
        let mut kept = self.folder.lock().await;
        if let Some(router) = &*kept {
            return Ok(router.clone());
        }
        let quiet = self.quiet.load(Relaxed);
        if self.place == Place::Default && !quiet {
            writeln!(stderr(), "no server runs: reading {DATA_DEFAULT}")?;
        }
        let dir = dir.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let progress = (!quiet).then(|| progress::Counter::new("entries read"));
            let seen = |done| progress.iter().for_each(|progress| progress.at(done));
            let state = folder::state(&dir, &seen);
            state.with_context(|| format!("cannot read {}", dir.display()))
        });
        let state = read.await??;
        let router = folder::pages(&state).merge(api::http_router(state));
        Ok(kept.insert(router).clone())
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.token.reveal() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks for something to be done; none when the server wants it asked again a little later.
    pub(super) async fn post(&self, path: &str) -> Result<Option<Json>> {
        let base = self.base()?;
        let url = format!("{base}{path}");
        let sent = self.with_token(self.http.post(&url)).send().await;
        let answer = sent.map_err(|error| {
            let what = tls(&error).unwrap_or_else(|| root(&error));
            anyhow!("cannot reach {base}: {what}")
        })?;
        let status = answer.status();
        let json: Json = answer.json().await.context("the answer is no JSON: is this armspan?")?;
        match status.as_u16() {
            200 => Ok(Some(json)),
            429 | 503 => Ok(None),
            401 => bail!("{base} {TOKEN_WANTED}"),
            _ => bail!("{}", json["detail"].as_str().unwrap_or("the server refused")),
        }
    }

    pub(super) async fn all_runs(&self, filters: &[(&str, &Option<String>)]) -> Result<Vec<Json>> {
        let given = filters.iter().filter_map(|pair| Some((pair.0, pair.1.as_deref()?)));
        let filters: Vec<(&str, &str)> = given.chain([("limit", "1000")]).collect();
        let (mut runs, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut query = filters.clone();
            query.extend(after.as_deref().map(|after| ("after", after)));
            let mut page = self.get("/api/v1/runs", &query).await?;
            if let Json::Array(found) = page["runs"].take() {
                runs.extend(found);
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(runs),
            }
        }
    }
}

/// With the certificates that the flags name.
fn http(server: &Server) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder().timeout(REQUEST_MAX);
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    if let Some(path) = &server.ca {
        let found = reqwest::Certificate::from_pem_bundle(&read(path)?);
        let found = found.ok().filter(|found| !found.is_empty());
        let what = || format!("{} holds no certificate in PEM", path.display());
        builder = builder.tls_certs_only(found.with_context(what)?);
    }
    if let Some(path) = &server.cert {
        let identity = reqwest::Identity::from_pem(&read(path)?);
        let what = || format!("{} holds no certificate and key in PEM", path.display());
        builder = builder.identity(identity.ok().with_context(what)?);
    }
    Ok(builder.build()?)
}

impl From<Fault> for anyhow::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable(error) | Fault::Refused(error) => error,
        }
    }
}

/// What was wrong with TLS, when it was that.
fn tls(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = next {
        if let Some(found) = one.downcast_ref::<rustls::Error>() {
            return Some(found.to_string());
        }
        // The source of an error of I/O is not what is in it, but the source of that.
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &dyn std::error::Error).or(one.source());
    }
    None
}

/// What was at the bottom of it, without the layers above.
fn root(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    match deepest.downcast_ref::<std::io::Error>() {
        Some(io) => io.kind().to_string(),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None => deepest.to_string(),
    }
}

/// What a problem document says.
pub(super) fn refusal(json: &Json) -> anyhow::Error {
    let detail = json["detail"].as_str().unwrap_or("the server refused");
    let near: Vec<&str> =
        json["candidates"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    match near.as_slice() {
        [] => anyhow!("{detail}"),
        near => anyhow!("{detail}; near: {}", near.join(", ")),
    }
}

/// The address of the server that has a data folder. The file of one that was killed stays; its
/// process does not, and what listens there now may be another's.
pub(super) fn address(dir: &Path) -> Result<Option<String>> {
    let file = store::Server::read(dir)?;
    Ok(file.filter(|file| is_alive(file.pid)).map(|file| file.web_url()))
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // One that we may not signal is there, too.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests;
