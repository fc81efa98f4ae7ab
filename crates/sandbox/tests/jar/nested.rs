//! Jars that allow others inside. Every forbidden thing is tried by the command itself, and once more with every
//! capability that a user namespace of its own gives it: what the jar covered must stay covered.
#![allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]

use crate::attacks::ATTACKS;
use crate::world::{SECRET, User, World};
use crate::{Scene, scene};
use libc::*;
use std::ffi::CString;
use std::os::fd::AsRawFd as _;

/// What such a jar allows, because it is what it is for.
const ALLOWED: &[&str] = &["make a user namespace", "make a user namespace by clone", "open /dev/fuse"];

/// What the owner of a user namespace may besides, all of it in namespaces of his own: its capabilities, its host name, its
/// pid 1, and raw sockets on a network that leads nowhere.
const OWN: &[&str] =
    &["have a capability", "have a bounding set", "set the host name", "trace pid 1", "open a raw socket"];

/// Shell lines that end with 0 when something covered came to light or something read-only was written. They run in user,
/// mount, network and other namespaces of their own, as uid 0 of them with every capability.
const UNCOVER: &[(&str, &str)] = &[
    ("unmount the cover of a hidden directory", "$J jar-attack umount $T/hidden; cat $T/hidden/key"),
    ("unmount /tmp", "$J jar-attack umount /tmp; cat /tmp/shared"),
    ("unmount /run", "$J jar-attack umount /run; cat /run/secret"),
    ("unmount /home", "$J jar-attack umount /home; cat /home/other/key"),
    ("unmount /proc/sys", "$J jar-attack umount /proc/sys"),
    ("remount the view writable", "$J jar-attack remount / || $J jar-attack setattr /; echo evil > $T/file"),
    (
        "make the view writable, mount by mount",
        "for m in $(cut -d' ' -f5 /proc/self/mountinfo); do $J jar-attack setattr $m; done; \
      echo evil > $T/file || : >> /etc/hostname || touch /usr/evil",
    ),
    (
        "make /proc/sys writable",
        "$J jar-attack setattr /proc/sys; $J jar-attack open-write /proc/sys/kernel/core_pattern",
    ),
    (
        "make /sys writable",
        "$J jar-attack setattr /sys; $J jar-attack open-write /sys/kernel/mm/transparent_hugepage/enabled",
    ),
    ("move a cover away", "mkdir /tmp/m; $J jar-attack move $T/hidden /tmp/m; cat $T/hidden/key"),
    ("move /proc/sys away", "mkdir /tmp/m; $J jar-attack move /proc/sys /tmp/m"),
    ("bind what lies below a cover", "mkdir /tmp/m; $J jar-attack bind $T /tmp/m && cat /tmp/m/hidden/key"),
    ("bind the root below all covers", "mkdir /tmp/m; $J jar-attack bind / /tmp/m && cat /tmp/m/home/other/key"),
    (
        "bind all mounts and unmount a cover there",
        "mkdir /tmp/m; $J jar-attack rbind / /tmp/m && $J jar-attack umount /tmp/m$T/hidden; \
      cat /tmp/m$T/hidden/key || cat /tmp/m/home/other/key",
    ),
    (
        "stack an overlay over the parent of a cover",
        "mkdir /tmp/m; $J jar-attack overlay $T /tmp/m && cat /tmp/m/hidden/key",
    ),
    ("stack an overlay over the root", "mkdir /tmp/m; $J jar-attack overlay / /tmp/m && cat /tmp/m$T/hidden/key"),
    (
        "write through an overlay's lower layer",
        "mkdir /tmp/m /tmp/u /tmp/w; \
      $J jar-attack mount overlay /tmp/m overlay 0 lowerdir=/opt,upperdir=$T,workdir=/tmp/w && echo evil > /tmp/m/file",
    ),
    (
        "a fresh /proc with the kernel's switches",
        "mkdir /tmp/m; $J jar-attack mount proc /tmp/m proc 0; \
      $J jar-attack open-write /tmp/m/sys/kernel/core_pattern || $J jar-attack open-write /tmp/m/sysrq-trigger",
    ),
    (
        "a fresh /sys",
        "mkdir /tmp/m; $J jar-attack mount sysfs /tmp/m sysfs 0; \
      $J jar-attack open-write /tmp/m/kernel/mm/transparent_hugepage/enabled || ls /tmp/m/firmware | grep -q .",
    ),
    ("a cgroup namespace", "unshare --cgroup true"),
    (
        "the host's cgroups",
        "mkdir /tmp/m; $J jar-attack mount cgroup2 /tmp/m cgroup2 0 || $J jar-attack mount cgroup /tmp/m cgroup 0 memory",
    ),
    (
        "the kernel's debug file system",
        "mkdir /tmp/m; $J jar-attack mount debugfs /tmp/m debugfs 0 || $J jar-attack mount tracefs /tmp/m tracefs 0",
    ),
    (
        "a disk",
        "mkdir /tmp/m; for d in vda sda nvme0n1; do $J jar-attack mount /dev/$d /tmp/m ext4 1 && exit; done; false",
    ),
    (
        "devices on a mount of one's own",
        "mkdir /tmp/m; $J jar-attack mount none /tmp/m tmpfs 0 && mknod /tmp/m/mem c 1 1",
    ),
    (
        "a set-user-id file on a mount of one's own",
        "mkdir /tmp/m; $J jar-attack mount none /tmp/m tmpfs 0 && cp /bin/true /tmp/m/t && chmod u+s /tmp/m/t",
    ),
    (
        "a file with capabilities in the view",
        "touch /tmp/f && /usr/bin/python3 -c \"import os; os.setxattr('$T/file', 'security.capability', b'x'*20)\"",
    ),
    (
        "join the namespaces of pid 1",
        "$J jar-attack join /proc/1/ns/mnt 0x20000 || $J jar-attack join /proc/1/ns/user 0x10000000",
    ),
    ("join one's own mount namespace", "$J jar-attack join /proc/self/ns/mnt 0x20000"),
];

