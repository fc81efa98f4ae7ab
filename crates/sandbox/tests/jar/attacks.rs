//! Forbidden things. Each is a shell line that ends with 0 when the forbidden thing was done. It is first run without
//! a jar, in the suite's own namespaces, where it must succeed (unless that would touch the machine); then in a jar.
#![allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]

use crate::world::{SECRET, User, World};
use crate::{Scene, scene};
use libc::{c_long, *};
use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

/// Who is first seen to succeed without a jar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Both,
    Root,
    /// It would touch the machine, or this kernel refuses it to everybody.
    None,
}
use Control::{Both, None as Never, Root};

/// `$T` is the test's directory, `$J` this program, `$P` a process of the host.
pub const ATTACKS: &[(&str, Control, &str)] = &[
    // Files.
    ("write outside of the roots", Both, "echo evil >> $T/file"),
    ("create outside of the roots", Both, "touch $T/new-$$"),
    ("delete outside of the roots", Both, "cp $T/file $T/victim-$$ && rm $T/victim-$$"),
    ("chmod outside of the roots", Root, "chmod 600 $T/file && chmod 666 $T/file"),
    ("write a file of the system", Root, ": >> /etc/hostname"),
    ("read a hidden file", Both, "cat $T/hidden/key"),
    ("list a hidden directory", Both, "ls $T/hidden | grep key"),
    ("write into a hidden directory", Never, "echo evil > $T/hidden/new"),
    ("read another user's home", Both, "cat /home/other/key"),
    ("read /etc/shadow", Root, "cat /etc/shadow | grep -q ."),
    ("read a backup of /etc/shadow", Never, "test -s /etc/shadow- && cat /etc/shadow-"),
    ("read the shared /tmp", Both, "cat /tmp/shared"),
    ("read /run", Both, "cat /run/secret"),
    ("reopen standard input for writing", Both, "echo evil > /proc/self/fd/0"),
    ("read an inherited descriptor", Never, "cat <&9"),
    ("find an inherited descriptor", Never, "ls /proc/self/fd | grep -w 9"),
    ("remount the view writable", Never, "mount -o remount,rw / || mount -o remount,bind,rw /"),
    ("uncover /tmp", Never, "umount /tmp"),
    ("mount a tmpfs", Root, "mkdir -p $T/m && mount -t tmpfs none $T/m"),
    // Secrets.
    ("see the caller's environment", Never, "env | grep BELLJAR_SECRET"),
    ("read the environment of pid 1", Never, "tr '\\0' '\\n' < /proc/1/environ | grep ="),
    (
        "read any environment with the secret",
        Both,
        "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep BELLJAR_SECRET=",
    ),
    ("list the descriptors of pid 1", Never, "ls -l /proc/1/fd | grep socket"),
    ("walk the root of pid 1", Never, "ls /proc/1/root/etc"),
    ("read the memory of pid 1", Never, "head -c1 /proc/1/mem; cat /proc/1/maps | grep r"),
    ("trace pid 1", Never, "$J jar-attack ptrace-init"),
    // proc and sys.
    ("open core_pattern for writing", Root, "$J jar-attack open-write /proc/sys/kernel/core_pattern"),
    ("open hostname for writing", Root, "$J jar-attack open-write /proc/sys/kernel/hostname"),
    ("open vm.overcommit for writing", Root, "$J jar-attack open-write /proc/sys/vm/overcommit_memory"),
    ("open sysrq-trigger for writing", Never, "$J jar-attack open-write /proc/sysrq-trigger"),
    ("open irq affinity for writing", Root, "$J jar-attack open-write /proc/irq/default_smp_affinity"),
    ("write a cgroup", Root, "$J jar-attack open-write $(ls -d /sys/fs/cgroup/*/cgroup.procs | head -1)"),
    ("write in /sys", Root, "$J jar-attack open-write /sys/kernel/mm/transparent_hugepage/enabled"),
    ("read kcore", Never, "head -c 64 /proc/kcore | grep -q ELF"),
    ("read kernel addresses", Root, "grep -v '^0000000000000000' /proc/kallsyms | grep -q ."),
    ("list the firmware", Never, "ls /sys/firmware | grep ."),
    ("read the kernel log", Root, "dmesg | grep -q ."),
    (
        "open /dev/kmsg",
        Root,
        "test -r /dev/kmsg && head -c0 /dev/kmsg && dd if=/dev/kmsg count=1 iflag=nonblock of=/dev/null",
    ),
    ("open a disk", Never, "$J jar-attack open-read $(ls /dev/vda /dev/sda /dev/nvme0n1 2>/dev/null | head -1)"),
    ("open /dev/fuse", Both, "$J jar-attack open-read /dev/fuse"),
    ("make a device", Root, "mknod /tmp/disk-$$ b 254 0 && rm /tmp/disk-$$"),
    // Processes.
    (
        "see a process of the host",
        Both,
        "grep -l belljar-host-[m]arker /proc/*/cmdline | grep -v -w -e $$ -e self -e thread-self",
    ),
    ("signal a process of the host", Root, "kill -0 $P"),
    ("signal the host's group", Never, "$J jar-attack signal-group"),
    ("use the host's shared memory", Both, "$J jar-attack shm"),
    // Network.
    ("connect to the host's loopback", Both, "$J jar-attack connect $PORT"),
    ("connect to a unix socket in /run", Both, "$J jar-attack unix /run/host.sock"),
    ("connect to a unix socket in /tmp", Both, "$J jar-attack unix /tmp/host.sock"),
    ("connect to an abstract socket", Both, "$J jar-attack unix @belljar-test"),
    ("see the host's interfaces", Never, "ip -o link | grep -v ' lo:'"),
    ("open a packet socket", Root, "$J jar-attack socket 17 3"),
    ("open a raw socket", Root, "$J jar-attack socket 2 3 1"),
    ("open a kernel crypto socket", Never, "$J jar-attack socket 38 5"),
    ("open a vsock", Never, "$J jar-attack socket 40 1"),
    ("open an audit socket", Both, "$J jar-attack socket 16 3 9"),
    // Kernel surface.
    ("make a user namespace", Both, "unshare -U true"),
    ("make a user namespace by clone", Both, "$J jar-attack clone-user"),
    ("make a user namespace by clone3", Both, "$J jar-attack clone3-user"),
    ("enter a namespace", Root, "$J jar-attack setns"),
    ("set up io_uring", Both, "$J jar-attack io_uring"),
    ("join a session keyring", Both, "$J jar-attack keyctl"),
    ("add a key", Both, "$J jar-attack add_key"),
    ("load a bpf program", Root, "$J jar-attack bpf"),
    ("count events", Root, "$J jar-attack perf"),
    ("handle page faults", Root, "$J jar-attack userfaultfd"),
    ("make a file handle", Both, "$J jar-attack name_to_handle"),
    ("make code of all data", Both, "$J jar-attack personality"),
    ("push into the terminal", Root, "$J jar-attack tiocsti 0"),
    ("push into the terminal with high bits set", Root, "$J jar-attack tiocsti 1"),
    ("open a file system context", Root, "$J jar-attack fsopen"),
    ("clone a mount tree", Root, "$J jar-attack open_tree"),
    ("change the root", Root, "$J jar-attack chroot"),
    ("call the kernel as i386", Never, "$J jar-attack i386"),
    ("call the kernel as x32", Never, "$J jar-attack x32"),
    ("call an unknown system call", Never, "$J jar-attack unknown"),
    // Privilege.
    ("set a set-user-id bit", Both, "cp /bin/true /tmp/suid-$$ && chmod u+s /tmp/suid-$$"),
    ("set a set-group-id bit by fchmodat2", Both, "$J jar-attack fchmodat2"),
    ("create a file with a set-user-id bit", Both, "$J jar-attack open-suid"),
    ("gain by a set-user-id program", Never, "$J jar-attack exec-suid"),
    ("have a capability", Root, "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status"),
    ("have a bounding set", Both, "grep -q 'CapBnd:.*[1-9a-f]' /proc/self/status"),
    ("become another user", Root, "setpriv --reuid 1 --clear-groups true || exit 1"),
    ("give a file away", Root, "touch /tmp/given-$$ && chown 1 /tmp/given-$$"),
    ("set the clock", Never, "date -s '2020-01-01'"),
    ("set the host name", Never, "hostname evil"),
    ("raise priority", Root, "nice -n -5 true 2>&1 | grep -q . && exit 1; nice -n -5 sh -c 'test $(nice) -lt 0'"),
];

