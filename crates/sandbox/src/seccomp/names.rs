//! Names of the system calls that are refused, for people.

use super::table::{NEVER, NEVER_NEWER};
use libc::{self, c_long};

/// Refused with some arguments only.
const SOMETIMES: &[(c_long, &str)] = named![
    SYS_clone,
    SYS_unshare,
    SYS_socket,
    SYS_socketpair,
    SYS_ioctl,
    SYS_setpriority,
    SYS_ioprio_set,
    SYS_personality,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_mknodat,
    SYS_openat,
];

#[cfg(target_arch = "x86_64")]
const OLD: &[(c_long, &str)] = named![SYS_chmod, SYS_mknod, SYS_creat, SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[(c_long, &str)] = &[];

/// Those that libc does not name everywhere.
const NEWER: &[(c_long, &str)] = &[(452, "fchmodat2")];

/// The name of a call that is refused, as its manual page has it.
pub(crate) fn name(call: u32) -> Option<&'static str> {
    let all = NEVER.iter().chain(NEVER_NEWER).chain(SOMETIMES).chain(OLD).chain(NEWER);
    let (_, name) = all.into_iter().find(|(number, _)| *number == c_long::from(call))?;
    Some(name.strip_prefix("SYS_").unwrap_or(name))
}
