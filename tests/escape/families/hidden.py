"""Secrets by their places: the home, other projects, other users, the system, the environment, the keyrings."""

import os

from kernel import call
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
    "other keystore": "other/app.jks",
}
SYSTEM = {
    "other user": "/home/other/.ssh/id_rsa", "shadow": "/etc/shadow", "host key": "/etc/ssh/ssh_host_ed25519_key",
    "wireguard": "/etc/wireguard/wg0.conf", "wifi": "/etc/NetworkManager/system-connections/wifi",
    "crontab": "/var/spool/cron/crontabs/root", "run secrets": "/run/secrets/token", "file /tmp/host-file": "/tmp/host-file",
    "file /var/tmp/host-file": "/var/tmp/host-file", "file /dev/shm/host-file": "/dev/shm/host-file",
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
