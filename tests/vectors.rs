//! The statistics against reference values: files that other programs wrote (gbstats, confseq,
//! savvi, ville; the program and the tolerance are named in each file), and `own/`, which
//! `vectors/reference.py` computes with 50 digits. `ARMSPAN_VECTORS` names another folder of the
//! same files with other cases; a missing file is a failure.

use armspan::stats::{
    Interval, bernstein::Bernstein, beta, contrast, cuped, drift::Detector, multiple, plan,
    quantile, rare, ratio, sample_ratio, sequence, special, weights,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn folder() -> PathBuf {
    std::env::var_os("ARMSPAN_VECTORS").map_or_else(own_folder, PathBuf::from)
}

/// A file and its cases, of which there must be some.
fn read(path: &Path) -> (Value, Vec<Value>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let cases = file["cases"].as_array().expect("cases").clone();
    assert!(!cases.is_empty(), "{}: no cases", path.display());
    (file, cases)
}

fn theirs(name: &str) -> (Value, Vec<Value>) {
    read(&folder().join(name))
}

fn own(name: &str) -> (f64, Vec<Value>) {
    let (file, cases) = read(&own_folder().join("own").join(name));
    (tolerance(&file, "rel"), cases)
}

fn tolerance(file: &Value, kind: &str) -> f64 {
    file["tolerance"][kind].as_f64().expect("a tolerance in the file")
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().expect("a number or inf"),
        Value::Null => panic!("a number is missing"),
        _ => value.as_f64().expect("a number"),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("numbers").iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("counts").iter().map(|v| v.as_u64().expect("count")).collect()
}

fn rows(value: &Value) -> Vec<(i64, i64)> {
    let pair = |row: &Value| (row[0].as_i64().expect("y"), row[1].as_i64().expect("w"));
    value.as_array().expect("rows").iter().map(pair).collect()
}

/// Relative to the larger of the value and 1e-3: a log e-value may be near 0.
fn close(ours: f64, wanted: f64, relative: f64, what: &str) {
    let within = (ours - wanted).abs() <= relative * wanted.abs().max(1e-3);
    assert!(within || ours == wanted, "{what}: {ours} is not {wanted} (relative {relative})");
}

fn near(ours: f64, wanted: f64, absolute: f64, what: &str) {
    assert!((ours - wanted).abs() <= absolute, "{what}: {ours} is not {wanted} ± {absolute}");
}

#[test]
fn asymptotic_sequence_of_a_difference() {
    let (file, cases) = theirs("asymptotic_cs_mean_diff.json");
    let relative = tolerance(&file, "rel");
    let mut absolute = 0;
    for case in &cases {
        let of = |name: &str| number(&case[name]);
        let (n0, n1, alpha) = (of("n0"), of("n1"), of("alpha"));
        close(sequence::rho2(alpha, of("n_star")), of("rho2"), relative, "rho2");
        if case["difference_type"] == "absolute" {
            absolute += 1;
            let (arm0, arm1) = (arm(case, "0"), arm(case, "1"));
            let contrast = contrast::difference(&arm1, &arm0);
            close(contrast.estimate, of("estimate"), relative, "estimate");
            close(contrast.variance, of("var"), relative, "variance");
        }
        let (estimate, variance) = (of("estimate"), of("var"));
        let scales = [
            sequence::Scale::Effect(of("tau2").sqrt()),
            sequence::Scale::Units { rho2: of("rho2"), units: n0 + n1 },
        ];
        for gain in scales.map(|scale| scale.gain(variance)) {
            let interval = sequence::interval(estimate, variance, gain, alpha);
            close(interval.lower, number(&case["ci"][0]), relative, "lower");
            close(interval.upper, number(&case["ci"][1]), relative, "upper");
            let log_e = sequence::log_e(estimate, 0.0, variance, gain);
            close(log_e, of("log_e"), relative, "log e");
            close((-log_e).exp().min(1.0), of("p_value"), relative, "p");
        }
    }
    assert!(absolute > 0, "no case with an absolute difference");
}

/// An arm as `ratio` would give it, from moments of units.
fn arm(case: &Value, which: &str) -> ratio::Ratio {
    let of = |name: &str| number(&case[&format!("{name}{which}")]);
    let variance = of("sd") * of("sd") / of("n");
    ratio::Ratio { estimate: of("mean"), variance, clusters: of("n") as usize, huge: 0.0 }
}

#[test]
fn beta_mixture() {
    let (file, cases) = theirs("beta_mixture_cs.json");
    let absolute = tolerance(&file, "abs");
    for case in &cases {
        let (n, s) = (number(&case["n"]), number(&case["s"]));
        let prior = (number(&case["prior"][0]), number(&case["prior"][1]));
        let interval = beta::interval(n, s, prior, number(&case["alpha"]));
        near(interval.lower, number(&case["lower"]), absolute, "lower");
        near(interval.upper, number(&case["upper"]), absolute, "upper");
    }
}

#[test]
fn bounded_means() {
    let (file, cases) = theirs("bounded_mean_cs.json");
    let absolute = tolerance(&file, "abs");
    let mut checked = 0;
    for case in &cases {
        let x = numbers(&case["x"]);
        let mut state = Bernstein::new(number(&case["alpha"]));
        let mut seen = 0;
        for (at, checkpoint) in counts(&case["checkpoints"]).iter().enumerate() {
            x[seen..*checkpoint as usize].iter().for_each(|x| state.push(*x));
            seen = *checkpoint as usize;
            let (interval, wanted) = (state.interval(), &case["predmix_eb"][at]);
            near(interval.lower, number(&wanted[0]), absolute, "lower");
            near(interval.upper, number(&wanted[1]), absolute, "upper");
            // The betting sequence is an oracle of the same mean.
            let betting = numbers(&case["betting_hedged_grid1000"][at]);
            let both = interval.intersect(Interval::new(betting[0], betting[1]));
            assert!(both.is_some(), "apart from betting at {checkpoint}: {interval:?}");
            checked += 1;
        }
        assert_eq!(state.count() as usize, seen);
    }
    assert!(checked > 0, "no checkpoint");
}

#[test]
fn e_bh() {
    let (file, cases) = theirs("ebh.json");
    assert_eq!(file["tolerance"], "exact");
    for case in &cases {
        let logs: Vec<f64> = numbers(&case["e"]).iter().map(|e| e.ln()).collect();
        let rejected = multiple::e_bh(&logs, number(&case["alpha"]));
        let wanted: Vec<bool> = counts(&case["rejected"]).iter().map(|r| *r == 1).collect();
        assert_eq!(rejected, wanted, "{case}");
    }
}

#[test]
fn quantile_ranks() {
    let (file, cases) = theirs("quantile_cs_ranks.json");
    assert_eq!(file["tolerance"], "exact ranks");
    for case in &cases {
        let (q, n) = (number(&case["p"]), case["n"].as_u64().expect("n"));
        let alpha = number(&case["alpha"]);
        // The reference is tuned at confseq's default level, whatever alpha is.
        let kappa = quantile::tuned_kappa(number(&case["t_opt"]), 0.05);
        let ranks = quantile::ranks(n, 1.0, q, kappa, alpha);
        // Where no count is rejected, confseq returns the end of the range instead of no bound,
        // and its rank rule names an extreme value. That is no bound: all of 200 values are
        // below their 99th percentile with probability 0.99^200 = 13 %.
        let ran_out = |side: &str, room: f64| number(&case[side]) >= room * (1.0 - 1e-12);
        let lower = case["lower_rank"].as_u64();
        let lower = lower.filter(|_| !ran_out("count_dev_lower", q * n as f64));
        let upper = case["upper_rank"].as_u64();
        let upper = upper.filter(|_| !ran_out("count_dev_upper", (1.0 - q) * n as f64));
        assert_eq!((ranks.lower, ranks.upper), (lower, upper), "{case}");
    }
}

#[test]
fn ratio_of_moments() {
    let (file, cases) = theirs("ratio_delta.json");
    let relative = tolerance(&file, "rel");
    for case in &cases {
        let ratio = ratio::ratio(&rows_of(case)).expect("a ratio");
        close(ratio.estimate, number(&case["ratio"]), relative, "ratio");
        close(ratio.variance, number(&case["var_of_ratio"]), relative, "variance");
        assert_eq!(ratio.clusters as u64, case["G"].as_u64().expect("G"));
    }
}

/// Rows with exactly these moments but for rounding at 1e-12: multiples of 1, u and v, where u
/// and v are orthonormal and sum to 0.
fn rows_of(case: &Value) -> Vec<(i64, i64)> {
    const SCALE: f64 = 1e12;
    let of = |name: &str| number(&case[name]);
    let units = case["G"].as_u64().expect("G") as usize;
    let (g, sy, sw) = (units as f64, of("SY"), of("SW"));
    let (yy, yw, ww) = (of("SYY") - sy * sy / g, of("SYW") - sy * sw / g, of("SWW") - sw * sw / g);
    // Y − mean = a·u, W − mean = b·u + c·v.
    let a = yy.sqrt();
    let b = yw / a;
    let c = (ww - b * b).sqrt();
    let wave = |k: f64, i: usize| {
        (2.0 * std::f64::consts::PI * k * (i as f64 + 0.5) / g).cos() * (2.0 / g).sqrt()
    };
    let row = |i: usize| {
        let (u, v) = (wave(1.0, i), wave(2.0, i));
        let (y, w) = (sy / g + a * u, sw / g + b * u + c * v);
        ((y * SCALE).round() as i64, (w * SCALE).round() as i64)
    };
    (0..units).map(row).collect()
}

#[test]
fn sequential_sample_ratio() {
    let (file, cases) = theirs("srm_sequential.json");
    let relative = tolerance(&file, "rel");
    let mut checked = 0;
    for case in &cases {
        let (shares, k) = (numbers(&case["theta"]), number(&case["k"]));
        let mut p = 1.0f64;
        for step in case["steps"].as_array().expect("steps") {
            let log_e = sample_ratio::log_e(&counts(&step["counts"]), &shares, k);
            close(log_e, number(&step["log_e"]), relative, "log e");
            p = p.min((-log_e).exp());
            close(p, number(&step["p_anytime"]), relative, "p");
            checked += 1;
        }
    }
    assert!(checked > 0, "no step");
}

// === own references, of the routes that no other program has ===

#[test]
fn special_functions() {
    let (relative, cases) = own("ln_gamma.json");
    for case in &cases {
        let (x, wanted) = (number(&case["x"]), number(&case["ln_gamma"]));
        // Relative to the value itself: near its zeros as well.
        let error = (special::ln_gamma(x) - wanted).abs();
        assert!(error <= relative * wanted.abs(), "ln gamma({x}): {}", special::ln_gamma(x));
    }
    let (relative, cases) = own("stirling_error.json");
    for case in &cases {
        let ours = special::stirling_error(number(&case["x"]));
        close(ours, number(&case["error"]), relative, "Stirling's error");
    }
    let (relative, cases) = own("normal_quantile.json");
    for case in &cases {
        close(special::normal_quantile(number(&case["p"])), number(&case["z"]), relative, "z");
    }
    let (relative, cases) = own("ln_beta.json");
    for case in &cases {
        let ours = special::ln_beta(number(&case["a"]), number(&case["b"]));
        close(ours, number(&case["ln_beta"]), relative, "ln beta");
    }
}

#[test]
fn beta_mixture_at_any_size() {
    let (relative, cases) = own("beta_mixture.json");
    for case in &cases {
        let of = |name: &str| number(&case[name]);
        let ours = special::ln_beta_mixture(of("n"), of("s"), of("a"), of("b"), of("p"));
        close(ours, of("log_e"), relative, &format!("log e of {case}"));
    }
    let (relative, cases) = own("beta_interval.json");
    for case in &cases {
        let of = |name: &str| number(&case[name]);
        let interval = beta::interval(of("n"), of("s"), beta::PRIOR, of("alpha"));
        let error = (interval.lower - of("lower")).abs();
        assert!(error <= relative * of("lower"), "{interval:?} of {case}");
        near(interval.upper, of("upper"), relative, &format!("upper of {case}"));
    }
}

#[test]
fn conditional_binomial() {
    let (relative, cases) = own("conditional_binomial.json");
    for case in &cases {
        let arrivals: Vec<rare::Arrivals> = case["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| rare::Arrivals {
                share: number(&row[0]),
                treated: row[1].as_u64().expect("treated"),
                control: row[2].as_u64().expect("control"),
            })
            .collect();
        let (kappa, alpha) = (number(&case["kappa"]), number(&case["alpha"]));
        for log in case["logs"].as_array().expect("logs") {
            let ours = rare::log_e(&arrivals, kappa, number(&log["ratio"]));
            close(ours, number(&log["log_e"]), relative, "log e");
        }
        let interval = rare::ratio_interval(&arrivals, kappa, alpha);
        close(interval.lower, number(&case["lower"]), relative, "lower");
        close(interval.upper, number(&case["upper"]), relative, "upper");
    }
}

