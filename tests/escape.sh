#!/bin/sh
# The attack suite against Belljar and its peers, as one table: probe by tool, as root and as an ordinary user.
#
#     sudo sh tests/escape.sh                   whichever of the peers are installed
#     sudo sh tests/escape.sh bare,bwrap        these
#
# Peers: bwrap (Debian: bubblewrap), firejail (Debian: firejail), srt and codex
# (npm install --prefix DIR @anthropic-ai/sandbox-runtime @openai/codex; BELLJAR_PEERS=DIR/node_modules/.bin, by default
# below /opt/peers; srt also wants socat and ripgrep). DIR must be readable for everybody. How each is told what to hold
# stands in tests/escape/tools.py.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "escape.sh: this needs root: each control runs in namespaces of its own" >&2; exit 1; }
: "${BELLJAR_PEERS:=/opt/peers/node_modules/.bin}"
export BELLJAR_PEERS
tools=${1:-}
if [ -z "$tools" ]; then
    tools=bare,belljar
    for tool in bwrap firejail "$BELLJAR_PEERS/srt" "$BELLJAR_PEERS/codex"; do
        if command -v "$tool" > /dev/null 2>&1; then tools=$tools,${tool##*/}; else echo "escape.sh: no $tool" >&2; fi
    done
fi
cargo build --locked --bin belljar
exec /usr/bin/python3 -B tests/escape/suite.py --belljar "${CARGO_TARGET_DIR:-target}/debug/belljar" --tools "$tools"
