//! Where hidden paths really are: dotfiles are often kept elsewhere, with links in their place, and a path is hidden by
//! name.
//!
//! Of the paths that are hidden by default hardly any is there, so the directories that most of them lie in are listed,
//! which tells of all at once.

use crate::journey::Request;
use model::{FilePath, Hidden};
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What is listed, below the home.
const CROWDED: &[&str] = &["", ".config"];
/// Names in a directory that is listed, at most. To ask for each path takes as long as to read these.
const NAMES_MAX: usize = 512;
/// File systems where no name is that is not listed, by statfs(2): ext2 to ext4, xfs, btrfs, f2fs, tmpfs, bcachefs, zfs,
/// overlayfs. Others make names as they are asked for, or know shorter ones.
const COMPLETE: &[i128] =
    &[0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994, 0xCA45_1A4E, 0x2FC1_2FC1, 0x794C_7630];

/// Where links lead to from hidden paths. Never a directory the command works in, nor what was asked to be shown.
pub(crate) fn led_to(hidden: &[Hidden], request: &Request) -> Vec<Hidden> {
    let place = &request.place;
    let absent = Absent::in_home(place.home.as_path());
    let elsewhere = |hidden: &Hidden| {
        let real = absent.real(hidden.path.as_path())?;
        let needed = [&place.home, &place.workspace, &place.cwd].iter().any(|path| path.starts_with(&real));
        let shown = request.read.iter().any(|read| real.starts_with(&read.normalise()));
        (real != hidden.path && !needed && !shown).then(|| Hidden { path: real, rule: hidden.rule.clone() })
    };
    hidden.iter().filter_map(elsewhere).collect()
}

/// What can be told not to be there.
struct Absent {
    /// Directories with all names in them, folded.
    listed: Vec<(PathBuf, HashSet<String>)>,
}

impl Absent {
    fn in_home(home: &Path) -> Absent {
        let listed = |dir: &&str| {
            let dir = home.join(dir);
            names(&dir).map(|names| (dir, names))
        };
        Absent { listed: CROWDED.iter().filter_map(listed).collect() }
    }

    /// Whether a path is surely not there. The kernel comes by a listed directory on its way to what is below it, whatever
    /// links and mounts lead there; and a name that is listed may still be none.
    fn is_sure(&self, path: &Path) -> bool {
        self.listed.iter().any(|(dir, names)| {
            let first = path.strip_prefix(dir).ok().and_then(|rest| rest.iter().next());
            first.is_some_and(|name| name.is_ascii() && !names.contains(&policy::fold(name.as_bytes())))
        })
    }

    /// Where a path leads to, if it is there.
    fn real(&self, path: &Path) -> Option<FilePath> {
        if self.is_sure(path) {
            return None;
        }
        std::fs::metadata(path).ok()?;
        std::fs::canonicalize(path).ok().map(FilePath::new)
    }
}

