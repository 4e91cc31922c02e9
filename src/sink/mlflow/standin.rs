//! A small MLflow for tests: it keeps what the real one keeps, refuses what the real one was seen
//! to refuse, and fails where a test wants it to.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What it keeps.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kept {
    /// Ids by name.
    pub experiments: BTreeMap<String, String>,
    /// In the order in which they were made.
    pub runs: Vec<KeptRun>,
    /// Logged models.
    pub models: Vec<Json>,
    /// Pairs of run and model.
    pub outputs: Vec<(String, String)>,
    /// It is of a time before MLflow 3.
    pub old: bool,
    /// Traces take no assessments.
    pub read_only: bool,
    /// By path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Assessments by trace; a trace that is not here is missing.
    pub traces: BTreeMap<String, Vec<Json>>,
}

/// A run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeptRun {
    /// What `runs/create` and `runs/update` said.
    pub info: BTreeMap<String, Json>,
    /// Params.
    pub params: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Points by key: timestamp, step, value; an equal one is kept once.
    pub metrics: BTreeMap<String, Vec<(i64, u64, f64)>>,
    /// Datasets.
    pub inputs: Vec<Json>,
}

/// The answer to give instead of one's own.
#[derive(Clone, Debug)]
pub struct Fault {
    /// To which request, counted from 0.
    pub at: usize,
    /// Whether the request is done all the same: only its answer is lost.
    pub done: bool,
    /// Status, headers and body of the answer.
    pub answer: (u16, Vec<(&'static str, &'static str)>, &'static str),
}

#[derive(Default)]
struct Inner {
    kept: Kept,
    asked: Vec<(String, usize)>,
    authorization: Option<String>,
    fault: Option<Fault>,
}

/// A server on a free port.
#[derive(Clone)]
pub struct Standin {
    inner: Arc<Mutex<Inner>>,
    /// Its URL.
    pub url: String,
}

// === impl Standin ===

impl Standin {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let inner = Arc::<Mutex<Inner>>::default();
        let app = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Standin { inner, url }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panicked inside")
    }

    /// What it keeps now.
    pub fn kept(&self) -> Kept {
        self.lock().kept.clone()
    }

    /// Changes what it keeps.
    pub fn change(&self, how: impl FnOnce(&mut Kept)) {
        how(&mut self.lock().kept);
    }

    /// Fails once.
    pub fn fail(&self, fault: Fault) {
        let mut inner = self.lock();
        inner.asked.clear();
        inner.fault = Some(fault);
    }

    /// How the last request named its sender.
    pub fn authorization(&self) -> Option<String> {
        self.lock().authorization.clone()
    }

    /// The requests so far: path and bytes of the body.
    pub fn asked(&self) -> Vec<(String, usize)> {
        self.lock().asked.clone()
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inner = inner.lock().expect("no test panicked inside");
    let said = headers.get("authorization").and_then(|value| value.to_str().ok());
    inner.authorization = said.map(str::to_owned);
    let number = inner.asked.len();
    inner.asked.push((format!("{method} {}", uri.path()), body.len()));
    let fault = inner.fault.take_if(|fault| fault.at == number);
    let done = match fault {
        Some(Fault { done: false, .. }) => (200, json!({})),
        _ => inner.kept.answer(&method, &uri, &body),
    };
    let (status, headers, text) = match fault {
        Some(fault) => (fault.answer.0, fault.answer.1, fault.answer.2.to_owned()),
        None => (done.0, Vec::new(), done.1.to_string()),
    };
    let mut response = (StatusCode::from_u16(status).expect("status"), text).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("header"));
    }
    response
}

// === impl Kept ===

type Answer = (u16, Json);

fn refusal(status: u16, code: &str) -> Answer {
    (status, json!({"error_code": code, "message": "refused by the stand-in"}))
}

impl Kept {
    fn answer(&mut self, method: &Method, uri: &Uri, bytes: &Bytes) -> Answer {
        let body: Json = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(path) = uri.path().strip_prefix("/api/2.0/mlflow-artifacts/artifacts/") {
            self.files.insert(path.to_owned(), bytes.to_vec());
            return (200, json!({}));
        }
        if let Some(path) = uri.path().strip_prefix("/api/3.0/mlflow/traces/") {
            return if self.old { (404, json!("")) } else { self.trace(path, &body) };
        }
        let path = uri.path().strip_prefix("/api/2.0/mlflow/").unwrap_or_default();
        if self.old && path.starts_with("logged-models") {
            return (404, json!("Not Found"));
        }
        match path {
            "experiments/get-by-name" => self.experiment(uri.query().unwrap_or_default()),
            "experiments/create" => {
                let id = (self.experiments.len() + 1).to_string();
                self.experiments.insert(text(&body["name"]), id.clone());
                (200, json!({"experiment_id": id}))
            }
            "runs/search" => (200, self.search(&text(&body["filter"]))),
            "runs/create" => self.create(&body),
            "logged-models/search" => (200, self.search_models(&text(&body["filter"]))),
            "logged-models" => self.create_model(&body),
            _ if *method == Method::PATCH => {
                let id = path.rsplit('/').next().unwrap_or_default();
                let own = |model: &&mut Json| model["info"]["model_id"] == id;
                let model = self.models.iter_mut().find(own).expect("a model");
                model["info"]["status"] = body["status"].clone();
                (200, json!({}))
            }
            _ => self.of_run(path, &body),
        }
    }

    fn experiment(&self, query: &str) -> Answer {
        let name = query.strip_prefix("experiment_name=").unwrap_or_default();
        match self.experiments.get(name) {
            Some(id) => (200, json!({"experiment": {"experiment_id": id}})),
            None => refusal(404, "RESOURCE_DOES_NOT_EXIST"),
        }
    }

