//! Secrets that only a name tells.

use super::hunks::conflicts;
use crate::settle::plan::Selection;
use crate::testing::{Bench, View};
use model::{NamedSecret, SecretNames};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `.env`, `*.pem` unless it says that it is public, and whatever is in a `.ssh`; nothing of it below `shown`.
struct Few {
    shown: PathBuf,
}

impl SecretNames for Few {
    fn secret(&self, path: &Path, is_dir: bool) -> Option<NamedSecret<'_>> {
        let name = path.file_name()?.to_str()?;
        let (secret, unless_public) = match is_dir {
            true => (name == ".ssh", false),
            false => (name == ".env" || name.ends_with(".pem"), name.ends_with(".pem")),
        };
        (secret && !self.is_shown(path)).then_some(NamedSecret { rule: "secrets/test", unless_public })
    }

    fn is_shown(&self, path: &Path) -> bool {
        path.starts_with(&self.shown)
    }

    fn is_public(&self, content: &[u8]) -> bool {
        content == b"public"
    }
}

/// A view of a host with a project `p`, and with `shown`, of which nothing is hidden.
fn view(bench: &Bench) -> View {
    for (path, text) in [
        ("p/.env", "hush"),
        ("p/src/.env", "hush"),
        ("p/main.c", "x"),
        ("p/old/.ssh/key", "hush"),
        ("p/a.pem", "public"),
        ("p/b.pem", "hush"),
        ("only/.env", "hush"),
        ("shown/.env", "own"),
    ] {
        fs::create_dir_all(bench.host().join(path).parent().unwrap()).unwrap();
        fs::write(bench.host().join(path), text).unwrap();
    }
    let mut overlay = bench.overlay();
    overlay.hide_names(Arc::new(Few { shown: bench.host().join("shown") }));
    View { layers: overlay.layers().unwrap() }
}

#[test]
fn they_are_not_there_and_attempts_are_told() {
    let bench = Bench::new();
    let view = view(&bench);
    assert_eq!(view.names("p").unwrap(), ["a.pem", "main.c", "old", "src"]);
    assert!(view.names("p/old/.ssh").unwrap().is_empty());
    assert!(view.layers.hidden.attempts().iter().all(|attempt| attempt.rule == "secrets/test"));
    for path in ["p/.env", "p/src/.env", "p/b.pem", "p/old/.ssh/key"] {
        assert_eq!(view.read(path).unwrap_err(), Errno::ENOENT, "{path}");
    }
    assert_eq!(view.read("p/a.pem").unwrap(), b"public");
    assert_eq!(view.read("shown/.env").unwrap(), b"own");
    let told = view.layers.hidden.attempts();
    let is_told = |path: &str| told.iter().any(|attempt| attempt.target.to_string().ends_with(path));
    assert!(["p/.env", "p/src/.env", "p/b.pem", "p/old/.ssh/key"].into_iter().all(is_told), "{told:?}");
    // What becomes public or ceases to be is what it is now.
    fs::write(bench.host().join("p/a.pem"), "hush").unwrap();
    assert_eq!(view.read("p/a.pem").unwrap_err(), Errno::ENOENT);
}

#[test]
fn no_rename_shows_them() {
    let bench = Bench::new();
    let view = view(&bench);
    let rename = |from: &str, to: &str, flags| view.rename(from, to, flags);
    assert_eq!(rename("p/.env", "p/x", RenameFlags::empty()).unwrap_err(), Errno::ENOENT);
    assert_eq!(rename("p/old/.ssh", "p/ssh", RenameFlags::empty()).unwrap_err(), Errno::EPERM);
    // Where they would be shown once it is real.
    assert_eq!(rename("p", "shown/p", RenameFlags::empty()).unwrap_err(), Errno::EXDEV);
    view.mkdir("shown/d").unwrap();
    assert_eq!(rename("p", "shown/d", RenameFlags::RENAME_EXCHANGE).unwrap_err(), Errno::EXDEV);
    assert_eq!(rename("shown/d", "p", RenameFlags::RENAME_EXCHANGE).unwrap_err(), Errno::EXDEV);
    // Anywhere else they are hidden still, also further down.
    rename("p", "q", RenameFlags::empty()).unwrap();
    view.mkdir("deep").unwrap();
    rename("q", "deep/r", RenameFlags::empty()).unwrap();
    assert_eq!(view.names("deep/r").unwrap(), ["a.pem", "main.c", "old", "src"]);
    assert_eq!(view.read("deep/r/.env").unwrap_err(), Errno::ENOENT);
    assert_eq!(view.read("deep/r/src/.env").unwrap_err(), Errno::ENOENT);
    assert_eq!(
        rename("deep", "shown/deep", RenameFlags::empty()).unwrap_err(),
        Errno::EXDEV,
        "with one of the host's in it"
    );
    view.mkdir("shown/own").unwrap();
    assert_eq!(rename("shown/own", "shown/d/own", RenameFlags::empty()), Ok(()));
    assert_eq!(rename("shown/.env", "shown/e", RenameFlags::empty()), Ok(()));
}

#[test]
fn what_looks_empty_stays_and_what_the_child_makes_is_its_own() {
    let bench = Bench::new();
    let view = view(&bench);
    assert_eq!(view.rmdir("only").unwrap_err(), Errno::EBUSY);
    view.write("only/.env", b"mine").unwrap();
    assert_eq!(view.read("only/.env").unwrap(), b"mine");
    assert_eq!(view.rmdir("only").unwrap_err(), Errno::ENOTEMPTY);
    view.unlink("only/.env").unwrap();
    assert_eq!(view.read("only/.env").unwrap_err(), Errno::ENOENT);
    assert!(bench.host().join("only/.env").exists());
    view.write("only/.env", b"mine").unwrap();
    // The host has one that nobody inside has seen.
    let found = conflicts(bench.overlay().plan_apply(&Selection::All).unwrap_err());
    assert!(found.iter().any(|conflict| conflict.path.to_string().ends_with("only/.env")), "{found:?}");
    assert_eq!(fs::read(bench.host().join("only/.env")).unwrap(), b"hush");
}
