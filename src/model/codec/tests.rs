//! What is written is read; damage is an error.

use super::super::facet::FacetSet;
use super::super::id::*;
use super::*;
use crate::model::facet::{Field, Value};
use proptest::prelude::*;

fn place() -> impl Strategy<Value = Place> {
    (any::<u128>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(t, s, p, end)| Place {
        trace: TraceId(t),
        span: SpanId(s),
        parent: SpanId(p),
        end,
    })
}

fn units() -> impl Strategy<Value = Units> {
    any::<[Option<u64>; 4]>().prop_map(|u| Units {
        explicit: u[0].map(UnitHash),
        user: u[1].map(UnitHash),
        session: u[2].map(UnitHash),
        conversation: u[3].map(UnitHash),
    })
}

fn call() -> impl Strategy<Value = Observation> {
    let numbers = any::<([Option<u64>; 8], Option<i64>, u64, u128, bool, bool)>();
    (place(), units(), numbers, 0u8..32).prop_map(|(place, units, n, finish)| {
        let ([input, output, cached, cost, ttft, response, ppm, written], seed, error, ..) = n;
        Observation::Call(Call {
            place,
            duration: error >> 3,
            set: SetId(n.3),
            operation: Operation::Embeddings,
            error: Sym(error),
            finish: Finish(finish),
            streaming: n.4,
            tokens: Tokens {
                input,
                output,
                cached,
                cache_written: written,
                reasoning: output,
                estimated: n.5,
            },
            cost_nano: cost,
            first_token_us: ttft,
            seed,
            units,
            response: response.map(UnitHash),
            sampled_ppm: ppm.map(|p| (p % 1_000_001) as u32),
            input: Sym(error),
        })
    })
}

fn other() -> impl Strategy<Value = Observation> {
    let score = any::<(u128, [u64; 8], Option<i64>, bool, u8)>().prop_map(|(t, s, v, f, k)| {
        let target = match k % 4 {
            0 => Target::Span(TraceId(t), SpanId(s[0])),
            1 => Target::Trace(TraceId(t)),
            2 => Target::Response(UnitHash(s[0])),
            _ => Target::Session(UnitHash(s[0])),
        };
        Observation::Score(Score {
            target,
            name: Sym(s[1]),
            value_micro: v,
            label: Sym(s[2]),
            failed: f,
            grader: Grader { name: Sym(s[3]), version: Sym(s[4]), model: Sym(s[5]) },
            annotator: Sym(s[6]),
            id: s[7],
            time: s[0],
            picked_ppm: f.then_some(7),
        })
    });
    let facets = (place(), units(), any::<u128>(), 0u8..5, any::<Option<i64>>()).prop_map(
        |(place, units, set, role, seed)| {
            let role = Role::from_u8(role).expect("role");
            let set = SetId(set);
            Observation::Facets(Facets { place, role, set, units, seed, ..Facets::default() })
        },
    );
    let name = "[a-zé]{0,40}"
        .prop_map(|text| Observation::Define(Define::Name(Sym::of(&text), text.into_boxed_str())));
    let covariate = (place(), any::<i64>())
        .prop_map(|(place, value_micro)| Observation::Covariate(Covariate { place, value_micro }));
    let link = place().prop_map(|p| Observation::Link(Link { place: p }));
    prop_oneof![score, facets, name, covariate, link]
}

proptest! {
    #[test]
    fn what_is_written_is_read(list in prop::collection::vec(prop_oneof![call(), other()], 0..20)) {
        let mut bytes = Vec::new();
        list.iter().for_each(|one| one.encode(&mut bytes));
        let read: Result<Vec<_>, _> = Reader::new(&bytes).collect();
        prop_assert_eq!(read.expect("readable"), list);
    }

    #[test]
    fn damage_is_an_error_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let read: Vec<_> = Reader::new(&bytes).collect();
        prop_assert!(read.len() <= bytes.len());
    }
}

#[test]
fn sets_and_assignments_come_back() {
    let set: FacetSet = [
        (Field::ModelRequested, Value::text("m")),
        (Field::Temperature, Value::Number(0.2)),
        (Field::Stop, Value::List(vec![Value::text("\n")])),
    ]
    .into_iter()
    .collect();
    let list = vec![
        Observation::Define(Define::Set(SetId(9), set)),
        Observation::Assignment(Assignment {
            trace: Some(TraceId(4)),
            span: SpanId(3),
            experiment: Sym::of("e"),
            arm: Sym::of("a"),
            unit: Some(UnitHash(8)),
            source: Source::FlagLog,
            time: 77,
            assigned_ppm: Some(500_000),
            service: Sym::of("s"),
        }),
    ];
    let mut bytes = Vec::new();
    list.iter().for_each(|one| one.encode(&mut bytes));
    let read: Result<Vec<_>, _> = Reader::new(&bytes).collect();
    assert_eq!(read.expect("readable"), list);
}

#[test]
fn a_full_call_is_within_its_size() {
    let mut bytes = Vec::new();
    Call {
        duration: 400_000_000,
        tokens: Tokens { input: Some(1200), output: Some(300), ..Tokens::default() },
        units: Units { user: Some(UnitHash(u64::MAX)), ..Units::default() },
        response: Some(UnitHash(u64::MAX)),
        ..Call::default()
    }
    .encode(&mut bytes);
    assert!(bytes.len() <= 100, "{} bytes", bytes.len());
}
