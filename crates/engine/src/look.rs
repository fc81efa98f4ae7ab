//! Facts about the disk that the analyser is given: symbolic links on the way to what a command names, which of the names it
//! writes to are directories, and modules of Python in the directories it would import from.
//!
//! The analyser reads nothing. A first analysis says which paths matter, a bounded number of their components is looked
//! at, and only where that brings something up the text is analysed again. Facts hold for the moment they were read:
//! whoever can change the disk meanwhile can make them wrong, which is why a contained run is judged by what it did.

use analyze::{ShellContext, analyze_bytes, is_python_library};
use model::{Action, Analysis, Effect, FilePath, PathScope, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Names that are looked at for one command; each is one lstat(2).
const NAMES_MAX: usize = 512;
/// Analyses of one text: what a link leads to may go through further links.
const ROUNDS_MAX: usize = 4;
/// Entries of a directory that are read; of a larger one nothing is known.
const ENTRIES_MAX: usize = 4096;

/// Analyses `text` in `shell`, with what the disk says about the paths it names.
pub(crate) fn analyze_here(text: &[u8], mut shell: ShellContext) -> Analysis {
    let mut analysis = analyze_bytes(text, &shell);
    let mut eye = Eye::at(&shell);
    for _ in 1..ROUNDS_MAX {
        let before = facts(&shell);
        for effect in &analysis.effects {
            eye.look(effect, &mut shell);
        }
        if before == facts(&shell) {
            break;
        }
        analysis = analyze_bytes(text, &shell);
    }
    analysis
}

/// How much is known.
fn facts(shell: &ShellContext) -> [usize; 3] {
    [shell.links.len(), shell.directories.len(), shell.modules.len()]
}

/// What was looked at so far.
struct Eye {
    /// Names that are known: no links, or listed already.
    seen: BTreeSet<FilePath>,
    /// Directories whose modules were asked for.
    listed: BTreeSet<FilePath>,
    /// Directories whose links were asked for.
    searched: BTreeSet<FilePath>,
    left: usize,
}

impl Eye {
    /// The working directory and the home are given with their links resolved.
    fn at(shell: &ShellContext) -> Eye {
        let mut seen = BTreeSet::new();
        for place in [&shell.cwd, &shell.home] {
            seen.extend(place.as_path().ancestors().map(FilePath::from));
        }
        seen.extend(shell.links.iter().map(|(link, _)| link.clone()));
        Eye { seen, listed: BTreeSet::new(), searched: BTreeSet::new(), left: NAMES_MAX }
    }

    fn look(&mut self, effect: &Effect, shell: &mut ShellContext) {
        match &effect.target {
            Target::Path { path, scope } => {
                self.follow(path, shell);
                let comes = matches!(effect.action, Action::Write | Action::Create);
                if comes && *scope == PathScope::Exact {
                    self.stand(path, shell);
                }
            }
            Target::Program { name } if effect.action == Action::Execute && name.starts_with('/') => {
                let path = FilePath::from(name.as_str());
                if effect.by.as_deref() == Some("python import") {
                    self.list(&path, shell);
                }
                self.follow(&path, shell);
            }
            _ => {}
        }
    }

    /// Looks at each name on the way to `path`, up to the first that is a pattern or is not there.
    fn follow(&mut self, path: &FilePath, shell: &mut ShellContext) {
        // The links of the kernel's own file systems depend on who looks.
        let own = ["/proc", "/dev", "/sys"].iter().any(|root| path.as_path().starts_with(root));
        if !path.is_absolute() || own {
            return;
        }
        let mut here = FilePath::from("/");
        for name in path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            here = here.join(OsStr::from_bytes(name));
            if self.seen.contains(&here) {
                // What is behind a link is looked at under the name it leads to.
                if shell.links.iter().any(|(link, _)| *link == here) {
                    return;
                }
                continue;
            }
            if self.left > 0 && name.iter().any(|byte| b"*?[".contains(byte)) {
                let last = here.parent().filter(|_| here.as_bytes().len() == path.as_bytes().len());
                return last.map_or((), |directory| self.links_in(&directory, shell));
            }
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let Ok(found) = here.as_path().symlink_metadata() else { return };
            self.seen.insert(here.clone());
            if found.is_symlink() {
                // A link that is gone again is none.
                if let Ok(target) = fs::read_link(here.as_path()) {
                    shell.links.push((here, FilePath::from(target)));
                }
                return;
            }
        }
    }

    /// Notes the links in a directory: a pattern for the names in it may meet them.
    fn links_in(&mut self, directory: &FilePath, shell: &mut ShellContext) {
        if !self.searched.insert(directory.clone()) {
            return;
        }
        self.left -= 1;
        let Ok(entries) = fs::read_dir(directory.as_path()) else { return };
        for entry in entries.take(ENTRIES_MAX).flatten() {
            if self.left == 0 || !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let link = FilePath::from(entry.path());
            if self.seen.insert(link.clone())
                && let Ok(target) = fs::read_link(link.as_path())
            {
                self.left -= 1;
                shell.links.push((link, FilePath::from(target)));
            }
        }
    }

    /// Notes where a name that is written to is a directory: what is copied there goes into it.
    fn stand(&mut self, path: &FilePath, shell: &mut ShellContext) {
        // Names that were looked at and are no links.
        let known = self.seen.contains(path) && !shell.directories.contains(path);
        if known && path.as_path().symlink_metadata().is_ok_and(|found| found.is_dir()) {
            shell.directories.push(path.clone());
        }
    }

    /// Lists what Python could import from the directory that holds `module`. One that cannot be listed, or only in part,
    /// stays unknown.
    fn list(&mut self, module: &FilePath, shell: &mut ShellContext) {
        let Some(directory) = module.parent().filter(|directory| self.listed.insert(directory.clone())) else { return };
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let found = match importable(directory.as_path()) {
            Ok(found) => found,
            // Nothing can be imported from a directory that is not there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Vec::new()),
            Err(_) => None,
        };
        shell.modules.extend(found.map(|names| (directory, names)));
    }
}

