//! The view as tables: what the jar replaces, covers and masks on every host.

/// Device nodes a program needs; all are safe in any hands.
pub(crate) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev` that programs expect.
pub(crate) const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Parts of proc(5) through which uid 0 changes the host, capabilities or not: their files belong to root.
pub(crate) const PROC_READ_ONLY: &[&str] = &["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// Parts of proc(5) that show uid 0 the host's memory, keys and devices.
pub(crate) const PROC_MASKED: &[&str] = &[
    "/proc/kcore",
    "/proc/kallsyms",
    "/proc/kmsg",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/kpagecgroup",
    "/proc/vmallocinfo",
    "/proc/slabinfo",
    "/proc/pagetypeinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/latency_stats",
    "/proc/acpi",
    "/proc/scsi",
    "/proc/mtrr",
];

/// Parts of proc(5) that show everybody keys that no namespace separates.
pub(crate) const PROC_KEYS: &[&str] = &["/proc/keys", "/proc/key-users"];

/// Parts of sysfs(5) that show the host's firmware and kernel internals.
pub(crate) const SYS_MASKED: &[&str] =
    &["/sys/firmware", "/sys/kernel/security", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/vmcoreinfo"];

/// Files of the system that only root can read, by directory, so that only a root jar could show them. By name and not
/// by a mount on each: when the host replaces a file, as useradd(8) does, a mount on the old one is gone.
pub(crate) const ROOT_SECRET_FILES: &[(&str, &[&str])] = &[
    (
        "/etc",
        &[
            "shadow",
            "shadow-",
            "shadow+",
            "nshadow",
            "gshadow",
            "gshadow-",
            "gshadow+",
            "ngshadow",
            "sudoers",
            "sudoers.tmp",
            "krb5.keytab",
        ],
    ),
    ("/etc/ssh", &["ssh_host_rsa_key", "ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_dsa_key"]),
];

/// Directories of the system that only root can read.
pub(crate) const ROOT_SECRETS: &[&str] = &[
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/var/spool/cron",
];

/// Where programs may write though no writable root says so: the jar's own, gone with it.
pub(crate) const PRIVATE: &[&str] = &["/tmp", "/var/tmp", "/run", "/dev", "/proc"];
