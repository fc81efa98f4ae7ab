"""Writing where nothing may be written: the verdict looks at the files of the host. Nothing of this run is applied."""

import ctypes
import fcntl
import mmap
import os
import struct

from kernel import LIBC, call, must
from probe import Differs, path, probe


def target(name, at):
    return probe("writes", name, path(at))


def append(at):
    """An empty line more: a change, and harmless in whatever reads it."""
    with open(at, "a") as file:
        file.write("\n")


for place in ["/etc", "/usr", "/usr/local/bin", "/usr/lib", "/opt", "/srv", "/boot", "/home/other", "/var/lib", "/var/spool/cron/crontabs",
              "/etc/cron.d", "/etc/systemd/system", "/etc/profile.d", "/etc/ld.so.conf.d", "/tmp", "/var/tmp", "/dev/shm", "/run", "/root",
              "/var/log", "/etc/sudoers.d"]:
    @probe("writes", f"a file in {place}", path(f"{place}/belljar-probe"))
    def _(context, place=place):
        append(f"{place}/belljar-probe")

for at in ["/etc/passwd", "/etc/ld.so.preload", "/etc/hosts", "/etc/crontab", "/etc/profile", "/usr/bin/env", "/usr/local/host-file",
           "/opt/host-file", "/srv/host-file", "/var/lib/host-file", "/tmp/host-file", "/var/tmp/host-file", "/dev/shm/host-file",
           "/home/other/notes.txt", "/etc/environment"]:
    target(f"more in {at}", at)(lambda context, at=at: append(at))

HOME = "{home}/"
for name in [".bashrc", ".profile", ".zshrc", ".gitconfig", ".ssh/authorized_keys", "bin/tool", "other/main.c", ".local/bin/git",
             ".config/autostart/chat.desktop", ".cargo/config.toml", ".config/pip/pip.conf", ".vimrc"]:
    target(f"more in ~/{name}", HOME + name)(lambda context, name=name: append(f"{context.home}/{name}"))


@probe("writes", "a file that is cut", path("/opt/cut"))
def _(context):
    os.truncate("/opt/cut", 0)


@probe("writes", "a mode", path("{home}/mode.txt"))
def _(context):
    os.chmod(f"{context.home}/mode.txt", 0o777)


@probe("writes", "a mode of a directory in the system", path("/usr/local/lib"))
def _(context):
    os.chmod("/usr/local/lib", 0o777)


@probe("writes", "an owner", path("/usr/local/etc"))
def _(context):
    os.chown("/usr/local/etc", 60124, 60124)


@probe("writes", "a time", path("/var/tmp/timed"))
def _(context):
    os.utime("/var/tmp/timed", (1, 1))


@probe("writes", "a time by an open file", path("/usr/bin/tee"))
def _(context):
    os.utime(os.open("/usr/bin/tee", os.O_RDONLY), (1, 1))


@probe("writes", "a mode by an open file", path("/usr/local/share"))
def _(context):
    os.fchmod(os.open("/usr/local/share", os.O_RDONLY), 0o777)


@probe("writes", "an extended attribute", path("{home}/attribute.txt"))
def _(context):
    os.setxattr(f"{context.home}/attribute.txt", "user.probe", b"x")


@probe("writes", "an attribute by an open file", path("/usr/local/attribute"))
def _(context):
    os.setxattr(os.open("/usr/local/attribute", os.O_RDONLY), "user.probe", b"x")


