"""Takes from a program what some machines withhold, then executes it: filter.py KIND COMMAND...

docker    as Docker's default seccomp profile does for a container without CAP_SYS_ADMIN and CAP_SYS_PTRACE: no namespaces,
          no mounts, no keys, no pidfd_getfd(2); clone3(2) does not exist
apparmor  as Ubuntu's AppArmor rules do for user namespaces: they can be made, and nothing can be mounted in them
sysctl    as user.max_user_namespaces=0 does
"""

import ctypes
import errno
import os
import struct
import sys

LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
X86_64 = 0xC000003E
NAMESPACES = 0x7E020000
CLONE, CLONE3, UNSHARE = 56, 435, 272
MOUNTS = [165, 166, 155, 308, 428, 429, 430, 431, 432, 433, 442]
# keyctl and its like, bpf, perf_event_open, userfaultfd, names and times of the machine, modules, handles, quota, syslog,
# pidfd_getfd, process_madvise, kcmp, io_uring.
REFUSED = [250, 248, 249, 321, 298, 323, 170, 171, 103, 175, 313, 176, 246, 320, 169, 164, 227, 304, 179, 443, 438, 440, 312,
           425, 426, 427, 163, 167, 168, 161]


def step(code, value, then=0, other=0):
    return struct.pack("HBBI", code, then, other, value)


def refuse(number, code):
    return step(JEQ, number, 0, 1) + step(RET, ERRNO | code)


def refuse_namespaces(number, code):
    return (step(JEQ, number, 0, 4) + step(LD, 16) + step(JSET, NAMESPACES, 0, 1) + step(RET, ERRNO | code)
            + step(RET, ALLOW))


def program(kind):
    text = step(LD, 4) + step(JEQ, X86_64, 1, 0) + step(RET, ALLOW) + step(LD, 0)
    if kind == "apparmor":
        text += b"".join(refuse(number, errno.EACCES) for number in MOUNTS)
    else:
        text += refuse(CLONE3, errno.ENOSYS)
    if kind == "docker":
        text += b"".join(refuse(number, errno.EPERM) for number in [*MOUNTS, *REFUSED])
    if kind != "apparmor":
        code = errno.ENOSPC if kind == "sysctl" else errno.EPERM
        # Docker refuses unshare(2) as a whole.
        text += refuse(UNSHARE, code) if kind == "docker" else b""
        text += refuse_namespaces(CLONE, code)
    return text + step(RET, ALLOW)


def main():
    kind, command = sys.argv[1], sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    text = program(kind)
    memory = ctypes.create_string_buffer(text, len(text))
    fprog = struct.pack("HxxxxxxP", len(text) // 8, ctypes.addressof(memory))
    if os.geteuid() != 0:
        libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.c_char_p(fprog), 0, 0) != 0:
        sys.exit(f"install the filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


main()
