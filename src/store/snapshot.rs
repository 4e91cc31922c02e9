//! Snapshots: `DIR/snap/<position>.snap`, one frame each, the two newest kept.
//!
//! ```text
//! magic 8 | crc 4 | format 4 | position 8 | version len 4 | bytes len 8 | version | bytes
//! ```
//! All little endian; the CRC-32C covers everything after itself. The position is that of the
//! first entry which the snapshot does not contain. One that is damaged, cut short or of another
//! version of the engine is passed over for the one before it; the log makes up for it.

use super::steady::Steady;
use super::{Beside, Error};
use crate::fail;
use crate::model::Position;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"armssnap";
const FORMAT: u32 = 1;
const HEADER: usize = 36;
/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;
/// How many are kept: the newest, and one more in case it is damaged.
const KEPT: usize = 2;

/// Writes a snapshot durably, then removes all but the two newest.
///
/// `version` names what the bytes can be read by: a snapshot of another version is not offered.
pub fn save(dir: &Path, version: &str, position: Position, bytes: &[u8]) -> Result<(), Error> {
    Draft::begin(dir, version, position, &mut |out| out.write_all(bytes))?.finish(&[]).map(drop)
}

/// A snapshot that is written but not yet one: what it rests on may have to be made durable.
pub struct Draft {
    beside: Beside,
    version: String,
    position: Position,
    sum: Sum,
}

impl Draft {
    /// Writes its bytes as they come.
    pub fn begin(
        dir: &Path,
        version: &str,
        position: Position,
        write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<Self, Error> {
        let folder = dir.join("snap");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("cannot create", &folder, e))?;
        let path = folder.join(format!("{position:020}.snap"));
        fail::point("snapshot.write");
        let mut begun = || -> std::io::Result<Draft> {
            let mut beside = Beside::begin(&path)?;
            // The header comes last, because length and checksum stand in it.
            beside.file.write_all(&[0; HEADER])?;
            beside.file.write_all(version.as_bytes())?;
            let mut sum = Sum::default();
            let summed = Summed { file: &mut beside.file, sum: &mut sum };
            let mut out = BufWriter::with_capacity(BUFFER, summed);
            write(&mut out)?;
            out.flush()?;
            drop(out);
            Ok(Draft { beside, version: version.to_owned(), position, sum })
        };
        begun().map_err(|e| Error::io("cannot write the snapshot", &path, e))
    }

    /// Writes the rest of its bytes and makes it a snapshot; all but the two newest go. Gives the
    /// number of its bytes.
    pub fn finish(mut self, rest: &[u8]) -> Result<u64, Error> {
        let path = self.beside.path.clone();
        let cannot = |e| Error::io("cannot write the snapshot", &path, e);
        self.complete(rest).map_err(cannot)?;
        let bytes = self.sum.len;
        self.beside.commit().map_err(cannot)?;
        fail::point("snapshot.written");
        let folder = path.parent().unwrap_or(Path::new("."));
        clear(folder)?;
        for (_, old) in list(folder)?.into_iter().skip(KEPT) {
            std::fs::remove_file(&old).map_err(|e| Error::io("cannot remove", &old, e))?;
        }
        Ok(bytes)
    }

    fn complete(&mut self, rest: &[u8]) -> std::io::Result<()> {
        let Draft { beside, version, position, sum } = self;
        Summed { file: &mut beside.file, sum }.write_all(rest)?;
        beside.file.file().seek(SeekFrom::Start(0))?;
        beside.file.write_all(&header(version, *position, *sum))
    }
}

/// Length and checksum of bytes.
#[derive(Clone, Copy, Default)]
struct Sum {
    crc: u32,
    len: u64,
}

/// A file, and the sum of what was written to it.
struct Summed<'a> {
    file: &'a mut Steady,
    sum: &'a mut Sum,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.crc = crc32c::crc32c_append(self.sum.crc, &bytes[..written]);
        self.sum.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Removes what a process left behind that ended while it wrote.
fn clear(folder: &Path) -> Result<(), Error> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("cannot list", folder, e))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|kind| kind == "tmp") {
            std::fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, e))?;
        }
    }
    Ok(())
}

