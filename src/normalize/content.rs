//! Content (system prompt, tool schemas) in one canonical form, whatever shape it came in, so that
//! two emitters of the same prompt give the same hash. Content goes no further than its hash.

use super::gather::{Family, Gathered, Part};
use super::memo::Feed;
use super::slot::Slot;
use super::value::{HASHED_BYTES_MAX, LEVELS_MAX, Raw, cut, is_redacted};
use crate::model::canonical::jcs;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Canonical text of the system prompt: the JSON list of its parts. `None` when no content came.
pub fn system_prompt(gathered: &Gathered<'_>) -> Option<String> {
    for source in 0..PROMPT_SOURCES {
        let mut parts = Vec::new();
        each_prompt(gathered, source, &mut |raw| texts(raw, LEVELS_MAX, &mut parts));
        if !parts.is_empty() {
            return Some(jcs(&Json::Array(parts)));
        }
    }
    None
}

/// Canonical text of the tool schemas: the JSON list of {name, description, parameters}.
pub fn tools(gathered: &Gathered<'_>) -> Option<String> {
    for source in 0..TOOL_SOURCES {
        let mut list = Vec::new();
        each_tool(gathered, source, &mut |raw| list.extend(raw.opened().to_json().and_then(tool)));
        if source == FUNCTIONS {
            list = functions(gathered);
        }
        if !list.is_empty() {
            return Some(jcs(&Json::Array(list)));
        }
    }
    None
}

/// Ids of retrieved documents, sorted, each once: what a retrieval span says of its source.
pub fn documents(gathered: &Gathered<'_>) -> Option<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut take = |raw: Raw<'_>| ids.extend(raw.text().map(|text| text.into_owned()));
    gathered.list(Family::Documents).for_each(|item| take(item.raw));
    if let Some(list) = gathered.get(Slot::RetrievalDocuments) {
        list.each(|item| take(item.get("id").unwrap_or_default()));
    }
    ids.sort();
    ids.dedup();
    (!ids.is_empty()).then(|| jcs(&Json::from(ids)))
}

/// Feeds the bytes of all content as it stands: equal bytes mean an equal canonical form.
pub fn feed(gathered: &Gathered<'_>, out: &mut Feed) {
    for source in 0..PROMPT_SOURCES {
        each_prompt(gathered, source, &mut |raw| {
            out.put(&[source]);
            raw.feed(out);
        });
    }
    for source in 0..TOOL_SOURCES {
        each_tool(gathered, source, &mut |raw| {
            out.put(&[source | 0x80]);
            raw.feed(out);
        });
    }
    for item in gathered.indexed.iter().filter(|item| matches!(item.family, Family::Functions)) {
        out.put(&[0xf0, item.part as u8]);
        out.put(&item.index.to_le_bytes());
        item.raw.feed(out);
    }
}

/// How many shapes a system prompt comes in, most wanted first.
const PROMPT_SOURCES: u8 = 10;

fn each_prompt<'a>(gathered: &Gathered<'a>, source: u8, visit: &mut dyn FnMut(Raw<'a>)) {
    let slot = |slot| gathered.get(slot).map(Raw::opened);
    match source {
        0 => slot(Slot::SystemInstructions).into_iter().for_each(visit),
        1 => slot(Slot::InputMessages).into_iter().for_each(|raw| each_system(raw, visit)),
        2 => slot(Slot::SystemMessage).into_iter().for_each(visit),
        3 => each_indexed(gathered, Family::InputMessages, visit),
        4 => each_indexed(gathered, Family::Prompts, visit),
        5 => slot(Slot::VercelMessages).into_iter().for_each(|raw| each_system(raw, visit)),
        6 => slot(Slot::VercelPrompt).into_iter().for_each(|raw| {
            raw.get("system").into_iter().for_each(&mut *visit);
            raw.get("messages").into_iter().for_each(|list| each_system(list, visit));
        }),
        7 => slot(Slot::LangfuseInstructions).into_iter().for_each(visit),
        8 => slot(Slot::LangfuseInput).into_iter().for_each(|raw| {
            raw.get("instructions").into_iter().for_each(&mut *visit);
            let list = raw.get("messages").or_else(|| raw.get("input")).unwrap_or(raw);
            each_system(list, visit);
        }),
        _ => slot(Slot::PromptTemplate).into_iter().for_each(visit),
    }
}

fn each_system<'a>(messages: Raw<'a>, visit: &mut dyn FnMut(Raw<'a>)) {
    messages.each(|message| {
        if message.get("role").is_some_and(is_system)
            && let Some(content) = message.get("parts").or_else(|| message.get("content"))
        {
            visit(content);
        }
    });
}

