//! Laws of the engine: any order, re-batching and duplication of the same data gives the same
//! tallies as a naive batch oracle, with 1 and with 16 partitions; the same log gives the same
//! bytes of state.
//!
//! The oracle below reads all observations at once and recomputes everything from scratch with
//! maps and recursion; it shares no code with `engine` but the model's types.

use armspan::app::fold::Fold;
use armspan::engine::changes::Changes;
use armspan::engine::context::Context;
use armspan::engine::dictionary::Dictionary;
use armspan::engine::fact::Fact;
use armspan::engine::join::Join;
use armspan::engine::tally::Tally;
use armspan::engine::tally::run::Run;
use armspan::model::canonical::{jcs, set_id};
use armspan::model::metric::Origin;
use armspan::model::observation::{Define, Grader, Role, Source};
use armspan::model::settings::Experiment;
use armspan::model::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const BASE: Nanos = 1_795_000_000 * SECOND;

/// Sums of one run: calls, errors, latency, tokens, units, scores by grader.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    calls: i64,
    repeats: i64,
    errors: i128,
    latency_us: i128,
    tokens_out: i128,
    units: i64,
    scores: BTreeMap<(Sym, Sym), (i64, i128)>,
    minutes: BTreeMap<u32, i64>,
}

/// By experiment, arm, site and identifying facets.
type Table = BTreeMap<(String, String, String, String), Line>;

// ---- generated worlds ----

#[derive(Clone, Debug)]
struct World {
    observations: Vec<Observation>,
}

/// A span of a generated trace.
#[derive(Clone, Debug)]
struct Piece {
    parent: usize,
    kind: u8,
    model: u8,
    prompt: Option<u8>,
    user: Option<u8>,
    error: bool,
    response: Option<u8>,
    millis: u16,
}

fn piece() -> impl Strategy<Value = Piece> {
    let options = (
        prop::option::weighted(0.5, 0u8..2),
        prop::option::weighted(0.4, 0u8..6),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.3, 0u8..3),
    );
    (0usize..6, 0u8..8, 0u8..2, options, 1u16..5_000).prop_map(
        |(parent, kind, model, (prompt, user, error, response), millis)| Piece {
            parent,
            kind,
            model,
            prompt,
            user,
            error,
            response,
            millis,
        },
    )
}

type TraceParts = (Vec<Piece>, Vec<(u8, u8, u8)>, Vec<(u8, u8, u8, u8)>);

fn trace_parts() -> impl Strategy<Value = TraceParts> {
    (
        prop::collection::vec(piece(), 1..6),
        prop::collection::vec((0u8..2, 0u8..12, 0u8..4), 0..3),
        prop::collection::vec((0u8..8, 0u8..2, 0u8..5, 0u8..3), 0..4),
    )
}

fn world() -> impl Strategy<Value = World> {
    prop::collection::vec(trace_parts(), 1..8).prop_map(|traces| {
        let mut out = Vec::new();
        for (number, parts) in traces.into_iter().enumerate() {
            build(number as u128 + 1, BASE, &parts, &mut out);
        }
        World { observations: out }
    })
}

/// A world of another time whose traces have other ids.
fn world_later(first: u128, base: Nanos) -> impl Strategy<Value = World> {
    prop::collection::vec(trace_parts(), 1..6).prop_map(move |traces| {
        let mut out = Vec::new();
        for (number, parts) in traces.into_iter().enumerate() {
            build(number as u128 + first, base, &parts, &mut out);
        }
        World { observations: out }
    })
}

