//! The route of the gate's document. What it says is `judge::gate`'s; here are only the
//! parameters, and the position that it rests on.

use super::http::parameters;
use super::problem::Problem;
use super::{ApiState, find};
use crate::judge::gate::{self, Asked, GateDocument};
use crate::model::id::rfc3339;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

/// `?arm=&fail_on=`.
#[derive(Deserialize)]
pub struct GateParameters {
    arm: Option<String>,
    fail_on: Option<String>,
}

/// `GET /api/v1/experiments/{experiment}/gate`.
pub async fn gate(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    query: Result<Query<GateParameters>, QueryRejection>,
) -> Result<Json<GateDocument>, Problem> {
    let given = parameters(query)?;
    let fail_on_inconclusive = match given.fail_on.as_deref() {
        None => false,
        Some("inconclusive") => true,
        Some(_) => return Err(Problem::bad_request("fail_on is inconclusive, or absent")),
    };
    let view = state.view.load();
    let experiment = find::experiment(&view, &name)?;
    let asked = Asked { arm: given.arm.as_deref(), fail_on_inconclusive };
    let found = gate::document(experiment, &asked)?;
    let (position, as_of) = (Some(view.position), Some(rfc3339(view.log_time)));
    Ok(Json(GateDocument { position, as_of, ..found }))
}

impl From<gate::Error> for Problem {
    fn from(error: gate::Error) -> Self {
        let told = error.to_string();
        match error {
            gate::Error::Control { .. } => Problem::bad_request(told),
            gate::Error::NoSuchArm { .. } => Problem::not_found(told, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::http_router;
    use crate::api::tests::{ask, state_over};
    use crate::model::View;
    use serde_json::{Value as Json, json};
    use std::sync::Arc;

    /// The router over the experiment of the sinks' sample, with this name for arm C.
    fn router(c: &str) -> axum::Router {
        let cut =
            include_str!("../../tests/fixtures/cut.json").replace("\"C\"", &json!(c).to_string());
        let cut: Json = serde_json::from_str(&cut).expect("the fixture");
        let experiments = serde_json::from_value(cut["experiments"].clone()).expect("experiments");
        let state = state_over(Arc::default());
        let log_time = 1_764_000_000_000_000_000;
        state.view.store(Arc::new(View { position: 7, log_time, experiments, ..View::default() }));
        http_router(state)
    }

    async fn asked(query: &str) -> (u16, Json) {
        let path = format!("/api/v1/experiments/support-bot/gate{query}");
        let (status, found, kind) = ask(&router("C"), "GET", &path, "").await;
        let expected =
            if status.is_success() { "application/json" } else { "application/problem+json" };
        assert_eq!(kind, expected);
        (status.as_u16(), found)
    }

    #[tokio::test]
    async fn the_gate_answers_of_all_arms_or_of_one() {
        let (status, found) = asked("").await;
        assert_eq!((status, &found["schema"]), (200, &json!("armspan/gate/v1")));
        assert_eq!((&found["result"], &found["exit_code"]), (&json!("fail"), &json!(10)));
        assert_eq!(found["sentence"], "support-bot fails: error_rate in C, latency_p95 in C.");
        assert_eq!(
            (&found["position"], &found["as_of"]),
            (&json!(7), &json!("2025-11-24T16:00:00Z"))
        );
        let (_, found) = asked("?arm=B").await;
        assert_eq!((&found["result"], &found["exit_code"]), (&json!("inconclusive"), &json!(0)));
        let (_, found) = asked("?arm=B&fail_on=inconclusive").await;
        assert_eq!(found["exit_code"], 11);
        assert_eq!(found["arms"].as_array().map(Vec::len), Some(1));
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_a_problem_that_says_what_can() {
        let detail = |found: &Json| found["detail"].as_str().expect("detail").to_owned();
        let (status, found) = asked("?arm=D").await;
        assert_eq!(status, 404);
        assert!(detail(&found).ends_with("its arms are A, B, C"), "{found}");
        let (status, found) = asked("?arm=A").await;
        assert_eq!(status, 400);
        assert!(detail(&found).contains("is the control"), "{found}");
        assert_eq!(asked("?fail_on=insufficient").await.0, 400);
        let (status, _, _) = ask(&router("C"), "GET", "/api/v1/experiments/x/gate", "").await;
        assert_eq!(status, 404);
    }

    #[tokio::test]
    async fn an_arm_may_have_any_name() {
        let path = "/api/v1/experiments/support-bot/gate?arm=a%26fail_on%3D%20%2F%22";
        let (status, found, _) = ask(&router("a&fail_on= /\""), "GET", path, "").await;
        assert_eq!((status.as_u16(), &found["arm"]), (200, &json!("a&fail_on= /\"")));
        assert_eq!(found["result"], "fail");
    }
}
