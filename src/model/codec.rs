//! Observations as bytes: a tag, fixed-width ids in little endian, varints for the rest.
//! Encoding appends to a buffer and never allocates; decoding borrows nothing and allocates
//! only for a `Define`. The format is that of `log_format` 1; a change needs a new tag.

use super::facet::FacetSet;
use super::id::{SetId, SpanId, Sym, TraceId, UnitHash};
use super::observation::*;

/// Bytes that are no observation: damaged, or written by a newer version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("observation at byte {at} of its batch cannot be read: {what}")]
pub struct Unreadable {
    /// Offset in the batch.
    pub at: usize,
    /// What was wrong.
    pub what: &'static str,
}

const CALL: u8 = 1;
const FACETS: u8 = 2;
const LINK: u8 = 3;
const SCORE: u8 = 4;
const ASSIGNMENT: u8 = 5;
const ALIAS: u8 = 6;
const DEFINE_NAME: u8 = 7;
const DEFINE_SET: u8 = 8;

impl Observation {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Observation::Call(call) => call.encode(out),
            Observation::Facets(facets) => facets.encode(out),
            Observation::Link(link) => {
                out.push(LINK);
                put_place(out, &link.place);
            }
            Observation::Score(score) => score.encode(out),
            Observation::Assignment(assignment) => assignment.encode(out),
            Observation::Alias(alias) => {
                out.push(ALIAS);
                out.extend_from_slice(&alias.response.0.to_le_bytes());
                out.extend_from_slice(&alias.trace.0.to_le_bytes());
                out.extend_from_slice(&alias.span.0.to_le_bytes());
            }
            Observation::Define(define) => define.encode(out),
        }
    }
}

impl Call {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CALL);
        put_place(out, &self.place);
        put_varint(out, self.duration);
        out.extend_from_slice(&self.set.0.to_le_bytes());
        out.push(self.operation as u8 | u8::from(self.streaming) << 4);
        out.push(self.finish.0 | u8::from(self.tokens.estimated) << 7);
        let tokens = &self.tokens;
        put_options(
            out,
            [
                nonzero(self.error.0),
                tokens.input,
                tokens.output,
                tokens.cached,
                tokens.cache_written,
                tokens.reasoning,
                self.cost_nano,
                self.first_token_us,
                self.seed.map(zigzag),
                self.units.explicit.map(|unit| unit.0),
                self.units.user.map(|unit| unit.0),
                self.units.session.map(|unit| unit.0),
                self.units.conversation.map(|unit| unit.0),
                self.response.map(|unit| unit.0),
                self.sampled_ppm.map(u64::from),
                nonzero(self.input.0),
            ],
        );
    }
}

impl Facets {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FACETS);
        put_place(out, &self.place);
        out.push(self.role as u8);
        out.push(self.finish.0);
        let (high, low) = halves(self.set.0);
        put_options(
            out,
            [
                nonzero(high),
                nonzero(low),
                self.seed.map(zigzag),
                self.units.explicit.map(|unit| unit.0),
                self.units.user.map(|unit| unit.0),
                self.units.session.map(|unit| unit.0),
                self.units.conversation.map(|unit| unit.0),
                self.response.map(|unit| unit.0),
            ],
        );
    }
}

impl Score {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(SCORE);
        let (kind, first, second) = match self.target {
            Target::Span(trace, span) => (0, trace.0, span.0),
            Target::Trace(trace) => (1, trace.0, 0),
            Target::Response(response) => (2, u128::from(response.0), 0),
            Target::Session(session) => (3, u128::from(session.0), 0),
        };
        out.push(kind | u8::from(self.failed) << 4);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        out.extend_from_slice(&self.name.0.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_options(
            out,
            [
                self.value_micro.map(zigzag),
                nonzero(self.label.0),
                nonzero(self.grader.name.0),
                nonzero(self.grader.version.0),
                nonzero(self.grader.model.0),
                nonzero(self.annotator.0),
                self.picked_ppm.map(u64::from),
                None,
            ],
        );
    }
}