fn build(
    number: u128,
    base: Nanos,
    (pieces, assignments, scores): &TraceParts,
    out: &mut Vec<Observation>,
) {
    let trace = TraceId(number << 64 | 0xabc);
    let span = |at: usize| SpanId(at as u64 + 1);
    for (at, piece) in pieces.iter().enumerate() {
        // Parents come before their children, as in a real tree; some are roots, some dangle.
        let parent = match piece.parent {
            p if p < at => span(p),
            5 => SpanId(999),
            _ => SpanId::NONE,
        };
        let end = base + number as u64 % 100 * 40 * SECOND + u64::from(piece.millis) * 1_000_000;
        let place = Place { trace, span: span(at), parent, end };
        out.push(observe(piece, place));
    }
    for (experiment, arm, at) in assignments {
        // Arms 0–9 are A, the rest B: traces with two arms are rare but there.
        let arm = if *arm < 10 { "A" } else { "B" };
        out.push(Observation::Assignment(Assignment {
            trace: Some(trace),
            span: span(usize::from(*at)),
            experiment: Sym::of(["e0", "e1"][usize::from(*experiment)]),
            arm: Sym::of(arm),
            unit: None,
            source: Source::FlagSpanEvent,
            time: base + number as u64 % 100 * 40 * SECOND,
            assigned_ppm: None,
            service: Sym::of("svc"),
        }));
    }
    for (target, grader, value, version) in scores {
        let target = match target {
            0..=4 => Target::Span(trace, span(usize::from(*target))),
            5 => Target::Trace(trace),
            _ => Target::Response(response(number, *value % 3)),
        };
        out.push(Observation::Score(Score {
            target,
            name: Sym::of("quality"),
            value_micro: Some(i64::from(*value) * 250_000),
            label: Sym::NONE,
            failed: *value == 4,
            grader: Grader {
                name: Sym::of(["g0", "g1"][usize::from(*grader)]),
                ..Grader::default()
            },
            annotator: Sym::NONE,
            id: u64::from(*version) * 8 + u64::from(*value),
            time: base + u64::from(*version),
            picked_ppm: None,
        }));
    }
}

fn response(number: u128, which: u8) -> UnitHash {
    UnitHash(number as u64 * 16 + u64::from(which) + 1)
}

fn observe(piece: &Piece, place: Place) -> Observation {
    let units =
        Units { user: piece.user.map(|u| UnitHash(u64::from(u) << 56 | 77)), ..Units::default() };
    let number = place.trace.0 >> 64;
    match piece.kind {
        0..=3 => Observation::Call(Call {
            place,
            duration: u64::from(piece.millis) * 1_000_000,
            set: set_id(&facets(piece)),
            operation: if piece.kind == 3 { Operation::Embeddings } else { Operation::Chat },
            error: if piece.error { Sym::of("429") } else { Sym::NONE },
            finish: Finish::STOP,
            tokens: Tokens { output: Some(u64::from(piece.millis)), ..Tokens::default() },
            units,
            response: piece.response.map(|r| response(number, r)),
            ..Call::default()
        }),
        4 => Observation::Link(Link { place }),
        5 => facets_of(piece, place, units, Role::Evaluator),
        6 => facets_of(piece, place, units, Role::Wrapper),
        _ => facets_of(piece, place, units, Role::Other),
    }
}

fn facets_of(piece: &Piece, place: Place, units: Units, role: Role) -> Observation {
    let set = set_id(&facets(piece));
    Observation::Facets(Facets { place, role, set, units, ..Facets::default() })
}

fn facets(piece: &Piece) -> FacetSet {
    let mut set = FacetSet::default();
    set.set(Field::CodeService, Value::text("svc"));
    if piece.kind <= 3 {
        set.set(Field::ModelRequested, Value::text(["m0", "m1"][usize::from(piece.model)]));
    }
    if let Some(prompt) = piece.prompt {
        set.set(Field::PromptHash, Value::text(["h0", "h1"][usize::from(prompt)]));
    }
    set
}

