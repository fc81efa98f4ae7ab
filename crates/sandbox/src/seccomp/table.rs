//! The table of refused system calls. What is not in it is allowed, up to the last call known when it was written;
//! newer calls do not exist in the jar.
//!
//! Arguments are compared by their low 32 bits, which is what the kernel itself looks at for flags, modes and ioctl
//! requests (comparing 64 bits let TIOCSTI through elsewhere, CVE-2019-10063).

use crate::wire::OWN_FLAGS;
use libc::{c_long, *};
use std::collections::BTreeMap;

/// The last system call of Linux 6.18 (`file_setattr`), the same on every architecture. Also ends the x32 calls, which
/// start at 0x4000_0000.
pub(crate) const LAST_KNOWN: u32 = 469;

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fails with this errno.
    Fail(i32),
    /// Is shown to the supervisor, which lets it go on, or answers it.
    Watch,
    /// Is shown to the supervisor, which fails it with this errno.
    Tell(i32),
    /// Goes on, whatever a later check says.
    Allow,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// One of these bits is set.
    Bits { arg: u8, mask: u32 },
    /// It is this.
    Is { arg: u8, value: u32 },
    /// It is not this.
    IsNot { arg: u8, value: u32 },
    /// It is a pointer other than null (all 64 bits).
    Given { arg: u8 },
    /// These bits of it are this.
    Masked { arg: u8, mask: u32, value: u32 },
}

/// If all tests hold, this is the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) tests: Vec<Test>,
    pub(crate) verdict: Verdict,
}

/// One system call with its checks, first match wins; none means allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) call: u32,
    pub(crate) checks: Vec<Check>,
}

const SET_ID: u32 = S_ISUID | S_ISGID;
/// O_CREAT, or the bit of O_TMPFILE that is not O_DIRECTORY.
const CREATES: u32 = (O_CREAT | (O_TMPFILE & !O_DIRECTORY)).cast_unsigned();
/// The namespaces clone(2) can ask for.
const NAMESPACES: u32 =
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
        .cast_unsigned();
/// CLONE_NEWTIME shares its bit with clone(2)'s exit signal and exists for unshare(2) only.
const NEWTIME: u32 = 0x80;
const TIOCLINUX: u32 = 0x541c;

/// Refused whatever the arguments, with EPERM: the kernel surface a contained program has no business with.
pub(crate) const NEVER: &[(c_long, &str)] = named![
    // Asynchronous calls that go around this filter.
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    // Code and probes in the kernel.
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
    // Keys, which no namespace separates.
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    // The view is what it is.
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
    // Handles reach files that no path in the view does.
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    // The machine.
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
    // Segments of 16 bits, which only emulators of old systems use, and in which the kernel was attacked.
    #[cfg(target_arch = "x86_64")]
    SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    SYS_ioperm,
];
/// Of the same kind, and not named by libc everywhere.
pub(crate) const NEVER_NEWER: &[(c_long, &str)] = &[(443, "quotactl_fd"), (467, "open_tree_attr")];
/// Of these, what a Belljar inside needs. The mount API by descriptors stays closed, and with it the kernel's overlayfs as
/// a backend inside; nothing is ever unmounted, and nobody changes his root.
const FOR_JARS_INSIDE: &[c_long] = &[SYS_mount, SYS_mount_setattr, SYS_setns];
/// What of mount(2) it does not need: the covers of the view are locked besides, by mount_namespaces(7).
const REMOUNTS: u32 = 32 | 8192;
const FCHMODAT2: c_long = 452;

/// Refused as if the kernel were older, because their arguments lie in memory where no filter can look. The C library
/// and everyone else falls back to a call that can be judged.
const UNSEEN: &[c_long] = &[SYS_clone3, SYS_openat2];

/// personality(2) values that are no weakening: the default, the 32-bit view, old version numbers, fixed addresses
/// for debuggers, and the question what it is.
const PERSONALITIES: &[u32] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, 0x0004_0000, 0xffff_ffff];

/// The whole table, sorted by call.
pub(crate) fn rules(watch: bool, nested: bool) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::with_capacity(NEVER.len() + 32);
    let never = NEVER.iter().chain(NEVER_NEWER).filter(|(call, _)| !(nested && FOR_JARS_INSIDE.contains(call)));
    rules.extend(never.map(|(call, _)| always(*call, EPERM)));
    rules.extend(UNSEEN.iter().map(|call| always(*call, ENOSYS)));
    rules.extend(set_id_rules());
    rules.extend(if nested { nested_rules() } else { namespace_rules() });
    rules.extend(socket_rules());
    rules.extend(caller_rules());
    rules.push(refuse(SYS_personality, EPERM, [PERSONALITIES.iter().map(|value| is_not(0, *value))]));
    if watch {
        rules.push(watch_if(SYS_connect, vec![]));
        rules.push(watch_if(SYS_sendto, vec![Test::Given { arg: 4 }]));
    }
    rules.sort_by_key(|rule| rule.call);
    rules
}

