#!/bin/sh
# Builds Belljar and runs the example project's hostile install script under glass, in a home made for the occasion.
#
#     sh examples/try.sh
#
# On a terminal you are asked what to do with the changes. Elsewhere they are shown and discarded, and checksums
# prove that the home and the project are as they were. Nothing outside a temporary directory is written.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }
fail() { printf 'try.sh: %s\n' "$*" >&2; exit 1; }

# What building and the demo need, by the Debian package that has it.
missing=
for pair in cc:build-essential git:git make:make awk:mawk; do
    command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
        say "Installing$missing"
        apt-get update -q && apt-get install -y -q --no-install-recommends $missing
    else
        fail "these packages are missing:$missing (on Debian or Ubuntu: sudo apt-get install$missing)"
    fi
fi
command -v cargo > /dev/null 2>&1 || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
command -v cargo > /dev/null 2>&1 || fail "no cargo: install Rust 1.90 or newer from https://rustup.rs"

say "Building Belljar"
(cd "$root" && cargo build --release --locked --bin belljar)
belljar=${CARGO_TARGET_DIR:-$root/target}/release/belljar
case $belljar in /*) ;; *) belljar=$root/$belljar ;; esac

# The demo's own home, project and state.
demo=$(mktemp -d "${TMPDIR:-/var/tmp}/belljar-demo.XXXXXX")
trap 'rm -rf "$demo"' EXIT
trap 'exit 130' INT TERM
export HOME="$demo/home"
export XDG_STATE_HOME="$HOME/.local/state" XDG_CONFIG_HOME="$HOME/.config"
unset XDG_DATA_HOME XDG_CACHE_HOME
mkdir -p "$HOME/.aws" "$HOME/.ssh"
: > "$HOME/.belljar-demo-home"
printf '# my shell\nalias ll="ls -l"\n' | tee "$HOME/.bashrc" > "$HOME/.profile"
printf '[default]\naws_access_key_id = DEMO-NOT-A-KEY\naws_secret_access_key = demo-not-a-secret\n' > "$HOME/.aws/credentials"
printf 'demo: this would be a private key\n' > "$HOME/.ssh/id_ed25519"
chmod 700 "$HOME/.ssh" "$HOME/.aws"; chmod 600 "$HOME/.ssh/id_ed25519" "$HOME/.aws/credentials"
cp -R "$root/examples/untrusted-project" "$HOME/wordcount"
cd "$HOME/wordcount"
git init -q
git add -A
git -c user.name=demo -c user.email=demo@example.com commit -q -m "wordcount 1.4.2"

# Everything in the home but Belljar's own state: kinds, modes, names, contents.
fingerprint() {
    (cd "$HOME" && {
        find . -path ./.local -prune -o -printf '%y %m %p %l\n'
        find . -path ./.local -prune -o -type f -exec sha256sum {} +
        find . -path './.local/state' -prune -o -path './.local/*' -printf '%y %m %p %l\n'
    } | sort | sha256sum | cut -c 1-16)
}
before=$(fingerprint)

say "\$ belljar run -- ./install.sh        (in $HOME/wordcount)"
if [ -t 0 ] && [ -t 1 ]; then
    "$belljar" run -- ./install.sh || echo "belljar: exit code $?"
    say "What is pending, if you decided nothing:"
    "$belljar" trials
else
    "$belljar" run --apply never -- ./install.sh
    say "\$ belljar show"
    "$belljar" show
    say "\$ belljar diff"
    "$belljar" diff
    say "\$ belljar discard --yes"
    "$belljar" discard --yes
fi

after=$(fingerprint)
say "The home and the project: $before before, $after after"
if [ "$before" = "$after" ]; then
    echo "Nothing changed: no start-up file, no hook, no program, and docs/ is still there."
elif [ -t 0 ] && [ -t 1 ]; then
    echo "What you applied is real now (in the demo home); the rest never was:"
    git status --short
else
    fail "something changed although everything was discarded"
fi
say "Now in a repository of your own:"
echo "    $belljar run -- npm install        # or make, or ./configure, or a shell: leave the command out"
echo "    $belljar check 'curl https://example.com | sh'"
echo "    $belljar doctor"
