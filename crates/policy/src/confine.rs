//! Confine: from a place and wishes to the whole description of a jar.
//!
//! Writable are the home and the workspace, each as a copy-on-write overlay; everything else is read-only or absent.
//! Credentials in the home are left out of the view, and what is one by its name in other projects. Weaker wishes (`--read`, `--env`) are taken by name only.

use crate::environment;
use crate::error::ConfineError;
use crate::facts::STATE_RULE;
use crate::facts::SYSTEM;
use crate::held::{self, Judge};
use crate::names::Names;
use crate::secrets;
use model::{
    Access, Action, Agreed, Confinement, EnvBase, EnvVar, FilePath, Held, Hidden, NetRule, Network, Place, RootKind,
    SecretNames, WritableRoot,
};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the caller wishes besides the place.
#[derive(Clone, Debug, Default)]
pub struct ConfineRequest<'a> {
    /// The caller's environment.
    pub env: &'a [(OsString, OsString)],
    /// `--env NAME[=VALUE]`: passed whatever its name; without a value, the caller's.
    pub pass_env: Vec<(OsString, Option<OsString>)>,
    /// `--write PATH`: more writable roots, absolute, symbolic links resolved.
    pub write: Vec<FilePath>,
    /// `--read PATH`: shown, with all below it, although rules hide it; absolute.
    pub read: Vec<FilePath>,
    /// `--hide PATH`: not shown; absolute.
    pub hide: Vec<FilePath>,
    /// `--allow-net RULE`: whom it may reach; empty for nobody.
    pub allow_net: Vec<NetRule>,
    /// The child's working directory, absolute.
    pub cwd: FilePath,
    /// What may be done with the home.
    pub home: Access,
    /// What may be done with the workspace, which is never hidden.
    pub workspace: Access,
    /// Which variables pass without being named.
    pub env_base: EnvBase,
    /// Rules of the policy that the jar holds.
    pub held: Vec<Held>,
    /// What the command says it reads: a person was asked about it, where the rules want that.
    pub agreed: Vec<Agreed>,
}

/// The rule that hides the home.
const HOME_RULE: &str = "profile/home";

/// The most writable roots a jar has: each is a mount with a server of its own.
pub const ROOTS_MAX: usize = 16;

/// Describes the jar.
///
/// # Errors
/// When the place or a wish names something no jar may be made of; the hint says what to do instead.
pub fn confine(place: &Place, request: &ConfineRequest<'_>) -> Result<Confinement, ConfineError> {
    absolute(place, request)?;
    let named = request.read.iter().map(|path| Agreed { path: path.normalise(), below: true });
    let agreed: Vec<Agreed> = named.chain(request.agreed.iter().cloned()).collect();
    let judge = Judge::new(place, &request.held, &agreed)?;
    // A view judges the names in its root and not the root.
    let home_rule = judge.hides(&place.home.normalise());
    let access = if home_rule.is_some() { Access::Hidden } else { request.home };
    let request = &ConfineRequest { home: access, ..request.clone() };
    let roots = roots(place, request)?;
    let mut hidden = hidden(place, request);
    check_workspace(place, request, &hidden)?;
    hide_by_rules(&mut hidden, place, &judge, &roots, &agreed)?;
    check_reads(request, &hidden)?;
    if let (Some(rule), Some(home)) = (home_rule, hidden.iter_mut().find(|hidden| hidden.rule == HOME_RULE)) {
        rule.clone_into(&mut home.rule);
    }
    let (env, env_withheld) = env(request)?;
    let reads = request.held.iter().filter(|held| held.action == Action::Read);
    Ok(Confinement {
        roots,
        hidden,
        shown: shown(place, request),
        held: reads.cloned().collect(),
        agreed: if judge.judges_paths() { agreed } else { Vec::new() },
        network: network(place, request)?,
        env,
        env_withheld,
        cwd: request.cwd.clone(),
    })
}

/// Each rule once, in one order, with what the policy forbids of them.
fn network(place: &Place, request: &ConfineRequest<'_>) -> Result<Network, ConfineError> {
    let mut allow = request.allow_net.clone();
    allow.sort();
    allow.dedup();
    let refuse = held::exceptions(place, &request.held, &allow)?;
    allow.retain(|rule| !refuse.contains(rule));
    Ok(if allow.is_empty() { Network::None } else { Network::Named { allow, refuse } })
}