/// `rules` with what they refuse told, and with these calls watched where they are not refused. Calls that are refused as if
/// the kernel were older are everyday ones, and stay as they are.
pub(crate) fn observing(mut rules: Vec<Rule>, watched: &[c_long]) -> Vec<Rule> {
    for check in rules.iter_mut().flat_map(|rule| &mut rule.checks) {
        if let Verdict::Fail(errno) = check.verdict
            && errno != ENOSYS
        {
            check.verdict = Verdict::Tell(errno);
        }
    }
    watching(rules, watched)
}

/// Calls that start a process or a thread.
pub(crate) const FORKS: &[c_long] = &[
    SYS_clone,
    #[cfg(target_arch = "x86_64")]
    SYS_fork,
    #[cfg(target_arch = "x86_64")]
    SYS_vfork,
];

/// `rules` with these calls watched where they are not refused.
pub(crate) fn watching(mut rules: Vec<Rule>, watched: &[c_long]) -> Vec<Rule> {
    for call in watched.iter().map(|call| number(*call)) {
        let check = Check { tests: Vec::new(), verdict: Verdict::Watch };
        match rules.iter_mut().find(|rule| rule.call == call) {
            Some(rule) => rule.checks.push(check),
            None => rules.push(Rule { call, checks: vec![check] }),
        }
    }
    rules.sort_by_key(|rule| rule.call);
    rules
}

/// What the table says of a call; `None` is that it is allowed.
pub(crate) fn verdict(rules: &[Rule], call: u32, args: &[u64; 6]) -> Option<Verdict> {
    let low = |arg: u8| args.get(usize::from(arg)).map_or(0, |value| (value & 0xffff_ffff) as u32);
    let holds = |test: &Test| match *test {
        Test::Bits { arg, mask } => low(arg) & mask != 0,
        Test::Is { arg, value } => low(arg) == value,
        Test::IsNot { arg, value } => low(arg) != value,
        Test::Masked { arg, mask, value } => low(arg) & mask == value,
        Test::Given { arg } => args.get(usize::from(arg)).is_some_and(|value| *value != 0),
    };
    let checks = rules.iter().filter(|rule| rule.call == call).flat_map(|rule| &rule.checks);
    checks.into_iter().find(|check| check.tests.iter().all(holds)).map(|check| check.verdict)
}

/// The table of a jar without namespaces: what those would hold is refused here, or judged by the supervisor, which
/// sees what no filter can. What it answers itself is `Watch` too.
pub(crate) fn guarded_rules() -> Vec<Rule> {
    let mut rules: BTreeMap<u32, Vec<Check>> = BTreeMap::new();
    let own = rules_without_sockets().into_iter().chain(shared_rules()).chain(guarded_sockets()).chain(device_rules());
    for rule in own.chain(stand_in_rules()) {
        rules.entry(rule.call).or_default().extend(rule.checks);
    }
    // After what is refused whatever the supervisor would say.
    for call in JUDGED {
        rules.entry(number(*call)).or_default().push(Check { tests: vec![], verdict: Verdict::Watch });
    }
    rules.into_iter().map(|(call, checks)| Rule { call, checks }).collect()
}

fn rules_without_sockets() -> Vec<Rule> {
    let mut plain = rules(false, false);
    plain.retain(|rule| rule.call != number(SYS_socket) && rule.call != number(SYS_socketpair));
    plain
}

/// Calls that the supervisor judges or makes itself: to see files that Landlock cannot name, to change attributes, which
/// Landlock does not rule, to reach unix sockets, and to start processes.
const JUDGED: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    SYS_open,
    SYS_openat,
    SYS_connect,
    SYS_bind,
    #[cfg(target_arch = "x86_64")]
    SYS_chmod,
    SYS_fchmod,
    SYS_fchmodat,
    FCHMODAT2,
    #[cfg(target_arch = "x86_64")]
    SYS_chown,
    #[cfg(target_arch = "x86_64")]
    SYS_lchown,
    SYS_fchown,
    SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    SYS_utime,
    #[cfg(target_arch = "x86_64")]
    SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    SYS_futimesat,
    SYS_utimensat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    SYS_inotify_add_watch,
    SYS_pidfd_open,
    SYS_clone,
    #[cfg(target_arch = "x86_64")]
    SYS_fork,
    #[cfg(target_arch = "x86_64")]
    SYS_vfork,
];

