//! The user's `git`, by its plumbing. No shell; what comes from traffic is either checked before
//! (hashes, names of references) or goes through standard input; objects and one transaction of
//! references are written, never the workspace, the index or HEAD.

mod scratch;

use super::Failure;
use super::files::{FOLDER, File};
use scratch::Scratch;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// Who makes the commits, whoever runs armspan: the same run is the same commit everywhere.
const WHO: (&str, &str) = ("armspan", "armspan@localhost");
/// Variables that would lead git elsewhere.
const ELSEWHERE: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];
/// Characters of git's complaint that are shown.
const SHOWN_MAX: usize = 300;

/// A repository.
#[derive(Debug)]
pub struct Git {
    dir: PathBuf,
    /// Where `dir` is in the tree: empty, or with a slash at its end.
    prefix: String,
}

/// A reference and the commit that it points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// `refs/exps/…`
    pub name: String,
    /// Full hash.
    pub commit: String,
}

/// A change of a reference, if it is as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// `refs/exps/…`
    pub name: String,
    /// The commit that it must point to; absent when it must not exist.
    pub from: Option<String>,
    /// The commit that it is to point to; absent when it is to go.
    pub to: Option<String>,
}

/// The date of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Since the Unix epoch.
    pub seconds: i64,
}

// === impl Git ===

