"""What is checked in each guest: one function a check, for root and for an ordinary user. A line `ok` or `not ok` for each
on the console, lines `told` with what Belljar says of this kernel, and `done` at the end.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback

UID = 1000
RELEASE = os.uname().release
VERSION = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", RELEASE).groups())
TOKEN = "token-of-the-host"
PORT = 7777
# The first kernel with each version of landlock(7).
LANDLOCK = {1: (5, 13), 2: (5, 19), 3: (6, 2), 4: (6, 7), 5: (6, 10), 6: (6, 12), 7: (6, 15)}
SECONDS_MAX = 60
GROUPS = "/sys/fs/cgroup"
PID_MAX = open("/proc/sys/kernel/pid_max").read()


def watch(seconds):
    """In the child: a process that tells, where this one does not end, what everybody is waiting for."""
    watched = os.getpid()
    if os.fork():
        return
    if os.fork():
        os._exit(0)
    os.closerange(0, 1024)
    for _ in range(int(seconds * 5)):
        time.sleep(0.2)
        if not os.path.exists(f"/proc/{watched}/exe") or os.getppid() == 0:
            os._exit(0)
    with open("/dev/console", "w") as out:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    name, line, stack = (open(f"/proc/{pid}/task/{task}/{file}").read() for file in ["comm", "cmdline", "stack"])
                except OSError:
                    continue
                if line:
                    calls = " ".join(re.findall(r"\] (\w+)", stack)[:6])
                    print(f"waits {task} {name.strip()} {line.replace(chr(0), ' ')[:80]}: {calls}", file=out)
    os._exit(0)


class Host:
    """A home and a workspace of somebody."""

    def __init__(self, role, number):
        self.role, self.uid = role, 0 if role == "root" else UID
        self.home = f"/home/{role}{number}"
        self.ws = f"{self.home}/ws"
        for path, text in {"ws/old": "old\n", "ws/gone": "gone\n", "ws/dir/inner": "inner\n", ".ssh/id_ed25519": "SECRET-key\n",
                           ".aws/credentials": "SECRET-aws\n", ".bashrc": "# mine\n"}.items():
            path = f"{self.home}/{path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        for at, dirs, files in os.walk(self.home):
            for name in ["."] + dirs + files:
                os.chown(os.path.join(at, name), self.uid, self.uid)
        self.reports = 0

    def command(self, words, cwd=None, group=None, stdin=subprocess.DEVNULL, seconds=SECONDS_MAX, **more):
        become = [] if self.uid == 0 else ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
        env = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin", "HOME": self.home, "LANG": "C.UTF-8", "SECRET_TOKEN": "SECRET-env"}
        if group:
            become = ["sh", "-c", f'echo $$ > {GROUPS}/{group}/cgroup.procs && exec "$@"', "sh", *become]
        try:
            run = subprocess.run([*become, *words], cwd=cwd or self.ws, env=env, stdin=stdin, capture_output=True, text=True,
                                 timeout=seconds, preexec_fn=lambda: watch(seconds - 5), **more)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{words} did not end in {seconds} s\n{late.stdout}\n{late.stderr}") from None
        run.said = f"\n{' '.join(words)}\ncode {run.returncode}\n{run.stdout}{run.stderr}"
        return run

    def belljar(self, *words, **more):
        return self.command(["belljar", *words], **more)

    def run(self, options, script, **more):
        """A run that stays pending, and its report."""
        self.reports += 1
        report = f"{self.home}/report{self.reports}.json"
        run = self.belljar("run", "--apply", "never", f"--json={report}", *options, "--", "sh", "-uc", script, **more)
        run.report = json.load(open(report)) if os.path.exists(report) else None
        return run

    def read(self, name):
        try:
            return open(f"{self.ws}/{name}").read()
        except FileNotFoundError:
            return None


def want(condition, run, words=""):
    if not condition:
        raise AssertionError(f"{words}{run.said if hasattr(run, 'said') else run}")


def detail(run, layer):
    return next((state["detail"] for state in run.report["containment"]["active"] if state["layer"] == layer), None)


def facts(host, **more):
    run = host.belljar("doctor", "--json", **more)
    return run, {item["name"]: item for item in json.loads(run.stdout)["host"]["items"]}


def doctor(host):
    run, items = facts(host)
    abi = max((number for number, since in LANDLOCK.items() if VERSION >= since), default=0)
    want(items["mount_setattr"]["available"] == (VERSION >= (5, 12)), run)
    if abi == 0:
        want(not items["landlock"]["available"] and "5.13" in items["landlock"]["remedy"], run)
    else:
        told = int(items["landlock"]["detail"].split()[1])
        want(told == abi or (abi == 7 and told > 7), run, f"landlock should be {abi}")
    for name in ["user namespaces", "a proc of the jar's own", "seccomp filters", "/dev/fuse"]:
        want(items[name]["available"], run, name)
    want(run.returncode == (0 if VERSION >= (5, 13) else 125), run)
    for name, item in items.items():
        print(f"told {host.role} {name}: {item['detail'] or ('yes' if item['available'] else 'no, ' + item['why'])}")


CHANGES = """echo new > made; echo more >> old; rm gone; mkdir fresh; mv fresh fresh2; chmod 600 dir/inner; ln -s old link
cat ~/.ssh/id_ed25519 ~/.aws/credentials /etc/shadow /proc/1/environ; env
echo bad >> ~/.bashrc; echo bad > /etc/planted; echo bad > /usr/planted; exit 7"""


def round_trip(host, backend):
    run = host.run(["--backend", backend, "--write", host.ws], CHANGES)
    want(run.returncode == 7 and run.report, run)
    want("SECRET" not in run.stdout, run, "a secret was seen")
    kept = {root["backend"] for root in run.report["containment"]["backends"] if root["root"] == host.ws}
    want(backend == "auto" or kept == {backend}, run, f"kept by {kept}")
    want((host.read("made"), host.read("old"), host.read("gone")) == (None, "old\n", "gone\n"), run, "the host was changed")
    want(not os.path.exists("/etc/planted") and not os.path.exists("/usr/planted"), run, "written outside")
    diff = host.belljar("diff")
    want("+more" in diff.stdout and "+new" in diff.stdout, diff)
    apply = host.belljar("apply", "--yes")
    want(apply.returncode == 0, apply)
    want((host.read("made"), host.read("old"), host.read("gone")) == ("new\n", "old\nmore\n", None), apply, "not applied")
    want(os.path.isdir(f"{host.ws}/fresh2") and os.readlink(f"{host.ws}/link") == "old", apply, "not applied")
    undo = host.belljar("undo", "--yes")
    want(undo.returncode == 0, undo)
    want((host.read("made"), host.read("old"), host.read("gone")) == (None, "old\n", "gone\n"), undo, "not undone")
    discard = host.belljar("discard", "--yes")
    want(discard.returncode == 0, discard)
    want(open(f"{host.home}/.bashrc").read() == "# mine\n", discard, "the home was changed")


def fuse(host):
    round_trip(host, "fuse")


def kernel(host):
    # The home holds hidden things, which only FUSE can hide; so the workspace alone is writable.
    run = host.run(["--backend", "kernel", "--profile", "workspace"], "true")
    if run.returncode == 125:
        want("fuse" in run.stderr, run)
    round_trip(host, "auto")
    run = host.belljar("run", "--apply", "never", "--", "touch", "plain")
    want(run.returncode == 0, run)
    show = host.belljar("show", "--json")
    backends = json.loads(show.stdout)["containment"]["backends"]
    kept = {root["backend"] for root in backends if root["root"] == host.ws}
    want(kept == {"kernel"}, show, "a known command is not kept by the kernel")
    host.belljar("apply", "--yes")
    want(host.read("plain") == "", show)


def jar_goes_on(host):
    want(host.run(["--jar", "one"], "echo 1 > step").returncode == 0, "step 1")
    want(host.run(["--jar", "one"], "cat step; echo 2 > step").stdout == "1\n", "step 2")
    rewind = host.belljar("rewind", "one", "--yes")
    want(rewind.returncode == 0, rewind)
    run = host.run(["--jar", "one"], "cat step")
    want(run.stdout == "1\n", run)


def exits(host):
    for script, code in {"exit 0": 0, "exit 3": 3, "kill -TERM $$": -15, "nosuchprogram": 127}.items():
        run = host.run([], script)
        want(run.returncode == code, run, f"{code} is expected")
    run = host.belljar("run", "--apply", "discard", "--", "nosuchprogram")
    want(run.returncode == 127, run)


CONNECT = "import socket,sys; s=socket.socket(); s.settimeout(5); s.connect((sys.argv[1], %d)); print(s.recv(99).decode())" % PORT
ABSTRACT = "import socket; s=socket.socket(socket.AF_UNIX); s.connect('\\0belljar-kernels'); print(s.recv(99).decode())"


def network_none(host):
    for address in ["127.0.0.1", "203.0.113.7"]:
        bare = host.command(["python3", "-c", CONNECT, address])
        want(TOKEN in bare.stdout, bare, "the control does not reach it")
        run = host.run([], f'python3 -c "{CONNECT}" {address}')
        want(run.returncode != 0 and TOKEN not in run.stdout, run)
    tried = [attempt["target"] for attempt in run.report["attempts"]]
    want("203.0.113.7" in json.dumps(tried), run, f"not among the attempts: {tried}")
    code = ABSTRACT.replace("\\0", "\\\\0")
    bare = host.command(["python3", "-c", ABSTRACT])
    want(TOKEN in bare.stdout, bare, "the control does not reach it")
    run = host.run([], f'python3 -c "{code}"')
    want(run.returncode != 0 and TOKEN not in run.stdout, run)


def network_by_name(host):
    run = host.run(["--allow-net", f"203.0.113.7:{PORT}"], f'python3 -c "{CONNECT}" 203.0.113.7')
    want(run.returncode == 0 and TOKEN in run.stdout, run)
    run = host.run(["--allow-net", f"203.0.113.7:{PORT}"], f'python3 -c "{CONNECT}" 203.0.113.8')
    want(run.returncode != 0 and TOKEN not in run.stdout, run)


def processes_are_hidden(host):
    run = host.run([], "ls -d /proc/[0-9]* | wc -l; cat /proc/sys/kernel/hostname > /dev/null; kill -0 1 && echo signalled")
    want(int(run.stdout.split()[0]) < 8, run)
    run = host.run([], "mount -t tmpfs none /mnt; unshare -U true; unshare -r true; umount /proc")
    want(run.returncode != 0, run)


def truncate_around_the_view(host):
    """A file that is open for reading lies on a mount of the host, which is not read-only."""
    path = f"{host.home}/input"
    for script in ["truncate -s 0 /proc/self/fd/0", "python3 -c 'import os; os.truncate(\"/proc/self/fd/0\", 0)'",
                   ": > /proc/self/fd/0", "echo bad >> /dev/stdin", "python3 -c 'open(\"/dev/stdin\", \"r+b\").write(b\"bad\")'"]:
        with open(path, "w") as file:
            file.write("input\n")
        os.chown(path, host.uid, host.uid)
        with open(path) as stdin:
            run = host.run([], f"cat; {script}", stdin=stdin)
        want(open(path).read() == "input\n", run, f"{script} reached the host")
        want(run.stdout.startswith("input\n"), run, "what is read is not the file")
        want(run.returncode not in (0, 126), run, f"{script} was not tried, or succeeded")
    want(detail(run, "landlock").startswith("abi "), run)
    print(f"told {host.role} landlock: {detail(run, 'landlock')}; missing: {run.report['containment']['missing']}")


def nested(host):
    inner = "belljar run --apply always -- sh -c 'echo inner > inner'"
    run = host.run(["--allow-nested"], inner)
    if VERSION >= (6, 6):
        want(run.returncode == 0, run)
        want(host.read("inner") is None, run)
        apply = host.belljar("apply", "--yes")
        want(host.read("inner") == "inner\n", apply)
    else:
        print(f"told {host.role} a jar inside a jar: {run.returncode} {run.stderr.strip()!r}")
        want(run.returncode == 125 and "6.6" in run.stderr, run)


HOGS = [("time=1", "wall", "sleep 60"), ("cpu=1", "cpu", "while :; do :; done"),
        ("mem=200M", "memory", "head -c 1G /dev/zero | tail -n1 > /dev/null; sleep 60"), ("output=9K", "output", "yes"),
        ("disk=4M", "disk", "head -c 9M /dev/zero > big"), ("files=5", "files", "touch 1 2 3 4 5 6 7 8")]


def limits(host):
    for limit, name, script in HOGS:
        run = host.run(["--limit", limit], script)
        want(run.report and run.report["limits_hit"] == [name], run, f"{limit} was not met")
        want(run.returncode != 0, run)
    run = host.run(["--limit", "fds=77"], "ulimit -n")
    want(run.stdout == "77\n", run)


BOMB = """exec python3 -c '
import os, time
n = 0
while n < 1000:
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        time.sleep(20)
        os._exit(0)
    n += 1