/// What the namespaces of processes, of System V objects and of message queues would keep apart. Of another process not
/// even the priority may be changed, and the numbers here are the host's.
fn shared_rules() -> Vec<Rule> {
    const OTHER: &[(c_long, u8)] = &[
        (SYS_prlimit64, 0),
        (SYS_sched_setscheduler, 0),
        (SYS_sched_setparam, 0),
        (SYS_sched_setattr, 0),
        (SYS_sched_setaffinity, 0),
        (SYS_setpriority, 1),
        (SYS_ioprio_set, 1),
        (SYS_migrate_pages, 0),
        (SYS_move_pages, 0),
    ];
    const GONE: &[c_long] = &[
        SYS_shmget,
        SYS_shmat,
        SYS_shmctl,
        SYS_shmdt,
        SYS_semget,
        SYS_semop,
        SYS_semctl,
        SYS_semtimedop,
        SYS_msgget,
        SYS_msgsnd,
        SYS_msgrcv,
        SYS_msgctl,
        SYS_mq_open,
        SYS_mq_unlink,
        SYS_fanotify_init,
        SETXATTRAT,
        REMOVEXATTRAT,
        FILE_SETATTR,
    ];
    let other = OTHER.iter().map(|(call, arg)| refuse(*call, EPERM, [[is_not(*arg, 0)]]));
    let groups = [SYS_setpriority, SYS_ioprio_set].map(|call| refuse(call, EPERM, [[is_not(0, first_who(call))]]));
    other.chain(groups).chain(GONE.iter().map(|call| always(*call, ENOSYS))).collect()
}

/// PRIO_PROCESS and IOPRIO_WHO_PROCESS.
fn first_who(call: c_long) -> u32 {
    u32::from(call == SYS_ioprio_set)
}

const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const FILE_SETATTR: c_long = 469;

/// The network is the host's, so there is none but what stands for it; and what goes out of a datagram socket no filter can
/// see.
fn guarded_sockets() -> Vec<Rule> {
    const TYPE: u32 = 0xf;
    const STREAM: u32 = 1;
    const SEQPACKET: u32 = 5;
    let inet =
        [AF_INET, AF_INET6].map(|family| Check { tests: vec![is(0, family.cast_unsigned())], verdict: Verdict::Watch });
    let mut socket = Rule { call: number(SYS_socket), checks: inet.to_vec() };
    let family = [is_not(0, AF_UNIX.cast_unsigned())];
    socket.checks.extend(refuse(SYS_socket, EAFNOSUPPORT, [family]).checks);
    let kinds = |call, verdict| {
        let known =
            [STREAM, SEQPACKET].map(|value| Check { tests: vec![Test::Masked { arg: 1, mask: TYPE, value }], verdict });
        let mut rule = Rule { call: number(call), checks: known.to_vec() };
        rule.checks.extend(always(call, EPROTONOSUPPORT).checks);
        rule
    };
    vec![
        socket,
        kinds(SYS_socket, Verdict::Watch),
        refuse(SYS_socketpair, EAFNOSUPPORT, [family]),
        kinds(SYS_socketpair, Verdict::Allow),
    ]
}

/// What stands for a socket of the network has none of its options, and a program that cannot set them gives up. Those of
/// datagrams change what is in one, so they are not there. Calls that tell or take an address are the supervisor's, and so
/// is listening.
fn stand_in_rules() -> Vec<Rule> {
    const ALWAYS: &[c_long] = &[
        SYS_getsockname,
        SYS_getpeername,
        SYS_listen,
        SYS_accept,
        SYS_accept4,
        SYS_sendmsg,
        SYS_sendmmsg,
        SYS_recvmsg,
        SYS_recvmmsg,
    ];
    let levels = [libc::IPPROTO_IP, libc::IPPROTO_TCP, libc::IPPROTO_IPV6].map(i32::cast_unsigned);
    let mut checks = levels.map(|level| Check { tests: vec![is(1, level)], verdict: Verdict::Fail(0) }).to_vec();
    let datagrams = vec![is(1, libc::IPPROTO_UDP.cast_unsigned())];
    checks.push(Check { tests: datagrams, verdict: Verdict::Fail(ENOPROTOOPT) });
    // The stage tells of its supervisor's end under the filter already.
    let own = Check { tests: vec![is(2, OWN_FLAGS.cast_unsigned())], verdict: Verdict::Allow };
    let mut rules =
        vec![Rule { call: number(SYS_setsockopt), checks }, Rule { call: number(SYS_sendmsg), checks: vec![own] }];
    rules.extend(ALWAYS.iter().map(|call| watch_if(*call, vec![])));
    rules.extend([SYS_sendto, SYS_recvfrom].map(|call| watch_if(call, vec![Test::Given { arg: 4 }])));
    rules
}

