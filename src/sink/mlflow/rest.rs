//! MLflow's REST interface: where it is, who asks, and what its refusals mean.

use super::Config;
use crate::sink::Failure;
use crate::sink::http::{self, Answer, Auth};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value as Json;

/// Where requests for runs and experiments go.
pub const V2: &str = "api/2.0/mlflow";
/// Where requests for traces go.
pub const V3: &str = "api/3.0/mlflow";

/// A tracking server.
#[derive(Debug)]
pub struct Rest {
    client: Client,
    auth: Auth,
    base: Url,
}

// === impl Rest ===

impl Rest {
    /// Makes the client; connects to nothing.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let url = config.base();
        let base = Url::parse(url)
            .map_err(|error| Failure::refused(format!("mlflow: url {url:?}: {error}")))?;
        Ok(Rest { client: http::client()?, auth: config.auth(), base })
    }

    /// Sends a body with `POST`; gives the answer's JSON.
    pub async fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        let (answer, what) = self.ask(Method::POST, path, |request| request.json(body)).await?;
        json(&ok(answer, &what)?, &what)
    }

    /// Sends a body with `POST`; gives the answer, whatever its status, and the request's name.
    pub async fn try_post(&self, path: &str, body: &Json) -> Result<(Answer, String), Failure> {
        self.ask(Method::POST, path, |request| request.json(body)).await
    }

    /// Sends a body with `PATCH`.
    pub async fn patch(&self, path: &str, body: &Json) -> Result<(), Failure> {
        let (answer, what) = self.ask(Method::PATCH, path, |request| request.json(body)).await?;
        ok(answer, &what).map(|_| ())
    }

    /// Sends bytes with `PUT`.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let (answer, what) = self.ask(Method::PUT, path, |request| request.body(bytes)).await?;
        ok(answer, &what).map(|_| ())
    }

    /// Reads; `None` when MLflow itself says that there is no such thing.
    pub async fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Json>, Failure> {
        let (answer, what) = self.ask(Method::GET, path, |request| request.query(query)).await?;
        if is_missing(&answer) {
            return Ok(None);
        }
        json(&ok(answer, &what)?, &what).map(Some)
    }

    /// Reads what may be missing for many reasons: an older MLflow does not know it, or it belongs
    /// to someone else; then `None`.
    pub async fn peek(&self, path: &str) -> Result<Option<Json>, Failure> {
        let (answer, what) = self.ask(Method::GET, path, |request| request).await?;
        if matches!(answer.status.as_u16(), 403 | 404) {
            return Ok(None);
        }
        json(&ok(answer, &what)?, &what).map(Some)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(Answer, String), Failure> {
        let url = self.url(path);
        let what = format!("mlflow: {method} {url}");
        let request = fill(self.client.request(method, url));
        Ok((http::send(request, &self.auth, &what).await?, what))
    }

    /// The URL of a path below the server's, each part of the path encoded.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(path.split('/'));
        }
        url
    }
}

/// The answer when its status is 2xx, else the failure that it is.
pub fn ok(answer: Answer, what: &str) -> Result<Answer, Failure> {
    let shown = answer.shown();
    match answer.status.as_u16() {
        403 if shown.contains("Invalid Host header") => Err(Failure::later(format!(
            "{what}: 403 {shown}; start the MLflow server with --allowed-hosts and the URL's host"
        ))),
        401 | 403 => Err(Failure::later(format!(
            "{what}: {} {shown}; check username and password (MLflow's basic auth) or token of \
             the sink, and that the user may write to the experiment",
            answer.status
        ))),
        400 if shown.contains("'active' state") => Err(Failure::refused(format!(
            "{what}: 400 {shown}; someone deleted it in MLflow: restore it there (Experiments, \
             Deleted), then deliver again with `armspan export mlflow`"
        ))),
        _ => answer.ok(what),
    }
}

/// Whether MLflow, and not something before it, says that a thing is not there.
fn is_missing(answer: &Answer) -> bool {
    answer.status.as_u16() == 404 && code(answer).as_deref() == Some("RESOURCE_DOES_NOT_EXIST")
}

/// MLflow's word for what went wrong.
pub fn code(answer: &Answer) -> Option<String> {
    let body: Json = serde_json::from_slice(&answer.body).ok()?;
    Some(body["error_code"].as_str()?.to_owned())
}

fn json(answer: &Answer, what: &str) -> Result<Json, Failure> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        let shown = answer.shown();
        Failure::later(format!("{what}: the answer is no JSON: {shown}; check the sink's URL"))
    })
}
