//! `armspan explain`: how each span and log record was understood, and why.

use super::args::{Files, Format};
use super::print::{self, Data};
use super::progress;
use super::replay::load;
use crate::app::fold::Fold;
use crate::app::replay;
use crate::engine::fact::{Fact, FactBody};
use crate::engine::join::Explained;
use crate::engine::join::resolve::{Arm, Fate};
use crate::engine::join::trace::Trace;
use crate::identify;
use crate::model::{FacetSet, Field, Sym, Tokens, TraceId, UnitHash, UnitKind};
use crate::normalize::{Understood, Witness};
use anyhow::Result;
use serde_json::{Map, Value as Json, json};
use std::io::{Write, stdout};
use std::process::ExitCode;

/// Runs it.
pub fn explain(args: &Files, format: Format) -> Result<ExitCode> {
    let config = load(args.config.as_deref())?;
    let mut seen = Seen::default();
    let progress = progress::Counter::new("requests read");
    let mut fold = replay::otlp(&config, &args.files, &mut seen, &|done| progress.at(done))?;
    drop(progress);
    let items: Vec<Json> = seen.0.iter().map(|one| line(one, &mut fold)).collect();
    let columns = ["kind", "name", "dialect", "arm", "model", "span", "reason"];
    let data = Data {
        columns: columns.map(str::to_owned).into(),
        rows: items.iter().map(row).collect(),
        document: Json::Array(items.clone()),
        items,
        notes: Vec::new(),
        sections: Vec::new(),
    };
    let mut out = stdout().lock();
    print::print(&data, format, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Remembers everything.
#[derive(Default)]
struct Seen(Vec<Understood>);

impl Witness for Seen {
    fn wants(&self) -> bool {
        true
    }

    fn saw(&mut self, understood: Understood) {
        self.0.push(understood);
    }
}

fn row(item: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let arms: Vec<String> = item["assignments"]
        .as_array()
        .map(|list| list.iter().map(|a| format!("{}={}", text(&a["experiment"]), text(&a["arm"]))))
        .map(Iterator::collect)
        .unwrap_or_default();
    let model = &item["config"]["model"];
    let model = model["revision"].as_str().or(model["requested"].as_str()).unwrap_or_default();
    vec![
        text(&item["kind"]),
        text(&item["name"]),
        text(&item["dialect"]),
        arms.join(" "),
        model.to_owned(),
        text(&item["span_id"]),
        text(&item["reason"]),
    ]
}

/// One line: what was understood, and for a call what became of it after all joins.
fn line(one: &Understood, fold: &mut Fold) -> Json {
    let mut out = Map::new();
    let mut put = |key: &str, value: Json| drop(out.insert(key.to_owned(), value));
    put("kind", json!(one.kind));
    put("reason", json!(one.reason));
    put("dialect", json!(one.dialect));
    if let Some(trace) = one.trace_id {
        put("trace_id", json!(trace.to_string()));
    }
    if let Some(span) = one.span_id {
        put("span_id", json!(span.to_string()));
    }
    put("name", json!(one.name));
    if one.kind == "call"
        && let Some((trace, explained)) = explained(one, fold)
    {
        match explained.fate {
            Fate::Call => add_call(&mut out, one, trace, &explained, fold),
            Fate::Wrapper => {
                out["kind"] = json!("wrapper");
                out["reason"] =
                    json!("a span below it, or one with the same response id, is the call");
            }
            Fate::Judge => {
                out["kind"] = json!("ignored");
                out["reason"] = json!("under an evaluator: the judge's own call, not traffic");
            }
        }
    }
    Json::Object(out)
}

fn explained(one: &Understood, fold: &mut Fold) -> Option<(TraceId, Explained)> {
    let (trace, span) = (one.trace_id?, one.span_id?);
    let list = fold.engine.explain(trace);
    list.into_iter().find(|e| e.call.place.span == span).map(|e| (trace, e))
}

fn add_call(
    out: &mut Map<String, Json>,
    one: &Understood,
    trace: TraceId,
    explained: &Explained,
    fold: &Fold,
) {
    let engine = &fold.engine;
    let text = |sym: Sym| engine.dictionary().text(sym).to_owned();
    let full = engine.dictionary().set(explained.resolved.full);
    let (call, resolved) = (&explained.call, &explained.resolved);
    let mut put = |key: &str, value: Json| drop(out.insert(key.to_owned(), value));
    put("operation", json!(call.operation.name()));
    put("site", json!(text(resolved.site)));
    put("assignments", assignments(trace, explained, fold));
    if let Some(unit) = unit(explained) {
        put("unit", unit);
    }
    if let Some(session) = resolved.units.session {
        put("session", json!({"from": "session.id", "hash": hash(session)}));
    }
    let experiment = explained.arms.first().map_or(Sym::NONE, |arm| arm.experiment);
    let identity = engine.context().identity(experiment).of(&full);
    put("config", Json::Object(identify::config(&identity)));
    put("observed", observed(&full, explained));
    // Some emitters invent an id for a failed call; it is read as absent.
    if let Some(id) = one.response_id.as_ref().filter(|_| call.response.is_some()) {
        put("response_id", json!(id));
    }
    let finish: Vec<&str> = resolved.finish.names().collect();
    put("finish_reasons", json!(finish));
    if !call.error.is_none() {
        put("error", json!(text(call.error)));
    }
    put("streaming", json!(call.streaming));
    put("tokens", tokens(&call.tokens));
    if let Some(nano) = explained.cost_nano {
        put("cost_usd", json!(nano as f64 / 1e9));
    }
    put("end_unix_nano", json!(call.place.end));
    put("latency_s", json!(call.duration as f64 / 1e9));
    if let Some(us) = call.first_token_us {
        put("time_to_first_token_s", json!(us as f64 / 1e6));
    }
    put("missing", json!(missing(&full, explained)));
}

fn assignments(trace: TraceId, explained: &Explained, fold: &Fold) -> Json {
    let engine = &fold.engine;
    let text = |sym: Sym| engine.dictionary().text(sym).to_owned();
    let list = explained.arms.iter().map(|arm| {
        let mut out = Map::new();
        out.insert("experiment".into(), json!(text(arm.experiment)));
        out.insert("arm".into(), json!(text(arm.arm)));
        if let Some(id) = fact_of(explained, arm).and_then(|fact| engine.run_of(&fact.run)) {
            out.insert("run".into(), json!(id[..12]));
        }
        let place = engine.trace(trace).map_or("", |trace| place(&trace, explained, arm));
        out.insert("assigned_by".into(), json!(format!("{}{place}", arm.source.describe())));
        Json::Object(out)
    });
    Json::Array(list.collect())
}

fn fact_of<'a>(explained: &'a Explained, arm: &Arm) -> Option<&'a Fact> {
    let is_call = |fact: &&Fact| matches!(fact.body, FactBody::Call(_));
    explained.facts.iter().filter(is_call).find(|fact| fact.run.experiment == arm.experiment)
}

