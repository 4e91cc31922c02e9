//! Names of segments: `DIR/log/NNNNNNNNNNNNNNNNNNNN.seg`, where N is the first position in it.

use super::Error;
use crate::model::Position;
use std::path::{Path, PathBuf};

/// The folder of the segments inside a data folder.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The path of a segment.
pub fn path(folder: &Path, first: Position) -> PathBuf {
    folder.join(name(first))
}

/// The name of a segment.
pub fn name(first: Position) -> String {
    format!("{first:020}.seg")
}

/// First positions of all segments, in order; none when there is no folder.
pub fn list(folder: &Path) -> Result<Vec<Position>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("cannot list", folder, error)),
    };
    let mut firsts = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("cannot list", folder, error))?;
        firsts.extend(entry.file_name().to_str().and_then(first_of));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn first_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
    digits.parse().ok()
}