pub fn scenes(world: &World) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for user in world.users() {
        for (name, control, script) in ATTACKS {
            scenes.push(scene(format!("attack/{user:?}/{name}"), move |world| play(world, user, *control, script)));
        }
    }
    scenes
}

/// Things of the host that an attack may reach for, alive while it is tried.
pub struct Bait {
    _unix: Vec<UnixListener>,
    tcp: std::net::TcpListener,
    process: std::process::Child,
    shm: i32,
}

impl Bait {
    pub fn lay(world: &World) -> Bait {
        let mut unix = Vec::new();
        let paths: &[&str] = if world.root { &["/run/host.sock", "/tmp/host.sock"] } else { &[] };
        for path in paths {
            let _ = std::fs::remove_file(path);
            unix.push(UnixListener::bind(path).unwrap());
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        }
        use std::os::linux::net::SocketAddrExt as _;
        let name = std::os::unix::net::SocketAddr::from_abstract_name("belljar-test").unwrap();
        unix.extend(UnixListener::bind_addr(&name));
        let mut process = std::process::Command::new("sh");
        process.args(["-c", "read x # belljar-host-marker"]).stdin(std::process::Stdio::piped());
        let process = process.spawn().unwrap();
        // SAFETY: integers only.
        let shm = unsafe { shmget(SHM_KEY, 4096, IPC_CREAT | 0o666) };
        Bait { _unix: unix, tcp: std::net::TcpListener::bind("127.0.0.1:0").unwrap(), process, shm }
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }

