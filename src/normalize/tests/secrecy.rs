//! Content goes no further than its hash, and no bytes make the reader panic.

use super::*;
use proptest::prelude::*;

const CANARY: &str = "CANARY-4711";

/// Attributes in which content or a person's id may stand.
const KEYS: [&str; 25] = [
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.definitions",
    "input.value",
    "output.value",
    "ai.prompt",
    "ai.prompt.messages",
    "ai.prompt.tools",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.observation.metadata.instructions",
    "llm.prompt_template.template",
    "llm.input_messages.0.message.content",
    "gen_ai.prompt.0.content",
    "llm.request.functions.0.description",
    "exception.message",
    "evaluation.explanation",
    "gen_ai.evaluation.explanation",
    "user.id",
    "session.id",
    "langfuse.observation.status_message",
    "traceloop.entity.input",
    "gen_ai.response.id",
    "gen_ai.conversation.id",
];

/// Spans and records that carry the canary wherever content may stand.
fn with_canary() -> (Vec<u8>, Vec<u8>) {
    let message = format!(
        r#"[{{"role":"system","content":"{CANARY}","parts":[{{"type":"text","content":"{CANARY}"}}]}}]"#
    );
    let mut attributes = vec![
        text("llm.input_messages.0.message.role", "system"),
        text("gen_ai.prompt.0.role", "system"),
        text("llm.request.functions.0.name", "f"),
        text("evaluation.name", "n"),
        pair("evaluation.score", Any::DoubleValue(1.0)),
    ];
    attributes.extend(KEYS.map(|key| text(key, &message)));
    let failed = Status { code: 2, message: message.clone() };
    let exception = Event {
        name: "exception".into(),
        attributes: vec![text("exception.message", &message)],
        ..Event::default()
    };
    let call =
        Span { status: Some(failed), events: vec![exception], ..chat(1, attributes.clone()) };
    let body = Some(AnyValue {
        value: Some(Any::KvlistValue(KeyValueList { values: vec![text("content", CANARY)] })),
    });
    let records = [
        "gen_ai.system.message",
        "gen_ai.client.inference.operation.details",
        "gen_ai.evaluation.result",
    ]
    .map(|event| LogRecord {
        event_name: event.into(),
        body: body.clone(),
        attributes: [
            attributes.clone(),
            vec![
                text("gen_ai.evaluation.name", "n"),
                text("gen_ai.evaluation.score.label", "pass"),
            ],
        ]
        .concat(),
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..LogRecord::default()
    });
    (request(vec![], vec![call, span(2, attributes)]), log_request(records.to_vec()))
}

#[test]
fn content_goes_no_further_than_its_hash() {
    let (spans, records) = with_canary();
    let (mut batch, mut scribe) = (Batch::default(), Scribe::default());
    let traces = plain().traces(&spans, Times::any(), &mut batch, &mut Blind).expect("traces");
    let logs = plain().logs(&records, Times::any(), &mut batch, &mut scribe).expect("logs");
    assert!(
        traces.calls == 1 && traces.scores >= 1 && logs.scores == 1 && logs.facets == 2,
        "{traces:?} {logs:?}"
    );
    let payload = batch.payload();
    assert!(!payload.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()));
    assert!(!format!("{:?}{:?}{:?}", scribe.0, all(&batch), traces).contains(CANARY));
    assert_eq!(scribe.0.len(), 3);
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
}
