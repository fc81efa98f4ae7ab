#!/usr/bin/env python3
"""Verifies an audit log of Belljar without any code of Belljar's: verify.py DIR [--key FILE] [--expected-head HEX]

DIR is the directory `audit` with its segments and, where a key was set up, the key of the present epoch. FILE holds the
first key. Prints one JSON document; exits with 1 where the log is not sound. What is checked is told in ARCHITECTURE.md.
"""
import argparse, hashlib, hmac, json, os, re

HEADER = re.compile(rb'\{"prev":"(.{64})","seq":(0|[1-9]\d*),"time_ms":(?:0|[1-9]\d*),"uid":(?:0|[1-9]\d*)')
CHECKPOINT = b',"trial":null,"stage":"checkpoint",'
SEAL = re.compile(rb',"seal":"([0-9a-f]{64})"\}$')
CUT = re.compile(rb'\{(?:"(?:p(?:r(?:e(?:v(?:"(?::(?:"[0-9a-f]{0,64}.*)?)?)?)?)?)?)?)?', re.S)

def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def extent(line):
    depth, in_text, escaped = 0, False, False
    for at, byte in enumerate(line):
        if escaped or (in_text and byte == 0x5C):
            escaped = not escaped
        elif byte == 0x22:
            in_text = not in_text
        elif byte == 0:
            return "foreign" if line[at:].strip(b"\0") else "cut"
        elif not in_text and byte == 0x7B:
            depth += 1
        elif not in_text and byte == 0x7D:
            depth -= 1
            if depth <= 0:
                return "whole" if depth == 0 and at + 1 == len(line) else "foreign"
    return "cut"

def is_beginning(line):
    """Whether this could be the beginning of a line: some end makes JSON of it."""
    line = line.rstrip(b"\0")
    if not line or not CUT.fullmatch(line):
        return False
    try:
        json.loads(line.decode("utf-8", "replace"))
        return False
    except json.JSONDecodeError as error:
        # Python points at the opening quote of a text that does not end; whatever else is wrong stops before the end.
        rest = error.doc[error.pos:]
        is_open = error.msg.startswith(("Unterminated string", "Invalid \\"))
        return is_open or not rest.strip() or any(word.startswith(rest) for word in ("true", "false", "null", "-"))

class Log:
    def __init__(self, key):
        self.head, self.peaks, self.lines, self.seq = bytes(32), [], 0, 0
        self.torn, self.broken, self.faults = [], [], []
        self.records = self.checkpoints = self.sealed = 0
        self.segment, self.at_start, self.first, self.epoch, self.key = 0, False, key, None, key

    def wrong(self, what):
        if self.lines not in self.broken:
            self.broken.append(self.lines)
        self.faults.append(f"line {self.lines} {what}")

    def line(self, line):
        self.lines += 1
        form, header = extent(line), HEADER.match(line)
        if form == "whole" and header:
            self.record(line, header)
        elif form == "cut" and is_beginning(line):
            self.torn.append(self.lines)
            rest = line[9:].rstrip(b"\0")[:64]
            if rest != self.head.hex().encode()[:len(rest)]:
                self.wrong("was cut short and does not follow")
        else:
            self.wrong("is no record")
        self.head = sha(self.head, line)
        node, size = sha(b"\0", line), self.lines - 1
        while size & 1:
            node, size = sha(b"\1", self.peaks.pop(), node), size >> 1
        self.peaks.append(node)

    def record(self, line, header):
        if header[1] != self.head.hex().encode() or int(header[2]) != self.seq:
            self.wrong("does not follow from the lines before it")
        self.seq += 1
        if line[header.end():].startswith(CHECKPOINT):
            self.checkpoints += 1
            self.checkpoint(line)
        else:
            self.records += 1
            if self.at_start:
                self.wrong("begins a segment and is no checkpoint")
        self.at_start = False

    def checkpoint(self, line):
        seal = SEAL.search(line)
        try:
            told = json.loads(line)
            tree, segment, epoch = (told["lines"], told["peaks"]), told["segment"], told["epoch"]
            covered, seal = line[:seal.start()], bytes.fromhex(seal[1].decode())
        except (ValueError, KeyError, AttributeError):
            return self.wrong("is no checkpoint as they are written")
        if tree != (self.lines - 1, [peak.hex() for peak in self.peaks]) or segment != self.segment:
            self.wrong("is a checkpoint over other lines or of another segment")
        if epoch is None:
            if self.epoch is not None or seal != sha(covered):
                self.wrong("is a checkpoint without a key, or with another digest")
            return
        self.sealed += 1
        if epoch != (0 if self.epoch is None else self.epoch + 1):
            self.wrong("does not continue the epochs")
        elif self.first is not None:
            self.key = self.first if epoch == 0 else sha(b"belljar audit key", self.key)
            if not hmac.compare_digest(hmac.digest(self.key, covered, "sha256"), seal):
                self.wrong("is not sealed by its key")
        self.epoch = epoch

    def key_beside(self, path):
        sealed = 0 if self.epoch is None else self.epoch + 1
        if not os.path.exists(path):
            return self.faults.append("the key beside the log is missing") if sealed or self.first is not None else None
        told = re.fullmatch(r"(\d{20}) ([0-9a-f]{64})\n", open(path).read())
        if not told or int(told[1]) > sealed:
            self.faults.append("the key beside the log is none, or of a later epoch: the end was cut off")
        elif self.first is not None:
            key = self.first
            for _ in range(int(told[1])):
                key = sha(b"belljar audit key", key)
            if key.hex() != told[2]:
                self.faults.append("the key beside the log does not come from the first key")

def main():
    parser = argparse.ArgumentParser()
    for name in ["dir", "--key", "--expected-head"]:
        parser.add_argument(name)
    args = parser.parse_args()
    log = Log(bytes.fromhex(open(args.key).read().strip()) if args.key else None)
    closed = sorted(name for name in os.listdir(args.dir) if re.fullmatch(r"log\.\d+\.jsonl", name))
    active = [name for name in ["log.jsonl"] if os.path.exists(os.path.join(args.dir, name))]
    for place, name in enumerate(closed + active):
        log.segment, log.at_start = place, place > 0
        if name in closed and int(name.split(".")[1]) != place:
            log.faults.append("a segment is missing")
        with open(os.path.join(args.dir, name), "rb") as file:
            for line in file:
                log.line(line.removesuffix(b"\n"))
    log.key_beside(os.path.join(args.dir, "key"))
    head, sound = log.head.hex(), not log.faults and args.expected_head in (None, log.head.hex())
    print(json.dumps({"sound": sound, "head": head, "records": log.records, "checkpoints": log.checkpoints,
                      "sealed": log.sealed, "torn": log.torn, "broken": log.broken[:1000], "faults": log.faults[:20]}))
    raise SystemExit(0 if sound else 1)

main()
