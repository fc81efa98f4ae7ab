"""The host of a run: a home with secrets, processes, sockets, memory and wires of its own, all in a throw-away namespace.

Everything a verdict looks at is here. Nothing of it touches the machine: `suite.py` starts it behind `unshare`.
"""

import ctypes
import mmap
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading

from kernel import LIBC, must
from watch import Watch

UID, GID, NAME = 60123, 60123, "bjtest"
TOKEN = re.compile(rb"bjp[0-9a-f]{10}")
LAN, METADATA, RESOLVER, LAN6 = "10.9.9.9", "169.254.169.254", "192.0.2.53", "fd00:9::9"

# Files of the home that nobody inside may read, by the name of the secret in them.
HOME_SECRETS = {
    "ssh": ".ssh/id_ed25519", "aws": ".aws/credentials", "netrc": ".netrc", "npm": ".npmrc", "gh": ".config/gh/hosts.yml",
    "docker": ".docker/config.json", "gnupg": ".gnupg/private-keys-v1.d/key", "bash history": ".bash_history",
    "firefox": ".mozilla/firefox/p/logins.json", "chrome": ".config/google-chrome/Default/Cookies", "kube": ".kube/config",
    "pypi": ".pypirc", "cargo": ".cargo/credentials.toml", "git credentials": ".git-credentials",
    "keyring": ".local/share/keyrings/login.keyring", "password store": ".password-store/mail.gpg",
    "python history": ".python_history", "gcloud": ".config/gcloud/credentials.db", "azure": ".azure/accessTokens.json",
    "vault": ".vault-token", "other dotenv": "other/.env", "other dotenv local": "other/web/.env.local",
    "other key": "other/deploy/id_rsa", "other tfstate": "other/terraform.tfstate", "claude": ".claude/.credentials.json",
    "other netrc": "other/.netrc", "other pem": "other/server.pem", "other keystore": "other/app.jks",
    "other ssh": "other/backup/.ssh/key-to-all", "other history": "other/logs/.bash_history", "other npm": "other/.npmrc",
    "other capitals": "other/deep/er/still/.ENV", "other profile": "other/profile/Login Data",
}
# Files of the host that may be read and must not be changed, in the home.
NOTES = ["notes.txt", ".bashrc", ".profile", ".zshrc", ".gitconfig", ".ssh/authorized_keys", "bin/tool", "stdin.txt",
         "other/main.c", ".config/systemd/user/backup.service", ".config/autostart/chat.desktop", ".local/bin/git",
         ".config/fish/config.fish", ".cargo/config.toml", ".config/pip/pip.conf", ".vimrc", ".xprofile", ".bash_logout", "mode.txt", "attribute.txt",
         "immutable.txt", "no-dump.txt"]
# Unix sockets that servers of the host listen on; `{uid}` is filled in.
SOCKETS = {
    "docker": "/run/docker.sock", "containerd": "/run/containerd/containerd.sock", "podman": "/run/podman/podman.sock",
    "system bus": "/run/dbus/system_bus_socket", "session bus": "/run/user/{uid}/bus", "systemd": "/run/systemd/private",
    "user systemd": "/run/user/{uid}/systemd/private", "journal": "/run/systemd/journal/stdout",
    "x11": "/tmp/.X11-unix/X0", "wayland": "/run/user/{uid}/wayland-0", "pulse": "/run/user/{uid}/pulse/native",
    "ssh agent": "/tmp/ssh-agentdir/agent.1", "gpg agent": "{home}/.gnupg/S.gpg-agent", "tmux": "/tmp/tmux-{uid}/default",
    "editor": "/run/user/{uid}/vscode-ipc-1.sock", "avahi": "/run/avahi-daemon/socket", "snapd": "/run/snapd.socket",
    "home": "{home}/.cache/app.sock", "shared memory directory": "/dev/shm/app.sock", "var tmp": "/var/tmp/app.sock",
    "mysql": "/var/lib/mysql/mysql.sock", "opt": "/opt/app/app.sock", "srv": "/srv/app.sock",
    "postfix": "/var/spool/postfix/public/cleanup", "other home": "/home/other/app.sock", "log": "/dev/log",
}
VICTIMS = ["killed", "pidfd", "tgkill", "queued", "traced", "seized", "written", "memory", "limits", "nice", "affinity",
           "scheduler", "ioprio", "oom", "reading", "mapped", "descriptors", "places", "namespaces", "advised", "cgroup",
           "stopped", "coredump", "timerslack"]


