//! The command line as its users meet it: the real binary, what it prints and how it ends. The
//! texts are snapshots; `INSTA_UPDATE=always cargo test --test cli` writes them again.

mod fixture;
mod watch;

use armspan::cli::args::Args;
use clap::CommandFactory;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder with the data folder `data` and an OTLP file in it; written once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().expect("folder");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        // A thread of its own: the test that comes first may be inside a runtime.
        std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(fixture::write(&folder.path().join("data"))));
        });
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let from = corpus.join("python/openai_v2/v130_chat_default.traces.pb");
        std::fs::copy(from, folder.path().join("chat.traces.pb")).expect("copied");
        std::fs::write(folder.path().join("broken.json"), "{\"resourceSpans\": [").expect("file");
        folder
    });
    folder.path()
}

/// The binary in an environment that is the same everywhere.
fn armspan(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armspan"));
    command.args(line.split_whitespace()).current_dir(folder());
    for name in ["ARMSPAN_CONFIG", "ARMSPAN_SERVER", "ARMSPAN_TOKEN", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// A command, its exit code, and what it printed; what is on standard error stands after `!`.
fn told(line: &str) -> String {
    let out = armspan(line).output().expect("armspan runs");
    let code = out.status.code().expect("a code");
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    };
    let error = text(&out.stderr);
    let error: String = error.lines().map(|line| format!("! {line}\n")).collect();
    format!("$ armspan {line}\n{}{error}? {code}\n", text(&out.stdout))
}

fn all(lines: &[&str]) -> String {
    lines.iter().map(|line| told(line)).collect::<Vec<String>>().join("\n")
}

#[test]
fn each_command_explains_itself() {
    fn below(command: &clap::Command, path: &str) {
        let line = format!("{path} --help");
        let name = format!("help{}", path.replace(' ', "_"));
        insta::assert_snapshot!(name, told(line.trim()));
        for command in command.get_subcommands() {
            below(command, &format!("{path} {}", command.get_name()));
        }
    }
    below(&Args::command(), "");
}

#[test]
fn a_wrong_command_line_says_what_was_meant() {
    insta::assert_snapshot!(all(&[
        "statsu",
        "arms",
        "arms status",
        "arms watch e --interval 1ms",
        "runs show",
        "runs list --data data --server h:1",
        "runs list -o yaml",
        "explain",
        "completions tcsh",
    ]));
}

#[test]
fn without_a_server_or_a_folder_errors_say_what_to_do() {
    insta::assert_snapshot!(all(&[
        "status --server 127.0.0.1:1",
        "arms watch support-bot --server 127.0.0.1:1",
        "arms status support-bot --data nowhere",
        "export status --data data",
        "explain missing.pb",
        "explain broken.json",
        "replay nowhere",
        "check --config missing.yaml",
    ]));
}

#[test]
fn a_name_that_is_not_there_gives_near_ones() {
    insta::assert_snapshot!(all(&[
        "arms status suport-bot --data data",
        "arms watch support-bot --site anwser --data data",
        "runs list --experiment suport-bot --data data",
        "runs list --experiment support-bot --arm D --data data",
        "runs show ffffffffffff --data data",
    ]));
}

/// The id of the only run of an arm.
fn run_of(arm: &str) -> String {
    let line = format!("runs list --arm {arm} --data data -o jsonl");
    let out = armspan(&line).output().expect("armspan runs");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    let run = text.lines().next().expect("a run");
    let run: serde_json::Value = serde_json::from_str(run).expect("JSON");
    run["run"]["id"].as_str().expect("an id")[..6].to_owned()
}

#[test]
fn every_format_of_every_reading_command_is_kept() {
    let (a, b) = (run_of("A"), run_of("B"));
    let commands = [
        ("experiments", "experiments list".to_owned()),
        ("arms", "arms status support-bot".to_owned()),
        ("runs", "runs list".to_owned()),
        ("run", format!("runs show {a}")),
        ("compare", format!("runs compare {a} {b}")),
    ];
    for (name, command) in commands {
        let formats = ["table", "markdown", "csv", "json", "jsonl"];
        let lines = formats.map(|format| format!("{command} --data data -o {format}"));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        insta::assert_snapshot!(format!("formats_{name}"), all(&lines));
    }
}

#[test]
fn what_is_left_out_and_what_an_effect_takes_is_told() {
    insta::assert_snapshot!(all(&[
        "doctor chat.traces.pb",
        "doctor --data data",
        "doctor --data data -o csv",
        "plan --baseline 0.8 --effect 0.03 --units-per-day 2000",
        "plan --baseline 0.01 --margin 0.005 --claims 6 -o csv",
        "plan --effect 0.1",
        "check --dry-run chat.traces.pb",
    ]));
}

#[test]
fn reading_leaves_the_folder_as_it_was() {
    let before = watch::bytes(&folder().join("data"));
    assert!(told("arms status support-bot --data data").contains("? 0"));
    assert!(told("runs list --data data").contains("? 0"));
    assert!(before == watch::bytes(&folder().join("data")));
}

#[test]
fn files_are_explained_and_replayed() {
    insta::assert_snapshot!(all(&["explain chat.traces.pb", "replay chat.traces.pb", "version"]));
}