print(n, flush=True)
time.sleep(3)'"""


def processes(host):
    """Without a control group, which an ordinary user has only where somebody delegates one."""
    run = host.run(["--limit", "pids=100"], BOMB, group="plain")
    told = detail(run, "process-limit")
    print(f"told {host.role} process limit: {told}; started {run.stdout.strip()!r}, limits met {run.report['limits_hit']}")
    want(run.report["limits_hit"] == ["processes"], run)
    want(told.startswith("100, "), run)
    want(host.role == "root" or run.stdout == "99\n", run, "RLIMIT_NPROC is exact")


def delegate():
    """A group that is the user's own, as `user@.service` has, and one that nobody handed on."""
    for name in ["user", "user/shell", "plain", "limited"]:
        os.mkdir(f"{GROUPS}/{name}")
    for name in ["user", "user/shell"]:
        for file in ["", "cgroup.procs", "cgroup.subtree_control"]:
            os.chown(f"{GROUPS}/{name}/{file}", UID, UID)
    with open(f"{GROUPS}/cgroup.subtree_control", "w") as control:
        control.write("+memory +pids")
    for file, value in {"pids.max": "50", "memory.high": "400M"}.items():
        with open(f"{GROUPS}/limited/{file}", "w") as limit:
            limit.write(value)