pub fn scenes(world: &World) -> Vec<Scene> {
    let mut scenes = vec![
        scene("nested/what is allowed works", |world| world.users().into_iter().for_each(|user| allowed(world, user))),
        scene("nested/standard input", |world| world.users().into_iter().for_each(|user| standard_input(world, user))),
        scene("nested/a jar in a jar in a jar", |world| world.users().into_iter().for_each(|user| deep(world, user))),
    ];
    for user in world.users() {
        for (name, _, script) in ATTACKS.iter().filter(|(name, ..)| !ALLOWED.contains(name)) {
            scenes.push(scene(format!("nested/{user:?}/{name}"), move |world| {
                what_is_allowed_uncovers_nothing(world, user, script)
            }));
            if !OWN.contains(name) {
                let script = inside(script);
                scenes.push(scene(format!("nested/{user:?}/inside/{name}"), move |world| {
                    what_is_allowed_uncovers_nothing(world, user, &script)
                }));
            }
        }
        for (name, script) in UNCOVER {
            let script = inside(script);
            scenes.push(scene(format!("nested/{user:?}/uncover/{name}"), move |world| {
                what_is_allowed_uncovers_nothing(world, user, &script)
            }));
        }
    }
    scenes
}

/// The script as the owner of namespaces of its own. It says so first: an attack that never began proves nothing.
fn inside(script: &str) -> String {
    format!("exec $J jar-attack inside 'echo within; {}'", script.replace('\'', "'\\''"))
}

fn what_is_allowed_uncovers_nothing(world: &World, user: User, script: &str) {
    let bait = crate::attacks::Bait::lay(world);
    let variables = bait.variables(world);
    let mut jar = world.jar(user).hide(world.path("hidden"));
    for (name, value) in &variables {
        jar = jar.env(name, value);
    }
    let before = std::fs::read(world.path("file")).unwrap();
    let mut command = jar.command(&["sh", "-c", script]);
    command.env("JAR_NESTED", "1").env("BELLJAR_SECRET", SECRET);
    command.stdin(std::fs::File::open(world.path("file")).unwrap());
    let output = command.output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(125), "no jar: {told}");
    assert_ne!(output.status.code(), Some(127), "no program: {told}");
    assert!(!script.contains("jar-attack inside") || told.contains("within\n"), "it never began: {told}");
    assert!(!output.status.success(), "it succeeded: {told}");
    assert!(!told.contains(SECRET), "a secret came out: {told}");
    assert_eq!(std::fs::read(world.path("file")).unwrap(), before, "a file of the host changed");
}

/// The same calls as the attacks make, where nothing is in the way.
fn allowed(world: &World, user: User) {
    let program = world.program().to_str().unwrap();
    let script = inside(
        "set -e; mkdir /tmp/m /tmp/n; grep -q \"CapEff:.*[1-9a-f]\" /proc/self/status
         $J jar-attack mount none /tmp/m tmpfs 0; mkdir /tmp/m/low; echo x > /tmp/m/low/x
         $J jar-attack overlay /tmp/m/low /tmp/n; cat /tmp/n/x
         $J jar-attack rbind / /tmp/m/low; $J jar-attack open-read /dev/fuse; ls /tmp/m/low/etc/passwd",
    );
    let jar = world.jar(user).env("J", program);
    let mut command = jar.command(&["sh", "-c", &script]);
    let output = command.env("JAR_NESTED", "1").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "within\nx\n/tmp/m/low/etc/passwd\n", "{errors}");
}

