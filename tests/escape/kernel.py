"""System calls by name and number, for probes that no library function covers."""

import ctypes
import mmap
import os
import platform

if platform.machine() != "x86_64":
    raise SystemExit("the attack suite knows the call numbers of x86-64 only")

LIBC = ctypes.CDLL(None, use_errno=True)

NUMBERS = {
    "ioctl": 16, "mincore": 27, "shmget": 29, "shmat": 30, "clone": 56, "semget": 64, "semop": 65, "msgget": 68, "msgsnd": 69,
    "msgrcv": 70, "ptrace": 101, "syslog": 103, "personality": 135, "setpriority": 141, "vhangup": 153, "modify_ldt": 154,
    "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166,
    "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "init_module": 175, "delete_module": 176, "quotactl": 179, "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237,
    "mq_open": 240, "mq_timedsend": 242, "mq_timedreceive": 243, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "ioprio_set": 251, "migrate_pages": 256, "unshare": 272, "vmsplice": 278, "move_pages": 279,
    "perf_event_open": 298, "fanotify_init": 300, "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "seccomp": 317, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "rseq": 334, "pidfd_send_signal": 424,
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448, "fchmodat2": 452, "statmount": 457, "listmount": 458,
    "file_setattr": 469,
}


def call(name, *arguments):
    """Makes the call; returns its result and errno (0 when it went well)."""
    number = NUMBERS[name] if isinstance(name, str) else name
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *values)
    return result, ctypes.get_errno() if result < 0 else 0


def must(name, *arguments):
    """As `call`, but an error is an exception."""
    result, errno = call(name, *arguments)
    if errno:
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


def words(*values):
    """Some 64-bit words in memory."""
    return (ctypes.c_uint64 * len(values))(*values)


def execute(code):
    """Runs machine code that returns like a function; its 64-bit result."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


def low_memory(content):
    """`content` below 4 GiB, where 32-bit entries can see it; its address."""
    MAP_32BIT = 0x40
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    at = LIBC.mmap(None, 4096, 3, 0x22 | MAP_32BIT, -1, 0)
    ctypes.memmove(at, content, len(content))
    return at