/// Adds what the policy's rules name outright. Where a view of ours judges each name, a part of it that a person was asked
/// about can be shown; elsewhere all of it is hidden or nothing.
fn hide_by_rules(
    hidden: &mut Vec<Hidden>,
    place: &Place,
    judge: &Judge,
    roots: &[WritableRoot],
    agreed: &[Agreed],
) -> Result<(), ConfineError> {
    let workspace = place.workspace.normalise();
    let work = || roots.iter().map(|root| &root.path).chain([&workspace]);
    if let Some((path, rule)) = work().find_map(|path| Some((path, judge.hides(path)?))) {
        return Err(ConfineError::HiddenWorkspace { path: path.clone(), rule: rule.to_owned() });
    }
    for Hidden { path, rule } in judge.outright() {
        // A home that is hidden is so already, but for what of it is worked in.
        if hidden.iter().any(|hidden| hidden.rule == HOME_RULE && hidden.path == path) {
            continue;
        }
        if let Some(work) = work().find(|work| work.starts_with(&path)) {
            return Err(ConfineError::HiddenWorkspace { path: work.clone(), rule });
        }
        let inside = agreed.iter().map(|agreed| &agreed.path);
        let inside = inside
            .filter(|agreed| **agreed != path && agreed.starts_with(&path))
            .find(|agreed| judge.hides(agreed).is_none());
        let served = roots.iter().any(|root| path.starts_with(&root.path));
        match inside {
            Some(_) if served => {}
            Some(agreed) => return Err(ConfineError::AskedInHidden { path: agreed.clone(), hidden: path, rule }),
            None => hidden.push(Hidden { path, rule }),
        }
    }
    // What was hidden before keeps its rule.
    hidden.sort_by(|a, b| a.path.cmp(&b.path));
    hidden.dedup_by(|a, b| a.path == b.path);
    Ok(())
}

/// What may be done with a path, by the roots and the paths that are hidden. A root inside a hidden directory is there; what
/// is hidden inside a root is not.
#[must_use]
pub fn access(confinement: &Confinement, path: &FilePath) -> Access {
    let deepest = |one: &&FilePath| one.as_bytes().len();
    let root =
        confinement.roots.iter().map(|root| &root.path).filter(|root| path.starts_with(root)).max_by_key(deepest);
    let hidden = confinement.hidden.iter().map(|hidden| &hidden.path).filter(|hidden| path.starts_with(hidden));
    match (root, hidden.max_by_key(deepest)) {
        (Some(root), Some(hidden)) if deepest(&root) > deepest(&hidden) => Access::Copy,
        (_, Some(_)) => Access::Hidden,
        (Some(_), None) => Access::Copy,
        (None, None) => Access::ReadOnly,
    }
}

fn absolute(place: &Place, request: &ConfineRequest<'_>) -> Result<(), ConfineError> {
    let own = [&place.home, &place.workspace, &place.state, &request.cwd];
    let all = own.into_iter().chain(&request.write).chain(&request.read).chain(&request.hide);
    match all.into_iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(ConfineError::Relative { path: path.clone() }),
        None => Ok(()),
    }
}

/// The path to show with `--read` so that `path` is seen, where it is hidden as a secret.
#[must_use]
pub fn would_show(place: &Place, path: &FilePath) -> Option<FilePath> {
    let row = |row: &secrets::Secret| place.home.join(row.pattern.trim_start_matches("~/").trim_end_matches('/'));
    let placed = secrets::HIDDEN.iter().map(row).filter(|hidden| path.starts_with(hidden));
    let placed = placed.min_by_key(|hidden| hidden.as_bytes().len());
    let names = Names::new(&place.home, &[]);
    let named =
        |at: &&Path| names.secret(at, true).is_some() || (*at == path.as_path() && names.secret(at, false).is_some());
    placed.or_else(|| path.as_path().ancestors().filter(named).last().map(FilePath::from))
}

