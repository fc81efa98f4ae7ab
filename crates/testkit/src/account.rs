//! The ordinary user of a test run: made when the first test needs it, gone when the last one ends.
//!
//! Every test of `cargo nextest` is its own process, so the account and the mode of `/dev/fuse` are shared through
//! two flock(2) files: `gate` is held for the moment of a change, `holders` is held shared for as long as a test
//! needs the account. Whoever can take `holders` alone is the last one and puts everything back. The kernel drops a
//! dead process's locks, so a killed test never keeps the others waiting, and the next one cleans up after it.

use nix::unistd::User;
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Only root may write here, and a restart of the machine empties it.
const LOCK_DIR: &str = "/run/belljar-tests";
const FUSE: &str = "/dev/fuse";
/// What most distributions ship, by udev's default rules.
const FUSE_MODE: u32 = 0o666;

/// A hold on the shared ordinary user. While any is alive the user exists and may open `/dev/fuse`.
#[derive(Debug)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    holders: Option<File>,
    dir: PathBuf,
}

impl Account {
    /// Holds the shared account, making it first where needed. Needs root.
    #[must_use]
    pub fn hold() -> Account {
        Account::hold_in(Path::new(LOCK_DIR))
    }

    fn hold_in(dir: &Path) -> Account {
        fs::create_dir_all(dir).expect("make the lock directory");
        fs::set_permissions(dir, Permissions::from_mode(0o700)).expect("close the lock directory");
        let gate = lock_file(dir, "gate");
        gate.lock().expect("lock the gate");
        let holders = lock_file(dir, "holders");
        holders.lock_shared().expect("hold the account");
        let user = existing(dir).unwrap_or_else(|| set_up(dir));
        let name = user.name;
        Account { name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), holders: Some(holders), dir: dir.to_owned() }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let gate = lock_file(&self.dir, "gate");
        if gate.lock().is_err() {
            return;
        }
        // Unlocked by name and not by closing: a thread that forks just now holds a copy of the descriptor.
        if let Some(Err(e)) = self.holders.take().map(|held| held.unlock()) {
            eprintln!("testkit: let go of {}: {e}", self.name);
        }
        match lock_file(&self.dir, "holders").try_lock() {
            Ok(()) => tear_down(&self.dir, &self.name),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => {
                eprintln!("testkit: cannot tell whether {} is in use: {e}", self.name)
            }
        }
    }
}

fn lock_file(dir: &Path, name: &str) -> File {
    File::options().create(true).truncate(false).write(true).open(dir.join(name)).expect("open a lock file")
}

/// The account an earlier hold made, if it is still there.
fn existing(dir: &Path) -> Option<User> {
    let name = fs::read_to_string(dir.join("name")).ok()?;
    User::from_name(&name).expect("look up the account")
}

/// Makes the user and opens `/dev/fuse`, and writes down how to undo both before doing it.
fn set_up(dir: &Path) -> User {
    let name = unused_name();
    fs::write(dir.join("name"), &name).expect("note the account");
    let mode = fs::metadata(FUSE).expect("stat /dev/fuse").permissions().mode() & 0o7777;
    if !dir.join("fuse-mode").exists() {
        fs::write(dir.join("fuse-mode"), format!("{mode:o}")).expect("note the mode of /dev/fuse");
    }
    fs::set_permissions(FUSE, Permissions::from_mode(FUSE_MODE)).expect("open /dev/fuse for users");
    let made = Command::new("useradd")
        .args(["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/bash", &name])
        .output()
        .expect("run useradd");
    if !made.status.success() {
        tear_down(dir, &name);
        panic!("useradd {name}: {}", String::from_utf8_lossy(&made.stderr));
    }
    User::from_name(&name).expect("look up the account").expect("useradd made the account")
}

/// Names of earlier, interrupted runs may still be there; theirs are not ours to remove.
fn unused_name() -> String {
    let free = |name: &String| matches!(User::from_name(name), Ok(None));
    (0..1000).map(|n| format!("bjtest{:05}{n:03}", std::process::id() % 100_000)).find(free).expect("a free user name")
}

fn tear_down(dir: &Path, name: &str) {
    if let Err(problem) = restore_fuse(dir) {
        eprintln!("testkit: /dev/fuse keeps its test mode: {problem}");
    }
    match Command::new("userdel").arg(name).output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => eprintln!("testkit: userdel {name}: {}", String::from_utf8_lossy(&done.stderr)),
        Err(e) => eprintln!("testkit: userdel {name}: {e}"),
    }
    // The lock files stay: removing one that another process has just opened would split the lock in two.
    let _ = fs::remove_file(dir.join("name"));
}

fn restore_fuse(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let note = dir.join("fuse-mode");
    let mode = u32::from_str_radix(&fs::read_to_string(&note)?, 8)?;
    fs::set_permissions(FUSE, Permissions::from_mode(mode))?;
    Ok(fs::remove_file(note)?)
}

#[cfg(test)]
mod tests {
    use super::{Account, FUSE};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn fuse_mode() -> u32 {
        fs::metadata(FUSE).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn as_root_the_last_hold_puts_everything_back() {
        let first = Account::hold();
        let second = Account::hold();
        assert_eq!((first.uid, &first.name), (second.uid, &second.name));
        assert_eq!(fuse_mode(), 0o666);
        drop(first);
        assert_eq!(fuse_mode(), 0o666, "the second hold still needs it");
        assert_ne!(second.uid, 0);
    }
}
