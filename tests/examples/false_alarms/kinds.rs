//! All kinds of streams.

use super::streams::{Claim, Delay, Kind, Plan, Shape, Visits, What};

const UNIT: Option<[f64; 2]> = Some([0.0, 1.0]);
const GRADES: Option<[f64; 2]> = Some([1.0, 5.0]);
/// The deciding α of the only metric in the first epoch is 0.8 of this: 0.05.
const FIRST: f64 = 0.0625;

/// Two arms alike, every call of a new user, one epoch.
const ALIKE: Kind = Kind {
    name: "",
    what: What::Score(UNIT),
    shape: Shape::Cut,
    effect: 0.0,
    share: 0.5,
    visits: Visits::Once,
    delay: Delay::None,
    picked: false,
    plan: Plan::Fixed,
    claim: Claim::False,
    alpha: FIRST,
};

const RAMP: Plan = Plan::Ramp(&[(0.0, 0.1), (0.35, 0.25), (0.7, 0.5)]);
const MOVING: Plan = Plan::Moving(&[(0.0, 0.1), (0.35, 0.25), (0.7, 0.5)]);
const STEEP: Plan = Plan::Ramp(&[(0.0, 0.01), (0.2, 0.05), (0.4, 0.1), (0.6, 0.25), (0.8, 0.5)]);

/// All of them, in the order of the table.
pub fn all() -> Vec<Kind> {
    [alike(), clustered(), moving(), limits(), effects()].concat()
}

