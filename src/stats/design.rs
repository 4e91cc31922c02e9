//! Linear designs over arms: whether a contrast of parameters can be estimated from the means of
//! the arms that ran, and with which coefficients. Source: `statistics.md` section 10 (iii); the
//! estimability condition is the textbook one (Searle, *Linear Models*, section 5.4): a linear
//! function of the parameters is estimable exactly when it lies in the row space of the design.

use std::collections::BTreeSet;

/// Relative tolerance of the rank test: after scaling design and target to a largest absolute
/// entry of 1, what is left of a vector below this share of the longest one counts as zero.
pub const TOLERANCE: f64 = 1e-9;

/// Coefficients of an additive design are rounded to one in this many, which is far below any
/// standard error.
const PARTS: f64 = 1e12;

/// Coefficients `c`, one a row of `design`, with `Σ c_r · row_r = target`, or `None` when the
/// target is not in the row space (residual above [`TOLERANCE`]). Of all solutions it is the one
/// of least norm, so the least variance when the rows are equally noisy.
///
/// Rows are as long as `target`; ragged rows and values that are not finite give `None`. A target
/// of zeros gives zeros. Work is O(rows² · columns).
pub fn row_space(design: &[Vec<f64>], target: &[f64]) -> Option<Vec<f64>> {
    if design.iter().any(|row| row.len() != target.len()) {
        return None;
    }
    let (top, goal) = (largest(design.iter().flatten())?, largest(target.iter())?);
    if goal == 0.0 {
        return Some(vec![0.0; design.len()]);
    }
    if top == 0.0 {
        return None;
    }
    let rows: Vec<Vec<f64>> = design.iter().map(|row| scaled(row, top)).collect();
    let goal_of_one = scaled(target, goal);
    let found = least_norm(&rows, &goal_of_one)?;
    let reached = combined(&rows, &found, target.len());
    let off = reached.iter().zip(&goal_of_one).any(|(x, y)| (x - y).abs() > TOLERANCE);
    let out: Vec<f64> = found.iter().map(|c| c * (goal / top)).collect();
    (!off && out.iter().all(|c| c.is_finite())).then_some(out)
}

/// The effect of one field going from level `from` to level `to` under an additive model without
/// interactions: coefficients over the arms, or `None` when these arms cannot tell.
///
/// `levels[arm][field]` is the level of an arm in a field (any numbers). The design has an
/// intercept and an indicator for every level but a reference in each field.
pub fn field_effect(
    levels: &[Vec<usize>],
    field: usize,
    from: usize,
    to: usize,
) -> Option<Vec<f64>> {
    let width = levels.first()?.len();
    if field >= width || levels.iter().any(|arm| arm.len() != width) {
        return None;
    }
    let columns = indicators(levels, field, from);
    let at = columns.iter().position(|column| *column == (field, to))?;
    let row = |arm: &Vec<usize>| {
        let ones = columns.iter().map(|(f, level)| f64::from(u8::from(arm[*f] == *level)));
        std::iter::once(1.0).chain(ones).collect()
    };
    let design: Vec<Vec<f64>> = levels.iter().map(row).collect();
    let mut target = vec![0.0; columns.len() + 1];
    target[at + 1] = 1.0;
    let exact = row_space(&design, &target)?;
    Some(exact.iter().map(|c| (c * PARTS).round() / PARTS + 0.0).collect())
}

/// The (field, level) pairs that get a column: all but one reference a field, which is `from`
/// for the field in question and the lowest level elsewhere.
fn indicators(levels: &[Vec<usize>], field: usize, from: usize) -> Vec<(usize, usize)> {
    let seen: BTreeSet<(usize, usize)> =
        levels.iter().flat_map(|arm| arm.iter().copied().enumerate()).collect();
    let mut out = Vec::new();
    let mut last = None;
    for (f, level) in seen {
        let first_of_field = last != Some(f);
        last = Some(f);
        let reference = if f == field { level == from } else { first_of_field };
        if !reference {
            out.push((f, level));
        }
    }
    out
}

/// Least-norm solution of `rowsᵀ c = target`. With orthonormal bases `B` of the column space and
/// `W` of the row space, `c = B z` where `(Wᵀ rowsᵀ B) z = Wᵀ target`: no normal equations, so
/// the condition number is not squared.
fn least_norm(rows: &[Vec<f64>], target: &[f64]) -> Option<Vec<f64>> {
    let columns: Vec<Vec<f64>> =
        (0..target.len()).map(|j| rows.iter().map(|row| row[j]).collect()).collect();
    let (over_rows, over_columns) = (basis(&columns), basis(rows));
    if over_rows.len() != over_columns.len() {
        return None;
    }
    let images: Vec<Vec<f64>> = over_rows.iter().map(|b| combined(rows, b, target.len())).collect();
    let square = over_columns.iter().map(|w| images.iter().map(|x| dot(w, x)).collect()).collect();
    let right = over_columns.iter().map(|w| dot(w, target)).collect();
    let z = solve(square, right)?;
    Some(combined(&over_rows, &z, rows.len()))
}

