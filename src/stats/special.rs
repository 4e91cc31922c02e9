//! Special functions: log-gamma, log-beta and the beta-binomial mixture, in forms that do not
//! cancel at large counts, and logs of sums. Pure, total, no tables of data but coefficients.

/// ½·ln 2π.
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;
/// 1 − γ (Euler's constant).
const ONE_MINUS_GAMMA: f64 = 0.422_784_335_098_467_1;
/// From here on Stirling's series with its seven terms is exact to a double.
const STIRLING_MIN: f64 = 10.0;
/// Coefficients of Stirling's series in 1/x, 1/x³, … (Abramowitz & Stegun 6.1.41).
const STIRLING: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1_260.0,
    -1.0 / 1_680.0,
    1.0 / 1_188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
];
/// (−1)^k·(ζ(k) − 1)/k for k = 2 … 27: Taylor coefficients of lnΓ around 2 (A & S 6.1.33).
const ZETA: [f64; 26] = [
    3.224_670_334_241_113e-1,
    -6.735_230_105_319_809e-2,
    2.058_080_842_778_454_8e-2,
    -7.385_551_028_673_986e-3,
    2.890_510_330_741_523_3e-3,
    -1.192_753_911_703_261e-3,
    5.096_695_247_430_425e-4,
    -2.231_547_584_535_793_8e-4,
    9.945_751_278_180_853e-5,
    -4.492_623_673_813_314e-5,
    2.050_721_277_567_069e-5,
    -9.439_488_275_268_397e-6,
    4.374_866_789_907_488e-6,
    -2.039_215_753_801_366e-6,
    9.551_412_130_407_42e-7,
    -4.492_469_198_764_566e-7,
    2.120_718_480_555_466_6e-7,
    -1.004_322_482_396_81e-7,
    4.769_810_169_363_980_6e-8,
    -2.271_109_460_894_316_5e-8,
    1.083_865_921_489_695_4e-8,
    -5.183_475_041_970_047e-9,
    2.483_674_543_802_478_3e-9,
    -1.192_140_140_586_091_2e-9,
    5.731_367_241_678_862e-10,
    -2.759_522_885_124_233_1e-10,
];

/// ln Γ(x) for x > 0, with a relative error below 1e-14, near its zeros at 1 and 2 too: Taylor
/// series around 2 with the recurrence Γ(x+1) = xΓ(x) below 10, Stirling's series above.
/// Infinite for x ≤ 0 and NaN (Γ is not positive there, or has a pole), and for x = ∞.
pub fn ln_gamma(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return f64::INFINITY;
    }
    if x >= STIRLING_MIN {
        return (x - 0.5) * (x.ln() - 1.0) - 0.5 + HALF_LN_TWO_PI + stirling_error(x);
    }
    if x < 0.5 {
        return ln_gamma_near_two(x) - x.ln_1p() - x.ln();
    }
    if x < 1.5 {
        let above_one = x - 1.0;
        return ln_gamma_near_two(above_one) - above_one.ln_1p();
    }
    let (mut x, mut product) = (x, 1.0);
    while x > 2.5 {
        x -= 1.0;
        product *= x;
    }
    ln_gamma_near_two(x - 2.0) + f64::ln(product)
}

/// ln Γ(2 + z) for |z| ≤ ½.
fn ln_gamma_near_two(z: f64) -> f64 {
    let tail = ZETA.iter().rev().fold(0.0, |sum, coefficient| sum * z + coefficient);
    z * (ONE_MINUS_GAMMA + z * tail)
}