    /// What the scripts know it by.
    pub fn variables(&self, world: &World) -> [(&'static str, String); 4] {
        let port = self.tcp.local_addr().unwrap().port().to_string();
        let (base, program) = (world.base.to_str().unwrap().to_owned(), world.program().to_str().unwrap().to_owned());
        [("T", base), ("J", program), ("P", self.pid()), ("PORT", port)]
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // SAFETY: integers and a null pointer, which IPC_RMID does not look at.
        unsafe { shmctl(self.shm, IPC_RMID, std::ptr::null_mut()) };
    }
}

const SHM_KEY: i32 = 0x0be1_17a1;

fn play(world: &World, user: User, control: Control, script: &str) {
    let bait = Bait::lay(world);
    let variables = bait.variables(world);
    let controlled = match control {
        Control::Both => user != User::Own,
        Control::Root => user == User::Root,
        Control::None => false,
    };
    if controlled {
        let mut command = world.bare(user, &["sh", "-c", script]);
        command
            .envs(variables.clone())
            .env("BELLJAR_SECRET", "1")
            .stdin(std::fs::File::open(world.path("file")).unwrap());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the control must succeed without a jar: {errors}");
    }
    let mut jar = world.jar(user).hide(world.path("hidden"));
    for (name, value) in &variables {
        jar = jar.env(name, value);
    }
    let before = std::fs::read(world.path("file")).unwrap();
    let mut command = jar.command(&["sh", "-c", script]);
    command.env("BELLJAR_SECRET", SECRET).stdin(std::fs::File::open(world.path("file")).unwrap());
    leak_descriptor(&mut command);
    let output = command.output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(125), "no jar: {told}");
    assert_ne!(output.status.code(), Some(127), "no program: {told}");
    assert!(!output.status.success(), "it succeeded: {told}");
    assert!(!told.contains(SECRET), "a secret came out: {told}");
    assert_eq!(std::fs::read(world.path("file")).unwrap(), before, "a file of the host changed");
}

/// Descriptor 9, open on a secret and inherited.
fn leak_descriptor(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let file = std::fs::File::open("/proc/self/comm").unwrap();
    // SAFETY: dup2 is async-signal-safe and touches no memory; the file is owned by the closure and outlives it.
    unsafe {
        command.pre_exec(
            move || {
                if dup2(file.as_raw_fd(), 9) == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
            },
        );
    }
}

/// The attacker: exit 0 when it got what it wanted.
pub fn main(arguments: &[OsString]) {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
    let code = attack(words[0], &words[1..]);
    let error = std::io::Error::last_os_error();
    let _ = writeln!(std::io::stderr(), "{}: {code} {error}", words[0]);
    std::process::exit(i32::from(code < 0));
}

