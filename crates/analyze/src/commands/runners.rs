//! Runners: programs with an environment of their own whose operands are another command. What the runner itself may do is
//! said by its row in the tables, if it has one; the command inside is read besides, and can only raise the risk.

#[cfg(test)]
use super::Row;
use super::row;
use super::wrapper::Wrapper;
use crate::eval::value::Field;
use crate::index::Index;

const fn runs(name: &'static str, options: &'static str, skips: usize) -> Wrapper {
    Wrapper { row: row(name, options, "+cmd*", ""), skips, appends: false }
}

/// In place of the number of words before the command: it stands behind `--`, `-c` or `--command`.
pub(crate) const BEHIND_MARK: usize = usize::MAX;

/// One row a runner, by its program and subcommands.
static RUNNERS: &[Wrapper] = &[
    // Environments of languages and packages.
    runs("uv tool run", "--from= --with= -p,--python=", 0),
    runs(
        "uv run",
        "--with= -p,--python= --extra= --group= --env-file= --package= --directory= --project= --with-requirements= -m,--module= -q -v --no-sync --frozen --locked --isolated --no-project --all-extras",
        0,
    ),
    runs("uvx", "--from= --with= -p,--python=", 0),
    runs("poetry run", "-C,--directory= -P= -q -n", 0),
    runs("pdm run", "-p,--project= -s,--site-packages", 0),
    runs("pipenv run", "", 0),
    runs("hatch run", "-e=", 0),
    runs("hatch -e", "", 1),
    runs("rye run", "", 0),
    runs("pixi run", "-e,--environment= --manifest-path=", 0),
    runs("conda run", "-n,--name= -p,--prefix= --cwd= -v --no-capture-output --live-stream", 0),
    runs("mamba run", "-n,--name= -p,--prefix= --cwd=", 0),
    runs("micromamba run", "-n,--name= -p,--prefix= --cwd=", 0),
    runs("npx", "-p,--package= -c,--call=:shell -w,--workspace= -y,--yes -q,--quiet --no --no-install", 0),
    runs("bunx", "-p,--package= --bun", 0),
    runs("npm exec", "-p,--package= -c,--call=:shell -w,--workspace= -y,--yes", 0),
    runs("npm x", "-p,--package= -c,--call=:shell -w,--workspace= -y,--yes", 0),
    runs("pnpm exec", "-r --parallel --filter= -c:as-shell", 0),
    runs("pnpm dlx", "--package= -c", 0),
    runs("yarn exec", "", 0),
    runs("yarn dlx", "-p,--package= -q", 0),
    runs("bun x", "--bun", 0),
    runs("lerna exec", "--scope= --ignore= --concurrency= --parallel --stream", 0),
    runs("foreach exec", "", 0),
    runs("bundle exec", "--keep-file-descriptors", 0),
    runs("rbenv exec", "", 0),
    runs("pyenv exec", "", 0),
    runs("nodenv exec", "", 0),
    runs("nvm exec", "", 1),
    runs("fnm exec", "--using=", 0),
    runs("volta run", "--node= --npm= --yarn=", 0),
    runs("rustup run", "--install", 1),
    runs("opam exec", "--switch=", 0),
    runs("stack exec", "--package=", 0),
    runs("cabal exec", "", 0),
    runs("asdf exec", "", 0),
    runs("mise exec", "-c,--command=:shell -C,--cd= -j=", 0),
    runs("mise x", "-c,--command=:shell -C,--cd= -j=", 0),
    runs("direnv exec", "", 1),
    runs("devbox run", "-c,--config= -e,--env=", 0),
    runs("nix develop", "--profile= -f= --override-input=", BEHIND_MARK),
    runs("nix shell", "-p= -f=", BEHIND_MARK),
    runs("nix-shell", "--run=:shell --command=:shell -p,--packages -I= -A= --arg= --argstr=", 0),
    runs("guix shell", "-D,--development= -f,--file= -m,--manifest= -C,--container -N -e=", BEHIND_MARK),
    runs("guix environment", "--ad-hoc", BEHIND_MARK),
    runs("spack build-env", "", 1),
    // Secrets and variables for one command.
    runs("dotenv run", "-f,--file=", 0),
    runs("dotenv", "-f,--file= -e= -v= -p=", 0),
    runs("dotenvx run", "-f,--env-file= -e= --env=", 0),
    runs("env-cmd", "-f,--file= -e,--environments= -r=", 0),
    runs("cross-env", "", 0),
    runs("cross-env-shell", "", 0),
    runs("envdir", "", 1),
    runs("aws-vault exec", "-d,--duration= -n --no-session -s --server --region= --stdout", 1),
    runs("op run", "--env-file= --no-masking --account=", 0),
    runs("doppler run", "-p= -c= --command=:shell --project= --config=", 0),
    runs("chamber exec", "--strict --pristine", 1),
    runs("sops exec-env", "", 1),
    runs("sops exec-file", "", 1),
    runs("infisical run", "--env= --path= --command=:shell", 0),
    runs("teller run", "-c=", 0),
    runs("vault-env", "", 0),
    runs("envchain", "", 1),
    runs("granted", "", 0),
    runs("with-env", "", 0),
    // Containment, users, sessions.
    runs("systemd-inhibit", "--what= --who= --why= --mode= --no-pager --no-legend", 0),
    runs("systemd-cat", "-t,--identifier= -p,--priority= --stderr-priority= --level-prefix=", 0),
    runs("firejail", "--noprofile --quiet --net= --profile? --private? --whitelist?", 0),
    runs(
        "bwrap",
        "--unshare-all --unshare-net --unshare-user --unshare-pid --share-net --die-with-parent --new-session --clearenv --proc= --dev= --tmpfs= --chdir= --uid= --gid= --hostname= --cap-add= --cap-drop= --dir= --unsetenv= --perms=",
        0,
    ),
    runs("proot", "-r= -b= -w= -R= -S= -0 -q= -v= -i=", 0),
    runs("fakechroot", "-s --lib= -e= -c= -b= --use-system-libs", 0),
    runs("dbus-launch", "--exit-with-session --auto-syntax --sh-syntax", 0),
    runs("setarch", "-R -v -3 -B -F -I -L -S -T -X -Z -p? --uname-2.6", 1),
    runs("linux32", "-R -v", 0),
    runs("linux64", "-R -v", 0),
    runs("i386", "-R -v", 0),
    runs("x86_64", "-R -v", 0),
    runs("arch", "-x86_64 -arm64 -arch= -e= -d=", 0),
    runs("cgexec", "-g= --sticky", 0),
    runs("setuidgid", "", 1),
    runs("s6-setuidgid", "", 1),
    runs("runcon", "-c -t= -u= -r= -l=", 0),
    runs("schroot", "-c,--chroot= -u= -d,--directory= -r -b -p -q", 0),
    runs("arch-chroot", "-u= -N", 1),
    runs("systemd-nspawn", "-D= -M= -u= -b -q --bind= --setenv= -i= --image=", 0),
    runs("distrobox enter", "-n,--name= -e --root -T", 1),
    runs("toolbox run", "-c,--container= -d= -r=", 0),
    runs("machinectl shell", "--uid= -E=", 1),
    runs("capsh", "-- -c=:shell", 0),
    runs("sg", "", BEHIND_MARK),
    runs("newgrp", "-c=:shell", 1),
    runs("ld-linux", "", 0),
    runs("daemonize", "-c= -e= -o= -p= -l= -u= -E= -a -v", 0),
    runs("daemon", "-n,--name= -r -i -U -N -D= -o= -u=", 0),
    runs("ssh-agent", "-a= -t= -c -s -d -D -k", 0),
    runs("gpg-agent", "--daemon --homedir= --options= -v -q", 0),
    runs("sshpass", "-p= -f= -d= -e -P= -v", 0),
    runs("execlineb", "-c=:shell -P -p -s= -S=", 0),
    runs("docker compose exec", "-T -d -e,--env= -u,--user= -w,--workdir= --index= --privileged", 1),
    runs(
        "docker compose run",
        "--rm -T -d -e,--env= -u,--user= -w,--workdir= -v,--volume= --no-deps --entrypoint= --name= -p,--publish=",
        1,
    ),
    runs("docker-compose exec", "-T -d -e,--env= -u,--user= -w,--workdir= --index= --privileged", 1),
    runs(
        "docker-compose run",
        "--rm -T -d -e,--env= -u,--user= -w,--workdir= -v,--volume= --no-deps --entrypoint= --name= -p,--publish=",
        1,
    ),
    runs("podman unshare", "", 0),
    runs("buildah unshare", "", 0),
    // Terminals.
    runs("tmux new-session", "-d -A -D -P -X -c= -n= -s= -t= -x= -y= -e= -f= -F=", 0),
    runs("tmux new", "-d -A -D -P -X -c= -n= -s= -t= -x= -y= -e= -f= -F=", 0),
    runs("tmux new-window", "-a -b -d -k -P -S -c= -n= -t= -e= -F=", 0),
    runs("tmux neww", "-a -b -d -k -P -S -c= -n= -t= -e= -F=", 0),
    runs("tmux split-window", "-b -d -f -h -v -I -P -Z -c= -l= -p= -t= -e= -F=", 0),
    runs("tmux splitw", "-b -d -f -h -v -I -P -Z -c= -l= -p= -t= -e= -F=", 0),
    runs("tmux run-shell", "-b -C -d= -t= -c=", 0),
    runs("tmux run", "-b -C -d= -t= -c=", 0),
    runs("tmux if-shell", "-b -F -t=", 0),
    runs("tmux respawn-pane", "-k -c= -t= -e=", 0),
    runs("tmux pipe-pane", "-I -O -o -t=", 0),
    runs("tmux display-popup", "-B -C -E -b= -c= -d= -e= -h= -s= -S= -t= -T= -w= -x= -y=", 0),
    runs("tmux popup", "-B -C -E -b= -c= -d= -e= -h= -s= -S= -t= -T= -w= -x= -y=", 0),
    runs("tmux send-keys", "-F -H -K -l -M -R -X -c= -N= -t=", 0),
    runs("tmux send", "-F -H -K -l -M -R -X -c= -N= -t=", 0),
    runs("tmux -c", "", 0),
    runs("byobu new-session", "-d -s= -n= -c=", 0),
    runs("zellij run", "-c -f -i -n,--name= -d= --cwd=", 0),
    runs("dtach", "-A= -c= -n= -N= -E -r= -z -e=", 0),
    runs("abduco", "-c= -n= -A= -e= -f -r", 0),
    runs("xterm", "-hold -T= -title= -geometry= -e", 0),
    runs("gnome-terminal", "--window --tab -e=:shell --title= --working-directory=", 0),
    runs("konsole", "--hold --workdir= -p= -e", 0),
    runs("alacritty", "--hold -t= --working-directory= -e,--command", 0),
    runs("kitty", "--hold -T= -d= -e", 0),
    runs("foot", "-H -T= -D= -a=", 0),
    runs("wezterm start", "--cwd= --class=", 0),
    runs("faketty", "", 0),
    runs("asciinema rec", "-c,--command=:shell -t= -i= -q -y --overwrite --append", 1),
    runs("ttyrec", "-e=:shell -a -u", 1),
    runs("termtosvg", "-c=:shell", 1),
    // Measuring, watching, repeating, queues.
    runs(
        "hyperfine",
        "-w,--warmup= -r,--runs= -m= -M= -p,--prepare=:shell -c,--cleanup=:shell -s,--setup=:shell -S,--shell= -N -i --export-json= --export-markdown= --style= -n=",
        0,
    ),
    runs("perf stat", "-e= -r= -p= -o= -a -d -B -C= -x= -I= -g", 0),
    runs("perf record", "-e= -F= -c= -p= -o= -a -g -C= --call-graph= -q", 0),
    runs("perf trace", "-e= -p= -o= -a -s -S", 0),
    runs("perf mem record", "-e=", 0),
    runs("valgrind", "--tool? --leak-check? -q -v", 0),
    runs("gdb", "-q -batch -n -nx -ex= -x= --args -p=", 0),
    runs("rr record", "-n -h -o=", 0),
    runs("heaptrack", "-o= -d -r", 0),
    runs("kcov", "--include-path? --exclude-path?", 1),
    runs("bear", "--output= -o= --append", 0),
    runs("scan-build", "-o= -v --use-cc= -analyze-headers", 0),
    runs("distcc", "", 0),
    runs("gtime", "-f= -o= -v -p -a", 0),
    runs("gtimeout", "-k= -s= --preserve-status --foreground", 1),
    runs("timelimit", "-t= -T= -s= -S= -p -q", 0),
    runs("retry", "-t= -d= -m= --times= --delay= --max= -c= -w=", 0),
    runs("entr", "-a -c -d -n -p -r -s -z", 0),
    runs("watchexec", "-e,--exts= -w,--watch= -i,--ignore= -f,--filter= -r -c -s= -d= --shell= -n -p -q", 0),
    runs("cargo watch", "-s,--shell=:shell -x,--exec= -w= -i= -d= -c -q", 0),
    runs("nodemon", "-x,--exec=:shell -w,--watch= -e,--ext= -i,--ignore= -d= -q", 0),
    runs("reflex", "-r,--regex= -g,--glob= -R= -G= -s -d= --start-service? --decoration?", 0),
    runs("concurrently", "-n,--names= -c= -k -r -s= --kill-others", 0),
    runs("watchman-make", "-p,--pattern= -t,--target= --run=:shell --make=", 0),
    runs("chokidar", "-c,--command=:shell -d= -i= --initial --silent", 1),
    runs("ifne", "-n", 0),
    runs("pee", "", 0),
    runs("mispipe", "", 0),
    runs("errno", "", 1),
    runs("apply", "-a= -d -0 -1 -2", 0),
    runs("rush", "-j= -d= -D= -n= -k -t= -r=", 0),
    runs("sem", "-j= --id= --fg --wait", 0),
    runs("tsp", "-n -f -m -d -L= -N= -S=", 0),
    runs("ts", "-n -f -m -d -L= -N= -S= -i -s -m -r", 0),
    runs("nq", "-c -q -w", 0),
    runs("pueue add", "-i -s -g= -w= -d= -a= -p -l=", 0),
    runs("just --command", "", 0),
    runs("sbatch", "--wrap=:shell -J= -o= -e= -p= -n= -N= -t=", 0),
    runs("srun", "-n= -N= -p= -t= -J= -w= -c= --mem= --gres= --pty", 0),
    runs("salloc", "-n= -N= -p= -t=", 0),
    runs("qsub", "-b= -N= -q= -l= -cwd -V -o= -e= -j=", 0),
    runs("mpirun", "-n= -np= -c= -H= --host= --hostfile= --map-by= --bind-to= --allow-run-as-root --oversubscribe", 0),
    runs("mpiexec", "-n= -np= -c= -H= --host= --hostfile= --map-by= --bind-to= --allow-run-as-root --oversubscribe", 0),
    runs("torchrun", "--nproc_per_node= --nnodes= --no-python --standalone", 0),
    runs("accelerate launch", "--num_processes= --no_python --config_file=", 0),
    runs("qemu-x86_64", "-L= -cpu= -strace -g=", 0),
    runs("qemu-aarch64", "-L= -cpu= -strace -g=", 0),
    runs("box64", "", 0),
    runs("wine", "", 0),
    runs("xcrun", "--sdk=", 0),
    runs("winpty", "", 0),
    runs("expect", "-c=:code -f= -d -i", 0),
    runs("rvm", "", 2),
    runs("chruby-exec", "", 1),
];