def groups_of_jars():
    return [at for at, _, _ in os.walk(GROUPS) if "belljar-" in at]


def cgroup_limits(host):
    group = "user/shell" if host.uid else None
    run, items = facts(host, group=group)
    want(items["cgroup v2"]["available"] and "memory and pids" in items["cgroup v2"]["detail"], run)
    run = host.run(["--limit", "mem=150M"], "head -c 1G /dev/zero | tail -n1 > /dev/null; echo survived; sleep 60", group=group)
    want(run.report["limits_hit"] == ["memory"] and run.returncode == -9 and "survived" not in run.stdout, run)
    want("by cgroup v2" in detail(run, "memory-limit"), run)
    want(VERSION < (5, 19) or 100 << 20 < run.report["usage"]["memory_peak"] <= 150 << 20, run, run.report["usage"])
    # Many that take a little each, and files in memory that nobody has mapped.
    run = host.run(["--limit", "mem=100M"], "for n in 1 2 3 4; do head -c 60M /dev/zero | tail -n1 | sleep 30 & done; wait", group=group)
    want(run.report["limits_hit"] == ["memory"] and run.returncode == -9, run)
    memfd = "import os; f = os.memfd_create('x'); [os.write(f, b'x' * (1 << 20)) for _ in range(300)]"
    run = host.run(["--limit", "mem=100M"], f'python3 -c "{memfd}"; echo survived', group=group)
    want(run.report["limits_hit"] == ["memory"] and "survived" not in run.stdout, run, "memfd")
    # What the kernel can write back is no reason to end anybody.
    run = host.run(["--limit", "mem=60M"], "head -c 120M /dev/zero > big && stat -c %s big", group=group)
    want(run.returncode == 0 and run.stdout == f"{120 << 20}\n" and run.report["limits_hit"] == [], run)
    host.belljar("discard", "--all", "--yes")
    run = host.run(["--limit", "pids=100"], BOMB, group=group)
    want(run.stdout == "99\n" and run.report["limits_hit"] == ["processes"], run, "not exact")
    want(detail(run, "process-limit") == "100, by cgroup v2", run)
    run = host.run(["--limit", "cpu=1"], "while :; do head -c 1M /dev/zero | sha256sum > /dev/null; done", group=group)
    want(run.report["limits_hit"] == ["cpu"] and "cgroup v2" in detail(run, "cpu-limit"), run)
    want(1_000_000 <= run.report["usage"]["cpu_us"] < 2_500_000, run, run.report["usage"])
    want(groups_of_jars() == [], groups_of_jars())


