"""Reference values for `tests/vectors.rs`, with 50 digits, by direct formulas.

An independent program: log-gamma differences where the Rust code has deviances, recursions
without logs, brute force over units, fractions. It writes `own/*.json` next to itself.

    python3 -m venv VENV && VENV/bin/pip install mpmath && VENV/bin/python reference.py
"""

import json
import random
from fractions import Fraction
from pathlib import Path

import mpmath
from mpmath import exp, findroot, log, loggamma, mpf, sqrt

mpmath.mp.dps = 50
OUT = Path(__file__).parent / "own"


def text(value):
    """20 digits, which is more than a double holds."""
    if isinstance(value, Fraction):
        value = mpf(value.numerator) / value.denominator
    return mpmath.nstr(value, 20, strip_zeros=False)


def write(name, rel, what, cases):
    # Where the log e-value itself is near 0, the tolerance counts from 1e-3.
    file = {"oracle": "reference.py, 50 digits", "exercises": what, "tolerance": {"rel": rel}}
    OUT.mkdir(exist_ok=True)
    body = json.dumps(file | {"cases": cases}, indent=1)
    (OUT / name).write_text(body + "\n")


# === special functions ===


def special():
    gammas = [1e-300, 1e-9, 0.1, 0.25, 0.4999999, 0.5, 0.75, 0.999, 0.9999999, 1.0, 1.0000001, 1.2,
              1.4999, 1.5, 1.75, 1.99999, 2.0, 2.0000001, 2.3, 2.5, 2.51, 3.0, 3.7, 7.25, 9.999,
              10.0, 10.5, 33.3, 171.0, 1e3, 1e6 + 0.5, 1e9, 1e12, 1e15, 1e300]
    write("ln_gamma.json", 1e-14, "ln gamma", [
        {"x": x, "ln_gamma": text(loggamma(mpf(x)))} for x in gammas])
    errors = [1e-3, 0.5, 1.0, 3.3, 9.5, 10.0, 20.0, 1e3, 1e6]
    stirling = lambda x: loggamma(x) - ((x - mpf(1) / 2) * log(x) - x + log(2 * mpmath.pi) / 2)
    write("stirling_error.json", 1e-12, "Stirling's error, see Loader 2000", [
        {"x": x, "error": text(stirling(mpf(x)))} for x in errors])
    levels = [1e-300, 1e-20, 1e-9, 0.001, 0.025, 0.07, 0.075, 0.2, 0.5, 0.8, 0.9, 0.975, 0.999999]
    tail = lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)
    def z(p):
        p = mpf(p)
        # erfinv has no precision at 2p − 1 = −1: Newton from the asymptotic value instead.
        if p > mpf("1e-15"):
            return tail(p)
        return findroot(lambda x: log(mpmath.ncdf(x) / p), -sqrt(-2 * log(p)) + 1)
    write("normal_quantile.json", 1e-14, "quantiles of the normal distribution", [
        {"p": p, "z": text(z(p))} for p in levels])
    pairs = [(0.5, 0.5), (1.0, 2.0), (20.0, 180.0), (1e-3, 1e9), (1e6, 1e6 + 1), (3.5, 1e12)]
    write("ln_beta.json", 1e-13, "ln of the beta function", [
        {"a": a, "b": b, "ln_beta": text(ln_beta(mpf(a), mpf(b)))} for a, b in pairs])


def ln_beta(a, b):
    return loggamma(a) + loggamma(b) - loggamma(a + b)


def mixture(n, s, a, b, p):
    n, s, a, b, p = map(mpf, (n, s, a, b, p))
    return ln_beta(a + s, b + n - s) - ln_beta(a, b) - s * log(p) - (n - s) * log(1 - p)


def mixtures():
    cases = [
        (1, 0, 0.5, 0.5, 0.5), (10, 10, 0.5, 0.5, 0.5), (200, 107, 1, 1, 0.5),
        (100.25, 3.75, 0.5, 0.5, 0.01), (1e4, 0, 0.5, 0.5, 1e-3), (1e4, 1e4, 0.5, 0.5, 0.999),
        (1e6, 301, 20, 180, 3e-4), (1e9, 500_100_000, 100, 100, 0.5),
        (1e12, 500_000_000_000, 0.5, 0.5, 0.5), (1e12, 500_003_000_000, 0.5, 0.5, 0.5),
        (1e12, 10_000_300_000, 2, 198, 0.01), (1e12, 5, 0.5, 0.5, 1e-12),
        (1e12, 999_999_999_990, 5000, 5000, 0.99999999999), (1e12, 3e11, 1e6, 1e6, 0.5),
    ]
    write("beta_mixture.json", 1e-9, "beta-binomial mixture, to 1e12 trials", [
        {"n": n, "s": s, "a": a, "b": b, "p": p, "log_e": text(mixture(n, s, a, b, p))}
        for n, s, a, b, p in cases])


