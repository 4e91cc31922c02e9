//! Files in a folder on this machine. Each is written under `.writing` first, which readers of
//! tables pass over, and then linked to its name: it is there as a whole or not at all. After
//! `create` it is on the disk, with the folders above it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Where files are written before they have their name.
const WRITING: &str = ".writing";

/// Creates a file; `false` when it is there already, which leaves it as it is.
pub fn create(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<bool> {
    let to = folder.join(name);
    let above = to.parent().unwrap_or(folder);
    make(above)?;
    let created = !to.try_exists()? && publish(&folder.join(WRITING), &to, bytes)?;
    if !created {
        // Whoever created it may have crashed before this.
        File::open(&to)?.sync_all()?;
    }
    File::open(above)?.sync_all()?;
    Ok(created)
}

fn publish(writing: &Path, to: &Path, bytes: &[u8]) -> io::Result<bool> {
    make(writing)?;
    sweep(writing)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let temporary = writing.join(format!("{}-{name}", std::process::id()));
    let mut file = File::create_new(&temporary)?;
    let linked = fill(&mut file, bytes).and_then(|()| fs::hard_link(&temporary, to));
    let removed = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
        Ok(()) => removed.map(|()| true),
    }
}

/// The lock says that its writer lives; it ends with the file's handle, or with the process.
fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.try_lock()?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes what a writer left that was killed.
fn sweep(writing: &Path) -> io::Result<()> {
    for entry in fs::read_dir(writing)? {
        let path = entry?.path();
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes a folder with those above it, durably.
fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_and_what_a_killed_writer_left_is_removed() {
        let dir = tempfile::tempdir().expect("folder");
        let writing = dir.path().join(WRITING);
        fs::create_dir(&writing).expect("folder");
        fs::write(writing.join("1-half"), "ha").expect("written");
        let alive = File::create(writing.join("2-alive")).expect("created");
        alive.try_lock().expect("locked");
        assert!(create(dir.path(), "a/b/c", b"one").expect("created"));
        assert!(!create(dir.path(), "a/b/c", b"two").expect("there"));
        assert_eq!(fs::read(dir.path().join("a/b/c")).expect("read"), b"one");
        let left = fs::read_dir(&writing).expect("folder").map(|e| e.expect("entry").file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["2-alive"]);
    }
}
