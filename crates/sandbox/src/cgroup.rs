//! Limits that the kernel keeps for a jar as a whole, where there is a place for a control group: cgroups(7).
//!
//! In the unified hierarchy a group with processes hands no controllers down, so that of a jar lies beside Belljar's own
//! and gets that one's limits too; below it only where that is the root of all. In an old hierarchy it always lies below.
//! Only asked for where a limit is: moving a process costs the kernel some milliseconds. Who cannot make groups, as an
//! ordinary user outside of what systemd delegates, has what `meter` and `perform` do without them.
//!
//! The directory is locked as long as its Belljar lives. One that is not locked is of a Belljar that was killed: empty,
//! because the jar ended with it, and removed by the next that looks for a place.

use model::{Limit, Limits, Usage};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the directories of jars begin.
const NAME: &str = "belljar-";
/// Of a jar whose processes are all dead, the kernel lets go within this.
const REMOVAL: (u32, Duration) = (100, Duration::from_millis(5));
/// Another Belljar may take a directory for a dead one in the moment before it is locked.
const ATTEMPTS: usize = 4;
/// What the own group may be limited by, beside [`MEMORY`] and [`PROCESSES`]. The jar's, beside it, gets the same.
const COPIED: [&str; 5] = ["memory.high", "memory.swap.max", "cpu.max", "cpuset.cpus", "cpuset.mems"];
const MEMORY: &str = "memory.max";
const PROCESSES: &str = "pids.max";
const JOIN: &str = "cgroup.procs";

/// The control groups of one jar, and which limits they keep.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// Whether memory is kept.
    pub(crate) memory: bool,
    /// Whether processor time is counted.
    pub(crate) cpu: bool,
    /// What keeps the number of processes.
    pub(crate) processes: Option<&'static str>,
    /// How often processes had been refused when the command began.
    refused_before: u64,
}

impl Groups {
    /// Puts the first process of a jar into groups of its own, as far as there is a place for them. Nobody else is in
    /// the jar yet.
    pub(crate) fn around(first: Pid, limits: &Limits) -> Groups {
        let mut groups = Groups::default();
        if limits.on_processes()
            && let Some(group) =
                unified(limits).and_then(|(place, own)| Group::make(&place, own.as_deref(), limits, first).ok())
        {
            groups.memory = limits.memory.is_some() && group.has(MEMORY);
            groups.cpu = limits.cpu_s.is_some() && group.cpu_us().is_some();
            groups.processes = limits.processes.filter(|_| group.has(PROCESSES)).map(|_| "cgroup v2");
            groups.groups.push(group);
        }
        if limits.processes.is_some() && groups.processes.is_none() {
            // Nothing but processes: a limit on memory there ends one process, and says so to nobody.
            let alone = Limits { processes: limits.processes, ..Limits::default() };
            let group = old("pids").and_then(|place| Group::make(&place, None, &alone, first).ok());
            groups.processes = group.as_ref().map(|_| "cgroup v1");
            groups.groups.extend(group);
        }
        groups
    }

    /// Processor time of all that was ever in it.
    pub(crate) fn cpu_us(&self) -> Option<u64> {
        self.groups.iter().filter(|_| self.cpu).find_map(Group::cpu_us)
    }

    /// Whether the kernel ended what took too much memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.memory && self.groups.iter().any(|group| group.count("memory.events", "oom_kill") > 0)
    }

    /// For a jar that lives over many commands. Memory is not among it: the kernel would end who took too much of it, which
    /// may be the jar and not the command.
    pub(crate) fn around_live(first: Pid, limits: &Limits) -> Groups {
        Groups::around(first, &Limits { memory: None, ..*limits })
    }

    /// Another command begins: what was met counts from now on.
    pub(crate) fn anew(&mut self) {
        self.refused_before = self.refused();
    }

    /// Whether the kernel refused another process.
    fn out_of_processes(&self) -> bool {
        self.processes.is_some() && self.refused() > self.refused_before
    }

    fn refused(&self) -> u64 {
        self.groups.iter().map(|group| group.count("pids.events", "max")).sum()
    }

    /// What the jar took in all, where the kernel counts it.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let memory_peak = self.groups.iter().find_map(|group| group.number("memory.peak"));
        let cpu_us = self.groups.iter().find_map(Group::cpu_us);
        (memory_peak.is_some() || cpu_us.is_some()).then_some(Usage { memory_peak, cpu_us })
    }

    /// A limit that the kernel kept and that was met.
    pub(crate) fn met(&self) -> Option<Limit> {
        let memory = self.out_of_memory().then_some(Limit::Memory);
        memory.or_else(|| self.out_of_processes().then_some(Limit::Processes))
    }
}