def bisect(rejected, inside, outside):
    """Where `rejected` begins, to 1e-40 relative."""
    for _ in range(300):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
    return outside


def beta_intervals():
    out = []
    for n, s, alpha in [(1, 0, 0.05), (3.5, 3.5, 0.05), (12.5, 4.25, 0.1), (1e6, 3, 0.05),
                        (1e9, 7e8, 0.001), (1e12, 1e6, 0.05), (1e12, 5, 1e-6)]:
        rejected = lambda mu: mixture(n, s, 0.5, 0.5, mu) >= -log(mpf(alpha))
        mean = mpf(s) / mpf(n)
        lower = mpf(0) if s == 0 else bisect(rejected, mean, mpf(10) ** -30)
        upper = mpf(1) if s == n else bisect(rejected, mean, 1 - mpf(10) ** -30)
        out.append({"n": n, "s": s, "alpha": alpha, "lower": text(lower), "upper": text(upper)})
    write("beta_interval.json", 1e-12, "roots of the beta mixture, prior (1/2, 1/2)", out)


# === rare events ===


def rare_log_e(rows, kappa, ratio):
    total = mpf(0)
    for share, treated, control in rows:
        share = mpf(share)
        p = share * ratio / (share * ratio + 1 - share)
        a, b = kappa * share, kappa * (1 - share)
        total += ln_beta(a + treated, b + control) - ln_beta(a, b)
        total -= treated * log(p) + control * log(1 - p)
    return total


def rare():
    out = []
    for rows, kappa, alpha in [
        ([(0.5, 3, 1)], 20, 0.05), ([(0.1, 9, 30)], 20, 0.05), ([(0.01, 0, 250)], 20, 0.05),
        ([(0.01, 4, 0)], 20, 0.01), ([(0.05, 4, 60), (0.5, 44, 31)], 20, 0.05),
        ([(0.05, 0, 7), (0.25, 2, 9), (0.5, 8, 3)], 5, 0.025), ([(0.9, 1234567, 90000)], 20, 0.05),
    ]:
        logs = [{"ratio": r, "log_e": text(rare_log_e(rows, mpf(kappa), mpf(r)))}
                for r in (1.0, 0.5, 1.25, 3.0, 1e-6, 1e6)]
        # In ln ratio, from the minimum outward.
        at = lambda x: rare_log_e(rows, mpf(kappa), exp(x))
        treated, control = sum(r[1] for r in rows), sum(r[2] for r in rows)
        low, high = mpf(-200), mpf(200)
        for _ in range(400):
            a, b = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, b) if at(a) < at(b) else (a, high)
        rejected = lambda x: at(x) >= -log(mpf(alpha))
        assert not rejected(low)
        lower = mpf(0) if treated == 0 else exp(bisect(rejected, low, mpf(-300)))
        upper = None if control == 0 else exp(bisect(rejected, low, mpf(300)))
        out.append({"rows": rows, "kappa": kappa, "alpha": alpha, "logs": logs,
                    "lower": text(lower), "upper": "inf" if upper is None else text(upper)})
    write("conditional_binomial.json", 1e-9, "rare events: log e by ratio, interval of the ratio",
          out)


# === sample ratio ===


def dirichlet(counts, shares, k):
    total = sum(mpf(s) for s in shares)
    shares = [mpf(s) / total for s in shares]
    out = loggamma(mpf(k)) - loggamma(mpf(k) + sum(counts))
    for n, share in zip(counts, shares):
        out += loggamma(k * share + n) - loggamma(k * share) - n * log(share)
    return out


