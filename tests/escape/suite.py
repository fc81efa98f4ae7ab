"""The attack suite: what must not be possible in the jar, tried in it, and tried without it to show that it could be.

    suite.py --belljar PATH [--tools bare,belljar,bwrap,firejail,srt,codex] [--roles root,user] [--json FILE] [PROBE...]

Each tool and role gets a host of its own (`world.py`) behind `unshare`, so that no control touches the machine. Needs
root. A probe whose control (`bare`) does not succeed proves nothing on this kernel and is not counted.
"""

import argparse
import base64
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.dont_write_bytecode = True
import families  # noqa: F401, E402
from kernel import LIBC  # noqa: E402
from probe import PROBES  # noqa: E402
from tools import TOOLS  # noqa: E402
from world import World  # noqa: E402

SECONDS_MAX = 90
OWN = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
# The host's shell, which goes on reading when the tool has ended.
SHELL = '"$@"; while IFS= read -r -t 0.3 line; do echo "typed=$line"; done'


def environment(world):
    named = {name: world.secret(f"variable {name}") for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN"]}
    named["DATABASE_URL"] = f"postgres://me:{world.secret('variable DATABASE_URL')}@db/main"
    return {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": world.home, "USER": "root" if world.root else "bjtest",
            "LANG": "C.UTF-8", "TERM": "xterm", "SSH_AUTH_SOCK": "/tmp/ssh-agentdir/agent.1", **named}


def task(world, names):
    """What the inside is told: the names and tokens of this batch."""
    at = f"{world.project}/.probes/task.json"
    with open(at, "w") as file:
        json.dump({"facts": world.facts, "probes": {name: world.token(name) for name in names}}, file)
    return ["/usr/bin/python3", "-B", f"{world.project}/.probes/inside.py", at]


def prepare(world):
    """In the child: a member of a process group of the host's, with two descriptors nobody meant to hand on."""
    os.dup2(os.open(f"{world.home}/.ssh", os.O_RDONLY), 8)
    os.dup2(os.open(f"{world.home}/.ssh/id_ed25519", os.O_RDONLY), 9)
    if not world.root:
        world.as_user()


def on_files(world, argv, output):
    def before():
        prepare(world)
        os.setpgid(0, world.victims["group"])
    with open(output, "wb") as out, open(output + ".err", "wb") as err, open(f"{world.home}/stdin.txt") as stdin:
        return subprocess.Popen(argv, cwd=world.project, env=environment(world), stdin=stdin, stdout=out, stderr=err,
                                pass_fds=(8, 9), preexec_fn=before)


def on_terminal(world, argv, output):
    """Runs it on a terminal, beside a second one of the same user; notes what was typed and what was shown where."""
    own, slave = pty.openpty()
    for end in [slave, world.other_slave]:
        os.chown(os.ttyname(end), world.uid, world.gid)
        os.chmod(os.ttyname(end), 0o620)
        modes = termios.tcgetattr(end)
        modes[3] &= ~(termios.ECHO | termios.ICANON) if end == world.other_slave else ~termios.ECHO
        termios.tcsetattr(end, termios.TCSANOW, modes)
    os.write(world.other_terminal, world.secret("typed elsewhere").encode())

    def before():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        prepare(world)
    child = subprocess.Popen(["bash", "-c", SHELL, "bash", *argv], cwd=world.project, env=environment(world), stdin=slave,
                             stdout=slave, stderr=slave, pass_fds=(8, 9), preexec_fn=before)
    world.terminal = os.ttyname(slave)

    def look():
        screen = b""
        while True:
            try:
                part = os.read(own, 65536)
            except OSError:
                break
            screen += part
            with open(output, "ab") as file:
                file.write(part)
            world.received.update(t.decode() for t in re.findall(rb"typed=(bjp[0-9a-f]{10})", screen))
            world.received.update(t.decode() for t in re.findall(rb"\x1b\][0-9]+;[^\x07]*(bjp[0-9a-f]{10})", screen))

    def look_elsewhere():
        while True:
            try:
                world.take(os.read(world.other_terminal, 65536))
            except OSError:
                return
    for target in [look, look_elsewhere]:
        threading.Thread(target=target, daemon=True).start()
    return child


def run_batch(world, tool, batch, names, limit=""):
    world.start_over()
    world.measuring = batch == "alone"
    before = {name: PROBES[name].verdict.before(world) for name in names}
    argv = TOOLS[tool](world, batch, limit) + task(world, names)
    output = tempfile.mktemp(dir="/run/layers")
    child = (on_terminal if batch == "terminal" else on_files)(world, argv, output)
    try:
        child.wait(SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    time.sleep(0.3)
    said = {}
    with open(output, "rb") as file:
        for token, text in re.findall(rb"@@ (\w+) (\S*)\r?\n", file.read()):
            said[token.decode()] = base64.b64decode(text) if text != b"-" else b""
    complete = "done" in said
    results = {}
    for name in names:
        token = world.token(name)
        report = said.get(token, b"")
        through = bool(PROBES[name].verdict.through(world, report, token, before[name]))
        results[name] = {"through": through, "said": report[:300].decode(errors="replace").strip()}
    end_processes(world)
    if not complete and batch != "alone":
        with open(output + ".err" if batch != "terminal" else output, errors="replace") as file:
            print(f"{tool}, {batch}: the run did not get to its end:\n{file.read()[-2000:]}", file=sys.stderr)
        for result in results.values():
            result["broken"] = True
    return results


def end_processes(world):
    """What probes left running, by the name each process of a probe gives itself."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().startswith("bjp"):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass


def kernel_thread():
    """firejail(1) does nothing where it sees no kernel thread among the first processes, and here there are none."""
    if os.fork() == 0:
        LIBC.prctl(15, b"kthreadd", 0, 0, 0)
        time.sleep(1000)
        os._exit(0)


def one(options):
    """Behind unshare: one tool, one role."""
    kernel_thread()
    result = open(options.json, "w")
    withheld = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../withheld/filter.py")
    with open(options.belljar, "rb") as program, open(withheld, "rb") as withhold:
        world = World(options.base, options.roles)
        with open("/usr/local/bin/withhold.py", "wb") as copy:
            shutil.copyfileobj(withhold, copy)
        with open("/usr/local/bin/belljar", "wb") as copy:
            shutil.copyfileobj(program, copy)
    os.chmod("/usr/local/bin/belljar", 0o755)
    world.other_terminal, world.other_slave = pty.openpty()
    world.facts["other_terminal"] = os.ttyname(world.other_slave)
    os.chown(os.ttyname(world.other_slave), world.uid, world.gid)
    wanted = [probe for probe in PROBES.values() if not options.probes or probe.name in options.probes]
    results = {}
    for batch in ["main", "applied", "terminal"]:
        names = [probe.name for probe in wanted if probe.batch == batch]
        results.update(run_batch(world, options.tools, batch, names) if names else {})
    for probe in wanted:
        if probe.batch == "alone":
            results.update(run_batch(world, options.tools, "alone", [probe.name], probe.limit))
    world.ending = True
    json.dump(results, result)
    result.close()


def start(options, tool, role):
    base = tempfile.mkdtemp(prefix=f"suite-{tool}-{role}-", dir=options.base)
    os.chmod(base, 0o755)
    result = f"{base}/result.json"
    words = [*OWN, "/usr/bin/python3", "-B", os.path.abspath(__file__), "--one", "--belljar", options.belljar, "--base", base,
             "--tools", tool, "--roles", role, "--json", result, *options.probes]
    return base, result, subprocess.Popen(words, stdin=subprocess.DEVNULL)


def finish(base, result, child):
    child.wait()
    try:
        with open(result) as file:
            return json.load(file)
    except OSError:
        raise SystemExit(f"a run ended without a result: {base}")
    finally:
        # A control makes a file that nobody may remove.
        subprocess.run(["chattr", "-R", "-f", "-i", base], check=False)
        shutil.rmtree(base)


def table(all_results, tools, roles):
    """Probe x tool: `THROUGH`, `.` for held, `-` where the control does not succeed."""
    mark = {True: "THROUGH", False: "."}
    columns = [(tool, role) for role in roles for tool in tools]
    lines, family = [], ""
    for name, probe in PROBES.items():
        cells = []
        for tool, role in columns:
            result = all_results[role][tool].get(name)
            control = all_results[role].get("bare", {}).get(name, {"through": True})
            cells.append("" if result is None else "-" if not control["through"] else "broken" if result.get("broken") else mark[result["through"]])
        if any(cells):
            lines += [f"-- {probe.family}"] if probe.family != family else []
            family = probe.family
            lines.append(f"{name:58} " + " ".join(f"{cell:>13}" for cell in cells))
    head = f"{'':58} " + " ".join(f"{tool + '/' + role:>13}" for tool, role in columns)
    counted = {role: [n for n, r in all_results[role].get("bare", {}).items() if r["through"]] for role in roles}
    total = [sum(all_results[role][tool][name]["through"] for name in counted[role]) for tool, role in columns]
    lines.append(f"{'through, of those whose control succeeds':58} " + " ".join(f"{count:>13}" for count in total))
    return "\n".join([head, *lines, head])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--belljar", required=True)
    parser.add_argument("--tools", default="bare,belljar")
    parser.add_argument("--roles", default="root,user")
    parser.add_argument("--base")
    parser.add_argument("--json")
    parser.add_argument("--one", action="store_true")
    parser.add_argument("probes", nargs="*")
    options = parser.parse_args()
    options.base = options.base or tempfile.mkdtemp(prefix="belljar-escape-", dir="/var/tmp")
    if options.one:
        return one(options)
    tools, roles = options.tools.split(","), options.roles.split(",")
    results = {role: {} for role in roles}
    for role in roles:
        # Two at a time: more would only wait for each other, and limits are told by what is taken in a time.
        for pair in [tools[n:n + 2] for n in range(0, len(tools), 2)]:
            running = [(tool, start(options, tool, role)) for tool in pair]
            results[role].update({tool: finish(*run) for tool, run in running})
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"results": results, "families": {name: probe.family for name, probe in PROBES.items()}}, file)
    else:
        print(table(results, tools, roles))


main()
