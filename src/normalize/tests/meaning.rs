//! What spans and records come to mean.

use super::*;
use proptest::prelude::*;

#[test]
fn definitions_come_until_the_batch_is_durable() {
    let normalizer = plain();
    let body = request(
        vec![],
        vec![chat(1, vec![text("error.type", "X")]), chat(2, vec![text("error.type", "X")])],
    );
    let defines = |normalizer: &Normalizer| {
        let mut batch = Batch::default();
        normalizer.traces(&body, Times::any(), &mut batch, &mut Blind).expect("a request");
        let count =
            all(&batch).iter().filter(|each| matches!(each, Observation::Define(_))).count();
        (count, batch)
    };
    let (first, batch) = defines(&normalizer);
    assert_eq!(
        (first, defines(&normalizer).0),
        (2, 2),
        "a set and a name, again while not durable"
    );
    normalizer.durable(&batch);
    assert_eq!(defines(&normalizer).0, 0);
}

#[test]
fn a_set_depends_neither_on_order_nor_on_dialect_of_its_content() {
    let system = |part: AnyValue| {
        let parts = pair("parts", Any::ArrayValue(ArrayValue { values: vec![part] }));
        let message =
            Any::KvlistValue(KeyValueList { values: vec![text("role", "system"), parts] });
        let list = ArrayValue { values: vec![AnyValue { value: Some(message) }] };
        pair("gen_ai.input.messages", Any::ArrayValue(list))
    };
    let part = Any::KvlistValue(KeyValueList {
        values: vec![
            KeyValue { key: "name".into(), ..KeyValue::default() },
            text("type", "text"),
            text("content", "Be terse."),
        ],
    });
    let temperature = || pair("gen_ai.request.temperature", Any::DoubleValue(0.2));
    let same = [
        chat(1, vec![text("gen_ai.system_instructions", "Be terse."), temperature()]),
        chat(
            2,
            vec![
                temperature(),
                text("gen_ai.system_instructions", r#"[{"type":"text","content":"Be terse."}]"#),
            ],
        ),
        chat(
            3,
            vec![text("gen_ai.request.temperature", "0.2"), system(AnyValue { value: Some(part) })],
        ),
        chat(
            4,
            vec![
                text("llm.input_messages.0.message.content", "Be terse."),
                text("llm.input_messages.0.message.role", "system"),
                pair("gen_ai.request.temperature", Any::DoubleValue(f64::from(0.2f32))),
            ],
        ),
        chat(
            5,
            vec![
                text("gen_ai.prompt.0.role", "system"),
                text("gen_ai.prompt.0.content", "Be terse."),
                temperature(),
            ],
        ),
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
fn a_mapping_rule_on_the_resource_assigns_the_calls_only() {
    let mapping = BTreeMap::from([("arm".to_owned(), vec!["resource.service.version".to_owned()])]);
    let config = Config { mapping, experiments: vec!["canary".into()], ..Config::default() };
    let body = request(
        vec![text("service.version", "2")],
        vec![span(1, vec![]), chat(2, vec![]), span(3, vec![text("service.version", "3")])],
    );
    let (_, observations) = traces(&Normalizer::new(config), &body);
    assert_eq!(assignments(&observations), [(Sym::of("canary"), Sym::of("2"), Source::Mapping)]);
}

#[test]
fn every_way_to_tell_an_arm() {
    let event =
        |name: &str, attributes| Event { name: name.into(), attributes, ..Event::default() };
    let flag = |variant: &str| vec![text("feature_flag.key", "f"), text(variant, "b")];
    let mut spans = vec![
        chat(1, vec![text("armspan.experiment", "f"), text("armspan.arm", "b")]),
        span(2, flag("feature_flag.result.variant")),
        span(3, vec![]),
        Span {
            name: "feature_flag.evaluation".into(),
            ..span(4, flag("feature_flag.result.variant"))
        },
        chat(5, vec![text("langfuse.trace.tags", r#"["x","gb.exp:f=b"]"#)]),
        chat(6, vec![text("growthbook.experiment.f", "b")]),
        span(
            7,
            vec![
                text("langfuse.trace.metadata.experiment", "\"f\""),
                text("langfuse.trace.metadata.arm", "\"b\""),
            ],
        ),
    ];
    spans[2].events = vec![
        event("feature_flag.evaluation", flag("feature_flag.variant")),
        event("feature_flag", vec![text("feature_flag.key", "f")]),
    ];
    let (report, observations) = traces(&plain(), &request(vec![], spans));
    let sources = [
        Source::Ours,
        Source::FlagAttributes,
        Source::FlagSpanEvent,
        Source::FlagSpan,
        Source::Tag,
        Source::Tag,
        Source::Tag,
    ];
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
    let value = || {
        vec![
            text("gen_ai.evaluation.name", "n"),
            pair("gen_ai.evaluation.score.value", Any::DoubleValue(0.5)),
        ]
    };
    let mut late = value();
    late.push(text("gen_ai.response.id", "r"));
    let records = vec![
        record("gen_ai.evaluation.result", value(), true),
        record("gen_ai.evaluation.result", late, false),
        record("gen_ai.evaluation.result", value(), false),
        record("gen_ai.evaluation.result", vec![text("gen_ai.evaluation.name", "n")], true),
        record(
            "feature_flag.evaluation",
            vec![text("feature_flag.key", "f"), text("feature_flag.variant", "b")],
            true,
        ),
        record("gen_ai.user.message", vec![], true),
        record("", vec![text("armspan.experiment", "e"), text("armspan.arm", "a")], true),
    ];
    let normalizer = plain();
    let mut batch = Batch::default();
    let report = normalizer
        .logs(&log_request(records), Times::any(), &mut batch, &mut Blind)
        .expect("a request");
    let targets: Vec<Target> = all(&batch)
        .iter()
        .filter_map(|each| match each {
            Observation::Score(score) => Some(score.target),
            _ => None,
        })
        .collect();
    let span =
        Target::Span(TraceId(u128::from_be_bytes([1; 16])), SpanId(u64::from_be_bytes([2; 8])));
    assert_eq!(targets, [span, Target::Response(normalizer.response("r"))]);
    assert_eq!(rejected(&report, Reject::UnknownTarget), 1);
    assert_eq!(rejected(&report, Reject::MalformedScore), 1);
    assert_eq!((report.assignments, report.ignored), (2, 1));
}

#[test]
fn the_witness_is_told_why() {
    let mut scribe = Scribe::default();
    let spans = vec![
        chat(
            1,
            vec![
                text("user.id", "u"),
                text("gen_ai.response.id", "r"),
                text("gen_ai.response.finish_reasons", "[\"stop\"]"),
            ],
        ),
        span(2, vec![text("openinference.span.kind", "CHAIN")]),
        span(3, vec![]),
    ];
    plain()
        .traces(&request(vec![], spans), Times::any(), &mut Batch::default(), &mut scribe)
        .expect("a request");
    let kinds: Vec<_> =
        scribe.0.iter().map(|seen| (seen.kind, seen.reason.as_str(), seen.dialect)).collect();
    assert_eq!(
        kinds,
        [
            ("call", "gen_ai.operation.name = chat", "genai"),
            ("wrapper", "openinference.span.kind = CHAIN", "openinference"),
            ("ignored", "no marker of a call", ""),
        ]
    );
    assert_eq!(
        (scribe.0[0].unit_from.as_deref(), scribe.0[0].response_id.as_deref()),
        (Some("user.id"), Some("r"))
    );
    assert_eq!(scribe.0[0].finish_reasons, ["stop"]);
}

proptest! {
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