def cgroup_beside_a_limited_one(host):
    """A jar beside a group does not escape what that is limited by."""
    if host.uid:
        return
    run = host.run(["--limit", "pids=100"], BOMB + "; true", group="limited")
    want(run.stdout == "48\n", run, "pid 1 and the command are two of 50")
    run = host.run(["--limit", "pids=100"], "cat /sys/fs/cgroup/belljar-*/memory.high /sys/fs/cgroup/belljar-*/pids.max", group="limited")
    want(run.stdout.split() == [str(400 << 20), "50"], run)


def cgroup_of_a_killed_belljar(host):
    group = "user/shell" if host.uid else None
    script = "echo begun; sleep 1000"
    line = ["sh", "-c", f"belljar run --apply never --limit pids=50 -- sh -c '{script}' & p=$!; sleep 8; kill -9 $p; sleep 1"]
    run = host.command(line, group=group)
    want("begun" in run.stdout, run)
    want(len(groups_of_jars()) == 1, groups_of_jars())
    told = host.belljar("doctor", group=group)
    want("control group of a jar that is gone" in told.stdout + told.stderr, told)
    run = host.run(["--limit", "pids=50"], "true", group=group)
    want(run.returncode == 0 and groups_of_jars() == [], run, groups_of_jars())


def nothing_is_left(host):
    host.run([], "true")
    host.belljar("discard", "--all", "--yes")
    run = host.belljar("doctor", "--json")
    want(json.loads(run.stdout)["leftovers"] == [], run)
    # The whole machine's before Linux 6.14.
    want(open("/proc/sys/kernel/pid_max").read() == PID_MAX, open("/proc/sys/kernel/pid_max").read())
    mounts = open("/proc/self/mountinfo").read()
    want("belljar" not in mounts, mounts)
    alive = subprocess.run("for p in /proc/[0-9]*; do readlink $p/exe; done", shell=True, capture_output=True, text=True).stdout
    want("belljar" not in alive, alive)


