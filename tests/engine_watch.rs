//! What `watch` settles, and what happens at the engine's limits: scenes of a few calls each,
//! folded from observations, looked at through the published view.

use armspan::app::fold::Fold;
use armspan::model::canonical::set_id;
use armspan::model::observation::{Define, Source};
use armspan::model::record::RunRecord;
use armspan::model::settings::Experiment;
use armspan::model::view::{ArmView, ExperimentView};
use armspan::model::*;

const BASE: Nanos = 29_916_000 * MINUTE;

/// One call in a trace of its own, with its arm and user.
#[derive(Clone)]
struct Scene {
    fold: Shared,
    calls: u64,
}

/// Scenes that go on from one another share a fold.
type Shared = std::rc::Rc<std::cell::RefCell<Fold>>;

struct Wanted<'a> {
    experiment: &'a str,
    arm: &'a str,
    user: u64,
    at: Nanos,
    set: &'a FacetSet,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        Scene { fold: std::rc::Rc::new(std::cell::RefCell::new(Fold::new(settings))), calls: 0 }
    }

    fn trace(&self) -> TraceId {
        TraceId(u128::from(self.calls + 1) << 64 | 5)
    }

    fn push(&self, at: Nanos, observations: &[Observation]) {
        let mut bytes = Vec::new();
        observations.iter().for_each(|one| one.encode(&mut bytes));
        self.fold.borrow_mut().push(at, Body::Batch(bytes));
    }

    fn name(text: &str) -> Observation {
        Observation::Define(Define::Name(Sym::of(text), text.into()))
    }

    fn assignment(&self, wanted: &Wanted<'_>) -> Observation {
        Observation::Assignment(Assignment {
            trace: Some(self.trace()),
            span: SpanId(1),
            experiment: Sym::of(wanted.experiment),
            arm: Sym::of(wanted.arm),
            unit: None,
            source: Source::FlagSpanEvent,
            time: wanted.at,
            assigned_ppm: None,
            service: Sym::NONE,
        })
    }

    fn call(&mut self, wanted: &Wanted<'_>) {
        let place =
            Place { trace: self.trace(), span: SpanId(1), parent: SpanId::NONE, end: wanted.at };
        let user = UnitHash(wanted.user.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let call = Call {
            place,
            set: set_id(wanted.set),
            units: Units { user: Some(user), ..Units::default() },
            ..Call::default()
        };
        self.push(
            wanted.at,
            &[
                Self::name(wanted.experiment),
                Self::name(wanted.arm),
                Observation::Define(Define::Set(call.set, wanted.set.clone())),
                Observation::Call(call),
                self.assignment(wanted),
            ],
        );
        self.calls += 1;
    }

    fn view(&self) -> View {
        self.fold.borrow_mut().finish();
        self.fold.borrow().engine.view()
    }
}

fn set(revision: &str, prompt: &str) -> FacetSet {
    [
        (Field::ModelRequested, Value::text("m")),
        (Field::ModelRevision, Value::text(revision)),
        (Field::PromptHash, Value::text(prompt)),
        (Field::CodeService, Value::text("svc")),
    ]
    .into_iter()
    .collect()
}

fn configured() -> Settings {
    let mut settings = Settings::default();
    let experiment = Experiment {
        control: Some("A".into()),
        unit: Some("user.id".into()),
        ..Experiment::default()
    };
    settings.experiments.insert("e".into(), experiment);
    settings
}

fn of<'v>(view: &'v View, name: &str) -> &'v ExperimentView {
    view.experiments.iter().find(|e| e.name == name).expect(name)
}

fn arm<'v>(view: &'v View, name: &str) -> &'v ArmView {
    of(view, "e").sites[0].all_epochs.iter().find(|arm| arm.arm == name).expect(name)
}

/// `minutes` minutes of calls, six a minute for each arm; B's revision changes at `change`.
fn steady(scene: &mut Scene, from: u64, minutes: u64, change: u64) {
    for minute in from..from + minutes {
        for number in 0..12 {
            let (arm, user) = if number % 2 == 0 { ("A", number) } else { ("B", number) };
            let revision = if arm == "B" && minute >= change { "r2" } else { "r1" };
            let at = BASE + minute * MINUTE + number * 4 * SECOND;
            let set = set(revision, "h");
            scene.call(&Wanted { experiment: "e", arm, user, at, set: &set });
        }
    }
}

#[test]
fn a_flag_becomes_an_experiment_with_its_second_variant() {
    let set = set("r", "h");
    let mut scene = Scene::new(Settings::default());
    let wanted = |arm, at| Wanted { experiment: "flag", arm, user: at, at: BASE + at, set: &set };
    scene.call(&wanted("treatment", 1));
    assert!(scene.view().experiments.is_empty(), "one variant is no experiment");
    scene.call(&wanted("baseline", 2));
    let view = scene.view();
    let flag = of(&view, "flag");
    assert_eq!((flag.configured, flag.calls), (false, 2), "what came before counts, too");
    assert_eq!((flag.control.as_deref(), flag.control_assumed), (Some("baseline"), true));
}

