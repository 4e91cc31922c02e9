//! Calls the user's `wandb sync`. It ends with 0 even when something was not uploaded, so the
//! mark that it leaves beside each run is asked for, too.

use super::Failure;
use super::files::Folder;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the client may take for the runs of one cut.
const SYNC_MAX: Duration = Duration::from_secs(600);
/// How often it is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// Characters of its output that are shown.
const SHOWN_MAX: usize = 300;

/// Uploads the runs that were not yet.
pub fn sync(dir: &Path, folders: &[Folder]) -> Result<(), Failure> {
    let due: Vec<&Folder> = folders.iter().filter(|folder| !folder.mark().exists()).collect();
    if due.is_empty() {
        return Ok(());
    }
    let told = dir.join(".armspan-sync.log");
    let status = run(dir, &due, &told).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::later(
            "wandb sync: there is no program `wandb` in PATH; install it (pip install wandb), or \
             leave `sync` out and upload the offline runs yourself",
        ),
        _ => Failure::later(format!("wandb sync: {error}")),
    })?;
    let missing = due.iter().filter(|folder| !folder.mark().exists()).count();
    match status {
        Some(status) if status.success() && missing == 0 => Ok(()),
        Some(status) => Err(Failure::later(format!(
            "wandb sync: {missing} of {} runs were not uploaded ({status}); check WANDB_API_KEY \
             and the sink's `entity`; it said: {}",
            due.len(),
            shown(&told)
        ))),
        None => Err(Failure::later(format!(
            "wandb sync: not done after {} s and stopped; it said: {}",
            SYNC_MAX.as_secs(),
            shown(&told)
        ))),
    }
}

/// Its exit status; `None` when it had to be stopped.
fn run(dir: &Path, due: &[&Folder], told: &Path) -> std::io::Result<Option<ExitStatus>> {
    // To a file: a pipe that nobody empties would stop it.
    let out = File::create(told)?;
    let client = Command::new("wandb")
        // It leaves logs in `wandb` where it is called.
        .current_dir(dir.parent().unwrap_or(dir))
        .args(["sync", "--yes"])
        .args(due.iter().map(|folder| &folder.path))
        .stdin(Stdio::null())
        .stderr(out.try_clone()?)
        .stdout(out)
        .spawn()?;
    waited(client, SYNC_MAX)
}

fn waited(mut client: Child, most: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        if let Some(status) = client.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    client.kill()?;
    client.wait()?;
    Ok(None)
}

/// The end of its output on one line, without the key.
fn shown(told: &Path) -> String {
    let text = std::fs::read(told).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(key) = std::env::var("WANDB_API_KEY").ok().filter(|key| !key.is_empty()) {
        text = text.replace(&key, "(secret)");
    }
    let skipped = text.chars().count().saturating_sub(SHOWN_MAX);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_hangs_is_stopped() {
        let start = |args: &[&str]| Command::new("sleep").args(args).spawn().expect("sleep");
        let stopped = waited(start(&["60"]), Duration::from_millis(50)).expect("waited");
        assert_eq!(stopped, None);
        let ended = waited(start(&["0"]), Duration::from_secs(30)).expect("waited");
        assert!(ended.is_some_and(|status| status.success()));
    }
}
