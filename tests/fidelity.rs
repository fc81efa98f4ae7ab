//! Everyday things, compared with a bare run: the same words on standard output and the same end. Each case runs in a
//! directory of its own; all of them run in one jar first, which leaves nothing, and then bare.

use crate::support::{assert_nothing_left, both};
use std::collections::BTreeMap;
use testkit::World;

/// Name and script for bash. Each must end with 0 bare, so that a case that cannot work compares nothing.
pub(crate) const CASES: &[(&str, &str)] = &[
    ("exit code", "sh -c 'exit 37'; echo $?"),
    ("not found", "no-such-command 2>/dev/null; echo $?"),
    ("not executable", "echo x > f; ./f 2>/dev/null; echo $?"),
    ("death by signal", "sh -c 'kill -TERM $$'; echo $?"),
    ("death by abort", "(ulimit -c 0; python3 -c 'import os; os.abort()'); echo $?"),
    ("segmentation fault", "(ulimit -c 0; python3 -c 'import ctypes; ctypes.string_at(0)' 2>/dev/null); echo $?"),
    ("broken pipe", "yes | head -1; echo ${PIPESTATUS[0]}"),
    ("pipefail", "set -o pipefail; false | true; echo $?"),
    ("binary pipe", "head -c 1M /dev/zero | tr '\\0' '\\377' | sha256sum"),
    ("here document", "cat <<< hello"),
    ("process substitution", "diff <(echo a) <(echo a) && echo same"),
    ("background and wait", "sleep 0.05 & wait $!; echo $?"),
    ("trap", "trap 'echo caught' USR1; kill -USR1 $$; echo on"),
    ("kill a child", "sleep 30 & kill $!; wait $!; echo $?"),
    ("timeout", "timeout 0.1 sleep 30; echo $?"),
    ("setsid", "setsid sh -c 'echo own session'"),
    ("nohup", "nohup echo x 2>/dev/null </dev/null | cat"),
    ("nice", "test $(nice -n 5 nice) -ge 5 && echo nicer"),
    ("subreaper", "(sh -c 'sleep 0.05; echo late' &); sleep 0.3"),
    ("coproc", "coproc cat; echo x >&${COPROC[1]}; read y <&${COPROC[0]}; echo $y"),
    ("fifo", "mkfifo f; echo x > f & cat f"),
    ("regular file", "echo x > f; cat f; wc -c < f; rm f; ls"),
    ("append and truncate", "echo a > f; echo b >> f; truncate -s 3 f; wc -c < f"),
    ("rename", "echo a > a; mv a b; ls"),
    ("rename a directory", "mkdir -p d/e; echo x > d/e/f; mv d g; cat g/e/f"),
    ("rename over", "echo a > a; echo b > b; mv a b; cat b"),
    ("hard link", "echo a > a; ln a b; stat -c %h a; echo c >> b; cat a"),
    ("symbolic link", "ln -s target l; readlink l; ls -l l | cut -c1"),
    ("modes", "touch f; chmod 640 f; stat -c %a f; umask 077; touch g; stat -c %a g"),
    ("times", "touch -d '2020-01-02 03:04:05 UTC' f; TZ=UTC stat -c %y f"),
    ("sparse", "truncate -s 1M f; stat -c '%s %b' f"),
    ("fallocate", "fallocate -l 64K f; stat -c %s f"),
    (
        "extended attribute",
        "touch f; python3 -c \"import os; os.setxattr('f', 'user.x', b'v'); print(os.getxattr('f', 'user.x'))\"",
    ),
    ("flock", "flock f sh -c 'flock -n f true || echo locked'"),
    ("record lock", "python3 -c \"import fcntl; f = open('f', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked')\""),
    (
        "shared mapping",
        "python3 -c \"import mmap; f = open('f', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); m[:3] = b'abc'; m.flush(); print(open('f', 'rb').read(3))\"",
    ),
    ("executable mapping", "cp /bin/echo e; ./e ran"),
    ("script", "printf '#!/bin/sh\\necho script $1\\n' > s; chmod +x s; ./s arg"),
    ("unlinked but open", "exec 3<> f; rm f; echo x >&3; head -c 2 /proc/self/fd/3"),
    ("directory of many", "mkdir d; (cd d; seq 2000 | xargs touch); ls d | wc -l; rm -r d; ls"),
    ("long name", "n=$(printf 'n%.0s' $(seq 250)); touch $n; ls | wc -c"),
    ("strange names", "touch -- '-x' $'a\\nb' 'c d'; ls -Q"),
    ("find and xargs", "mkdir -p a/b; touch a/1 a/b/2; find . -type f -print0 | sort -z | xargs -0 ls"),
    ("tar", "mkdir d; echo x > d/f; tar c d | tar t"),
    ("copy", "mkdir -p d/e; echo x > d/e/f; cp -a d g; diff -r d g && echo same"),
    ("sed in place", "echo a > f; sed -i s/a/b/ f; cat f"),
    (
        "inotify",
        "python3 -c \"import ctypes, os, struct; l = ctypes.CDLL(None); fd = l.inotify_init(); l.inotify_add_watch(fd, b'.', 0x100); open('made', 'w'); print(os.read(fd, 64)[16:20])\"",
    ),
    (
        "loopback server",
        "python3 -c \"import socket; s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); a = s.accept()[0]; c.send(b'x'); print(a.recv(1))\"",
    ),
    (
        "loopback by IPv6",
        "python3 -c \"import socket; s = socket.create_server(('::1', 0), family=socket.AF_INET6); c = socket.create_connection(s.getsockname()[:2]); print('open')\"",
    ),
    ("localhost by getaddrinfo", "getent ahostsv4 localhost | head -1 | cut -d' ' -f1"),
    (
        "unix socket",
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect('s'); print('open')\"",
    ),
    (
        "abstract socket",
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0own-test'); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect('\\0own-test'); print('open')\"",
    ),
    (
        "descriptor passing",
        "python3 -c \"import socket, os; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0]); print(len(socket.recv_fds(b, 1, 1)[1]))\"",
    ),
    (
        "shared memory",
        "python3 -c \"from multiprocessing import shared_memory as m; s = m.SharedMemory(create=True, size=9); s.buf[0] = 7; print(s.buf[0]); s.unlink()\"",
    ),
    ("process pool", "python3 -c \"from multiprocessing import Pool; print(sum(Pool(2).map(abs, [-1, -2, -3])))\""),
    (
        "threads",
        "python3 -c \"import threading as t; x = []; a = [t.Thread(target=x.append, args=(n,)) for n in range(50)]; [b.start() for b in a]; [b.join() for b in a]; print(len(x))\"",
    ),
    ("epoll and timers", "python3 -c \"import asyncio; asyncio.run(asyncio.sleep(0.01)); print('slept')\""),
    ("memfd", "python3 -c \"import os; fd = os.memfd_create('x'); os.write(fd, b'abc'); print(os.pread(fd, 3, 0))\""),
    (
        "ptrace",
        "python3 -c \"import ctypes, os; l = ctypes.CDLL(None); p = os.fork(); p or (l.ptrace(0, 0, 0, 0), os.kill(os.getpid(), 19), os._exit(3)); os.waitpid(p, 0); print(l.ptrace(7, p, 0, 0), os.waitpid(p, 0)[1] >> 8)\"",
    ),
    (
        "pseudo-terminal",
        "python3 -c \"import pty, os; p, f = pty.fork(); p or os.execlp('tty', 'tty'); print(os.read(f, 99).startswith(b'/dev/pts/'))\"",
    ),
    (
        "window size",
        "python3 -c \"import pty, os; m, s = pty.openpty(); import fcntl, struct, termios as t; fcntl.ioctl(m, t.TIOCSWINSZ, struct.pack('4H', 7, 9, 0, 0)); print(os.get_terminal_size(s))\"",
    ),
    ("job control", "set -m; sleep 0.05 & fg >/dev/null; echo $?"),
    (
        "interactive shell",
        "python3 -c \"import pty, os; p, f = pty.fork(); p or os.execlp('bash', 'bash', '--norc', '-ic', 'tty >/dev/null && echo inter\\\"\\\"active'); print(b'interactive' in os.read(f, 999))\"",
    ),
    ("devices", "head -c 3 /dev/zero | od -An -tx1; echo x > /dev/null; head -c 8 /dev/urandom | wc -c"),
    ("standard streams by name", "echo x > /dev/stdout; echo y | cat /dev/stdin; echo z 2>&1 > /dev/fd/1"),
    ("who am I", "id -u; id -g; whoami; echo $HOME"),
    ("host name", "hostname"),
    ("time zone and locale", "TZ=Asia/Tokyo date -d @0 +%H; LC_ALL=C.UTF-8 printf 'ü' | wc -m"),
    ("processors", "nproc"),
    ("limits", "ulimit -s; ulimit -c"),
    ("temporary files", "t=$(mktemp); echo x > $t; cat $t; rm $t; d=$(mktemp -d); rmdir $d; echo ok"),
    (
        "git",
        "git init -q r; cd r; echo x > f; git add f; git commit -qm m; git status --short; git log --format=%s; git branch --show-current",
    ),
    (
        "git worktree and stash",
        "git init -q r; cd r; echo x > f; git add f; git commit -qm m; git worktree add -q ../w; echo y > f; git stash -q; cat f ../w/f",
    ),
    ("compile and run", "echo 'int main(void) { return 5; }' > m.c; cc m.c -o m; ./m; echo $?"),
    ("make in parallel", "printf 'all: a b c\\na b c:\\n\\ttouch $@\\n' > Makefile; make -s -j3; ls"),
    ("python modules", "echo 'x = 3' > mod.py; python3 -c 'import mod; print(mod.x)'"),
    (
        "python venv",
        "/usr/bin/python3 -m venv --without-pip v; v/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)'",
    ),
    ("node", "echo '{\"scripts\": {\"hi\": \"echo hi\"}}' > package.json; npm run -s hi"),
    (
        "database",
        "python3 -c \"import sqlite3; d = sqlite3.connect('d.db'); d.execute('pragma journal_mode=wal'); d.execute('create table t(x)'); d.execute('insert into t values (4)'); d.commit(); print(d.execute('select * from t').fetchall())\"",
    ),
];