/// A file goes on where it was read to; one without a name cannot be made read-only.
fn standard_input(world: &World, user: User) {
    use std::io::Read as _;
    let jar = world.jar(user);
    let run = |file: std::fs::File| jar.command(&["cat"]).env("JAR_NESTED", "1").stdin(file).output().unwrap();
    let mut file = std::fs::File::open(world.path("file")).unwrap();
    file.read_exact(&mut [0; 8]).unwrap();
    let output = run(file);
    assert_eq!(output.stdout, SECRET.as_bytes()[8..].to_vec(), "{}", String::from_utf8_lossy(&output.stderr));
    let nameless = world.path("nameless");
    std::fs::write(&nameless, "x").unwrap();
    let file = std::fs::File::open(&nameless).unwrap();
    std::fs::remove_file(&nameless).unwrap();
    let output = run(file);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{errors}");
    assert!(errors.contains("descriptor 0") && errors.contains("pipe"), "{errors}");
}

/// Every level but the last allows the next one.
fn deep(world: &World, user: User) {
    let program = world.program().to_str().unwrap();
    let confinement = serde_json::to_string(&world.jar(user).confinement).unwrap();
    let jar = world.jar(user).env("J", program).env("C", &confinement);
    let level = "JAR_NESTED=1 $J jar-run \"$C\" -- env J=$J C=\"$C\" sh -c";
    let last = "$J jar-run \"$C\" -- sh -c 'id -u; ls /run/belljar-inside'; $J jar-run \"$C\" -- $J jar-run \"$C\" -- true; echo $?";
    let script = format!("{level} \"$S\"");
    let mut command = jar.env("S", last).command(&["sh", "-c", &script]);
    let output = command.env("JAR_NESTED", "1").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // SAFETY: takes nothing.
    let own = unsafe { geteuid() };
    let uid = match user {
        User::Root => 0,
        User::Plain => crate::world::PLAIN_UID,
        User::Own => own,
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{uid}\n125\n"), "{errors}");
    assert!(errors.contains("inside another belljar"), "{errors}");
}

/// Attacks of this file: 0 when the call succeeded.
pub fn attack(name: &str, arguments: &[&str]) -> Option<c_long> {
    let path = |index: usize| CString::new(*arguments.get(index).unwrap_or(&"")).unwrap();
    let flags = |index: usize| arguments.get(index).map_or(0, |word| word.parse::<c_ulong>().unwrap());
    let null = std::ptr::null::<c_char>();
    // SAFETY: every call gets integers, null or NUL-terminated strings that outlive it.
    Some(unsafe {
        let call = |from: &CString, to: &CString, kind: &CString, flags: c_ulong, data: &CString| {
            let data = if data.is_empty() { std::ptr::null() } else { data.as_ptr().cast() };
            c_long::from(mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, data))
        };
        let change = |from: *const c_char, to: &CString, flags: c_ulong| {
            c_long::from(mount(from, to.as_ptr(), null, flags, std::ptr::null()))
        };
        match name {
            "inside" => go_inside(arguments[0]),
            "umount" => c_long::from(umount2(path(0).as_ptr(), MNT_DETACH)),
            "mount" => call(&path(0), &path(1), &path(2), flags(3), &path(4)),
            "overlay" => {
                let layers = CString::new(format!("lowerdir={}:/tmp", arguments[0])).unwrap();
                call(&CString::from(c"overlay"), &path(1), &CString::from(c"overlay"), MS_RDONLY, &layers)
            }
            "bind" => change(path(0).as_ptr(), &path(1), MS_BIND),
            "rbind" => change(path(0).as_ptr(), &path(1), MS_BIND | MS_REC),
            "move" => change(path(0).as_ptr(), &path(1), MS_MOVE),
            "remount" => change(c"none".as_ptr(), &path(0), MS_REMOUNT | MS_BIND),
            "setattr" => {
                // Clears read-only, nosuid and nodev.
                let attributes = [0u64, 7, 0, 0];
                syscall(SYS_mount_setattr, AT_FDCWD, path(0).as_ptr(), 0, attributes.as_ptr(), size_of_val(&attributes))
            }
            "join" => {
                let kind = c_int::from_str_radix(arguments[1].trim_start_matches("0x"), 16).unwrap();
                std::fs::File::open(arguments[0]).map_or(-1, |file| c_long::from(setns(file.as_raw_fd(), kind)))
            }
            _ => return None,
        }
    })
}

/// Into namespaces of its own as their uid 0, by the way the jar left open.
unsafe fn go_inside(script: &str) -> ! {
    // SAFETY: integers only.
    unsafe {
        let (uid, gid) = (geteuid(), getegid());
        if uid == 0 {
            let door = std::fs::File::open("/run/belljar-inside/userns").unwrap();
            assert_eq!(setns(door.as_raw_fd(), CLONE_NEWUSER), 0, "{}", std::io::Error::last_os_error());
        }
        let all = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
        assert_eq!(unshare(all), 0, "{}", std::io::Error::last_os_error());
        std::fs::write("/proc/self/setgroups", "deny").unwrap();
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    }
    // The first child is pid 1 of the new namespace.
    let status = std::process::Command::new("sh").args(["-c", script]).status().unwrap();
    std::process::exit(status.code().unwrap_or(1))
}
