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
    Observation::Call(Call {
        duration: 400_000_000,
        tokens: Tokens { input: Some(1200), output: Some(300), ..Tokens::default() },
        units: Units { user: Some(UnitHash(u64::MAX)), ..Units::default() },
        response: Some(UnitHash(u64::MAX)),
        ..Call::default()
    })
    .encode(&mut bytes);
    assert!(bytes.len() <= 100, "{} bytes", bytes.len());
}

/// What version 0.1 wrote before there was a [`Writer`].
const OLD: [&str; 4] = [
    concat!(
        "01100f0e0d0c0b0a090807060504030201181716151413121128272625242322212d36ecea8b41ec188088deb",
        "e01070000000000000009000000000000000001874a05b009ac020db8eed8a9c3e68c9931ffffffffffffffff",
        "ff01",
    ),
    concat!(
        "02100f0e0d0c0b0a090807060504030201181716151413121128272625242322212d36ecea8b41ec180302170",
        "90706b8eed8a9c3e68c9931",
    ),
    "03100f0e0d0c0b0a090807060504030201181716151413121128272625242322212d36ecea8b41ec18",
    concat!(
        "0505100f0e0d0c0b0a0908070605040302010b000000000000000c000000000000002d36ecea8b41ec180f98a",
        "ed8a8c1e2848911b8eed8a9c3e68c9931a0c21e",
        "0d",
    ),
];

/// A call, another span, a link and an assignment, all of one place.
fn four() -> Vec<Observation> {
    let place = Place {
        trace: TraceId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        span: SpanId(0x1112_1314_1516_1718),
        parent: SpanId(0x2122_2324_2526_2728),
        end: 1_795_882_420_611_593_773,
    };
    let units = Units { user: Some(UnitHash(0x3132_3334_3536_3738)), ..Units::default() };
    let set = SetId(9 << 64 | 7);
    vec![
        Observation::Call(Call {
            place,
            duration: 400_000_000,
            set,
            error: Sym(5),
            finish: Finish::STOP,
            tokens: Tokens { input: Some(1200), output: Some(300), ..Tokens::default() },
            seed: Some(-7),
            units,
            response: Some(UnitHash(u64::MAX)),
            ..Call::default()
        }),
        Observation::Facets(Facets {
            place,
            role: Role::Retrieval,
            set,
            units,
            seed: Some(3),
            finish: Finish::LENGTH,
            response: None,
        }),
        Observation::Link(Link { place }),
        Observation::Assignment(Assignment {
            trace: Some(place.trace),
            span: place.span,
            experiment: Sym(11),
            arm: Sym(12),
            unit: units.user,
            source: Source::FlagLog,
            time: place.end,
            assigned_ppm: Some(500_000),
            service: Sym(13),
        }),
    ]
}

#[test]
fn what_was_written_before_is_read() {
    let byte = |at: usize, text: &str| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    let bytes: Vec<u8> = OLD
        .iter()
        .flat_map(|text| (0..text.len()).step_by(2).map(move |at| byte(at, text)))
        .collect();
    let read: Result<Vec<_>, _> = Reader::new(&bytes).collect();
    assert_eq!(read.expect("readable"), four());
}

#[test]
fn what_came_before_is_not_written_again() {
    let (mut writer, mut bytes) = (Writer::default(), Vec::new());
    let [call, .., told] = &four()[..] else { unreachable!("four") };
    let mut sizes = Vec::new();
    for one in [call, told, call, told] {
        let before = bytes.len();
        writer.put(one, &mut bytes);
        sizes.push(bytes.len() - before);
    }
    assert_eq!(sizes, [96, 30, 49, 6]);
}

proptest! {
    #[test]
    fn what_a_writer_wrote_is_read(
        few in prop::collection::vec(prop_oneof![call(), other(), Just(four()[3].clone())], 1..6),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..7, 0i64..4), 0..40),
    ) {
        let (mut writer, mut bytes, mut list) = (Writer::default(), Vec::new(), Vec::new());
        let mut last = Place::default();
        for (pick, kind, more) in picks {
            let mut one = pick.get(&few).clone();
            if let Observation::Call(Call { place, .. }) | Observation::Facets(Facets { place, .. })
                | Observation::Link(Link { place }) = &mut one
            {
                match kind {
                    0 => place.parent = last.parent,
                    1 => place.parent = last.span,
                    2 => place.parent = SpanId::NONE,
                    3 => place.end = last.end.wrapping_add_signed(more - 2),
                    4 => place.trace = last.trace,
                    _ => {}
                }
                last = *place;
            }
            if let Observation::Assignment(told) = &mut one {
                (told.trace, told.span, told.time) = (Some(last.trace), last.span, last.end);
                told.arm = Sym(more as u64 * u64::from(kind));
                told.trace = told.trace.filter(|trace| trace.0 != 0);
            }
            if kind == 6 {
                writer = Writer::default();
            }
            writer.put(&one, &mut bytes);
            list.push(one);
        }
        let read: Result<Vec<_>, _> = Reader::new(&bytes).collect();
        prop_assert_eq!(read.expect("readable"), list.clone());
        let mut all = Vec::new();
        prop_assert!(Reader::new(&bytes).read_all(&mut all).is_ok());
        prop_assert_eq!(all, list);
    }
}