fn named(list: &[(&'static str, Kind)]) -> Vec<Kind> {
    list.iter().map(|(name, kind)| Kind { name, ..*kind }).collect()
}

fn scores(range: Option<[f64; 2]>, shape: Shape) -> Kind {
    Kind { what: What::Score(range), shape, ..ALIKE }
}

fn values(what: What, shape: Shape) -> Kind {
    Kind { what, shape, ..ALIKE }
}

fn errors(rate: f64) -> Kind {
    values(What::Errors, Shape::Coin(rate))
}

/// A tenth of the users in arm B.
fn tenth(kind: Kind) -> Kind {
    Kind { share: 0.1, ..kind }
}

fn in_sessions(icc: f64, kind: Kind) -> Kind {
    Kind { visits: Visits::Sessions(icc), ..kind }
}

fn of_few(icc: f64) -> Kind {
    Kind { visits: Visits::Pool(400, icc), ..ALIKE }
}

/// α is spent over all epochs.
fn whole(kind: Kind) -> Kind {
    Kind { alpha: 0.05, ..kind }
}

/// Two arms alike, every call of a new user.
fn alike() -> Vec<Kind> {
    let normal = scores(None, Shape::Normal);
    let coin = scores(UNIT, Shape::Coin(0.5));
    let judge = scores(GRADES, Shape::Judge);
    let beta = scores(UNIT, Shape::Beta);
    let latency = values(What::Latency, Shape::LogNormal);
    named(&[
        ("normal score, 50/50", normal),
        ("normal score, 90/10", tenth(normal)),
        ("pass/fail .5, 50/50", coin),
        ("pass/fail .5, 90/10", tenth(coin)),
        ("judge 1–5, 50/50", judge),
        ("judge 1–5, 90/10", tenth(judge)),
        ("beta(32,8) score, 50/50", beta),
        ("beta(32,8) score, 90/10", tenth(beta)),
        ("log-normal latency, 50/50", latency),
        ("log-normal latency, 90/10", tenth(latency)),
        ("log-normal cost, 90/10", tenth(values(What::Cost, Shape::LogNormal))),
        ("errors 1 %, 50/50", errors(0.01)),
        ("errors 1 %, 90/10", tenth(errors(0.01))),
        ("errors 0.2 %, 50/50", errors(0.002)),
        ("errors 0.2 %, 90/10", tenth(errors(0.002))),
    ])
}

/// Two arms alike, users who come again.
fn clustered() -> Vec<Kind> {
    let sessions = |icc| in_sessions(icc, ALIKE);
    let errors = in_sessions(0.3, errors(0.01));
    let latency = in_sessions(0.3, values(What::Latency, Shape::LogNormal));
    named(&[
        ("sessions, ICC 0", sessions(0.0)),
        ("sessions, ICC 0.2", sessions(0.2)),
        ("sessions, ICC 0.5", sessions(0.5)),
        ("sessions, ICC 0.5, 90/10", tenth(sessions(0.5))),
        ("400 users, ICC 0", of_few(0.0)),
        ("400 users, ICC 0.2", of_few(0.2)),
        ("400 users, ICC 0.5", of_few(0.5)),
        ("sessions, ICC 0.2, picked by outcome", Kind { picked: true, ..sessions(0.2) }),
        ("400 users, ICC 0.2, picked by outcome", Kind { picked: true, ..of_few(0.2) }),
        ("sessions, ICC 0.2, scores late", Kind { delay: Delay::Spread, ..sessions(0.2) }),
        ("errors 1 %, sessions", errors),
        ("errors 1 %, sessions, 90/10", tenth(errors)),
        ("latency, sessions, ICC 0.3, 90/10", tenth(latency)),
    ])
}

/// Two arms alike, with a plan that moves: false claims over all epochs together.
fn moving() -> Vec<Kind> {
    let sessions = whole(in_sessions(0.2, ALIKE));
    let ramped = |kind, plan| whole(Kind { share: 0.1, plan, ..kind });
    let lagging = |minutes| Kind {
        share: 0.01,
        plan: STEEP,
        delay: Delay::Minutes(minutes),
        claim: Claim::Invalid,
        ..sessions
    };
    named(&[
        ("ramp 10→50 %, sessions", ramped(sessions, RAMP)),
        ("ramp 10→50 %, errors 1 %", ramped(errors(0.01), RAMP)),
        ("ramp 10→50 %, 400 users moved", ramped(of_few(0.2), MOVING)),
        ("four epochs, sessions", Kind { plan: Plan::Changes(&[0.25, 0.5, 0.75]), ..sessions }),
        ("ramp 1→50 %, judge 5 min late: invalid", lagging(5)),
        ("ramp 1→50 %, judge 20 min late: invalid", lagging(20)),
    ])
}

/// Quantiles, and what is exactly at its margin or ceiling.
fn limits() -> Vec<Kind> {
    let limit = |kind: Kind| Kind { claim: Claim::FalseAtLimit, ..kind };
    let tail = values(What::Tail, Shape::LogNormal);
    let slow = Kind { effect: slower(0.1), ..values(What::TailMargin(0.1), Shape::LogNormal) };
    // e^1.645, the 95th percentile itself.
    let tail_ceiling = limit(values(What::TailCeiling(5.180_252), Shape::LogNormal));
    let mean = Kind { effect: slower(0.1), ..values(What::LatencyMargin(0.1), Shape::LogNormal) };
    let more = Kind { effect: 0.01, ..values(What::ErrorsMargin(0.01), Shape::Coin(0.01)) };
    let ceiling = limit(values(What::ErrorsCeiling(0.01), Shape::Coin(0.01)));
    named(&[
        ("p95 latency", tail),
        ("p95 latency, sessions, ICC 0.3", in_sessions(0.3, tail)),
        ("p95 at its margin of 10 %", limit(slow)),
        ("p95 at its margin, sessions, ICC 0.3", in_sessions(0.3, limit(slow))),
        ("p95 at a ceiling of its value", tail_ceiling),
        ("p95 at a ceiling, sessions, ICC 0.5", in_sessions(0.5, tail_ceiling)),
        ("mean latency at its margin of 10 %", limit(mean)),
        ("errors 1 % at a margin of 1 %", limit(more)),
        ("the same, sessions", in_sessions(0.3, limit(more))),
        ("errors 1 % at a ceiling of 1 %", ceiling),
        ("the same ceiling, sessions", in_sessions(0.3, ceiling)),
    ])
}

/// Two arms that differ.
fn effects() -> Vec<Kind> {
    let found = |effect, kind: Kind| Kind { effect, claim: Claim::True, ..kind };
    let sessions = found(-0.02, in_sessions(0.2, ALIKE));
    let errors = found(0.006, errors(0.01));
    let tail = values(What::Tail, Shape::LogNormal);
    named(&[
        ("normal +0.06", found(0.06, scores(None, Shape::Normal))),
        ("pass/fail .5 +0.03", found(0.03, scores(UNIT, Shape::Coin(0.5)))),
        ("errors 1 → 1.6 %, 50/50", errors),
        ("errors 1 → 1.6 %, 90/10", tenth(errors)),
        ("log-normal latency +0.1", found(0.1, values(What::Latency, Shape::LogNormal))),
        ("judge 1–5 −0.02 of the range", found(-0.02, scores(GRADES, Shape::Judge))),
        ("beta(32,8) −0.006", found(-0.006, scores(UNIT, Shape::Beta))),
        ("sessions, ICC 0.2, −0.02", sessions),
        ("the same, picked by outcome", Kind { picked: true, ..sessions }),
        ("p95 latency +25 %", found(slower(0.25), tail)),
    ])
}

/// The effect on the logarithm of a time.
fn slower(share: f64) -> f64 {
    (1.0 + share).ln()
}
