"""How each tool is told: the system readable, the workspace writable, no network, nothing else."""

import json
import os
import shutil

PEERS = os.environ.get("BELLJAR_PEERS", "/opt/peers/node_modules/.bin")


def bare(world, batch, limit):
    return []


def belljar(world, batch, limit):
    apply = "always" if batch == "applied" else "discard"
    return ["/usr/local/bin/belljar", "run", "--apply", apply, *(["--limit", limit] if limit else []), "--"]


def belljar_nested(world, batch, limit):
    """A jar that allows others inside."""
    words = belljar(world, batch, limit)
    return [*words[:2], "--allow-nested", *words[2:]]


def belljar_bare(world, batch, limit):
    """Where namespaces are withheld, as by Docker's profile: `one` in suite.py puts the filter there."""
    return ["/usr/bin/python3", "-B", "/usr/local/bin/withhold.py", "docker", *belljar(world, batch, limit)]


def bwrap(world, batch, limit):
    return ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run",
            "--bind", world.project, world.project, "--unshare-all", "--die-with-parent",
            *(["--new-session"] if batch == "terminal" else []), "--chdir", world.project, "--"]


def firejail(world, batch, limit):
    own = [] if world.root else ["--noroot"]
    limits = {"pids": "--rlimit-nproc", "fds": "--rlimit-nofile", "cpu": "--rlimit-cpu"}
    given = [f"{limits[name]}={value}" for name, value in [limit.split("=")] if name in limits] if "=" in limit else []
    return ["firejail", "--quiet", "--noprofile", "--net=none", "--read-only=/", f"--read-write={world.project}",
            "--private-tmp", "--private-dev", "--ipc-namespace", "--caps.drop=all", "--seccomp", "--nonewprivs",
            "--blacklist=~/.ssh", "--blacklist=~/.aws", "--blacklist=~/.gnupg", "--deterministic-exit-code", *own, *given, "--"]


def srt(world, batch, limit):
    settings = {"network": {"allowedDomains": [], "deniedDomains": []},
                "filesystem": {"denyRead": ["~/.ssh", "~/.aws", "~/.gnupg"], "allowWrite": [world.project], "denyWrite": []}}
    with open("/run/layers/srt.json", "w") as file:
        json.dump(settings, file)
    shutil.copy("/run/layers/srt.json", "/usr/local/srt.json")
    return [f"{PEERS}/srt", "--settings", "/usr/local/srt.json", "--"]


def codex(world, batch, limit):
    return [f"{PEERS}/codex", "sandbox", "-c", 'sandbox_mode="workspace-write"', "--"]


TOOLS = {tool.__name__: tool for tool in [bare, belljar, belljar_nested, belljar_bare, bwrap, firejail, srt, codex]}
