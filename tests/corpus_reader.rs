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
                Observation::Alias(_) | Observation::Covariate(_) => {}
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
        while let Some(parent) =
            self.parents.get(&(trace, at)).filter(|parent| **parent != SpanId::NONE)
        {
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
            self.sets.get(&facets.set).into_iter().flat_map(FacetSet::iter).for_each(
                |(field, value)| {
                    set.set_if_absent(field, value.clone());
                },
            );
        }
        // Units may stand on any span of the trace; the nearest above wins.
        let mut others: Vec<&Facets> =
            self.facets.iter().filter(|facets| facets.place.trace == trace).collect();
        others.sort_by_key(|facets| {
            above.iter().position(|id| *id == facets.place.span).unwrap_or(usize::MAX)
        });
        others.iter().for_each(|facets| units = units.or(facets.units));
        self.calls
            .iter()
            .filter(|other| above.contains(&other.place.span))
            .for_each(|other| units = units.or(other.units));
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

/// The facets that a call has, its log events and the spans above it included.
fn facets(said: &Said, call: &Call) -> FacetSet {
    let mut set = said.sets.get(&call.set).cloned().unwrap_or_default();
    let above = said.above(call.place.trace, call.place.span);
    let others = said
        .facets
        .iter()
        .map(|other| (other.place, other.set))
        .chain(said.calls.iter().map(|other| (other.place, other.set)));
    for (place, other) in others.filter(|other| other.0.trace == call.place.trace) {
        let own = place.span == call.place.span;
        if own || above.contains(&place.span) {
            let more = said.sets.get(&other).into_iter().flat_map(FacetSet::iter);
            more.filter(|pair| own || pair.0.inherited()).for_each(|(field, value)| {
                set.set_if_absent(field, value.clone());
            });
        }
    }
    set
}

/// System prompts of the two arms, by language of the captures.
const PROMPTS: [(&str, [&str; 2]); 2] = [
    (
        "python/",
        [
            "You are a support assistant. Answer in one sentence.",
            "You are a friendly support assistant. Answer in one sentence and offer more help.",
        ],
    ),
    (
        "js/",
        [
            "You are a terse weather assistant.",
            "You are a friendly weather assistant. Answer in one sentence.",
        ],
    ),
];

#[test]
fn the_same_content_has_the_same_hash_from_every_emitter() {
    for (language, prompts) in PROMPTS {
        let expected =
            prompts.map(|prompt| canonical::sha256_text(format!("[\"{prompt}\"]").as_bytes()));
        let mut with_prompt = std::collections::BTreeSet::new();
        let mut tools: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for capture in captures(root()).iter().filter(|capture| capture.name.starts_with(language))
        {
            let said = read(capture, &normalizer());
            for call in said.counted() {
                let set = facets(&said, call);
                if let Some(hash) = set.text(Field::PromptHash) {
                    assert!(expected.iter().any(|each| each == hash), "{}: {hash}", capture.name);
                    with_prompt.insert(capture.name.clone());
                }
                if let Some(hash) = set.text(Field::ToolsHash) {
                    tools.entry(hash.to_owned()).or_default().push(capture.name.clone());
                }
            }
        }
        assert!(with_prompt.len() >= 20, "{language}: {with_prompt:?}");
        assert_eq!(tools.len(), 1, "{language}: {tools:?}");
        assert!(tools.values().all(|names| names.len() >= 20), "{language}: {tools:?}");
    }
}

#[test]
fn two_dialects_of_one_call_have_the_same_configuration() {
    // They read the same scenario; OpenInference adds the version that its app set.
    let config = |name: &str| {
        let all = captures(root());
        let capture = all.iter().find(|capture| capture.name == name).expect("the capture");
        let said = read(capture, &normalizer());
        let identifies = |field| {
            canonical::is_facet(field) && !matches!(field, Field::PromptName | Field::PromptVersion)
        };
        let mut sets: Vec<String> = said
            .counted()
            .into_iter()
            .map(|call| {
                let set = facets(&said, call);
                canonical::jcs(&serde_json::Value::Object(canonical::config_json(&set, identifies)))
            })
            .collect();
        sets.sort();
        sets
    };
    let genai = config("python/genai_openai/chat_span_only");
    assert_eq!(genai.len(), 2);
    for other in [
        "python/openinference_openai/chat",
        "python/genai_openai/chat_event_only",
        "python/logfire/chat",
        "python/litellm/chat_latest",
    ] {
        assert_eq!(genai, config(other), "{other}");
    }
}

#[test]
fn scores_are_read_from_every_carrier() {
    let normalizer = normalizer();
    for (name, judged, failed) in [
        ("python/evaluations/otel_log", 5, 2),
        ("python/evaluations/openinference_attributes", 6, 0),
        ("python/evaluations/phoenix_evaluator", 2, 0),
        ("python/evaluations/phoenix_code", 2, 0),
        ("python/evaluations/splunk_util_genai", 2, 0),
    ] {
        let all = captures(root());
        let capture = all.iter().find(|capture| capture.name == name).expect("the capture");
        let said = read(capture, &normalizer);
        let counts = |failed| said.scores.iter().filter(|score| score.failed == failed).count();
        assert_eq!((counts(false), counts(true)), (judged, failed), "{name}");
        let ids: std::collections::BTreeSet<u64> =
            said.scores.iter().map(|score| score.id).collect();
        assert_eq!(ids.len(), said.scores.len(), "{name}");
    }
    let late = captures(root());
    let capture = late
        .iter()
        .find(|capture| capture.name == "python/evaluations/otel_log")
        .expect("the capture");
    let said = read(capture, &normalizer);
    let by_response = said.scores.iter().find_map(|score| match score.target {
        Target::Response(response) => Some((said.names[&score.name].clone(), response)),
        _ => None,
    });
    let (name, response) = by_response.expect("a score by response id");
    assert_eq!(name, "late");
    assert!(said.calls.iter().any(|call| call.response == Some(response)));
    let faithful = said
        .scores
        .iter()
        .find(|score| said.names[&score.name] == "faithfulness")
        .expect("a score");
    assert_eq!(faithful.value_micro, Some(830_000));
    let toxic =
        said.scores.iter().find(|score| said.names[&score.name] == "toxicity").expect("a score");
    assert_eq!((toxic.value_micro, toxic.label), (Some(0), Sym::NONE));
}

#[test]
fn no_text_of_a_prompt_nor_an_id_of_a_user_is_in_a_batch() {
    let secrets = [
        "terse weather",
        "Answer in one",
        "user-1001",
        "sess-1001",
        "user-a",
        "session-1",
        "degrees",
        "chatcmpl",
        "Rate limit reached",
    ];
    for capture in captures(root()) {
        let bytes = read(&capture, &normalizer()).bytes;
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}: {secret}", capture.name);
        }
    }
}

#[test]
fn nothing_of_the_corpus_is_refused_or_of_the_wrong_type() {
    for capture in captures(root()) {
        for report in read(&capture, &normalizer()).reports {
            let odd = (report.refused(), report.bad_values, report.cut_attributes, report.cut_sets);
            assert_eq!(odd, (0, 0, 0, 0), "{}: {report:?}", capture.name);
        }
    }
}

#[test]
fn every_exception_of_the_table_is_needed() {
    let unused = corpus::unused_exceptions(&captures(root()));
    assert!(unused.is_empty(), "{unused:?}");
}
