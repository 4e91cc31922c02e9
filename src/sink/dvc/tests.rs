//! Experiments in a real git repository: what is written, what stays, and what is refused.

use super::*;
use crate::sink::sample::{self, ThreeHours};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A repository with two commits and a change that is not committed.
struct Repo {
    dir: TempDir,
    commits: [String; 2],
}

impl Repo {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        git(dir.path(), &["init", "-q"]);
        let commit = |text: &str| {
            std::fs::write(dir.path().join("app.txt"), text).expect("file");
            git(dir.path(), &["add", "app.txt"]);
            git(dir.path(), &["commit", "-q", "-m", text]);
            git(dir.path(), &["rev-parse", "HEAD"])
        };
        let commits = [commit("one"), commit("two")];
        std::fs::write(dir.path().join("app.txt"), "dirty").expect("file");
        std::fs::write(dir.path().join("new.txt"), "untracked").expect("file");
        Repo { dir, commits }
    }

    /// Workspace, index and HEAD.
    fn state(&self) -> (String, Vec<u8>, String) {
        let at = self.dir.path();
        let index = std::fs::read(at.join(".git/index")).expect("index");
        (git(at, &["status", "--porcelain"]), index, git(at, &["rev-parse", "HEAD", "main"]))
    }

    fn refs(&self) -> Vec<String> {
        let text = git(self.dir.path(), &["for-each-ref", "--format=%(refname)", "refs/exps"]);
        text.lines().map(str::to_owned).collect()
    }

    fn show(&self, what: &str) -> String {
        git(self.dir.path(), &["show", what])
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=u", "-c", "user.email=u@x", "-c", "init.defaultBranch=main"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

/// The sample, of calls that ran under a commit.
fn item(commit: &str, change: impl FnOnce(&mut Cut)) -> Item {
    let mut cut = sample::cut();
    for record in &mut cut.records {
        for value in &mut record.observed[0].values {
            value.value["commit"] = commit.into();
        }
    }
    change(&mut cut);
    Item { body: Body::Cut(Box::new(cut)), ..sample::item() }
}

async fn deliver(repo: &Path, item: &Item) -> Result<(), Failure> {
    let config = Config { repo: repo.into() };
    config.open(&Around::default())?.deliver(item, &ThreeHours).await
}

#[tokio::test]
async fn each_run_is_an_experiment_and_the_workspace_stays() {
    let repo = Repo::new();
    let before = repo.state();
    deliver(repo.dir.path(), &item(&repo.commits[0][..9], |_| ())).await.expect("delivered");
    assert_eq!(repo.state(), before);
    let (first, rest) = repo.commits[0].split_at(2);
    let refs = repo.refs();
    assert_eq!(refs.len(), 4, "four runs, of which three are in two epochs: {refs:?}");
    let own = format!("refs/exps/{first}/{rest}/A-79e25078cdfe");
    assert!(refs.contains(&own), "{refs:?}");
    let head = repo.show(&format!("{own}^{{commit}}"));
    assert!(head.contains("Author: armspan <armspan@localhost>"), "{head}");
    assert!(head.contains("Date:   Tue Nov 24 17:30:37 2026 +0000"), "{head}");
    assert_eq!(git(repo.dir.path(), &["rev-parse", &format!("{own}^")]), repo.commits[0]);
    assert_eq!(repo.show(&format!("{own}:app.txt")), "one");
    let params: serde_json::Value =
        serde_json::from_str(&repo.show(&format!("{own}:armspan/params.yaml"))).expect("JSON");
    assert_eq!(params["armspan"]["epoch"], 2, "the newest epoch");
    let curve = repo.show(&format!("{own}:armspan/plots/metrics/cost/value.tsv"));
    assert_eq!(curve.lines().count(), 4, "{curve}");
}

#[tokio::test]
async fn a_repeat_is_the_same_commit_and_an_older_record_changes_nothing() {
    let repo = Repo::new();
    let first = item(&repo.commits[0], |_| ());
    deliver(repo.dir.path(), &first).await.expect("delivered");
    let shas = |repo: &Repo| git(repo.dir.path(), &["for-each-ref", "refs/exps"]);
    let before = shas(&repo);
    deliver(repo.dir.path(), &first).await.expect("repeat");
    assert_eq!(shas(&repo), before);
    // An older epoch and an older position.
    let closed = item(&repo.commits[1], |cut| cut.records.retain(|record| record.window.closed));
    let older = item(&repo.commits[1], |cut| {
        for record in &mut cut.records {
            record.collector.position.insert("0".into(), 2_000);
        }
    });
    for (name, item) in [("epoch", closed), ("position", older)] {
        deliver(repo.dir.path(), &item).await.expect("older");
        let changed: Vec<String> = repo.refs();
        let moved = changed.iter().filter(|name| name.contains(&repo.commits[1][2..])).count();
        // One run is in the older epoch only: it is no older than itself.
        assert_eq!(moved, 1, "{name}: {changed:?}");
    }
    // The same run in another repository with the same commits is the same commit.
    let clone = tempfile::tempdir().expect("folder");
    git(clone.path(), &["clone", "-q", &repo.dir.path().display().to_string(), "."]);
    deliver(clone.path(), &first).await.expect("delivered");
    assert_eq!(git(clone.path(), &["for-each-ref", "refs/exps"]), before);
}

#[tokio::test]
async fn a_changed_record_moves_its_experiment_and_a_new_commit_takes_it_along() {
    let repo = Repo::new();
    deliver(repo.dir.path(), &item(&repo.commits[0], |_| ())).await.expect("delivered");
    let later = item(&repo.commits[1], |cut| {
        for record in &mut cut.records {
            record.traffic.calls += 1;
            record.collector.position.insert("0".into(), 4_000);
        }
    });
    deliver(repo.dir.path(), &later).await.expect("later");
    let refs = repo.refs();
    assert_eq!(refs.len(), 4, "{refs:?}");
    assert!(refs.iter().all(|name| name.contains(&repo.commits[1][2..])), "{refs:?}");
}

#[tokio::test]
async fn a_run_whose_commit_is_not_there_is_refused_and_the_others_are_delivered() {
    let repo = Repo::new();
    let some = item(&repo.commits[0], |cut| {
        cut.records.truncate(3);
        cut.records[0].observed.clear();
        cut.records[1].observed[0].values[0].value["commit"] = json!("--output=x");
        cut.records[1].observed[0].values[1].value["commit"] = json!("--output=x");
    });
    let failure = deliver(repo.dir.path(), &some).await.expect_err("two are refused");
    let Failure::Refused { what } = &failure else { panic!("{failure:?}") };
    assert!(what.starts_with("dvc: 2 of 3 runs were refused: run 79e25078cdfe: its calls name no"));
    assert!(what.contains("run 9cb97ebd526e: its commit \"--output=x\" is no hash"), "{what}");
    assert_eq!(repo.refs().len(), 1, "C");
    // A branch that is called like a hash is not the commit.
    git(repo.dir.path(), &["branch", "deadbeef"]);
    let gone = item("deadbeef", |cut| cut.records.truncate(1));
    let failure = deliver(repo.dir.path(), &gone).await.expect_err("not there");
    assert!(failure.to_string().contains("deadbeef is not in the repository"), "{failure}");
}

#[tokio::test]
async fn experiments_of_others_and_files_of_the_user_stay() {
    let repo = Repo::new();
    let at = repo.dir.path();
    let name = name::reference(&repo.commits[0], "A-79e25078cdfe");
    git(at, &["update-ref", &name, &repo.commits[1]]);
    let one = item(&repo.commits[0], |cut| cut.records.truncate(1));
    let failure = deliver(at, &one).await.expect_err("theirs");
    assert!(failure.to_string().contains("armspan did not make"), "{failure}");
    assert_eq!(git(at, &["rev-parse", &name]), repo.commits[1]);
    git(at, &["update-ref", "-d", &name]);
    // What an experiment that was applied and committed left in the folder goes; the rest stays.
    std::fs::create_dir(at.join("armspan")).expect("folder");
    std::fs::write(at.join("armspan/old.tsv"), "x").expect("file");
    std::fs::write(at.join("dvc.yaml"), "stages: {}\n").expect("file");
    git(at, &["add", "."]);
    git(at, &["commit", "-q", "-m", "three"]);
    let head = git(at, &["rev-parse", "HEAD"]);
    deliver(at, &item(&head, |cut| cut.records.truncate(1))).await.expect("delivered");
    let tree =
        git(at, &["ls-tree", "-r", "--name-only", &name::reference(&head, "A-79e25078cdfe")]);
    assert!(tree.contains("\ndvc.yaml") && !tree.contains("old.tsv"), "{tree}");
    // In a folder of the repository that DVC was initialised in.
    std::fs::create_dir(at.join("sub")).expect("folder");
    git(at, &["for-each-ref", "refs/exps"]);
    git(at, &["update-ref", "-d", &name::reference(&head, "A-79e25078cdfe")]);
    deliver(&at.join("sub"), &item(&head, |cut| cut.records.truncate(1))).await.expect("sub");
    let tree =
        git(at, &["ls-tree", "-r", "--name-only", &name::reference(&head, "A-79e25078cdfe")]);
    assert!(tree.contains("sub/armspan/record.json") && tree.contains("armspan/old.tsv"), "{tree}");
}

#[tokio::test]
async fn what_is_no_repository_is_tried_again() {
    let dir = tempfile::tempdir().expect("folder");
    let one = item("9f3c2d1e8b", |cut| cut.records.truncate(1));
    for (path, said) in [(dir.path().join("none"), "no folder"), (dir.path().into(), "not a git")] {
        let failure = deliver(&path, &one).await.expect_err("no repository");
        assert!(
            matches!(&failure, Failure::Later { what, .. } if what.contains(said)),
            "{failure}"
        );
    }
}

#[test]
fn a_reference_that_another_process_moved_is_not_overwritten() {
    let repo = Repo::new();
    let git = Git::open(repo.dir.path()).expect("repository");
    let [one, two] = &repo.commits;
    let name = "refs/exps/ab/cd/x".to_owned();
    let made = Move { name: name.clone(), from: None, to: Some(one.clone()) };
    git.update(std::slice::from_ref(&made)).expect("made");
    assert!(matches!(git.update(&[made]), Err(Failure::Later { .. })), "it exists");
    let moved = Move { name, from: Some(two.clone()), to: None };
    assert!(git.update(&[moved]).is_err(), "it is not as it was read");
    assert_eq!(repo.refs().len(), 1);
}
