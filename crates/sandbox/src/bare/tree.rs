//! The processes of a jar that has no pid namespace: everything below its first process. A child that loses its parent
//! goes to the nearest subreaper above (prctl(2) PR_SET_CHILD_SUBREAPER), so nothing leaves the tree.

use crate::sys;
use nix::errno::Errno;
use std::collections::HashMap;
use std::time::Duration;

/// Between two rounds of killing, the kernel takes processes away.
const ROUND: Duration = Duration::from_micros(500);
/// A chain of parents longer than this is no chain.
const DEPTH_MAX: usize = 4096;

/// All processes below `root`, by proc(5).
pub(crate) fn below(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number
            && let Some(parent) = parent(number)
        {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(next) = waiting.pop() {
        let own = children.remove(&next).unwrap_or_default();
        found.extend(&own);
        waiting.extend(own);
    }
    found
}

/// Whether `process` is below `root`. Asked twice, because a parent that ends in between may leave its number to somebody.
pub(crate) fn is_below(process: i32, root: i32) -> bool {
    let walk = || {
        let mut at = process;
        for _ in 0..DEPTH_MAX {
            match parent(at) {
                Some(parent) if parent == root => return true,
                Some(parent) if parent > 1 => at = parent,
                _ => return false,
            }
        }
        false
    };
    walk() && walk()
}

fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets is the process's own to choose: what counts begins after the last bracket.
    let after = stat.rsplit(|byte| *byte == b')').next()?;
    let mut fields = after.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
}

/// Kills everything below this process, which must be a subreaper, and waits until nothing is left.
pub(crate) fn end(own: i32) {
    loop {
        let left = below(own);
        for process in &left {
            // Fails only if it is dead already.
            let _ = sys::kill(*process, libc::SIGKILL);
        }
        while matches!(sys::wait(-1, libc::WNOHANG), Ok(Some(_)) | Err(Errno::EINTR)) {}
        if left.is_empty() {
            return;
        }
        std::thread::sleep(ROUND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_its_child_are_below_and_others_are_not() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let grandchild = loop {
            if let [one] = below(number)[..] {
                break one;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(is_below(grandchild, own) && is_below(grandchild, number) && !is_below(number, grandchild));
        assert!(below(own).contains(&grandchild) && !below(own).contains(&own) && !is_below(1, own));
        let _ = sys::kill(grandchild, libc::SIGKILL);
        child.wait().unwrap();
    }
}
