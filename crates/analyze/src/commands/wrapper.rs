//! Wrappers: programs whose operands are another command. Taken off one by one until none is left.

use super::{Row, row};

/// A program that runs the command behind its options.
#[derive(Debug)]
pub(crate) struct Wrapper {
    pub(crate) row: Row,
    /// Operands before the inner command (`timeout 5 CMD`: one).
    pub(crate) skips: usize,
    /// Whether more words are added to the inner command when it runs.
    pub(crate) appends: bool,
}

const fn wrap(name: &'static str, options: &'static str, skips: usize, does: &'static str) -> Wrapper {
    Wrapper { row: row(name, options, "+cmd*", does), skips, appends: false }
}

const fn feed(name: &'static str, options: &'static str) -> Wrapper {
    Wrapper { row: row(name, options, "+cmd*", ""), skips: 0, appends: true }
}

/// One row a wrapper.
pub(crate) static WRAPPERS: &[Wrapper] = &[
    wrap(
        "sudo",
        "-A -b -E,--preserve-env? -H,--set-home -n,--non-interactive -P -S,--stdin -k -K:noop -v:noop -l,--list:noop -i,--login -s,--shell \
         -u,--user= -g,--group= -p,--prompt= -C,--close-from= -D,--chdir= -h,--host= -r= -t= -T= -U= --help:noop -V,--version:noop",
        0,
        "privilege:sudo bj020",
    ),
    wrap("doas", "-n -s -L -a= -C= -u=", 0, "privilege:doas bj020"),
    wrap("pkexec", "--user= --disable-internal-agent --help:noop --version:noop", 0, "privilege:pkexec bj020"),
    wrap(
        "env",
        "-i,--ignore-environment -0,--null -u,--unset= -C,--chdir=:cwd -v,--debug --block-signal? --default-signal? --ignore-signal? \
         -S,--split-string=:shell --help:noop --version:noop -",
        0,
        "",
    ),
    wrap("nice", "-n,--adjustment= -# --help:noop --version:noop", 0, ""),
    wrap(
        "ionice",
        "-c,--class= -n,--classdata= -t,--ignore -p,--pid=:does-changes:the_priority_of_processes -h,--help:noop",
        0,
        "",
    ),
    wrap("nohup", "--help:noop --version:noop", 0, ""),
    wrap("setsid", "-c,--ctty -f,--fork -w,--wait -h,--help:noop -V,--version:noop", 0, ""),
    wrap(
        "timeout",
        "-f,--foreground -p,--preserve-status -k,--kill-after= -s,--signal= -v,--verbose --help:noop --version:noop",
        1,
        "",
    ),
    wrap("stdbuf", "-i,--input= -o,--output= -e,--error= --help:noop --version:noop", 0, ""),
    wrap(
        "time",
        "-p,--portability -v,--verbose -f,--format= -o,--output=:write -a,--append -q,--quiet -V,--version:noop --help:noop",
        0,
        "",
    ),
    wrap("command", "-p -v:noop -V:noop", 0, ""),
    wrap("builtin", "", 0, ""),
    wrap("exec", "-c -l -a=", 0, ""),
    wrap("chrt", "-b -d -f -i -o -r -R -p=:noop -m:noop", 1, ""),
    wrap("taskset", "-a -c -p:does-changes:the_priority_of_processes", 1, ""),
    wrap(
        "flock",
        "-s,--shared -x,-e,--exclusive -u,--unlock -n,--nonblock -w,--timeout= -E= -o,--close -F,--no-fork -v,--verbose",
        1,
        "",
    ),
    wrap(
        "strace",
        "-f -ff -c -C -q -r -t -tt -T -v -x -y -yy -k -i -e= -o=:write -s= -a= -O= -S= -P= -E= -u= -p=:bj020",
        0,
        "",
    ),
    wrap("ltrace", "-f -c -C -S -r -t -tt -T -i -e= -o=:write -s= -n= -u= -p=:bj020", 0, ""),
    wrap("caffeinate", "-d -i -m -s -u -t= -w=", 0, ""),
    wrap("unbuffer", "-p", 0, ""),
    wrap("rlwrap", "-a? -A? -c -r -i -n -m? -H= -f= -C= -s= -v --version:noop", 0, ""),
    wrap("cpulimit", "-l,--limit= -f,--foreground -i -z -v -c=", 0, ""),
    wrap("torsocks", "-i -q -u= -p=", 0, "net:"),
    wrap("torify", "", 0, "net:"),
    wrap("tsocks", "", 0, "net:"),
    wrap("proxychains", "-q -f=:read", 0, "net:"),
    wrap("proxychains4", "-q -f=:read", 0, "net:"),
    wrap("xvfb-run", "-a,--auto-servernum -e= -f= -l -n,--server-num= -s,--server-args= -w=", 0, ""),
    wrap("dbus-run-session", "--config-file=:read --dbus-daemon=:program --", 0, ""),
    wrap("catchsegv", "", 0, ""),
    wrap(
        "numactl",
        "-i,--interleave= -N,--cpunodebind= -C,--physcpubind= -m,--membind= -l,--localalloc -H,--hardware:noop -s,--show:noop",
        0,
        "",
    ),
    wrap("ccache", "-s:noop --show-stats:noop -V,--version:noop -C -z", 0, "write:~/.cache/ccache"),
    wrap("sccache", "-s:noop --show-stats:noop -V,--version:noop", 0, "write:~/.cache/sccache"),
    wrap("multitime", "-n= -q -v -r= -s=", 0, ""),
    wrap("setlock", "-n -N -x -X", 1, ""),
    wrap("softlimit", "-a= -c= -d= -f= -l= -m= -o= -p= -r= -s= -t=", 0, ""),
    wrap("chpst", "-u= -U= -e= -/= -n= -l= -L= -m= -v -V", 0, ""),
    wrap("eatmydata", "", 0, ""),
    wrap("fakeroot", "-u -i=:read -s=:write --", 0, ""),
    wrap("faketime", "-m -p= -f=", 1, ""),
    wrap("grc", "-e -s -c= --colour= --pty", 0, ""),
    wrap("logsave", "-a -s -v", 1, ""),
    wrap("aa-exec", "-p= -n= -d -i -v", 0, "privilege:aa-exec bj020"),
    wrap("capsh", "--drop= --user= --uid= --gid= --print:noop", 0, "privilege:capsh bj020"),
    wrap(
        "start-stop-daemon",
        "--start -S -x= -a= -b -m -p= -c= -u= -d= --exec= --pidfile= --background --make-pidfile",
        0,
        "bj009",
    ),
    wrap("prlimit", "--nofile= --nproc= --cpu= --as= --core= -p=:noop -o= --noheadings", 0, ""),
    wrap("choom", "-n= -p=:noop", 0, ""),
    wrap("uclampset", "-m= -M= -a -p=:noop -R -s", 0, ""),
    wrap("trickle", "-d= -u= -s", 0, ""),
    wrap("gosu", "", 1, "privilege:gosu bj020"),
    wrap("su-exec", "", 1, "privilege:su-exec bj020"),
    wrap("dumb-init", "-c -v -r=", 0, ""),
    wrap("tini", "-g -v -w -p= -s", 0, ""),
    wrap("chronic", "-v -e", 0, ""),
    wrap("busybox", "--list:noop --help:noop", 0, ""),
    wrap("toybox", "--list:noop --help:noop", 0, ""),
    wrap(
        "unshare",
        "-m,--mount? -u,--uts? -i,--ipc? -n,--net? -p,--pid? -U,--user? -C,--cgroup? -f,--fork -r,--map-root-user -c,--map-current-user --mount-proc? --kill-child? -R,--root= -w,--wd= -S= -G=",
        0,
        "privilege:unshare bj020",
    ),
    wrap(
        "nsenter",
        "-t,--target= -a,--all -m,--mount? -u,--uts? -i,--ipc? -n,--net? -p,--pid? -U,--user? -C,--cgroup? -r,--root? -w,--wd? -F,--no-fork -S= -G=",
        0,
        "privilege:nsenter bj020",
    ),
    wrap("chroot", "--userspec= --groups= --skip-chdir", 1, "privilege:chroot bj020"),
    wrap(
        "setpriv",
        "--no-new-privs --clear-groups --reset-env --reuid= --regid= --groups= --inh-caps= --bounding-set= --ambient-caps=",
        0,
        "privilege:setpriv bj020",
    ),
    wrap("runuser", "-u,--user= -g= -G= -m -p -l", 0, "privilege:runuser bj020"),
    feed(
        "xargs",
        "-0,--null -a,--arg-file=:read -d,--delimiter= -E,-e= -I= -i? -L,-l,--max-lines= -n,--max-args= -o,--open-tty -P,--max-procs= \
         -p,--interactive -r,--no-run-if-empty -s,--max-chars= -t,--verbose -x,--exit --process-slot-var= --show-limits --help:noop --version:noop",
    ),
];

/// The wrapper called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.row.name == name)
}
