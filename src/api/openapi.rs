//! The OpenAPI 3.1 document: schemas from the types, routes from one table. A test keeps the
//! committed copy current and asks every route.

use super::find::RunPage;
use super::http::{ExperimentList, SeriesPage};
use super::intake::{Assignment, Receipt, Score};
use super::outbox::{CutMade, OutboxPage};
use super::problem::Problem;
use super::status::Status;
use crate::compare::Comparison;
use crate::judge::gate::GateDocument;
use crate::model::record::RunRecord;
use crate::model::view::ExperimentView;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// One route.
pub struct Route {
    /// `get` or `post`.
    pub method: &'static str,
    /// With `{parameters}`.
    pub path: &'static str,
    summary: &'static str,
    /// Query parameters; `!` marks a required one.
    query: &'static [&'static str],
    /// Schema of one item of the body.
    body: Option<&'static str>,
    /// Schema of the answer, or a content type.
    answer: &'static str,
}

const fn read(path: &'static str, summary: &'static str, answer: &'static str) -> Route {
    Route { method: "get", path, summary, query: &[], body: None, answer }
}

const fn write(path: &'static str, summary: &'static str, body: &'static str) -> Route {
    Route { method: "post", path, summary, query: &[], body: Some(body), answer: "Receipt" }
}

/// Every route of the API.
pub const ROUTES: [Route; 17] = [
    read("/api/v1/experiments", "experiments", "ExperimentList"),
    read("/api/v1/experiments/{experiment}", "one experiment", "ExperimentView"),
    Route {
        query: &["metric!", "arm", "site", "from", "to", "step"],
        ..read("/api/v1/experiments/{experiment}/series", "windows of a metric", "SeriesPage")
    },
    Route {
        query: &["arm", "fail_on"],
        ..read("/api/v1/experiments/{experiment}/gate", "whether it may ship", "GateDocument")
    },
    Route {
        query: &["experiment", "arm", "site", "after", "limit"],
        ..read("/api/v1/runs", "run records, page by page", "RunPage")
    },
    read("/api/v1/runs/{run}", "one run record, by id or unique prefix", "RunRecord"),
    read("/api/v1/runs/{a}/compare/{b}", "two runs side by side", "Comparison"),
    write("/api/v1/scores", "record scores", "Score"),
    write("/api/v1/assignments", "record assignments", "Assignment"),
    read("/api/v1/events", "change and verdict events", "text/event-stream"),
    Route {
        query: &["after", "limit"],
        ..read("/api/v1/outbox", "what sinks got or will get, page by page", "OutboxPage")
    },
    Route { method: "post", ..read("/api/v1/cuts", "record all runs as they are now", "CutMade") },
    read("/api/v1/status", "what is received, waiting and rejected", "Status"),
    Route {
        answer: "application/json",
        ..write("/api/public/scores", "record a score as Langfuse's API takes it", "")
    },
    read("/api/openapi.json", "this document", "application/json"),
    read("/livez", "whether the process runs", "text/plain"),
    read("/readyz", "whether it takes data", "text/plain"),
];

/// The document.
pub fn openapi() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    register(&mut generator);
    let mut paths = Map::new();
    for route in &ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "armspan",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": generator.definitions()},
    })
}

fn register(generator: &mut SchemaGenerator) {
    fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
        generator.subschema_for::<T>();
    }
    add::<ExperimentList>(generator);
    add::<ExperimentView>(generator);
    add::<SeriesPage>(generator);
    add::<GateDocument>(generator);
    add::<RunPage>(generator);
    add::<RunRecord>(generator);
    add::<Comparison>(generator);
    add::<Score>(generator);
    add::<Assignment>(generator);
    add::<Receipt>(generator);
    add::<OutboxPage>(generator);
    add::<CutMade>(generator);
    add::<Status>(generator);
    add::<Problem>(generator);
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn operation(route: &Route) -> Value {
    let problem = json!({
        "description": "a problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    let content = match route.answer {
        plain if plain.contains('/') => json!({plain: {}}),
        schema => json!({"application/json": {"schema": reference(schema)}}),
    };
    let answer = json!({"description": route.summary, "content": content});
    let mut operation = json!({
        "summary": route.summary,
        "responses": {"200": answer, "default": problem},
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = route.body {
        operation["requestBody"] = request_body(body);
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path =
        route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let place = |name: &str, place: &str, required: bool| {
        let kind = if name == "limit" { "integer" } else { "string" };
        json!({"name": name, "in": place, "required": required, "schema": {"type": kind}})
    };
    let in_query = route.query.iter().map(|name| match name.strip_suffix('!') {
        Some(name) => place(name, "query", true),
        None => place(name, "query", false),
    });
    in_path.map(|name| place(name, "path", true)).chain(in_query).collect()
}

fn request_body(item: &str) -> Value {
    let schema = match item {
        "" => json!({"type": "object"}),
        item => json!({"anyOf": [
            reference(item),
            {"type": "array", "items": reference(item)},
            {"type": "object", "properties": {
                format!("{}s", item.to_lowercase()): {"type": "array", "items": reference(item)},
            }},
        ]}),
    };
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}