/// ioctl(2) requests that change a file of the host through a descriptor that was opened for reading: flags, versions,
/// snapshots, verity, encryption.
fn device_rules() -> Vec<Rule> {
    const TYPE: u32 = 0xff00;
    const READS: &[u32] = &[0x8008_6601, 0x8004_6601, 0x801c_581f, 0xc020_660b, 0x8008_7601, 0x4004_9409, 0x4020_940d];
    const TYPES: &[u8] = &[b'f', b'X', b'v', 0x94, 0xf5, 0xbc];
    let allowed = READS.iter().map(|request| Check { tests: vec![is(1, *request)], verdict: Verdict::Allow });
    let mut rule = Rule { call: number(SYS_ioctl), checks: allowed.collect() };
    let refused = TYPES.iter().map(|kind| [Test::Masked { arg: 1, mask: TYPE, value: u32::from(*kind) << 8 }]);
    rule.checks.extend(refuse(SYS_ioctl, EPERM, refused).checks);
    vec![rule]
}

/// The caller's terminal and process group, which the jar shares. Typing into it, another line discipline, and the
/// terminal for oneself alone would all outlive the command. Who asks for the priority of his group by 0 means every
/// process in it, the caller's too: a pid namespace hides their numbers, and no other layer holds that call.
fn caller_rules() -> Vec<Rule> {
    const PRIO_PGRP: u32 = 1;
    const IOPRIO_WHO_PGRP: u32 = 2;
    let terminal = [low(TIOCSTI), TIOCLINUX, low(TIOCSETD), low(TIOCEXCL)].map(|request| [is(1, request)]);
    vec![
        refuse(SYS_ioctl, EPERM, terminal),
        refuse(SYS_setpriority, EPERM, [[is(0, PRIO_PGRP), is(1, 0)]]),
        refuse(SYS_ioprio_set, EPERM, [[is(0, IOPRIO_WHO_PGRP), is(1, 0)]]),
    ]
}

/// Set-user-ID and set-group-ID bits never come into being.
fn set_id_rules() -> Vec<Rule> {
    let mut rules = vec![
        refuse(SYS_fchmod, EPERM, [[bits(1, SET_ID)]]),
        refuse(SYS_fchmodat, EPERM, [[bits(2, SET_ID)]]),
        refuse(FCHMODAT2, EPERM, [[bits(2, SET_ID)]]),
        refuse(SYS_mknodat, EPERM, [[bits(2, SET_ID)]]),
        refuse(SYS_openat, EPERM, [[bits(2, CREATES), bits(3, SET_ID)]]),
    ];
    #[cfg(target_arch = "x86_64")]
    rules.extend([
        refuse(SYS_chmod, EPERM, [[bits(1, SET_ID)]]),
        refuse(SYS_mknod, EPERM, [[bits(1, SET_ID)]]),
        refuse(SYS_creat, EPERM, [[bits(1, SET_ID)]]),
        refuse(SYS_open, EPERM, [[bits(1, CREATES), bits(2, SET_ID)]]),
    ]);
    rules.shrink_to_fit();
    rules
}

/// No namespaces inside: a nested user namespace would hand back every capability the jar took.
fn namespace_rules() -> Vec<Rule> {
    vec![
        refuse(SYS_clone, EPERM, [[bits(0, NAMESPACES)]]),
        refuse(SYS_unshare, EPERM, [[bits(0, NAMESPACES | NEWTIME)]]),
    ]
}

/// User namespaces and those a jar is made of, entered by making them or through the door. Never a cgroup namespace: whoever
/// has one can mount the host's cgroups, where a user may end whatever runs beside Belljar, and root everything.
fn nested_rules() -> Vec<Rule> {
    let cgroup = CLONE_NEWCGROUP.cast_unsigned();
    vec![
        refuse(SYS_clone, EPERM, [[bits(0, cgroup)]]),
        refuse(SYS_unshare, EPERM, [[bits(0, cgroup | NEWTIME)]]),
        refuse(SYS_setns, EPERM, [[is_not(1, CLONE_NEWUSER.cast_unsigned())]]),
        refuse(SYS_mount, EPERM, [[bits(3, REMOUNTS)]]),
    ]
}

