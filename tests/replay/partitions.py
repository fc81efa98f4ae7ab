#!/usr/bin/env python3
"""Pipes the requests of a file through workers, cut and shuffled in many ways, as Spark does it, but without Spark.

    partitions.py BELLJAR POLICY REQUESTS
"""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

PARTITIONS = [1, 2, 7, 50]


def run(belljar, policy, options, lines):
    command = [belljar, "policy", "replay", "built-in", policy, *options]
    return subprocess.run(command, input="".join(lines), capture_output=True, text=True)


def good(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def main():
    belljar, policy, requests = sys.argv[1:]
    with open(requests, encoding="utf-8") as file:
        lines = file.readlines()
    expected = good(run(belljar, policy, ["-", "--json"], lines))
    assert good(run(belljar, policy, ["-", "--json", "--threads", "3"], lines)) == expected
    chance = random.Random(7)
    for count in PARTITIONS:
        shuffled = lines[:]
        chance.shuffle(shuffled)
        parts = [[] for _ in range(count)]
        for line in shuffled:
            chance.choice(parts).append(line)
        with ThreadPoolExecutor(2) as pool:
            tables = list(pool.map(lambda part: good(run(belljar, policy, ["--worker"], part)), parts))
        chance.shuffle(tables)
        assert good(run(belljar, policy, ["--merge", "--json"], tables)) == expected, f"{count} partitions"
        print(f"{count} partitions, shuffled: the same table")
    for wrong in ["\n", '{"v":2,"inexact":"cut"}\n', lines[0][: len(lines[0]) // 2] + "\n"]:
        at = chance.randrange(len(lines))
        done = run(belljar, policy, ["--worker"], lines[:at] + [wrong] + lines[at:])
        assert done.returncode == 125 and done.stdout == "", done
        assert f"line {at + 1}:" in done.stderr, (at, done.stderr)
        # The first of several, whichever thread comes to it first.
        twice = [wrong if number in (at, len(lines) - 1) else line for number, line in enumerate(lines)]
        done = run(belljar, policy, ["-", "--threads", "4"], twice)
        assert done.returncode == 125 and f"line {at + 1}:" in done.stderr, (at, done.stderr)
    cut = run(belljar, policy, ["--worker"], [*lines, lines[0][:-10]])
    assert cut.returncode == 125 and f"line {len(lines) + 1}:" in cut.stderr, cut
    # Tables of other policies are not merged, nor is what is no table.
    other = good(run(belljar, "built-in", ["--worker"], lines))
    assert run(belljar, policy, ["--merge"], [other]).returncode == 125
    for wrong in ["{}\n", tables[0].replace('"rows":', '"rows":1'), tables[0][:100] + "\n"]:
        assert run(belljar, policy, ["--merge"], [*tables, wrong]).returncode == 125, wrong
    print("what is corrupt fails with its line")


if __name__ == "__main__":
    main()