/// An orthonormal basis of what the vectors span: Gram–Schmidt, longest remainder first, each
/// new vector orthogonalised twice.
fn basis(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut rest = vectors.to_vec();
    let most = rest.len().min(rest.first().map_or(0, Vec::len));
    let limit = TOLERANCE * rest.iter().map(|v| length(v)).fold(0.0, f64::max);
    let mut found: Vec<Vec<f64>> = Vec::new();
    while found.len() < most {
        let Some(longest) = rest.iter().max_by(|x, y| length(x).total_cmp(&length(y))) else {
            break;
        };
        if length(longest) <= limit {
            break;
        }
        let mut unit = scaled(longest, length(longest));
        found.iter().for_each(|known| take_out(&mut unit, known));
        let unit = scaled(&unit, length(&unit));
        rest.iter_mut().for_each(|v| take_out(v, &unit));
        found.push(unit);
    }
    found
}

/// Solves a square system by Gaussian elimination with partial pivoting.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for at in 0..n {
        let pivot = (at..n).max_by(|x, y| matrix[*x][at].abs().total_cmp(&matrix[*y][at].abs()))?;
        if matrix[pivot][at] == 0.0 {
            return None;
        }
        matrix.swap(at, pivot);
        right.swap(at, pivot);
        let (head, value) = (matrix[at].clone(), right[at]);
        for below in at + 1..n {
            let factor = matrix[below][at] / head[at];
            matrix[below].iter_mut().zip(&head).for_each(|(x, h)| *x -= factor * h);
            right[below] -= factor * value;
        }
    }
    for at in (0..n).rev() {
        let known: f64 = (at + 1..n).map(|j| matrix[at][j] * right[j]).sum();
        right[at] = (right[at] - known) / matrix[at][at];
    }
    Some(right)
}

/// `Σ weight · vector`, of the given length.
fn combined(vectors: &[Vec<f64>], weights: &[f64], length: usize) -> Vec<f64> {
    let mut out = vec![0.0; length];
    for (vector, weight) in vectors.iter().zip(weights) {
        out.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
    }
    out
}

/// The largest absolute value, 0 for none; `None` when one is not finite.
fn largest<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let top =
        values.fold(0.0, |top, x| if x.is_finite() { x.abs().max(top) } else { f64::INFINITY });
    top.is_finite().then_some(top)
}

