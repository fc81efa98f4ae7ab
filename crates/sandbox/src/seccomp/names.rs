//! Names of the system calls that are refused, for people.

use libc::{self, c_long};

macro_rules! named {
    ($($call:ident),* $(,)?) => { &[$((libc::$call, stringify!($call))),*] };
}

const NAMES: &[(c_long, &str)] = named![
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_vmsplice,
    SYS_syslog,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_quotactl,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_reboot,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_vhangup,
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
const OLD: &[(c_long, &str)] = named![SYS_chmod, SYS_mknod, SYS_creat, SYS_open, SYS_modify_ldt, SYS_iopl, SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[(c_long, &str)] = &[];

/// Those that libc does not name everywhere.
const NEW: &[(c_long, &str)] = &[(443, "quotactl_fd"), (452, "fchmodat2"), (467, "open_tree_attr")];

/// The name of a call that is refused, as its manual page has it.
pub(crate) fn name(call: u32) -> Option<&'static str> {
    let all = NAMES.iter().chain(OLD).chain(NEW);
    let (_, name) = all.into_iter().find(|(number, _)| *number == c_long::from(call))?;
    Some(name.strip_prefix("SYS_").unwrap_or(name))
}