/// Where in the trace the arm was told.
fn place(trace: &Trace, explained: &Explained, arm: &Arm) -> &'static str {
    if arm.span == explained.call.place.span {
        return " on the call";
    }
    let mut above = trace.ancestors(explained.resolved.at).map(|at| trace.spans[at].span);
    match above.position(|span| span == arm.span) {
        Some(0) => " on the parent",
        Some(_) => " on an ancestor",
        None => " elsewhere in the trace",
    }
}

/// What was randomised: as the first experiment counts it, else the best id that there is.
fn unit(explained: &Explained) -> Option<Json> {
    let first = explained.arms.first();
    let counted = first.and_then(|arm| fact_of(explained, arm));
    if let Some(fact) = counted.filter(|fact| fact.kind != UnitKind::Trace) {
        let told = fact.kind == UnitKind::Explicit && explained.resolved.units.explicit.is_none();
        let from = if told { "feature_flag.context.id" } else { fact.kind.name() };
        return Some(json!({"from": from, "hash": hash(fact.unit)}));
    }
    let units = explained.resolved.units;
    let known = [
        (UnitKind::Explicit, units.explicit),
        (UnitKind::User, units.user),
        (UnitKind::Session, units.session),
        (UnitKind::Conversation, units.conversation),
    ];
    let (kind, unit) = known.into_iter().find_map(|(kind, unit)| Some((kind, unit?)))?;
    Some(json!({"from": kind.name(), "hash": hash(unit)}))
}

fn hash(unit: UnitHash) -> String {
    unit.to_string()
}

fn observed(full: &FacetSet, explained: &Explained) -> Json {
    let mut out = Map::new();
    if let Some(print) = full.text(Field::SystemFingerprint) {
        out.insert("system_fingerprint".into(), json!(print));
    }
    if let Some(seed) = explained.resolved.seed {
        out.insert("seed".into(), json!(seed));
    }
    let mut code = Map::new();
    for field in [Field::CodeCommit, Field::CodeService, Field::CodeVersion] {
        if let (Some(value), Some((_, name))) = (full.text(field), field.path().split_once('.')) {
            code.insert(name.to_owned(), json!(value));
        }
    }
    if !code.is_empty() {
        out.insert("code".into(), Json::Object(code));
    }
    Json::Object(out)
}

fn tokens(tokens: &Tokens) -> Json {
    let mut out = Map::new();
    for (name, count) in [
        ("input", tokens.input),
        ("output", tokens.output),
        ("cached", tokens.cached),
        ("cache_written", tokens.cache_written),
        ("reasoning", tokens.reasoning),
    ] {
        if let Some(count) = count {
            out.insert(name.to_owned(), json!(count));
        }
    }
    if tokens.estimated {
        out.insert("estimated".into(), json!(true));
    }
    Json::Object(out)
}

/// What a trustworthy run would have and this call has not.
pub(super) fn missing(full: &FacetSet, explained: &Explained) -> Vec<String> {
    let required = identify::required(std::iter::once(full));
    let mut out: Vec<String> = required
        .filter(|field| !identify::is_present(full, *field))
        .map(|field| field.path().to_owned())
        .collect();
    if explained.arms.is_empty() {
        out.push("arm".into());
    }
    if unit(explained).is_none() {
        out.push("unit".into());
    }
    out
}
