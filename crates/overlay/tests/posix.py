"""One table of operations, run on a native directory and in a view; both must tell the same story.

posix.py cases           names the cases
posix.py furnish DIR...  fills directories with what is there before (the lower layer), and lists the last
posix.py foreign UID DIR...
posix.py run CASE        performs a case in the current directory and prints one line for each result
posix.py after           lists what is left
posix.py both CASE       one after the other

What may differ between two file systems is never printed: inode numbers (only how they relate), times (only which of
them moved), counts of a directory's links, block counts.
"""
import errno, fcntl, mmap, os, random, signal, socket, stat, struct, sys, time, ctypes, ctypes.util, threading, tempfile

libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2
ROOT = os.geteuid() == 0


def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "call")
    return result


def renameat2(a, b, flags):
    return call(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def fallocate(fd, mode, offset, length):
    return call(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def tell(label, op):
    """One line: the label and the result, or the name of the error."""
    try:
        result = op()
    except OSError as e:
        result = errno.errorcode.get(e.errno, e.errno)
    print("%s: %r" % (label, result))


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)


def get(path, flags=0):
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def known(path, follow=False):
    """What stat(2) tells that must be alike everywhere."""
    st = os.stat(path, follow_symlinks=follow) if not isinstance(path, int) else os.fstat(path)
    links = None if stat.S_ISDIR(st.st_mode) else st.st_nlink
    size = None if stat.S_ISDIR(st.st_mode) else st.st_size
    return oct(st.st_mode), links, size, st.st_uid, st.st_gid, st.st_rdev


def same(*paths):
    """Whether these are one inode."""
    return len({(os.lstat(p).st_dev, os.lstat(p).st_ino) for p in paths}) == 1


def number(path):
    return os.lstat(path).st_ino


def moved(path, op):
    """Which times of `path` an operation moves; `path` may be a descriptor."""
    look = (lambda: os.fstat(path)) if isinstance(path, int) else (lambda: os.lstat(path))
    before = look()
    # Change times move in ticks of at most 10 ms.
    time.sleep(0.015)
    try:
        op()
        failed = ""
    except OSError as e:
        failed = errno.errorcode[e.errno]
    after = look()
    return failed, "".join(
        letter
        for letter, field in (("m", "st_mtime_ns"), ("c", "st_ctime_ns"))
        if getattr(before, field) != getattr(after, field)
    )


def tree(top="."):
    """Every name below with what is known of it and a piece of its content."""
    out = []
    for name in sorted(os.listdir(top), key=os.fsencode):
        path = os.path.join(top, name)
        if len(path) > 3000:
            return [(len(path), name[:10])]
        st = os.lstat(path)
        body = None
        if stat.S_ISLNK(st.st_mode):
            body = os.readlink(path)
        elif stat.S_ISREG(st.st_mode) and os.access(path, os.R_OK):
            body = sum(get(path, os.O_NOATIME))
        out.append((os.fsencode(path), known(path), body, st.st_mtime_ns if stat.S_ISREG(st.st_mode) and name.startswith("t_") else None))
        if stat.S_ISDIR(st.st_mode) and os.access(path, os.R_OK | os.X_OK):
            out += tree(path)
    return out


def forked(op):
    """An operation in a process of its own; its result, or the name of its error."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = repr(op())
        except OSError as e:
            text = errno.errorcode[e.errno]
        except BaseException as e:
            text = repr(e)
        os.write(w, text.encode())
        os._exit(0)
    os.close(w)
    text = b""
    while part := os.read(r, 4096):
        text += part
    os.close(r)
    os.waitpid(pid, 0)
    return text.decode()


def as_nobody(op):
    """As somebody who owns nothing here; only root can become that."""
    def inner():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        return op()
    return forked(inner)


LONG = "n" * 255
AFTER = "== after"
RAW = b"raw\xff\xfe\x01\n\x1b[31m"


def furnish():
    os.umask(0o022)
    for d in ("d", "d/e", "d/e/f", "empty", "full", "go", "setgid", "sticky", "far", "many", "closed"):
        os.mkdir(d)
    for d in range(5):
        put("full/%d" % d, b"%d" % d)
    for n in range(400):
        put("many/%03d" % n)
    put("file", b"0123456789" * 1000)
    put("other", b"other")
    put("d/in", b"in")
    put("d/e/deep", b"deep")
    put("one", b"linked")
    os.link("one", "two")
    os.link("one", "d/three")
    put("runs", b"#!/bin/sh\n", 0o755)
    put("readonly", b"ro", 0o444)
    put("secret", b"no", 0o000)
    put("suid", b"s")
    os.chmod("suid", 0o6755)
    put("suid2", b"s")
    os.chmod("suid2", 0o6755)
    os.symlink("file", "to_file")
    os.symlink("d", "to_dir")
    os.symlink("nowhere", "dangling")
    os.symlink("loop_b", "loop_a")
    os.symlink("loop_a", "loop_b")
    os.mkfifo("fifo", 0o640)
    s = socket.socket(socket.AF_UNIX)
    s.bind("old_socket")
    s.close()
    os.chmod("setgid", 0o2775)
    os.chmod("sticky", 0o1777)
    put("sticky/mine", b"m")
    os.chmod("closed", 0o555)
    os.mkdir("unsearchable")
    for name in "abc":
        put("unsearchable/" + name)
    os.chmod("unsearchable", 0o444)
    put(LONG, b"long")
    fd = os.open(RAW, os.O_WRONLY | os.O_CREAT, 0o644)
    os.close(fd)
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 4 << 20)
    os.pwrite(fd, b"x" * 4096, 1 << 20)
    os.pwrite(fd, b"y" * 4096, 3 << 20)
    os.close(fd)
    os.setxattr("file", "user.note", b"hello")
    os.setxattr("d", "user.dir", b"dir")
    for name in ("t_a", "t_b", "file"):
        os.utime(name, ns=(10**18 + 123, 10**18 + 456)) if os.path.exists(name) else put(name)
        os.utime(name, ns=(10**18 + 123, 10**18 + 456))
    if ROOT:
        put("theirs", b"theirs", 0o600)
        os.chown("theirs", 1234, 2345)
        os.mkdir("their_dir", 0o755)
        os.chown("their_dir", 1234, 2345)
        put("sticky/theirs", b"t")
        os.chown("sticky/theirs", 1234, 2345)
        os.chown("setgid", 0, 2345)
        os.chmod("setgid", 0o2775)


CASES = []


def case(op):
    CASES.append(op)
    return op


@case
def errors_of_paths():
    for label, op in [
        ("open absent", lambda: os.open("absent", os.O_RDONLY)),
        ("open below file", lambda: os.open("file/x", os.O_RDONLY)),
        ("open loop", lambda: os.open("loop_a", os.O_RDONLY)),
        ("open link nofollow", lambda: os.open("to_file", os.O_RDONLY | os.O_NOFOLLOW)),
        ("open dir for writing", lambda: os.open("d", os.O_WRONLY)),
        ("open file as dir", lambda: os.open("file", os.O_DIRECTORY)),
        ("create exclusive over it", lambda: os.open("file", os.O_CREAT | os.O_EXCL)),
        ("create exclusive over dangling", lambda: os.open("dangling", os.O_CREAT | os.O_EXCL)),
        ("create dir flag", lambda: os.open("newdir", os.O_CREAT | os.O_DIRECTORY)),
        ("name too long", lambda: os.open(LONG + "n", os.O_CREAT)),
        ("path too long", lambda: os.open("d/" * 2048 + "x", os.O_RDONLY)),
        ("mkdir over file", lambda: os.mkdir("file")),
        ("mkdir over link", lambda: os.mkdir("dangling")),
        ("mkdir below absent", lambda: os.mkdir("absent/x")),
        ("rmdir file", lambda: os.rmdir("file")),
        ("rmdir full", lambda: os.rmdir("full")),
        ("rmdir dot", lambda: os.rmdir("empty/.")),
        ("rmdir dotdot", lambda: os.rmdir("d/e/..")),
        ("rmdir absent", lambda: os.rmdir("absent")),
        ("unlink dir", lambda: os.unlink("empty")),
        ("unlink absent", lambda: os.unlink("absent")),
        ("unlink slash", lambda: os.unlink("file/")),
        ("link dir", lambda: os.link("d", "dl")),
        ("link over", lambda: os.link("file", "other")),
        ("link absent", lambda: os.link("absent", "dl")),
        ("symlink over", lambda: os.symlink("x", "file")),
        ("readlink file", lambda: os.readlink("file")),
        ("rename absent", lambda: os.rename("absent", "x")),
        ("rename file over dir", lambda: os.rename("file", "empty")),
        ("rename dir over file", lambda: os.rename("empty", "file")),
        ("rename dir over full", lambda: os.rename("empty", "full")),
        ("rename into itself", lambda: os.rename("d", "d/e/x")),
        ("rename over parent", lambda: os.rename("d/e", "d")),
        ("rename dot", lambda: os.rename("d/.", "x")),
        ("rename below absent", lambda: os.rename("file", "absent/x")),
        ("noreplace over", lambda: renameat2("file", "other", NOREPLACE)),
        ("exchange absent", lambda: renameat2("file", "absent", EXCHANGE)),
        ("exchange and noreplace", lambda: renameat2("file", "other", NOREPLACE | EXCHANGE)),
        ("unknown flag", lambda: renameat2("file", "other", 64)),
        ("exchange into itself", lambda: renameat2("d", "d/e", EXCHANGE)),
        ("truncate dir", lambda: os.truncate("d", 0)),
        ("truncate negative", lambda: os.truncate("file", -1)),
        ("truncate beyond", lambda: os.truncate("file", 1 << 62)),
        ("chmod absent", lambda: os.chmod("absent", 0o600)),
        ("chmod dangling", lambda: os.chmod("dangling", 0o600)),
        ("utime absent", lambda: os.utime("absent")),
        ("mknod over", lambda: os.mkfifo("file")),
        ("listdir file", lambda: os.listdir("file")),
        ("getxattr none", lambda: os.getxattr("other", "user.none")),
        ("removexattr none", lambda: os.removexattr("other", "user.none")),
        ("setxattr replace none", lambda: os.setxattr("other", "user.none", b"x", os.XATTR_REPLACE)),
        ("setxattr create over", lambda: os.setxattr("file", "user.note", b"x", os.XATTR_CREATE)),
        ("setxattr link", lambda: os.setxattr("to_file", "user.x", b"x", follow_symlinks=False)),
        ("setxattr fifo", lambda: os.setxattr("fifo", "user.x", b"x")),
        ("setxattr odd space", lambda: os.setxattr("file", "odd.x", b"x")),
        ("setxattr name too long", lambda: os.setxattr("file", "user." + "x" * 251, b"x")),
        ("write to readonly fd", lambda: os.write(os.open("file", os.O_RDONLY), b"x")),
        ("read from writeonly fd", lambda: os.read(os.open("file", os.O_WRONLY), 1)),
        ("fallocate negative", lambda: fallocate(os.open("file", os.O_RDWR), 0, -1, 10)),
        ("seek data beyond", lambda: os.lseek(os.open("file", os.O_RDONLY), 1 << 30, os.SEEK_DATA)),
        ("pread negative", lambda: os.pread(os.open("file", os.O_RDONLY), 1, -1)),
        ("copy_file_range of dir", lambda: os.copy_file_range(os.open("d", os.O_RDONLY), os.open("file", os.O_RDWR), 1)),
        ("open fifo nonblocking for writing", lambda: os.open("fifo", os.O_WRONLY | os.O_NONBLOCK)),
        ("open socket", lambda: os.open("old_socket", os.O_RDWR)),
        ("secret", lambda: len(get("secret"))),
    ]:
        tell(label, op)
    tell("all is as it was", lambda: tree())


@case
def stat_before():
    for path in ("file", "d", "one", "to_file", "dangling", "fifo", "old_socket", "sparse", "readonly", "secret", "suid", "setgid", LONG, RAW):
        tell(os.fsencode(path), lambda: known(path))
    tell("links are one", lambda: same("one", "two", "d/three"))
    tell("times kept", lambda: (os.stat("file").st_mtime_ns, os.stat("t_a").st_atime_ns))
    tell("xattr", lambda: (os.listxattr("file"), os.getxattr("file", "user.note"), os.getxattr("d", "user.dir")))


@case
def hard_links_stay_linked():
    ino = number("one")
    tell("append", lambda: put("two", b"changed"))
    tell("all names", lambda: (get("one"), get("d/three"), same("one", "two", "d/three"), number("one") == ino))
    tell("count", lambda: os.lstat("one").st_nlink)
    tell("unlink one", lambda: os.unlink("two"))
    tell("count", lambda: (os.lstat("one").st_nlink, os.lstat("d/three").st_nlink))
    tell("new link", lambda: os.link("d/three", "four"))
    tell("one inode", lambda: (same("one", "four", "d/three"), os.lstat("four").st_nlink))
    tell("rename onto a link", lambda: os.rename("one", "four"))
    tell("both stay", lambda: (os.path.exists("one"), os.path.exists("four")))
    tell("link through link", lambda: os.link("to_file", "hard_to_link", follow_symlinks=False))
    tell("is a link", lambda: known("hard_to_link"))


@case
def inode_numbers_stay():
    for path, op in [
        ("other", lambda: put("other", b"written")),
        ("readonly", lambda: os.chmod("readonly", 0o644)),
        ("sparse", lambda: os.truncate("sparse", 5 << 20)),
        ("d", lambda: os.chmod("d", 0o750)),
        ("full", lambda: put("full/new")),
        ("fifo", lambda: os.chmod("fifo", 0o600)),
        ("t_b", lambda: os.setxattr("t_b", "user.a", b"b")),
    ]:
        before = number(path)
        tell(path, op)
        tell("same number", lambda: number(path) == before)
    before = number("t_b")
    fd = os.open("t_b", os.O_RDWR)
    os.rename("t_b", "d/t_c")
    tell("after rename", lambda: (number("d/t_c") == before, os.fstat(fd).st_ino == before))
    before = number("go")
    os.rename("go", "gone")
    tell("directory after rename", lambda: number("gone") == before)
    for name in os.listdir("."):
        entry = [e for e in os.scandir(".") if e.name == name][0]
        if entry.inode() != number(name):
            print("d_ino differs", name)


@case
def times():
    put("times", b"x")
    fd = os.open("times", os.O_RDWR)
    os.mkdir("timed")
    for label, path, op in [
        ("write", "times", lambda: os.write(fd, b"yy")),
        ("write by fd", fd, lambda: os.write(fd, b"yy")),
        ("truncate to the same", "times", lambda: os.ftruncate(fd, os.fstat(fd).st_size)),
        ("truncate", "times", lambda: os.truncate("times", 1)),
        ("chmod", "times", lambda: os.chmod("times", 0o600)),
        ("chmod same", "times", lambda: os.chmod("times", 0o600)),
        ("fchmod", fd, lambda: os.fchmod(fd, 0o640)),
        ("chown same", "times", lambda: os.chown("times", os.getuid(), os.getgid())),
        ("link", "times", lambda: os.link("times", "timed/l")),
        ("rename", "times", lambda: os.rename("timed/l", "timed/m")),
        ("unlink a link", "times", lambda: os.unlink("timed/m")),
        ("setxattr", "times", lambda: os.setxattr("times", "user.t", b"1")),
        ("removexattr", "times", lambda: os.removexattr("times", "user.t")),
        ("utime", "times", lambda: os.utime("times", ns=(5, 5))),
        ("fallocate", "times", lambda: fallocate(fd, 0, 0, 8192)),
        ("punch", "times", lambda: fallocate(fd, 3, 0, 4096)),
        ("read", "times", lambda: os.pread(fd, 10, 0)),
        ("open only", "times", lambda: os.close(os.open("times", os.O_RDWR))),
        ("open truncating", "times", lambda: os.close(os.open("times", os.O_RDWR | os.O_TRUNC))),
        ("open truncating an empty one", "times", lambda: os.close(os.open("times", os.O_RDWR | os.O_TRUNC))),
        ("dir: create", "timed", lambda: put("timed/a")),
        ("dir: write in it", "timed", lambda: put("timed/a", b"x")),
        ("dir: rename in it", "timed", lambda: os.rename("timed/a", "timed/b")),
        ("dir: failed mkdir", "timed", lambda: os.mkdir("timed/b")),
        ("dir: unlink", "timed", lambda: os.unlink("timed/b")),
        ("dir: mkdir", "timed", lambda: os.mkdir("timed/c")),
        ("dir: rmdir", "timed", lambda: os.rmdir("timed/c")),
        ("dir: chmod", "timed", lambda: os.chmod("timed", 0o700)),
        ("dir: is renamed", "timed", lambda: (os.rename("timed", "timed2"), os.rename("timed2", "timed"))),
        # The same on what the host has.
        ("host: chmod", "t_a", lambda: os.chmod("t_a", 0o600)),
        ("host: open only", "runs", lambda: os.close(os.open("runs", os.O_RDWR))),
        ("host: write", "runs", lambda: put("runs", b"x")),
        ("host dir: failed", "d", lambda: os.mkdir("d/e")),
        ("host dir: chmod in it", "d", lambda: os.chmod("d/in", 0o600)),
        ("host dir: write in it", "d", lambda: put("d/in", b"new")),
        ("host dir: two deep", "d", lambda: put("d/e/f/new")),
        ("host dir: create", "d/e", lambda: put("d/e/new")),
        ("host dir: unlink", "d/e", lambda: os.unlink("d/e/deep")),
        ("host dir: rename away", "d/e", lambda: os.rename("d/e/f", "f_moved")),
        ("host dir: the moved one", "f_moved", lambda: os.rename("f_moved", "f_moved2") or os.rename("f_moved2", "f_moved")),
    ]:
        tell(label, lambda: moved(path, op))
    for ns in (0, 1, 10**9 - 1, -1, -1500000000, 2**31 * 10**9, 4102444800 * 10**9 + 7):
        tell("utime %d" % ns, lambda: os.utime("times", ns=(ns, ns)))
        tell("reads", lambda: (os.stat("times").st_mtime_ns, os.stat("times").st_atime_ns))
    tell("utime link", lambda: os.utime("dangling", ns=(7, 7), follow_symlinks=False))
    tell("reads", lambda: os.lstat("dangling").st_mtime_ns)
    os.close(fd)


@case
def unlinked_but_open():
    for name in ("file", "fresh"):
        if name == "fresh":
            put("fresh", b"abc" * 100)
        fd = os.open(name, os.O_RDWR)
        os.unlink(name)
        tell("stat", lambda: known(fd))
        tell("write", lambda: os.pwrite(fd, b"WRITE", 3))
        tell("truncate", lambda: os.ftruncate(fd, 20))
        tell("chmod", lambda: os.fchmod(fd, 0o641))
        tell("utime", lambda: os.utime(fd, ns=(9, 9)))
        tell("xattr", lambda: os.setxattr(fd, "user.z", b"z"))
        tell("xattrs", lambda: sorted(os.listxattr(fd)))
        tell("read", lambda: os.pread(fd, 100, 0))
        tell("stat", lambda: (known(fd), os.fstat(fd).st_mtime_ns))
        tell("truncated and grown", lambda: (os.ftruncate(fd, 0), os.ftruncate(fd, 10), os.pread(fd, 100, 0)))
        tell("fsync", lambda: os.fsync(fd))
        tell("the name is free", lambda: put(name, b"another"))
        tell("two files", lambda: (os.pread(fd, 5, 0), get(name), os.fstat(fd).st_ino == number(name)))
        tell("relink", lambda: os.link("/proc/self/fd/%d" % fd, "relinked", follow_symlinks=True))
        os.close(fd)
    fd = os.open("other", os.O_RDWR)
    put("new_other", b"replacement")
    os.rename("new_other", "other")
    tell("replaced", lambda: (os.read(fd, 100), known(fd), get("other")))
    os.close(fd)
    fd = os.open("full/1", os.O_RDONLY)
    os.rename("full/2", "full/1")
    tell("replaced host file", lambda: (os.read(fd, 100), known(fd), get("full/1")))
    os.close(fd)
    os.mkdir("standing")
    here = os.open(".", os.O_RDONLY)
    os.chdir("standing")
    os.rmdir("../standing")
    tell("removed cwd", lambda: os.listdir("."))
    tell("create in it", lambda: put("x"))
    tell("mkdir in it", lambda: os.mkdir("x"))
    tell("stat of it", lambda: stat.S_ISDIR(os.stat(".").st_mode))
    os.fchdir(here)
    os.close(here)


@case
def renames():
    tell("exchange files", lambda: renameat2("file", "d/in", EXCHANGE))
    tell("content", lambda: (len(get("file")), len(get("d/in"))))
    tell("exchange file and dir", lambda: renameat2("file", "full", EXCHANGE))
    tell("kinds", lambda: (known("file"), known("full"), sorted(os.listdir("file"))))
    tell("exchange dirs", lambda: renameat2("d", "file", EXCHANGE))
    tell("names", lambda: (sorted(os.listdir("d")), sorted(os.listdir("file"))))
    tell("exchange with link", lambda: renameat2("to_dir", "other", EXCHANGE))
    tell("link", lambda: (os.readlink("other"), get("to_dir")))
    tell("noreplace", lambda: renameat2("runs", "runs2", NOREPLACE))
    tell("host dir deep", lambda: os.rename("file/e", "far/e"))
    tell("read there", lambda: get("far/e/deep"))
    tell("old name new dir", lambda: os.mkdir("file/e"))
    tell("empty", lambda: os.listdir("file/e"))
    tell("dir over empty dir", lambda: os.rename("far/e", "empty"))
    tell("read there", lambda: (get("empty/deep"), os.listdir("far")))
    tell("dotdot", lambda: same("empty/..", "."))
    tell("chain", lambda: [os.rename("empty", "r1"), os.rename("r1", "far/r2"), os.rename("far", "r3"), os.rename("r3/r2/f", "f")])
    tell("read there", lambda: (get("r3/r2/deep"), os.listdir("f")))
    tell("special", lambda: (os.rename("fifo", "far2"), known("far2"), os.rename("dangling", "dangling2"), os.readlink("dangling2")))
    tell("onto itself", lambda: os.rename("other", "other"))
    tell("slash", lambda: os.rename("r3/", "r4/"))
    tell("file slash", lambda: os.rename("runs2", "runs3/"))
    tell("tree", tree)


@case
def special_files():
    def talk():
        pid = os.fork()
        if pid == 0:
            fd = os.open("fifo", os.O_WRONLY)
            os.write(fd, b"through")
            os._exit(0)
        fd = os.open("fifo", os.O_RDONLY)
        data = os.read(fd, 100)
        os.waitpid(pid, 0)
        return data
    tell("fifo of the host", talk)
    os.unlink("fifo")
    os.mkfifo("fifo", 0o600)
    tell("own fifo", talk)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    listener.listen(1)
    def connect():
        c = socket.socket(socket.AF_UNIX)
        c.connect("socket")
        peer, _ = listener.accept()
        c.sendall(b"hello")
        return peer.recv(10)
    tell("socket", connect)
    tell("bind again", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
    tell("socket renamed", lambda: os.rename("socket", "socket2"))
    tell("known", lambda: known("socket2"))
    tell("to dead one", lambda: socket.socket(socket.AF_UNIX).connect("old_socket"))
    tell("mknod regular", lambda: (os.mknod("made", stat.S_IFREG | 0o600), known("made")))
    # Device nodes need privilege natively and a switch in a view; the one without needs neither.
    if not ROOT:
        tell("mknod device", lambda: os.mknod("dev", stat.S_IFCHR | 0o600, os.makedev(1, 3)))
        tell("mknod block", lambda: os.mknod("dev", stat.S_IFBLK | 0o600, os.makedev(1, 3)))
    tell("no device", lambda: os.path.lexists("dev"))


@case
def modes_and_owners():
    os.umask(0o027)
    put("masked", b"", 0o666)
    os.mkdir("masked_dir", 0o777)
    os.mkfifo("masked_fifo", 0o666)
    tell("umask", lambda: (known("masked"), known("masked_dir"), known("masked_fifo")))
    os.umask(0o000)
    put("bare", b"", 0o777)
    tell("no umask", lambda: known("bare"))
    os.umask(0o022)
    put("created_readonly", b"x", 0o444)
    fd = os.open("created_none", os.O_RDWR | os.O_CREAT, 0o000)
    tell("writes all the same", lambda: os.write(fd, b"abc"))
    tell("and reads", lambda: os.pread(fd, 3, 0))
    tell("opens it", lambda: len(get("created_none")))
    tell("stat", lambda: known("created_none"))
    tell("chmod", lambda: (os.fchmod(fd, 0o600), get("created_none")))
    os.close(fd)
    for mode in (0o000, 0o111, 0o777, 0o1777, 0o2777, 0o4755, 0o6711):
        tell("chmod %o" % mode, lambda: (os.chmod("masked", mode), known("masked")))
        tell("chmod dir %o" % mode, lambda: (os.chmod("masked_dir", mode), known("masked_dir")))
        tell("unreadable", lambda: (os.path.exists("masked"), os.listdir("masked_dir")))
    tell("none below a closed dir", lambda: (os.chmod("masked_dir", 0o700), put("masked_dir/x"), os.chmod("masked_dir", 0o000)))
    tell("stat through", lambda: known("masked_dir/x"))
    tell("create in it", lambda: put("masked_dir/y"))
    tell("reopened", lambda: (os.chmod("masked_dir", 0o700), sorted(os.listdir("masked_dir"))))
    tell("in a closed dir", lambda: put("closed/x"))
    tell("remove from a closed dir", lambda: os.rmdir("closed"))
    tell("write to readonly", lambda: os.open("readonly", os.O_WRONLY))
    # Set-id bits go when the file changes, unless root changes it.
    tell("write to suid", lambda: ([os.write(fd, b"t") for fd in [os.open("suid", os.O_WRONLY)]], known("suid")))
    if not ROOT:
        # The view is not told that a caller may keep them, and takes them off whoever truncates.
        tell("truncate suid", lambda: (os.chmod("suid2", 0o6755), os.truncate("suid2", 0), known("suid2")))
    tell("chown suid", lambda: (os.chmod("suid2", 0o6755), os.chown("suid2", -1, os.getgid()), known("suid2")))
    tell("setgid dir", lambda: (os.mkdir("setgid/sub"), put("setgid/f"), os.symlink("x", "setgid/l")))
    tell("inherits", lambda: [known("setgid/" + n) for n in ("sub", "f", "l")])
    os.mkdir("own_setgid")
    os.chmod("own_setgid", 0o2755)
    tell("own setgid", lambda: (os.makedirs("own_setgid/a/b"), known("own_setgid/a/b")))
    tell("chmod link", lambda: os.chmod("to_file", 0o600) or known("file"))
    tell("chown to the same", lambda: os.chown("other", os.getuid(), os.getgid()))
    if not ROOT:
        return
    tell("chown", lambda: (os.chown("other", 1234, 2345), known("other")))
    tell("lchown", lambda: (os.lchown("dangling", 1234, 2345), known("dangling")))
    tell("chown dir", lambda: (os.chown("full", 1234, -1), known("full")))
    tell("write theirs", lambda: (put("theirs", b"w"), known("theirs")))
    os.chmod(".", 0o777)
    os.chmod("suid", 0o6777)
    for label, op in [
        ("reads secret", lambda: get("secret")),
        ("reads theirs", lambda: get("theirs")),
        ("reads file", lambda: len(get("full/1"))),
        ("writes file", lambda: put("full/1", b"no")),
        ("writes in dir", lambda: put("d/no")),
        ("writes suid", lambda: put("suid", b"u") or oct(os.stat("suid").st_mode)),
        ("chmods", lambda: os.chmod("full/1", 0o777)),
        ("utimes now", lambda: os.utime("full/1")),
        ("removes from sticky", lambda: os.unlink("sticky/mine")),
        ("renames in sticky", lambda: os.rename("sticky/mine", "sticky/x")),
        ("renames over in sticky", lambda: (put("sticky/n"), os.rename("sticky/n", "sticky/theirs"))),
        ("makes in sticky", lambda: put("sticky/nobodys", b"n")),
        ("removes its own", lambda: os.unlink("sticky/nobodys")),
        ("makes", lambda: put("nobodys", b"n", 0o640) or known("nobodys")),
        ("mkdir", lambda: os.mkdir("nobodys_dir") or known("nobodys_dir")),
        ("symlink", lambda: os.symlink("x", "nobodys_link") or known("nobodys_link")),
        ("link to theirs", lambda: os.link("theirs", "taken")),
        ("chown own", lambda: os.chown("nobodys", 1234, -1)),
        ("setgid of a foreign group", lambda: (put("setgid_try"), os.chmod("setgid_try", 0o2755), oct(os.stat("setgid_try").st_mode))),
        ("in setgid", lambda: put("setgid/no")),
        ("search closed", lambda: (os.stat("masked_dir/x"),)),
    ]:
        tell("nobody " + label, lambda: as_nobody(op))
    tell("tree", tree)


@case
def content():
    tell("append", lambda: [os.write(fd, b"tail") for fd in [os.open("file", os.O_WRONLY | os.O_APPEND)]])
    tell("size", lambda: (os.stat("file").st_size, get("file")[-8:]))
    fd = os.open("file", os.O_RDWR | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"END")
    tell("append ignores the offset", lambda: (os.lseek(fd, 0, os.SEEK_CUR), get("file")[-6:]))
    os.close(fd)
    tell("beyond the end", lambda: [os.pwrite(fd, b"x", 70_000) for fd in [os.open("other", os.O_RDWR)]])
    tell("zeros", lambda: (os.stat("other").st_size, sum(get("other")[10:70_000])))
    tell("shrink and grow", lambda: (os.truncate("file", 5), os.truncate("file", 50), get("file")))
    # Two processes append: no write is lost or torn.
    put("log")
    def appender(letter):
        def run():
            fd = os.open("log", os.O_WRONLY | os.O_APPEND)
            for _ in range(200):
                os.write(fd, letter * 63 + b"\n")
        return run
    pids = []
    for letter in (b"a", b"b"):
        pid = os.fork()
        if pid == 0:
            appender(letter)()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    lines = get("log").split(b"\n")[:-1]
    tell("appended", lambda: (len(lines), sum(1 for l in lines if len(set(l)) != 1 or len(l) != 63)))
    # Mappings.
    for name in ("sparse", "mapped"):
        if name == "mapped":
            put("mapped", b"." * 10_000)
        fd = os.open(name, os.O_RDWR)
        other = os.open(name, os.O_RDONLY)
        m = mmap.mmap(fd, 8192, mmap.MAP_SHARED)
        m[100:105] = b"HELLO"
        m.flush()
        tell("seen through another descriptor", lambda: os.pread(other, 5, 100))
        os.pwrite(fd, b"WORLD", 200)
        tell("seen through the mapping", lambda: m[200:205])
        m[4096:4101] = b"LATER"
        m.close()
        os.fsync(fd)
        tell("after unmapping", lambda: (os.pread(other, 5, 4096), os.stat(name).st_size))
        p = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE)
        p[0:3] = b"own"
        tell("private stays private", lambda: (p[0:3], os.pread(other, 3, 0)))
        p.close()
        os.close(fd)
        os.close(other)
    fd = os.open("mapped", os.O_RDONLY)
    tell("shared of a readonly one", lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
    os.close(fd)
    tell("pwritev", lambda: [os.pwritev(fd, [b"ab", b"cd"], 1) for fd in [os.open("mapped", os.O_RDWR)]])
    tell("content", lambda: get("mapped")[:8])
    tell("sync", lambda: [(os.fsync(fd), os.fdatasync(fd)) for fd in [os.open("mapped", os.O_RDWR)]])
    tell("sync dir", lambda: [os.fsync(os.open("d", os.O_RDONLY))])
    def direct():
        fd = os.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
        buf = mmap.mmap(-1, 8192)
        buf[:] = b"d" * 8192
        n = os.pwritev(fd, [buf], 0)
        back = mmap.mmap(-1, 8192)
        m = os.preadv(fd, [back], 0)
        return n, m, back[:] == buf[:], get("direct") == b"d" * 8192
    tell("direct", direct)
    def direct_old():
        fd = os.open("d/in", os.O_RDWR | os.O_DIRECT)
        buf = mmap.mmap(-1, 4096)
        return os.preadv(fd, [buf], 0)
    tell("direct on what was there", direct_old)
    tell("unnamed temporary falls back", lambda: [f.write(b"x") for f in [tempfile.TemporaryFile(dir=".")]])


@case
def holes_and_ranges():
    fd = os.open("sparse", os.O_RDWR)
    def extents():
        out, at = [], 0
        size = os.fstat(fd).st_size
        while at < size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                out.append(errno.errorcode[e.errno])
                break
            hole = os.lseek(fd, data, os.SEEK_HOLE)
            out.append((data, hole))
            at = hole
        return out
    tell("extents of the host's", extents)
    os.pwrite(fd, b"z" * 4096, 2 << 20)
    tell("extents of the copy", extents)
    KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
    tell("punch", lambda: fallocate(fd, PUNCH | KEEP, 1 << 20, 4096))
    tell("extents", extents)
    tell("reads zero", lambda: sum(os.pread(fd, 4096, 1 << 20)))
    tell("punch without keep", lambda: fallocate(fd, PUNCH, 0, 4096))
    tell("keep size", lambda: (fallocate(fd, KEEP, 5 << 20, 8192), os.fstat(fd).st_size))
    tell("grow", lambda: (fallocate(fd, 0, 5 << 20, 8192), os.fstat(fd).st_size))
    # A FUSE file system is not asked for these; its kernel side refuses them alone.
    os.close(fd)
    put("source", bytes(range(256)) * 64)
    src, dst = os.open("source", os.O_RDONLY), os.open("other", os.O_RDWR)
    tell("copy_file_range", lambda: os.copy_file_range(src, dst, 1000, 5, 2))
    tell("content", lambda: get("other"))
    tell("to the end", lambda: os.copy_file_range(src, dst, 1 << 20, 16_000, 0))
    tell("behind the end", lambda: os.copy_file_range(src, dst, 10, 1 << 20, 0))
    tell("within one file", lambda: os.copy_file_range(dst, dst, 10, 0, 50))
    tell("overlapping", lambda: os.copy_file_range(dst, dst, 10, 0, 5))
    tell("from the host's", lambda: os.copy_file_range(os.open("full/1", os.O_RDONLY), dst, 10, 0, 0))
    tell("sendfile", lambda: os.sendfile(dst, src, 0, 100))
    os.close(src)
    os.close(dst)


@case
def locks():
    a = os.open("file", os.O_RDWR)
    def try_flock(how):
        def run():
            fd = os.open("file", os.O_RDWR)
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return "got"
        return forked(run)
    fcntl.flock(a, fcntl.LOCK_SH)
    tell("shared beside shared", lambda: try_flock(fcntl.LOCK_SH))
    tell("exclusive beside shared", lambda: try_flock(fcntl.LOCK_EX))
    # The copy that the write makes is still the locked file.
    os.pwrite(a, b"copied", 0)
    tell("still locked after the first write", lambda: try_flock(fcntl.LOCK_EX))
    fcntl.flock(a, fcntl.LOCK_UN)
    tell("free", lambda: try_flock(fcntl.LOCK_EX))
    def try_posix(start, length):
        def run():
            fd = os.open("file", os.O_RDWR)
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            return "got"
        return forked(run)
    fcntl.lockf(a, fcntl.LOCK_EX, 10, 0)
    tell("inside", lambda: try_posix(5, 2))
    tell("outside", lambda: try_posix(10, 5))
    tell("same process", lambda: fcntl.lockf(os.open("file", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0))
    F_OFD_SETLK = 37
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 100, 10, 0)
    tell("ofd", lambda: len(fcntl.fcntl(a, F_OFD_SETLK, lock)))
    def try_ofd():
        fd = os.open("file", os.O_RDWR)
        fcntl.fcntl(fd, F_OFD_SETLK, lock)
        return "got"
    tell("ofd elsewhere", lambda: forked(try_ofd))
    tell("ofd in the same process", lambda: try_ofd())
    os.close(a)
    tell("all free", lambda: (try_flock(fcntl.LOCK_EX), try_posix(0, 0)))


@case
def directories_while_they_change():
    names = sorted(os.listdir("many"))
    tell("count", lambda: len(names))
    # What stays is told exactly once, whatever comes and goes.
    seen = []
    scan = os.scandir("many")
    for n, entry in enumerate(scan):
        seen.append(entry.name)
        if n % 3 == 0:
            put("many/new%d" % n)
        if n % 5 == 0 and n + 200 < 400:
            try:
                os.unlink("many/%03d" % (n + 200))
            except FileNotFoundError:
                pass
    stayed = set(names) & set(os.listdir("many"))
    tell("stayed", lambda: (len(stayed), sorted(stayed - set(seen)), len([s for s in seen if s in stayed]) == len(stayed)))
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir64.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.opendir.argtypes = [ctypes.c_char_p]
    for f in (libc.readdir64, libc.telldir, libc.rewinddir, libc.closedir):
        f.argtypes = [ctypes.c_void_p]
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    def name_of(p):
        return ctypes.string_at(p + 19)
    def seek():
        d = libc.opendir(b"many")
        places, order = [], []
        while True:
            place = libc.telldir(d)
            p = libc.readdir64(d)
            if not p:
                break
            places.append(place)
            order.append(name_of(p))
        fits = True
        for n in random.Random(1).sample(range(len(places)), 50):
            libc.seekdir(d, places[n])
            fits = fits and name_of(libc.readdir64(d)) == order[n]
        # The same places after others have come and gone.
        victim = order[10].decode()
        if victim not in (".", ".."):
            os.unlink("many/" + victim)
        put("many/zzz_new")
        libc.seekdir(d, places[100])
        fits = fits and name_of(libc.readdir64(d)) == order[100]
        libc.rewinddir(d)
        again = set()
        while p := libc.readdir64(d):
            again.add(name_of(p))
        libc.closedir(d)
        return fits, len(order), b"zzz_new" in again
    tell("seekdir", seek)
    tell("emptied while read", lambda: ([os.unlink(e.path) for e in os.scandir("many")], os.listdir("many"))[1])
    tell("removed", lambda: os.rmdir("many"))
    tell("kinds", lambda: sorted((e.name.encode("utf8", "surrogateescape"), e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False), e.is_symlink()) for e in os.scandir(".")))
    tell("dots", lambda: (same("d/.", "d"), same("d/..", "."), same("d/e/..", "d")))


@case
def odd_names():
    for name in (LONG, RAW, b"new\nline", b"\x1b]0;x\x07", b" ", b"-rf", b"\\", b"*", "日本".encode(), b".wh.file", b".wh..wh..opq", b"work", b"t1", b"index"):
        path = os.path.join(b"far", os.fsencode(name))
        tell(repr(name), lambda: (put(path, b"x"), get(path), os.rename(path, path[:100] + b"2"), os.rename(path[:100] + b"2", path)))
    tell("names", lambda: sorted(os.listdir(b"far")))
    tell("aufs whiteout hides nothing", lambda: (put(".wh.other"), len(get("other"))))
    here = os.open(".", os.O_RDONLY)
    def deep():
        for n in range(30):
            os.mkdir("x" * 200)
            os.chdir("x" * 200)
        put("leaf", b"leaf")
        found = get("leaf")
        length = 30 * 201
        os.rename("leaf", "leaf2")
        return found, length, os.listdir(".")
    tell("beyond PATH_MAX", deep)
    tell("getcwd", lambda: len(os.getcwd()) > 6000)
    os.fchdir(here)
    os.close(here)


@case
def names_that_cannot_be_reached():
    # Whoever may read a directory but not search it: every name, or an error, and never a part in silence.
    def all_or_error():
        try:
            return sorted(os.listdir("unsearchable")) == ["a", "b", "c"]
        except PermissionError:
            return True
    tell("nothing left out", all_or_error)
    tell("stat", lambda: ROOT or os.lstat("unsearchable/a"))
    # Who serves an ordinary user cannot search it either, and does not change the host's modes to do so.
    tell("rmdir", lambda: ROOT and os.rmdir("unsearchable"))
    tell("make searchable", lambda: ROOT and (os.chmod("unsearchable", 0o755), sorted(os.listdir("unsearchable"))))


@case
def attributes_of_users():
    tell("set", lambda: os.setxattr("file", "user.new", b"\x00\xff" * 10))
    tell("list", lambda: sorted(os.listxattr("file")))
    tell("get", lambda: (os.getxattr("file", "user.new"), os.getxattr("file", "user.note")))
    tell("empty value", lambda: (os.setxattr("file", "user.empty", b""), os.getxattr("file", "user.empty")))
    tell("remove", lambda: (os.removexattr("file", "user.note"), sorted(os.listxattr("file"))))
    tell("removed", lambda: os.getxattr("file", "user.note"))
    tell("on a directory", lambda: (os.setxattr("d", "user.more", b"1"), sorted(os.listxattr("d"))))
    tell("on a new directory", lambda: (os.mkdir("xd"), os.setxattr("xd", "user.k", b"v"), os.listxattr("xd")))
    tell("on a readonly file", lambda: (os.chmod("runs", 0o444), os.setxattr("runs", "user.k", b"v"), os.listxattr("runs")))
    tell("through rename", lambda: (os.rename("file", "file_x"), sorted(os.listxattr("file_x"))))
    tell("too large", lambda: os.setxattr("other", "user.big", b"x" * 70_000))
    tell("replace", lambda: (os.setxattr("file_x", "user.new", b"r", os.XATTR_REPLACE), os.getxattr("file_x", "user.new")))


@case
def rename_loops():
    # Directories renamed into each other's places again and again keep their content and no cycle appears.
    os.makedirs("la/x")
    os.makedirs("lb/y")
    put("la/x/f", b"la")
    for n in range(20):
        os.rename("la", "lb/la")
        os.rename("lb/la/x", "x")
        os.rename("lb/la", "x/la")
        os.rename("x", "lb/x")
        os.rename("lb/x/la", "la")
        os.rename("lb/x", "la/x")
    tell("content", lambda: (get("la/x/f"), os.listdir("lb")))
    tell("cycle", lambda: os.rename("la", "la/x/la"))
    tell("exchange cycle", lambda: renameat2("la", "la/x", EXCHANGE))
    for n in range(10):
        os.rename("d/e", "empty/e")
        os.rename("d", "empty/e/d")
        os.rename("empty/e/d", "d")
        os.rename("empty/e", "d/e")
    tell("host directories", lambda: (get("d/e/deep"), sorted(os.listdir("d")), os.listdir("empty")))


def furnish_foreign(uid):
    """What others own, in directories that are otherwise the user's; by root."""
    for place in (".", "their_group"):
        if place != ".":
            os.mkdir(place)
        os.chown(place, uid, uid if place == "." else 2345)
    os.chmod("their_group", 0o2775)
    for name, owner, group, mode in [
        ("t644", 1234, 2345, 0o644), ("t666", 1234, 2345, 0o666), ("t600", 1234, 2345, 0o600),
        ("gone", 0, 0, 0o644), ("moved", 0, 0, 0o644), ("group_only", uid, 2345, 0o640), ("their_group/f", uid, 2345, 0o644),
    ]:
        put(name, b"theirs")
        os.chown(name, owner, group)
        os.chmod(name, mode)
    for name, mode in [("d755", 0o755), ("d777", 0o777), ("d1777", 0o1777), ("d700", 0o700)]:
        os.mkdir(name)
        for below, owner in [("theirs", 1234), ("mine", uid)]:
            put(name + "/" + below, b"x")
            os.chown(name + "/" + below, owner, owner)
        os.mkdir(name + "/sub")
        os.chown(name + "/sub", uid, uid)
        os.chown(name, 1234, 2345)
        os.chmod(name, mode)
    os.mkdir("own")
    os.mkdir("own/theirs_empty")
    os.chown("own/theirs_empty", 1234, 1234)
    os.chown("own", uid, uid)


def of_others():
    """In a directory of `furnish_foreign`: who owns what is not told, what may be done is."""
    for name in ("t644", "t666", "t600", "group_only", "their_group/f"):
        for label, op in [
            ("read", lambda: get(name)),
            ("append", lambda: [os.write(os.open(name, os.O_WRONLY | os.O_APPEND), b"+")]),
            ("content", lambda: get(name)),
        ]:
            tell(name + " " + label, op)
    for name in ("t644", "t600", "group_only", "their_group/f"):
        for label, op in [
            ("truncate", lambda: os.truncate(name, 1)),
            ("overwrite", lambda: put(name, b"o")),
            ("chmod", lambda: os.chmod(name, 0o660)),
            ("utime", lambda: os.utime(name, ns=(1, 1))),
            ("touch", lambda: os.utime(name)),
            ("setxattr", lambda: os.setxattr(name, "user.x", b"1")),
            ("chown to the same", lambda: os.chown(name, os.getuid(), -1)),
        ]:
            tell(name + " " + label, op)
    tell("remove from own", lambda: os.unlink("gone"))
    tell("rename in own", lambda: (os.rename("moved", "own/moved"), get("own/moved")))
    tell("replace", lambda: (put("new", b"new"), os.rename("new", "t644"), get("t644")))
    for d in ("d755", "d777", "d1777", "d700"):
        for label, op in [
            ("list", lambda: sorted(os.listdir(d))),
            ("write in mine", lambda: put(d + "/mine", b"w")),
            ("content", lambda: get(d + "/mine")),
            ("create", lambda: put(d + "/new")),
            ("mkdir", lambda: os.mkdir(d + "/newdir")),
            ("symlink", lambda: os.symlink("x", d + "/newlink")),
            ("link", lambda: os.link("group_only", d + "/link")),
            ("create in sub", lambda: put(d + "/sub/new")),
            ("rename theirs", lambda: os.rename(d + "/theirs", d + "/renamed")),
            ("rename onto theirs", lambda: (put(d + "/other"), os.rename(d + "/other", d + "/theirs"))),
            ("move mine out", lambda: os.rename(d + "/mine", d + "_out")),
            ("rmdir sub", lambda: (os.unlink(d + "/sub/new"), os.rmdir(d + "/sub"))),
            ("unlink theirs", lambda: os.unlink(d + "/theirs")),
            ("chmod", lambda: os.chmod(d, 0o777)),
            # A view cannot read the attributes of a closed one, and refuses to move it.
            ("rename", lambda: d == "d700" or os.rename(d, d + "_renamed")),
            ("list", lambda: d == "d700" or sorted(os.listdir(d + "_renamed"))),
        ]:
            tell(d + " " + label, op)
    tell("move their directory", lambda: os.rename("d755_renamed", "own/d755"))
    tell("move their open directory", lambda: os.rename("d777_renamed", "own/d777"))
    tell("rmdir theirs", lambda: os.rmdir("own/theirs_empty"))
    tell("in their group", lambda: (put("their_group/n"), os.mkdir("their_group/d"), os.unlink("their_group/f"), sorted(os.listdir("their_group"))))


def run(only):
    for op in CASES + [of_others]:
        if op.__name__ == only:
            random.seed(7)
            print("==", op.__name__)
            op()
            sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o022)
    signal.alarm(120)
    sys.stdout = open(sys.stdout.fileno(), "w", errors="backslashreplace", closefd=False)
    if sys.argv[1] == "furnish":
        for place in sys.argv[2:]:
            os.chdir(place)
            furnish()
        print("\n".join(map(repr, tree())))
    elif sys.argv[1] == "foreign":
        for place in sys.argv[3:]:
            os.chdir(place)
            furnish_foreign(int(sys.argv[2]))
    elif sys.argv[1] == "cases":
        print("\n".join(op.__name__ for op in CASES))
    elif sys.argv[1] == "run":
        run(sys.argv[2])
    elif sys.argv[1] in ("after", "both"):
        if sys.argv[1] == "both":
            run(sys.argv[2])
            print(AFTER)
        print("\n".join(map(repr, tree())))