fn attack(name: &str, arguments: &[&str]) -> c_long {
    if let Some(code) = crate::nested::attack(name, arguments) {
        return code;
    }
    let number = |index: usize| arguments.get(index).map_or(0, |word| word.parse::<i32>().unwrap());
    let zero = [0u64; 32];
    let opened = |options: &mut std::fs::OpenOptions| options.open(arguments[0]).map_or(-1, |_| 0);
    // SAFETY: every call gets integers, NUL-terminated strings or zeroed memory larger than what the kernel reads.
    unsafe {
        match name {
            "open-write" => opened(std::fs::OpenOptions::new().write(true)),
            "open-read" => opened(std::fs::OpenOptions::new().read(true)),
            "connect" => std::net::TcpStream::connect(("127.0.0.1", number(0) as u16)).map_or(-1, |_| 0),
            "unix" => connect_unix(arguments[0]),
            "socket" => c_long::from(socket(number(0), number(1), number(2))),
            "clone-user" => forked(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)),
            "clone3-user" => {
                let arguments = [CLONE_NEWUSER as u64, 0, 0, 0, SIGCHLD as u64, 0, 0, 0];
                forked(syscall(SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)))
            }
            "setns" => {
                let own = std::fs::File::open("/proc/self/ns/uts").unwrap();
                syscall(SYS_setns, own.as_raw_fd(), 0)
            }
            "io_uring" => syscall(SYS_io_uring_setup, 1, zero.as_ptr()),
            "keyctl" => syscall(SYS_keyctl, 1, 0, 0, 0, 0),
            "add_key" => syscall(SYS_add_key, c"user".as_ptr(), c"belljar".as_ptr(), c"x".as_ptr(), 1, -1),
            "bpf" => {
                let map = [2u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                syscall(SYS_bpf, 0, map.as_ptr(), size_of_val(&map))
            }
            "perf" => {
                let mut attribute = [0u32; 32];
                (attribute[0], attribute[1], attribute[2]) = (1, 128, 0);
                syscall(SYS_perf_event_open, attribute.as_ptr(), 0, -1, -1, 0)
            }
            "userfaultfd" => syscall(SYS_userfaultfd, 0),
            "name_to_handle" => {
                let (mut handle, mut mount) = ([0u32; 64], 0i32);
                handle[0] = 128;
                syscall(SYS_name_to_handle_at, AT_FDCWD, c"/".as_ptr(), handle.as_mut_ptr(), &raw mut mount, 0)
            }
            "personality" => syscall(SYS_personality, 0x040_0000),
            "tiocsti" => push_into_terminal(number(0) as u64),
            "fsopen" => syscall(SYS_fsopen, c"tmpfs".as_ptr(), 0),
            "open_tree" => syscall(SYS_open_tree, AT_FDCWD, c"/".as_ptr(), 1),
            "chroot" => c_long::from(chroot(c"/".as_ptr())),
            "ptrace-init" => c_long::from(ptrace(PTRACE_SEIZE, 1, 0, 0)),
            "signal-group" => signal_group(),
            "shm" => c_long::from(shmget(SHM_KEY, 4096, 0)),
            "fchmodat2" => {
                let file = c"/tmp/sgid".as_ptr();
                close(open(file, O_CREAT | O_WRONLY, 0o644));
                let code = syscall(452, AT_FDCWD, file, 0o2755, 0);
                unlink(file);
                code
            }
            "open-suid" => {
                let file = c"/tmp/suid".as_ptr();
                let code = open(file, O_CREAT | O_WRONLY | O_EXCL, 0o4755);
                unlink(file);
                c_long::from(code)
            }
            "exec-suid" => exec_suid(),
            "i386" => i386_getpid(),
            "x32" => syscall(0x4000_0000 + SYS_getpid),
            "unknown" => syscall(500),
            other => panic!("{other}"),
        }
    }
}

/// The child of a clone leaves at once; the parent has what it wanted.
fn forked(code: c_long) -> c_long {
    if code == 0 {
        // SAFETY: an integer.
        unsafe { _exit(0) };
    }
    code
}

fn connect_unix(name: &str) -> c_long {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
        None => SocketAddr::from_pathname(name).unwrap(),
    };
    UnixStream::connect_addr(&address).map_or(-1, |_| 0)
}

/// Into a pseudo-terminal of its own, so that the request and not the terminal decides.
fn push_into_terminal(high: u64) -> c_long {
    // SAFETY: integers, a NUL-terminated path and one byte.
    unsafe {
        let master = posix_openpt(O_RDWR | O_NOCTTY);
        grantpt(master);
        unlockpt(master);
        let name = ptsname(master);
        setsid();
        let slave = open(name, O_RDWR);
        assert!(slave >= 0, "a terminal");
        syscall(SYS_ioctl, slave, TIOCSTI | high << 32, c"x".as_ptr())
    }
}

/// Signal 0 to every member of the group one by one is not possible from inside; to the group it is, and succeeds when
/// any member may be signalled. Alone in a new group only members outside could make it succeed.
fn signal_group() -> c_long {
    // SAFETY: integers only.
    unsafe {
        let parent_group = getpgrp();
        // The group's leader lives outside, so it has no number here.
        if parent_group != 0 { c_long::from(kill(-parent_group, 0)) } else { -1 }
    }
}

fn exec_suid() -> c_long {
    let output =
        std::process::Command::new("su").args(["-c", "id -u", "root"]).stdin(std::process::Stdio::null()).output();
    let nnp = std::fs::read_to_string("/proc/self/status").unwrap().contains("NoNewPrivs:\t1");
    let gained = output.is_ok_and(|output| output.status.success() && output.stdout == b"0\n") && !nnp;
    if gained { 0 } else { -1 }
}

#[cfg(target_arch = "x86_64")]
fn i386_getpid() -> c_long {
    let pid: i32;
    // SAFETY: getpid through the i386 gate takes nothing and returns a number.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 20 => pid, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    c_long::from(pid)
}

#[cfg(not(target_arch = "x86_64"))]
fn i386_getpid() -> c_long {
    -1
}
