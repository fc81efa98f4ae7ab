"""Memory, queues and sockets that processes of the host share."""

import ctypes
import os
import socket
import struct

from kernel import LIBC, call, must
from probe import Answer, Differs, Leak, Received, probe

LIBC.shmat.restype = ctypes.c_void_p
LIBC.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


def shared(number):
    at = LIBC.shmat(number, None, 0)
    if at in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    return at


@probe("ipc", "shared memory by its number", Leak("shared memory"))
def _(context):
    return ctypes.string_at(shared(context.shm), 100)


@probe("ipc", "shared memory by its key", Leak("shared memory"))
def _(context):
    return ctypes.string_at(shared(must("shmget", 0x424A0001, 4096, 0)), 100)


@probe("ipc", "shared memory is written", Differs(lambda world: world.shared()))
def _(context):
    ctypes.memmove(shared(context.shm) + 2048, b"changed", 7)


@probe("ipc", "a semaphore is changed", Differs(lambda world: world.semaphore()))
def _(context):
    return call("semop", must("semget", 0x424A0002, 1, 0), struct.pack("hhh", 0, 3, 0), 1)


@probe("ipc", "a message by its number", Leak("message"))
def _(context):
    buffer = ctypes.create_string_buffer(200)
    must("msgrcv", context.queue, buffer, 180, 0, 0o4000)
    return buffer.raw


@probe("ipc", "a message by its key", Leak("message"))
def _(context):
    buffer = ctypes.create_string_buffer(200)
    must("msgrcv", must("msgget", 0x424A0003, 0), buffer, 180, 0, 0o4000)
    return buffer.raw


@probe("ipc", "a queue the host sees", Differs(lambda world: world.has_queue(0x424A0099)))
def _(context):
    return call("msgget", 0x424A0099, 0o1600)


@probe("ipc", "all queues are listed", Answer())
def _(context):
    with open("/proc/sysvipc/msg") as file:
        return (0, 0) if str(0x424A0003) in file.read() else (-1, 2)


@probe("ipc", "a POSIX message", Leak("posix message"))
def _(context):
    queue = must("mq_open", b"bjq", os.O_RDWR, 0, None)
    buffer = ctypes.create_string_buffer(8192)
    must("mq_timedreceive", queue, buffer, 8192, None, None)
    return buffer.raw.rstrip(b"\0")


@probe("ipc", "/dev/mqueue of the host", Answer())
def _(context):
    return (0, 0) if "bjq" in os.listdir("/dev/mqueue") else (-1, 2)


@probe("ipc", "/dev/shm of the host", Leak("dev shm"))
def _(context):
    with open("/dev/shm/secret") as file:
        return file.read()


PLACES = [("in /tmp", "/tmp/host-fifo"), ("in the home", "{home}/.cache/host-fifo"), ("in /srv", "/srv/host-fifo"),
          ("deep in /opt", "/opt/app/pipes/deep/er/host-fifo"), ("in /var/lib", "/var/lib/host-fifo"),
          ("deep in /var/lib", "/var/lib/app/pipes/deep/host-fifo")]
for name, at in PLACES:
    @probe("ipc", f"a fifo {name}", Received())
    def _(context, at=at):
        os.write(os.open(at.format(home=context.home), os.O_WRONLY | os.O_NONBLOCK), context.token.encode())

    @probe("ipc", f"a fifo {name}, opened for both", Received())
    def _(context, at=at):
        os.write(os.open(at.format(home=context.home), os.O_RDWR | os.O_NONBLOCK), context.token.encode())

    @probe("ipc", f"a fifo {name} by a second name", Received())
    def _(context, at=at):
        fd = os.open(at.format(home=context.home), os.O_PATH)
        os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), context.token.encode())

for name, at in [("in /srv", "/srv/said-fifo"), ("in /var/lib", "/var/lib/app/pipes/deep/said-fifo"), ("in the home", "~/said-fifo")]:
    @probe("ipc", f"what is said through a fifo {name}", Leak(f"said {at}"))
    def _(context, at=at):
        fd = os.open(at.replace("~", context.home), os.O_RDONLY | os.O_NONBLOCK)
        said = os.read(fd, 4096)
        return said


def send(address, context, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.settimeout(1)
        sock.connect(address)
        sock.sendall(context.token.encode())


for name in ["docker", "containerd", "podman", "system bus", "session bus", "systemd", "user systemd", "journal", "x11", "wayland",
             "pulse", "ssh agent", "gpg agent", "tmux", "editor", "avahi", "snapd", "home", "shared memory directory", "var tmp",
             "mysql", "opt", "srv", "postfix", "other home", "log"]:
    @probe("ipc", f"a unix socket: {name}", Received())
    def _(context, name=name):
        send(context.sockets[name], context)


@probe("ipc", "a unix socket through the root of a process of the host", Received())
def _(context):
    send(f"/proc/{context.victims['places']}/root{context.sockets['docker']}", context)


@probe("ipc", "a unix socket through a symbolic link", Received())
def _(context):
    os.symlink(context.sockets["srv"], "link.sock")
    send("link.sock", context)


@probe("ipc", "a unix socket through a descriptor", Received())
def _(context):
    send(f"/proc/self/fd/{os.open(context.sockets['srv'], os.O_PATH)}", context)


@probe("ipc", "a unix socket through a hard link", Received())
def _(context):
    os.link(context.sockets["home"], f"{context.home}/.cache/linked.sock")
    send(f"{context.home}/.cache/linked.sock", context)


@probe("ipc", "an abstract socket", Received())
def _(context):
    send("\0bjtest-stream", context)


@probe("ipc", "an abstract socket for datagrams", Received())
def _(context):
    send("\0bjtest-datagram", context, socket.SOCK_DGRAM)


@probe("ipc", "a unix socket for datagrams", Received())
def _(context):
    send("/srv/datagram.sock", context, socket.SOCK_DGRAM)


@probe("ipc", "a unix socket for datagrams, sendto", Received())
def _(context):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(context.token.encode(), "/srv/datagram.sock")


@probe("ipc", "a unix socket for datagrams, sendmsg", Received())
def _(context):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([context.token.encode()], [], 0, "/srv/datagram.sock")


@probe("ipc", "a unix socket by a 32-bit call", Received())
def _(context):
    from kernel import execute, low_memory
    path = context.sockets["srv"].encode()
    sock = socket.socket(socket.AF_UNIX)
    at = low_memory(struct.pack("III", sock.fileno(), 0, 2 + len(path)) + bytes(4) + struct.pack("H", 1) + path)
    from ctypes import memmove
    memmove(at + 4, struct.pack("I", at + 16), 4)
    # socketcall(SYS_CONNECT, {fd, address, length}) by int 0x80
    code = b"\x53\xb8\x66\0\0\0\xbb\x03\0\0\0\xb9" + struct.pack("I", at) + b"\xcd\x80\x5b\x48\x63\xc0\xc3"
    if execute(code) == 0:
        sock.sendall(context.token.encode())