def sample_ratio():
    allocations = [
        ([0, 0], [0.5, 0.5]), ([52, 48], [0.5, 0.5]), ([900, 120], [0.9, 0.1]),
        ([500_030_000, 499_970_000], [0.5, 0.5]),
        ([333_333_333, 333_333_334, 333_333_333], [1, 1, 1]),
        ([10_000_000_000, 90_001_500_000], [1, 9]), ([5, 0], [0.001, 0.999]),
    ]
    def mix(counts, shares):
        return log(sum(exp(dirichlet(counts, shares, k)) for k in (100, 10_000)) / 2)
    cases = [{"counts": c, "shares": s, "mixture": text(mix(c, s)),
              "logs": [{"k": k, "log_e": text(dirichlet(c, s, k))} for k in (1, 100, 10_000)]}
             for c, s in allocations]
    cases[0]["product"] = text(sum(mix(c, s) for c, s in allocations))
    write("sample_ratio.json", 1e-9, "Dirichlet-multinomial at large counts, mixture, product",
          cases)


# === drift ===


def drift():
    out = []
    for seed, null, before, after, change, total in [
        (1, 0.02, 0.01, 0.05, 40, 90), (2, 0.5, 0.5, 0.8, 30, 80), (3, 0.95, 0.9, 1.0, 20, 60),
        (4, 0.0, 0.0, 0.1, 10, 30),
    ]:
        random.seed(seed)
        level = lambda t: before if t < change else after
        x = [min(1.0, max(0.0, random.gauss(level(t), 0.3 * level(t)))) for t in range(total)]
        cap = min(mpf("12.8"), mpf("0.95") / mpf(null)) if null else mpf("12.8")
        bets = [mpf("0.02") * 2**j for j in range(20) if mpf("0.02") * 2**j < cap] + [cap]
        sr, cusum, began = [mpf(0)] * len(bets), [mpf(1)] * len(bets), [0] * len(bets)
        steps = []
        for t, value in enumerate(x):
            for j, bet in enumerate(bets):
                factor = 1 + bet * (mpf(value) - mpf(null))
                sr[j] = (sr[j] + 1) * factor
                began[j] = t + 100 if cusum[j] <= 1 else began[j]
                cusum[j] = max(cusum[j], 1) * factor
            lead = max(mpf(0), max(log(c) for c in cusum))
            strong = [began[j] for j, c in enumerate(cusum) if log(c) >= lead / 2]
            steps.append({"log_sr": text(log(sum(sr) / len(sr))), "onset": min(strong, default=0),
                          "log_cusum": text(log(sum(cusum) / len(cusum)))})
        out.append({"null": null, "x": x, "first": 100, "steps": steps})
    write("e_detector.json", 1e-11, "e-SR and e-CUSUM, recursions without logs", out)


# === CUPED, by brute force over units ===


def cuped():
    out = []
    for seed, units, buckets, slope, noise in [
        (1, 300, 16, 2, 5), (2, 1000, 64, -1, 20), (3, 40, 8, 0, 9),
    ]:
        random.seed(seed)
        arms = []
        for lift in (0, 3):
            people = []
            for _ in range(units):
                x, calls = random.randint(0, 50), random.randint(1, 6)
                level = 100 + lift + slope * x
                y = sum(max(0, level + random.randint(-noise, noise)) for _ in range(calls))
                people.append((random.randrange(buckets), y, calls, x))
            arms.append(people)
        out.append(one_cuped(arms, buckets))
    write("cuped.json", 1e-9, "CUPED against brute force over units", out)


def one_cuped(arms, buckets):
    everyone = arms[0] + arms[1]
    pool = Fraction(sum(u[3] for u in everyone), len(everyone))
    stats = []
    for people in arms:
        sy, sw, sx, n = (sum(u[1] for u in people), sum(u[2] for u in people),
                         sum(u[3] for u in people), len(people))
        r, mean = Fraction(sy, sw), Fraction(sx, n)
        ey, ex, touched = [Fraction(0)] * buckets, [Fraction(0)] * buckets, set()
        for b, y, w, x in people:
            ey[b] += (y - r * w) / sw
            ex[b] += (x - mean) / n
            touched.add(b)
        g = len(touched)
        stats.append((r, mean, ey, ex, Fraction(g, g - 1)))
    xy = sum(c * sum(a * b for a, b in zip(ey, ex)) for _, _, ey, ex, c in stats)
    xx = sum(c * sum(b * b for b in ex) for _, _, _, ex, c in stats)
    theta = xy / xx
    before = sum(c * sum(a * a for a in ey) for _, _, ey, _, c in stats)
    after = [c * sum((a - theta * b) ** 2 for a, b in zip(ey, ex)) for _, _, ey, ex, c in stats]
    estimates = [r - theta * (mean - pool) for r, mean, _, _, _ in stats]
    rows = []
    for people in arms:
        y, x = [[0, 0] for _ in range(buckets)], [[0, 0] for _ in range(buckets)]
        for b, total, calls, covariate in people:
            y[b][0] += total
            y[b][1] += calls
            x[b][0] += covariate
            x[b][1] += 1
        rows.append({"y": y, "x": x})
    return {"control": rows[0], "treated": rows[1], "theta": text(theta),
            "estimates": [text(e) for e in estimates], "variances": [text(v) for v in after],
            "reduction": text(1 - sum(after) / before)}


