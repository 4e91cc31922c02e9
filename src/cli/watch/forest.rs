//! An interval of a difference as a row of characters around zero, with its estimate and the
//! margin that it must not pass.

use crate::model::record::MetricLine;

/// What is drawn of one difference, in the unit of its metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mark {
    /// The estimate.
    pub estimate: f64,
    /// The lower bound; none is open.
    pub lower: Option<f64>,
    /// The upper bound.
    pub upper: Option<f64>,
    /// Where harm begins to count.
    pub margin: Option<f64>,
}

impl Mark {
    /// Of a line, given control's level for margins that are a share of it.
    pub fn of(line: &MetricLine, control: Option<f64>) -> Option<Mark> {
        let difference = line.difference.as_ref()?;
        let margin = line.margin_at(control);
        let (lower, upper) = (difference.lower, difference.upper);
        Some(Mark { estimate: difference.estimate, lower, upper, margin })
    }

    /// The largest distance from zero.
    pub fn reach(&self) -> f64 {
        let all = [Some(self.estimate), self.lower, self.upper, self.margin];
        let finite = all.into_iter().flatten().filter(|value| value.is_finite());
        finite.fold(0.0, |most, value| value.abs().max(most))
    }
}

/// Draws it in so many columns; `reach` is at both ends, zero in the middle.
pub fn bar(mark: &Mark, reach: f64, columns: usize) -> String {
    let half = columns.saturating_sub(1) / 2;
    let at = |value: f64| {
        let share = if reach > 0.0 { (value / reach).clamp(-1.0, 1.0) } else { 0.0 };
        // Not a number is drawn at zero.
        (half as f64 + share * half as f64).round() as usize
    };
    let mut cells = vec![' '; 2 * half + 1];
    let known = mark.lower.is_some() || mark.upper.is_some();
    let (from, to) = (mark.lower.map_or(0, at), mark.upper.map_or(2 * half, at));
    if known {
        cells[from..=to.max(from)].fill('─');
        cells[from] = if mark.lower.is_some() { '├' } else { '‹' };
        cells[to] = if mark.upper.is_some() { '┤' } else { '›' };
    }
    let covered = |column: usize| known && (from + 1..to).contains(&column);
    cells[half] = if covered(half) { '┼' } else { '│' };
    if let Some(margin) = mark.margin.map(at).filter(|column| *column != half) {
        cells[margin] = if covered(margin) { '╫' } else { '║' };
    }
    cells[at(mark.estimate)] = '●';
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metric::Direction;

    #[test]
    fn intervals_lie_around_zero_with_their_margin() {
        let mark = Mark { estimate: 5.0, lower: Some(2.5), upper: Some(10.0), margin: Some(-5.0) };
        assert_eq!(mark.reach(), 10.0);
        assert_eq!(bar(&mark, 10.0, 17), "    ║   │ ├─●───┤");
        let open = Mark { estimate: 0.0, lower: None, upper: Some(5.0), margin: Some(2.5) };
        assert_eq!(bar(&open, 10.0, 17), "‹───────●─╫─┤    ");
        let none = Mark { estimate: 1.0, lower: None, upper: None, margin: None };
        assert_eq!(bar(&none, 1.0, 8), "   │  ●");
        assert_eq!(bar(&Mark { estimate: f64::NAN, ..none }, 0.0, 1), "●");
    }

    #[test]
    fn the_margin_is_on_the_side_of_harm() {
        let line = serde_json::json!({"name": "m", "role": "guardrail", "direction": "increase",
            "unit": "1", "definition": "", "calls": 1, "margin_share": 0.1,
            "difference": {"from": "A", "estimate": 0.01, "method": "x"}});
        let mut line: MetricLine = serde_json::from_value(line).expect("a line");
        assert_eq!(Mark::of(&line, Some(0.5)).expect("a mark").margin, Some(-0.05));
        line.direction = Direction::Decrease;
        line.margin = Some(0.2);
        assert_eq!(Mark::of(&line, None).expect("a mark").margin, Some(0.2));
    }
}