#[test]
fn a_new_revision_opens_an_epoch_and_another_one_soon_after_does_not() {
    let mut scene = Scene::new(configured());
    steady(&mut scene, 0, 20, 10);
    // A second change within the hour is an event, not an epoch.
    for minute in 20..26 {
        for number in 0..12 {
            let (arm, revision) = if number % 2 == 0 { ("A", "r1") } else { ("B", "r3") };
            let at = BASE + minute * MINUTE + number * 4 * SECOND;
            let set = set(revision, "h");
            scene.call(&Wanted { experiment: "e", arm, user: number, at, set: &set });
        }
    }
    let view = scene.view();
    let site = &of(&view, "e").sites[0];
    assert_eq!(site.epoch, 2);
    let changes: Vec<(&str, Option<&str>)> = site
        .changes
        .iter()
        .filter(|change| change.field == "model.revision")
        .map(|change| (change.arm.as_str(), change.to.as_ref().and_then(|to| to.as_str())))
        .collect();
    assert_eq!(changes, [("B", Some("r2")), ("B", Some("r3"))]);
    let calls = |epoch: u32| {
        view.runs.iter().filter(move |r| r.window.epoch == epoch).map(|r| r.traffic.calls)
    };
    assert_eq!(
        calls(1).sum::<i64>() + calls(2).sum::<i64>(),
        26 * 12,
        "no call is lost between epochs"
    );
    assert!(calls(2).sum::<i64>() > 0);
}

#[test]
fn a_changed_split_opens_an_epoch() {
    let mut scene = Scene::new(configured());
    steady(&mut scene, 0, 5, 100);
    let mut settings = configured();
    settings.experiments.get_mut("e").expect("e").split =
        [("A".into(), 0.9), ("B".into(), 0.1)].into();
    let json = serde_json::to_string(&settings).expect("json");
    scene.fold.borrow_mut().push(BASE + 5 * MINUTE, Body::Config(json));
    steady(&mut scene, 7, 3, 100);
    assert_eq!(of(&scene.view(), "e").sites[0].epoch, 2);
}

#[test]
fn a_facet_with_too_many_values_is_demoted_and_its_runs_become_one() {
    let mut scene = Scene::new(configured());
    for number in 0..80u64 {
        let set = set("r", &format!("dated-{number}"));
        let at = BASE + number * SECOND;
        scene.call(&Wanted { experiment: "e", arm: "A", user: number, at, set: &set });
    }
    let overflow = scene.fold.borrow().engine.view();
    let live: Vec<&RunRecord> = overflow.runs.iter().collect();
    assert!(live.len() <= 65, "{} runs", live.len());
    let view = scene.view();
    assert_eq!(of(&view, "e").demoted, ["prompt.hash"]);
    assert_eq!(view.runs.len(), 1, "one configuration, whatever the date in its prompt");
    assert_eq!(view.runs[0].traffic.calls, 80);
    assert!(view.runs[0].observed.iter().any(|o| o.field == "prompt"), "it is still recorded");
}

#[test]
fn crossovers_keep_their_arms_and_a_trace_with_two_arms_is_left_out() {
    let set = set("r", "h");
    let mut scene = Scene::new(configured());
    let wanted = |arm, user, at| Wanted { experiment: "e", arm, user, at: BASE + at, set: &set };
    scene.call(&wanted("A", 1, 1));
    scene.call(&wanted("B", 1, 2));
    scene.call(&wanted("B", 2, 3));
    let both = wanted("B", 3, 4);
    scene.call(&both);
    // The arm of the last trace is told a second time, and differs.
    let late = scene.calls - 1;
    let again = Scene { fold: scene.fold.clone(), calls: late };
    again.push(BASE + 5, &[again.assignment(&Wanted { arm: "A", ..both })]);
    let view = scene.view();
    assert_eq!((arm(&view, "A").calls, arm(&view, "B").calls), (1, 2));
    assert_eq!(of(&view, "e").crossover_units, 1);
    assert_eq!(of(&view, "e").conflicting_traces, 1);
    let shares = of(&view, "e").sample_ratio.clone().expect("ratio").units;
    assert_eq!((shares["A"], shares["B"]), (1, 1), "a unit counts where it was first");
}

#[test]
fn a_unit_in_two_runs_of_an_arm_is_one_unit() {
    let mut scene = Scene::new(configured());
    for (at, prompt) in ["h1", "h2"].into_iter().enumerate() {
        let set = set("r", prompt);
        let at = BASE + at as u64 * SECOND;
        scene.call(&Wanted { experiment: "e", arm: "A", user: 7, at, set: &set });
    }
    let view = scene.view();
    assert_eq!(view.runs.len(), 2);
    assert_eq!((arm(&view, "A").calls, arm(&view, "A").units), (2, 1));
}

