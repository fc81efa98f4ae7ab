//! Small files of ours that are old or new at every moment, and never half.

use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The content of a file of at most `most` bytes that nobody but this user can have written; `None` where there is none.
///
/// # Errors
/// When it is another kind of file, somebody else's, open to others or larger, or cannot be read.
pub(crate) fn own(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let meta = file.metadata()?;
    let wrong = |why: &str| Err(io::Error::other(why.to_owned()));
    if !meta.is_file() || meta.nlink() != 1 {
        return wrong("it is no plain file with one name");
    }
    if meta.uid() != nix::unistd::Uid::effective().as_raw() {
        return wrong("it belongs to somebody else");
    }
    if meta.mode() & 0o022 != 0 {
        return wrong("others may write it");
    }
    let mut bytes = Vec::new();
    if file.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return wrong("it is too large");
    }
    Ok(Some(bytes))
}

/// Makes `bytes` the content of the file, which only its owner may read, and its directory where there is none. On the
/// disk when it returns. Who else writes it is kept out by the caller, or wins where he is later.
///
/// # Errors
/// When it cannot be written; the file is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let new = path.with_extension(format!("new.{}", std::process::id()));
    // Left by one that was killed and whose number this process has now.
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| File::open(dir)?.sync_all());
    if written.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::replace;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        let beside = path.with_extension(format!("new.{}", std::process::id()));
        replace(&path, b"one").unwrap();
        // As a killed process with this number would have left it.
        std::fs::write(&beside, "half").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"three").is_err());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