/// Names and sets that a world uses; real batches define them before their first use.
fn definitions(traces: &[Observation]) -> Vec<Observation> {
    let mut sets: BTreeMap<SetId, FacetSet> = BTreeMap::new();
    for kind in [0u8, 7] {
        for model in 0..2 {
            for prompt in [None, Some(0), Some(1)] {
                let piece = Piece {
                    parent: 0,
                    kind,
                    model,
                    prompt,
                    user: None,
                    error: false,
                    response: None,
                    millis: 0,
                };
                let set = facets(&piece);
                sets.insert(set_id(&set), set);
            }
        }
    }
    let names = ["e0", "e1", "A", "B", "quality", "g0", "g1", "svc", "429"];
    let mut out: Vec<Observation> =
        names.iter().map(|n| Observation::Define(Define::Name(Sym::of(n), (*n).into()))).collect();
    out.extend(sets.into_iter().map(|(id, set)| Observation::Define(Define::Set(id, set))));
    assert!(!traces.is_empty());
    out
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    for name in ["e0", "e1"] {
        let experiment = Experiment {
            control: Some("A".into()),
            unit: Some("user.id".into()),
            ..Experiment::default()
        };
        settings.experiments.insert(name.into(), experiment);
    }
    settings.horizon = Settings::NO_HORIZON;
    settings
}

// ---- the oracle ----

struct Oracle<'a> {
    spans: BTreeMap<SpanId, &'a Observation>,
    parents: BTreeMap<SpanId, SpanId>,
}

impl Oracle<'_> {
    fn call(&self, id: SpanId) -> Option<&Call> {
        match self.spans.get(&id) {
            Some(Observation::Call(call)) => Some(call),
            _ => None,
        }
    }

    fn above(&self, id: SpanId) -> Vec<SpanId> {
        let mut path = Vec::new();
        let mut here = id;
        while let Some(parent) = self.parents.get(&here) {
            if *parent == id || path.contains(parent) || !self.spans.contains_key(parent) {
                break;
            }
            path.push(*parent);
            here = *parent;
        }
        path
    }

    fn is_evaluator(&self, id: SpanId) -> bool {
        matches!(self.spans.get(&id), Some(Observation::Facets(f)) if f.role == Role::Evaluator)
    }

    /// Calls that count: the deepest of each chain and of each response id, under no evaluator.
    fn calls(&self) -> Vec<SpanId> {
        let all: Vec<SpanId> =
            self.spans.keys().copied().filter(|id| self.call(*id).is_some()).collect();
        let leaf = |id: &SpanId| !all.iter().any(|other| self.above(*other).contains(id));
        let leaves: Vec<SpanId> = all.iter().copied().filter(leaf).collect();
        let same = |a: SpanId, b: SpanId| {
            let response = |id| self.call(id).and_then(|call| call.response);
            response(a).is_some() && response(a) == response(b)
        };
        let rank = |id: SpanId| (std::cmp::Reverse(self.above(id).len()), id);
        let best = |id: &SpanId| !leaves.iter().any(|o| same(*o, *id) && rank(*o) < rank(*id));
        let judged = |id: &SpanId| self.above(*id).iter().any(|up| self.is_evaluator(*up));
        leaves.iter().copied().filter(best).filter(|id| !judged(id)).collect()
    }

    fn own<T>(&self, id: SpanId, read: impl Fn(SetId, Units) -> Option<T>) -> Option<T> {
        match self.spans.get(&id)? {
            Observation::Call(call) => read(call.set, call.units),
            Observation::Facets(facets) => read(facets.set, facets.units),
            _ => None,
        }
    }

    fn nearest<T>(&self, id: SpanId, read: impl Fn(SetId, Units) -> Option<T>) -> Option<T> {
        let path = std::iter::once(id).chain(self.above(id));
        path.into_iter().find_map(|at| self.own(at, &read))
    }

    fn last_below(&self, calls: &[SpanId], top: SpanId) -> Option<SpanId> {
        let below = calls.iter().copied().filter(|id| self.above(*id).contains(&top));
        below.max_by_key(|id| (self.call(*id).map(|c| c.place.end), *id))
    }

    fn home(&self, calls: &[SpanId], span: SpanId) -> Option<SpanId> {
        if calls.contains(&span) {
            return Some(span);
        }
        self.spans.get(&span)?;
        let judge = self.is_evaluator(span)
            || (self.call(span).is_some()
                && self.above(span).iter().any(|up| self.is_evaluator(*up))
                && self.last_below_any(span).is_none()
                && self.is_best(span));
        self.last_below(calls, span).or_else(|| {
            let up = self.above(span);
            judge.then(|| up.iter().find_map(|top| self.last_below(calls, *top))).flatten()
        })
    }

    fn last_below_any(&self, span: SpanId) -> Option<SpanId> {
        let all = self.spans.keys().copied().filter(|id| self.call(*id).is_some());
        all.filter(|id| self.above(*id).contains(&span)).max()
    }

    fn is_best(&self, span: SpanId) -> bool {
        let Some(response) = self.call(span).and_then(|call| call.response) else { return true };
        let rank = |id: SpanId| (std::cmp::Reverse(self.above(id).len()), id);
        let leaf = |id: &SpanId| self.last_below_any(*id).is_none();
        let rivals = self.spans.keys().copied().filter(leaf);
        let same = |id: &SpanId| self.call(*id).and_then(|c| c.response) == Some(response);
        !rivals.filter(same).any(|id| rank(id) < rank(span))
    }
}