fn scaled(vector: &[f64], by: f64) -> Vec<f64> {
    vector.iter().map(|x| x / by).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn take_out(vector: &mut [f64], unit: &[f64]) {
    let share = dot(vector, unit);
    vector.iter_mut().zip(unit).for_each(|(x, u)| *x -= share * u);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_difference_of_two_rows_is_found_and_a_missing_one_is_not() {
        let design = vec![vec![1.0, 0.0, 0.0], vec![1.0, 1.0, 0.0], vec![1.0, 1.0, 1.0]];
        let found = row_space(&design, &[0.0, 0.0, 1.0]).expect("in the row space");
        for (c, expected) in found.iter().zip([0.0, -1.0, 1.0]) {
            assert!((c - expected).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(row_space(&design[..2], &[0.0, 0.0, 1.0]), None);
    }

    #[test]
    fn edges_give_a_value_or_none_and_never_a_panic() {
        assert_eq!(row_space(&[], &[1.0]), None);
        assert_eq!(row_space(&[], &[]), Some(vec![]));
        assert_eq!(row_space(&[vec![1.0], vec![1.0, 2.0]], &[1.0]), None);
        assert_eq!(row_space(&[vec![f64::NAN], vec![1.0]], &[1.0]), None);
        assert_eq!(row_space(&[vec![1.0], vec![f64::INFINITY]], &[1.0]), None);
        assert_eq!(row_space(&[vec![0.0]], &[1.0]), None);
        assert_eq!(row_space(&[vec![2.0], vec![3.0]], &[0.0]), Some(vec![0.0, 0.0]));
        assert_eq!(row_space(&[vec![1e-300]], &[1e300]), None, "beyond what a double can hold");
        assert_eq!(field_effect(&[], 0, 0, 1), None);
        assert_eq!(field_effect(&[vec![0], vec![0, 1]], 0, 0, 1), None);
        assert_eq!(field_effect(&[vec![0], vec![1]], 3, 0, 1), None);
        assert_eq!(field_effect(&[vec![0], vec![1]], 0, 0, 0), None);
        assert_eq!(field_effect(&[vec![0], vec![1]], 0, 0, 1), Some(vec![-1.0, 1.0]));
    }

    #[test]
    fn of_all_solutions_it_is_the_shortest() {
        let found = row_space(&[vec![1.0], vec![1.0]], &[1.0]).expect("in the row space");
        assert!(found.iter().all(|c| (c - 0.5).abs() < 1e-12), "{found:?}");
        let square = [vec![0, 0], vec![0, 1], vec![1, 0], vec![1, 1]];
        assert_eq!(field_effect(&square, 0, 0, 1), Some(vec![-0.5, -0.5, 0.5, 0.5]));
    }

    /// Up to 8 arms, 3 fields of up to 3 levels.
    fn arms() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(prop::collection::vec(0..3_usize, 3), 1..9)
    }

    /// The mean of an arm under an additive model with `effects[field][level]`.
    fn mean(arm: &[usize], effects: &[[f64; 3]]) -> f64 {
        arm.iter().zip(effects).map(|(level, effect)| effect[*level]).sum()
    }

    /// A direction of parameters that no arm sees but the contrast does, by elimination in exact
    /// integers: a null vector of the arms' indicator rows with `v[to] ≠ v[from]` in `field`.
    /// Nine parameters without intercept are the same model.
    fn unseen(levels: &[Vec<usize>], field: usize, from: usize, to: usize) -> Option<Vec<i128>> {
        let mut rows: Vec<Vec<i128>> = Vec::new();
        for arm in levels {
            let mut row = vec![0_i128; 9];
            arm.iter().enumerate().for_each(|(f, level)| row[f * 3 + level] = 1);
            rows.push(row);
        }
        let mut pivots: Vec<usize> = Vec::new();
        for column in 0..9 {
            let at = pivots.len();
            let Some(found) = (at..rows.len()).find(|r| rows[*r][column] != 0) else { continue };
            rows.swap(at, found);
            let head = rows[at].clone();
            for (r, row) in rows.iter_mut().enumerate() {
                if r != at && row[column] != 0 {
                    let (p, q) = (head[column], row[column]);
                    row.iter_mut().zip(&head).for_each(|(x, h)| *x = *x * p - h * q);
                }
            }
            pivots.push(column);
        }
        (0..9).filter(|free| !pivots.contains(free)).find_map(|free| {
            let common: i128 = (0..pivots.len()).map(|r| rows[r][pivots[r]]).product();
            let mut null = vec![0; 9];
            null[free] = common;
            for (r, pivot) in pivots.iter().enumerate() {
                null[*pivot] = -rows[r][free] * common / rows[r][*pivot];
            }
            (null[field * 3 + to] != null[field * 3 + from]).then_some(null)
        })
    }

    proptest! {
        #[test]
        fn estimable_exactly_when_no_unseen_direction_moves_the_effect(
            levels in arms(), field in 0..3_usize, from in 0..3_usize, step in 1..3_usize,
            effects in prop::array::uniform3(prop::array::uniform3(-10.0..10.0_f64)),
        ) {
            let to = (from + step) % 3;
            let witness = unseen(&levels, field, from, to);
            match field_effect(&levels, field, from, to) {
                Some(c) => {
                    prop_assert!(witness.is_none(), "{witness:?}");
                    let parts = levels.iter().zip(&c).map(|(arm, c)| c * mean(arm, &effects));
                    let seen: f64 = parts.sum();
                    let truth = effects[field][to] - effects[field][from];
                    prop_assert!((seen - truth).abs() < 1e-8, "{seen} {truth}");
                    prop_assert!(c.iter().sum::<f64>().abs() < 1e-9);
                }
                None => {
                    let null = witness.expect("two models the arms cannot tell apart");
                    for arm in &levels {
                        let moves = arm.iter().enumerate().map(|(f, level)| null[f * 3 + level]);
                        prop_assert_eq!(moves.sum::<i128>(), 0);
                    }
                }
            }
        }

        #[test]
        fn a_combination_of_rows_is_found_again_and_is_not_longer(
            design in prop::collection::vec(prop::collection::vec(-3.0..3.0_f64, 5), 1..8),
            weights in prop::collection::vec(-2.0..2.0_f64, 8),
            power in -30..30_i32,
        ) {
            let scale = 2.0_f64.powi(power);
            let design: Vec<Vec<f64>> =
                design.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
            let weights = &weights[..design.len()];
            let target = combined(&design, weights, 5);
            if let Some(c) = row_space(&design, &target) {
                let back = combined(&design, &c, 5);
                for (x, y) in back.iter().zip(&target) {
                    prop_assert!((x - y).abs() <= 1e-8 * largest(target.iter()).expect("finite"));
                }
                prop_assert!(length(&c) <= length(weights) * (1.0 + 1e-6));
            } else {
                prop_assert!(design.len() > 1, "one row always spans its own multiples");
            }
        }

        #[test]
        fn it_never_panics_and_never_gives_a_nan(
            design in prop::collection::vec(prop::collection::vec(any::<f64>(), 0..4), 0..5),
            target in prop::collection::vec(any::<f64>(), 0..4),
        ) {
            let found = row_space(&design, &target);
            prop_assert!(found.is_none_or(|c| c.iter().all(|x| x.is_finite())));
        }
    }
}