/// The newest snapshot that is whole, of this version, and that `read` understands: its position
/// and what was read. Others are passed over, whatever is wrong with them.
pub fn newest<T>(
    dir: &Path,
    version: &str,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<(Position, T)>, Error> {
    for (position, path) in list(&dir.join("snap"))? {
        let bytes = std::fs::read(&path).map_err(|error| error.to_string());
        let bytes = bytes.and_then(|file| Ok(check(file, version, position)?));
        match bytes.and_then(|bytes| read(&bytes)) {
            Ok(whole) => return Ok(Some((position, whole))),
            Err(why) => tracing::warn!(file = %path.display(), why, "a snapshot is passed over"),
        }
    }
    Ok(None)
}

/// The position that all but the newest snapshot reach: what is before it two of them cover. 0
/// when there are no two that can be read by this version.
pub fn covered(dir: &Path, version: &str) -> Result<Position, Error> {
    let mut found = Vec::new();
    for (position, path) in list(&dir.join("snap"))? {
        if is_of(&path, version, position).unwrap_or(false) {
            found.push(position);
        }
    }
    Ok(found.get(KEPT - 1).copied().unwrap_or(0))
}

/// Whether a file begins as a snapshot of this version and position does; not all is read.
fn is_of(path: &Path, version: &str, position: Position) -> std::io::Result<bool> {
    let mut begin = vec![0; HEADER + version.len()];
    File::open(path)?.read_exact(&mut begin)?;
    let expected = header(version, position, Sum::default());
    // All but the checksum and the length, which are those of the bytes.
    Ok(begin[..8] == expected[..8]
        && begin[12..28] == expected[12..28]
        && begin[HEADER..] == *version.as_bytes())
}

/// All snapshots, the newest first.
fn list(folder: &Path) -> Result<Vec<(Position, PathBuf)>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("cannot list", folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot list", folder, e))?.path();
        found.extend(position_of(&path).map(|position| (position, path)));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

fn position_of(path: &Path) -> Option<Position> {
    path.file_name()?.to_str()?.strip_suffix(".snap")?.parse().ok()
}

fn header(version: &str, position: Position, sum: Sum) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&position.to_le_bytes());
    header[24..28].copy_from_slice(&(version.len() as u32).to_le_bytes());
    header[28..36].copy_from_slice(&sum.len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[12..]), version.as_bytes());
    let crc = crc32c::crc32c_combine(crc, sum.crc, sum.len as usize);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The bytes of a snapshot file, without copying them, or what is wrong with it.
fn check(mut file: Vec<u8>, version: &str, position: Position) -> Result<Vec<u8>, &'static str> {
    let Some(head) = file.first_chunk::<HEADER>() else { return Err("it is cut short") };
    if head[..8] != MAGIC {
        return Err("it is no snapshot");
    }
    let crc = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if crc32c::crc32c(&file[12..]) != crc {
        return Err("it is damaged");
    }
    let start = HEADER + version.len();
    let sum = |bytes: &[u8]| Sum { crc: crc32c::crc32c(bytes), len: bytes.len() as u64 };
    if file.len() < start || *head != header(version, position, sum(&file[start..])) {
        return Err("another version wrote it");
    }
    file.drain(..start);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn newest_valid(dir: &Path, version: &str) -> Result<Option<(Position, Vec<u8>)>, Error> {
        newest(dir, version, |bytes| Ok(bytes.to_vec()))
    }

    fn files(dir: &TempDir) -> Vec<Position> {
        list(&dir.path().join("snap")).expect("lists").into_iter().map(|pair| pair.0).collect()
    }

    #[test]
    fn the_newest_comes_back_and_two_are_kept() {
        let dir = TempDir::new().expect("dir");
        assert_eq!(newest_valid(dir.path(), "v").expect("reads"), None);
        for position in [5, 900, 70] {
            save(dir.path(), "v", position, &[position as u8; 40]).expect("saves");
        }
        assert_eq!(files(&dir), [900, 70]);
        let newest = newest_valid(dir.path(), "v").expect("reads");
        assert_eq!(newest, Some((900, vec![900u64 as u8; 40])));
        assert_eq!(newest_valid(dir.path(), "w").expect("reads"), None);
    }

    #[test]
    fn any_damage_falls_back_to_the_older() {
        let dir = TempDir::new().expect("dir");
        save(dir.path(), "v1", 1, b"older").expect("saves");
        save(dir.path(), "v1", 2, b"newer").expect("saves");
        let path = dir.path().join("snap").join(format!("{:020}.snap", 2));
        let whole = std::fs::read(&path).expect("file");
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            for damaged in [&bad[..], &whole[..at]] {
                std::fs::write(&path, damaged).expect("damage");
                let read = newest_valid(dir.path(), "v1").expect("reads");
                assert_eq!(read, Some((1, b"older".to_vec())), "byte {at}");
            }
        }
        std::fs::write(&path, &whole).expect("repair");
        let read = newest_valid(dir.path(), "v1").expect("reads");
        assert_eq!(read, Some((2, b"newer".to_vec())));
    }

    #[test]
    fn one_that_nobody_understands_is_passed_over() {
        let dir = TempDir::new().expect("dir");
        save(dir.path(), "v", 1, b"older").expect("saves");
        save(dir.path(), "v", 2, b"strange").expect("saves");
        std::fs::create_dir(dir.path().join("snap/00000000000000000003.snap")).expect("a folder");
        let read = |bytes: &[u8]| match bytes {
            b"older" => Ok(7),
            _ => Err("strange".to_owned()),
        };
        assert_eq!(newest(dir.path(), "v", read).expect("reads"), Some((1, 7)));
    }

    #[test]
    fn what_two_of_this_version_cover_may_go() {
        let dir = TempDir::new().expect("dir");
        let at = |version: &str| covered(dir.path(), version).expect("lists");
        save(dir.path(), "old", 3, b"three").expect("saves");
        save(dir.path(), "new", 5, b"five").expect("saves");
        assert_eq!((at("old"), at("new")), (0, 0));
        save(dir.path(), "new", 9, b"nine").expect("saves");
        assert_eq!((at("old"), at("new")), (0, 5));
    }

    #[test]
    fn a_renamed_snapshot_is_not_believed() {
        let dir = TempDir::new().expect("dir");
        save(dir.path(), "v", 1, b"one").expect("saves");
        let folder = dir.path().join("snap");
        let path = |position: u64| folder.join(format!("{position:020}.snap"));
        std::fs::rename(path(1), path(9)).expect("rename");
        assert_eq!(newest_valid(dir.path(), "v").expect("reads"), None);
    }
}
