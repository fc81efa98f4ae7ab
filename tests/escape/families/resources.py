"""Taking more than was given: each in a run of its own, with the limit told to the tool where it knows one. What is tried
is bounded by itself."""

import os
import time

from kernel import LIBC
from probe import Differs, Survives, probe


def taken(name, limit, look):
    return probe("resources", name, Differs(look), "alone", limit)


def named(context):
    LIBC.prctl(15, context.token.encode(), 0, 0, 0)


@taken("more processes", "pids=150", lambda world: world.most["crowded"] > 0.6)
def _(context):
    named(context)
    for _ in range(800):
        try:
            if os.fork() == 0:
                time.sleep(1.4)
                os._exit(0)
        except OSError:
            time.sleep(0.01)
    time.sleep(1)


@taken("more memory", "mem=200M", lambda world: world.most["fat"] > 0.6)
def _(context):
    named(context)
    held = bytearray(500 << 20)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(1)


@taken("more memory in many processes", "mem=200M", lambda world: world.most["fat"] > 0.6)
def _(context):
    named(context)
    for _ in range(5):
        if os.fork() == 0:
            held = bytearray(100 << 20)
            held[::4096] = b"x" * len(held[::4096])
            time.sleep(1.2)
            os._exit(0)
    time.sleep(1.2)


@taken("more disk", "disk=32M", lambda world: world.most["disk"] > 60 << 20)
def _(context):
    with open("big", "wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))


@taken("more files", "files=300", lambda world: world.most["files"] - world.least_files > 800)
def _(context):
    os.mkdir("many")
    for number in range(1000):
        os.close(os.open(f"many/{number}", os.O_CREAT | os.O_WRONLY))


@taken("more open files", "fds=100", lambda world: world.most["descriptors"] > 400)
def _(context):
    named(context)
    for _ in range(600):
        os.open("/dev/null", os.O_RDONLY)
    time.sleep(0.5)


@probe("resources", "a spinning orphan after the end", Survives(), "alone", "pids=150")
def _(context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            named(context)
            for fd in range(64):
                try:
                    os.close(fd)
                except OSError:
                    pass
            end = time.monotonic() + 20
            while time.monotonic() < end:
                pass
        os._exit(0)


@taken("more time", "time=1", lambda world: world.longest > 1.6)
def _(context):
    named(context)
    time.sleep(1.9)
