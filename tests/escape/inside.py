"""Runs inside: makes the attempts of one batch, each in a process of its own, and prints what each printed."""

import base64
import json
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import families  # noqa: F401, E402
from probe import PROBES  # noqa: E402

SECONDS_MAX = 2.0
BYTES_MAX = 1 << 20


class Context:
    """What an attempt knows."""

    def __init__(self, facts, token):
        self.__dict__.update(facts)
        self.token = token


def attempt(probe, context, output):
    os.dup2(output, 1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    try:
        said = probe.attempt(context)
        if isinstance(said, tuple):
            said = f"errno={said[1]}\n"
        if said is not None:
            os.write(1, said if isinstance(said, bytes) else str(said).encode())
        os._exit(0)
    except OSError as error:
        os.write(1, f"errno={error.errno}\n{error}\n".encode())
    except BaseException as error:
        os.write(1, f"failed: {type(error).__name__}: {error}\n".encode())
    os._exit(1)


def run(probe, context):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        attempt(probe, context, writing)
    os.close(writing)
    said, end, waits = b"", time.monotonic() + SECONDS_MAX, True
    while waits and len(said) < BYTES_MAX and time.monotonic() < end:
        if select.select([reading], [], [], 0.02)[0]:
            part = os.read(reading, 65536)
            said, waits = said + part, bool(part)
        # What it left running may hold the pipe for ever.
        elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    os.close(reading)
    if not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return said + (f"signal={os.WTERMSIG(status)}\n".encode() if os.WIFSIGNALED(status) else b"")


def main():
    with open(sys.argv[1]) as file:
        task = json.load(file)
    for name, token in task["probes"].items():
        said = run(PROBES[name], Context(task["facts"], token))
        line = f"@@ {token} {base64.b64encode(said).decode()}\n"
        os.write(1, line.encode())
    os.write(1, b"@@ done -\n")


main()
