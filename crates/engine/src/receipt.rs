//! Receipts: what an apply made real, as an in-toto Statement (<https://in-toto.io/Statement/v1>).
//!
//! Contents are read on the host right before and right after: the receipt tells what is there, and not what was meant to
//! be. It lies beside the audit log, which holds its digest.

use crate::audit::{AuditLog, now_ms};
use crate::choice::{Choice, Chooser};
use crate::digest;
use crate::trial::{Frozen, Trial};
use model::{Change, ChangeKind, FileKind, FilePath, LeftOut, TrialId, hex};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Says how our predicate is to be read.
pub const PREDICATE: &str = "urn:x-belljar:receipt:1";

/// Changes of one receipt; of more, number and digest are told.
const CHANGES_MAX: usize = 10_000;
/// Bytes that are read for the digests of one side. An apply is a rename and must not become a copy's work.
const DIGESTED_BYTES_MAX: u64 = 64 << 20;

/// A name as it was found on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Side {
    kind: FileKind,
    mode: u32,
    bytes: u64,
    /// Of a file's content or a link's target. `None`: it has none, or it would have taken too long.
    sha256: Option<String>,
}

/// A change with what was there before.
struct Begun {
    change: Change,
    before: Option<Side>,
}

/// A receipt of which the second half is still to come.
pub(crate) struct Draft {
    id: TrialId,
    workspace: FilePath,
    argv: Vec<FilePath>,
    by: Chooser,
    /// An apply that was interrupted goes on: some of it is real already.
    resumed: bool,
    changes: Vec<Begun>,
    left_out: Vec<LeftOut>,
}

impl Draft {
    /// Looks at what a choice would make real. `None`: nothing.
    pub(crate) fn new(frozen: &Trial<Frozen>, choice: &Choice, by: Chooser) -> Option<Draft> {
        let is_chosen = |change: &&Change| match choice {
            Choice::ApplyAll => true,
            Choice::Apply(paths) => paths.iter().any(|path| change.path.starts_with(path)),
            Choice::Pick(picked) => {
                picked.picks.is_empty() || picked.picks.iter().any(|pick| change.path.starts_with(&pick.path))
            }
            Choice::Discard | Choice::Leave => false,
        };
        let mut chosen: Vec<Change> = frozen.changes().changes.iter().filter(is_chosen).cloned().collect();
        if chosen.is_empty() {
            return None;
        }
        let rest = if chosen.len() > CHANGES_MAX { chosen.split_off(CHANGES_MAX) } else { Vec::new() };
        let mut budget = DIGESTED_BYTES_MAX;
        let record = frozen.record();
        let changes =
            chosen.into_iter().map(|change| Begun { before: side(&change.path, &mut budget), change }).collect();
        Some(Draft {
            id: record.id.clone(),
            workspace: record.place.workspace.clone(),
            argv: record.argv.clone(),
            by,
            resumed: record.applying.is_some(),
            changes,
            left_out: left_out(&rest),
        })
    }

    /// Writes the receipt: its digest.
    pub(crate) fn finish(self, audit: &AuditLog, policy: &str) -> io::Result<String> {
        let head = audit.head().map_err(io::Error::other)?;
        let mut statement = self.statement(&head, policy);
        crate::audit::redacted(&mut statement);
        let bytes = serde_json::to_vec(&statement)?;
        let dir = audit.dir().join("receipts");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let sha256 = digest::sha256(&bytes);
        let path = dir.join(format!("{}-{sha256}.json", self.id));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&bytes)?;
        Ok(sha256)
    }

    fn statement(&self, head: &str, policy: &str) -> Value {
        let mut budget = DIGESTED_BYTES_MAX;
        let (mut subject, mut changes) = (Vec::new(), Vec::new());
        for Begun { change, before } in &self.changes {
            let after = side(&change.path, &mut budget);
            if let Some(sha256) = after.as_ref().and_then(|side| side.sha256.as_ref()) {
                subject.push(json!({"name": change.path, "digest": {"sha256": sha256}}));
            }
            let before = before.as_ref().filter(|_| !self.resumed);
            let from = if let ChangeKind::Renamed { from } = &change.kind { Some(from) } else { None };
            changes.push(json!({"path": change.path, "from": from, "before": before, "after": after}));
        }
        if subject.is_empty() {
            // A statement is about something that has a digest. Where things were only removed, that is the log.
            subject.push(json!({"name": "belljar audit log", "digest": {"sha256": head}}));
        }
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subject,
            "predicateType": PREDICATE,
            "predicate": {
                "trial": self.id,
                "argv": self.argv,
                "workspace": self.workspace,
                "applied_ms": now_ms(),
                "chosen_by": match self.by {
                    Chooser::Person => "person",
                    Chooser::Mode => "mode",
                    Chooser::Grants(_) => "grant",
                },
                "grants": self.by.uses(),
                "before_known": !self.resumed,
                "changes": changes,
                "left_out": self.left_out,
                "policy": {"sha256": policy},
                "log": {"head": head},
                "belljar": env!("CARGO_PKG_VERSION"),
            },
        })
    }
}

fn left_out(rest: &[Change]) -> Vec<LeftOut> {
    if rest.is_empty() {
        return Vec::new();
    }
    let mut paths = Vec::new();
    for change in rest {
        paths.extend_from_slice(change.path.to_string().as_bytes());
        paths.push(b'\n');
    }
    vec![LeftOut { at: "changes".into(), count: rest.len() as u64, sha256: digest::sha256(&paths) }]
}

/// What is there now. What cannot be looked at has no digest.
fn side(path: &FilePath, budget: &mut u64) -> Option<Side> {
    let path = path.as_path();
    let meta = path.symlink_metadata().ok()?;
    let kind = match meta.mode() & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Symlink,
        0o010_000 => FileKind::Fifo,
        0o140_000 => FileKind::Socket,
        0o020_000 => FileKind::CharDevice,
        _ => FileKind::BlockDevice,
    };
    let sha256 = match kind {
        FileKind::File if meta.len() <= *budget => {
            *budget -= meta.len();
            digest(path, meta.len()).ok()
        }
        FileKind::Symlink => std::fs::read_link(path).ok().map(|target| digest::sha256(target.as_os_str().as_bytes())),
        _ => None,
    };
    Some(Side { kind, mode: meta.mode() & 0o7777, bytes: meta.len(), sha256 })
}

/// Of a file that is this long. If it is another one by now, none.
fn digest(path: &Path, bytes: u64) -> io::Result<String> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?.take(bytes + 1);
    let (mut hash, mut buffer, mut total) = (Sha256::new(), vec![0; 1 << 16], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        total += count as u64;
    }
    if total != bytes {
        return Err(io::Error::other("the file is being written"));
    }
    Ok(hex(&hash.finalize()))
}

/// The receipt with this digest, and whether it is still what it was.
pub(crate) fn find(audit: &AuditLog, id: &TrialId, sha256: &str) -> io::Result<Option<String>> {
    let path: PathBuf = audit.dir().join("receipts").join(format!("{id}-{sha256}.json"));
    let bytes = std::fs::read(path)?;
    Ok((digest::sha256(&bytes) == sha256).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}
