//! Reads entries from segments in order, one at a time; never writes, but for the note of what
//! was accepted as lost. Used by recovery, by `replay` and, to find the end, by opening.

use super::accepted::Accepted;
use super::files::read_at;
use super::frame::{self, HEADER, Header};
use super::search::{self, Floor};
use super::trailer::{self, TRAILER, Trailer};
use super::{Error, segments};
use crate::model::{Entry, Position};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUFFER_BYTES: usize = 1 << 18;
/// How often, and after how long, a frame is looked at again that may be in the middle of being
/// written by a server, before it is called damaged.
const WRITING_LOOKS: u32 = 3;
const WRITING: Duration = Duration::from_millis(5);

/// A stretch of the log that cannot be read and was accepted as lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Where: the segment.
    pub file: PathBuf,
    /// Where: the byte in it.
    pub offset: u64,
    /// Lost positions: from here …
    pub from: Position,
    /// … to here, exclusive.
    pub to: Position,
}

/// Where a segment's readable frames end.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// First byte after the last frame.
    pub offset: u64,
    /// The next position.
    pub next: Position,
    /// Epoch of the last frame, 0 when there was none.
    pub epoch: u64,
}

/// An iterator over the entries of a log folder.
pub struct Entries {
    folder: PathBuf,
    firsts: Vec<Position>,
    at: usize,
    from: Position,
    current: Option<Segment>,
    floor: Floor,
    accepted: Accepted,
    /// What was skipped on the way.
    pub lost: Vec<Lost>,
    /// A server may be writing what is read.
    pub live: bool,
    done: bool,
}

struct Segment {
    path: PathBuf,
    reader: BufReader<File>,
    /// Frames end before it.
    len: u64,
    offset: u64,
    trailer: Option<Trailer>,
    /// Its trailer should be there and is not.
    cut_short: bool,
}

// === impl Entries ===

impl Entries {
    /// Over all segments that hold `from` or later.
    pub fn new(folder: &Path, from: Position, accept_loss: bool) -> Result<Self, Error> {
        let firsts = segments::list(folder)?;
        let at = firsts.partition_point(|first| *first <= from).saturating_sub(1);
        let seq = firsts.get(at).copied().unwrap_or(0);
        Ok(Entries {
            folder: folder.to_owned(),
            firsts,
            at,
            from,
            current: None,
            floor: Floor { epoch: 0, seq },
            accepted: Accepted::load(folder, accept_loss)?,
            lost: Vec::new(),
            live: false,
            done: false,
        })
    }

    /// Where reading stands; after the last entry: the end of the log.
    pub fn end(&self) -> End {
        let offset = self.current.as_ref().map_or(0, |segment| segment.offset);
        End { offset, next: self.floor.seq, epoch: self.floor.epoch }
    }

    fn advance(&mut self) -> Result<Option<(Position, Entry)>, Error> {
        loop {
            let Some(&first) = self.firsts.get(self.at) else { return Ok(None) };
            if self.current.is_none() {
                self.enter(first)?;
            }
            if let Some((header, payload)) = self.read()? {
                if header.seq < self.from {
                    continue;
                }
                return self.decode(header, payload).map(Some);
            }
            if !self.leave()? {
                return Ok(None);
            }
        }
    }

    /// Opens a segment; when it begins later than expected, what lies between is missing.
    fn enter(&mut self, first: Position) -> Result<(), Error> {
        let path = segments::path(&self.folder, first);
        if first != self.floor.seq {
            self.lose(&path, 0, first, "the entries before this segment are missing")?;
        }
        self.current = Some(Segment::open(path)?);
        Ok(())
    }

    fn read(&mut self) -> Result<Option<(Header, Vec<u8>)>, Error> {
        let Some(segment) = self.current.as_mut() else { return Ok(None) };
        let frame = segment.read().map_err(|e| Error::io("cannot read", &segment.path, e))?;
        let expected = self.floor.seq;
        let frame = frame.filter(|f| self.floor.admits(&f.0) && f.0.seq == expected);
        if let Some((header, _)) = &frame {
            segment.offset += header.frame_len();
            self.floor = Floor { epoch: header.epoch, seq: header.seq + 1 };
        }
        Ok(frame)
    }

    /// At a place that is no frame: goes on with the next segment, skips an accepted loss, or
    /// says that here is the end.
    fn leave(&mut self) -> Result<bool, Error> {
        let Some(segment) = self.current.as_ref() else { return Ok(false) };
        let (path, offset, end) = (segment.path.clone(), segment.offset, segment.len);
        let next_first = self.firsts.get(self.at + 1).copied();
        let wrap = |error| Error::io("cannot read", &path, error);
        let file = segment.reader.get_ref();
        // When nothing more was written here, a gap lies before the next segment, not here.
        if next_first == Some(self.floor.seq)
            || next_first.is_some() && search::is_clear(file, offset, end).map_err(wrap)?
        {
            (self.at, self.current) = (self.at + 1, None);
            return Ok(true);
        }
        if next_first.is_none() && search::is_torn(file, offset, end, self.floor).map_err(wrap)? {
            return self.goes_on(&path, offset);
        }
        if self.live && self.is_written_by_now(file, offset, end).map_err(wrap)? {
            self.jump(offset).map_err(wrap)?;
            return Ok(true);
        }
        let found = search::next_valid(file, offset, end, self.floor).map_err(wrap)?;
        let resume = found.map(|(_, header)| header.seq).or(next_first);
        match (resume, found) {
            (None, _) => {
                self.lose(&path, offset, self.floor.seq, "the last frame cannot be read")?;
                return Ok(false);
            }
            (Some(resume), found) => {
                let what = "a frame cannot be read and valid ones follow";
                self.lose(&path, offset, resume, what)?;
                match found {
                    Some((place, _)) => self.jump(place).map_err(wrap)?,
                    None => (self.at, self.current) = (self.at + 1, None),
                }
            }
        }
        Ok(true)
    }