/// The names of the standard library that `directory` holds a module or package of. `None` when there is too much in it.
fn importable(directory: &Path) -> std::io::Result<Option<Vec<String>>> {
    let mut names = BTreeMap::new();
    for (count, entry) in fs::read_dir(directory)?.enumerate() {
        if count >= ENTRIES_MAX {
            return Ok(None);
        }
        let file = entry?.file_name().into_vec();
        let mut parts = file.split(|byte| *byte == b'.');
        let Some(stem) = parts.next().and_then(|stem| std::str::from_utf8(stem).ok()) else { continue };
        if !is_python_library(stem) {
            continue;
        }
        // `json.py`, `json.pyc`, `json.cpython-312-x86_64-linux-gnu.so`; a directory without a file of its own kind is no
        // package, and loses against the library.
        let is_module = match parts.next_back() {
            Some(ending) => matches!(ending, b"py" | b"pyc" | b"so"),
            None => is_package(&directory.join(stem))?,
        };
        if is_module {
            names.insert(stem.to_owned(), ());
        }
    }
    Ok(Some(names.into_keys().collect()))
}

/// Whether a name is a directory that holds an `__init__` of any kind. What cannot be read counts as one.
fn is_package(path: &Path) -> std::io::Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    for (count, entry) in fs::read_dir(path)?.enumerate() {
        if count >= ENTRIES_MAX || entry?.file_name().as_bytes().starts_with(b"__init__.") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::analyze_here;
    use analyze::ShellContext;
    use model::{Action, Analysis, Risk, Target};
    use std::fs;
    use std::os::unix::fs::symlink;

    fn shell(cwd: &std::path::Path) -> ShellContext {
        ShellContext { cwd: cwd.canonicalize().unwrap().into(), ..ShellContext::default() }
    }

    fn touches(analysis: &Analysis, action: Action, path: &str) -> bool {
        let named = |target: &Target| matches!(target, Target::Path { path: at, .. } if at.encode() == path);
        analysis.effects.iter().any(|effect| effect.action == action && named(&effect.target))
    }

    #[test]
    fn a_link_that_leads_out_is_followed() {
        let world = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", world.path().join("notes.txt")).unwrap();
        symlink("notes.txt", world.path().join("again")).unwrap();
        symlink("/opt/nowhere", world.path().join("lib")).unwrap();
        let shell = shell(world.path());
        for text in ["echo x > notes.txt", "echo x > again", "f=again; tee \"$f\" < /dev/null"] {
            let analysis = analyze_here(text.as_bytes(), shell.clone());
            assert!(touches(&analysis, Action::Write, "/etc/passwd"), "{text}: {:?}", analysis.effects);
            assert!(analysis.findings.iter().any(|finding| finding.severity == Risk::High), "{text}");
        }
        let analysis = analyze_here(b"touch lib/a/b", shell.clone());
        assert!(touches(&analysis, Action::Write, "/opt/nowhere/a/b"), "{:?}", analysis.effects);
        let analysis = analyze_here(b"echo x > plain.txt", shell);
        assert_eq!(analysis.effects.len(), 1, "{:?}", analysis.effects);
    }

    #[test]
    fn what_goes_to_a_directory_goes_into_it() {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir(world.path().join("v1.2")).unwrap();
        symlink("v1.2", world.path().join("latest.d")).unwrap();
        let analyze = |text: &str| analyze_here(text.as_bytes(), shell(world.path()));
        for text in ["cp a v1.2", "mv a v1.2", "ln -s a v1.2", "install a b v1.2", "cp -r a latest.d"] {
            let below = |effect: &model::Effect| match &effect.target {
                Target::Path { path, scope: model::PathScope::Tree } => path.encode().ends_with("/v1.2"),
                _ => false,
            };
            let analysis = analyze(text);
            assert!(analysis.effects.iter().any(below), "{text}: {:?}", analysis.effects);
        }
        assert!(touches(
            &analyze("cp a v1.3"),
            Action::Write,
            &format!("{}/v1.3", world.path().canonicalize().unwrap().display())
        ));
    }

    #[test]
    fn a_pattern_meets_links() {
        let world = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", world.path().join("notes.txt")).unwrap();
        for text in ["tee *.txt < /dev/null", "for f in n*; do echo x > \"$f\"; done", "chmod +x notes.tx?"] {
            let analysis = analyze_here(text.as_bytes(), shell(world.path()));
            let changed =
                [Action::Write, Action::Attributes].iter().any(|action| touches(&analysis, *action, "/etc/passwd"));
            assert!(changed, "{text}: {:?}", analysis.effects);
        }
        for text in ["tee *.md < /dev/null", "rm *.txt"] {
            let analysis = analyze_here(text.as_bytes(), shell(world.path()));
            assert!(!touches(&analysis, Action::Write, "/etc/passwd"), "{text}: {:?}", analysis.effects);
            assert!(!touches(&analysis, Action::Delete, "/etc/passwd"), "{text}: {:?}", analysis.effects);
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let world = tempfile::tempdir().unwrap();
        symlink("b", world.path().join("a")).unwrap();
        symlink("a", world.path().join("b")).unwrap();
        let analysis = analyze_here(b"cat a b; echo > a", shell(world.path()));
        assert!(!analysis.effects.is_empty());
    }

    #[test]
    fn a_module_in_the_working_directory_is_run() {
        let world = tempfile::tempdir().unwrap();
        let shell = shell(world.path());
        let text = b"python3 -c 'import json; print(json.dumps(1))'";
        let runs = |analysis: &Analysis| analysis.effects.iter().any(|effect| effect.action == Action::Execute);
        fs::create_dir(world.path().join("re")).unwrap();
        fs::write(world.path().join("mine.py"), "").unwrap();
        assert!(!runs(&analyze_here(text, shell.clone())));
        // What json imports is looked for in the same places.
        fs::write(world.path().join("re/__init__.py"), "").unwrap();
        assert!(runs(&analyze_here(text, shell.clone())));
        fs::remove_file(world.path().join("re/__init__.py")).unwrap();
        for name in ["json.py", "enum.pyc", "_json.cpython-312-x86_64-linux-gnu.so"] {
            fs::write(world.path().join(name), "").unwrap();
            assert!(runs(&analyze_here(text, shell.clone())), "{name}");
            for safe in ["python3 -I -c", "python3 -P -c", "PYTHONSAFEPATH=1 python3 -c"] {
                let text = format!("{safe} 'import json; print(json.dumps(1))'");
                assert!(!runs(&analyze_here(text.as_bytes(), shell.clone())), "{text}");
            }
            fs::remove_file(world.path().join(name)).unwrap();
        }
        // A directory that is not there holds nothing; one that cannot be named stays unknown.
        assert!(!runs(&analyze_here(b"cd sub && python3 -c 'import json'", shell.clone())));
        assert!(runs(&analyze_here(b"cd \"$x\" && python3 -c 'import json'", shell)));
    }
}
