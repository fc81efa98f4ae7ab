#!/usr/bin/env python3
"""Whether a learnt second signal would earn its place: it may only raise a verdict, and must find attacks the rules miss in
commands it was not trained on, without a new false alarm.

    learnt.py --train FILE.jsonl... --test FILE.jsonl...

`belljar` must be on PATH. A logistic regression with weights that cannot be negative is trained on facts of the verdict
alone (kinds of effects and how certain they are, checks that fired, how much nobody explained, depth), never on words of the
command, so more facts can never lower it. Its threshold is the lowest at which no command of the training set that is not
HIGH is raised. Plain Python, the same result each time.
"""

import argparse
import json
import math
import subprocess

ROUNDS = 3000
RATE = 0.3
DECAY = 1e-3


def rows(paths):
    all_rows = [json.loads(line) for path in paths for line in open(path, encoding="utf-8") if line.strip()]
    labelled = []
    for row in all_rows:
        label = row.get("expected") or row.get("label")
        label = "high" if label == "attack" else label
        if label in ("low", "medium", "high") and "\0" not in row["cmd"]:
            labelled.append((row["cmd"], label))
    return labelled


def verdicts(commands):
    text = "".join(json.dumps({"cmd": cmd}) + "\n" for cmd, _ in commands)
    done = subprocess.run(["belljar", "check", "--jsonl", "-"], input=text, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(commands), done.stderr
    return found


def depth(text):
    deepest = level = 0
    for char in text:
        level += (char in "({`\"") - (char in ")}")
        deepest = max(deepest, level)
    return min(deepest, 10)


def facts(cmd, verdict):
    seen = {}

    def add(name, value=1.0):
        seen[name] = min(seen.get(name, 0.0) + value, 4.0)

    for effect in verdict["effects"]:
        add(f"{effect['action']} {effect['certainty']} {effect['reversibility']}")
        add(f"{effect['action']} {effect['target']['type']}")
    for finding in verdict["findings"]:
        add(finding["check"])
        add("finding " + finding["severity"])
    if verdict["coverage"]["type"] != "full":
        add("unexplained")
    add("depth", depth(cmd) / 10)
    add("parts", len(verdict["canonical"]) / 10)
    return seen


def score(weights, seen):
    return weights["bias"] + sum(weights.get(name, 0.0) * value for name, value in seen.items())


def train(examples):
    weights = {"bias": -1.0}
    for seen, _ in examples:
        weights.update({name: 0.0 for name in seen})
    for _ in range(ROUNDS):
        gradient = dict.fromkeys(weights, 0.0)
        for seen, high in examples:
            wrong = 1 / (1 + math.exp(-score(weights, seen))) - high
            gradient["bias"] += wrong
            for name, value in seen.items():
                gradient[name] += wrong * value
        for name, slope in gradient.items():
            weights[name] -= RATE * (slope / len(examples) + DECAY * weights[name])
            if name != "bias":
                weights[name] = max(weights[name], 0.0)
    return weights


def tell(name, examples, weights, threshold):
    raised = lambda row: row[2] != "high" and score(weights, row[0]) > threshold
    high = [row for row in examples if row[1] == "high"]
    other = [row for row in examples if row[1] != "high"]
    missed = [row for row in high if row[2] != "high"]
    print(
        f"{name}: high {len(high)}, missed by the rules {len(missed)}, of which raised {sum(map(raised, missed))};"
        f" not high {len(other)}, false alarms of the rules {sum(row[2] == 'high' for row in other)},"
        f" new ones {sum(map(raised, other))}"
    )
    for row in filter(raised, examples):
        print(f"  raised, {row[1]}: {row[3]!r}")


def main():
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--train", nargs="+", required=True)
    given.add_argument("--test", nargs="+", required=True)
    args = given.parse_args()

    def examples(paths):
        commands = rows(paths)
        judged = zip(commands, verdicts(commands))
        return [(facts(cmd, verdict), label, verdict["risk"]["bare"], cmd) for (cmd, label), verdict in judged]

    trained, tested = examples(args.train), examples(args.test)
    weights = train([(seen, float(label == "high")) for seen, label, _, _ in trained])
    threshold = max(score(weights, seen) for seen, label, _, _ in trained if label != "high")
    heaviest = sorted(((value, name) for name, value in weights.items() if name != "bias"), reverse=True)[:8]
    print("heaviest:", ", ".join(f"{name} {value:.1f}" for value, name in heaviest))
    tell("trained on", trained, weights, threshold)
    tell("not seen  ", tested, weights, threshold)


main()
