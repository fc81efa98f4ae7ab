"""Processes of the host: signals, traces, memory, priorities, limits. Each probe has a victim of its own."""

import ctypes
import os
import signal
import struct

from kernel import call, must, words
from probe import Answer, Differs, Leak, probe


def victim(name, who, look=None):
    return probe("processes", name, Differs(look or (lambda world: world.alive(who))))


@victim("a kill", "killed")
def _(context):
    os.kill(context.victims["killed"], signal.SIGKILL)


@victim("a kill by pidfd", "pidfd")
def _(context):
    return call("pidfd_send_signal", must("pidfd_open", context.victims["pidfd"], 0), 9, None, 0)


@victim("a kill by thread", "tgkill")
def _(context):
    return call(234, context.victims["tgkill"], context.victims["tgkill"], 9)


@victim("a queued signal", "queued")
def _(context):
    return call(129, context.victims["queued"], 9, struct.pack("iii", 9, 0, -1) + bytes(116))


@victim("a stop", "stopped")
def _(context):
    os.kill(context.victims["stopped"], signal.SIGSTOP)


@probe("processes", "a signal to the caller's process group", Differs(lambda world: world.notes[0]))
def _(context):
    os.kill(0, signal.SIGURG)


@probe("processes", "the caller's process group is made slower", Differs(lambda world: os.getpriority(0, world.victims["group"])))
def _(context):
    return call("setpriority", os.PRIO_PGRP, 0, 5)


@probe("processes", "the user's processes are made slower", Differs(lambda world: os.getpriority(0, world.victims["nice"])))
def _(context):
    return call("setpriority", os.PRIO_USER, context.uid, 3)


@probe("processes", "a process is made slower", Differs(lambda world: os.getpriority(0, world.victims["affinity"])))
def _(context):
    return call("setpriority", os.PRIO_PROCESS, context.victims["affinity"], 7)


@probe("processes", "the caller's process group waits for the disk", Differs(lambda world: world.ioprio("group")))
def _(context):
    return call("ioprio_set", 2, 0, 3 << 13)


@probe("processes", "a process waits for the disk", Differs(lambda world: world.ioprio("ioprio")))
def _(context):
    return call("ioprio_set", 1, context.victims["ioprio"], 3 << 13)


@probe("processes", "the user's processes wait for the disk", Differs(lambda world: world.ioprio("limits")))
def _(context):
    return call("ioprio_set", 3, context.uid, 3 << 13)


@probe("processes", "a process bound to a processor", Differs(lambda world: os.sched_getaffinity(world.victims["affinity"])))
def _(context):
    os.sched_setaffinity(context.victims["affinity"], {0})


@probe("processes", "a process scheduled last", Differs(lambda world: os.sched_getscheduler(world.victims["scheduler"])))
def _(context):
    os.sched_setscheduler(context.victims["scheduler"], os.SCHED_IDLE, os.sched_param(0))


@probe("processes", "limits of a process", Differs(lambda world: world.limits("limits")))
def _(context):
    return call("prlimit64", context.victims["limits"], 7, words(10, 10), None)


@probe("processes", "the timer slack of a process", Differs(lambda world: world.victim_file("timerslack", "timerslack_ns")))
def _(context):
    with open(f"/proc/{context.victims['timerslack']}/timerslack_ns", "w") as file:
        file.write("123456")


@victim("a trace", "traced")
def _(context):
    pid = context.victims["traced"]
    must("ptrace", 16, pid, 0, 0)
    os.waitpid(pid, 0x40000000)
    must("ptrace", 8, pid, 0, 0)


@victim("a seizure", "seized")
def _(context):
    pid = context.victims["seized"]
    must("ptrace", 0x4206, pid, 0, 0x100000)


@probe("processes", "memory of a process is read", Leak("memory"))
def _(context):
    buffer = ctypes.create_string_buffer(64)
    own, other = words(ctypes.addressof(buffer), 64), words(context.memory, 64)
    must("process_vm_readv", context.victims["reading"], own, 1, other, 1, 0)
    return buffer.raw


@probe("processes", "memory of a process is read by its file", Leak("memory"))
def _(context):
    with open(f"/proc/{context.victims['reading']}/mem", "rb", 0) as memory:
        memory.seek(context.memory)
        return memory.read(64)


@probe("processes", "memory of a process is written", Differs(lambda world: world.target("memory")))
def _(context):
    buffer = ctypes.create_string_buffer(b"changed!!")
    own, other = words(ctypes.addressof(buffer), 9), words(context.target, 9)
    return call("process_vm_writev", context.victims["memory"], own, 1, other, 1, 0)


@probe("processes", "memory of a process is written by its file", Differs(lambda world: world.target("written")))
def _(context):
    with open(f"/proc/{context.victims['written']}/mem", "r+b", 0) as memory:
        memory.seek(context.target)
        memory.write(b"changed!!")


@probe("processes", "what a process maps", Answer())
def _(context):
    with open(f"/proc/{context.victims['mapped']}/maps") as file:
        return (0, 0) if file.read() else (-1, 1)


@probe("processes", "files that a process maps", Answer())
def _(context):
    return (0, 0) if os.listdir(f"/proc/{context.victims['mapped']}/map_files") else (-1, 1)


@probe("processes", "what processes share", Answer())
def _(context):
    return call("kcmp", context.victims["mapped"], context.victims["reading"], 0, 0, 0)


@probe("processes", "memory of a process is advised", Answer())
def _(context):
    pidfd = must("pidfd_open", context.victims["advised"], 0)
    done = call("process_madvise", pidfd, words(context.memory & ~4095, 4096), 1, 20, 0)
    return (0, 0) if done[0] >= 0 else done


@probe("processes", "a descriptor for a process", Answer())
def _(context):
    return call("pidfd_open", context.victims["descriptors"], 0)


for kind in ["pid", "net", "ipc", "uts", "user", "cgroup", "time"]:
    @probe("processes", f"the {kind} namespace of a process", Answer(22 if kind in ["user", "time"] else 0))
    def _(context, kind=kind):
        return call("setns", os.open(f"/proc/{context.victims['namespaces']}/ns/{kind}", os.O_RDONLY), 0)


@probe("processes", "a cgroup's process is moved", Answer())
def _(context):
    with open("/sys/fs/cgroup/pids/cgroup.procs", "w") as file:
        file.write(str(context.victims["cgroup"]))
    return 0, 0
