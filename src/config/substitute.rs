//! `${env:NAME}` and `${env:NAME:-default}` in the text of a YAML file, before it is parsed, so
//! that any scalar may come from the environment. A value can only ever become (part of) one
//! scalar: in quotes it is escaped, outside of quotes one that YAML could read otherwise is
//! refused. Comments are left alone. Lines stay where they are.

/// Why a reference could not be replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What was wrong and what to do; never a value.
    pub what: String,
}

/// Where in YAML's syntax a character stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Comment,
}

/// Replaces every reference.
pub fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut style = Style::Plain;
    let (mut line, mut line_start, mut at) = (1, 0, 0);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if style != Style::Comment && rest.starts_with("${env:") {
            let column = text[line_start..at].chars().count() as u64 + 1;
            let problem = |what: String| Problem { line, column, what };
            let length = rest.find(['}', '\n']).filter(|end| rest[*end..].starts_with('}'));
            let end = length.ok_or_else(|| problem("\"${env:\" has no closing brace".into()))?;
            let value = value_of(&rest[6..end], env).map_err(problem)?;
            write(&value, style, &mut out).map_err(problem)?;
            at += end + 1;
            continue;
        }
        style = next_style(style, c, text[..at].chars().next_back(), rest);
        if c == '\n' {
            (line, line_start) = (line + 1, at + 1);
        }
        // Both characters of an escape at once, or `\"` would seem to end the text.
        let step = match (style, c) {
            (Style::Double, '\\') => rest.chars().take(2).map(char::len_utf8).sum(),
            _ => c.len_utf8(),
        };
        out.push_str(&rest[..step]);
        at += step;
    }
    Ok(out)
}

fn next_style(style: Style, c: char, before: Option<char>, rest: &str) -> Style {
    let starts_scalar = before.is_none_or(|b| b.is_whitespace() || "[{,:".contains(b));
    match (style, c) {
        (Style::Comment, '\n') => Style::Plain,
        (Style::Plain, '#') if before.is_none_or(char::is_whitespace) => Style::Comment,
        (Style::Plain, '\'') if starts_scalar => Style::Single,
        (Style::Plain, '"') if starts_scalar => Style::Double,
        // A doubled quote closes and opens again at once: the same as an escaped one.
        (Style::Single, '\'') if !rest.starts_with("''") && before != Some('\'') => Style::Plain,
        (Style::Single, '\'') if rest.starts_with("''") => Style::Single,
        (Style::Single, '\'') => Style::Plain,
        (Style::Double, '"') => Style::Plain,
        _ => style,
    }
}

fn value_of(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(valid) {
        return Err(format!("\"{name}\" is no name of an environment variable"));
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    let found = env(name).filter(|value| default.is_none() || !value.is_empty());
    found.or(default.map(str::to_owned)).ok_or_else(|| {
        format!("environment variable {name} is not set; set it or write ${{env:{name}:-default}}")
    })
}

fn write(value: &str, style: Style, out: &mut String) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err("the variable's value has a line break or control character".into());
    }
    match style {
        Style::Double => out.push_str(&value.replace('\\', "\\\\").replace('"', "\\\"")),
        Style::Single => out.push_str(&value.replace('\'', "''")),
        Style::Plain | Style::Comment => {
            if value.contains(|c: char| "#{}[],&*!|>'\"%@`".contains(c)) || value.contains(": ") {
                return Err("the variable's value has characters that mean something in YAML; \
                            put the reference in double quotes"
                    .into());
            }
            out.push_str(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        Some(match name {
            "PORT" => "4317".into(),
            "EMPTY" => String::new(),
            "ODD" => "a\"b: #c\\'d".into(),
            _ => return None,
        })
    }

    fn yaml(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(&substitute(text, &env).expect("substituted")).expect("yaml")
    }

    #[test]
    fn scalars_keep_their_types_and_quotes_protect() {
        assert_eq!(yaml("a: ${env:PORT}"), serde_json::json!({"a": 4317}));
        assert_eq!(yaml("a: \"x${env:ODD}\""), serde_json::json!({"a": "xa\"b: #c\\'d"}));
        assert_eq!(yaml("a: '${env:ODD}'"), serde_json::json!({"a": "a\"b: #c\\'d"}));
        assert_eq!(yaml("a: ${env:NONE:-5}"), serde_json::json!({"a": 5}));
        assert_eq!(yaml("a: \"${env:EMPTY:-d}\" # ${env:NONE}"), serde_json::json!({"a": "d"}));
        assert_eq!(yaml("a: 'it''s' # it's ${env:NONE}"), serde_json::json!({"a": "it's"}));
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let problem = substitute("a: 1\nb: ${env:NONE}\n", &env).expect_err("missing");
        assert_eq!((problem.line, problem.column), (2, 4));
        assert!(problem.what.contains("NONE"), "{}", problem.what);
        assert!(substitute("a: ${env:ODD}", &env).is_err());
        assert!(substitute("a: ${env:PORT", &env).is_err());
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_one_scalar(value in "[ -~é]{0,20}") {
            let env = |_: &str| Some(value.clone());
            for text in ["a: \"${env:X}\"\nb: 1", "a: '${env:X}'\nb: 1"] {
                let read: serde_json::Value =
                    serde_saphyr::from_str(&substitute(text, &env).expect("text")).expect("yaml");
                prop_assert_eq!(read, serde_json::json!({"a": value.clone(), "b": 1}));
            }
        }
    }
}