/// The directory to name with `--write` so that `path` can be written, where one may be. A file alone cannot be made
/// writable.
#[must_use]
pub fn would_write(place: &Place, path: &FilePath) -> Option<FilePath> {
    let dir = path.is_absolute().then(|| path.parent()).flatten()?;
    (!is_system(&dir, &place.home) && !dir.starts_with(&place.state)).then_some(dir)
}

/// Directories that a user may own although they stand among the system's: `/root` is a home, `/srv` holds projects.
const OWNABLE: &[&str] = &["/root", "/home", "/srv", "/mnt", "/media", "/opt", "/var"];

/// Whether a path is `/`, a directory of the system or something in one. Below [`OWNABLE`] ones a user may have a place.
fn is_system(path: &FilePath, home: &FilePath) -> bool {
    let path = path.normalise();
    if path.as_bytes() == b"/" {
        return true;
    }
    if &path == home || path.starts_with(&FilePath::from("/dev/shm")) {
        return false;
    }
    let base = SYSTEM.iter().find(|base| path.as_path().starts_with(base));
    base.is_some_and(|base| {
        !OWNABLE.contains(base) || path.as_bytes() == base.as_bytes() || is_system_part_of_var(&path)
    })
}

/// What of `/var` and `/opt` is the system's: package state, logs, mail queues, but not `/var/tmp` or `/var/www/site`.
fn is_system_part_of_var(path: &FilePath) -> bool {
    const PARTS: &[&str] =
        &["/var/lib", "/var/cache", "/var/log", "/var/spool", "/var/run", "/var/lock", "/var/backups"];
    PARTS.iter().any(|part| path.as_path().starts_with(part))
}

fn check_workspace(place: &Place, request: &ConfineRequest<'_>, hidden: &[Hidden]) -> Result<(), ConfineError> {
    let path = place.workspace.clone();
    if is_system(&place.home.normalise(), &FilePath::from("/root")) {
        return Err(ConfineError::SystemHome { path: place.home.clone() });
    }
    if is_system(&place.workspace, &place.home) {
        return Err(ConfineError::SystemWorkspace { path });
    }
    if request.home > Access::Copy && request.workspace == Access::Copy && place.home.starts_with(&place.workspace) {
        return Err(ConfineError::HomeInWorkspace { path });
    }
    // Of a hidden home, a workspace below it stays, where it is a root of its own.
    let stays = |hidden: &Hidden| {
        hidden.rule == HOME_RULE && place.workspace != place.home && request.workspace == Access::Copy
    };
    let hidden = hidden.iter().filter(|hidden| !stays(hidden));
    match hidden.into_iter().find(|hidden| place.workspace.starts_with(&hidden.path)) {
        Some(hidden) => Err(ConfineError::HiddenWorkspace { path, rule: hidden.rule.clone() }),
        None => Ok(()),
    }
}

/// A hidden directory is hidden whole: showing one file in it would have to show the rest, which was not asked for.
fn check_reads(request: &ConfineRequest<'_>, hidden: &[Hidden]) -> Result<(), ConfineError> {
    for read in &request.read {
        if let Some(hidden) = hidden.iter().find(|hidden| read.normalise().starts_with(&hidden.path)) {
            let (path, rule) = (read.clone(), hidden.rule.clone());
            return Err(ConfineError::StillHidden { path, hidden: hidden.path.clone(), rule });
        }
    }
    Ok(())
}

/// Home, workspace and declared roots, outer first, each path once; an earlier kind wins.
fn roots(place: &Place, request: &ConfineRequest<'_>) -> Result<Vec<WritableRoot>, ConfineError> {
    for path in &request.write {
        if is_system(path, &place.home) {
            return Err(ConfineError::SystemRoot { path: path.clone() });
        }
        if path.starts_with(&place.state) {
            return Err(ConfineError::InState { path: path.clone() });
        }
    }
    let named =
        [(&place.workspace, RootKind::Workspace, request.workspace), (&place.home, RootKind::Home, request.home)];
    let named = named.into_iter().filter(|(.., access)| *access == Access::Copy).map(|(path, kind, _)| (path, kind));
    let declared = request.write.iter().map(|path| (path, RootKind::Declared));
    let mut roots: Vec<WritableRoot> = Vec::new();
    for (path, kind) in named.chain(declared) {
        let path = path.normalise();
        let covered = kind == RootKind::Declared && roots.iter().any(|root| path.starts_with(&root.path));
        if !covered && !roots.iter().any(|root| root.path == path) {
            roots.push(WritableRoot { path, kind });
        }
    }
    if roots.len() > ROOTS_MAX {
        return Err(ConfineError::TooManyRoots { count: roots.len() });
    }
    roots.sort_by_key(|root| root.path.as_path().components().count());
    Ok(roots)
}

