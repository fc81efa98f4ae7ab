"""Secrets by their places: the home, other projects, other users, the system, the environment, the keyrings."""

import ctypes
import os

from kernel import LIBC, call
from probe import Answer, Leak, probe

# What holds the secret of this name in the home.
HOME = {
    "aws": ".aws/credentials", "netrc": ".netrc", "npm": ".npmrc", "gh": ".config/gh/hosts.yml", "docker": ".docker/config.json",
    "gnupg": ".gnupg/private-keys-v1.d/key", "bash history": ".bash_history", "firefox": ".mozilla/firefox/p/logins.json",
    "chrome": ".config/google-chrome/Default/Cookies", "kube": ".kube/config", "pypi": ".pypirc",
    "cargo": ".cargo/credentials.toml", "git credentials": ".git-credentials", "keyring": ".local/share/keyrings/login.keyring",
    "password store": ".password-store/mail.gpg", "python history": ".python_history", "gcloud": ".config/gcloud/credentials.db",
    "azure": ".azure/accessTokens.json", "vault": ".vault-token", "claude": ".claude/.credentials.json",
    "other dotenv": "other/.env", "other dotenv local": "other/web/.env.local", "other key": "other/deploy/id_rsa",
    "other tfstate": "other/terraform.tfstate", "other netrc": "other/.netrc", "other pem": "other/server.pem",
    "other keystore": "other/app.jks", "other ssh": "other/backup/.ssh/key-to-all", "other history": "other/logs/.bash_history",
    "other npm": "other/.npmrc", "other capitals": "other/deep/er/still/.ENV", "other profile": "other/profile/Login Data",
}
SYSTEM = {
    "other user": "/home/other/.ssh/id_rsa", "shadow": "/etc/shadow", "host key": "/etc/ssh/ssh_host_ed25519_key",
    "wireguard": "/etc/wireguard/wg0.conf", "wifi": "/etc/NetworkManager/system-connections/wifi",
    "crontab": "/var/spool/cron/crontabs/root", "run secrets": "/run/secrets/token", "file /tmp/host-file": "/tmp/host-file",
    "srv dotenv": "/srv/site/current/.env", "opt key": "/opt/app/server.key", "file /var/tmp/host-file": "/var/tmp/host-file", "file /dev/shm/host-file": "/dev/shm/host-file",
}


def read(at):
    with open(at, "rb") as file:
        return file.read(4096)


for secret, place in HOME.items():
    @probe("secrets", f"~/{place}", Leak(secret))
    def _(context, place=place):
        return read(f"{context.home}/{place}")

for secret, place in SYSTEM.items():
    @probe("secrets", place, Leak(secret))
    def _(context, place=place):
        return read(place)



def named(road):
    """A way to a secret that only its name tells, in another project."""
    return probe("secrets", f"another project's .env {road}", Leak("other dotenv"))


@named("through a symbolic link")
def _(context):
    os.symlink(f"{context.home}/other/.env", "settings")
    return read("settings")


@named("through a hard link")
def _(context):
    os.link(f"{context.home}/other/.env", f"{context.home}/other/settings")
    return read(f"{context.home}/other/settings")


@named("by another name")
def _(context):
    os.rename(f"{context.home}/other/.env", f"{context.home}/other/renamed")
    try:
        return read(f"{context.home}/other/renamed")
    finally:
        os.rename(f"{context.home}/other/renamed", f"{context.home}/other/.env")


def moved(context, to):
    os.makedirs(os.path.dirname(to), exist_ok=True)
    os.rename(f"{context.home}/other", to)
    try:
        return read(f"{to}/.env")
    finally:
        os.rename(to, f"{context.home}/other")


for road, to in [("in a directory of another name", "{home}/moved-project"), ("among packages", "{home}/.cargo/moved"),
                 ("among modules", "{home}/node_modules/moved"), ("in the own project", "{project}/moved-project")]:
    @named(road)
    def _(context, to=to):
        return moved(context, to.format(home=context.home, project=context.project))


@named("after an exchange of directories")
def _(context):
    os.makedirs(f"{context.home}/.cargo/exchanged")
    one, other = f"{context.home}/other".encode(), f"{context.home}/.cargo/exchanged".encode()
    if LIBC.renameat2(-100, one, -100, other, 2):
        raise OSError(ctypes.get_errno(), "renameat2")
    try:
        return read(f"{context.home}/.cargo/exchanged/.env")
    finally:
        LIBC.renameat2(-100, one, -100, other, 2)


@named("by every name in the directory")
def _(context):
    for name in os.listdir(f"{context.home}/other"):
        at = f"{context.home}/other/{name}"
        if os.path.isfile(at):
            os.write(1, read(at))


@named("from a descriptor of the directory")
def _(context):
    fd = os.open(f"{context.home}/other", os.O_RDONLY)
    return os.read(os.open(".env", os.O_RDONLY, dir_fd=fd), 4096)


@named("through /proc/self/root")
def _(context):
    return read(f"/proc/self/root{context.home}/other/.env")


for variable in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN", "DATABASE_URL"]:
    @probe("secrets", f"${variable}", Leak(f"variable {variable}"))
    def _(context, variable=variable):
        return os.environ.get(variable)

    @probe("secrets", f"${variable} in any process", Leak(f"variable {variable}"))
    def _(context, variable=variable):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                os.write(1, read(f"/proc/{pid}/environ"))
            except OSError:
                pass


@probe("secrets", "the environment of a process of the host", Leak("victim environment"))
def _(context):
    return read(f"/proc/{context.victims['environment']}/environ")


@probe("secrets", "the memory of any process", Leak("memory"))
def _(context):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/mem", "rb", 0) as memory:
                memory.seek(context.memory)
                os.write(1, memory.read(64))
        except (OSError, ValueError):
            pass


@probe("secrets", "the agent's socket is named", Answer())
def _(context):
    return 0 if os.environ.get("SSH_AUTH_SOCK") else 1, 0 if os.environ.get("SSH_AUTH_SOCK") else 2


@probe("secrets", "a key of the user's keyring", Answer())
def _(context):
    return call("keyctl", 0, -4, 1)


@probe("secrets", "a key is left in the user's keyring", Answer())
def _(context):
    return call("add_key", b"user", context.token.encode(), b"x", 1, -4)


@probe("secrets", "a key is asked for", Answer(126))
def _(context):
    return call("request_key", b"user", b"no-such-key", None, -4)


@probe("secrets", "the session keyring is joined", Answer())
def _(context):
    return call("keyctl", 1, None)
