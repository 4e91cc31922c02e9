//! What is packed comes back.

use super::*;
use crate::engine::join::trace::{Node, NodeKind, Trace};
use crate::model::observation::{Grader, Role, Source};
use crate::model::{
    Assignment, Call, Covariate, Facets, Finish, Link, Nanos, Operation, Place, SECOND, Score,
    SetId, SpanId, Sym, Target, Tokens, TraceId, UnitHash, Units,
};
use proptest::prelude::*;

/// A unit that is met again.
const USER: UnitHash = UnitHash(99);

fn hash() -> impl Strategy<Value = Option<UnitHash>> {
    prop::option::of(any::<u64>().prop_map(UnitHash))
}

fn units() -> impl Strategy<Value = Units> {
    let any =
        (hash(), hash(), hash(), hash()).prop_map(|(explicit, user, session, conversation)| {
            Units { explicit, user, session, conversation }
        });
    prop_oneof![any, Just(Units { user: Some(USER), ..Units::default() })]
}

fn place() -> impl Strategy<Value = Place> {
    let span = || prop_oneof![(1u64..8).prop_map(SpanId), any::<u64>().prop_map(SpanId)];
    (span(), span(), prop_oneof![Just(50), any::<u64>()]).prop_map(|(span, parent, end)| Place {
        trace: TraceId(77),
        span,
        parent,
        end,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let options = prop::collection::vec(prop::option::of(any::<u64>()), 8);
    let rest = (any::<u32>(), any::<u64>(), any::<bool>(), 0u8..128);
    (place(), units(), hash(), options, any::<u128>(), rest).prop_map(
        |(place, units, response, n, set, (ppm, word, flag, finish))| Call {
            place,
            duration: word,
            set: SetId(if flag { 3 } else { set }),
            operation: if flag { Operation::Embeddings } else { Operation::Chat },
            error: Sym(if flag { 0 } else { word ^ 5 }),
            finish: Finish(finish),
            streaming: !flag,
            tokens: Tokens {
                input: n[0],
                output: n[1],
                cached: n[2],
                cache_written: n[3],
                reasoning: n[4],
                estimated: flag,
            },
            cost_nano: n[5],
            first_token_us: n[6],
            seed: n[7].map(|seed| seed as i64),
            units,
            response,
            sampled_ppm: flag.then_some(ppm),
            input: Sym(if flag { 0 } else { word }),
        },
    )
}

fn facets() -> impl Strategy<Value = Facets> {
    (place(), units(), hash(), any::<u128>(), 0u8..5, any::<i64>()).prop_map(
        |(place, units, response, set, role, seed)| Facets {
            place,
            role: Role::from_u8(role).expect("role"),
            set: SetId(set % 5),
            units,
            seed: (seed > 0).then_some(seed),
            finish: Finish(role),
            response,
        },
    )
}

fn score() -> impl Strategy<Value = Score> {
    (0u8..4, any::<[u64; 6]>(), any::<i64>(), any::<bool>()).prop_map(|(kind, n, value, failed)| {
        Score {
            target: match kind {
                0 => Target::Span(TraceId(77), SpanId(n[0] % 9)),
                1 => Target::Trace(TraceId(77)),
                2 => Target::Response(UnitHash(n[0])),
                _ => Target::Session(UnitHash(n[0])),
            },
            name: Sym(n[1] % 3),
            value_micro: (!failed).then_some(value),
            label: Sym(n[2] % 2),
            failed,
            grader: Grader { name: Sym(n[3] % 4), version: Sym(n[3]), model: Sym(0) },
            annotator: Sym(n[4] % 2),
            id: n[4],
            time: n[5],
            picked_ppm: failed.then_some(n[1] as u32),
        }
    })
}

fn assignment() -> impl Strategy<Value = Assignment> {
    let unit = prop_oneof![hash(), Just(Some(USER))];
    let time = prop_oneof![Just(50), any::<u64>()];
    let ppm = prop_oneof![Just(None), any::<u32>().prop_map(Some)];
    let source = prop_oneof![0u8..3, 0u8..8];
    let service = prop_oneof![0u64..2, any::<u64>()];
    (source, any::<[u64; 3]>(), unit, ppm, time, service).prop_map(
        |(source, n, unit, assigned_ppm, time, service)| Assignment {
            trace: Some(TraceId(77)),
            span: SpanId(n[0] % 9),
            experiment: Sym(n[1] % 3),
            arm: Sym(n[2] % 3),
            unit,
            source: Source::from_u8(source).expect("source"),
            time,
            assigned_ppm,
            service: Sym(service),
        },
    )
}

fn trace() -> impl Strategy<Value = Trace> {
    use prop::collection::vec;
    (
        vec(call(), 0..4),
        vec(facets(), 0..4),
        vec(place(), 0..4),
        vec(score(), 0..4),
        vec(assignment(), 0..6),
        (any::<Nanos>(), any::<bool>(), any::<Option<u32>>()),
    )
        .prop_map(|(calls, facets, links, scores, told, (now, has, counted))| {
            let mut trace = Trace { resolved_at: now, ..Trace::default() };
            calls.iter().for_each(|call| _ = trace.add_call(call, now));
            calls.iter().take(1).for_each(|call| _ = trace.add_call(call, now));
            facets.iter().for_each(|facets| _ = trace.add_facets(facets));
            links.iter().for_each(|place| _ = trace.add_link(&Link { place: *place }));
            scores.iter().for_each(|score| _ = trace.add_score(score, 0));
            told.iter().for_each(|told| _ = trace.add_assignment(told, 0));
            if let (true, Some(place)) = (has, links.first()) {
                trace.add_covariate(&Covariate { place: *place, value_micro: -7 });
            }
            for (at, candidate) in trace.calls.iter_mut().enumerate() {
                candidate.counted_at = counted.map(|number| number / 2 + (at as u32 & 2));
                candidate.received = now.wrapping_sub((at as u64 & 2) >> 1);
            }
            trace
        })
}

/// All of a trace, its spans in order.
fn in_order(trace: &Trace) -> String {
    let node = |node: &Node| {
        let own = match node.kind {
            NodeKind::Call(at) => format!("{:?}", trace.calls[at as usize]),
            NodeKind::Facets(at) => format!("{:?}", trace.facets[at as usize]),
            NodeKind::Link => String::new(),
        };
        format!("{:?} {own}", (node.span, node.parent, node.end))
    };
    let nodes: Vec<String> = trace.spans.iter().map(node).collect();
    let Trace { contents, assignments, scores, covariate, resolved_at, newest, .. } = trace;
    format!("{nodes:?}{:?}", (contents, assignments, scores, covariate, resolved_at, newest))
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(trace in trace(), cut in any::<prop::sample::Index>()) {
        let (mut atoms, mut bytes) = (Atoms::default(), Vec::new());
        pack(&trace, &mut atoms, &mut bytes);
        let mut back = Trace::default();
        unpack(TraceId(77), &bytes, &atoms, &mut back).expect("readable");
        prop_assert_eq!(in_order(&back), in_order(&trace));
        let own = trace.spans.iter().filter_map(|node| trace.call_of(node)?.call.response);
        prop_assert!(responses(&bytes).eq(own));
        let cut = cut.index(bytes.len());
        let mut half = Trace::default();
        prop_assert!(unpack(TraceId(77), &bytes[..cut], &atoms, &mut half).is_err());
    }
}

#[test]
fn a_plain_call_takes_about_a_hundred_bytes() {
    let (mut atoms, mut bytes) = (Atoms::default(), Vec::new());
    for number in 0..100u64 {
        let end = 1_795_000_000 * SECOND + number;
        let place = Place { trace: TraceId(77), span: SpanId(9), parent: SpanId(4), end };
        let units = Units { user: Some(UnitHash(number)), ..Units::default() };
        let mut trace = Trace::default();
        let tokens = Tokens { input: Some(900), output: Some(200), ..Tokens::default() };
        let call =
            Call { place, duration: 1_200_000_000, set: SetId(5), tokens, ..Call::default() };
        let response = Some(UnitHash(!number));
        trace.add_call(&Call { units, response, ..call }, end + 3 * SECOND);
        let root = Place { span: SpanId(4), parent: SpanId::NONE, end: end + SECOND, ..place };
        trace.add_link(&Link { place: root });
        let told = Assignment {
            trace: Some(TraceId(77)),
            span: SpanId(4),
            experiment: Sym::of("e"),
            arm: Sym::of("a"),
            unit: units.user,
            source: Source::FlagSpanEvent,
            time: end,
            assigned_ppm: None,
            service: Sym::of("s"),
        };
        trace.add_assignment(&told, 0);
        trace.resolved_at = end + 3 * SECOND;
        pack(&trace, &mut atoms, &mut bytes);
    }
    // Key, part, lengths and filter come on top: about 22.
    let each = bytes.len() / 100;
    assert!(each <= 94, "{each} bytes");
}

#[test]
fn what_calls_have_in_common_is_packed_once() {
    let size = |calls: u64| {
        let (mut atoms, mut bytes, mut trace) = (Atoms::default(), Vec::new(), Trace::default());
        for number in 1..=calls {
            let end = 1_795_000_000 * SECOND + number;
            let place = Place { trace: TraceId(77), span: SpanId(number), parent: SpanId(4), end };
            let units = Units { user: Some(USER), conversation: Some(USER), ..Units::default() };
            let tokens = Tokens { input: Some(900), output: Some(200), ..Tokens::default() };
            let response = Some(UnitHash(number));
            let set = SetId(5);
            trace.add_call(&Call { place, set, units, tokens, response, ..Call::default() }, end);
            let told = Assignment {
                trace: Some(TraceId(77)),
                span: place.span,
                experiment: Sym::of("e"),
                arm: Sym::of("a"),
                unit: units.user,
                source: Source::FlagAttributes,
                time: end,
                assigned_ppm: None,
                service: Sym::of("s"),
            };
            trace.add_assignment(&told, 0);
        }
        pack(&trace, &mut atoms, &mut bytes);
        bytes.len() as u64
    };
    let each = (size(31) - size(1)) / 30;
    assert!(each <= 34, "{each} bytes a call and its assignment");
}
