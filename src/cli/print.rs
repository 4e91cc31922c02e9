//! Data on standard output: as a table, JSON, JSON lines, Markdown or CSV.

use super::args::Format;
use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table as Comfy, Width,
};
use serde_json::Value as Json;
use std::io::Write;

/// Characters of a first column that a narrow terminal does not break.
const FIRST_WIDTH_MAX: usize = 24;
/// A space before and after.
const PADDING: u16 = 2;

/// Rows of text under columns, and the documents they were made from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Data {
    /// Column names; a leading `>` aligns to the right.
    pub columns: Vec<String>,
    /// As many cells a row as columns.
    pub rows: Vec<Vec<String>>,
    /// The whole document.
    pub document: Json,
    /// The documents of the lines.
    pub items: Vec<Json>,
    /// Sentences under the table, for people.
    pub notes: Vec<String>,
    /// For people, in place of the one table.
    pub sections: Vec<Section>,
}

/// A sentence, a table, or a table under a sentence.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Section {
    /// The sentence; may be empty.
    pub text: String,
    /// As of [`Data`]; none when there is no table.
    pub columns: Vec<String>,
    /// As many cells a row as columns.
    pub rows: Vec<Vec<String>>,
}

// === impl Section ===

impl Section {
    /// A sentence without a table.
    pub fn text(text: String) -> Self {
        Section { text, ..Section::default() }
    }

    /// Whether there is nothing to print.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.rows.is_empty()
    }
}

/// Writes data in a format.
pub fn print(data: &Data, format: Format, out: &mut impl Write) -> std::io::Result<()> {
    match format {
        Format::Table => for_people(data, NOTHING, true, out).and_then(|()| notes(data, "", out)),
        Format::Markdown => {
            for_people(data, ASCII_MARKDOWN, false, out).and_then(|()| notes(data, "- ", out))
        }
        Format::Json => writeln!(out, "{:#}", data.document),
        Format::Jsonl => data.items.iter().try_for_each(|item| writeln!(out, "{item}")),
        Format::Csv => csv(data, out),
    }
}

fn heading(column: &str) -> &str {
    column.trim_start_matches('>')
}

fn for_people(
    data: &Data,
    preset: &str,
    bounded: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if data.sections.is_empty() {
        return table(&data.columns, &data.rows, preset, bounded, out);
    }
    for (at, section) in data.sections.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        match section.text.as_str() {
            "" => {}
            // As a table of one cell it is as wide as the terminal, and begins where tables do.
            text if bounded => table(&[], &[vec![text.to_owned()]], preset, bounded, out)?,
            text => writeln!(out, "{}", clean(text))?,
        }
        if !section.text.is_empty() && !section.rows.is_empty() {
            writeln!(out)?;
        }
        if !section.rows.is_empty() {
            table(&section.columns, &section.rows, preset, bounded, out)?;
        }
    }
    Ok(())
}

fn table(
    columns: &[String],
    rows: &[Vec<String>],
    preset: &str,
    bounded: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut table = Comfy::new();
    table.load_preset(preset);
    let arrange = if bounded { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.set_content_arrangement(arrange);
    let aligned = |text: String, column: &str| {
        let right = column.starts_with('>');
        Cell::new(text).set_alignment(if right {
            CellAlignment::Right
        } else {
            CellAlignment::Left
        })
    };
    if !columns.is_empty() {
        table.set_header(columns.iter().map(|column| aligned(clean(heading(column)), column)));
    }
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, text)| {
            // A bar would end the cell in Markdown; line breaks and escapes would end the table.
            let text = clean(text).replace('|', if bounded { "|" } else { "\\|" });
            aligned(text, columns.get(at).map_or("", String::as_str))
        });
        table.add_row(cells);
    }
    if let (true, Some(first)) = (bounded, table.column_mut(0)) {
        // Ids and names of metrics are read and copied as a whole.
        let cells = rows.iter().filter_map(|row| row.first());
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        let width = longest.min(FIRST_WIDTH_MAX) as u16 + PADDING;
        first.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    let text = table.to_string();
    text.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

fn notes(data: &Data, bullet: &str, out: &mut impl Write) -> std::io::Result<()> {
    if !data.notes.is_empty() {
        writeln!(out)?;
    }
    data.notes.iter().try_for_each(|note| writeln!(out, "{bullet}{}", clean(note)))
}

fn csv(data: &Data, out: &mut impl Write) -> std::io::Result<()> {
    let line = |cells: Vec<String>| cells.join(",");
    writeln!(out, "{}", line(data.columns.iter().map(|c| quoted(heading(c))).collect()))?;
    let rows = data.rows.iter().map(|row| line(row.iter().map(|cell| quoted(cell)).collect()));
    rows.into_iter().try_for_each(|row| writeln!(out, "{row}"))
}

pub(super) fn quoted(cell: &str) -> String {
    let cell = clean(cell);
    if cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

/// Names come from strangers: a terminal must not obey them, nor turn the line around.
pub(super) fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> String {
        let data = Data {
            columns: vec!["arm".into(), ">calls".into()],
            rows: vec![vec!["a|\"b\",\u{1b}[31m".into(), "12".into()]],
            document: serde_json::json!({"arms": [{"arm": "a"}]}),
            items: vec![serde_json::json!({"arm": "a"})],
            notes: vec!["a is\u{1b} better".into()],
            sections: Vec::new(),
        };
        let mut out = Vec::new();
        print(&data, format, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_would_turn_a_line_around_is_not_obeyed() {
        assert_eq!(clean("a\u{202e}b\u{2066}\u{7}é日"), "a\u{fffd}b\u{fffd}\u{fffd}é日");
    }

    #[test]
    fn every_format_keeps_its_syntax() {
        assert_eq!(printed(Format::Csv), "arm,calls\n\"a|\"\"b\"\",\u{fffd}[31m\",12\n");
        assert_eq!(printed(Format::Jsonl), "{\"arm\":\"a\"}\n");
        assert!(serde_json::from_str::<Json>(&printed(Format::Json)).is_ok());
        let markdown = printed(Format::Markdown);
        assert!(
            markdown.contains("a\\|") && markdown.lines().nth(1).is_some_and(|l| l.contains("---"))
        );
        assert!(!printed(Format::Table).contains('\u{1b}'));
        assert!(printed(Format::Table).ends_with("\na is\u{fffd} better\n"));
        assert!(markdown.ends_with("\n- a is\u{fffd} better\n"));
    }
}