#[test]
fn sample_ratio_at_any_size() {
    let (relative, cases) = own("sample_ratio.json");
    let mut allocations = Vec::new();
    for case in &cases {
        let (counts, shares) = (counts(&case["counts"]), numbers(&case["shares"]));
        for log in case["logs"].as_array().expect("logs") {
            let ours = sample_ratio::log_e(&counts, &shares, number(&log["k"]));
            close(ours, number(&log["log_e"]), relative, &format!("log e of {counts:?}"));
        }
        let mixture = sample_ratio::mixture(&counts, &shares);
        close(mixture, number(&case["mixture"]), relative, "mixture");
        allocations.push((counts, shares));
    }
    let product = sample_ratio::product(&allocations);
    close(product, number(&cases[0]["product"]), relative, "product");
}

#[test]
fn e_detector() {
    let (relative, cases) = own("e_detector.json");
    for case in &cases {
        let mut detector = Detector::new(number(&case["null"]));
        let first = case["first"].as_u64().expect("first") as u32;
        let steps = case["steps"].as_array().expect("steps");
        assert!(!steps.is_empty(), "no step");
        for ((at, x), step) in (first..).zip(numbers(&case["x"])).zip(steps) {
            detector.push(x, at);
            close(detector.log_sr(), number(&step["log_sr"]), relative, "log e-SR");
            close(detector.log_cusum(), number(&step["log_cusum"]), relative, "log e-CUSUM");
            assert_eq!(u64::from(detector.onset()), step["onset"].as_u64().expect("onset"));
        }
    }
}

