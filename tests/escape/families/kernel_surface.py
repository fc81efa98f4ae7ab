"""Doors of the kernel. Each call is a harmless variant whose error tells whether the caller was let in: who may not make
it hears EPERM, who may hears what is wrong with the arguments."""

import ctypes
import errno
import os
import struct

from kernel import LIBC, call, execute, must, words
from probe import Answer, probe


def door(name, *wanted):
    return probe("kernel surface", name, Answer(*wanted))


# Name, the errors of those who are let in, the call.
CALLS = [
    ("bpf: a map", [0], ("bpf", 0, struct.pack("IIII", 2, 4, 4, 1) + bytes(112), 128)),
    ("bpf: a program of a socket filter", [errno.E2BIG, errno.EINVAL], ("bpf", 5, bytes(128), 128)),
    ("perf_event_open", [0], ("perf_event_open", struct.pack("IIQQQQQ", 1, 128, 0, 0, 0, 0, 0) + bytes(80), 0, -1, -1, 0)),
    ("perf_event_open of the kernel", [0], ("perf_event_open", struct.pack("IIQQ", 1, 128, 1, 0) + bytes(104), 0, -1, -1, 0)),
    ("perf_event_open of everybody", [0], ("perf_event_open", struct.pack("IIQQ", 1, 128, 0, 0) + bytes(104), -1, 0, -1, 0)),
    ("userfaultfd", [0], ("userfaultfd", 0)),
    ("userfaultfd for user mode", [0], ("userfaultfd", 1)),
    ("io_uring_setup", [0], ("io_uring_setup", 1, bytes(120))),
    ("keyctl: the session keyring", [0], ("keyctl", 0, -3, 1)),
    ("add_key", [0], ("add_key", b"user", b"belljar-probe", b"x", 1, -2)),
    ("kexec_load", [errno.EINVAL], ("kexec_load", 0, 1 << 20, None, 0)),
    ("kexec_file_load", [errno.EBADF, errno.EINVAL], ("kexec_file_load", -1, -1, 0, None, 0)),
    ("init_module", [errno.ENOEXEC, errno.EFAULT], ("init_module", b"x", 1, b"")),
    ("finit_module", [errno.EBADF], ("finit_module", -1, b"", 0)),
    ("delete_module", [errno.ENOENT], ("delete_module", b"no-such-module", 0)),
    ("mount", [errno.ENODEV], ("mount", b"none", b"/mnt", b"no-such-type", 0, None)),
    ("mount: a bind", [errno.ENOENT], ("mount", b"/no-such-source", b"/mnt", None, 4096, None)),
    ("umount2", [errno.EINVAL], ("umount2", b"/proc/self", 0)),
    ("pivot_root", [errno.ENOENT, errno.EINVAL], ("pivot_root", b"/no-such", b"/no-such")),
    ("chroot", [0], ("chroot", b"/")),
    ("open_tree with a copy", [0], ("open_tree", -100, b"/", 1)),
    ("move_mount", [errno.ENOENT, errno.EINVAL], ("move_mount", -100, b"/no-such", -100, b"/no-such", 0)),
    ("fsopen", [errno.ENODEV], ("fsopen", b"no-such-type", 0)),
    ("fsopen of tmpfs", [0], ("fsopen", b"tmpfs", 0)),
    ("fspick", [0], ("fspick", -100, b"/proc", 0)),
    ("mount_setattr", [errno.EINVAL, 0], ("mount_setattr", -100, b"/proc", 0, bytes(32), 32)),
    ("unshare: a user namespace", [0], ("unshare", 0x10000000)),
    ("unshare: a mount namespace", [0], ("unshare", 0x20000)),
    ("unshare: a network namespace", [0], ("unshare", 0x40000000)),
    ("unshare: a pid namespace", [0], ("unshare", 0x20000000)),
    ("unshare: an ipc namespace", [0], ("unshare", 0x8000000)),
    ("unshare: a uts namespace", [0], ("unshare", 0x4000000)),
    ("unshare: a cgroup namespace", [0], ("unshare", 0x2000000)),
    ("unshare: a time namespace", [0], ("unshare", 0x80)),
    ("setns with nothing", [errno.EBADF], ("setns", -1, 0)),
    ("quotactl", [errno.ENOENT, errno.ENODEV, errno.ENOTBLK], ("quotactl", 0x800007 << 8, b"/no-such", 0, None)),
    ("quotactl_fd", [errno.EBADF], ("quotactl_fd", -1, 0x800007 << 8, 0, None)),
    ("acct", [errno.EISDIR, errno.EACCES, errno.ENOENT], ("acct", b"/no-such-file")),
    ("swapon", [errno.ENOENT], ("swapon", b"/no-such-file", 0)),
    ("swapoff", [errno.ENOENT], ("swapoff", b"/no-such-file")),
    ("reboot", [errno.EINVAL], ("reboot", 1, 2, 3, None)),
    ("settimeofday", [errno.EINVAL], ("settimeofday", words(1 << 62, 1 << 62), None)),
    ("clock_settime", [errno.EINVAL], ("clock_settime", 0, words(1 << 62, 1 << 62))),
    ("adjtimex", [errno.EINVAL], ("adjtimex", struct.pack("Ixxxxq", 0x4000, 0) + bytes(16) + struct.pack("i", 0) + bytes(256))),
    ("syslog: the kernel's messages", [0], ("syslog", 3, ctypes.create_string_buffer(64), 64)),
    ("syslog: clearing", [errno.EINVAL], ("syslog", 8, None, 99)),
    ("vhangup in another session", [0], ("vhangup",)),
    ("iopl", [0], ("iopl", 3)),
    ("ioperm", [0], ("ioperm", 0x80, 1, 1)),
    ("modify_ldt: a 16-bit stack", [0], ("modify_ldt", 0x11, struct.pack("IIII", 0, 0, 0xFFFF, 0b1010001), 16)),
    ("lookup_dcookie", [errno.EINVAL, errno.EFAULT], ("lookup_dcookie", 0, None, 0)),
    ("personality: readable means executable", [0], ("personality", 0x0400000)),
    ("personality: page zero mapped", [0], ("personality", 0x0100000)),
    ("name_to_handle_at", [errno.EOVERFLOW], ("name_to_handle_at", -100, b"/", struct.pack("Ii", 0, 0) + bytes(8), words(0), 0)),
    ("open_by_handle_at", [errno.EBADF, errno.ESTALE, errno.EINVAL], ("open_by_handle_at", -1, struct.pack("Ii", 8, 1) + bytes(8), 0)),
    ("vmsplice", [errno.EBADF], ("vmsplice", -1, None, 0, 0)),
    ("migrate_pages of another", [0, errno.EINVAL], ("migrate_pages", 1, 64, words(1), words(1))),
    ("move_pages of another", [0], ("move_pages", 1, 0, None, None, None, 0)),
    ("fanotify_init", [0], ("fanotify_init", 0, 0)),
]
for name, wanted, arguments in CALLS:
    door(name, *wanted)(lambda context, arguments=arguments: call(*arguments))


