//! The files of a log: `log.jsonl` grows; `log.000000.jsonl`, `log.000001.jsonl` ... are those before it, never touched
//! again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the segment that grows.
pub(crate) const ACTIVE: &str = "log.jsonl";

#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
}

impl Segments {
    pub(crate) fn new(dir: PathBuf) -> Segments {
        Segments { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn active(&self) -> PathBuf {
        self.dir.join(ACTIVE)
    }

    /// Opens the segment that grows and takes its lock, which the returned file holds.
    pub(crate) fn open(&self) -> io::Result<File> {
        loop {
            let file = match OpenOptions::new().read(true).append(true).open(self.active()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.create()?,
                opened => opened?,
            };
            file.lock()?;
            // Whoever held the lock may have closed this segment and begun another.
            let now = self.active().metadata();
            if now.is_ok_and(|now| file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (now.dev(), now.ino()))) {
                return Ok(file);
            }
        }
    }

    fn create(&self) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(self.active())?;
        // What is synced into a file whose name is lost is lost.
        File::open(&self.dir)?.sync_all()?;
        Ok(file)
    }

    /// Closes the segment that grows, which the caller has locked, as the one with this number.
    pub(crate) fn close(&self, full: &File, number: u64) -> io::Result<()> {
        full.sync_data()?;
        let closed = self.dir.join(format!("log.{number:06}.jsonl"));
        if closed.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", closed.display())));
        }
        fs::rename(self.active(), closed)
    }

    /// The number of the segment that grows, of which the caller holds the lock.
    pub(crate) fn number(&self) -> io::Result<u64> {
        Ok(self.closed()?.last().map_or(0, |(number, _)| number + 1))
    }

    /// Numbers and paths of the closed segments, oldest first.
    pub(crate) fn closed(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            read => read?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("log.")?.strip_suffix(".jsonl"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                found.push((number, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// All segments as they are between two appends: number, path, and how many bytes count.
    pub(crate) fn snapshot(&self) -> io::Result<Vec<(u64, PathBuf, u64)>> {
        let active = match File::open(self.active()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        if let Some(file) = &active {
            file.lock_shared()?;
        }
        let mut found = Vec::new();
        for (number, path) in self.closed()? {
            let bytes = path.metadata()?.len();
            found.push((number, path, bytes));
        }
        // The one that was opened may have been closed while its lock was waited for: then it is in the list, and the
        // one that grows now holds nothing that the caller could have known of.
        let inode = |meta: fs::Metadata| (meta.dev(), meta.ino());
        if let Some(file) = active
            && self.active().metadata().is_ok_and(|now| file.metadata().is_ok_and(|own| inode(own) == inode(now)))
        {
            let number = found.last().map_or(0, |(number, ..)| number + 1);
            found.push((number, self.active(), file.metadata()?.len()));
        }
        Ok(found)
    }
}

/// Calls `each` with every line of the first `bytes` of a file: without its newline, and whether it had one.
pub(crate) fn lines(path: &Path, bytes: u64, mut each: impl FnMut(&[u8], bool)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?.take(bytes));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let complete = line.last() == Some(&b'\n');
        if complete {
            line.pop();
        }
        each(&line, complete);
        line.clear();
    }
    Ok(())
}

/// The beginning of a file, as much of it as `most`.
pub(crate) fn beginning(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The line that ends at `end`: its start, its bytes without the newline, and whether it had one.
pub(crate) fn line_before(file: &mut File, end: u64) -> io::Result<(u64, Vec<u8>, bool)> {
    // Most records are short; a long one is reached in a few larger steps.
    let mut chunk_bytes: u64 = 4 << 10;
    let mut bytes: Vec<u8> = Vec::new();
    let mut start = end;
    loop {
        let from = start.saturating_sub(chunk_bytes);
        chunk_bytes = chunk_bytes.saturating_mul(2);
        let mut chunk = vec![0; usize::try_from(start - from).unwrap_or(0)];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut chunk)?;
        chunk.append(&mut bytes);
        bytes = chunk;
        start = from;
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let complete = body.len() < bytes.len();
        if let Some(newline) = body.iter().rposition(|byte| *byte == b'\n') {
            let line = body.get(newline + 1..).unwrap_or_default().to_vec();
            return Ok((start + newline as u64 + 1, line, complete));
        }
        if start == 0 {
            return Ok((0, body.to_vec(), complete));
        }
    }
}