@probe("writes", "the immutable flag", path("{home}/immutable.txt"))
def _(context):
    fd = os.open(f"{context.home}/immutable.txt", os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", 0x10))


@probe("writes", "the no-dump flag", path("{home}/no-dump.txt"))
def _(context):
    fd = os.open(f"{context.home}/no-dump.txt", os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", 0x40))


@probe("writes", "a file moved out", path("{home}/other/moved-out"))
def _(context):
    append("moved")
    os.rename("moved", f"{context.home}/other/moved-out")


@probe("writes", "a file made beside and renamed over", path("{home}/.bash_logout"))
def _(context):
    append("fresh")
    os.rename("fresh", f"{context.home}/.bash_logout")


@probe("writes", "a second name outside", path("/tmp/second-name"))
def _(context):
    os.link("/tmp/linked", "/tmp/second-name")


@probe("writes", "a nameless file that gets a name outside", path("/opt/named"))
def _(context):
    fd = os.open("/opt", os.O_TMPFILE | os.O_WRONLY, 0o600)
    os.write(fd, b"changed")
    LIBC.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"/opt/named", 0x400)


@probe("writes", "a file removed from the system", path("/usr/bin/yes"))
def _(context):
    os.remove("/usr/bin/yes")


@probe("writes", "a file removed from the home", path("{home}/.config/fish/config.fish"))
def _(context):
    os.remove(f"{context.home}/.config/fish/config.fish")


@probe("writes", "a directory made in the home", path("{home}/made"))
def _(context):
    os.mkdir(f"{context.home}/made")


@probe("writes", "a symbolic link in the system", path("/usr/local/link"))
def _(context):
    os.symlink("/", "/usr/local/link")


@probe("writes", "a device node in the home", path("{home}/node"))
def _(context):
    os.mknod(f"{context.home}/node", 0o666 | 0o020000, os.makedev(1, 5))


@probe("writes", "a fifo in the system", path("/usr/local/fifo"))
def _(context):
    os.mkfifo("/usr/local/fifo")


@probe("writes", "standard input opened again for writing", path("{home}/stdin.txt"))
def _(context):
    append("/proc/self/fd/0")


@probe("writes", "an inherited directory", path("{home}/.ssh/through-directory"))
def _(context):
    os.close(os.open("through-directory", os.O_CREAT | os.O_WRONLY, dir_fd=8))


@probe("writes", "an inherited descriptor opened again", path("{home}/.ssh/id_ed25519"))
def _(context):
    append("/proc/self/fd/9")


@probe("writes", "through the root of a process of the host", path("{home}/.xprofile"))
def _(context):
    append(f"/proc/{context.victims['places']}/root{context.home}/.xprofile")


@probe("writes", "through the working directory of a process of the host", path("{home}/.ssh/through-cwd"))
def _(context):
    append(f"/proc/{context.victims['places']}/cwd/through-cwd")


@probe("writes", "shared memory of a file", path("/dev/shm/secret"))
def _(context):
    with open("/dev/shm/secret", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:1] = b"X"


@probe("writes", "a hole punched", path("/var/lib/punched"))
def _(context):
    fd = os.open("/var/lib/punched", os.O_RDWR)
    if LIBC.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4)):
        raise OSError(ctypes.get_errno(), "fallocate")


@probe("writes", "a copy inside the kernel", path("/home/other/copied.txt"))
def _(context):
    os.sendfile(os.open("/home/other/copied.txt", os.O_WRONLY), os.open("/etc/passwd", os.O_RDONLY), 0, 4)


@probe("writes", "after making the view writable again", path("/usr/local/remounted"))
def _(context):
    for at in [b"/", b"/usr", b"/usr/local"]:
        call("mount", b"none", at, None, 32 | 4096, None)
    append("/usr/local/remounted")


@probe("writes", "after making the view writable by mount_setattr", path("/usr/local/attributes"))
def _(context):
    from kernel import words
    for at in [b"/", b"/usr"]:
        call("mount_setattr", -100, at, 0x8000, words(0, 1, 0, 0), 32)
    append("/usr/local/attributes")


@probe("writes", "a mount that the host sees", Differs(lambda world: world.mounted()))
def _(context):
    must("mount", b"none", b"/mnt", b"tmpfs", 0, None)


@probe("writes", "a lock on a file of the host", Differs(lambda world: world.lock_seen))
def _(context):
    import time
    fcntl.flock(os.open("/etc/group", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(0.3)