#[test]
fn cuped_against_brute_force() {
    let (relative, cases) = own("cuped.json");
    for case in &cases {
        let arm = |name: &str| (rows(&case[name]["y"]), rows(&case[name]["x"]));
        let (control, treated) = (arm("control"), arm("treated"));
        let adjusted = cuped::adjust((&control.0, &control.1), (&treated.0, &treated.1));
        let adjusted = adjusted.expect("a covariate that varies");
        close(adjusted.theta, number(&case["theta"]), relative, "theta");
        close(adjusted.reduction, number(&case["reduction"]), relative, "reduction");
        for (at, ours) in [adjusted.control, adjusted.treated].iter().enumerate() {
            close(ours.estimate, number(&case["estimates"][at]), relative, "estimate");
            let wanted = number(&case["variances"][at]);
            assert!((ours.variance - wanted).abs() <= relative * wanted, "{ours:?}");
        }
    }
}

#[test]
fn weighted_scores() {
    let (relative, cases) = own("weights.json");
    for case in &cases {
        let of = |name: &str| number(&case[name]);
        let units = rows(&case["units"]);
        // Hájek: numerator and denominator are both multiplied by the weight.
        let weighted: Vec<(i64, i64)> = units.iter().map(|(x, w)| (x * w, *w)).collect();
        let ratio = ratio::ratio(&weighted).expect("a ratio");
        close(ratio.estimate, of("mean"), relative, "mean");
        close(ratio.variance, of("variance"), relative, "variance");
        let effective = weights::effective(of("sum_w"), of("sum_ww"));
        close(effective, of("effective"), relative, "effective sample size");
        let share = weights::largest_share(of("w_max"), of("sum_w"));
        close(share, of("largest_share"), relative, "largest share");
        let term = |unit: &(i64, i64)| {
            weights::horvitz(unit.0 as f64 / 1000.0, unit.1 as f64, of("w_max"))
        };
        let mean = units.iter().map(term).sum::<f64>() / units.len() as f64;
        close(mean, of("horvitz"), relative, "Horvitz-Thompson");
    }
}