fn each_indexed<'a>(gathered: &Gathered<'a>, family: Family, visit: &mut dyn FnMut(Raw<'a>)) {
    for role in gathered.list(family).filter(|item| item.part == Part::Role && is_system(item.raw))
    {
        let same = |item: &&_| matches!(item, super::gather::Indexed { part: Part::Content, index, .. } if *index == role.index);
        gathered.list(family).filter(same).for_each(|item| visit(item.raw.opened()));
    }
}

fn is_system(role: Raw<'_>) -> bool {
    role.text().is_some_and(|role| matches!(&*role, "system" | "developer"))
}

/// The text parts of a content value: a text, a list of parts, or one part.
fn texts(raw: Raw<'_>, levels: usize, out: &mut Vec<Json>) {
    let Some(below) = levels.checked_sub(1) else { return };
    match raw {
        Raw::Text(text) => push_text(text, out),
        Raw::Json(json) if json.starts_with('[') => {
            let before = out.len();
            raw.each(|item| texts(item, below, out));
            // A plain text may look like a list: `[Rules] …`.
            if out.len() == before && serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
                push_text(json, out);
            }
        }
        Raw::List(_) => raw.each(|item| texts(item, below, out)),
        Raw::Map(_) => part(raw, below, out),
        Raw::Json(json) if json.starts_with('{') => part(raw, below, out),
        Raw::Json(_) => raw.text().into_iter().for_each(|text| push_text(&text, out)),
        _ => {}
    }
}

fn part(raw: Raw<'_>, levels: usize, out: &mut Vec<Json>) {
    let kind = raw.get("type").and_then(Raw::text);
    if kind.is_none_or(|kind| matches!(&*kind, "text" | "input_text" | "message")) {
        let inner = ["text", "content", "parts"].into_iter().find_map(|key| raw.get(key));
        inner.into_iter().for_each(|inner| texts(inner, levels, out));
    }
}

fn push_text(text: &str, out: &mut Vec<Json>) {
    if !text.trim().is_empty() && !is_redacted(text) {
        out.push(Json::String(cut(text, HASHED_BYTES_MAX).to_owned()));
    }
}

/// How many shapes tool schemas come in, most wanted first.
const TOOL_SOURCES: u8 = 6;
/// The one that is a flattened list of members.
const FUNCTIONS: u8 = 2;

fn each_tool<'a>(gathered: &Gathered<'a>, source: u8, visit: &mut dyn FnMut(Raw<'a>)) {
    let slot = |slot| gathered.get(slot).into_iter();
    match source {
        0 => slot(Slot::ToolDefinitions).for_each(|raw| raw.each(&mut *visit)),
        1 => gathered.list(Family::Tools).for_each(|item| visit(item.raw)),
        FUNCTIONS => {}
        3 => slot(Slot::VercelTools).for_each(|raw| raw.each(&mut *visit)),
        4 => slot(Slot::LangfuseTools).for_each(|raw| raw.each(&mut *visit)),
        _ => slot(Slot::LangfuseInput).for_each(|raw| {
            raw.get("tools").into_iter().for_each(|tools| tools.each(&mut *visit));
        }),
    }
}

fn functions(gathered: &Gathered<'_>) -> Vec<Json> {
    let mut tools: BTreeMap<u32, Map<String, Json>> = BTreeMap::new();
    for item in gathered.list(Family::Functions) {
        let name = match item.part {
            Part::Name => "name",
            Part::Description => "description",
            _ => "parameters",
        };
        if let Some(value) = item.raw.to_json() {
            tools.entry(item.index).or_default().insert(name.to_owned(), value);
        }
    }
    tools.into_values().filter_map(|members| tool(Json::Object(members))).collect()
}

/// One tool in its canonical form; `None` without a name.
fn tool(value: Json) -> Option<Json> {
    let value = match value {
        // An item of Vercel's list is a JSON text inside the JSON.
        Json::String(text) => serde_json::from_str(&text).ok()?,
        other => other,
    };
    let Json::Object(mut outer) = value else { return None };
    let mut inner = match outer.remove("function") {
        Some(Json::Object(inner)) => inner,
        _ => outer,
    };
    let name =
        inner.remove("name").filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))?;
    let mut tool = Map::from_iter([("name".to_owned(), name)]);
    let description = inner.remove("description");
    if let Some(text) =
        description.filter(|text| text.as_str().is_some_and(|text| !text.is_empty()))
    {
        tool.insert("description".to_owned(), text);
    }
    const PARAMETERS: [&str; 4] =
        ["parameters", "inputSchema", "input_schema", "parameters_json_schema"];
    if let Some(schema) = PARAMETERS.iter().find_map(|key| inner.remove(*key)).and_then(schema) {
        tool.insert("parameters".to_owned(), schema);
    }
    Some(Json::Object(tool))
}