#[derive(Debug)]
struct Group {
    path: PathBuf,
    /// Locked.
    _dir: File,
}

impl Group {
    /// `beside` is the own group, where the new one does not lie in it.
    fn make(place: &Path, beside: Option<&Path>, limits: &Limits, first: Pid) -> io::Result<Group> {
        dead_in(place).into_iter().for_each(|dead| {
            // What another Belljar removes at the same time is gone as well.
            let _ = fs::remove_dir(dead);
        });
        let group = Group::new(place)?;
        // From here on an error removes it.
        group.limit(MEMORY, limits.memory, beside)?;
        if limits.memory.is_some() && group.has(MEMORY) {
            group.set("memory.oom.group", "1")?;
            if group.has("memory.swap.max") {
                group.set("memory.swap.max", "0")?;
            }
        }
        // And Belljar's own first process.
        group.limit(PROCESSES, limits.processes.map(|max| max.saturating_add(1)), beside)?;
        for name in COPIED {
            let theirs = beside.and_then(|own| fs::read_to_string(own.join(name)).ok()).unwrap_or_default();
            let swap = name == "memory.swap.max" && limits.memory.is_some();
            if !theirs.trim().is_empty() && !theirs.starts_with("max") && !swap {
                group.set(name, theirs.trim())?;
            }
        }
        mortal(first)?;
        group.set(JOIN, &first.to_string())?;
        Ok(group)
    }

    fn new(place: &Path) -> io::Result<Group> {
        for attempt in 0..ATTEMPTS {
            let path = place.join(format!("{NAME}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let dir = File::open(&path)?;
            // Taken by who looks for dead ones: then this one is being removed.
            if dir.try_lock().is_ok() && path.join(JOIN).exists() {
                return Ok(Group { path, _dir: dir });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The least of the two; nothing where the controller is not there and nobody limited anything by it.
    fn limit(&self, name: &str, ours: Option<u64>, beside: Option<&Path>) -> io::Result<()> {
        let theirs = beside.and_then(|own| number(&own.join(name)));
        match (ours.into_iter().chain(theirs).min(), self.has(name)) {
            (Some(least), true) => self.set(name, &least.to_string()),
            (Some(_), false) if theirs.is_some() => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(name), value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        number(&self.path.join(name))
    }

    fn count(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        counted(&text, name).unwrap_or(0)
    }

    fn cpu_us(&self) -> Option<u64> {
        counted(&fs::read_to_string(self.path.join("cpu.stat")).ok()?, "usage_usec")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.has("cgroup.kill") {
            // Nobody should be left: the jar is gone. What is, holds the directory, and the loop below waits for it.
            let _ = self.set("cgroup.kill", "1");
        }
        let (times, pause) = REMOVAL;
        for _ in 0..times {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(pause),
                // One that stays is found by the next jar and by `doctor`.
                _ => return,
            }
        }
    }
}

/// Who was exempt from running out of memory gives that to everything it starts: the kernel could then end nobody.
fn mortal(process: Pid) -> io::Result<()> {
    let path = format!("/proc/{process}/oom_score_adj");
    let exempt = fs::read_to_string(&path)?.trim_start().starts_with('-');
    if exempt { fs::write(&path, "0") } else { Ok(()) }
}

/// A line `NAME NUMBER`.
fn counted(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// A file that holds one; `max` is none.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where a group of the unified hierarchy can be made so that it has the controllers for these limits, as far as they can be
/// had; and the own group, where that is not the same.
fn unified(limits: &Limits) -> Option<(PathBuf, Option<PathBuf>)> {
    let (place, own) = unified_place()?;
    let wanted = [("memory", limits.memory.is_some()), ("pids", limits.processes.is_some())];
    for (controller, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
        let control = place.join("cgroup.subtree_control");
        if !listed(&control, controller) && listed(&place.join("cgroup.controllers"), controller) {
            // Refused to who may not; then the group lacks the file, and the limit is kept otherwise.
            let _ = fs::write(&control, format!("+{controller}"));
        }
    }
    Some((place, own))
}

pub(crate) fn unified_place() -> Option<(PathBuf, Option<PathBuf>)> {
    let own = find("cgroup2", None)?;
    // Only the root of the hierarchy has no type, and it alone may have both processes and groups.
    if !own.dir.join("cgroup.type").exists() {
        return Some((own.dir, None));
    }
    let place = own.dir.parent().filter(|parent| parent.starts_with(&own.mount))?.to_owned();
    Some((place, Some(own.dir)))
}

fn old(controller: &str) -> Option<PathBuf> {
    Some(find("cgroup", Some(controller))?.dir)
}

fn listed(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|other| other == word))
}

/// The directory of the own group, and of the root of what is mounted there.
struct Own {
    dir: PathBuf,
    mount: PathBuf,
}

fn find(kind: &str, controller: Option<&str>) -> Option<Own> {
    let group = own_group(&fs::read_to_string("/proc/self/cgroup").ok()?, controller)?;
    let (root, mount) = mounted(&fs::read_to_string("/proc/self/mountinfo").ok()?, kind, controller)?;
    let below = Path::new(&group).strip_prefix(&root).ok()?;
    // A group outside of the namespace's root begins with `/..`.
    let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    plain.then(|| Own { dir: if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) }, mount })
}

/// From cgroups(7) `/proc/PID/cgroup`: of the unified hierarchy, or of the one with that controller.
fn own_group(text: &str, controller: Option<&str>) -> Option<String> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let this = match controller {
            None => controllers.is_empty(),
            Some(name) => controllers.split(',').any(|other| other == name),
        };
        this.then(|| path.to_owned())
    })
}

