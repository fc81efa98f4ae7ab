//! The key that seals checkpoints: one for each epoch, `k(n+1) = SHA-256("belljar audit key" || k(n))`, the old one erased.
//!
//! Whoever takes the machine takes the key of the present epoch. The keys of earlier ones cannot be computed from it, so
//! neither can the seals on what was logged before. The verifier derives them all from the first, which `belljar audit
//! key` prints once and which is kept somewhere else.

use super::hash::{Hash, chain};
use hmac::{Hmac, KeyInit, Mac};
use model::{hex, unhex};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The key of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) epoch: u64,
    secret: Hash,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Key {
    /// The first key of a log.
    pub(crate) fn first(secret: Hash) -> Key {
        Key { epoch: 0, secret }
    }

    /// A first key that nobody knows yet.
    pub(crate) fn random() -> io::Result<Key> {
        let mut secret: Hash = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Key::first(secret))
    }

    /// The form in which a person keeps it.
    pub(crate) fn text(&self) -> String {
        hex(&self.secret)
    }

    pub(crate) fn next(&self) -> Key {
        let secret = Sha256::new().chain_update(b"belljar audit key").chain_update(self.secret).finalize().into();
        Key { epoch: self.epoch + 1, secret }
    }

    /// The key of a later epoch; its own if that is not later.
    pub(crate) fn forward(mut self, epoch: u64) -> Key {
        while self.epoch < epoch {
            self = self.next();
        }
        self
    }

    pub(crate) fn seal(&self, bytes: &[u8]) -> Hash {
        match Hmac::<Sha256>::new_from_slice(&self.secret) {
            Ok(mac) => mac.chain_update(bytes).finalize().into_bytes().into(),
            // HMAC takes keys of any length; were it not so, this seal would verify nowhere.
            Err(_) => chain(&[0; 32], bytes),
        }
    }
}

/// Where the key of the present epoch lies: `EPOCH KEY`, of fixed length, so that writing one erases the other.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    pub(crate) fn new(dir: &Path) -> KeyFile {
        KeyFile { path: dir.join("key") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The key, if one was set up.
    pub(crate) fn load(&self) -> io::Result<Option<Key>> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let parsed = text
            .trim_end()
            .split_once(' ')
            .and_then(|(epoch, secret)| Some(Key { epoch: epoch.parse().ok()?, secret: unhex(secret)? }));
        parsed.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no key of an audit log"))
    }

    /// Sets the first key up, on the disk when it returns.
    pub(crate) fn create(&self, key: &Key) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(line(key).as_bytes())?;
        file.sync_all()
    }

    /// Overwrites the key that is there, in place.
    pub(crate) fn replace(&self, key: &Key) -> io::Result<()> {
        OpenOptions::new().write(true).open(&self.path)?.write_all_at(line(key).as_bytes(), 0)
    }

    /// Takes back what [`KeyFile::create`] made.
    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

fn line(key: &Key) -> String {
    format!("{:020} {}\n", key.epoch, key.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_forward_and_is_replaced_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::new(dir.path());
        assert_eq!(file.load().unwrap(), None);
        let first = Key::random().unwrap();
        assert_ne!(first, Key::random().unwrap());
        file.create(&first).unwrap();
        assert!(file.create(&first).is_err(), "a key is never set up twice");
        let later = first.clone().forward(1000);
        assert_eq!((later.epoch, &later), (1000, &first.next().forward(1000)));
        file.replace(&later).unwrap();
        assert_eq!(file.load().unwrap(), Some(later));
        let bytes = std::fs::read_to_string(file.path()).unwrap();
        assert!(!bytes.contains(&first.text()), "the old one is gone");
    }

    /// RFC 4231, test case 1, with its key of 20 bytes filled up as HMAC does.
    #[test]
    fn the_seal_is_hmac_sha_256() {
        let mut secret: Hash = [0; 32];
        secret[..20].fill(0x0b);
        let seal = Key::first(secret).seal(b"Hi There");
        assert_eq!(hex(&seal), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }
}
