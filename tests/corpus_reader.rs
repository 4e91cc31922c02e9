//! Every payload of the corpus through the normaliser, and, after the naive resolution across
//! spans that is written out here, exactly the facts beside it.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/otlp_json.rs"]
mod otlp_json;

use armspan::model::codec::Reader;
use armspan::model::*;
use armspan::normalize::{Blind, Config, Normalizer, Report, Times};
use corpus::{Capture, Hashes, SeenCall, captures, differences};
use std::collections::BTreeMap;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

/// All that a capture's payloads say.
#[derive(Default)]
struct Said {
    calls: Vec<Call>,
    facets: Vec<Facets>,
    parents: BTreeMap<(TraceId, SpanId), SpanId>,
    scores: Vec<Score>,
    assignments: Vec<Assignment>,
    names: BTreeMap<Sym, String>,
    sets: BTreeMap<SetId, FacetSet>,
    bytes: Vec<u8>,
    reports: Vec<Report>,
}

fn normalizer() -> Normalizer {
    Normalizer::new(Config::default())
}

fn read(capture: &Capture, normalizer: &Normalizer) -> Said {
    let mut said = Said::default();
    for path in capture.traces.iter().chain(&capture.logs) {
        let mut batch = Batch::default();
        let body = otlp_json::body(path);
        let is_trace = capture.traces.contains(path);
        let report = if is_trace {
            normalizer.traces(&body, Times::any(), &mut batch, &mut Blind)
        } else {
            normalizer.logs(&body, Times::any(), &mut batch, &mut Blind)
        };
        said.reports.push(report.expect("a request"));
        said.take(&batch.payload());
    }
    said
}

impl Said {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        for observation in Reader::new(bytes) {
            match observation.expect("an observation") {
                Observation::Call(call) => {
                    self.place(call.place);
                    self.calls.push(call);
                }
                Observation::Facets(facets) => {
                    if facets.role != Role::Content {
                        self.place(facets.place);
                    }
                    self.facets.push(facets);
                }
                Observation::Link(link) => self.place(link.place),
                Observation::Score(score) => self.scores.push(score),
                Observation::Assignment(assignment) => self.assignments.push(assignment),
                Observation::Alias(_) => {}
                Observation::Define(Define::Name(sym, text)) => {
                    assert_eq!(Sym::of(&text), sym);
                    self.names.insert(sym, text.into());
                }
                Observation::Define(Define::Set(id, set)) => {
                    assert_eq!(canonical::set_id(&set), id);
                    self.sets.insert(id, set);
                }
            }
        }
    }

    fn place(&mut self, place: Place) {
        self.parents.insert((place.trace, place.span), place.parent);
    }

    /// The spans above a span, nearest first.
    fn above(&self, trace: TraceId, span: SpanId) -> Vec<SpanId> {
        let mut all = Vec::new();
        let mut at = span;
        while let Some(parent) = self.parents.get(&(trace, at)).filter(|parent| **parent != SpanId::NONE) {
            all.push(*parent);
            at = *parent;
        }
        all
    }

    fn is_under(&self, lower: &Call, upper: SpanId) -> bool {
        self.above(lower.place.trace, lower.place.span).contains(&upper)
    }

    /// Calls that are traffic, each once: the deepest of a chain, none under an evaluator.
    fn counted(&self) -> Vec<&Call> {
        let judged = |call: &Call| {
            let evaluators = self.facets.iter().filter(|facets| facets.role == Role::Evaluator);
            evaluators.into_iter().any(|facets| {
                facets.place.trace == call.place.trace && self.is_under(call, facets.place.span)
            })
        };
        let repeated = |call: &Call| {
            self.calls.iter().any(|other| {
                other.place.trace == call.place.trace && self.is_under(other, call.place.span)
            })
        };
        self.calls.iter().filter(|call| !judged(call) && !repeated(call)).collect()
    }

    /// The call with what its log events, and the spans above it, add.
    fn seen(&self, call: &Call) -> SeenCall {
        let (trace, span) = (call.place.trace, call.place.span);
        let mut units = call.units;
        let mut finish = call.finish;
        let mut response = call.response;
        let own = self.sets.get(&call.set);
        let mut set = own.cloned().unwrap_or_default();
        let above = self.above(trace, span);
        let content = self.facets.iter().filter(|facets| {
            facets.role == Role::Content && facets.place.trace == trace && facets.place.span == span
        });
        for facets in content {
            finish = if finish.is_empty() { facets.finish } else { finish };
            response = response.or(facets.response);
            self.sets.get(&facets.set).into_iter().flat_map(FacetSet::iter).for_each(|(field, value)| {
                set.set_if_absent(field, value.clone());
            });
        }
        // Units may stand on any span of the trace; the nearest above wins.
        let mut others: Vec<&Facets> = self.facets.iter().filter(|facets| facets.place.trace == trace).collect();
        others.sort_by_key(|facets| above.iter().position(|id| *id == facets.place.span).unwrap_or(usize::MAX));
        others.iter().for_each(|facets| units = units.or(facets.units));
        self.calls.iter().filter(|other| above.contains(&other.place.span)).for_each(|other| units = units.or(other.units));
        let assignment = self.assignments.iter().find(|assignment| assignment.trace == Some(trace));
        let mut values = BTreeMap::new();
        let mut put = |field, value: Option<String>| {
            if let Some(value) = value {
                values.insert(field, value);
            }
        };
        put("requested", set.text(Field::ModelRequested).map(str::to_owned));
        put("revision", set.text(Field::ModelRevision).map(str::to_owned));
        put("input", call.tokens.input.map(|count| count.to_string()));
        put("output", call.tokens.output.map(|count| count.to_string()));
        put("cached", call.tokens.cached.map(|count| count.to_string()));
        put("reasoning", call.tokens.reasoning.map(|count| count.to_string()));
        put("finish", finish.names().next().map(str::to_owned));
        put("error", self.names.get(&call.error).cloned());
        put("response", response.map(|hash| hash.to_string()));
        put("experiment", assignment.map(|assignment| self.names[&assignment.experiment].clone()));
        put("arm", assignment.map(|assignment| self.names[&assignment.arm].clone()));
        put("user", units.user.map(|hash| hash.to_string()));
        put("session", units.session.or(units.conversation).map(|hash| hash.to_string()));
        SeenCall { trace: trace.to_string(), span: span.to_string(), end: call.place.end, values }
    }
}

