//! What a world left behind in the kernel: mounts and processes that still know its directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mounts and processes that still hang on a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Lines of `/proc/self/mountinfo`.
    pub mounts: Vec<String>,
    /// Process ids with their command lines.
    pub processes: Vec<(i32, String)>,
}

impl Leftovers {
    /// Whether nothing was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty() && self.processes.is_empty()
    }

    pub(crate) fn of(base: &Path) -> Leftovers {
        Leftovers { mounts: mounts(base), processes: processes(base) }
    }
}

fn mounts(base: &Path) -> Vec<String> {
    let table = fs::read("/proc/self/mountinfo").expect("read mountinfo");
    let needle = base.as_os_str().as_bytes();
    let lines = table.split(|b| *b == b'\n').filter(|line| holds(line, needle));
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Every process of this machine that was started in the world, works in it, or has mounts of it: a process inside a
/// jar may have an empty environment, but its mount table names the roots. Our own tables are those of the host.
fn processes(base: &Path) -> Vec<(i32, String)> {
    let me = i32::try_from(std::process::id()).expect("a pid fits an i32");
    let all = fs::read_dir("/proc").expect("list /proc").flatten();
    let pids = all.filter_map(|item| item.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != me && !is_dead(*pid) && knows(*pid, base)).map(|pid| (pid, command_line(pid))).collect()
}

fn knows(pid: i32, base: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    let needle = base.as_os_str().as_bytes();
    let link = |name: &str| fs::read_link(proc.join(name)).is_ok_and(|to| to.starts_with(base));
    let text = |name: &str| fs::read(proc.join(name)).is_ok_and(|bytes| holds(&bytes, needle));
    link("cwd") || link("exe") || text("environ") || text("mountinfo")
}

/// A zombie holds nothing any more; its parent has only not asked yet.
fn is_dead(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let after_name = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    matches!(after_name.split_whitespace().next(), Some("Z" | "X"))
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::Leftovers;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_process_that_works_in_the_world_is_found_and_its_corpse_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Leftovers::of(dir.path()).is_empty());
        let mut child = Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = || Leftovers::of(dir.path()).processes.iter().any(|(p, _)| *p == pid);
        assert!(crate::until(Duration::from_secs(5), found));
        child.kill().unwrap();
        assert!(crate::until(Duration::from_secs(5), || !found()), "dead, though not reaped");
        child.wait().unwrap();
    }
}
