//! The normaliser as a whole, on requests made with the published OTLP types.

use super::*;
use crate::model::codec::Reader;
use crate::model::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use proptest::prelude::*;
use prost::Message;

const CANARY: &str = "CANARY-4711";

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.into()))
}

fn span(id: u8, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: "s".into(),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        attributes,
        ..Span::default()
    }
}

fn chat(id: u8, more: Vec<KeyValue>) -> Span {
    let mut attributes = vec![text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m")];
    attributes.extend(more);
    span(id, attributes)
}

fn request(resource: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn log_request(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn plain() -> Normalizer {
    Normalizer::new(Config::default())
}

fn all(batch: &Batch) -> Vec<Observation> {
    Reader::new(&batch.payload()).map(|observation| observation.expect("readable")).collect()
}

fn traces(normalizer: &Normalizer, body: &[u8]) -> (Report, Vec<Observation>) {
    let mut batch = Batch::default();
    let report = normalizer.traces(body, Times::any(), &mut batch, &mut Blind).expect("a request");
    (report, all(&batch))
}

fn calls(observations: &[Observation]) -> Vec<Call> {
    let call = |observation: &Observation| match observation {
        Observation::Call(call) => Some(*call),
        _ => None,
    };
    observations.iter().filter_map(call).collect()
}

fn assignments(observations: &[Observation]) -> Vec<(Sym, Sym, Source)> {
    let told = |observation: &Observation| match observation {
        Observation::Assignment(told) => Some((told.experiment, told.arm, told.source)),
        _ => None,
    };
    observations.iter().filter_map(told).collect()
}

fn rejected(report: &Report, reason: Reject) -> u64 {
    report.rejected[Reject::ALL.iter().position(|each| *each == reason).expect("a reason")]
}

#[test]
fn a_bad_span_is_refused_and_the_others_count() {
    let bad = |change: fn(&mut Span)| {
        let mut span = chat(9, vec![]);
        change(&mut span);
        span
    };
    let spans = vec![
        chat(1, vec![]),
        bad(|span| span.trace_id.clear()),
        bad(|span| span.trace_id = vec![0; 16]),
        bad(|span| span.span_id = vec![7; 3]),
        bad(|span| span.end_time_unix_nano = 10),
        bad(|span| span.start_time_unix_nano = 0),
        bad(|span| span.end_time_unix_nano = u64::MAX),
        chat(2, vec![text("user.id", "ZZZZ")]),
        chat(3, vec![]),
    ];
    let mut body = request(vec![], spans);
    let at = body.windows(4).position(|four| four == b"ZZZZ").expect("the text");
    body[at] = 0xff;
    let times = Times { now: 5_000, earliest: 100, latest: 10_000 };
    let mut batch = Batch::default();
    let report = plain().traces(&body, times, &mut batch, &mut Blind).expect("a request");
    assert_eq!((report.received, report.calls, report.refused()), (9, 2, 7));
    assert_eq!(rejected(&report, Reject::EmptyTraceId), 2);
    assert_eq!(rejected(&report, Reject::EmptySpanId), 1);
    assert_eq!(rejected(&report, Reject::TooOld), 2);
    assert_eq!(rejected(&report, Reject::FromTheFuture), 1);
    assert_eq!(rejected(&report, Reject::InvalidUtf8), 1);
    assert_eq!(calls(&all(&batch)).len(), 2);
}

#[test]
fn a_broken_span_is_no_broken_request() {
    let mut body = request(vec![], vec![chat(1, vec![]), span(2, vec![])]);
    // The last span's first field gets a wire type that does not exist.
    let at = body.windows(10).rposition(|ten| ten == [&[0x0a, 16][..], &[1; 8]].concat()).expect("a span");
    body[at] = 0x0f;
    let (report, observations) = traces(&plain(), &body);
    assert_eq!((report.calls, rejected(&report, Reject::MalformedSpan)), (1, 1));
    assert_eq!(calls(&observations).len(), 1);
}

#[test]
fn a_malformed_request_leaves_the_batch_as_it_was() {
    let normalizer = plain();
    let mut batch = Batch::default();
    let mut body = request(vec![], vec![chat(1, vec![text("user.id", "u")])]);
    normalizer.traces(&body, Times::any(), &mut batch, &mut Blind).expect("a request");
    let before = (batch.payload(), batch.count, batch.new_names.clone(), batch.new_sets.clone());
    body.extend_from_slice(&[0x0a, 0x7f, 1]);
    let malformed = normalizer.traces(&body, Times::any(), &mut batch, &mut Blind).expect_err("cut");
    assert!(malformed.to_string().contains("the request cannot be read"));
    assert_eq!(before, (batch.payload(), batch.count, batch.new_names.clone(), batch.new_sets.clone()));
}

#[test]
fn more_spans_than_the_limit_are_refused() {
    let spans = (0..=ITEMS_MAX).map(|_| span(1, vec![])).collect();
    let (report, observations) = traces(&plain(), &request(vec![], spans));
    assert_eq!((report.received, rejected(&report, Reject::TooManySpans)), (ITEMS_MAX + 1, 1));
    assert_eq!(observations.len() as u64, ITEMS_MAX);
}

#[test]
fn attributes_beyond_the_limit_are_not_read() {
    let mut attributes: Vec<KeyValue> = (0..ATTRIBUTES_MAX - 2).map(|at| text(&format!("a{at}"), "x")).collect();
    attributes.push(text("user.id", "u"));
    let (report, observations) = traces(&plain(), &request(vec![], vec![chat(1, attributes)]));
    assert_eq!((report.cut_attributes, calls(&observations)[0].units.user), (1, None));
}

#[test]
fn definitions_come_until_the_batch_is_durable() {
    let normalizer = plain();
    let body = request(vec![], vec![chat(1, vec![text("error.type", "X")]), chat(2, vec![text("error.type", "X")])]);
    let defines = |normalizer: &Normalizer| {
        let mut batch = Batch::default();
        normalizer.traces(&body, Times::any(), &mut batch, &mut Blind).expect("a request");
        let count = all(&batch).iter().filter(|each| matches!(each, Observation::Define(_))).count();
        (count, batch)
    };
    let (first, batch) = defines(&normalizer);
    assert_eq!((first, defines(&normalizer).0), (2, 2), "a set and a name, again while not durable");
    normalizer.durable(&batch);
    assert_eq!(defines(&normalizer).0, 0);
}

#[test]
fn a_set_depends_neither_on_order_nor_on_dialect_of_its_content() {
    let system = |part: AnyValue| {
        let parts = pair("parts", Any::ArrayValue(ArrayValue { values: vec![part] }));
        let message = Any::KvlistValue(KeyValueList { values: vec![text("role", "system"), parts] });
        let list = ArrayValue { values: vec![AnyValue { value: Some(message) }] };
        pair("gen_ai.input.messages", Any::ArrayValue(list))
    };
    let part = Any::KvlistValue(KeyValueList {
        values: vec![KeyValue { key: "name".into(), ..KeyValue::default() }, text("type", "text"), text("content", "Be terse.")],
    });
    let temperature = || pair("gen_ai.request.temperature", Any::DoubleValue(0.2));
    let same = [
        chat(1, vec![text("gen_ai.system_instructions", "Be terse."), temperature()]),
        chat(2, vec![temperature(), text("gen_ai.system_instructions", r#"[{"type":"text","content":"Be terse."}]"#)]),
        chat(3, vec![text("gen_ai.request.temperature", "0.2"), system(AnyValue { value: Some(part) })]),
        chat(4, vec![
            text("llm.input_messages.0.message.content", "Be terse."),
            text("llm.input_messages.0.message.role", "system"),
            pair("gen_ai.request.temperature", Any::DoubleValue(f64::from(0.2f32))),
        ]),
        chat(5, vec![text("gen_ai.prompt.0.role", "system"), text("gen_ai.prompt.0.content", "Be terse."), temperature()]),
    ];
    let (_, observations) = traces(&plain(), &request(vec![], same.to_vec()));
    let sets: Vec<SetId> = calls(&observations).iter().map(|call| call.set).collect();
    assert_eq!(sets, vec![sets[0]; 5]);
    let defined = observations.iter().find_map(|each| match each {
        Observation::Define(Define::Set(_, set)) => Some(set.clone()),
        _ => None,
    });
    let expected = canonical::sha256_text(br#"["Be terse."]"#);
    assert_eq!(defined.expect("a set").text(Field::PromptHash), Some(expected.as_str()));
}

#[test]
fn a_large_set_stays_within_its_limit() {
    let keys = ["gen_ai.prompt.name", "gen_ai.prompt.version", "gen_ai.agent.name", "service.name", "service.version",
        "gen_ai.response.model", "gen_ai.provider.name", "vcs.ref.head.revision", "deployment.environment.name",
        "armspan.tools.version", "armspan.tools.hash", "armspan.prompt.hash", "armspan.safety.policy",
        "armspan.dataset.name", "armspan.dataset.version", "armspan.retrieval.snapshot", "armspan.retrieval.source"];
    let long = keys.map(|key| text(key, &"é".repeat(5_000))).to_vec();
    let (_, observations) = traces(&plain(), &request(vec![], vec![chat(1, long)]));
    for each in &observations {
        let mut bytes = Vec::new();
        each.encode(&mut bytes);
        assert!(bytes.len() <= 16 * 1024, "{} bytes", bytes.len());
    }
    assert_eq!(calls(&observations).len(), 1);
}

#[test]
fn a_mapping_rule_on_the_resource_assigns_the_calls_only() {
    let mapping = BTreeMap::from([("arm".to_owned(), vec!["resource.service.version".to_owned()])]);
    let config = Config { mapping, experiments: vec!["canary".into()], ..Config::default() };
    let body = request(vec![text("service.version", "2")], vec![span(1, vec![]), chat(2, vec![]), span(3, vec![text("service.version", "3")])]);
    let (_, observations) = traces(&Normalizer::new(config), &body);
    assert_eq!(assignments(&observations), [(Sym::of("canary"), Sym::of("2"), Source::Mapping)]);
}

#[test]
fn every_way_to_tell_an_arm() {
    let event = |name: &str, attributes| Event { name: name.into(), attributes, ..Event::default() };
    let flag = |variant: &str| vec![text("feature_flag.key", "f"), text(variant, "b")];
    let mut spans = vec![
        chat(1, vec![text("armspan.experiment", "f"), text("armspan.arm", "b")]),
        span(2, flag("feature_flag.result.variant")),
        span(3, vec![]),
        Span { name: "feature_flag.evaluation".into(), ..span(4, flag("feature_flag.result.variant")) },
        chat(5, vec![text("langfuse.trace.tags", r#"["x","gb.exp:f=b"]"#)]),
        chat(6, vec![text("growthbook.experiment.f", "b")]),
        span(7, vec![text("langfuse.trace.metadata.experiment", "\"f\""), text("langfuse.trace.metadata.arm", "\"b\"")]),
    ];
    spans[2].events = vec![event("feature_flag.evaluation", flag("feature_flag.variant")), event("feature_flag", vec![text("feature_flag.key", "f")])];
    let (report, observations) = traces(&plain(), &request(vec![], spans));
    let sources = [Source::Ours, Source::FlagAttributes, Source::FlagSpanEvent, Source::FlagSpan, Source::Tag, Source::Tag, Source::Tag];
    let expected: Vec<_> = sources.map(|source| (Sym::of("f"), Sym::of("b"), source)).into();
    assert_eq!(assignments(&observations), expected);
    assert_eq!((report.assignments, report.flags_without_variant), (7, 1));
}

#[test]
fn a_log_record_tells_scores_arms_and_content() {
    let record = |event: &str, attributes, traced: bool| LogRecord {
        event_name: event.into(),
        attributes,
        time_unix_nano: 3_000,
        trace_id: if traced { vec![1; 16] } else { vec![] },
        span_id: if traced { vec![2; 8] } else { vec![] },
        ..LogRecord::default()
    };
    let value = || vec![text("gen_ai.evaluation.name", "n"), pair("gen_ai.evaluation.score.value", Any::DoubleValue(0.5))];
    let mut late = value();
    late.push(text("gen_ai.response.id", "r"));
    let records = vec![
        record("gen_ai.evaluation.result", value(), true),
        record("gen_ai.evaluation.result", late, false),
        record("gen_ai.evaluation.result", value(), false),
        record("gen_ai.evaluation.result", vec![text("gen_ai.evaluation.name", "n")], true),
        record("feature_flag.evaluation", vec![text("feature_flag.key", "f"), text("feature_flag.variant", "b")], true),
        record("gen_ai.user.message", vec![], true),
        record("", vec![text("armspan.experiment", "e"), text("armspan.arm", "a")], true),
    ];
    let normalizer = plain();
    let mut batch = Batch::default();
    let report = normalizer.logs(&log_request(records), Times::any(), &mut batch, &mut Blind).expect("a request");
    let targets: Vec<Target> = all(&batch).iter().filter_map(|each| match each {
        Observation::Score(score) => Some(score.target),
        _ => None,
    }).collect();
    let span = Target::Span(TraceId(u128::from_be_bytes([1; 16])), SpanId(u64::from_be_bytes([2; 8])));
    assert_eq!(targets, [span, Target::Response(normalizer.response("r"))]);
    assert_eq!(rejected(&report, Reject::UnknownTarget), 1);
    assert_eq!(rejected(&report, Reject::MalformedScore), 1);
    assert_eq!((report.assignments, report.ignored), (2, 1));
}

#[test]
fn values_of_the_wrong_type_are_counted_by_field() {
    let odd = chat(1, vec![text("gen_ai.request.temperature", "warm"), pair("gen_ai.usage.input_tokens", Any::BoolValue(true))]);
    let (report, observations) = traces(&plain(), &request(vec![], vec![odd]));
    assert_eq!((report.bad_values, report.bad_fields()), (2, vec!["Temperature".to_owned(), "TokensInput".to_owned()]));
    assert_eq!(calls(&observations)[0].tokens.input, None);
}

#[test]
fn the_api_checks_before_it_defines() {
    let (normalizer, mut batch) = (plain(), Batch::default());
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let score = ScoreInput { name: "n", value: Some(1.0), trace_id: Some(trace), ..ScoreInput::default() };
    let refused = |input: ScoreInput<'_>, batch: &mut Batch| normalizer.score(&input, batch).expect_err("refused");
    assert_eq!(refused(ScoreInput { trace_id: None, ..score }, &mut batch), Reject::UnknownTarget);
    assert_eq!(refused(ScoreInput { trace_id: Some("xyz"), ..score }, &mut batch), Reject::UnknownTarget);
    assert_eq!(refused(ScoreInput { value: None, ..score }, &mut batch), Reject::MalformedScore);
    let arm = AssignmentInput { experiment: "e", arm: "a", ..AssignmentInput::default() };
    assert_eq!(normalizer.assignment(&arm, &mut batch), Err(Reject::UnknownTarget));
    assert!(batch.is_empty());
    normalizer.score(&score, &mut batch).expect("a score");
    normalizer.assignment(&AssignmentInput { unit: Some("u"), ..arm }, &mut batch).expect("an exposure");
    assert_eq!((batch.count, all(&batch).len()), (2, 5));
}

/// Spans and records that carry the canary wherever content may stand.
fn with_canary() -> (Vec<u8>, Vec<u8>) {
    let message = format!(r#"[{{"role":"system","content":"{CANARY}","parts":[{{"type":"text","content":"{CANARY}"}}]}}]"#);
    let keys = ["gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions",
        "input.value", "output.value", "ai.prompt", "ai.prompt.messages", "ai.prompt.tools", "langfuse.observation.input",
        "langfuse.observation.output", "langfuse.observation.metadata.instructions", "llm.prompt_template.template",
        "llm.input_messages.0.message.content", "gen_ai.prompt.0.content", "llm.request.functions.0.description",
        "exception.message", "evaluation.explanation", "gen_ai.evaluation.explanation", "user.id", "session.id",
        "langfuse.observation.status_message", "traceloop.entity.input", "gen_ai.response.id", "gen_ai.conversation.id"];
    let mut attributes = vec![text("llm.input_messages.0.message.role", "system"), text("gen_ai.prompt.0.role", "system"),
        text("llm.request.functions.0.name", "f"), text("evaluation.name", "n"), pair("evaluation.score", Any::DoubleValue(1.0))];
    attributes.extend(keys.map(|key| text(key, &message)));
    let failed = Status { code: 2, message: message.clone() };
    let exception = Event { name: "exception".into(), attributes: vec![text("exception.message", &message)], ..Event::default() };
    let call = Span { status: Some(failed), events: vec![exception], ..chat(1, attributes.clone()) };
    let body = Some(AnyValue { value: Some(Any::KvlistValue(KeyValueList { values: vec![text("content", CANARY)] })) });
    let records = ["gen_ai.system.message", "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result"].map(|event| LogRecord {
        event_name: event.into(),
        body: body.clone(),
        attributes: [attributes.clone(), vec![text("gen_ai.evaluation.name", "n"), text("gen_ai.evaluation.score.label", "pass")]].concat(),
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..LogRecord::default()
    });
    (request(vec![], vec![call, span(2, attributes)]), log_request(records.to_vec()))
}

#[derive(Default)]
struct Scribe(Vec<Understood>);

impl Witness for Scribe {
    fn wants(&self) -> bool {
        true
    }

    fn saw(&mut self, understood: Understood) {
        self.0.push(understood);
    }
}

#[test]
fn content_goes_no_further_than_its_hash() {
    let (spans, records) = with_canary();
    let (mut batch, mut scribe) = (Batch::default(), Scribe::default());
    let traces = plain().traces(&spans, Times::any(), &mut batch, &mut Blind).expect("traces");
    let logs = plain().logs(&records, Times::any(), &mut batch, &mut scribe).expect("logs");
    assert!(traces.calls == 1 && traces.scores >= 1 && logs.scores == 1 && logs.facets == 2, "{traces:?} {logs:?}");
    let payload = batch.payload();
    assert!(!payload.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()));
    assert!(!format!("{:?}{:?}{:?}", scribe.0, all(&batch), traces).contains(CANARY));
    assert_eq!(scribe.0.len(), 3);
}

#[test]
fn the_witness_is_told_why() {
    let mut scribe = Scribe::default();
    let spans = vec![chat(1, vec![text("user.id", "u"), text("gen_ai.response.id", "r"), text("gen_ai.response.finish_reasons", "[\"stop\"]")]),
        span(2, vec![text("openinference.span.kind", "CHAIN")]), span(3, vec![])];
    plain().traces(&request(vec![], spans), Times::any(), &mut Batch::default(), &mut scribe).expect("a request");
    let kinds: Vec<_> = scribe.0.iter().map(|seen| (seen.kind, seen.reason.as_str(), seen.dialect)).collect();
    assert_eq!(kinds, [
        ("call", "gen_ai.operation.name = chat", "genai"),
        ("wrapper", "openinference.span.kind = CHAIN", "openinference"),
        ("ignored", "no marker of a call", ""),
    ]);
    assert_eq!((scribe.0[0].unit_from.as_deref(), scribe.0[0].response_id.as_deref()), (Some("user.id"), Some("r")));
    assert_eq!(scribe.0[0].finish_reasons, ["stop"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let mut batch = Batch::default();
        let _ = plain().traces(&body, Times::any(), &mut batch, &mut Scribe::default());
        let _ = plain().logs(&body, Times::any(), &mut batch, &mut Scribe::default());
        all(&batch);
    }

    #[test]
    fn no_damage_makes_it_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let (mut spans, mut records) = with_canary();
        for (at, byte) in &damage {
            *at.get_mut(&mut spans) = *byte;
            *at.get_mut(&mut records) = *byte;
        }
        let mut batch = Batch::default();
        let _ = plain().traces(&spans, Times::any(), &mut batch, &mut Scribe::default());
        let _ = plain().logs(&records, Times::any(), &mut batch, &mut Scribe::default());
        all(&batch);
    }

    #[test]
    fn a_set_does_not_depend_on_the_order_of_attributes(seed: u64) {
        let mut attributes = vec![
            text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m"), text("gen_ai.response.model", "m-1"),
            text("ai.model.id", "x"), text("gen_ai.system", "openai"), text("gen_ai.provider.name", "OpenAI"),
            text("llm.tools.0.tool.json_schema", r#"{"name":"a"}"#), text("llm.tools.1.tool.json_schema", r#"{"name":"b"}"#),
            text("llm.input_messages.0.message.role", "system"), text("llm.input_messages.0.message.content", "one"),
            text("llm.input_messages.1.message.role", "system"), text("llm.input_messages.1.message.content", "two"),
            text("llm.invocation_parameters", r#"{"model":"y","temperature":0.2}"#),
        ];
        let straight = calls(&traces(&plain(), &request(vec![], vec![span(1, attributes.clone())])).1)[0].set;
        let mut state = seed;
        for at in (1..attributes.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            attributes.swap(at, (state >> 33) as usize % (at + 1));
        }
        let shuffled = calls(&traces(&plain(), &request(vec![], vec![span(1, attributes)])).1)[0].set;
        prop_assert_eq!(straight, shuffled);
    }
}
