"""/proc and /sys: doors to the whole machine. Controls only open them for writing; what is written is never a word."""

import os

from probe import Answer, Differs, probe

WRITABLE = [
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/drop_caches", "/proc/sys/kernel/randomize_va_space", "/proc/sys/fs/file-max", "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/kernel/sysrq", "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/pid_max", "/proc/sys/user/max_user_namespaces", "/proc/sys/dev/tty/ldisc_autoload", "/proc/irq/0/smp_affinity",
    "/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/acpi/wakeup",
    "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/ksm/run",
    "/sys/devices/system/cpu/cpu1/online", "/sys/module/printk/parameters/time", "/sys/kernel/debug/sched/features",
    "/sys/kernel/tracing/trace_marker", "/sys/bus/pci/rescan", "/sys/class/net/lo/mtu", "/sys/block/loop0/queue/nr_requests",
    "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/pids/release_agent", "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/kernel/rcu_expedited",
    "/sys/kernel/kexec_crash_size", "/sys/fs/selinux/enforce", "/sys/kernel/profiling",
]
READABLE = [
    "/proc/kcore", "/proc/kmsg", "/proc/timer_list", "/proc/kpagecount", "/proc/kpageflags", "/proc/vmallocinfo",
    "/proc/keys", "/proc/slabinfo", "/proc/pagetypeinfo", "/proc/sched_debug", "/proc/1/stack", "/proc/1/maps", "/proc/1/auxv",
    "/proc/1/mem", "/proc/1/syscall", "/proc/1/io", "/sys/kernel/debug", "/sys/kernel/tracing/trace", "/sys/firmware/dmi/tables/DMI",
    "/sys/firmware/acpi/tables/DSDT", "/sys/kernel/vmcoreinfo", "/dev/mqueue/bjq",
]

for at in WRITABLE:
    @probe("proc and sys", f"{at} for writing", Answer())
    def _(context, at=at):
        os.open(at, os.O_WRONLY)
        return 0, 0

for at in READABLE:
    # An unprivileged look at these shows nothing of worth, and /proc/config.gz is no secret: not counted.
    if at in ["/proc/config.gz", "/proc/kallsyms"]:
        continue

    @probe("proc and sys", f"{at} for reading", Answer())
    def _(context, at=at):
        fd = os.open(at, os.O_RDONLY)
        if not os.path.isdir(at) and not at.endswith(("kmsg", "mem")):
            os.read(fd, 1)
        elif os.path.isdir(at):
            # An empty directory in its place shows nothing.
            return (0, 0) if os.listdir(fd) else (-1, 2)
        elif at.endswith("kmsg") and not os.path.samefile(at, "/proc/kmsg"):
            return -1, 2
        return 0, 0


@probe("proc and sys", "kernel addresses in /proc/kallsyms", Answer())
def _(context):
    with open("/proc/kallsyms") as file:
        return (0, 0) if int(file.readline().split()[0] or "0", 16) else (-1, 1)


@probe("proc and sys", "processes of the host are listed", Answer())
def _(context):
    with open(f"/proc/{context.victims['places']}/cmdline") as file:
        return (0, 0) if file.read() else (-1, 3)


for group in ["pids", "memory", "unified", ""]:
    @probe("proc and sys", f"a cgroup is made below /sys/fs/cgroup/{group}", Answer())
    def _(context, group=group):
        at = f"/sys/fs/cgroup/{group}/{context.token}"
        os.mkdir(at)
        made = os.path.exists(f"{at}/cgroup.procs")
        os.rmdir(at)
        return (0, 0) if made else (-1, 2)


@probe("proc and sys", "the host's name", Differs(lambda world: os.uname().nodename))
def _(context):
    from kernel import call
    return call("sethostname", context.token.encode(), len(context.token))


@probe("proc and sys", "the host's domain", Differs(lambda world: open("/proc/sys/kernel/domainname").read()))
def _(context):
    from kernel import call
    return call("setdomainname", context.token.encode(), len(context.token))


@probe("proc and sys", "a host's process dies first when memory is short",
       Differs(lambda world: world.victim_file("oom", "oom_score_adj")))
def _(context):
    with open(f"/proc/{context.victims['oom']}/oom_score_adj", "w") as file:
        file.write("700")


@probe("proc and sys", "what a host's process dumps", Differs(lambda world: world.victim_file("coredump", "coredump_filter")))
def _(context):
    with open(f"/proc/{context.victims['coredump']}/coredump_filter", "w") as file:
        file.write("0")