/// The runners of each program.
static BY_PROGRAM: Index<512> = {
    let mut index = Index::new();
    let (mut at, mut rows) = (0, RUNNERS);
    while let [runner, behind @ ..] = rows {
        index.add(first_word(runner.row.name.as_bytes()), 0, at);
        (at, rows) = (at + 1, behind);
    }
    index
};

/// The program's name, before the words of a subcommand.
const fn first_word(name: &[u8]) -> &[u8] {
    let (mut length, mut rest) = (0, name);
    while let [first, behind @ ..] = rest {
        if *first == b' ' {
            break;
        }
        (length, rest) = (length + 1, behind);
    }
    name.split_at(length).0
}

/// The runner that `program` is with these arguments, and the arguments behind its subcommand. What stands before the
/// subcommand are options, or values of such.
pub(crate) fn find<'f>(program: &str, args: &'f [Field]) -> Option<(&'static Wrapper, &'f [Field])> {
    let runners = BY_PROGRAM.may_have(program).filter_map(|(_, row)| RUNNERS.get(row));
    runners.filter_map(|runner| Some((runner, runner.row.name.strip_prefix(program)?))).find_map(|(runner, words)| {
        let behind = match words.strip_prefix(' ') {
            None if words.is_empty() => 0,
            None => return None,
            Some(words) => {
                let fits = |at: &usize| {
                    let mut words = words.split(' ').enumerate();
                    words.all(|(next, word)| args.get(at + next).and_then(Field::known) == Some(word))
                };
                (0..args.len()).find(fits)? + words.split(' ').count()
            }
        };
        Some((runner, args.get(behind..)?))
    })
}

/// Every row, for the test of their spelling.
#[cfg(test)]
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    RUNNERS.iter().map(|runner| &runner.row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;

    #[test]
    fn a_runner_is_found_by_its_words() {
        let find = |program: &str, args: &[&str]| {
            let fields: Vec<Field> = args.iter().map(|arg| Field::constant(arg, Span::new(0, 0))).collect();
            super::find(program, &fields).map(|(runner, rest)| (runner.row.name, rest.len()))
        };
        assert_eq!(find("uv", &["-q", "run", "--", "id"]), Some(("uv run", 2)));
        assert_eq!(find("uv", &["tool", "run", "x"]), Some(("uv tool run", 1)));
        assert_eq!(find("uv", &["sync"]), None);
        assert_eq!(find("hyperfine", &["id"]), Some(("hyperfine", 1)));
    }
}