fn oracle(observations: &[Observation]) -> Table {
    let sets: BTreeMap<SetId, FacetSet> = definitions(observations)
        .into_iter()
        .filter_map(|o| match o {
            Observation::Define(Define::Set(id, set)) => Some((id, set)),
            _ => None,
        })
        .collect();
    let mut traces: BTreeMap<TraceId, Vec<&Observation>> = BTreeMap::new();
    let mut aliases: BTreeMap<UnitHash, (TraceId, SpanId)> = BTreeMap::new();
    for observation in observations {
        let id = match observation {
            Observation::Call(call) => {
                if let Some(response) = call.response {
                    let at = (call.place.trace, call.place.span);
                    let known = aliases.entry(response).or_insert(at);
                    *known = at.min(*known);
                }
                call.place.trace
            }
            Observation::Facets(facets) => facets.place.trace,
            Observation::Link(link) => link.place.trace,
            Observation::Assignment(told) => told.trace.expect("trace"),
            Observation::Score(score) => match score.target {
                Target::Span(id, _) | Target::Trace(id) => id,
                _ => continue,
            },
            _ => continue,
        };
        traces.entry(id).or_default().push(observation);
    }
    let mut scores: BTreeMap<TraceId, Vec<Score>> = BTreeMap::new();
    for observation in observations {
        let Observation::Score(score) = observation else { continue };
        let (id, target) = match score.target {
            Target::Span(id, _) | Target::Trace(id) => (id, score.target),
            Target::Response(response) => match aliases.get(&response) {
                Some((id, _)) => (*id, score.target),
                None => continue,
            },
            Target::Session(_) => continue,
        };
        scores.entry(id).or_default().push(Score { target, ..*score });
    }
    let mut table = Table::new();
    let mut units: BTreeMap<(String, String, String, String), BTreeSet<UnitHash>> = BTreeMap::new();
    for (id, list) in traces {
        let scores = scores.remove(&id).unwrap_or_default();
        one_trace(&list, &scores, &sets, &mut table, &mut units);
    }
    for (key, set) in units {
        table.entry(key).or_default().units = set.len() as i64;
    }
    table
}