# === weights ===


def weighted():
    out = []
    for seed, calls in [(1, 60), (2, 500)]:
        random.seed(seed)
        # Scores in thousandths, weights in millionths, one row per unit.
        weight = lambda: random.choice([1_250_000, 5_000_000])
        units = [(random.randint(0, 1000), weight()) for _ in range(calls)]
        sw, swx = sum(w for _, w in units), sum(w * x for x, w in units)
        mean = Fraction(swx, sw)
        variance = Fraction(calls, calls - 1) * sum((w * (x - mean)) ** 2 for x, w in units) / sw**2
        sww = sum(w * w for _, w in units)
        largest = max(w for _, w in units)
        terms = [Fraction(x, 1000) * Fraction(w, largest) for x, w in units]
        out.append({"units": units, "mean": text(mean), "variance": text(variance),
                    "effective": text(Fraction(sw * sw, sww)), "sum_w": sw, "sum_ww": sww,
                    "largest_share": text(Fraction(largest, sw)), "w_max": largest,
                    "horvitz": text(sum(terms) / calls)})
    write("weights.json", 1e-12, "Hajek mean and variance, effective sample size, Horvitz-Thompson",
          out)


# === levels and plans ===


def levels():
    shares = {1: Fraction(4, 5)} | {k: Fraction(1, 5) / ((k - 1) * k) for k in range(2, 2001)}
    cases = [{"epoch": k, "share": text(shares[k])} for k in (1, 2, 3, 4, 10, 1000)]
    cases[0]["sum_to_2000"] = text(sum(shares.values()))
    write("epochs.json", 1e-14, "share of alpha by epoch", cases)


def radius(variance, gain, alpha):
    return sqrt(variance * (1 + 1 / gain) * log((1 + gain) / alpha**2))


def rhos():
    def gbstats(alpha, n):
        return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / n
    def confseq(alpha, t):
        return (-alpha**2 - 2 * log(alpha) + log(1 - 2 * log(alpha) - alpha**2)) / t
    write("rho2.json", 1e-14, "tuning of the mixture by number of units", [
        {"alpha": a, "n": n, "rho2": text(gbstats(mpf(a), n)), "exact": text(confseq(mpf(a), n))}
        for a, n in [(0.05, 5000), (0.3, 100), (1e-6, 123456)]])


def plans():
    out = []
    for rule, value, variance, units, distance, alpha in [
        ("effect", 0.02, 1e-4, 2000, 0.01, 0.05), ("n_star", 5000, 1e-4, 2000, 0.01, 0.05),
        ("effect", 5.0, 40.0, 300, 12.0, 0.01), ("n_star", 500, 0.5, 100, 0.001, 0.05),
        ("effect", 1.0, 0.01, 1000, 5.0, 0.05),
    ]:
        alpha_, spent = mpf(alpha), -2 * log(mpf(alpha))
        def at(n):
            v = mpf(variance) * units / n
            gain = mpf(value) ** 2 / v if rule == "effect" else (spent + log(1 + spent)) / value * n
            return radius(v, gain, alpha_), v
        low, high = units, units
        while at(high)[0] >= distance:
            low, high = high, high * 2
        if high > units:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if at(middle)[0] < distance else (middle, high)
        r, v = at(10 * units)
        power = mpmath.sqrt(2) * mpmath.erfinv(2 * mpf("0.8") - 1)
        out.append({"rule": rule, "value": value, "variance": variance, "units": units,
                    "distance": distance, "alpha": alpha, "units_to_decide": high,
                    "effect_at_ten_times": text(r + power * sqrt(v))})
    write("plan.json", 1e-12, "units to decide, smallest effect at power 0.8", out)


if __name__ == "__main__":
    special()
    mixtures()
    beta_intervals()
    rare()
    sample_ratio()
    drift()
    cuped()
    weighted()
    levels()
    rhos()
    plans()