#[test]
fn every_capture_reads_as_its_facts_say() {
    let normalizer = normalizer();
    let hashes = Hashes {
        unit: &|id| normalizer.unit(id).to_string(),
        response: &|id| normalizer.response(id).to_string(),
    };
    let all = captures(root());
    assert!(all.len() > 80, "only {} captures", all.len());
    let mut wrong = Vec::new();
    for capture in &all {
        let said = read(capture, &normalizer);
        let seen: Vec<SeenCall> = said.counted().into_iter().map(|call| said.seen(call)).collect();
        wrong.extend(differences(capture, &seen, &hashes));
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn zz_print() {
    let normalizer = normalizer();
    for capture in captures(root()) {
        let said = read(&capture, &normalizer);
        let mut lines = std::collections::BTreeSet::new();
        for call in said.counted() {
            let mut set = said.sets.get(&call.set).cloned().unwrap_or_default();
            let above = said.above(call.place.trace, call.place.span);
            for f in said.facets.iter().filter(|f| f.place.trace == call.place.trace && (above.contains(&f.place.span) || f.place.span == call.place.span)) {
                if let Some(more) = said.sets.get(&f.set) { for (k, v) in more.iter() { set.set_if_absent(k, v.clone()); } }
            }
            for c in said.calls.iter().filter(|c| above.contains(&c.place.span)) {
                if let Some(more) = said.sets.get(&c.set) { for (k, v) in more.iter() { if k.inherited() { set.set_if_absent(k, v.clone()); } } }
            }
            let line: Vec<String> = set.iter().filter(|(k, _)| !matches!(k.group(), "code" | "environment")).map(|(k, v)| { let v = v.display(); format!("{k}={}", &v[..v.len().min(20)]) }).collect();
            lines.insert(format!("{} | seed {:?} op {:?} str {} ttft {:?} cost {:?}", line.join(" "), call.seed, call.operation, call.streaming, call.first_token_us, call.cost_nano));
        }
        println!("== {} {:?} scores {}", capture.name, said.reports.iter().map(|r| (r.calls, r.wrappers, r.bad_values, r.bad_fields(), r.refused(), r.flags_without_variant, r.cut_attributes)).collect::<Vec<_>>(), said.scores.len());
        for line in lines { println!("   {line}"); }
    }
}
