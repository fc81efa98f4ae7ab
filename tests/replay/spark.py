#!/usr/bin/env python3
"""contrib/replay_spark.py under Spark's own cluster of processes; started by tests/spark.sh.

    spark.py BELLJAR REQUESTS-GENERATOR
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
JOB = HERE.parent.parent / "contrib" / "replay_spark.py"
ROWS = 20_000
PARTITIONS = 24
EXECUTOR = b"CoarseGrainedExecutorBackend"


def main():
    belljar, generator = (os.path.abspath(path) for path in sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        requests = work / "requests.jsonl"
        with open(requests, "wb") as out:
            subprocess.run([generator, str(ROWS)], stdout=out, check=True)
        policy = str(HERE / "policy.cedar")
        alone = subprocess.run(
            [belljar, "policy", "replay", "built-in", policy, str(requests), "--json"], capture_output=True, check=True
        )
        expected = json.loads(alone.stdout)
        assert expected["requests"] == ROWS and len(expected["transitions"]) >= 4, expected
        for partitions in (1, 7, 50):
            begun = time.monotonic()
            done = job(belljar, policy, requests, partitions).communicate()
            assert json.loads(done[0]) == expected, done
            print(f"{partitions} partitions in {time.monotonic() - begun:.1f} s: the same table", flush=True)
        kill_one(belljar, policy, requests, expected, work)
        corrupt(belljar, policy, requests, work)


def job(belljar, policy, requests, partitions):
    command = [sys.executable, "-B", str(JOB), "--json", "--partitions", str(partitions), "--belljar", belljar]
    command += ["built-in", policy, str(requests)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def slowly(belljar, work):
    """A worker that takes its time and tells when it begins: Spark must still be at it when an executor goes."""
    begun, script = work / "begun", work / "slowly"
    begun.touch()
    script.write_text(f'#!/bin/sh\ncase "$*" in *--worker) echo $PPID >> {begun}; sleep 0.5;; esac\nexec {belljar} "$@"\n')
    script.chmod(0o755)
    return str(script), begun


def kill_one(belljar, policy, requests, expected, work):
    script, begun = slowly(belljar, work)
    running = job(script, policy, requests, PARTITIONS)
    limit = time.monotonic() + 240
    while len(begun.read_text().split()) < 4:
        assert running.poll() is None and time.monotonic() < limit, running.communicate()
        time.sleep(0.05)
    executors = below(running.pid)
    assert len(executors) == 2, executors
    os.kill(executors[0], signal.SIGKILL)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0 and json.loads(out) == expected, (out, err)
    starts = len(begun.read_text().split())
    assert starts > PARTITIONS, f"{starts} workers began: nothing was done again"
    print(f"one of two executors killed after 4 of {PARTITIONS} workers had begun; {starts} began: the same table", flush=True)


def below(pid):
    """The executors among the descendants of a process: nobody else's are touched."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(entry.name)] = (int(status[1]), (entry / "cmdline").read_bytes())
            except OSError:
                continue

    def descends(one):
        while one in parents:
            one = parents[one][0]
            if one == pid:
                return True
        return False

    return sorted(one for one, (_, line) in parents.items() if EXECUTOR in line and b"java" in line and descends(one))


def corrupt(belljar, policy, requests, work):
    lines = requests.read_text().splitlines(keepends=True)
    lines[ROWS // 2] = lines[ROWS // 2][:40] + "\n"
    wrong = work / "wrong.jsonl"
    wrong.write_text("".join(lines))
    running = job(belljar, policy, wrong, 3)
    out, err = running.communicate(timeout=300)
    assert running.returncode != 0 and not out, (out, err)
    assert b"125" in err, err
    print("a corrupt line: the job fails", flush=True)


if __name__ == "__main__":
    main()