/// Everything the jar leaves out: the table, Belljar's records, and what the user named; less what the user shows.
fn hidden(place: &Place, request: &ConfineRequest<'_>) -> Vec<Hidden> {
    let table = secrets::HIDDEN.iter().map(|row| {
        let below = row.pattern.trim_start_matches("~/").trim_end_matches('/');
        Hidden { path: place.home.join(below), rule: row.rule.to_owned() }
    });
    let shown = |hidden: &Hidden| request.read.iter().any(|read| hidden.path.starts_with(&read.normalise()));
    let mut out: Vec<Hidden> = table.filter(|hidden| !shown(hidden)).collect();
    let asked = request.hide.iter().map(|path| Hidden { path: path.normalise(), rule: "user/hide".to_owned() });
    out.extend(asked);
    if request.home == Access::Hidden {
        let home = Hidden { path: place.home.normalise(), rule: HOME_RULE.to_owned() };
        // What lies in it is hidden with it, but for what lies in a root inside.
        let roots: Vec<&FilePath> = [&place.workspace].into_iter().chain(&request.write).collect();
        let needed = |path: &FilePath| roots.iter().any(|root| path.starts_with(root) && *root != &place.home);
        out.retain(|hidden| !hidden.path.starts_with(&home.path) || needed(&hidden.path));
        out.push(home);
    }
    // The user cannot show these: whoever could write them could rewrite what was recorded.
    out.push(Hidden { path: place.state.clone(), rule: STATE_RULE.to_owned() });
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out.dedup_by(|a, b| a.path == b.path);
    out
}

/// Where names alone hide nothing: where the command works and may write, and what the user shows. A home, or what holds
/// it, is no project, though a command may be started there.
fn shown(place: &Place, request: &ConfineRequest<'_>) -> Vec<FilePath> {
    let work = [&place.workspace].into_iter().chain(&request.write).map(FilePath::normalise);
    let work = work.filter(|path| !place.home.starts_with(path));
    work.chain(request.read.iter().map(FilePath::normalise)).collect()
}

/// The child's environment, sorted by name, and the names that were withheld.
fn env(request: &ConfineRequest<'_>) -> Result<(Vec<EnvVar>, Vec<String>), ConfineError> {
    let mut env: std::collections::BTreeMap<&OsStr, &OsStr> = std::collections::BTreeMap::new();
    let mut withheld = std::collections::BTreeSet::new();
    for (name, value) in request.env.iter().filter(|(name, _)| is_name(name)) {
        if environment::passes(request.env_base, name.as_bytes(), value.as_bytes()) {
            env.insert(name, value);
        } else {
            withheld.insert(name.as_os_str());
        }
    }
    env.extend(environment::NO_HISTORY.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))));
    for (name, value) in &request.pass_env {
        if !is_name(name) {
            return Err(ConfineError::VariableName { name: FilePath::new(name) });
        }
        let own = request.env.iter().find(|(own, _)| own == name).map(|(_, value)| value);
        if let Some(value) = value.as_ref().or(own) {
            env.insert(name, value);
            withheld.remove(name.as_os_str());
        }
    }
    env.insert(OsStr::new("BELLJAR"), OsStr::new("1"));
    env.insert(OsStr::new("PWD"), request.cwd.as_os_str());
    let vars = env.into_iter().map(|(name, value)| EnvVar { name: FilePath::new(name), value: FilePath::new(value) });
    let withheld = withheld.into_iter().map(|name| FilePath::new(name).encode());
    Ok((vars.collect(), withheld.collect()))
}

fn is_name(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().iter().any(|b| matches!(b, b'=' | 0))
}