/// From proc_pid_mountinfo(5): which part of a hierarchy is mounted, and where.
fn mounted(text: &str, kind: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let same = after.next()? == kind;
        let options = after.nth(1)?;
        let here = same && controller.is_none_or(|name| options.split(',').any(|option| option == name));
        // What is written with escapes is nobody's control groups.
        (here && !line.contains('\\')).then(|| (PathBuf::from(root), PathBuf::from(point)))
    })
}

/// Control groups of jars whose Belljar was killed, where this process would make its own.
#[must_use]
pub fn dead() -> Vec<PathBuf> {
    let places = unified_place().map(|(place, _)| place).into_iter().chain(old("pids"));
    places.flat_map(|place| dead_in(&place)).collect()
}

fn dead_in(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(NAME)));
    ours.map(|entry| entry.path()).filter(|path| File::open(path).is_ok_and(|dir| dir.try_lock().is_ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_either_hierarchy() {
        let text = "8:pids,misc:/a\n4:memory:/b\n0::/user.slice/x.scope\n";
        assert_eq!(own_group(text, None).as_deref(), Some("/user.slice/x.scope"));
        assert_eq!(own_group(text, Some("pids")).as_deref(), Some("/a"));
        assert_eq!(own_group(text, Some("cpu")), None);
        assert_eq!(own_group("8:pids:/a\n", None), None);
    }

    #[test]
    fn a_hierarchy_is_found_by_its_kind_and_controller() {
        let text = "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
40 31 0:37 / /odd\\040place rw - cgroup2 cgroup2 rw
41 31 0:38 /part /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = |kind, controller| mounted(text, kind, controller);
        assert_eq!(found("cgroup2", None), Some(("/part".into(), "/sys/fs/cgroup/unified".into())));
        assert_eq!(found("cgroup", Some("pids")), Some(("/".into(), "/sys/fs/cgroup/pids".into())));
        assert_eq!(found("cgroup", Some("memory")), None);
    }

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((counted(text, "oom_kill"), counted(text, "oom"), counted(text, "max")), (Some(2), Some(3), None));
    }

    #[test]
    fn a_limit_is_the_least_of_what_was_asked_and_what_the_own_group_has() {
        let dir = tempfile::tempdir().unwrap();
        let (own, new) = (dir.path().join("own"), dir.path().join("new"));
        for (at, value) in [(&own, "500\n"), (&new, "max\n")] {
            fs::create_dir(at).unwrap();
            fs::write(at.join(PROCESSES), value).unwrap();
        }
        let group = std::mem::ManuallyDrop::new(Group { path: new.clone(), _dir: File::open(&new).unwrap() });
        for (ours, beside, least) in [
            (Some(9), Some(own.as_path()), "9"),
            (Some(900), Some(own.as_path()), "500"),
            (None, Some(own.as_path()), "500"),
            (Some(900), None, "900"),
        ] {
            group.limit(PROCESSES, ours, beside).unwrap();
            assert_eq!(fs::read_to_string(new.join(PROCESSES)).unwrap(), least);
        }
        // Limits that cannot be handed on are a reason to leave it.
        fs::write(own.join(MEMORY), "1000\n").unwrap();
        assert!(group.limit(MEMORY, None, Some(&own)).is_err());
        assert!(group.limit(MEMORY, Some(9), None).is_ok());
    }
}