/// What differs, with the reason.
const KNOWN: &[(&str, &str)] = &[];

/// One script that runs every case in a directory of its own, on a pipe of its own, and prints how it went between marks.
pub(crate) fn script() -> String {
    let mut text = String::from("mkdir cases; cd cases; export PATH=/usr/bin:/bin:$PATH\n");
    for (number, (_, case)) in CASES.iter().enumerate() {
        let quoted = case.replace('\'', "'\\''");
        text += &format!(
            "mkdir {number}; printf '\\n@@ {number}\\n'; (cd {number}; timeout -k 1 30 bash -c '{quoted}') | cat; echo \"end ${{PIPESTATUS[0]}}\"\n"
        );
    }
    text + "cd ..; rm -rf cases\n"
}

fn by_case(stdout: &str) -> BTreeMap<usize, String> {
    let parts = stdout.split("\n@@ ").filter_map(|part| part.split_once('\n'));
    parts.filter_map(|(number, said)| Some((number.parse().ok()?, said.trim_end().to_owned()))).collect()
}

pub(crate) fn run(world: &World, words: &[&str]) -> BTreeMap<usize, String> {
    let (exe, rest) = words.split_first().unwrap();
    let done = world.command(exe).args(rest).run();
    done.success();
    by_case(&done.stdout)
}

both! {
    fn everyday_things_are_as_they_are_bare(world) {
        world.file("cases.sh", script());
        let exe = world.exe().to_str().unwrap().to_owned();
        let jar = run(world, &[&exe, "run", "--apply", "discard", "--", "bash", "cases.sh"]);
        let bare = run(world, &["bash", "cases.sh"]);
        let mut different = Vec::new();
        for (number, (name, _)) in CASES.iter().enumerate() {
            let (bare, jar) = (bare.get(&number).cloned().unwrap_or_default(), jar.get(&number).cloned().unwrap_or_default());
            assert!(bare.ends_with("end 0"), "{name} does not work bare: {bare}");
            if bare != jar && !KNOWN.iter().any(|(known, _)| known == name) {
                different.push(format!("{name}\n  bare {bare:?}\n  jar  {jar:?}"));
            }
        }
        assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), CASES.len(), different.join("\n"));
        assert_nothing_left(world);
    }
}
