//! The table of all routes of all listeners, and what each of them needs. A route that is not
//! here is refused as soon as there is auth; a test asks every route that the doors have.

use super::Door::{self, Grpc, Http, Web};
use super::Role;
use http::Method;

/// What a route needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: there is no data in its answer.
    Open,
    /// A role.
    Role(Role),
}

/// One route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Which listener has it.
    pub door: Door,
    /// Whether it is `POST`; else it is `GET`, and `HEAD` with it.
    pub post: bool,
    /// With `{parameters}`, each one part of the path.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
}

/// Why a request has no route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// There is no such path.
    Path,
    /// The path has another method.
    Method,
}

const OPEN: Need = Need::Open;
const INGEST: Need = Need::Role(Role::Ingest);
const READ: Need = Need::Role(Role::Read);
const ADMIN: Need = Need::Role(Role::Admin);

const fn get(path: &'static str, need: Need) -> Route {
    Route { door: Web, post: false, path, need }
}

const fn post(door: Door, path: &'static str, need: Need) -> Route {
    Route { door, post: true, path, need }
}

/// Every route of every listener.
pub const ROUTES: [Route; 51] = [
    get("/livez", OPEN),
    get("/readyz", OPEN),
    get("/", READ),
    get("/experiments", READ),
    get("/experiments/{experiment}", READ),
    get("/experiments/{experiment}/report.html", READ),
    get("/runs", READ),
    get("/runs/{run}", READ),
    get("/compare", READ),
    get("/compare/{a}/{b}", READ),
    get("/sinks", READ),
    get("/pipeline", READ),
    get("/status", READ),
    get("/config", ADMIN),
    get("/live", READ),
    get("/assets/{hash}/{name}", READ),
    get("/metrics", READ),
    get("/api/openapi.json", READ),
    get("/api/v1/experiments", READ),
    get("/api/v1/experiments/{experiment}", READ),
    get("/api/v1/experiments/{experiment}/series", READ),
    get("/api/v1/experiments/{experiment}/gate", READ),
    get("/api/v1/runs", READ),
    get("/api/v1/runs/{run}", READ),
    get("/api/v1/runs/{a}/compare/{b}", READ),
    get("/api/v1/events", READ),
    get("/api/v1/outbox", READ),
    get("/api/v1/status", READ),
    post(Web, "/api/v1/scores", INGEST),
    post(Web, "/api/v1/assignments", INGEST),
    post(Web, "/api/public/scores", INGEST),
    post(Web, "/api/v1/cuts", ADMIN),
    post(Http, "/v1/traces", INGEST),
    post(Http, "/v1/logs", INGEST),
    post(Http, "/v1/metrics", INGEST),
    post(Grpc, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", INGEST),
    post(Grpc, "/opentelemetry.proto.collector.logs.v1.LogsService/Export", INGEST),
    post(Grpc, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", INGEST),
    // What comes here is told that it is the wrong port.
    post(Grpc, "/v1/traces", INGEST),
    post(Grpc, "/v1/logs", INGEST),
    post(Grpc, "/v1/metrics", INGEST),
    post(Grpc, "/armspan.v1.ScoreService/RecordScores", INGEST),
    post(Grpc, "/armspan.v1.ScoreService/RecordAssignments", INGEST),
    post(Grpc, "/armspan.v1.RunService/ListRuns", READ),
    post(Grpc, "/armspan.v1.RunService/GetRun", READ),
    post(Grpc, "/armspan.v1.RunService/CompareRuns", READ),
    post(Grpc, "/armspan.v1.RunService/WatchRuns", READ),
    post(Grpc, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READ),
    post(Grpc, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READ),
    post(Grpc, "/grpc.health.v1.Health/Check", OPEN),
    post(Grpc, "/grpc.health.v1.Health/Watch", OPEN),
];

/// What a request needs. When more than one route matches, the first: fixed paths never differ
/// in need from the pattern that matches them too, and a test says so.
pub fn need(door: Door, method: &Method, path: &str) -> Result<Need, Missing> {
    let mut missing = Missing::Path;
    for route in ROUTES.iter().filter(|route| route.door == door) {
        if !matches(route.path, path) {
            continue;
        }
        let reads = method == Method::GET || method == Method::HEAD;
        if if route.post { method == Method::POST } else { reads } {
            return Ok(route.need);
        }
        missing = Missing::Method;
    }
    Err(missing)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_needs_nothing_less_than_a_refusal() {
        let get = |path| need(Web, &Method::GET, path);
        assert_eq!(get("/config"), Ok(ADMIN));
        assert_eq!(get("/runs/abc"), Ok(READ));
        let none =
            ["/runs/", "/runs/a/b", "//config", "/config/", "/%63onfig", "/CONFIG", "", "/x"];
        for path in none {
            assert_eq!(get(path), Err(Missing::Path), "{path}");
        }
        assert_eq!(need(Web, &Method::POST, "/config"), Err(Missing::Method));
        assert_eq!(need(Web, &Method::PUT, "/api/v1/cuts"), Err(Missing::Method));
        assert_eq!(need(Web, &Method::GET, "/api/v1/cuts"), Err(Missing::Method));
        assert_eq!(need(Web, &Method::HEAD, "/livez"), Ok(OPEN));
        // A route of one listener is none of another.
        assert_eq!(need(Http, &Method::GET, "/livez"), Err(Missing::Path));
        assert_eq!(need(Grpc, &Method::POST, "/api/v1/cuts"), Err(Missing::Path));
    }

    #[test]
    fn only_probes_are_open_and_rows_agree() {
        for (at, row) in ROUTES.iter().enumerate() {
            let probe = ["/livez", "/readyz"].contains(&row.path)
                || row.path.starts_with("/grpc.health.v1.Health/");
            assert_eq!(row.need == OPEN, probe, "{}", row.path);
            for other in &ROUTES[at + 1..] {
                let both = row.door == other.door
                    && row.post == other.post
                    && (matches(row.path, other.path) || matches(other.path, row.path));
                assert!(!both || row.need == other.need, "{} and {}", row.path, other.path);
            }
        }
    }
}
