"""Set-user-ID and capabilities: gained, or left behind for others. Runs where whatever may be applied is applied."""

import ctypes
import os
import stat
import struct
import subprocess
import time

from kernel import LIBC, call
from probe import Answer, Differs, Leak, Seen, probe


def left(name, at):
    """The verdict: the host has a file there that gives away its owner's rights."""
    def look(world):
        try:
            return bool(os.lstat(f"{world.project}/{at}").st_mode & (stat.S_ISUID | stat.S_ISGID))
        except OSError:
            return False
    return probe("set-id", name, Differs(look), "applied")


def program(at):
    with open(at, "wb") as file:
        file.write(b"#!/bin/sh\n")


@left("chmod u+s", "chmod")
def _(context):
    program("chmod")
    os.chmod("chmod", 0o4755)


@left("chmod g+s", "chgrp")
def _(context):
    program("chgrp")
    os.chmod("chgrp", 0o2755)


@left("fchmod u+s", "fchmod")
def _(context):
    program("fchmod")
    os.fchmod(os.open("fchmod", os.O_RDONLY), 0o6755)


@left("fchmodat2 u+s", "fchmodat2")
def _(context):
    program("fchmodat2")
    return call("fchmodat2", -100, b"fchmodat2", 0o4755, 0)


@left("u+s at birth", "birth")
def _(context):
    os.umask(0)
    os.close(os.open("birth", os.O_CREAT | os.O_WRONLY, 0o4755))


@left("u+s at birth with creat", "creat")
def _(context):
    os.umask(0)
    return call(85, b"creat", 0o4755)


@left("u+s at birth with mknod", "mknod")
def _(context):
    os.umask(0)
    os.mknod("mknod", 0o4755 | stat.S_IFREG)


@left("u+s at birth without a name", "nameless")
def _(context):
    os.umask(0)
    fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)
    LIBC.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"nameless", 0x400)


@left("u+s by a program", "installed")
def _(context):
    subprocess.run(["install", "-m", "4755", "/bin/true", "installed"], check=True)


@left("u+s by chmod through another high half", "high-half")
def _(context):
    program("high-half")
    return call(90, b"high-half", 0o4755 | 1 << 32)


@left("u+s by a 32-bit call", "thirty-two")
def _(context):
    from kernel import execute, low_memory
    program("thirty-two")
    at = low_memory(b"thirty-two\0")
    said = execute(b"\x53\xb8\x0f\0\0\0\xbb" + struct.pack("I", at) + b"\xb9" + struct.pack("I", 0o4755)
                   + b"\xcd\x80\x5b\x48\x63\xc0\xc3")
    return said, max(-said, 0)


@left("g+s on a directory", "shared")
def _(context):
    os.mkdir("shared")
    os.chmod("shared", 0o2775)


@probe("set-id", "capabilities on a file", Differs(lambda world: capability(f"{world.project}/capable")), "applied")
def _(context):
    program("capable")
    os.setxattr("capable", "security.capability", struct.pack("<5I", 0x02000001, 0b110, 0, 0, 0))


def capability(at):
    try:
        return os.getxattr(at, "security.capability")
    except OSError:
        return None


READ = "import os; os.setresuid(0, 0, 0) if {raise_id} else None; print(open('/var/lib/only-root/data').read())"


def drop():
    """Root plays somebody else, who would gain by it."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(60124, 60124, 60124)
        os.setresuid(60124, 60124, 60124)
    os.chdir("/")


for name, at in [("a set-user-ID program", "/usr/local/bin/set-id"), ("a program with capabilities", "/usr/local/bin/with-capabilities")]:
    @probe("set-id", name, Leak("only root"))
    def _(context, at=at):
        drop()
        with open("/dev/null") as null:
            done = subprocess.run([at, "-Ic", READ.format(raise_id="set-id" in at)], stdout=subprocess.PIPE, stdin=null, check=False)
        return done.stdout


@probe("set-id", "another user's id", Answer())
def _(context):
    os.setresuid(60124, 60124, 60124)
    return 0, 0


@probe("set-id", "the id of root", Answer())
def _(context):
    os.setresuid(0, 0, 0)
    # Root within is nobody outside where no capability is left.
    with open("/proc/self/status") as file:
        effective = next(line for line in file if line.startswith("CapEff"))
    return (0, 0) if int(effective.split()[1], 16) else (-1, 1)


def state(name, look):
    """The outside looks at the process while it waits."""
    @probe("set-id", name, Seen(look))
    def _(context):
        LIBC.prctl(15, context.token.encode(), 0, 0, 0)
        time.sleep(0.25)


def field(status, name):
    return next((line.split(":")[1].strip() for line in status.splitlines() if line.startswith(name + ":")), "")


state("capabilities in force", lambda status: int(field(status, "CapEff"), 16) != 0)
state("capabilities that may be taken", lambda status: int(field(status, "CapPrm"), 16) != 0)
state("capabilities that could be gained", lambda status: int(field(status, "CapBnd"), 16) != 0)
state("privileges can be gained", lambda status: field(status, "NoNewPrivs") == "0")
state("no filter of system calls", lambda status: field(status, "Seccomp") == "0")


@probe("set-id", "capabilities are raised", Seen(lambda status: int(field(status, "CapInh"), 16) != 0))
def _(context):
    LIBC.prctl(15, context.token.encode(), 0, 0, 0)
    LIBC.syscall(126, struct.pack("II", 0x20080522, 0), struct.pack("6I", 1 << 21, 1 << 21, 1 << 21, 0, 0, 0))
    time.sleep(0.25)


@probe("set-id", "groups are changed", Answer())
def _(context):
    os.setgroups([60124])
    return 0, 0


@probe("set-id", "the secure bits are opened", Answer())
def _(context):
    return LIBC.prctl(28, 0, 0, 0, 0), ctypes.get_errno()