def ended(child):
    if child > 0:
        os.waitpid(child, 0)


@door("clone3: a user namespace")
def _(context):
    pid, error = call("clone3", struct.pack("8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64)
    if pid == 0:
        os._exit(0)
    ended(pid)
    return pid, error


@door("clone: a user namespace")
def _(context):
    pid, error = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    ended(pid)
    return pid, error


@door("clone3 into a cgroup", errno.EBADF)
def _(context):
    pid, error = call("clone3", struct.pack("11Q", 0x200000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 1 << 20), 88)
    if pid == 0:
        os._exit(0)
    ended(pid)
    return pid, error


@door("a user namespace in which capabilities come back")
def _(context):
    LIBC.unshare(0x10000000)
    with open("/proc/self/status") as file:
        effective = next(line for line in file if line.startswith("CapEff"))
    return (0, 0) if int(effective.split()[1], 16) & 1 << 21 else (-1, 1)


@door("a 32-bit call")
def _(context):
    # mov eax, 20 (getpid); int 0x80; ret
    return (0, 0) if execute(b"\xb8\x14\0\0\0\xcd\x80\xc3") == os.getpid() else (-1, 38)


@door("a 32-bit call: mount", errno.EFAULT, errno.ENOENT)
def _(context):
    # push rbx; mov eax, 21 (mount); xor ebx, ebx; xor ecx, ecx; xor edx, edx; xor esi, esi; int 0x80
    said = execute(b"\x53\xb8\x15\0\0\0\x31\xdb\x31\xc9\x31\xd2\x31\xf6\xcd\x80\x5b\x48\x63\xc0\xc3")
    return said, -said


@door("a 32-bit call: keyctl")
def _(context):
    # mov eax, 288 (keyctl); mov ebx, 0; mov ecx, -3; mov edx, 1
    said = execute(b"\x53\xb8\x20\x01\0\0\x31\xdb\xb9\xfd\xff\xff\xff\xba\x01\0\0\0\xcd\x80\x5b\x48\x63\xc0\xc3")
    return said, max(-said, 0)


@door("an x32 call")
def _(context):
    return call(0x40000000 | 39)


@door("a call that a tracer changes behind the filter")
def _(context):
    child = os.fork()
    if child == 0:
        must("ptrace", 0, 0, 0, 0)
        os.kill(os.getpid(), 19)
        result, error = call(39)  # getpid, which becomes unshare of a user namespace
        os._exit(42 if result == 0 else 1)
    os.waitpid(child, 0)
    must("ptrace", 24, child, 0, 0)  # PTRACE_SYSCALL
    for _ in range(200):
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            return (0, 0) if os.WEXITSTATUS(status) == 42 else (-1, 1)
        registers = (ctypes.c_uint64 * 27)()
        must("ptrace", 12, child, 0, registers)
        if registers[15] == 39 and registers[10] == (1 << 64) - 38:
            registers[15], registers[14] = 272, 0x10000000
            must("ptrace", 13, child, 0, registers)
        must("ptrace", 24, child, 0, 0)
    os.kill(child, 9)
    return -1, 62


@door("a filter of its own that answers for refused calls")
def _(context):
    # A listener that lets mount(2) go on: the outer filter's word must still hold.
    LIBC.prctl(38, 1, 0, 0, 0)
    program = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 1, 165)
    program += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000) * 2
    held = ctypes.create_string_buffer(program)
    fprog = struct.pack("HxxxxxxQ", 4, ctypes.addressof(held))
    must("seccomp", 1, 0, fprog)
    result, error = call("mount", b"none", b"/mnt", b"no-such-type", 0, None)
    return (0, 0) if error == errno.ENODEV else (result, error)


@door("a mount of FUSE", errno.EINVAL)
def _(context):
    return call("mount", b"none", b"/mnt", b"fuse", 0, b"fd=9999,rootmode=40000,user_id=0,group_id=0")


@door("the time of a timer that wakes the machine")
def _(context):
    fd = LIBC.timerfd_create(8, 0)  # CLOCK_REALTIME_ALARM
    return fd, 0 if fd >= 0 else ctypes.get_errno()


@door("a real-time priority")
def _(context):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return 0, 0


@door("a negative nice value")
def _(context):
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return 0, 0
