//! A Rust toolchain inside a world's home, as rustup puts it there, so that `cargo build` can run under glass.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The parts that building a crate for this machine needs; documentation and other tools stay out.
const PARTS: [&str; 3] = ["bin", "lib", "libexec"];

/// Puts the toolchain in use at `home/.rust` and returns its `bin`. Hard links where the file system is the same, so
/// this costs neither time nor space; nobody may chown what is below it.
pub(crate) fn install(home: &Path) -> PathBuf {
    let from = sysroot();
    let to = home.join(".rust");
    std::fs::create_dir_all(&to).expect("make the toolchain directory");
    for part in PARTS.iter().filter(|part| from.join(part).exists()) {
        let linked = copy("-al", &from.join(part), &to);
        assert!(linked || copy("-a", &from.join(part), &to), "copy {part} of the toolchain at {}", from.display());
    }
    to.join("bin")
}

fn sysroot() -> PathBuf {
    let asked = Command::new("rustc").args(["--print", "sysroot"]).output().expect("run rustc");
    PathBuf::from(String::from_utf8(asked.stdout).expect("a sysroot in UTF-8").trim())
}

fn copy(flags: &str, from: &Path, to: &Path) -> bool {
    let done = Command::new("cp").arg(flags).arg(from).arg(to).output().expect("run cp");
    done.status.success()
}