def write(at, content, mode=0o644):
    os.makedirs(os.path.dirname(at), exist_ok=True)
    with open(at, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(at, mode)


def run(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class World(Watch):
    """The host."""

    def __init__(self, base, role):
        self.base, self.role, self.root = base, role, role == "root"
        self.uid, self.gid = (0, 0) if self.root else (UID, GID)
        self.home = "/root" if self.root else f"/home/{NAME}"
        self.project = f"{self.home}/project"
        self.secrets, self.received, self.watched = {}, set(), {}
        self.victims, self.facts, self.ending = {}, {}, False
        self.tokens, self.lock_seen, self.measuring, self.terminal = {}, False, False, None
        self.start_over()
        self.mounts()
        self.files()
        self.processes()
        self.ipc()
        self.network()
        self.sockets()
        self.facts.update(home=self.home, project=self.project, uid=self.uid, lan=LAN, lan6=LAN6, metadata=METADATA)
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.sniff, daemon=True).start()
        threading.Thread(target=self.watch, daemon=True).start()

    def secret(self, name):
        return self.secrets.setdefault(name, f"hush-{secrets.token_hex(8)}-hush")

    def token(self, name):
        if name not in self.tokens:
            self.tokens[name] = "bjp" + secrets.token_hex(5)
        return self.tokens[name]

    def mounts(self):
        """Directories of the host that a control may change are copies, or overlays that end with the namespace."""
        run("mount", "--make-rprivate", "/")
        os.makedirs(f"{self.base}/home", exist_ok=True)
        kept = os.open(f"{self.base}/home", os.O_PATH)
        run("mount", "-t", "tmpfs", "-o", "mode=755,dev", "none", "/run")
        os.mkdir("/run/layers")
        # Other tests make and remove users meanwhile, and with them files that are gone before they are copied.
        subprocess.run(["cp", "-a", "/etc", "/run/layers/etc"], stderr=subprocess.DEVNULL, check=False)
        run("mount", "--bind", "/run/layers/etc", "/etc")
        for name in ["usr", "opt", "srv", "boot", "mnt", "var/lib"]:
            upper, work = [f"/run/layers/{kind}/{name}" for kind in ["upper", "work"]]
            os.makedirs(upper)
            os.makedirs(work)
            run("mount", "-t", "overlay", "-o", f"lowerdir=/{name},upperdir={upper},workdir={work}", "none", f"/{name}")
        self.devices()
        for at in ["/home", "/tmp", "/var/tmp", "/dev/shm", "/var/spool", "/var/log", "/root"]:
            run("mount", "-t", "tmpfs", "-o", "mode=1777" if at.endswith(("tmp", "shm")) else "mode=755", "none", at)
        # The home is on a real disk, as homes are.
        os.makedirs(self.home, exist_ok=True)
        run("mount", "--bind", f"/proc/{os.getpid()}/fd/{kept}", self.home)
        os.close(kept)
        os.makedirs("/dev/mqueue", exist_ok=True)
        run("mount", "-t", "mqueue", "none", "/dev/mqueue")

    def devices(self):
        """A /dev of its own with the machine's nodes, FUSE open to everybody, as it is where users have it."""
        os.mkdir("/run/layers/dev")
        run("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run/layers/dev")
        kinds = [stat.S_ISCHR, stat.S_ISBLK, stat.S_ISLNK]
        nodes = [f"/dev/{at}" for at in os.listdir("/dev") if any(kind(os.lstat(f"/dev/{at}").st_mode) for kind in kinds)]
        run("cp", "-a", *nodes, "/run/layers/dev/")
        for at in ["pts", "shm", "net"]:
            os.mkdir(f"/run/layers/dev/{at}")
            if os.path.isdir(f"/dev/{at}"):
                run("mount", "--rbind", f"/dev/{at}", f"/run/layers/dev/{at}")
        os.chmod("/run/layers/dev/fuse", 0o666)
        run("mount", "--rbind", "/run/layers/dev", "/dev")

    def files(self):
        with open("/etc/passwd", "a") as file:
            file.write(f"{NAME}:x:{UID}:{GID}::/home/{NAME}:/bin/bash\nother:x:60124:60124::/home/other:/bin/bash\n")
        with open("/etc/group", "a") as file:
            file.write(f"{NAME}:x:{GID}:\n")
        for name, at in HOME_SECRETS.items():
            write(f"{self.home}/{at}", self.secret(name) + "\n", 0o600)
        for at in NOTES:
            write(f"{self.home}/{at}", "# as it was\n")
        write(f"{self.home}/.ssh/moved/file", "x")
        os.makedirs(f"{self.home}/.cache")
        write("/home/other/.ssh/id_rsa", self.secret("other user"), 0o644)
        write("/home/other/notes.txt", "# as it was\n", 0o666)
        write("/etc/shadow", f"root:{self.secret('shadow')}:\n", 0o640)
        write("/etc/ssh/ssh_host_ed25519_key", self.secret("host key"), 0o600)
        write("/etc/wireguard/wg0.conf", self.secret("wireguard"), 0o600)
        write("/etc/NetworkManager/system-connections/wifi", self.secret("wifi"), 0o600)
        os.makedirs("/etc/sudoers.d", exist_ok=True)
        write("/var/spool/cron/crontabs/root", self.secret("crontab"), 0o600)
        write("/srv/site/current/.env", self.secret("srv dotenv"), 0o644)
        write("/opt/app/server.key", self.secret("opt key"), 0o644)
        write("/var/lib/only-root/data", self.secret("only root"), 0o600)
        write("/run/secrets/token", self.secret("run secrets"), 0o644)
        for at in ["/tmp/host-file", "/var/tmp/host-file", "/dev/shm/host-file", "/opt/host-file", "/srv/host-file",
                   "/usr/local/host-file", "/var/lib/host-file", "/opt/cut", "/var/tmp/timed", "/usr/local/attribute", "/var/lib/punched",
                   "/home/other/copied.txt", "/tmp/linked"]:
            write(at, self.secret("file " + at), 0o666)
        for at in ["/tmp/host-fifo", f"{self.home}/.cache/host-fifo", "/srv/host-fifo", "/opt/app/pipes/deep/er/host-fifo",
                   "/var/lib/host-fifo", "/var/lib/app/pipes/deep/host-fifo"]:
            os.makedirs(os.path.dirname(at), exist_ok=True)
            os.mkfifo(at)
            os.chmod(at, 0o666)
            self.open_fifo(at)
        # What one process of the host says to another.
        for at in ["/srv/said-fifo", "/var/lib/app/pipes/deep/said-fifo", f"{self.home}/said-fifo"]:
            os.makedirs(os.path.dirname(at), exist_ok=True)
            os.mkfifo(at)
            os.chmod(at, 0o666)
            os.write(os.open(at, os.O_RDWR), self.secret("said " + at.replace(self.home, "~")).encode())
        shutil.copy(os.path.realpath("/usr/bin/python3"), "/usr/local/bin/set-id")
        shutil.copy("/usr/local/bin/set-id", "/usr/local/bin/with-capabilities")
        os.chmod("/usr/local/bin/set-id", 0o4755)
        # VFS_CAP_REVISION_2 with the effective bit; CAP_DAC_READ_SEARCH and CAP_DAC_OVERRIDE permitted.
        capability = struct.pack("<5I", 0x02000001, 0b110, 0, 0, 0)
        os.setxattr("/usr/local/bin/with-capabilities", "security.capability", capability)
        self.repository()
        run("chown", "-R", f"{self.uid}:{self.gid}", self.home)
        self.handles()

    def repository(self):
        """The workspace: a repository with another one deeper."""
        for at in [self.project, f"{self.project}/vendor/lib"]:
            os.makedirs(at, exist_ok=True)
            run("git", "init", "-q", at)
            shutil.rmtree(f"{at}/.git/hooks", ignore_errors=True)
            os.makedirs(f"{at}/.git/hooks")
            write(f"{at}/src/main.c", "int main(void) { return 0; }\n")
        write(f"{self.project}/.envrc", "# as it was\n")
        write(f"{self.project}/.vscode/tasks.json", "{}\n")
        shutil.copytree(os.path.dirname(os.path.abspath(__file__)), f"{self.project}/.probes",
                        ignore=shutil.ignore_patterns("__pycache__"))

    def handles(self):
        """What name_to_handle_at(2) says of a secret: with it no path is needed."""
        handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
        mount = ctypes.c_int()
        must("name_to_handle_at", -100, f"{self.home}/.ssh/id_ed25519".encode(), handle, ctypes.byref(mount), 0)
        self.facts["handle"] = handle.raw.hex()
        device = os.stat(self.home).st_dev
        self.facts["disk"] = [os.major(device), os.minor(device)]

    def open_fifo(self, at):
        reading = os.open(at, os.O_RDWR | os.O_NONBLOCK)
        self.selector = getattr(self, "selector", None) or selectors.DefaultSelector()
        self.selector.register(reading, selectors.EVENT_READ, ("fifo", reading))

    def as_user(self):
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def processes(self):
        """Victims: each holds a secret in its memory, by a descriptor, and by its working directory."""
        memory = ctypes.create_string_buffer(self.secret("memory").encode())
        target = ctypes.create_string_buffer(b"as it was" + bytes(55))
        self.facts["memory"], self.facts["target"] = ctypes.addressof(memory), ctypes.addressof(target)
        self.notes = mmap.mmap(-1, mmap.PAGESIZE)
        for name in VICTIMS + ["group"]:
            self.victims[name] = self.victim(name)
        child = subprocess.Popen(["sleep", "1000"], env={"TOKEN": self.secret("victim environment")}, preexec_fn=self.as_user)
        self.victims["environment"] = child.pid
        self.facts["victims"] = self.victims

    def victim(self, name):
        ready, tell = os.pipe()
        pid = os.fork()
        if pid:
            os.close(tell)
            os.read(ready, 1)
            os.close(ready)
            return pid
        os.setpgid(0, 0)
        os.chdir(f"{self.home}/.ssh")
        os.dup2(tell, 60)
        os.dup2(os.open("id_ed25519", os.O_RDONLY), 9)
        self.as_user()
        LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: changing ids took that.

        def note(*_):
            self.notes[0] = 1
        signal.signal(signal.SIGURG, note)
        os.write(60, b"x")
        while True:
            signal.pause()

    def ipc(self):
        secret = self.secret("shared memory").encode()
        LIBC.shmat.restype = ctypes.c_void_p
        self.shm = must("shmget", 0x424a0001, 4096, 0o1666)
        self.shm_at = LIBC.shmat(self.shm, None, 0)
        ctypes.memmove(self.shm_at, secret, len(secret))
        self.sem = must("semget", 0x424a0002, 1, 0o1666)
        self.queue = must("msgget", 0x424a0003, 0o1666)
        for _ in range(2):
            text = self.secret("message").encode()
            must("msgsnd", self.queue, struct.pack("q", 1) + text, len(text), 0)
        self.posix = must("mq_open", b"bjq", os.O_RDWR | os.O_CREAT, 0o666, None)
        LIBC.fchmod(self.posix, 0o666)
        text = self.secret("posix message").encode()
        must("mq_timedsend", self.posix, text, len(text), 0, None)
        self.facts.update(shm=self.shm, sem=self.sem, queue=self.queue)
        write("/dev/shm/secret", self.secret("dev shm"), 0o666)

    def network(self):
        run("ip", "link", "set", "lo", "up")
        for address in [f"{LAN}/32", f"{METADATA}/32", f"{RESOLVER}/32", f"{LAN6}/128"]:
            run("ip", "addr", "add", address, "dev", "lo")
        run("ip", "route", "add", "default", "dev", "lo")
        run("ip", "-6", "route", "add", "default", "dev", "lo")
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
            file.write("0 2000000000")
        write("/run/layers/resolv.conf", f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n")
        write("/run/layers/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        if os.path.lexists("/etc/resolv.conf"):
            os.remove("/etc/resolv.conf")
        shutil.copy("/run/layers/resolv.conf", "/etc/resolv.conf")
        shutil.copy("/run/layers/nsswitch.conf", "/etc/nsswitch.conf")
        for name, family, address in [("tcp", socket.AF_INET, "0.0.0.0"), ("tcp6", socket.AF_INET6, "::")]:
            server = socket.socket(family)
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, 0))
            server.listen(64)
            self.accept(server)
            self.facts[name] = server.getsockname()[1]
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))

    def sockets(self):
        mask = os.umask(0)
        self.facts["sockets"] = {}
        for name, at in SOCKETS.items():
            at = at.format(uid=self.uid, home=self.home)
            os.makedirs(os.path.dirname(at), exist_ok=True)
            server = socket.socket(socket.AF_UNIX)
            server.bind(at)
            server.listen(16)
            self.accept(server)
            self.facts["sockets"][name] = at
        for kind, name in [(socket.SOCK_STREAM, "stream"), (socket.SOCK_DGRAM, "datagram")]:
            server = socket.socket(socket.AF_UNIX, kind)
            server.bind(f"\0bjtest-{name}")
            if kind == socket.SOCK_STREAM:
                server.listen(16)
                self.accept(server)
            else:
                self.selector.register(server, selectors.EVENT_READ, ("data", server))
        for name, at in [("abstract", "\0bjtest-giver"), ("home", f"{self.home}/.cache/giver.sock"),
                         ("srv", "/srv/giver.sock")]:
            server = socket.socket(socket.AF_UNIX)
            server.bind(at)
            server.listen(16)
            self.selector.register(server, selectors.EVENT_READ, ("give", server))
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagram.bind("/srv/datagram.sock")
        self.selector.register(datagram, selectors.EVENT_READ, ("data", datagram))
        os.umask(mask)
        for at in [self.home, f"/run/user/{self.uid}"]:
            run("chown", "-R", f"{self.uid}:{self.gid}", at)

    def accept(self, server):
        self.selector = getattr(self, "selector", None) or selectors.DefaultSelector()
        self.selector.register(server, selectors.EVENT_READ, ("accept", server))

    def take(self, data):
        self.received.update(token.decode() for token in TOKEN.findall(data))

    def listen(self):
        while not self.ending:
            for key, _ in self.selector.select(0.1):
                kind, source = key.data
                try:
                    if kind == "fifo":
                        self.take(os.read(source, 4096))
                    elif kind == "data":
                        self.take(source.recv(4096))
                        if source.type == socket.SOCK_STREAM:
                            self.selector.unregister(source)
                            source.close()
                    else:
                        taken, _ = source.accept()
                        if kind == "give":
                            with open(f"{self.home}/.ssh/id_ed25519") as secret:
                                socket.send_fds(taken, [b"x"], [secret.fileno()])
                        self.selector.register(taken, selectors.EVENT_READ, ("data", taken))
                except OSError:
                    if kind == "data":
                        self.selector.unregister(source)

    def sniff(self):
        while not self.ending:
            try:
                self.take(self.wire.recv(65536))
            except OSError:
                pass
