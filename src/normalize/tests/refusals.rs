//! What is refused, cut or counted, and that the rest of the request does not suffer.

use super::*;

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
    let at = body
        .windows(10)
        .rposition(|ten| ten == [&[0x0a, 16][..], &[1; 8]].concat())
        .expect("a span");
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
    let malformed =
        normalizer.traces(&body, Times::any(), &mut batch, &mut Blind).expect_err("cut");
    assert!(malformed.to_string().contains("the request cannot be read"));
    assert_eq!(
        before,
        (batch.payload(), batch.count, batch.new_names.clone(), batch.new_sets.clone())
    );
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
    let mut attributes: Vec<KeyValue> =
        (0..ATTRIBUTES_MAX - 2).map(|at| text(&format!("a{at}"), "x")).collect();
    attributes.push(text("user.id", "u"));
    let (report, observations) = traces(&plain(), &request(vec![], vec![chat(1, attributes)]));
    assert_eq!((report.cut_attributes, calls(&observations)[0].units.user), (1, None));
}

#[test]
fn a_large_set_stays_within_its_limit() {
    let keys = [
        "gen_ai.prompt.name",
        "gen_ai.prompt.version",
        "gen_ai.agent.name",
        "service.name",
        "service.version",
        "gen_ai.response.model",
        "gen_ai.provider.name",
        "vcs.ref.head.revision",
        "deployment.environment.name",
        "armspan.tools.version",
        "armspan.tools.hash",
        "armspan.prompt.hash",
        "armspan.safety.policy",
        "armspan.dataset.name",
        "armspan.dataset.version",
        "armspan.retrieval.snapshot",
        "armspan.retrieval.source",
    ];
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
fn values_of_the_wrong_type_are_counted_by_field() {
    let odd = chat(
        1,
        vec![
            text("gen_ai.request.temperature", "warm"),
            pair("gen_ai.usage.input_tokens", Any::BoolValue(true)),
        ],
    );
    let (report, observations) = traces(&plain(), &request(vec![], vec![odd]));
    assert_eq!(
        (report.bad_values, report.bad_fields()),
        (2, vec!["Temperature".to_owned(), "TokensInput".to_owned()])
    );
    assert_eq!(calls(&observations)[0].tokens.input, None);
}

#[test]
fn the_api_checks_before_it_defines() {
    let (normalizer, mut batch) = (plain(), Batch::default());
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let score =
        ScoreInput { name: "n", value: Some(1.0), trace_id: Some(trace), ..ScoreInput::default() };
    let refused = |input: ScoreInput<'_>, batch: &mut Batch| {
        normalizer.score(&input, batch).expect_err("refused")
    };
    assert_eq!(refused(ScoreInput { trace_id: None, ..score }, &mut batch), Reject::UnknownTarget);
    assert_eq!(
        refused(ScoreInput { trace_id: Some("xyz"), ..score }, &mut batch),
        Reject::UnknownTarget
    );
    assert_eq!(refused(ScoreInput { value: None, ..score }, &mut batch), Reject::MalformedScore);
    let arm = AssignmentInput { experiment: "e", arm: "a", ..AssignmentInput::default() };
    assert_eq!(normalizer.assignment(&arm, &mut batch), Err(Reject::UnknownTarget));
    assert!(batch.is_empty());
    normalizer.score(&score, &mut batch).expect("a score");
    normalizer
        .assignment(&AssignmentInput { unit: Some("u"), ..arm }, &mut batch)
        .expect("an exposure");
    assert_eq!((batch.count, all(&batch).len()), (2, 5));
}
