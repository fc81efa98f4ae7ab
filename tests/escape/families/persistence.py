"""What outlives the end: processes, and files that somebody's tool will execute. The second kind runs where whatever may
be applied without a person is applied."""

import os
import signal
import subprocess
import time

from kernel import LIBC
from probe import Survives, path, probe

PROJECT = [
    ".git/hooks/pre-commit", ".git/hooks/post-checkout", "vendor/lib/.git/hooks/pre-commit", ".git/config", "vendor/lib/.git/config",
    ".git/info/attributes", ".gitattributes", ".gitmodules", ".envrc", ".vscode/tasks.json", ".vscode/settings.json", ".idea/workspace.xml",
    ".devcontainer/devcontainer.json", ".github/workflows/build.yml", ".gitlab-ci.yml", ".husky/pre-commit", ".pre-commit-config.yaml",
    ".mcp.json", ".claude/settings.json", "CLAUDE.md", "AGENTS.md", ".cursor/mcp.json", ".codex/config.toml", ".gemini/settings.json",
    ".cargo/config.toml", ".npmrc", ".yarnrc.yml", ".pnpmfile.cjs", "mise.toml", ".tool-versions", "rust-toolchain.toml", "build.rs",
    "conftest.py", "sitecustomize.py", "deep/er/.envrc", "deep/er/.git/hooks/post-merge", "deep/CLAUDE.md", ".ENVRC", ".GIT/hooks/x",
    "pip.conf", ".lldbinit", ".gdbinit", ".vimrc", ".exrc",
]
HOME = [
    ".bashrc", ".profile", ".zshrc", ".bash_logout", ".ssh/authorized_keys", ".ssh/config", ".gitconfig", ".config/git/config",
    ".config/systemd/user/backup.service", ".config/autostart/chat.desktop", ".local/bin/git", "bin/tool", ".config/fish/config.fish",
    ".cargo/config.toml", ".config/pip/pip.conf", ".vimrc", ".xprofile", ".npmrc", ".config/environment.d/x.conf", ".pam_environment",
    ".local/share/applications/x.desktop", ".config/nvim/init.lua", ".tmux.conf", ".inputrc", ".config/direnv/direnvrc",
    ".claude/settings.json", ".local/lib/python3.11/site-packages/x.pth",
]


def append(at):
    os.makedirs(os.path.dirname(at) or ".", exist_ok=True)
    with open(at, "a") as file:
        file.write("# changed\n")


for name in PROJECT:
    @probe("persistence", f"left in the project's {name}", path("{project}/" + name), "applied")
    def _(context, name=name):
        append(name)
        os.chmod(name, 0o755)

for name in HOME:
    @probe("persistence", f"left in ~/{name}", path("{home}/" + name), "applied")
    def _(context, name=name):
        append(f"{context.home}/{name}")


@probe("persistence", "a hook by a renamed directory", path("{project}/vendor/other/.git/hooks/pre-commit"), "applied")
def _(context):
    append("vendor/other/.dot/hooks/pre-commit")
    os.rename("vendor/other/.dot", "vendor/other/.git")


@probe("persistence", "a hook by a link to a directory", path("{project}/linked/.git/hooks"), "applied")
def _(context):
    append("harmless/pre-commit")
    os.makedirs("linked/.git")
    os.symlink("../../harmless", "linked/.git/hooks")


@probe("persistence", "a link out of the workspace", path("{project}/out"), "applied")
def _(context):
    os.symlink(f"{context.home}/.ssh/authorized_keys", "out")


@probe("persistence", "the user's crontab", path("/var/spool/cron/crontabs/bjtest"))
def _(context):
    append("/var/spool/cron/crontabs/bjtest")


@probe("persistence", "a job of at(1)", path("/var/spool/cron/atjobs/a00001"))
def _(context):
    append("/var/spool/cron/atjobs/a00001")


def stay(context):
    """Goes on for long under the probe's name, and keeps nothing open that somebody waits for."""
    LIBC.prctl(15, context.token.encode(), 0, 0, 0)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.closerange(3, 64)
    time.sleep(60)
    os._exit(0)


def survivor(name):
    return probe("persistence", name, Survives())


@survivor("a process in the background")
def _(context):
    os.fork() or stay(context)


@survivor("a process in a session of its own")
def _(context):
    if os.fork() == 0:
        os.setsid()
        stay(context)


@survivor("a daemon")
def _(context):
    if os.fork() == 0:
        os.setsid()
        os.fork() or stay(context)
        os._exit(0)


@survivor("a daemon that hears no signals")
def _(context):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 32):
            if number not in [signal.SIGKILL, signal.SIGSTOP]:
                signal.signal(number, signal.SIG_IGN)
        os.fork() or stay(context)
        os._exit(0)


@survivor("a stopped process")
def _(context):
    child = os.fork()
    if child == 0:
        stay(context)
    time.sleep(0.05)
    os.kill(child, signal.SIGSTOP)


@survivor("a process that traces itself a child")
def _(context):
    child = os.fork()
    if child == 0:
        LIBC.ptrace(0, 0, 0, 0)
        stay(context)
    time.sleep(0.05)


@survivor("a process by nohup and setsid")
def _(context):
    null = subprocess.DEVNULL
    script = f"import ctypes, time; ctypes.CDLL(None).prctl(15, b'{context.token}', 0, 0, 0); time.sleep(60)"
    subprocess.Popen(["setsid", "nohup", "/usr/bin/python3", "-Ic", script], stdin=null, stdout=null, stderr=null)
    time.sleep(0.3)
