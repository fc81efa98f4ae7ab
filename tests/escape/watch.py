"""What the outside sees of processes, files and kernel objects of a world; mixed into `World`."""

import ctypes
import fcntl
import glob
import hashlib
import os
import re
import stat
import subprocess
import time

from kernel import LIBC

NAMED = re.compile(r"bjp[0-9a-f]{10}")


def read(at):
    try:
        with open(at, "rb") as file:
            return file.read()
    except OSError:
        return b""


class Watch:
    """Looks from outside."""

    # So many processes of one run are a crowd, and so much memory is too much; what counts is how long they are, because
    # a tool may look at its limits now and then.
    CROWD = 600
    FAT_KIB = 400 << 10

    def watch(self):
        """Again and again: the status of processes that are named by a token, how much all of them take, and whether
        somebody holds a lock of the host's."""
        lock = os.open("/etc/group", os.O_RDONLY)
        while not self.ending:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(lock, fcntl.LOCK_UN)
            except OSError:
                self.lock_seen = True
            count, memory, descriptors, now = 0, 0, 0, time.monotonic()
            for at in glob.glob("/proc/[0-9]*"):
                status = read(f"{at}/status").decode(errors="replace")
                name = re.match(r"Name:\s*(\S*)", status)
                if name and name[1].startswith("bjp"):
                    count += 1
                    self.since.setdefault(at, now)
                    self.longest = max(self.longest, now - self.since[at])
                    descriptors = max(descriptors, int(re.search(r"FDSize:\s*(\d+)", status)[1]))
                    held = re.search(r"RssAnon:\s*(\d+)", status)
                    memory += int(held[1]) if held else 0
                    self.watched.setdefault(name[1][:13], []).append(status)
                    del self.watched[name[1][:13]][:-3]
            self.most["processes"] = max(self.most["processes"], count)
            for name, over in [("crowded", count > self.CROWD), ("fat", memory > self.FAT_KIB)]:
                self.over[name] = (self.over.get(name) or now) if over else None
                self.most[name] = max(self.most[name], now - (self.over[name] or now))
            self.most["descriptors"] = max(self.most["descriptors"], descriptors)
            if self.measuring:
                self.measure_disk()
            time.sleep(0.03)

    def start_over(self):
        """Forgets what earlier runs took."""
        self.most = dict.fromkeys(["processes", "descriptors", "disk", "files", "crowded", "fat"], 0)
        self.since, self.longest, self.over = {}, 0.0, {}
        self.measure_disk()
        self.least_files = self.most["files"]

    def measure_disk(self):
        """How much the home takes, wherever a tool keeps what was written."""
        lines = subprocess.run(["du", "-s", "--block-size=1", self.home], capture_output=True, check=False).stdout.split()
        names = subprocess.run(["du", "-s", "--inodes", self.home], capture_output=True, check=False).stdout.split()
        self.most["disk"], self.most["files"] = [max(old, int(new[0] if new else 0)) for old, new in
                                                 [(self.most["disk"], lines), (self.most["files"], names)]]

    def has_process(self, token):
        return any(read(f"{at}/comm").startswith(token.encode()) for at in glob.glob("/proc/[0-9]*"))

    def alive(self, name):
        """Whether a victim lives and is not stopped."""
        state = re.search(rb"State:\s*(\S)", read(f"/proc/{self.victims[name]}/status"))
        return bool(state) and state[1] not in b"ZXTt"

    def victim_file(self, name, at):
        return read(f"/proc/{self.victims[name]}/{at}")

    def target(self, name):
        """The memory of a victim that a probe may try to change."""
        try:
            with open(f"/proc/{self.victims[name]}/mem", "rb") as memory:
                memory.seek(self.facts["target"])
                return memory.read(9)
        except OSError:
            return None

    def ioprio(self, name):
        return LIBC.syscall(252, 1, self.victims[name])

    def limits(self, name):
        return read(f"/proc/{self.victims[name]}/limits")

    def file_state(self, at):
        """Everything of a file but its access time."""
        try:
            meta = os.lstat(at)
        except OSError:
            return None
        content = b""
        if stat.S_ISREG(meta.st_mode):
            content = hashlib.sha256(read(at)).digest()
        elif stat.S_ISLNK(meta.st_mode):
            content = os.readlink(at)
        elif stat.S_ISDIR(meta.st_mode):
            content = sorted(os.listdir(at))
        try:
            attributes = [(name, os.getxattr(at, name, follow_symlinks=False)) for name in os.listxattr(at, follow_symlinks=False)]
        except OSError:
            attributes = []
        flags = self.flags(at) if stat.S_ISREG(meta.st_mode) else b""
        owner = (meta.st_uid, meta.st_gid, meta.st_mode, meta.st_nlink, meta.st_ino, meta.st_size, meta.st_mtime_ns)
        return owner, content, attributes, flags

    def flags(self, at):
        """What lsattr(1) shows."""
        try:
            fd = os.open(at, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            return fcntl.ioctl(fd, 0x80086601, bytes(8))
        except OSError:
            return b""
        finally:
            os.close(fd)

    def shared(self):
        return ctypes.string_at(self.shm_at + 2048, 16)

    def semaphore(self):
        return LIBC.semctl(self.sem, 0, 12)

    def has_queue(self, key):
        return b"%d " % key in read("/proc/sysvipc/msg")

    def terminal_opens(self):
        """Whether another process can still open the terminal of the last run; root can, whatever was asked for."""
        if not self.terminal:
            return True
        os.chmod(self.terminal, 0o666)
        script = f"import os; os.setuid({self.uid or 60124}); os.open({self.terminal!r}, os.O_RDWR | os.O_NOCTTY)"
        return subprocess.run(["/usr/bin/python3", "-Ic", script], stderr=subprocess.DEVNULL, check=False).returncode == 0

    def addresses(self):
        return subprocess.run(["ip", "addr"], capture_output=True, check=True).stdout

    def routes(self):
        return subprocess.run(["ip", "route"], capture_output=True, check=True).stdout

    def mounted(self):
        return len(read("/proc/1/mountinfo").splitlines())