/// δ(x) = ln Γ(x) − ((x − ½)·ln x − x + ½·ln 2π) for x > 0, absolute error below 2e-15
/// (relative for small x): Stirling's series above 10, below it by
/// δ(x) = δ(x+1) + (x + ½)·ln(1 + 1/x) − 1. 0 for x = ∞, infinite for x ≤ 0 and NaN.
pub fn stirling_error(x: f64) -> f64 {
    if x <= 0.0 || x.is_nan() {
        return f64::INFINITY;
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < STIRLING_MIN {
        sum += (x + 0.5) * ln_one_plus_inverse(x) - 1.0;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    sum + inverse * STIRLING.iter().rev().fold(0.0, |sum, term| sum * square + term)
}

/// ln(1 + 1/x), also where 1/x overflows.
fn ln_one_plus_inverse(x: f64) -> f64 {
    if x < 1.0 { x.ln_1p() - x.ln() } else { (1.0 / x).ln_1p() }
}

/// Loader's deviance x·ln(x/m) + m − x ≥ 0 for x ≥ 0, m ≥ 0, without cancellation at x ≈ m
/// (Loader, Fast and accurate computation of binomial probabilities, 2000). bd0(0, m) = m;
/// infinite for x > 0 = m, and for arguments that are negative or not finite.
pub fn bd0(x: f64, m: f64) -> f64 {
    if !(x >= 0.0 && m >= 0.0 && x.is_finite() && m.is_finite()) {
        return f64::INFINITY;
    }
    if x == 0.0 || x == m {
        return (m - x).abs();
    }
    let difference = x - m;
    if difference.abs() >= 0.1 * (x + m) {
        // The logs apart, because x/m may overflow.
        return x * (x.ln() - m.ln()) - difference;
    }
    let v = difference / (x + m);
    let mut term = 2.0 * x * v;
    let mut sum = difference * v;
    // |v| < 0.1: each term is a hundredth of the one before.
    for odd in [3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0] {
        term *= v * v;
        sum += term / odd;
    }
    sum
}

/// ln B(a, b) for a, b > 0; infinite when one is not positive or their sum is not finite.
/// Relative error about 1e-14; absolute where B is near 1.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = (a.min(b), a.max(b));
    let total = a + b;
    if !(small > 0.0 && total.is_finite()) {
        return f64::INFINITY;
    }
    small * (small.ln() - total.ln()) - large * (small / large).ln_1p() + half_logs(small, large)
}

/// What is left of ln B(a, b) after a·ln(a/N) + b·ln(b/N), with N = a + b.
fn half_logs(a: f64, b: f64) -> f64 {
    let total = a + b;
    // ab/N by the larger one first, so that it cannot overflow.
    let harmonic = a.min(b) * (a.max(b) / total);
    HALF_LN_TWO_PI - 0.5 * harmonic.ln() + stirling_error(a) + stirling_error(b)
        - stirling_error(total)
}

/// The log e-value of the beta-binomial mixture: `n` trials with `s` successes, both real,
/// against probability `p`, under a Beta(a, b) prior:
/// lnB(a+s, b+n−s) − lnB(a, b) − s·ln p − (n−s)·ln(1−p).
///
/// Both sides are written as lnB(A, B) − A·ln p − B·ln q = bd0(A, Np) + bd0(B, Nq) + half logs
/// and Stirling errors (N = A + B), so terms of size n never meet: at n = 1e12 the absolute
/// error is about 1e-9. It is convex in `p` and in `s`, and at most 0 at p = s/n.
///
/// `s` is clamped to [0, n] and `p` to [0, 1]. Infinite when p is 0 or 1 and the counts
/// contradict it. 0, no evidence, when n ≤ 0, a or b is not positive, or an argument is not
/// finite.
pub fn ln_beta_mixture(n: f64, s: f64, a: f64, b: f64, p: f64) -> f64 {
    if !(n > 0.0 && n.is_finite() && s.is_finite() && p.is_finite()) {
        return 0.0;
    }
    let (s, p) = (s.clamp(0.0, n), p.clamp(0.0, 1.0));
    ln_beta_mixture_odds(s, n - s, a, b, (p, 1.0 - p))
}

/// The same of `s` successes and `f` failures, with p and 1 − p given apart: for p near 1.
pub(super) fn ln_beta_mixture_odds(s: f64, f: f64, a: f64, b: f64, (p, q): (f64, f64)) -> f64 {
    let usable = a > 0.0 && b > 0.0 && (a + b + s + f).is_finite();
    if !usable || s + f <= 0.0 {
        return 0.0;
    }
    if (p <= 0.0 && s > 0.0) || (q <= 0.0 && f > 0.0) {
        return f64::INFINITY;
    }
    if p <= 0.0 || q <= 0.0 {
        return ln_beta(a + s, b + f) - ln_beta(a, b);
    }
    let log_e = ln_beta_tilted(a + s, b + f, p, q) - ln_beta_tilted(a, b, p, q);
    // The prior's side is infinite, or NaN is left, only where a product leaves the doubles.
    if log_e > f64::NEG_INFINITY { log_e } else { 0.0 }
}

/// lnB(a, b) − a·ln p − b·ln q, q = 1 − p.
fn ln_beta_tilted(a: f64, b: f64, p: f64, q: f64) -> f64 {
    let total = a + b;
    bd0(a, total * p) + bd0(b, total * q) + half_logs(a, b)
}

/// Steps of Newton's method at most; a convex function needs about ten.
const NEWTON_MAX: u32 = 100;

/// Where a convex function crosses 0, by Newton's method from `start`, on the same side of its
/// minimum as the root. `at` gives value and slope. From inside (value < 0) the first step leads
/// outside; from outside every step stays there, so the result is on the outside, up to rounding.
pub(super) fn convex_root(start: f64, at: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut t = start;
    for _ in 0..NEWTON_MAX {
        let (value, slope) = at(t);
        let step = value / slope;
        if !step.is_finite() {
            break;
        }
        t -= step;
        if step.abs() <= 1e-14 * t.abs().max(1.0) {
            break;
        }
    }
    t
}

/// ln(e^a + e^b) without overflow. The larger one when the other is −∞; NaN counts as −∞.
pub fn log_add_exp(a: f64, b: f64) -> f64 {
    // `max` and `min` drop a NaN.
    let (a, b) = (a.max(f64::NEG_INFINITY), b.max(f64::NEG_INFINITY));
    let (low, high) = (a.min(b), a.max(b));
    if low == f64::NEG_INFINITY || high == f64::INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

/// ln of the mean of e^x over `values`: the log of a mean of e-values, which is an e-value. 0,
/// no evidence, when there are none; NaN counts as −∞.
pub fn log_mean_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        return 0.0;
    }
    if highest.is_infinite() {
        return highest;
    }
    let scaled = |value: &f64| if value.is_nan() { 0.0 } else { (value - highest).exp() };
    let sum: f64 = values.iter().map(scaled).sum();
    highest + (sum / values.len() as f64).ln()
}