    /// At the end of what was the last segment: whether the log goes on after all. That something
    /// is gone there is an error, or noted.
    fn goes_on(&mut self, path: &Path, offset: u64) -> Result<bool, Error> {
        let Some(segment) = &self.current else { return Ok(false) };
        let (seq, len) = (self.floor.seq, segment.len);
        if segment.cut_short {
            return self.lose(path, len, seq, "the file is cut short").map(|()| false);
        }
        let next = segment.trailer.and_then(|trailer| trailer.next).filter(|next| *next >= seq);
        let Some(next) = next else { return Ok(false) };
        // A server may have begun it since.
        if segments::path(&self.folder, next).exists() {
            self.firsts.push(next);
            return Ok(true);
        }
        let what = "the segment that follows this one is missing";
        self.lose(path, offset, next, what).map(|()| false)
    }

    /// It may have been in the middle of being written.
    fn is_written_by_now(&self, file: &File, offset: u64, end: u64) -> std::io::Result<bool> {
        for _ in 0..WRITING_LOOKS {
            let whole = search::frame_at(file, offset, end)?;
            if whole.is_some_and(|(head, _)| self.floor.admits(&head) && head.seq == self.floor.seq)
            {
                return Ok(true);
            }
            std::thread::sleep(WRITING);
        }
        Ok(false)
    }

    fn jump(&mut self, place: u64) -> std::io::Result<()> {
        let Some(segment) = self.current.as_mut() else { return Ok(()) };
        segment.offset = place;
        segment.reader.seek(SeekFrom::Start(place)).map(drop)
    }

    fn lose(
        &mut self,
        file: &Path,
        offset: u64,
        to: Position,
        what: &'static str,
    ) -> Result<(), Error> {
        let from = self.floor.seq;
        let lost = Lost { file: file.to_owned(), offset, from, to };
        if !self.accepted.take(&lost)? {
            return Err(Error::Damaged { file: lost.file, offset, from, to, what });
        }
        self.lost.push(lost);
        self.floor.seq = to;
        Ok(())
    }

    fn decode(&self, header: Header, payload: Vec<u8>) -> Result<(Position, Entry), Error> {
        let body = frame::body(header.kind, payload)
            .ok_or(Error::Newer { position: header.seq, kind: header.kind })?;
        Ok((header.seq, Entry { stamp: header.stamp, body }))
    }
}

impl Iterator for Entries {
    type Item = Result<(Position, Entry), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.advance().transpose();
        self.done = !matches!(read, Some(Ok(_)));
        read
    }
}

// === impl Segment ===

impl Segment {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let wrap = |error| Error::io("cannot open", &path, error);
        let file = File::open(&path).map_err(wrap)?;
        let len = file.metadata().map_err(wrap)?.len();
        let trailer = trailer::read(&file, len).map_err(wrap)?;
        let cut_short = trailer.is_none() && Segment::should_have_one(&file, len).map_err(wrap)?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        let len = if trailer.is_some() { len - TRAILER } else { len };
        Ok(Segment { path, reader, len, offset: 0, trailer, cut_short })
    }

    /// Whether this version made a file: then it has frames with a check, or is cut so short that
    /// it has none.
    fn should_have_one(file: &File, len: u64) -> std::io::Result<bool> {
        let mut head = [0; HEADER];
        let whole = read_at(file, &mut head, 0)? == HEADER;
        Ok(len < HEADER as u64
            || whole && Header::read(&head).is_some_and(|_| frame::is_checked(&head)))
    }

    /// The next frame, when it is whole. What was read of a bad one is not read again: the
    /// caller ends here or seeks.
    fn read(&mut self) -> std::io::Result<Option<(Header, Vec<u8>)>> {
        let mut head = [0; HEADER];
        if self.offset + HEADER as u64 > self.len {
            return Ok(None);
        }
        self.reader.read_exact(&mut head)?;
        let fits = |h: &Header| self.offset + h.frame_len() <= self.len;
        let Some(header) = Header::read(&head).filter(fits) else { return Ok(None) };
        let mut payload = vec![0; header.len as usize];
        self.reader.read_exact(&mut payload)?;
        let valid = frame::checksum(&head, &payload) == header.crc;
        Ok(valid.then_some((header, payload)))
    }
}