#[test]
fn a_call_without_an_arm_is_unassigned_when_its_wait_is_over() {
    let scene = Scene::new(configured());
    let facets = set("r", "h");
    let place = Place { trace: TraceId(9 << 64), span: SpanId(3), parent: SpanId::NONE, end: BASE };
    let call = Call { place, set: set_id(&facets), ..Call::default() };
    let define = Observation::Define(Define::Set(call.set, facets.clone()));
    scene.push(BASE, &[define, Observation::Call(call)]);
    let now = scene.fold.borrow().engine.view().counts;
    assert_eq!((now.parked, now.calls), (1, 0), "it waits for its arm");
    let later = scene.view().counts;
    assert_eq!((later.parked, later.calls, later.unassigned), (0, 1, 1));
    // An arm that comes after all moves the call.
    let told = Scene { fold: scene.fold.clone(), calls: 8 };
    let wanted = Wanted { experiment: "e", arm: "B", user: 1, at: BASE, set: &facets };
    let names = [Scene::name("B")];
    told.push(BASE, &names);
    let mut assignment = told.assignment(&wanted);
    if let Observation::Assignment(a) = &mut assignment {
        a.trace = Some(place.trace);
    }
    told.push(BASE, &[assignment]);
    let moved = scene.view();
    assert_eq!((moved.counts.unassigned, arm(&moved, "B").calls), (0, 1));
}

#[test]
fn what_no_longer_fits_in_memory_is_known_all_the_same() {
    let mut settings = configured();
    settings.limits.join_bytes_max = 64 << 10;
    settings.limits.unit_cache_bytes = 16 << 10;
    let mut scene = Scene::new(settings);
    let facets = set("r", "h");
    let wanted = |at: u64| Wanted {
        experiment: "e",
        arm: "A",
        user: at,
        at: BASE + at * SECOND,
        set: &facets,
    };
    (0..500).for_each(|at| scene.call(&wanted(at)));
    assert!(scene.fold.borrow().shelved() > 300, "traces and units left memory");
    let mut again = Scene { fold: scene.fold.clone(), calls: 0 };
    (0..50).for_each(|at| again.call(&wanted(at)));
    let view = scene.view();
    assert_eq!((arm(&view, "A").calls, arm(&view, "A").units), (500, 500));
    assert_eq!((view.counts.late, view.counts.duplicates), (0, 50));
    assert!(view.counts.bytes["join"] <= 64 << 10, "{:?}", view.counts.bytes);
    assert!(view.counts.bytes["units"] <= 16 << 10, "{:?}", view.counts.bytes);
}

#[test]
fn what_no_longer_fits_on_disk_is_late_and_never_counted_twice() {
    let mut settings = configured();
    settings.limits.join_bytes_max = 64 << 10;
    settings.limits.horizon_bytes_max = 16 << 10;
    let mut scene = Scene::new(settings);
    let facets = set("r", "h");
    let wanted = |at: u64| Wanted {
        experiment: "e",
        arm: "A",
        user: at,
        at: BASE + at * 20 * SECOND,
        set: &facets,
    };
    (0..1_000).for_each(|at| scene.call(&wanted(at)));
    let mut again = Scene { fold: scene.fold.clone(), calls: 0 };
    (0..50).for_each(|at| again.call(&wanted(at)));
    let view = scene.view();
    assert_eq!(arm(&view, "A").calls, 1_000);
    assert_eq!((view.counts.late, view.counts.duplicates), (50, 0));
    assert!(view.counts.limits["horizon_bytes"] > 0, "{:?}", view.counts.limits);
}

#[test]
fn the_last_minute_before_a_lull_is_looked_at() {
    let set = set("r", "h");
    let mut scene = Scene::new(configured());
    let at = BASE + 20 * SECOND;
    scene.call(&Wanted { experiment: "e", arm: "A", user: 1, at, set: &set });
    let mut fold = scene.fold.borrow_mut();
    // As the driver does: a tick each second, as long as one is needed.
    let mut ticks = 0;
    while fold.engine.is_waiting() {
        ticks += 1;
        assert!(ticks < 300, "ticks never end");
        let now = fold.stamp() + SECOND;
        fold.push(now, Body::Tick);
    }
    let looked = u64::from(fold.engine.watch().looked) * MINUTE;
    assert!(looked >= BASE, "its minute was looked at after {ticks} ticks");
    let later = fold.stamp() + 3_600 * SECOND;
    assert!(fold.engine.is_hour_over(later) && !fold.engine.is_hour_over(fold.stamp()));
    fold.push(later, Body::Tick);
    assert!(!fold.engine.is_hour_over(later + 3_600 * SECOND), "nothing came in that hour");
}