#[test]
fn epoch_spending() {
    let (relative, cases) = own("epochs.json");
    for case in &cases {
        let epoch = case["epoch"].as_u64().expect("epoch") as u32;
        close(multiple::epoch_share(epoch), number(&case["share"]), relative, "share");
    }
    let sum: f64 = (1..=2000).map(multiple::epoch_share).sum();
    close(sum, number(&cases[0]["sum_to_2000"]), relative, "sum of shares");
}

#[test]
fn tuning_by_units() {
    let (relative, cases) = own("rho2.json");
    for case in &cases {
        let (alpha, n) = (number(&case["alpha"]), number(&case["n"]));
        close(sequence::rho2(alpha, n), number(&case["rho2"]), relative, "rho2");
        close(sequence::rho2_exact(alpha, n), number(&case["exact"]), relative, "exact rho2");
    }
}

#[test]
fn plans() {
    let (relative, cases) = own("plan.json");
    for case in &cases {
        let of = |name: &str| number(&case[name]);
        let rule = match case["rule"].as_str().expect("rule") {
            "effect" => plan::ScaleRule::Effect(of("value")),
            _ => plan::ScaleRule::NStar(of("value")),
        };
        let (variance, units, alpha) = (of("variance"), of("units"), of("alpha"));
        let decide = plan::units_to_decide(of("distance"), variance, units, rule, alpha);
        assert_eq!(decide, Some(of("units_to_decide")), "{case}");
        let later = 10.0 * units;
        let effect = plan::minimum_detectable_effect(variance, units, later, rule, alpha, 0.8);
        close(effect, of("effect_at_ten_times"), relative, "smallest effect");
    }
}