/// z with Φ(z) = p, relative error about 1e-15 (Wichura, AS 241, PPND16). ∓∞ at p = 0 and 1
/// and outside [0, 1]; 0 for NaN.
pub fn normal_quantile(p: f64) -> f64 {
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        let r = 0.180_625 - centred * centred;
        return centred * rational(&CENTRE, r);
    }
    let tail = if centred < 0.0 { p } else { 1.0 - p };
    let magnitude = if p.is_nan() {
        0.0
    } else if tail <= 0.0 {
        f64::INFINITY
    } else {
        let r = (-tail.ln()).sqrt();
        if r <= 5.0 { rational(&MIDDLE, r - 1.6) } else { rational(&FAR, r - 5.0) }
    };
    if centred < 0.0 { -magnitude } else { magnitude }
}

type Rational = [[f64; 8]; 2];

fn rational(of: &Rational, r: f64) -> f64 {
    let polynomial = |terms: &[f64; 8]| terms.iter().rev().fold(0.0, |sum, term| sum * r + term);
    polynomial(&of[0]) / polynomial(&of[1])
}

const CENTRE: Rational = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
];
const MIDDLE: Rational = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];
const FAR: Rational = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_049e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_double() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), -2.0f64..2.0, 0.0f64..1e12, Just(0.0), Just(f64::NAN)]
    }

    #[test]
    fn edges_are_as_documented() {
        assert_eq!(ln_gamma(0.0), f64::INFINITY);
        assert_eq!(ln_gamma(f64::NAN), f64::INFINITY);
        assert_eq!((ln_gamma(1.0), ln_gamma(2.0)), (0.0, 0.0));
        assert_eq!((bd0(0.0, 3.0), bd0(3.0, 0.0), bd0(5.0, 5.0)), (3.0, f64::INFINITY, 0.0));
        assert_eq!(ln_beta_mixture(10.0, 1.0, 0.5, 0.5, 0.0), f64::INFINITY);
        assert_eq!(ln_beta_mixture(10.0, 9.0, 0.5, 0.5, 1.0), f64::INFINITY);
        assert!(ln_beta_mixture(10.0, 0.0, 0.5, 0.5, 0.0) < 0.0);
        assert_eq!(ln_beta_mixture(0.0, 0.0, 0.5, 0.5, 0.3), 0.0);
        assert_eq!(log_add_exp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(log_mean_exp(&[]), 0.0);
        assert_eq!(log_mean_exp(&[f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert!((log_mean_exp(&[1000.0, f64::NAN]) - (1000.0 - 2f64.ln())).abs() < 1e-12);
        assert_eq!((normal_quantile(0.5), normal_quantile(f64::NAN)), (0.0, 0.0));
        assert_eq!(
            (normal_quantile(0.0), normal_quantile(1.0)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
    }

    proptest! {
        #[test]
        fn never_nan(
            x in any_double(),
            y in any_double(),
            z in any_double(),
            a in any_double(),
            b in any_double(),
        ) {
            prop_assert!(!ln_gamma(x).is_nan() && !stirling_error(x).is_nan());
            prop_assert!(!bd0(x, y).is_nan() && !ln_beta(x, y).is_nan());
            prop_assert!(!ln_beta_mixture(x, y, a, b, z).is_nan(), "{x} {y} {a} {b} {z}");
            prop_assert!(!log_add_exp(x, y).is_nan() && !log_mean_exp(&[x, y, z]).is_nan());
            prop_assert!(!normal_quantile(x).is_nan());
        }

        #[test]
        fn gamma_recurs(x in 0.01f64..1e3) {
            let (left, right) = (ln_gamma(x + 1.0), ln_gamma(x) + x.ln());
            prop_assert!((left - right).abs() <= 1e-13 * left.abs().max(1.0));
        }

        #[test]
        fn deviance_is_positive_and_smooth(m in 1e-3f64..1e9, r in 0.5f64..1.5) {
            let x = m * r;
            let plain = x * (x / m).ln() + m - x;
            prop_assert!(bd0(x, m) >= 0.0);
            prop_assert!((bd0(x, m) - plain).abs() <= 1e-13 * m);
        }

        #[test]
        fn the_mixture_of_integers_is_a_product(
            s in 0usize..30,
            f in 0usize..30,
            p in 0.01f64..0.99,
        ) {
            // Uniform prior: the predictive probability of each trial over its probability at p.
            let ratio = |prior: usize, of: usize, p: f64| {
                (0..of).map(|i| ((i + 1) as f64 / (prior + i + 2) as f64 / p).ln()).sum::<f64>()
            };
            let wanted = ratio(0, s, p) + ratio(s, f, 1.0 - p);
            let ours = ln_beta_mixture((s + f) as f64, s as f64, 1.0, 1.0, p);
            prop_assert!((ours - wanted).abs() < 1e-11, "{ours} {wanted}");
        }

        #[test]
        fn quantiles_are_symmetric_and_grow(p in 1e-6f64..0.5, q in 1e-6f64..0.5) {
            prop_assert!((normal_quantile(p) + normal_quantile(1.0 - p)).abs() < 1e-9);
            prop_assert!(p >= q || normal_quantile(p) <= normal_quantile(q));
        }
    }
}