def refused(host):
    """Where a jar cannot be had it is refused, whatever loss is accepted."""
    weak = ["--accept-weak", "landlock", "--accept-weak", "seccomp"]
    for options in [[], weak]:
        run = host.belljar("run", "--apply", "never", *options, "--", "touch", "made")
        want(run.returncode == 125 and "5.12" in run.stderr, run)
        want(host.read("made") is None, run)
        print(f"told {host.role} run: {run.stderr.strip()!r}")


def serve():
    """What must not be reached: a port, an abstract socket."""
    subprocess.run(["ip", "addr", "add", "203.0.113.7/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "addr", "add", "203.0.113.8/32", "dev", "lo"], check=True)
    port, abstract = socket.socket(), socket.socket(socket.AF_UNIX)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("0.0.0.0", PORT))
    abstract.bind("\0belljar-kernels")

    def answer(server):
        while True:
            peer, _ = server.accept()
            peer.sendall(TOKEN.encode())
            peer.close()

    for server in [port, abstract]:
        server.listen()
        threading.Thread(target=answer, args=[server], daemon=True).start()


FULL = [fuse, kernel, jar_goes_on, exits, network_none, network_by_name, processes_are_hidden, truncate_around_the_view, nested,
        limits, processes, cgroup_limits, cgroup_beside_a_limited_one, cgroup_of_a_killed_belljar, nothing_is_left]


def main():
    print(f"kernel {RELEASE}", flush=True)
    for module in ["fuse", "overlay", "nf_tables", "nft_chain_nat", "nft_nat"]:
        # What is built in is no module, and what is missing is told by the checks.
        subprocess.run(["modprobe", module], stderr=subprocess.DEVNULL)
    os.chmod("/dev/fuse", 0o666)
    serve()
    delegate()
    checks = [doctor] + (FULL if VERSION >= (5, 12) else [refused])
    if chosen := dict(word.split("=", 1) for word in open("/proc/cmdline").read().split() if "=" in word).get("only"):
        checks = [check for check in checks if any(word in check.__name__ for word in chosen.split(","))]
    for number, check in enumerate(checks):
        for role in ["root", "user"]:
            name, begun = f"{check.__name__} as {role}", time.monotonic()
            try:
                check(Host(role, number))
                print(f"ok {name}, {time.monotonic() - begun:.0f} s", flush=True)
            except Exception:  # the console is all there is
                print(f"not ok {name}", flush=True)
                print(traceback.format_exc(), flush=True)
            for left in [f"/home/{role}{number}"]:
                shutil.rmtree(left, ignore_errors=True)
    print("done", flush=True)


if __name__ == "__main__":
    sys.exit(main())