fn one_trace(
    list: &[&Observation],
    scores: &[Score],
    sets: &BTreeMap<SetId, FacetSet>,
    table: &mut Table,
    units: &mut BTreeMap<(String, String, String, String), BTreeSet<UnitHash>>,
) {
    let mut spans = BTreeMap::new();
    let mut parents = BTreeMap::new();
    let mut repeats: BTreeMap<SpanId, i64> = BTreeMap::new();
    let mut arms: BTreeMap<Sym, BTreeSet<Sym>> = BTreeMap::new();
    for observation in list {
        let place = match observation {
            Observation::Call(call) => call.place,
            Observation::Facets(facets) => facets.place,
            Observation::Link(link) => link.place,
            Observation::Assignment(told) => {
                arms.entry(told.experiment).or_default().insert(told.arm);
                continue;
            }
            _ => continue,
        };
        if spans.contains_key(&place.span) {
            *repeats.entry(place.span).or_default() += 1;
        }
        spans.insert(place.span, *observation);
        parents.insert(place.span, place.parent);
    }
    let oracle = Oracle { spans, parents };
    let calls = oracle.calls();
    for span in &calls {
        let call = oracle.call(*span).expect("call");
        let mut facets = sets[&call.set].clone();
        let prompt = oracle.nearest(*span, |set, _| {
            sets.get(&set).and_then(|set| set.get(Field::PromptHash).cloned())
        });
        // An embedding does not take over the prompt of the agent around it.
        if let (Some(prompt), true) = (prompt, call.operation.is_completion()) {
            facets.set(Field::PromptHash, prompt);
        }
        facets.remove(Field::CodeService);
        let unit = oracle.nearest(*span, |_, units| units.user);
        for (experiment, arms) in &arms {
            if arms.len() != 1 {
                continue;
            }
            let config = armspan::identify::config(&facets);
            let key = (
                name_of(*experiment),
                name_of(*arms.first().expect("arm")),
                call.operation.name().to_owned(),
                jcs(&serde_json::Value::Object(config)),
            );
            let line = table.entry(key.clone()).or_default();
            line.calls += 1;
            line.repeats += repeats.get(span).copied().unwrap_or(0);
            line.tokens_out += i128::from(call.tokens.output.unwrap_or(0));
            *line.minutes.entry(minute_of(call.place.end)).or_default() += 1;
            let failed = !call.error.is_none();
            if call.operation.is_completion() {
                line.errors += i128::from(failed);
            }
            if !failed {
                line.latency_us += i128::from(call.duration / 1_000);
            }
            add_scores(line, &oracle, &calls, *span, scores);
            if let Some(unit) = unit {
                units.entry(key).or_default().insert(unit);
            }
        }
    }
}

fn add_scores(
    line: &mut Line,
    oracle: &Oracle<'_>,
    calls: &[SpanId],
    span: SpanId,
    scores: &[Score],
) {
    let mut slots: BTreeMap<(Target, Sym), Score> = BTreeMap::new();
    for score in scores {
        let slot = slots.entry((score.target, score.grader.name)).or_insert(*score);
        if (score.time, score.id) > (slot.time, slot.id) {
            *slot = *score;
        }
    }
    let completions = calls
        .iter()
        .copied()
        .filter(|id| oracle.call(*id).is_some_and(|c| c.operation.is_completion()));
    let last = completions.max_by_key(|id| (oracle.call(*id).map(|c| c.place.end), *id));
    for score in slots.values().filter(|score| !score.failed) {
        let home = match score.target {
            Target::Span(_, at) => oracle.home(calls, at),
            Target::Response(response) => {
                let own = |id: &SpanId| oracle.call(*id).and_then(|c| c.response) == Some(response);
                let direct = calls.iter().copied().find(own);
                let indirect = || oracle.spans.keys().copied().filter(own);
                direct.or_else(|| indirect().find_map(|id| oracle.home(calls, id)))
            }
            _ => last,
        };
        if home == Some(span) {
            let sum = line.scores.entry((score.name, score.grader.name)).or_default();
            sum.0 += 1;
            sum.1 += i128::from(score.value_micro.unwrap_or(0));
        }
    }
}

fn name_of(sym: Sym) -> String {
    let names = ["e0", "e1", "A", "B"];
    names.iter().find(|n| Sym::of(n) == sym).expect("a name of the world").to_string()
}