fn schema(value: Json) -> Option<Json> {
    let mut value = match value {
        Json::String(text) => serde_json::from_str(&text).ok()?,
        other => other,
    };
    tidy(&mut value);
    (!value.is_null()).then_some(value)
}

/// Drops `$schema` and nulls at every level (serde_json limits the levels to 128).
fn tidy(value: &mut Json) {
    match value {
        Json::Object(map) => {
            map.retain(|key, value| key != "$schema" && !value.is_null());
            map.values_mut().for_each(tidy);
        }
        Json::Array(list) => {
            list.retain(|item| !item.is_null());
            list.iter_mut().for_each(tidy);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(slot: Slot, text: &str) -> (Option<String>, Option<String>) {
        let mut gathered = Gathered::default();
        gathered.put(slot, Raw::Text(text), 0);
        (system_prompt(&gathered), tools(&gathered))
    }

    #[test]
    fn every_shape_of_a_prompt_is_the_same() {
        let shapes = [
            (Slot::SystemInstructions, "Be terse."),
            (Slot::SystemInstructions, r#"[{"type":"text","content":"Be terse."}]"#),
            (
                Slot::InputMessages,
                r#"[{"role":"system","parts":[{"type":"text","content":"Be terse.","name":null}]},{"role":"user","parts":[{"type":"text","content":"x"}]}]"#,
            ),
            (
                Slot::VercelMessages,
                r#"[{"role":"system","content":"Be terse."},{"role":"user","content":[{"type":"text","text":"x"}]}]"#,
            ),
            (Slot::VercelPrompt, r#"{"system":"Be terse.","prompt":"x"}"#),
            (
                Slot::LangfuseInput,
                r#"{"messages":[{"role":"developer","content":"Be terse."}],"tools":[]}"#,
            ),
            (Slot::LangfuseInput, r#"[{"role": "system", "content": "Be \u0074erse."}]"#),
            (Slot::LangfuseInstructions, "Be terse."),
        ];
        for (slot, text) in shapes {
            assert_eq!(with(slot, text).0.as_deref(), Some(r#"["Be terse."]"#), "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_absent() {
        for text in [
            "",
            "__REDACTED__",
            "[]",
            r#"[{"type":"text","content":null}]"#,
            r#"[{"type":"text","content":""}]"#,
        ] {
            assert_eq!(with(Slot::SystemInstructions, text).0, None, "{text}");
        }
        assert_eq!(
            with(
                Slot::InputMessages,
                r#"[{"role":"user","parts":[{"type":"text","content":"x"}]}]"#
            )
            .0,
            None
        );
        assert_eq!(
            with(Slot::SystemInstructions, "[Rules] be nice").0.as_deref(),
            Some(r#"["[Rules] be nice"]"#)
        );
        assert_eq!(with(Slot::SystemInstructions, "[Rules]").0.as_deref(), Some(r#"["[Rules]"]"#));
    }

    #[test]
    fn every_shape_of_a_tool_is_the_same() {
        let canonical = r#"[{"description":"d","name":"f","parameters":{"type":"object"}}]"#;
        let shapes = [
            (
                Slot::ToolDefinitions,
                r#"[{"type":"function","name":"f","description":"d","parameters":{"type":"object","$schema":"s","x":null}}]"#,
            ),
            (
                Slot::ToolDefinitions,
                r#"[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}}]"#,
            ),
            (
                Slot::VercelTools,
                r#"["{\"name\":\"f\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"}}"]"#,
            ),
            (
                Slot::LangfuseInput,
                r#"{"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"messages":[]}"#,
            ),
        ];
        for (slot, text) in shapes {
            assert_eq!(with(slot, text).1.as_deref(), Some(canonical), "{text}");
        }
        let mut gathered = Gathered::default();
        gathered.push(Family::Functions, 0, Part::Parameters, Raw::Text(r#"{"type": "object"}"#));
        gathered.push(Family::Functions, 0, Part::Name, Raw::Text("f"));
        gathered.push(Family::Functions, 0, Part::Description, Raw::Text("d"));
        assert_eq!(tools(&gathered).as_deref(), Some(canonical));
    }
}
