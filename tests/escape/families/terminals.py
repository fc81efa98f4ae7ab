"""The caller's terminal, and another one of the same user. The host's shell goes on reading when the tool has ended, and
what it reads is what somebody typed."""

import fcntl
import os
import struct
import termios

from probe import Answer, Differs, Leak, Received, probe

TIOCLINUX, TIOCSETD, TIOCEXCL, TIOCCONS, TIOCSLCKTRMIOS = 0x541C, 0x5423, 0x540C, 0x541D, 0x5457


def terminal(name, verdict=None):
    return probe("terminals", name, verdict or Received(), "terminal")


def type_in(fd, text, request=termios.TIOCSTI):
    from kernel import must
    for byte in text.encode() + b"\n":
        must("ioctl", fd, request, bytes([byte]))


@terminal("typing into the caller's shell")
def _(context):
    type_in(0, context.token)


@terminal("typing into it by another name of the call")
def _(context):
    type_in(0, context.token, termios.TIOCSTI | 1 << 32)


@terminal("typing into it through /dev/tty")
def _(context):
    type_in(os.open("/dev/tty", os.O_RDWR), context.token)


@terminal("pasting into it with TIOCLINUX", Answer())
def _(context):
    return fcntl.ioctl(0, TIOCLINUX, b"\x03" + bytes(15)) and 0, 0


@terminal("a line discipline", Answer())
def _(context):
    fcntl.ioctl(0, TIOCSETD, struct.pack("i", 0))
    return 0, 0


@terminal("the terminal's modes locked", Answer())
def _(context):
    fcntl.ioctl(0, TIOCSLCKTRMIOS, bytes(60))
    return 0, 0


@terminal("the console's messages", Answer(0, 16))
def _(context):
    fcntl.ioctl(os.open(context.other_terminal, os.O_RDWR | os.O_NOCTTY), TIOCCONS)
    return 0, 0


@terminal("the clipboard by an escape sequence")
def _(context):
    os.write(0, f"\x1b]52;c;{context.token}\x07".encode())


@terminal("the title by an escape sequence")
def _(context):
    os.write(os.open("/dev/tty", os.O_WRONLY), f"\x1b]2;{context.token}\x07".encode())


@terminal("words on another terminal")
def _(context):
    os.write(os.open(context.other_terminal, os.O_WRONLY | os.O_NOCTTY), f"{context.token}\n".encode())


@terminal("what is typed on another terminal", Leak("typed elsewhere"))
def _(context):
    return os.read(os.open(context.other_terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK), 4096)


@terminal("typing on another terminal", Answer())
def _(context):
    type_in(os.open(context.other_terminal, os.O_RDWR | os.O_NOCTTY), context.token)
    return 0, 0


@terminal("another terminal through a descriptor of the host", Answer())
def _(context):
    for fd in os.listdir("/proc/1/fd"):
        at = f"/proc/1/fd/{fd}"
        try:
            if os.readlink(at) == context.other_terminal:
                os.open(at, os.O_RDWR | os.O_NOCTTY)
                return 0, 0
        except OSError:
            pass
    return -1, 2


for name in ["console", "tty0", "tty1", "vcs1", "ttyS0"]:
    @terminal(f"/dev/{name}", Answer())
    def _(context, name=name):
        fd = os.open(f"/dev/{name}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        # A jar may call the caller's own terminal so.
        return (-1, 2) if os.major(os.fstat(fd).st_rdev) == 136 else (0, 0)


# The last one: from then on only root opens it.
@terminal("the terminal for itself alone", Differs(lambda world: world.terminal_opens()))
def _(context):
    fcntl.ioctl(0, TIOCEXCL)