/// All names in a directory, as the most lenient file system would compare them. `None` where that cannot be told or would
/// take long.
fn names(dir: &Path) -> Option<HashSet<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let dir = Dir::open(dir, flags, Mode::empty()).ok()?;
    let FsType(kind) = fstatfs(&dir).ok()?.filesystem_type();
    if !COMPLETE.contains(&i128::from(kind)) {
        return None;
    }
    let mut names = HashSet::with_capacity(64);
    for entry in dir {
        names.insert(policy::fold(entry.ok()?.file_name().to_bytes()));
        if names.len() > NAMES_MAX {
            return None;
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A home with a directory beside it, both without links on the way to them.
    fn homes() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let real = top.path().canonicalize().unwrap();
        let (home, beside) = (real.join("home"), real.join("beside"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&beside).unwrap();
        (top, home, beside)
    }

    fn real(home: &Path, rest: &str) -> Option<PathBuf> {
        Absent::in_home(home).real(&home.join(rest)).map(|real| real.as_path().to_owned())
    }

    /// What is told without a look at the path itself.
    fn is_sure(home: &Path, rest: &str) -> bool {
        Absent::in_home(home).is_sure(&home.join(rest))
    }

    #[test]
    fn what_is_not_listed_is_not_asked_for() {
        let (_top, home, _) = homes();
        fs::create_dir_all(home.join(".config/gh")).unwrap();
        fs::write(home.join(".netrc"), "x").unwrap();
        for absent in [".ssh", ".aws/credentials", ".config/op", ".config/git/credentials"] {
            assert!(is_sure(&home, absent), "{absent}");
            assert_eq!(real(&home, absent), None, "{absent}");
        }
        for there in ["", ".netrc", ".config", ".config/gh"] {
            assert!(!is_sure(&home, there), "{there}");
            assert_eq!(real(&home, there), Some(home.join(there).components().collect()), "{there}");
        }
        // What lies elsewhere is not told of, nor what only begins like the home.
        let absent = Absent::in_home(&home);
        assert!(!absent.is_sure(Path::new("/etc/shadow")) && !absent.is_sure(&home.with_extension("x").join(".ssh")));
    }

    #[test]
    fn links_lead_to_what_is_hidden_also_in_the_middle() {
        let (_top, home, beside) = homes();
        fs::create_dir_all(beside.join("config/gh")).unwrap();
        fs::create_dir(beside.join("keys")).unwrap();
        fs::write(beside.join("keys/credentials"), "x").unwrap();
        symlink(beside.join("config"), home.join(".config")).unwrap();
        symlink("../beside/keys", home.join(".aws")).unwrap();
        symlink(home.join("nothing"), home.join(".ssh")).unwrap();
        symlink(home.join(".aws/credentials"), beside.join("config/op")).unwrap();
        assert_eq!(real(&home, ".config/gh"), Some(beside.join("config/gh")));
        assert_eq!(real(&home, ".aws/credentials"), Some(beside.join("keys/credentials")));
        assert_eq!(real(&home, ".config/op"), Some(beside.join("keys/credentials")));
        assert_eq!(real(&home, ".ssh"), None);
        assert!(is_sure(&home, ".config/hub"));
        // What is behind a link comes and goes without the home.
        assert!(!is_sure(&home, ".aws/config"));
        let (_other, linked, _) = homes();
        fs::remove_dir(&linked).unwrap();
        symlink(&home, &linked).unwrap();
        assert_eq!(real(&linked, ".config/gh"), Some(beside.join("config/gh")));
    }

    #[test]
    fn names_that_some_file_systems_take_for_the_same_are_asked_for() {
        let (_top, home, _) = homes();
        for name in [".NetRC", ".\u{df}h", ".\u{212a}ube", ".a\u{200d}ws"] {
            fs::write(home.join(name), "x").unwrap();
        }
        for name in [".netrc", ".NETRC", ".ssh", ".kube", ".aws"] {
            assert!(!is_sure(&home, name), "{name}");
        }
        assert!(is_sure(&home, ".gnupg") && !is_sure(&home, ".\u{e9}"));
    }

    #[test]
    fn what_is_mounted_in_a_home_is_asked_for() {
        let root = Path::new("/");
        let absent = Absent { listed: vec![(root.to_owned(), HashSet::from(["proc".to_owned()]))] };
        let real = |path: &str| absent.real(Path::new(path)).map(|real| real.as_path().to_owned());
        assert_eq!(real("/proc/sys/kernel"), Some("/proc/sys/kernel".into()));
        assert_eq!(real("/proc/self"), Some(format!("/proc/{}", std::process::id()).into()));
        assert!(absent.is_sure(Path::new("/pro/self")));
    }

    #[test]
    fn of_a_home_that_cannot_be_listed_each_path_is_asked_for() {
        let (_top, home, beside) = homes();
        symlink(&beside, home.join(".ssh")).unwrap();
        for number in 0..NAMES_MAX {
            fs::write(home.join(number.to_string()), "").unwrap();
        }
        // Too many.
        assert!(!is_sure(&home, ".aws"));
        assert_eq!(real(&home, ".ssh"), Some(beside));
        // Made as they are asked for.
        assert!(names(Path::new("/proc")).is_none());
        // None at all, or no directory.
        assert!(names(&home.join("none")).is_none() && names(&home.join("1")).is_none());
    }
}
