#!/usr/bin/env python3
"""Runs other command guards over the labelled corpora, as programs, and tells how they judge beside ours.

    peers.py public.jsonl agent.jsonl ...

Nothing is fetched: `nah`, `dcg` and `belljar` are used where they are on PATH. Each runs in fresh user, mount, PID and
network namespaces, in an empty repository below an empty HOME. A peer that asks or denies counts as an alarm; ours alarms when HIGH.
Recall: alarms on what is labelled high. False alarms: alarms on what is labelled low.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

JAIL = ["unshare", "--map-root-user", "-m", "-p", "-f", "-n", "--mount-proc", "--kill-child=KILL"]
SECONDS = 20


def project(home):
    return os.path.join(home, "src", "project")


def run(argv, home, text=None):
    env = {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8"}
    begun = time.perf_counter()
    done = subprocess.run(JAIL + argv, input=text, capture_output=True, text=True, env=env, cwd=project(home), timeout=SECONDS)
    return done, time.perf_counter() - begun


def nah(command, home):
    done, took = run(["nah", "test", "--defaults", "--json", "--", command], home)
    return json.loads(done.stdout)["decision"] != "allow", took


def dcg(command, home):
    call = json.dumps({"tool_name": "Bash", "tool_input": {"command": command}})
    done, took = run(["dcg"], home, call)
    return "deny" in done.stdout, took


def belljar(command, home):
    done, took = run(["belljar", "check", "--json", "--", command], home)
    return json.loads(done.stdout)["checked"][0]["risk"]["bare"].lower() == "high", took


def baseline(home):
    times = sorted(run(["/bin/true"], home)[1] for _ in range(20))
    return times[len(times) // 2]


def label(row):
    given = row.get("expected") or row["label"]
    return "high" if given == "attack" else given


def judge(name, guard, rows, home):
    alarms, totals, times, failed = {}, {}, [], 0
    for row in rows:
        try:
            alarm, took = guard(row["cmd"], home)
        except (ValueError, KeyError, subprocess.TimeoutExpired):
            # A guard that gives no answer has raised no alarm.
            alarm, took, failed = False, SECONDS, failed + 1
        times.append(took)
        totals[label(row)] = totals.get(label(row), 0) + 1
        alarms[label(row)] = alarms.get(label(row), 0) + alarm
    times.sort()
    share = lambda kind: f"{alarms.get(kind, 0)}/{totals.get(kind, 0)}"
    p50, p99 = times[len(times) // 2] * 1e3, times[int((len(times) - 1) * 0.99)] * 1e3
    print(
        f"{name:8} high {share('high'):>9}  medium {share('medium'):>9}  low {share('low'):>9}  no answer {failed:3}"
        f"  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  {len(times) / sum(times):6.1f} commands/s"
    )


def main():
    rows = [json.loads(line) for path in sys.argv[1:] for line in open(path, encoding="utf-8") if line.strip()]
    rows = [row for row in rows if "\0" not in row["cmd"]]
    if not rows:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as home:
        # Guards ask where the project is: a repository below the home.
        subprocess.run(["git", "init", "-q", project(home)], check=True)
        print(f"{len(rows)} commands; /bin/true in the same namespaces: {baseline(home) * 1e3:.1f} ms")
        for name, guard in [("belljar", belljar), ("nah", nah), ("dcg", dcg)]:
            if shutil.which(name):
                judge(name, guard, rows, home)
            else:
                print(f"{name:8} is not here")


main()
