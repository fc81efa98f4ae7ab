#!/bin/sh
# Sets up what the tests need and runs all of them.
#
#     sh tests/run.sh            all tests, as `cargo nextest run` or else `cargo test`
#     sh tests/run.sh NAME...    only tests whose names hold one of these
#
# As root (in a virtual machine or a container, or because you read what it does) it installs missing Debian packages
# and the tests make an ordinary user for themselves and remove it again. As an ordinary user it runs what it can.
set -eu
cd "$(dirname "$0")/.."

fail() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }
command -v cargo > /dev/null 2>&1 || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
command -v cargo > /dev/null 2>&1 || fail "no cargo: install Rust 1.90 or newer from https://rustup.rs"

# Commands the tests and benches start, by the Debian package that has them.
missing=
for pair in cc:build-essential c++:build-essential git:git make:make npm:npm python3:python3 curl:curl ip:iproute2 bwrap:bubblewrap \
    unshare:util-linux setsid:util-linux useradd:passwd ssh:openssh-client dropbear:dropbear-bin cvc5:cvc5 musl-gcc:musl-tools \
    getfattr:attr setfacl:acl; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import ensurepip, venv' 2> /dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
        echo "run.sh: installing$missing"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing < /dev/null
    else
        fail "these packages are missing:$missing (on Debian or Ubuntu: sudo apt-get install$missing)"
    fi
fi

# The jar must be possible at all; a test run that skipped its subject would look green.
[ -e /dev/fuse ] || { [ "$(id -u)" = 0 ] && modprobe fuse 2> /dev/null; } || true
[ -c /dev/fuse ] || fail "no /dev/fuse: load the module (modprobe fuse), or start the container with --device /dev/fuse"
unshare --user --map-root-user --mount true 2> /dev/null ||
    fail "no user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns"
cargo build --locked --bin belljar
target=${CARGO_TARGET_DIR:-target}
"$target/debug/belljar" doctor || fail "this machine lacks a layer of the jar; see above"

# Tests that need root carry it in their names; nothing else is ever left out.
skip=
if [ "$(id -u)" != 0 ]; then
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || fail "/dev/fuse is not open to you: sudo chmod 666 /dev/fuse"
    echo "run.sh: you are not root: every test with as_root in its name is left out" >&2
    skip=as_root
fi

if cargo nextest --version > /dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast ${skip:+-E "not test($skip)"} "$@"
    [ $# -gt 0 ] || cargo test --locked --workspace --doc
else
    cargo test --locked --workspace --no-fail-fast "$@" ${skip:+-- --skip "$skip"}
fi
