//! Files that are replaced as a whole.

use super::Failure;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Replaces a file in a folder: after a crash there is the old one or the new one, whole. A file
/// that is as it should be is not touched.
pub async fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (dir, path, bytes) = (dir.to_owned(), dir.join(name), bytes.to_owned());
    let work = move || replace_now(&dir, &path, &bytes);
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::later(format!("{name}: {error}"))))
}

/// The same for a file by its path.
pub async fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(name) = name else {
        return Err(Failure::refused(format!("{} is no file name", path.display())));
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    replace(dir.unwrap_or(Path::new(".")), &name, bytes).await
}

fn replace_now(dir: &Path, path: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::io("cannot write", path, error);
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    // Others read these files; the process's mask takes away what it wants to.
    let mode = std::fs::Permissions::from_mode(0o666);
    let builder = tempfile::Builder::new().permissions(mode).tempfile_in(dir);
    let mut beside = builder.map_err(|error| failed(&error))?;
    beside.write_all(bytes).map_err(|error| failed(&error))?;
    beside.as_file().sync_data().map_err(|error| failed(&error))?;
    beside.persist(path).map_err(|error| failed(&error.error))?;
    let folder = File::open(dir).and_then(|folder| folder.sync_all());
    folder.map_err(|error| failed(&error))
}