    fn create(&mut self, body: &Json) -> Answer {
        let id = format!("r{}", self.runs.len());
        let mut run = KeptRun { tags: pairs(&body["tags"]), ..KeptRun::default() };
        for (key, value) in [
            ("run_id", json!(id)),
            ("experiment_id", body["experiment_id"].clone()),
            ("start_time", body["start_time"].clone()),
            ("status", json!("RUNNING")),
            ("artifact_uri", json!(format!("mlflow-artifacts:/1/{id}/artifacts"))),
            ("lifecycle_stage", json!("active")),
        ] {
            run.info.insert(key.to_owned(), value);
        }
        self.runs.push(run.clone());
        (200, json!({"run": self.shown(&run)}))
    }

    fn search(&self, filter: &str) -> Json {
        let id = filter.split('\'').nth(1).unwrap_or_default();
        let own = |run: &&KeptRun| run.tags.get("armspan.run_id").is_some_and(|tag| tag == id);
        let found: Vec<Json> =
            self.runs.iter().filter(own).take(2).map(|run| self.shown(run)).collect();
        if found.is_empty() { json!({}) } else { json!({"runs": found}) }
    }

    fn shown(&self, run: &KeptRun) -> Json {
        let list = |map: &BTreeMap<String, String>| -> Vec<Json> {
            map.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
        };
        let own = self.outputs.iter().filter(|output| run.info["run_id"] == output.0);
        let outputs: Vec<Json> = own.map(|output| json!({"model_id": output.1})).collect();
        json!({
            "info": run.info,
            "data": {"params": list(&run.params), "tags": list(&run.tags)},
            "outputs": {"model_outputs": outputs},
        })
    }

    fn search_models(&self, filter: &str) -> Json {
        let id = filter.split('\'').nth(1).unwrap_or_default();
        let own = |model: &&Json| model["info"]["tags"][0]["value"] == id;
        json!({"models": self.models.iter().filter(own).collect::<Vec<_>>()})
    }

    fn create_model(&mut self, body: &Json) -> Answer {
        let mut info = body.clone();
        info["model_id"] = json!(format!("m-{}", self.models.len()));
        self.models.push(json!({"info": info}));
        (200, json!({"model": {"info": info}}))
    }

    fn of_run(&mut self, path: &str, body: &Json) -> Answer {
        let id = text(&body["run_id"]);
        let Some(run) = self.runs.iter_mut().find(|run| run.info["run_id"] == id) else {
            return refusal(404, "RESOURCE_DOES_NOT_EXIST");
        };
        if run.info["lifecycle_stage"] == "deleted" {
            let message = "The run r0 must be in the 'active' state.";
            return (400, json!({"error_code": "INVALID_PARAMETER_VALUE", "message": message}));
        }
        match path {
            "runs/log-batch" => return run.log(body),
            "runs/update" => {
                let fields = body.as_object().expect("an object").clone();
                run.info.extend(fields);
            }
            "runs/delete-tag" => {
                run.tags.remove(&text(&body["key"]));
            }
            "runs/log-inputs" => {
                let all = body["datasets"].as_array().expect("datasets");
                let new: Vec<Json> =
                    all.iter().filter(|one| !run.inputs.contains(one)).cloned().collect();
                run.inputs.extend(new);
            }
            // As the real one: the same link twice is two links.
            "runs/outputs" => self.outputs.push((id, text(&body["models"][0]["model_id"]))),
            _ => return refusal(404, "ENDPOINT_NOT_FOUND"),
        }
        (200, json!({}))
    }

    fn trace(&mut self, path: &str, body: &Json) -> Answer {
        let id = path.trim_end_matches("/assessments");
        let Some(known) = self.traces.get_mut(id) else {
            return refusal(404, "RESOURCE_DOES_NOT_EXIST");
        };
        if path.len() > id.len() && self.read_only {
            return refusal(403, "PERMISSION_DENIED");
        }
        if path.len() > id.len() {
            let mut new = body["assessment"].clone();
            new["assessment_id"] = json!(format!("a-{}", known.len()));
            known.push(new);
        }
        (200, json!({"trace": {"trace_info": {"assessments": known}}}))
    }
}

// === impl KeptRun ===

impl KeptRun {
    fn log(&mut self, body: &Json) -> Answer {
        let [metrics, params, tags] =
            ["metrics", "params", "tags"].map(|kind| body[kind].as_array().expect("a list"));
        let all = metrics.len() + params.len() + tags.len();
        if params.len() > 100 || tags.len() > 100 || all > 1_000 {
            return refusal(400, "INVALID_PARAMETER_VALUE");
        }
        for (key, value) in pairs(&body["params"]) {
            if self.params.get(&key).is_some_and(|known| *known != value)
                || value.chars().count() > 6_000
            {
                return refusal(400, "INVALID_PARAMETER_VALUE");
            }
            self.params.insert(key, value);
        }
        self.tags.extend(pairs(&body["tags"]));
        for metric in metrics {
            let point = (
                metric["timestamp"].as_i64().expect("a time"),
                metric["step"].as_u64().expect("a step"),
                metric["value"].as_f64().expect("a number"),
            );
            let history = self.metrics.entry(text(&metric["key"])).or_default();
            if !history.contains(&point) {
                history.push(point);
            }
        }
        (200, json!({}))
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pairs(list: &Json) -> BTreeMap<String, String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|pair| (text(&pair["key"]), text(&pair["value"]))).collect()
}