// ---- what the engine has ----

fn table_of(tally: &Tally, dictionary: &Dictionary) -> Table {
    let mut table = Table::new();
    for (key, run) in tally.runs().filter(|pair| pair.1.calls > 0) {
        let config = armspan::identify::config(&dictionary.set(key.set));
        let name = (
            dictionary.text(key.experiment).to_owned(),
            dictionary.text(key.arm).to_owned(),
            dictionary.text(key.site).to_owned(),
            jcs(&serde_json::Value::Object(config)),
        );
        add_run(table.entry(name).or_default(), run);
    }
    table
}

fn add_run(line: &mut Line, run: &Run) {
    let sum = |origin| run.sums(Measure::Call(origin)).map_or(0, |sums| sums.y);
    line.calls += run.calls;
    line.repeats += run.repeats;
    line.units += run.units;
    line.errors += sum(Origin::Error);
    line.latency_us += sum(Origin::Latency);
    line.tokens_out += sum(Origin::TokensOut);
    for (measure, sums) in run.measures.iter() {
        if let Measure::Score(name, grader) = measure {
            let known = line.scores.entry((*name, grader.name)).or_default();
            *known = (known.0 + sums.n, known.1 + sums.y);
        }
        let buckets: i128 = sums.buckets.iter().map(|row| row.1).sum();
        assert_eq!(buckets, sums.y, "buckets hold what the total holds");
    }
    let calls = run.sums(Measure::Call(Origin::Calls));
    let minutes = calls.map(|s| s.windows.cells(armspan::engine::tally::windows::Step::Minute));
    for (minute, cell) in minutes.into_iter().flat_map(|cells| cells.iter()) {
        *line.minutes.entry(minute).or_default() += cell.n;
    }
}

fn encode(list: &[Observation]) -> Vec<u8> {
    let mut bytes = Vec::new();
    list.iter().for_each(|one| one.encode(&mut bytes));
    bytes
}

/// Hardly any memory: nearly everything is sealed at once and comes back when more of it comes.
fn cramped() -> Settings {
    let mut cramped = settings();
    cramped.limits.join_bytes_max = 1_500;
    cramped.limits.unit_cache_bytes = 300;
    cramped
}

/// Feeds batches one second apart and lets every wait expire.
fn fold(settings: Settings, definitions: &[Observation], batches: &[Vec<Observation>]) -> Fold {
    let mut fold = Fold::new(settings);
    fold.push(BASE, Body::Batch(encode(definitions)));
    for (at, batch) in batches.iter().enumerate() {
        fold.push(BASE + at as u64 * 7 * SECOND, Body::Batch(encode(batch)));
    }
    fold.finish();
    fold
}

/// The same through `parts` partitions of join and of tally.
fn partitioned(parts: usize, definitions: &[Observation], batches: &[Vec<Observation>]) -> Table {
    let context = Context::new(settings());
    let mut joins: Vec<(Join, Dictionary)> = vec![Default::default(); parts];
    let mut tallies: Vec<Tally> = vec![Tally::default(); parts];
    let place = |id: TraceId| (id.0 >> 64) as usize % parts;
    let mut feed = |to: usize, list: Vec<Observation>, now: Nanos| {
        let (join, dictionary) = &mut joins[to];
        let mut changes = Changes::default();
        join.take_all(&list, now, &context, dictionary, &mut changes);
        for (id, score) in std::mem::take(&mut changes.forwards) {
            let (join, dictionary) = &mut joins[place(id)];
            join.deliver(&[(id, score)], now, &context, dictionary, &mut changes);
        }
        for (fact, sign) in changes.facts() {
            let one = Changes::one(*fact, sign);
            tallies[bucket(fact) % parts].apply_all(&one, &context.settings.limits);
        }
    };
    for part in 0..parts {
        feed(part, definitions.to_vec(), BASE);
    }
    let mut now = BASE;
    for batch in batches {
        now += 7 * SECOND;
        for one in batch {
            let mut queue = vec![(home(one, parts), one.clone())];
            if let Observation::Call(call) = one
                && let Some(response) = call.response
            {
                let (trace, span) = (call.place.trace, call.place.span);
                let alias = Observation::Alias(Alias { response, trace, span });
                queue.push((response.0 as usize % parts, alias));
            }
            while let Some((to, one)) = queue.pop() {
                feed(to, vec![one.clone()], now);
            }
        }
    }
    for part in 0..parts {
        feed(part, Vec::new(), Nanos::MAX / 2);
    }
    let mut whole = Tally::default();
    let mut words = Dictionary::default();
    tallies.iter().for_each(|tally| whole.merge(tally));
    joins.iter().for_each(|pair| words.merge(&pair.1));
    table_of(&whole, &words)
}

