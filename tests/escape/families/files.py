"""Files that are hidden, by every road there is; most go to the same key in the home."""

import ctypes
import os
import socket
import struct
import tempfile

from kernel import LIBC, call, must, words
from probe import Answer, Leak, probe

KEY = ".ssh/id_ed25519"


def road(name, batch="main", verdict=None):
    return probe("files", name, verdict or Leak("ssh"), batch)


def read(at, dir_fd=None):
    fd = os.open(at, os.O_RDONLY, dir_fd=dir_fd)
    return os.read(fd, 4096)


@road("a key by its name")
def _(context):
    return read(f"{context.home}/{KEY}")


@road("a key by a detour")
def _(context):
    return read(f"{context.project}/../.cache/../.ssh//./moved/../id_ed25519")


@road("a key through a symbolic link")
def _(context):
    os.symlink(f"{context.home}/.ssh", "way")
    return read("way/id_ed25519")


@road("a key through a hard link")
def _(context):
    os.link(f"{context.home}/{KEY}", "hard")
    return read("hard")


@road("a key after its directory is renamed")
def _(context):
    os.rename(f"{context.home}/.ssh/moved", f"{context.home}/.ssh/again")
    os.rename(f"{context.home}/.ssh", f"{context.home}/keys")
    try:
        return read(f"{context.home}/keys/id_ed25519")
    finally:
        os.rename(f"{context.home}/keys", f"{context.home}/.ssh")


@road("a key after its directory is exchanged")
def _(context):
    os.mkdir(f"{context.home}/empty")
    exchange = lambda: LIBC.renameat2(-100, f"{context.home}/.ssh".encode(), -100, f"{context.home}/empty".encode(), 2)
    if exchange():
        raise OSError(ctypes.get_errno(), "renameat2")
    try:
        return read(f"{context.home}/empty/id_ed25519")
    finally:
        exchange()


@road("a key through /proc/self/root")
def _(context):
    return read(f"/proc/self/root{context.home}/{KEY}")


@road("a key through /proc/self/cwd")
def _(context):
    return read(f"/proc/self/cwd/../{KEY}")


@road("a key through the root of a process of the host")
def _(context):
    return read(f"/proc/{context.victims['places']}/root{context.home}/{KEY}")


@road("a key through the root of any process")
def _(context):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            os.write(1, read(f"/proc/{pid}/root{context.home}/{KEY}"))
        except OSError:
            pass


@road("a key through the working directory of a process of the host")
def _(context):
    return read(f"/proc/{context.victims['places']}/cwd/id_ed25519")


@road("a key through a descriptor of a process of the host")
def _(context):
    return read(f"/proc/{context.victims['places']}/fd/9")


@road("a key through the descriptors of any process")
def _(context):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for fd in range(3, 40):
            try:
                at = f"/proc/{pid}/fd/{fd}"
                if "id_ed25519" in os.readlink(at):
                    os.write(1, read(at))
            except OSError:
                pass


@road("a key through an inherited descriptor")
def _(context):
    return os.pread(9, 4096, 0)


@road("a key through an inherited directory")
def _(context):
    return read("id_ed25519", dir_fd=8)


@road("a key through an inherited directory and ..")
def _(context):
    return read(f"../{KEY}", dir_fd=8)


@road("a key with openat2")
def _(context):
    home = os.open(context.home, os.O_PATH)
    fd = must("openat2", home, KEY.encode(), words(0, 0, 0x08), 24)
    return os.read(fd, 4096)


@road("a key by O_PATH and opening again")
def _(context):
    fd = os.open(f"{context.home}/{KEY}", os.O_PATH)
    return read(f"/proc/self/fd/{fd}")


@road("a key by its file handle")
def _(context):
    handle = ctypes.create_string_buffer(bytes.fromhex(context.handle))
    fd = must("open_by_handle_at", os.open(context.home, os.O_RDONLY), handle, 0)
    return os.read(fd, 4096)


@road("a file handle is told", verdict=Answer())
def _(context):
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)), ctypes.c_int()
    return call("name_to_handle_at", -100, b"/etc/passwd", handle, ctypes.byref(mount), 0)


@road("a key by a mount taken away")
def _(context):
    call("umount2", f"{context.home}/.ssh".encode(), 2)
    return read(f"{context.home}/{KEY}")


def own_namespace():
    """A user and a mount namespace, as far as they can be had."""
    if call("unshare", 0x10000000 | 0x20000)[1]:
        must("unshare", 0x20000)
    return must("mount", b"none", b"/", None, 0x40000 | 0x4000, None)


@road("a key by unmounting in a user namespace")
def _(context):
    own_namespace()
    for at in [f"{context.home}/.ssh", context.project, context.home, "/run", "/"]:
        call("umount2", at.encode(), 2)
    return read(f"{context.home}/{KEY}")