/// Only the families a program of today needs: unix, IPv4, IPv6, and of netlink the routing protocol.
fn socket_rules() -> Vec<Rule> {
    let families = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].map(|family| is_not(0, family.cast_unsigned()));
    let netlink = [is(0, AF_NETLINK.cast_unsigned()), is_not(2, NETLINK_ROUTE.cast_unsigned())];
    let mut socket = refuse(SYS_socket, EAFNOSUPPORT, [families]);
    socket.checks.extend(refuse(SYS_socket, EPROTONOSUPPORT, [netlink]).checks);
    vec![socket, refuse(SYS_socketpair, EAFNOSUPPORT, [[is_not(0, AF_UNIX.cast_unsigned())]])]
}

fn always(call: c_long, errno: i32) -> Rule {
    refuse(call, errno, [[]])
}

fn watch_if(call: c_long, tests: Vec<Test>) -> Rule {
    Rule { call: number(call), checks: vec![Check { tests, verdict: Verdict::Watch }] }
}

fn refuse<C, T>(call: c_long, errno: i32, cases: C) -> Rule
where
    C: IntoIterator<Item = T>,
    T: IntoIterator<Item = Test>,
{
    let verdict = Verdict::Fail(errno);
    let checks = cases.into_iter().map(|tests| Check { tests: tests.into_iter().collect(), verdict }).collect();
    Rule { call: number(call), checks }
}

fn bits(arg: u8, mask: u32) -> Test {
    Test::Bits { arg, mask }
}

fn is(arg: u8, value: u32) -> Test {
    Test::Is { arg, value }
}

fn is_not(arg: u8, value: u32) -> Test {
    Test::IsNot { arg, value }
}

/// The low half of an ioctl request.
const fn low(request: Ioctl) -> u32 {
    (request & 0xffff_ffff) as u32
}

/// A call number; one that cannot be is past every known call and so refused as unknown anyway.
fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_one_row_and_is_known() {
        for nested in [false, true] {
            let rules = rules(true, nested);
            assert!(rules.windows(2).all(|pair| pair[0].call < pair[1].call), "sorted, no call twice");
            assert!(rules.iter().all(|rule| rule.call <= LAST_KNOWN));
        }
    }

    #[test]
    fn observing_refuses_what_is_refused_without_it() {
        for nested in [false, true] {
            let plain = rules(true, nested);
            let observing = observing(plain.clone(), &crate::files::calls());
            assert!(observing.windows(2).all(|pair| pair[0].call < pair[1].call), "sorted, no call twice");
            let words = [0u64, 1, 2, 10, 0o4755, 0o100, 0x5412, 0x1000_0000, 0xffff_ffff, u64::MAX];
            for call in 0..=LAST_KNOWN {
                for (a, b) in words.iter().flat_map(|a| words.iter().map(move |b| (*a, *b))) {
                    let args = [a, b, a, b, a, b];
                    let expected = match verdict(&plain, call, &args) {
                        Some(Verdict::Fail(ENOSYS)) => Some(Verdict::Fail(ENOSYS)),
                        Some(Verdict::Fail(errno)) => Some(Verdict::Tell(errno)),
                        other => other,
                    };
                    let got = verdict(&observing, call, &args);
                    let watched = crate::files::calls().contains(&c_long::from(call));
                    assert_eq!(
                        got,
                        if watched { expected.or(Some(Verdict::Watch)) } else { expected },
                        "{call} {args:x?}"
                    );
                }
            }
            let told =
                observing.iter().filter(|rule| rule.checks.iter().any(|c| matches!(c.verdict, Verdict::Tell(_))));
            let nameless: Vec<u32> =
                told.map(|rule| rule.call).filter(|call| crate::seccomp::name(*call).is_none()).collect();
            assert_eq!(nameless, Vec::<u32>::new());
        }
    }

    /// Whatever is not named here is the same in a jar that allows others inside.
    #[test]
    fn jars_inside_change_five_rows_and_no_other() {
        let [plain, nested] = [false, true].map(|nested| rules(true, nested));
        let row = |rules: &[Rule], call: c_long| rules.iter().find(|rule| rule.call == number(call)).cloned();
        let changed: Vec<c_long> =
            (0..=c_long::from(LAST_KNOWN)).filter(|call| row(&plain, *call) != row(&nested, *call)).collect();
        let mut expected = vec![SYS_clone, SYS_unshare, SYS_setns, SYS_mount, SYS_mount_setattr];
        expected.sort_unstable();
        assert_eq!(changed, expected);
        assert_eq!(row(&nested, SYS_mount_setattr), None);
    }
}
