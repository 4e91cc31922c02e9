//! What the spans before said only saves work: a request of many spans gives what each of them
//! gives alone.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;

/// What is done to the span before to make the next one.
#[derive(Clone, Debug)]
enum Edit {
    Again,
    Value(Index, usize),
    Swap(Index, Index),
    Drop(Index),
    Repeat(Index, Index),
    Add(Index, usize, usize),
    Status(i32),
    Event(usize),
    Other(usize),
}

/// What is done to its bytes.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(Index),
    Byte(Index, u8),
}

#[derive(Clone, Debug)]
struct Step {
    edits: Vec<Edit>,
    damage: Damage,
    /// Comes under another resource and scope.
    elsewhere: bool,
}

fn values() -> Vec<Any> {
    let texts = [
        "",
        " ",
        "u1",
        "u2",
        "user-2",
        "chat",
        "7",
        "0.2",
        "0.25",
        "[\"stop\"]",
        "[]",
        "ERROR",
        "rate_limit_exceeded",
        "é-1",
        "***",
        "\"quoted\"",
        "a",
        "b",
        "true",
        "other-text-here",
        "gb.exp:k=v",
        r#"{"temperature":0.3,"total":0.5}"#,
        "LLM",
        "AGENT",
        "pending_span",
    ];
    let list = |text: &str| {
        let value = AnyValue { value: Some(Any::StringValue(text.into())) };
        Any::ArrayValue(ArrayValue { values: vec![value] })
    };
    let map = KeyValueList { values: vec![text("role", "system"), text("content", "c")] };
    let mut all: Vec<_> = texts.map(|text| Any::StringValue(text.into())).into();
    all.extend([0, 1, 7, 404, -4, 100, 200, 300, 70_000, 1 << 60].map(Any::IntValue));
    all.extend([0.0, -0.0, 0.2, 0.5, 1e300, f64::NAN].map(Any::DoubleValue));
    all.extend([Any::BoolValue(true), Any::BoolValue(false), list("stop"), list("length")]);
    all.extend([Any::ArrayValue(ArrayValue::default()), Any::KvlistValue(map)]);
    all.extend([Any::BytesValue(vec![1, 2]), Any::StringValue("x".repeat(200))]);
    all.push(Any::StringValue("y".repeat(200)));
    all
}

fn keys() -> Vec<&'static str> {
    let more = [
        "tenant",
        "z.unknown",
        "llm.input_messages.0.message.role",
        "llm.tools.0.tool.json_schema",
    ];
    let families = ["evaluations.0.evaluation.name", "evaluations.0.evaluation.score", "gb.exp.k"];
    let known = dialects::ALL.iter().flat_map(|dialect| dialect.keys).map(|pair| pair.0);
    known.chain(more).chain(families).collect()
}

