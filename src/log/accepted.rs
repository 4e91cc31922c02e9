//! Losses that were accepted with `--accept-loss`, noted in `DIR/log/accepted` so that later
//! starts do not stop at the same place again. A line each: segment, offset, lost positions.

use super::Error;
use super::entries::Lost;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The noted losses, and whether new ones may be added.
pub struct Accepted {
    path: PathBuf,
    lines: Vec<String>,
    open: bool,
}

impl Accepted {
    /// Reads the note of a folder; `open` accepts new losses too.
    pub fn load(folder: &Path, open: bool) -> Result<Self, Error> {
        let path = folder.join("accepted");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("cannot read", &path, error)),
        };
        let lines = text.lines().map(str::to_owned).collect();
        Ok(Accepted { path, lines, open })
    }

    /// Whether this loss is accepted; a new one is noted durably first.
    pub fn take(&mut self, lost: &Lost) -> Result<bool, Error> {
        let name = lost.file.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{name} {} {}..{}", lost.offset, lost.from, lost.to);
        if self.lines.contains(&line) {
            return Ok(true);
        }
        if self.open {
            let wrap = |error| Error::io("cannot note an accepted loss in", &self.path, error);
            let mut file =
                OpenOptions::new().create(true).append(true).open(&self.path).map_err(wrap)?;
            writeln!(file, "{line}").and_then(|()| file.sync_all()).map_err(wrap)?;
            self.lines.push(line);
        }
        Ok(self.open)
    }
}
