//! Tables of text as cells: Markdown, CSV, and columns of a terminal.

/// The head's cells and each row's.
pub type Table = (Vec<String>, Vec<Vec<String>>);

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

/// The first table of a text.
pub fn markdown(text: &str) -> Table {
    let mut rows = text.lines().skip_while(|line| !line.starts_with('|'));
    let head = cells(rows.next().expect("a table"));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(1).map(cells);
    (head, rows.collect())
}

/// Columns two or more spaces apart, until an empty line.
pub fn columns(text: &str) -> Table {
    let split = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let mut rows = text.lines().take_while(|line| !line.trim().is_empty()).map(split);
    (rows.next().expect("a table"), rows.collect())
}

/// RFC 4180, without line breaks in cells.
pub fn csv(text: &str) -> Table {
    let mut rows = text.lines().map(|line| {
        let mut out = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => out.push(String::new()),
                c => out.last_mut().expect("a cell").push(c),
            }
        }
        out
    });
    (rows.next().expect("a table"), rows.collect())
}
