//! A table that fits: columns shrink to what they need at least, then the least needed go.

use super::text::{cut, width};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// One column.
pub struct Column<'a> {
    /// Its name.
    pub title: String,
    /// Numbers end at the right.
    pub right: bool,
    /// The higher, the sooner it goes; 0 stays.
    pub goes: u8,
    /// Columns of the terminal at least.
    pub least: usize,
    /// What is in it.
    pub cells: Cells<'a>,
}

/// A cell drawn for a row and so many columns of the terminal.
type Draw<'a> = Box<dyn Fn(usize, usize) -> (String, Style) + 'a>;

/// What is in a column.
pub enum Cells<'a> {
    /// Texts.
    Text(Vec<(String, Style)>),
    /// Drawn to fit: at most so wide.
    Drawn(usize, Draw<'a>),
}

/// Columns of the terminal between two columns of the table.
const GAP: usize = 2;

// === impl Column ===

impl Column<'_> {
    /// Of texts that are not cut.
    pub fn new(title: &str, goes: u8, cells: Vec<(String, Style)>) -> Column<'static> {
        let mut column = Column {
            title: title.to_owned(),
            right: false,
            goes,
            least: 0,
            cells: Cells::Text(cells),
        };
        column.least = column.natural();
        column
    }

    /// Of numbers.
    pub fn numbers(title: &str, goes: u8, cells: Vec<(String, Style)>) -> Column<'static> {
        Column { right: true, ..Column::new(title, goes, cells) }
    }

    /// The same, which may be cut down to so many columns.
    pub fn shrinking(self, least: usize) -> Self {
        Column { least: self.natural().min(least), ..self }
    }

    fn natural(&self) -> usize {
        let cells = match &self.cells {
            Cells::Text(cells) => cells.iter().map(|cell| width(&cell.0)).max().unwrap_or(0),
            Cells::Drawn(most, _) => *most,
        };
        cells.max(width(&self.title))
    }

    fn cell(&self, row: usize, columns: usize) -> Span<'static> {
        let (text, style) = match &self.cells {
            Cells::Text(cells) => cells.get(row).cloned().unwrap_or_default(),
            Cells::Drawn(_, draw) => draw(row, columns),
        };
        Span::styled(padded(&text, columns, self.right), style)
    }
}

fn padded(text: &str, columns: usize, right: bool) -> String {
    let text = cut(text, columns);
    let pad = " ".repeat(columns.saturating_sub(width(&text)));
    if right { format!("{pad}{text}") } else { format!("{text}{pad}") }
}

/// The table in so many columns of the terminal: its heading, then its rows.
pub fn fit(
    mut columns: Vec<Column<'_>>,
    rows: usize,
    room: usize,
    head: Style,
) -> Vec<Line<'static>> {
    let widths = loop {
        let least: usize = columns.iter().map(|column| column.least + GAP).sum::<usize>();
        let last = columns.iter().enumerate().max_by_key(|(_, column)| column.goes);
        match last {
            Some((at, column)) if least > room + GAP && column.goes > 0 => drop(columns.remove(at)),
            _ => break shrink(&columns, room),
        }
    };
    let line = |cells: Vec<Span<'static>>| {
        let mut line = Line::default();
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                line.push_span(Span::raw(" ".repeat(GAP)));
            }
            line.push_span(cell);
        }
        line
    };
    let with = || columns.iter().zip(&widths);
    let title = |(column, width): (&Column<'_>, &usize)| {
        Span::styled(padded(&column.title, *width, column.right), head)
    };
    let mut out = vec![line(with().map(title).collect())];
    out.extend((0..rows).map(|row| line(with().map(|(c, width)| c.cell(row, *width)).collect())));
    out
}

/// Widths that fit: those with most to give are cut first.
fn shrink(columns: &[Column<'_>], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(Column::natural).collect();
    while widths.iter().map(|width| width + GAP).sum::<usize>() > room + GAP {
        let spare = |at: &usize| widths[*at].saturating_sub(columns[*at].least);
        match (0..columns.len()).max_by_key(spare).filter(|at| spare(at) > 0) {
            Some(at) => widths[at] -= 1,
            None => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(room: usize) -> Vec<String> {
        let plain = |text: &str| vec![(text.to_owned(), Style::default())];
        let columns = vec![
            Column::new("arm", 0, plain("B")),
            Column::new("model", 2, plain("gpt-4o-mini")).shrinking(6),
            Column::numbers("calls", 1, plain("1,204")),
        ];
        fit(columns, 1, room, Style::default()).iter().map(Line::to_string).collect()
    }

    #[test]
    fn columns_shrink_and_then_go() {
        assert_eq!(table(40), ["arm  model        calls", "B    gpt-4o-mini  1,204"]);
        assert_eq!(table(20), ["arm  model     calls", "B    gpt-4o-…  1,204"]);
        assert_eq!(table(16), ["arm  calls", "B    1,204"]);
        assert_eq!(table(5), ["arm", "B  "]);
    }
}