@road("a key by a bind without what is mounted below")
def _(context):
    own_namespace()
    os.mkdir("bound")
    must("mount", context.home.encode(), b"bound", None, 4096, None)
    return read(f"bound/{KEY}")


@road("a key by a detached tree")
def _(context):
    tree = must("open_tree", -100, context.home.encode(), 1)
    return read(KEY, dir_fd=tree)


@road("a key by an overlay of the home")
def _(context):
    own_namespace()
    merged, layer = tempfile.mkdtemp(dir="/tmp"), tempfile.mkdtemp(dir="/tmp")
    must("mount", b"none", merged.encode(), b"overlay", 1, f"lowerdir={context.home}:{layer}".encode())
    return read(f"{merged}/{KEY}")


@road("a key by a file system context")
def _(context):
    own_namespace()
    layer = tempfile.mkdtemp(dir="/tmp")
    context_fd = must("fsopen", b"overlay", 0)
    must("fsconfig", context_fd, 1, b"lowerdir", f"{context.home}:{layer}".encode(), 0)
    must("fsconfig", context_fd, 6, None, None, 0)
    mounted = must("fsmount", context_fd, 0, 0)
    return read(KEY, dir_fd=mounted)


@road("a key after pivot_root")
def _(context):
    own_namespace()
    os.mkdir("new")
    must("mount", b"/", b"new", None, 4096 | 16384, None)
    os.mkdir(f"new{context.project}/old")
    os.chdir("new")
    must("pivot_root", b".", b".")
    must("umount2", b".", 2)
    return read(f"{context.home}/{KEY}")


@road("a key after chroot and ..")
def _(context):
    os.mkdir("cell")
    must("chroot", b"cell")
    for _ in range(20):
        os.chdir("..")
    must("chroot", b".")
    return read(f"{context.home}/{KEY}")


@road("a key by the mount namespace of a process of the host")
def _(context):
    must("setns", os.open(f"/proc/{context.victims['namespaces']}/ns/mnt", os.O_RDONLY), 0)
    return read(f"{context.home}/{KEY}")


@road("a key by the namespaces of a process of the host, by pidfd")
def _(context):
    must("setns", must("pidfd_open", context.victims["namespaces"], 0), 0x20000)
    return read(f"{context.home}/{KEY}")


def given(address):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        sock.connect(address)
        _, fds, _, _ = socket.recv_fds(sock, 1, 4)
        return os.pread(fds[0], 4096, 0)


@road("a key by a descriptor that an abstract socket gives")
def _(context):
    return given("\0bjtest-giver")


@road("a key by a descriptor that a socket in the home gives")
def _(context):
    return given(f"{context.home}/.cache/giver.sock")


@road("a key by a descriptor that a socket of a service gives")
def _(context):
    return given("/srv/giver.sock")


@road("a key with pidfd_getfd")
def _(context):
    pidfd = must("pidfd_open", context.victims["descriptors"], 0)
    return os.pread(must("pidfd_getfd", pidfd, 9, 0), 4096, 0)


@road("a key with io_uring", verdict=Answer())
def _(context):
    return call("io_uring_setup", 1, ctypes.create_string_buffer(120))


@road("a key with a 32-bit call")
def _(context):
    from kernel import execute, low_memory
    at = low_memory(f"{context.home}/{KEY}".encode() + b"\0")
    # push rbx; mov eax, 5 (open); mov ebx, at; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; movsxd rax, eax; ret
    code = b"\x53\xb8\x05\0\0\0\xbb" + struct.pack("I", at) + b"\x31\xc9\x31\xd2\xcd\x80\x5b\x48\x63\xc0\xc3"
    fd = execute(code)
    return os.read(fd, 4096) if fd >= 0 else ("", -fd)


@road("what the host opens, with fanotify", verdict=Answer())
def _(context):
    return call("fanotify_init", 0, os.O_RDONLY)


@road("the disk by a device node", verdict=Answer())
def _(context):
    os.mknod("disk", 0o600 | 0o060000, os.makedev(*context.disk))
    os.read(os.open("disk", os.O_RDONLY), 512)
    return 0, 0


@road("the disk by its node", verdict=Answer())
def _(context):
    for name in os.listdir("/dev"):
        meta = os.stat(f"/dev/{name}")
        if meta.st_mode & 0o170000 == 0o060000 and meta.st_rdev == os.makedev(*context.disk):
            os.read(os.open(f"/dev/{name}", os.O_RDONLY), 512)
            return 0, 0


for name in ["loop-control", "kmsg", "fuse", "net/tun", "kvm", "uinput", "vhost-net", "vsock", "hpet", "mem", "port",
             "mapper/control", "btrfs-control", "ppp", "rtc0", "userfaultfd", "autofs"]:
    @road(f"/dev/{name}", verdict=Answer())
    def _(context, name=name):
        os.open(f"/dev/{name}", os.O_RDWR)
        return 0, 0