impl Git {
    /// Finds the repository of a folder.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        if !dir.is_dir() {
            let shown = dir.display();
            return Err(Failure::later(format!(
                "dvc: there is no folder {shown}; set the sink's `repo` to a clone of the \
                 repository that the code came from"
            )));
        }
        let mut git = Git { dir: dir.to_owned(), prefix: String::new() };
        git.prefix = git.text(&["rev-parse", "--show-prefix"])?;
        Ok(git)
    }

    /// The experiments of a name, under any commit.
    pub fn references(&self, name: &str) -> Result<Vec<Reference>, Failure> {
        let pattern = format!("refs/exps/*/*/{name}");
        let format = "--format=%(objectname) %(refname)";
        let text = self.text(&["for-each-ref", format, "--", &pattern])?;
        let pair = |line: &str| {
            let (commit, name) = line.split_once(' ')?;
            Some(Reference { name: name.to_owned(), commit: commit.to_owned() })
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// A file of a commit, by its path from where DVC is.
    pub fn file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let object = format!("{commit}:{}{path}", self.prefix);
        let done = self.run(&mut self.command(&["cat-file", "blob", &object]), &[])?;
        Ok(done.status.success().then_some(done.stdout))
    }

    /// The full hash of a commit that is there; `None` when it is not, or is not unique.
    pub fn resolve(&self, commit: &str) -> Result<Option<String>, Failure> {
        let object = format!("{commit}^{{commit}}");
        let asked = &["rev-parse", "--verify", "--quiet", "--end-of-options", &object];
        let done = self.run(&mut self.command(asked), &[])?;
        let found = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        // A branch may be called like a hash.
        let own = found.starts_with(&commit.to_ascii_lowercase());
        Ok((done.status.success() && own).then_some(found))
    }

    /// The tree of a commit with these files in place of what is in their folder.
    pub fn tree(&self, base: &str, files: &[File]) -> Result<String, Failure> {
        let scratch = Scratch::new()
            .map_err(|error| Failure::later(format!("dvc: no temporary folder: {error}")))?;
        let index = scratch.path("index");
        let staged = |args: &[&str]| {
            let mut command = self.command(args);
            command.env("GIT_INDEX_FILE", &index);
            command
        };
        self.done(&mut staged(&["read-tree", base]), &[])?;
        let there =
            self.done(&mut staged(&["ls-files", "-z", "--full-name", "--", FOLDER]), &[])?;
        let mut lines = self.removals(&there, base)?;
        for (hash, file) in self.blobs(&scratch, files)?.iter().zip(files) {
            let path = format!("100644 {hash}\t{}{}\0", self.prefix, file.path);
            lines.extend_from_slice(path.as_bytes());
        }
        self.done(&mut staged(&["update-index", "-z", "--index-info"]), &lines)?;
        // The base's own objects may be elsewhere, in a partial clone.
        let tree = self.done(&mut staged(&["write-tree", "--missing-ok"]), &[])?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    /// A commit with one parent; the same arguments give the same hash.
    pub fn commit(
        &self,
        tree: &str,
        parent: &str,
        message: &str,
        stamp: &Stamp,
    ) -> Result<String, Failure> {
        let date = format!("{} +0000", stamp.seconds);
        let mut command = self.command(&["commit-tree", tree, "-p", parent, "-F", "-"]);
        command.envs([("GIT_AUTHOR_NAME", WHO.0), ("GIT_AUTHOR_EMAIL", WHO.1)]);
        command.envs([("GIT_COMMITTER_NAME", WHO.0), ("GIT_COMMITTER_EMAIL", WHO.1)]);
        command.envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)]);
        let commit = self.done(&mut command, message.as_bytes())?;
        Ok(String::from_utf8_lossy(&commit).trim().to_owned())
    }

    /// Changes references, all or none: if one is not as it was read, another process was faster.
    pub fn update(&self, moves: &[Move]) -> Result<(), Failure> {
        if moves.is_empty() {
            return Ok(());
        }
        let lines: String = moves.iter().map(Move::line).collect();
        self.done(&mut self.command(&["update-ref", "--no-deref", "--stdin"]), lines.as_bytes())?;
        Ok(())
    }

    /// Lines that take what is in the folder out of the index.
    fn removals(&self, there: &[u8], base: &str) -> Result<Vec<u8>, Failure> {
        let own = format!("{}{FOLDER}", self.prefix);
        let none = "0".repeat(base.len());
        let mut lines = Vec::new();
        for path in there.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            if path == own.as_bytes() {
                return Err(Failure::refused(format!(
                    "its commit {base} has a file {own}, where the folder of the experiment goes"
                )));
            }
            lines.extend_from_slice(format!("0 {none}\t").as_bytes());
            lines.extend_from_slice(path);
            lines.push(0);
        }
        Ok(lines)
    }

    /// Writes the files as objects; gives their hashes.
    fn blobs(&self, scratch: &Scratch, files: &[File]) -> Result<Vec<String>, Failure> {
        let mut paths = String::new();
        for (at, file) in files.iter().enumerate() {
            let path = scratch.path(&at.to_string());
            std::fs::write(&path, &file.bytes)
                .map_err(|error| Failure::io("dvc: cannot write", &path, &error))?;
            paths += &format!("{}\n", path.display());
        }
        let asked = &["hash-object", "-w", "--no-filters", "--stdin-paths"];
        let hashes = self.done(&mut self.command(asked), paths.as_bytes())?;
        let hashes: Vec<String> =
            String::from_utf8_lossy(&hashes).lines().map(str::to_owned).collect();
        if hashes.len() == files.len() {
            Ok(hashes)
        } else {
            Err(Failure::later("dvc: git hash-object left files out"))
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.dir).args(["-c", "i18n.commitEncoding=UTF-8"]).args(args);
        for name in ELSEWHERE {
            command.env_remove(name);
        }
        command.envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1")]);
        command
    }

    fn text(&self, args: &[&str]) -> Result<String, Failure> {
        let out = self.done(&mut self.command(args), &[])?;
        Ok(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())
    }

    /// What it printed, when it ended well.
    fn done(&self, command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let done = self.run(command, input)?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let verb = command.get_args().nth(2).unwrap_or_default().to_string_lossy().into_owned();
        let told = String::from_utf8_lossy(&done.stderr);
        let told: String = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = told.chars().take(SHOWN_MAX).collect();
        Err(Failure::later(format!("dvc: git {verb} in {}: {shown}", self.dir.display())))
    }

    fn run(&self, command: &mut Command, input: &[u8]) -> Result<Output, Failure> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Failure::later("dvc: there is no program `git` in PATH"),
            _ => Failure::later(format!("dvc: git in {}: {error}", self.dir.display())),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            // Beside reading: a full pipe on either side would stop both. What git does not read,
            // because it ended with an error, is told by its status.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output().map_err(failed)
        })
    }
}

// === impl Move ===

impl Move {
    /// Its line for `git update-ref --stdin`.
    fn line(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("update {} {to} {from}\n", self.name),
            (None, Some(to)) => format!("create {} {to}\n", self.name),
            (Some(from), None) => format!("delete {} {from}\n", self.name),
            (None, None) => String::new(),
        }
    }
}
