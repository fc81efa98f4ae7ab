//! Real clients, none of which knows of Belljar.

use super::{both, prepare, run, run_with};
use crate::support::assert_nothing_left;

/// Resolves and talks as plain C programs do.
const CLIENT: &str = r#"
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int talk(const char *host, const char *port, int kind, int connected) {
    struct addrinfo hints = {.ai_socktype = kind, .ai_flags = AI_ADDRCONFIG}, *all, *one;
    int code = getaddrinfo(host, port, &hints, &all);
    if (code) { printf("%s\n", gai_strerror(code)); return 1; }
    for (one = all; one; one = one->ai_next) {
        char got[64];
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        int s = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (s < 0 || (connected && connect(s, one->ai_addr, one->ai_addrlen))) { perror(host); continue; }
        ssize_t sent = connected ? send(s, "hello", 5, 0) : sendto(s, "hello", 5, 0, one->ai_addr, one->ai_addrlen);
        ssize_t count = kind == SOCK_STREAM ? recv(s, got, sizeof got, 0)
                                            : recvfrom(s, got, sizeof got, 0, (struct sockaddr *)&from, &length);
        if (sent != 5 || count < 0) { perror(host); return 1; }
        int same = kind == SOCK_STREAM || (length == one->ai_addrlen && !memcmp(&from, one->ai_addr, 8));
        printf("%.*s %s\n", (int)count, got, same ? "from the peer" : "from somebody else");
        close(s);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    return talk(argv[1], argv[2], SOCK_STREAM, 1) | talk(argv[1], argv[2], SOCK_DGRAM, 1) | talk(argv[1], argv[2], SOCK_DGRAM, 0);
}
"#;

/// A package for npm and one for pip, with an index as pip reads it.
const PACKAGES: &str = r#"
import io, os, sys, tarfile, zipfile
out = sys.argv[1]
with tarfile.open(out + "/word.tgz", "w:gz") as tar:
    for name, text in {"package.json": '{"name": "word", "version": "1.0.0", "main": "i.js"}', "i.js": 'module.exports = "by npm"'}.items():
        info = tarfile.TarInfo("package/" + name); info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
os.makedirs(out + "/simple/word")
with zipfile.ZipFile(out + "/simple/word/word-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("word.py", "word = 'by pip'")
    wheel.writestr("word-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: word\nVersion: 1.0\n")
    wheel.writestr("word-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("word-1.0.dist-info/RECORD", "")
open(out + "/simple/word/index.html", "w").write('<a href="word-1.0-py3-none-any.whl">word-1.0-py3-none-any.whl</a>')
"#;

both! {
    fn a_plain_c_program_talks_over_tcp_and_udp(world) {
        prepare(world);
        world.file("client.c", CLIENT);
        let script = "cc -o client client.c && ./client web.test 7000 && ./client 20.20.20.20 7000 && ./client 2620:20::20 7000
            ./client other.test 7000; ./client gone.dns.test 7000";
        let rules = ["web.test:7000", "web.test:7000/udp", "20.20.20.20:7000", "20.20.20.20:7000/udp", "[2620:20::20]:7000",
            "[2620:20::20]:7000/udp", "gone.dns.test"];
        let (done, _) = run(world, &rules, script);
        let three = "hello from the peer\n".repeat(3);
        let unknown = "Name or service not known\n".repeat(3);
        assert_eq!(done.stdout, format!("{three}{three}{three}{unknown}{unknown}"), "{}", done.report());
        assert_nothing_left(world);
    }

    fn package_managers_fetch_by_name(world) {
        prepare(world);
        let made = world.command("/usr/bin/python3").args(["-c", PACKAGES, &world.base().join("www").display().to_string()]);
        made.as_root().run().success();
        let script = "
            npm init -y > /dev/null
            npm install --silent --no-audit --no-fund --no-update-notifier http://web.test:8080/word.tgz
            node -e 'console.log(require(\"word\"))'
            pip=$(ls /usr/share/python-wheels/pip-*.whl /usr/lib/python3*/ensurepip/_bundled/pip-*.whl 2> /dev/null | head -1)
            /usr/bin/python3 $pip/pip install -q --disable-pip-version-check --target t --index-url http://web.test:8080/simple \
                --trusted-host web.test word
            PYTHONPATH=t /usr/bin/python3 -c 'import word; print(word.word)'";
        let (done, _) = run(world, &["web.test:8080"], script);
        assert_eq!(done.stdout, "by npm\nby pip\n", "{}", done.report());
        assert_nothing_left(world);
    }

    fn ssh_and_git_over_ssh(world) {
        prepare(world);
        // The server is a real one, on a port of its own; it takes the user's name to a home that is made for it.
        let login = world.base().join("login");
        let more = format!("
            mkdir -m 700 {login} {login}/.ssh
            dropbearkey -t ecdsa -f {login}/host > /dev/null 2>&1
            ssh-keygen -q -t ed25519 -N '' -f {login}/key
            install -m 600 {login}/key.pub {login}/.ssh/authorized_keys
            cp {login}/key {workspace}/key; printf '[web.test]:2222 ' > {workspace}/known
            dropbearkey -y -f {login}/host 2> /dev/null | grep '^ecdsa' >> {workspace}/known
            git init -q --bare {login}/r.git
            chown -R {uid}:{gid} {login} {workspace}/key {workspace}/known
            mkdir {login}/etc; cp -a /etc/group /etc/shadow /etc/shells /etc/nsswitch.conf /etc/ld.so.* {login}/etc
            awk -F: -v OFS=: '$3 == {uid} {{ $6 = \"{login}\"; $7 = \"/bin/sh\" }} 1' /etc/passwd > {login}/etc/passwd
            # The whole directory: a mount on a file ends when somebody outside renames another over it, as useradd does.
            on_far unshare --mount --propagation private sh -ec 'mount --bind {login}/etc /etc
                exec /usr/sbin/dropbear -F -s -j -k -p 20.20.20.20:2222 -r {login}/host -P {login}/pid > {login}/log 2>&1' &
            n=0; until on_far grep -q :08AE /proc/net/tcp; do n=$((n + 1)); test $n -lt 500; sleep 0.02; done",
            login = login.display(), workspace = world.workspace().display(), uid = world.owner().0, gid = world.owner().1);
        let script = "
            export GIT_SSH_COMMAND='ssh -o ProxyCommand=none -o BatchMode=yes -o UserKnownHostsFile=known -i key'
            $GIT_SSH_COMMAND -p 2222 web.test 'echo $SSH_CONNECTION | cut -d\" \" -f3,4; cat' < /dev/null
            head -c 3000000 /dev/urandom > data
            $GIT_SSH_COMMAND -p 2222 web.test cat < data | cmp - data && echo the same
            $GIT_SSH_COMMAND -p 2222 -o ConnectTimeout=5 other.test true 2>&1 | grep -o 'Name or service not known'
            git init -q w && cd w && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m first
            cd .. && git -C w push -q ssh://web.test:2222/LOGIN/r.git HEAD:refs/heads/main 2>&1
            git clone -q -b main ssh://web.test:2222/LOGIN/r.git got && git -C got log --format=%s
            git -C got ls-remote -q origin | cut -f2";
        let script = script.replace("/LOGIN", &login.display().to_string()).replace("=known", &format!("={}/known", world.workspace().display()));
        let script = script.replace("-i key'", &format!("-i {}/key'", world.workspace().display()));
        let (done, report) = run_with(world, &["web.test:2222"], &script, &[], &more);
        done.success().stdout_is("20.20.20.20 2222\nthe same\nName or service not known\nfirst\nHEAD\nrefs/heads/main\n");
        let only = &report["connections"][0];
        assert!(only["times"].as_u64() >= Some(4) && only["sent"].as_u64() > Some(3_000_000), "{only}");
        assert_nothing_left(world);
    }
}
