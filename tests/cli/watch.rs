//! `arms watch` off a terminal: what it prints, and every way in which it ends.

use super::{armspan, folder};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Names and bytes of all files below a folder.
pub fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("entry").path();
        match path.is_dir() {
            true => out.extend(bytes(&path)),
            false => drop(out.insert(path.clone(), std::fs::read(&path).expect("reads"))),
        }
    }
    out
}

/// Ends with its test.
struct Watch(Child);

impl Watch {
    fn start(more: &str) -> Watch {
        let line = format!("arms watch support-bot --data data --interval 100ms {more}");
        let mut command = armspan(&line);
        Watch(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("armspan runs"))
    }

    /// The first lines, one for each of three arms.
    fn lines(&mut self) -> Vec<String> {
        let out = self.0.stdout.as_mut().expect("its output");
        BufReader::new(out).lines().take(3).map(|line| line.expect("a line")).collect()
    }

    fn end(&mut self) -> ExitStatus {
        let late = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.0.try_wait().expect("its state") {
                return status;
            }
            assert!(Instant::now() < late, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    folder();
    let mut watch = Watch::start("");
    let lines = watch.lines();
    insta::assert_snapshot!(lines.join("\n"));
    drop(watch.0.stdout.take());
    assert_eq!(watch.end().code(), Some(0));
}

#[test]
fn an_interrupt_is_told_by_its_exit_code() {
    let mut watch = Watch::start("-o jsonl");
    for line in watch.lines() {
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&line["kind"], &line["site"]), (&"arm".into(), &"answer".into()), "{line}");
    }
    let pid = watch.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    assert_eq!(watch.end().code(), Some(130));
}
