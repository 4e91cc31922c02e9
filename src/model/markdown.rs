//! Foreign text in Markdown: code spans, cells, prose and links that cannot become anything else.

use serde_json::Value as Json;

/// Characters of one value that are shown.
const VALUE_CHARS_MAX: usize = 300;

/// A code span: nothing in it is Markdown, HTML or a mention.
pub fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return String::new();
    }
    let mut fence = "`".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    // A space is taken off at both ends again; it keeps a backtick at an end apart.
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A code span in a cell of a table, where a bar ends the cell even in code.
pub fn code_cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// A JSON value in a cell; text stands without its quotes.
pub fn json_cell(value: &Json) -> String {
    match value {
        Json::String(text) => code_cell(text),
        other => code_cell(&other.to_string()),
    }
}

/// Text in a sentence: its punctuation means nothing, and it mentions nobody.
pub fn prose(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied().unwrap_or(' ');
        let within = before.is_alphanumeric() && after.is_alphanumeric();
        match c {
            '_' if within => {}
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '#' => {
                out.push('\\');
            }
            _ => {}
        }
        out.push(c);
        if c == '@' {
            out.push('\u{200b}');
        }
        before = c;
    }
    out
}

/// A link when the target is a web address, else the text alone.
pub fn link(text: &str, target: &str) -> String {
    let web = target.starts_with("https://") || target.starts_with("http://");
    let plain = !target.contains(['<', '>', '\\']) && !target.contains(char::is_whitespace);
    if web && plain && !target.contains(char::is_control) {
        format!("[{}](<{target}>)", prose(text))
    } else {
        prose(text)
    }
}

/// It, or as many whole lines of it as leave room for `end`.
pub fn bounded(text: String, bytes_max: usize, end: &str) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let room = text.as_bytes()[..bytes_max - end.len()].iter().rposition(|byte| *byte == b'\n');
    let mut out = text;
    out.truncate(room.map_or(0, |at| at + 1));
    out + end
}

/// Without control characters and invisible marks of direction, on one line, not too long.
fn one_line(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
        c => c,
    };
    let mut out: String = text.chars().take(VALUE_CHARS_MAX).map(plain).collect();
    if text.chars().nth(VALUE_CHARS_MAX).is_some() {
        out.push('…');
    }
    out.trim().to_owned()
}