fn bucket(fact: &Fact) -> usize {
    usize::from(armspan::engine::tally::buckets::bucket_of(fact.unit))
}

fn home(one: &Observation, parts: usize) -> usize {
    let place = |id: TraceId| (id.0 >> 64) as usize % parts;
    match one {
        Observation::Call(call) => place(call.place.trace),
        Observation::Facets(facets) => place(facets.place.trace),
        Observation::Link(link) => place(link.place.trace),
        Observation::Assignment(told) => place(told.trace.expect("trace")),
        Observation::Score(score) => match score.target {
            Target::Span(id, _) | Target::Trace(id) => place(id),
            Target::Response(response) => response.0 as usize % parts,
            Target::Session(_) => 0,
        },
        _ => 0,
    }
}

/// Shuffled, some twice, cut into batches.
fn delivery(world: &World, order: &[u32], cuts: &[usize]) -> Vec<Vec<Observation>> {
    let mut list: Vec<(u32, Observation)> = Vec::new();
    for (at, one) in world.observations.iter().enumerate() {
        let key = order[at % order.len()].wrapping_mul(at as u32 + 1);
        list.push((key, one.clone()));
        if key.is_multiple_of(3) {
            list.push((key.rotate_left(7), one.clone()));
        }
    }
    list.sort_by_key(|pair| pair.0);
    let mut batches: Vec<Vec<Observation>> = vec![Vec::new()];
    for (at, (_, one)) in list.into_iter().enumerate() {
        if cuts.contains(&(at % 17)) {
            batches.push(Vec::new());
        }
        batches.last_mut().expect("one").push(one);
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_delivery_gives_what_the_batch_oracle_gives(
        world in world(),
        order in prop::collection::vec(any::<u32>(), 1..40),
        cuts in prop::collection::vec(0usize..17, 0..9),
    ) {
        let batches = delivery(&world, &order, &cuts);
        let sent: Vec<Observation> = batches.concat();
        let expected = oracle(&sent);
        let words = definitions(&world.observations);
        for (settings, name) in [(settings(), "one partition"), (cramped(), "sealed")] {
            let fold = fold(settings, &words, &batches);
            let got = table_of(fold.engine.tally(), fold.engine.dictionary());
            prop_assert_eq!(&got, &expected, "{}", name);
        }
        prop_assert_eq!(&partitioned(1, &words, &batches), &expected, "harness, one partition");
        prop_assert_eq!(&partitioned(16, &words, &batches), &expected, "sixteen partitions");
    }

    #[test]
    fn the_same_log_gives_the_same_bytes(
        world in world(),
        order in prop::collection::vec(any::<u32>(), 1..40),
        cut in 0usize..6,
    ) {
        let batches = delivery(&world, &order, &[2, 5, 11]);
        let words = definitions(&world.observations);
        let straight = fold(cramped(), &words, &batches).engine.state().expect("state");
        // Once more, through a snapshot after some of the batches.
        let mut halted = Fold::new(cramped());
        halted.push(BASE, Body::Batch(encode(&words)));
        for (at, batch) in batches.iter().enumerate() {
            halted.push(BASE + at as u64 * 7 * SECOND, Body::Batch(encode(batch)));
            if at == cut {
                let bytes = halted.engine.state().expect("state");
                halted.engine = armspan::engine::Engine::restore(&bytes).expect("restored").0;
            }
        }
        halted.finish();
        prop_assert_eq!(straight, halted.engine.state().expect("state"));
    }
}

// ---- a real horizon, and clocks that jump ----

const DAY: Nanos = 86_400 * SECOND;
/// Shorter than a jump: what was before it is beyond the horizon after it.
const HORIZON: Nanos = DAY / 2;

/// `ARMSPAN_CASES` generated cases, or a few.
fn cases() -> u32 {
    std::env::var("ARMSPAN_CASES").map_or(300, |text| text.parse().expect("a number"))
}

fn ends(one: &Observation) -> Option<Nanos> {
    match one {
        Observation::Call(call) => Some(call.place.end),
        Observation::Facets(facets) => Some(facets.place.end),
        Observation::Link(link) => Some(link.place.end),
        _ => None,
    }
}

/// Batches of the earlier world; then the clock jumps a day ahead, and those that are too late
/// come between those of the later world. Every few batches the clock goes back a day.
fn jump(
    words: &[Observation],
    earlier: &[Vec<Observation>],
    too_late: &[Vec<Observation>],
    later: &[Vec<Observation>],
    back: usize,
) -> Fold {
    let mut settings = settings();
    let mut fold = Fold::new(settings.clone());
    settings.horizon.0 = HORIZON;
    let json = serde_json::to_string(&settings).expect("JSON");
    fold.push(BASE, Body::Config(json));
    fold.push(BASE, Body::Batch(encode(words)));
    let stamp = |base: Nanos, n: usize| {
        let stamp = base + n as u64 * 7 * SECOND;
        if n % 5 == back { stamp - DAY } else { stamp }
    };
    for (n, batch) in earlier.iter().enumerate() {
        fold.push(stamp(BASE, n), Body::Batch(encode(batch)));
    }
    fold.push(BASE + DAY, Body::Tick);
    for n in 0..too_late.len().max(later.len()) {
        for batch in [too_late.get(n), later.get(n)].into_iter().flatten() {
            fold.push(stamp(BASE + DAY, n), Body::Batch(encode(batch)));
        }
    }
    fold.finish();
    fold
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Beyond the horizon comes what was counted already, a part of it or all, and what nobody has
    /// seen and is older still.
    #[test]
    fn beyond_the_horizon_all_is_late_and_the_rest_is_exact(
        world in world(),
        older in world_later(201, BASE - DAY),
        newer in world_later(101, BASE + DAY),
        order in prop::collection::vec(any::<u32>(), 1..40),
        cuts in prop::collection::vec(0usize..17, 1..9),
        again in 1u32..4,
        back in 0usize..8,
    ) {
        let (earlier, later) = (delivery(&world, &order, &cuts), delivery(&newer, &order, &cuts));
        let keep = |(at, _): &(usize, &Observation)| order[at % order.len()] % 3 < again;
        let repeated = world.observations.iter().enumerate().filter(keep).map(|pair| pair.1);
        let observations: Vec<_> = repeated.chain(&older.observations).cloned().collect();
        let too_late = delivery(&World { observations }, &order, &cuts);
        let words = definitions(&world.observations);
        let fold = jump(&words, &earlier, &too_late, &later, back);
        let got = table_of(fold.engine.tally(), fold.engine.dictionary());
        let in_time = [earlier.concat(), later.concat()].concat();
        prop_assert_eq!(&got, &oracle(&in_time), "all that came in time, once");
        let late = too_late.iter().flatten().filter(|one| ends(one).is_some()).count() as u64;
        prop_assert_eq!(fold.engine.view().counts.late, late, "all the rest is late");
    }
}
