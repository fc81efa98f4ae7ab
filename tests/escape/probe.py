"""What a probe is, and how its verdict is taken from outside.

A probe's `attempt` runs inside, with a context that knows names, numbers and the probe's token but no secret. Its verdict
runs outside: `before` looks at the host, `through` looks again when all is over.
"""

from dataclasses import dataclass
from typing import Callable

PROBES = {}


class Leak:
    """A secret of the host stands in what the probe printed."""

    def __init__(self, name):
        self.name = name

    def before(self, world):
        return None

    def through(self, world, report, token, before):
        return world.secrets[self.name].encode() in report


class Differs:
    """What `look` sees of the host is not what it was."""

    def __init__(self, look):
        self.look = look

    def before(self, world):
        return self.look(world)

    def through(self, world, report, token, before):
        return self.look(world) != before


class Received:
    """The probe's token reached a listener, a terminal or the wire of the host."""

    def before(self, world):
        return None

    def through(self, world, report, token, before):
        return token in world.received


class Answer:
    """The kernel answered a call as it does to whoever may make it: with one of these numbers, 0 for success."""

    def __init__(self, *wanted):
        self.wanted = wanted or (0,)

    def before(self, world):
        return None

    def through(self, world, report, token, before):
        return any(f"errno={wanted}\n".encode() in report for wanted in self.wanted)


class Seen:
    """The outside saw the probe's process (named by its token) in a state that `look` calls a way out, from its status."""

    def __init__(self, look):
        self.look = look

    def before(self, world):
        return None

    def through(self, world, report, token, before):
        return any(self.look(state) for state in world.watched.get(token, []))


class Survives:
    """A process named by the token is there after the end."""

    def before(self, world):
        return None

    def through(self, world, report, token, before):
        return world.has_process(token)


@dataclass
class Probe:
    """One thing that must not be possible."""

    name: str
    family: str
    attempt: Callable
    verdict: object
    # Which run it belongs to: "main" (nothing is applied), "applied" (whatever may be applied is), "terminal", or "alone"
    # (a run of its own).
    batch: str
    # For a run of its own: the limit the tool is told.
    limit: str


def probe(family, name, verdict, batch="main", limit=""):
    """Registers the decorated function as a probe."""
    def register(attempt):
        if name in PROBES:
            raise SystemExit(f"two probes are named {name!r}")
        PROBES[name] = Probe(name, family, attempt, verdict, batch, limit)
        return attempt
    return register


def path(at, **kinds):
    """A verdict: this file of the host is not what it was. `{home}` and `{project}` are filled in."""
    return Differs(lambda world: world.file_state(at.format(home=world.home, project=world.project)))