/// Spans as emitters of several dialects send them.
fn bases() -> Vec<Vec<KeyValue>> {
    let int = |key: &str, value| pair(key, Any::IntValue(value));
    let genai = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "m"),
        text("gen_ai.response.model", "m-1"),
        pair("gen_ai.request.temperature", Any::DoubleValue(0.2)),
        int("gen_ai.request.seed", 7),
        int("gen_ai.usage.input_tokens", 200),
        int("gen_ai.usage.output_tokens", 40),
        text("gen_ai.response.id", "r-1"),
        text("gen_ai.response.finish_reasons", "[\"stop\"]"),
        text("gen_ai.conversation.id", "c-1"),
        text("user.id", "u1"),
        text("gen_ai.system_instructions", "Be terse."),
        text("gen_ai.prompt.version", "14"),
        text("server.address", "api"),
        text("feature_flag.key", "k"),
        text("feature_flag.result.variant", "a"),
        text("feature_flag.context.id", "u1"),
        // These lose against others.
        int("llm.token_count.prompt", 9),
        text("enduser.id", "u3"),
    ];
    let openinference = vec![
        text("openinference.span.kind", "LLM"),
        text("llm.model_name", "m"),
        text("llm.input_messages.0.message.role", "system"),
        text("llm.input_messages.0.message.content", "Be terse."),
        text("llm.invocation_parameters", r#"{"temperature":0.2}"#),
        int("llm.token_count.prompt", 3),
        text("output.value", r#"{"id":"r-2"}"#),
        text("session.id", "s"),
    ];
    let langfuse = vec![
        text("langfuse.observation.type", "generation"),
        text("langfuse.observation.model.name", "m"),
        text("langfuse.observation.model.parameters", r#"{"temperature":0.2}"#),
        text("langfuse.observation.usage_details", r#"{"input":3,"output":5}"#),
        text("langfuse.observation.cost_details", r#"{"total":0.1}"#),
        text("langfuse.observation.level", "DEFAULT"),
        text("langfuse.user.id", "u1"),
    ];
    let vercel = vec![
        text("ai.operationId", "ai.streamText.doStream"),
        text("ai.model.provider", "openai.responses"),
        text("ai.model.id", "m"),
        text("ai.response.msToFirstChunk", "12.5"),
        int("ai.usage.inputTokens", 9),
        text("ai.prompt.messages", r#"[{"role":"system","content":"x"}]"#),
    ];
    let ours = vec![
        text("traceloop.span.kind", "workflow"),
        text("armspan.experiment", "e"),
        text("armspan.arm", "a"),
        text("armspan.unit.id", "u1"),
        // The last one counts.
        text("user.id", "u2"),
        text("user.id", "u2"),
        text("gen_ai.evaluation.name", "n"),
        pair("gen_ai.evaluation.score.value", Any::DoubleValue(0.5)),
    ];
    vec![genai, openinference, langfuse, vercel, ours]
}

fn event(number: usize) -> Event {
    let (name, attributes) = match number {
        0 => ("gen_ai.choice", vec![text("finish_reason", "length")]),
        1 => ("gen_ai.client.inference.operation.details", vec![text("user.id", "u9")]),
        2 => ("First Token Stream Event", vec![]),
        3 => ("exception", vec![text("exception.type", "TimeoutError")]),
        4 => (
            "feature_flag",
            vec![text("feature_flag.key", "k"), text("feature_flag.result.variant", "b")],
        ),
        _ => ("gen_ai.system.message", vec![text("content", "Be brief.")]),
    };
    Event { name: name.into(), attributes, time_unix_nano: 1_500, ..Event::default() }
}

fn edit(span: &mut Span, edit: &Edit) {
    let (attributes, any) = (&mut span.attributes, values());
    match edit {
        Edit::Status(code) => {
            span.status = Some(Status { message: "429 Too Many Requests".into(), code: *code });
        }
        Edit::Event(number) => span.events.push(event(*number)),
        Edit::Other(base) => *attributes = bases().swap_remove(*base),
        Edit::Add(at, key, value) => {
            let added = pair(keys()[key % keys().len()], any[value % any.len()].clone());
            attributes.insert(at.index(attributes.len() + 1), added);
        }
        Edit::Again => {}
        _ if attributes.is_empty() => {}
        Edit::Value(at, value) => {
            let value = Some(any[value % any.len()].clone());
            let at = at.index(attributes.len());
            attributes[at].value = Some(AnyValue { value });
        }
        Edit::Swap(one, two) => {
            let length = attributes.len();
            attributes.swap(one.index(length), two.index(length));
        }
        Edit::Drop(at) => drop(attributes.remove(at.index(attributes.len()))),
        Edit::Repeat(from, to) => {
            let again = attributes[from.index(attributes.len())].clone();
            attributes.insert(to.index(attributes.len() + 1), again);
        }
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    prop_oneof![
        4 => Just(Edit::Again),
        12 => (index(), 0..100usize).prop_map(|(at, value)| Edit::Value(at, value)),
        1 => (index(), index()).prop_map(|(one, two)| Edit::Swap(one, two)),
        1 => index().prop_map(Edit::Drop),
        1 => (index(), index()).prop_map(|(from, to)| Edit::Repeat(from, to)),
        2 => (index(), 0..1_000usize, 0..100usize).prop_map(|(at, key, value)| Edit::Add(at, key, value)),
        1 => select(vec![0, 2]).prop_map(Edit::Status),
        1 => (0..6usize).prop_map(Edit::Event),
        1 => (0..5usize).prop_map(Edit::Other),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let damage = prop_oneof![
        20 => Just(Damage::None),
        1 => any::<Index>().prop_map(Damage::Cut),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
    ];
    let step = (vec(edits(), 0..4), damage, prop::bool::weighted(0.05));
    let step = step.prop_map(|(edits, damage, elsewhere)| Step { edits, damage, elsewhere });
    vec(step, 1..24)
}

fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut all = vec![number << 3 | 2];
    prost::encoding::encode_varint(body.len() as u64, &mut all);
    all.extend_from_slice(body);
    all
}

/// Spans under one of the resources and scopes.
fn group(which: usize, spans: &[Vec<u8>]) -> Vec<u8> {
    let mut attributes = vec![text("service.name", "bot"), text("user.id", "below")];
    if which % 2 == 1 {
        attributes.extend([text("service.version", "2"), text("gen_ai.agent.name", "agent")]);
    }
    let resource = Resource { attributes, ..Resource::default() };
    let name = ["", "one", "@traceloop/x"][which % 3];
    let mut scope = field(1, &field(1, name.as_bytes()));
    spans.iter().for_each(|span| scope.extend(field(2, span)));
    field(1, &[field(1, &resource.encode_to_vec()), field(2, &scope)].concat())
}

/// All that a request tells, but for how often it defines a name.
fn told(mapped: bool, bytes: &[u8]) -> (Vec<u64>, Vec<String>, BTreeSet<String>, Vec<Understood>) {
    let rule = |name: &str, key: &str| (name.to_owned(), vec![key.to_owned()]);
    let rules = [rule("arm", "resource.service.version"), rule("user", "span.tenant")];
    let mapping = BTreeMap::from_iter(rules.into_iter().filter(|_| mapped));
    let experiments = vec!["only".to_owned()];
    let normalizer = Normalizer::new(Config { mapping, experiments, ..Config::default() });
    let (mut batch, mut scribe) = (Batch::default(), Scribe::default());
    let report = normalizer.traces(bytes, Times::any(), &mut batch, &mut scribe).expect("OTLP");
    let (defines, observations): (Vec<_>, Vec<_>) = all(&batch)
        .into_iter()
        .partition(|observation| matches!(observation, Observation::Define(_)));
    let counts = [
        report.received,
        report.calls,
        report.scores,
        report.assignments,
        report.facets,
        report.links,
        report.wrappers,
        report.ignored,
        report.bad_values,
        report.cut_attributes,
        report.cut_sets,
        report.flags_without_variant,
    ];
    let counts = counts.into_iter().chain(report.rejected).collect();
    let text = |observation: &Observation| format!("{observation:?}");
    let defines = defines.iter().map(text).collect();
    (counts, observations.iter().map(text).collect(), defines, scribe.0)
}

/// The bytes of a span, its attributes perhaps in two places.
fn encoded(mut span: Span, split: Option<Index>) -> Vec<u8> {
    let Some(at) = split else { return span.encode_to_vec() };
    let second = span.attributes.split_off(at.index(span.attributes.len() + 1));
    let second = Span { attributes: second, flags: 0x101, ..Span::default() };
    let first = Span { flags: 0x101, ..span };
    [first.encode_to_vec(), second.encode_to_vec()].concat()
}

fn check(
    base: usize,
    steps: &[Step],
    mapped: bool,
    split: Option<Index>,
) -> Result<(), TestCaseError> {
    let mut now = span(1, bases().swap_remove(base));
    now.name = "chat m".into();
    let mut groups: Vec<(usize, Vec<Vec<u8>>)> = vec![(0, Vec::new())];
    for (number, step) in steps.iter().enumerate() {
        now.span_id = vec![number as u8 + 1; 8];
        (now.status, now.events) = (None, Vec::new());
        step.edits.iter().for_each(|each| edit(&mut now, each));
        let mut bytes = encoded(now.clone(), split);
        match &step.damage {
            Damage::None => {}
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Byte(at, byte) => *at.get_mut(&mut bytes) = *byte,
        }
        if step.elsewhere {
            groups.push((groups.len(), Vec::new()));
        }
        groups.last_mut().expect("one").1.push(bytes);
    }
    let warm: Vec<u8> = groups.iter().flat_map(|(which, spans)| group(*which, spans)).collect();
    let warm = told(mapped, &warm);
    let (mut counts, mut observations) = (vec![0; warm.0.len()], Vec::new());
    let (mut defines, mut seen) = (BTreeSet::new(), Vec::new());
    for (which, spans) in &groups {
        for span in spans {
            let alone = told(mapped, &group(*which, std::slice::from_ref(span)));
            counts.iter_mut().zip(alone.0).for_each(|(sum, count)| *sum += count);
            observations.extend(alone.1);
            defines.extend(alone.2);
            seen.extend(alone.3);
        }
    }
    prop_assert_eq!(warm, (counts, observations, defines, seen));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn spans_together_give_what_each_gives_alone(
        base in 0..5usize,
        steps in steps(),
        mapped: bool,
        split in prop::option::weighted(0.2, any::<Index>()),
    ) {
        check(base, &steps, mapped, split)?;
    }
}
