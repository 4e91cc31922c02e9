//! The house rules, as tests: floors, file sizes, memory at all limits. No exceptions list.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor; a module uses only lower ones.
const FLOORS: [&[&str]; 10] = [
    &["model", "fail"],
    &["normalize", "identify", "stats"],
    &["judge"],
    &["engine"],
    &["compare"],
    &["auth"],
    &["otlp", "log", "store", "sink", "web", "api", "instrument"],
    &["config"],
    &["app"],
    &["cli"],
];
/// Within the engine: join → tally → estimate → watch → view.
const ENGINE: [&[&str]; 6] = [
    &["dictionary", "context", "fact", "sorted"],
    &["join"],
    &["tally"],
    &["estimate"],
    &["watch"],
    &["view"],
];
/// Lines of a file, tests at its foot included. Generated code is no file of ours.
const LINES_MAX: usize = 500;
/// Lines of a function.
const FUNCTION_MAX: usize = 70;

fn sources() -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    assert!(out.len() > 50, "sources were found");
    out
}

fn walk(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("generated") {
            walk(&path, out);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            out.push((path, text));
        }
    }
}

fn module_of(path: &Path) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(root).ok()?.components().next()?;
    let name = first.as_os_str().to_string_lossy().replace(".rs", "");
    (!["lib", "main"].contains(&name.as_str())).then_some(name)
}

fn floor_of(floors: &[&[&str]], module: &str) -> Option<usize> {
    floors.iter().position(|names| names.contains(&module))
}

/// Names that follow `prefix::` in code, in braces too; comments are left out.
fn used(text: &str, prefix: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut out = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let list = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for name in list {
            let name: String =
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            out.push(name);
        }
    }
    out
}

#[test]
fn modules_use_only_lower_floors() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let Some(own) = module_of(&path) else { continue };
        let floor = floor_of(&FLOORS, &own)
            .unwrap_or_else(|| panic!("{own} has no floor: give it one in this test"));
        for other in used(&text, "crate::") {
            let Some(theirs) = floor_of(&FLOORS, &other) else { continue };
            if other != own && theirs >= floor {
                bad.push(format!("{} uses {other}", path.display()));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn folds_of_the_engine_use_only_earlier_ones() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let within = path.components().skip_while(|c| c.as_os_str() != "engine").nth(1);
        let Some(own) = within.map(|c| c.as_os_str().to_string_lossy().replace(".rs", "")) else {
            continue;
        };
        let Some(floor) = floor_of(&ENGINE, &own) else { continue };
        for prefix in ["crate::engine::", "super::super::", "super::"] {
            for other in used(&text, prefix) {
                let theirs = floor_of(&ENGINE, &other);
                if other != own && theirs.is_some_and(|theirs| theirs > floor) {
                    bad.push(format!("{} uses {other}", path.display()));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn the_inside_reads_no_clock_file_or_socket() {
    const OUTSIDE: [&str; 8] = [
        "std::fs",
        "std::net",
        "std::io",
        "Instant::now",
        "SystemTime",
        "tokio::",
        "rand::",
        "async fn",
    ];
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let inside = module_of(&path)
            .and_then(|own| floor_of(&FLOORS, &own))
            .is_some_and(|floor| floor <= 3);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        // The trait alone reaches nothing: what is written goes where the outside says.
        let code = code.replace("use std::io::Write;", "");
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if inside && OUTSIDE.iter().any(|word| line.contains(word)) {
                bad.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn only_otlp_and_normalize_know_attribute_names() {
    // The demo sends what an SDK sends; the units and flags of the config are named after them.
    const NAMES: [&str; 4] = ["\"gen_ai.", "\"llm.", "\"langfuse.", "\"feature_flag."];
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let own = module_of(&path).unwrap_or_default();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let floor = floor_of(&FLOORS, &own).unwrap_or(0);
        let knows = code.lines().any(|line| {
            !line.trim_start().starts_with("//") && NAMES.iter().any(|name| line.contains(name))
        });
        if knows && floor <= 4 && !["otlp", "normalize"].contains(&own.as_str()) {
            bad.push(path.display().to_string());
        }
    }
    // `model::UnitKind::from_name` takes a config's spelling of an attribute.
    bad.retain(|path| !path.ends_with("model/entry.rs"));
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn files_and_functions_are_short_and_say_what_they_do() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        if text.lines().count() > LINES_MAX {
            bad.push(format!("{}: {} lines", path.display(), text.lines().count()));
        }
        if !text.starts_with("//!") {
            bad.push(format!("{}: does not open with //!", path.display()));
        }
        bad.extend(long_functions(&path, &text));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Functions are found by their first line and by the brace at its indentation that ends them.
fn long_functions(path: &Path, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let words = trimmed.replace("pub(super) ", "").replace("pub(crate) ", "");
        let words = words.trim_start_matches("pub ").trim_start_matches("async ");
        if !words.trim_start_matches("const ").starts_with("fn ") {
            continue;
        }
        // Declared only, as in a trait.
        if trimmed.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let length = lines[at..].iter().position(|l| *l == close).unwrap_or(0) + 1;
        if length > FUNCTION_MAX {
            out.push(format!("{}:{}: {length} lines", path.display(), at + 1));
        }
    }
    out
}

#[test]
fn memory_at_all_limits_is_what_the_design_says() {
    let limits = armspan::model::settings::Limits::default();
    let doors = armspan::config::Config::default().doors;
    let mib = |bytes: u64| bytes >> 20;
    let parts = BTreeMap::from([
        ("in flight", mib(doors.in_flight_bytes_max)),
        ("young join and dedupe state", mib(limits.join_bytes_max)),
        ("tallies", mib(limits.tally_bytes_max)),
        ("unit cache", mib(limits.unit_cache_bytes)),
        // Looks: 1,024 histories of 256 looks, 32 bytes each.
        ("looks", 8),
        // Filters and sealed blocks (16) and fjall (32, less what looks take) come with the
        // sealed parts on disk.
        ("sealed parts", 16 + 24),
    ]);
    assert_eq!(parts.values().sum::<u64>(), 208, "{parts:?}");
}