impl Assignment {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(ASSIGNMENT);
        out.push(self.source as u8);
        out.extend_from_slice(&self.trace.unwrap_or_default().0.to_le_bytes());
        out.extend_from_slice(&self.experiment.0.to_le_bytes());
        out.extend_from_slice(&self.arm.0.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_options(
            out,
            [
                nonzero(self.span.0),
                self.unit.map(|unit| unit.0),
                self.assigned_ppm.map(u64::from),
                nonzero(self.service.0),
                None,
                None,
                None,
                None,
            ],
        );
    }
}

impl Define {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Define::Name(sym, text) => {
                out.push(DEFINE_NAME);
                out.extend_from_slice(&sym.0.to_le_bytes());
                put_bytes(out, text.as_bytes());
            }
            Define::Set(id, set) => {
                out.push(DEFINE_SET);
                out.extend_from_slice(&id.0.to_le_bytes());
                put_bytes(out, &postcard::to_stdvec(set).unwrap_or_default());
            }
        }
    }
}

/// Reads the observations of a batch one after the other; stops at the first damaged one.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Over the bytes of a batch.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    fn one(&mut self) -> Result<Observation, &'static str> {
        Ok(match self.byte()? {
            CALL => Observation::Call(self.call()?),
            FACETS => Observation::Facets(self.facets()?),
            LINK => Observation::Link(Link { place: self.place()? }),
            SCORE => Observation::Score(self.score()?),
            ASSIGNMENT => Observation::Assignment(self.assignment()?),
            ALIAS => Observation::Alias(Alias {
                response: UnitHash(self.u64()?),
                trace: TraceId(self.u128()?),
                span: SpanId(self.u64()?),
            }),
            DEFINE_NAME => {
                let sym = Sym(self.u64()?);
                let text = std::str::from_utf8(self.prefixed()?).map_err(|_| "name not UTF-8")?;
                Observation::Define(Define::Name(sym, text.into()))
            }
            DEFINE_SET => {
                let id = SetId(self.u128()?);
                let set: FacetSet =
                    postcard::from_bytes(self.prefixed()?).map_err(|_| "facet set")?;
                Observation::Define(Define::Set(id, set))
            }
            _ => return Err("unknown tag"),
        })
    }

    fn call(&mut self) -> Result<Call, &'static str> {
        let place = self.place()?;
        let duration = self.varint()?;
        let set = SetId(self.u128()?);
        let kind = self.byte()?;
        let finish = self.byte()?;
        let options = self.options::<16>()?;
        let unit = |at: usize| options[at].map(UnitHash);
        Ok(Call {
            place,
            duration,
            set,
            operation: Operation::from_u8(kind & 15).ok_or("operation")?,
            streaming: kind & 16 != 0,
            finish: Finish(finish & 127),
            error: Sym(options[0].unwrap_or(0)),
            tokens: Tokens {
                input: options[1],
                output: options[2],
                cached: options[3],
                cache_written: options[4],
                reasoning: options[5],
                estimated: finish & 128 != 0,
            },
            cost_nano: options[6],
            first_token_us: options[7],
            seed: options[8].map(unzigzag),
            units: Units {
                explicit: unit(9),
                user: unit(10),
                session: unit(11),
                conversation: unit(12),
            },
            response: unit(13),
            sampled_ppm: options[14].map(millionths),
            input: Sym(options[15].unwrap_or(0)),
        })
    }

    fn facets(&mut self) -> Result<Facets, &'static str> {
        let place = self.place()?;
        let role = Role::from_u8(self.byte()?).ok_or("role")?;
        let finish = Finish(self.byte()?);
        let options = self.options::<8>()?;
        let unit = |at: usize| options[at].map(UnitHash);
        let set = u128::from(options[0].unwrap_or(0)) << 64 | u128::from(options[1].unwrap_or(0));
        Ok(Facets {
            place,
            role,
            set: SetId(set),
            units: Units {
                explicit: unit(3),
                user: unit(4),
                session: unit(5),
                conversation: unit(6),
            },
            seed: options[2].map(unzigzag),
            finish,
            response: unit(7),
        })
    }

    fn score(&mut self) -> Result<Score, &'static str> {
        let kind = self.byte()?;
        let (first, second) = (self.u128()?, self.u64()?);
        let short = UnitHash(first as u64);
        let target = match kind & 15 {
            0 => Target::Span(TraceId(first), SpanId(second)),
            1 => Target::Trace(TraceId(first)),
            2 => Target::Response(short),
            3 => Target::Session(short),
            _ => return Err("score target"),
        };
        let (name, id, time) = (Sym(self.u64()?), self.u64()?, self.u64()?);
        let options = self.options::<8>()?;
        let sym = |at: usize| Sym(options[at].unwrap_or(0));
        Ok(Score {
            target,
            name,
            value_micro: options[0].map(unzigzag),
            label: sym(1),
            failed: kind & 16 != 0,
            grader: Grader { name: sym(2), version: sym(3), model: sym(4) },
            annotator: sym(5),
            id,
            time,
            picked_ppm: options[6].map(millionths),
        })
    }

    fn assignment(&mut self) -> Result<Assignment, &'static str> {
        let source = Source::from_u8(self.byte()?).ok_or("source")?;
        let trace = TraceId(self.u128()?);
        let (experiment, arm) = (Sym(self.u64()?), Sym(self.u64()?));
        let time = self.u64()?;
        let options = self.options::<8>()?;
        Ok(Assignment {
            trace: (trace.0 != 0).then_some(trace),
            span: SpanId(options[0].unwrap_or(0)),
            experiment,
            arm,
            unit: options[1].map(UnitHash),
            source,
            time,
            assigned_ppm: options[2].map(millionths),
            service: Sym(options[3].unwrap_or(0)),
        })
    }

    fn place(&mut self) -> Result<Place, &'static str> {
        Ok(Place {
            trace: TraceId(self.u128()?),
            span: SpanId(self.u64()?),
            parent: SpanId(self.u64()?),
            end: self.u64()?,
        })
    }

    fn options<const N: usize>(&mut self) -> Result<[Option<u64>; N], &'static str> {
        let mask = self.varint()?;
        let mut values = [None; N];
        for (at, value) in values.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *value = Some(self.varint()?);
            }
        }
        Ok(values)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(count).ok_or("length")?;
        let part = self.bytes.get(self.at..end).ok_or("cut short")?;
        self.at = end;
        Ok(part)
    }

    fn prefixed(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| "length")?)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| "cut short")
    }

    fn u128(&mut self) -> Result<u128, &'static str> {
        self.take(16)?.try_into().map(u128::from_le_bytes).map_err(|_| "cut short")
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err("varint too long")
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Observation, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        let read = self.one().map_err(|what| Unreadable { at, what });
        if read.is_err() {
            self.at = self.bytes.len();
        }
        Some(read)
    }
}

fn put_place(out: &mut Vec<u8>, place: &Place) {
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&place.trace.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&place.span.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&place.parent.0.to_le_bytes());
    bytes[32..].copy_from_slice(&place.end.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// A mask of which are present, then those.
fn put_options<const N: usize>(out: &mut Vec<u8>, values: [Option<u64>; N]) {
    let mask = values.iter().enumerate().filter(|v| v.1.is_some()).fold(0, |m, v| m | 1 << v.0);
    put_varint(out, mask);
    values.into_iter().flatten().for_each(|value| put_varint(out, value));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn nonzero(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

fn halves(value: u128) -> (u64, u64) {
    ((value >> 64) as u64, value as u64)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn millionths(value: u64) -> u32 {
    value.min(1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::super::facet::{Field, Value};
    use super::*;
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
        let name = "[a-zé]{0,40}".prop_map(|text| {
            Observation::Define(Define::Name(Sym::of(&text), text.into_boxed_str()))
        });
        prop_oneof![score, facets, name, place().prop_map(|p| Observation::Link(Link { place: p }))]
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
}
