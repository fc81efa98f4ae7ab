#!/bin/bash
# External file-system suites on a view, each in a mount and process namespace of its own with a time limit; one table.
#
#   tests/suites.sh [-w WHO,...] [-m MODE,...] [-s SUITE,...]
#
#   WHO    root    mounted and served by root of the host (default)
#          userns  root of a user namespace with 65,536 ids, without any right outside
#   MODE   as the mount tool names them (default: all it has)
#   SUITE  native, pjdfstest, unionmount, layers, stress-ng, fio (default: all that are found)
#
# Fetches nothing. What it uses where it is found:
#   PJDFSTEST      binary of pjdfstest in Rust (github.com/saidsay-so/pjdfstest)
#   UNIONMOUNT     checkout of unionmount-testsuite (github.com/amir73il/unionmount-testsuite)
#   BELLJAR_MOUNT  the mount tool; built from crates/overlay/examples/mount.rs where it is not given
#   stress-ng and fio from the PATH
# Logs stay in LOGS (default: a new directory under TMPDIR). The file system under TMPDIR is the one that is tested on.
# To be run as root. Exit code 1 when anything failed.
set -u
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "suites.sh: run as root" >&2; exit 2; }

who=root modes= suites="native pjdfstest unionmount layers stress-ng fio"
while getopts w:m:s: option; do
    case $option in
    w) who=${OPTARG//,/ } ;;
    m) modes=${OPTARG//,/ } ;;
    s) suites=${OPTARG//,/ } ;;
    *) exit 2 ;;
    esac
done
if [ -z "${BELLJAR_MOUNT:-}" ]; then
    cargo build -q -p belljar-overlay --example mount || exit 2
    BELLJAR_MOUNT=$PWD/target/debug/examples/mount
fi
export BELLJAR_MOUNT PJDFSTEST="${PJDFSTEST:-}" UNIONMOUNT="${UNIONMOUNT:-}"
[ -n "$modes" ] || modes=$("$BELLJAR_MOUNT" --modes)
export ADAPTERS=$PWD/tests/suites/bin
LOGS=${LOGS:-$(mktemp -d)}
mkdir -p "$LOGS"
chmod 755 "$LOGS"
echo "logs: $LOGS"

# What runs inside: fresh namespaces, a work directory $W on the file system under test, the view of $W/lower at $W/m.
inside() {
    set -eu
    W=$(mktemp -d "${TMPDIR:-/tmp}/suite.XXXXXX")
    chmod 755 "$W"
    mkdir "$W/lower" "$W/m"
    chmod 755 "$W/lower" "$W/m"
    trap 'cd /; cut -d" " -f5 /proc/self/mountinfo | grep "^$W/" | sort -r | xargs -r -n1 umount; wait
        chattr -R -f -ia "$W" || true; rm -rf "$W"' EXIT
    place=$W/m
    if [ "$MODE" = - ]; then
        place=$W/lower
    elif [ "$SUITE" != unionmount ] && [ "$SUITE" != layers ]; then
        "$BELLJAR_MOUNT" --mode "$MODE" --devices "$W/lower" "$W/store" "$W/m" &
        for _ in $(seq 200); do
            grep -q " $W/m " /proc/self/mountinfo && break
            sleep 0.05
        done
        # A server that refused has unmounted again or never mounted.
        stat "$W/m" >/dev/null
        grep -q " $W/m " /proc/self/mountinfo
    fi
    case $SUITE in
    pjdfstest)
        cat >"$W/pjd.toml" <<CONFIG
[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.02
allow_remount = false
[dummy_auth]
entries = [["nobody", "$(id -gn nobody)"], ["daemon", "daemon"]]
CONFIG
        "$PJDFSTEST" -c "$W/pjd.toml" -p "$place"
        ;;
    unionmount | layers)
        mkdir "$W/base"
        export UNIONMOUNT_BASEDIR=$W/base BELLJAR_MODE=$MODE PATH=$ADAPTERS:$PATH
        cd "$UNIONMOUNT"
        case "$SUITE $MODE" in
        "unionmount -") ./run --no ;;
        "layers -") exit 77 ;;
        unionmount*) ./run --ov --fuse=belljar ;;
        # Up to five layers, each an upper one that became a lower one; the view is mounted anew at every step.
        layers*) ./run --ov=5 --fuse=belljar ;;
        esac
        ;;
    stress-ng)
        stress-ng --class filesystem --seq 1 -t 1 --verify --temp-path "$place" --metrics-brief
        ;;
    fio)
        cd "$place"
        for engine in psync mmap io_uring; do
            fio --name=$engine --ioengine=$engine --rw=randrw --bs=4k --size=16m --numjobs=2 --verify=crc32c \
                --verify_fatal=1 --do_verify=1 --time_based=0 --group_reporting --output-format=terse
        done
        ;;
    esac
}

# Runs `inside` as $1; its exit code.
enter() {
    local seconds=$2
    case $1 in
    root)
        unshare -m -p -f --mount-proc --kill-child -- timeout -k 5 "$seconds" bash -c "$(declare -f inside); inside"
        ;;
    userns)
        # A device of our own to open, and a file system directory that belongs to the namespace's root.
        local dir
        dir=$(mktemp -d)
        chmod 711 "$dir"
        mkdir "$dir/dev" "$dir/tmp"
        chown 100000:100000 "$dir/tmp"
        TMPDIR=$dir/tmp unshare -m -- bash -c '
            mount -t tmpfs -o mode=0755 dev "$1/dev"
            mknod -m 0666 "$1/dev/fuse" c 10 229
            mount --bind "$1/dev/fuse" /dev/fuse
            mkfifo "$1/dev/go"; chmod 666 "$1/dev/go"
            # Bounds before the namespace: real root must write its maps.
            setpriv --reuid 100000 --regid 100000 --clear-groups -- unshare -U -- bash -c "
                read -r _ <$1/dev/go
                exec setpriv --reuid 0 --regid 0 --clear-groups -- unshare -m -p -f --mount-proc --kill-child -- \
                    timeout -k 5 $2 bash -c \"\$3\"" sh sh sh "$3" &
            child=$!
            own=$(readlink /proc/self/ns/user)
            until [ "$(readlink /proc/$child/ns/user)" != "$own" ]; do sleep 0.02; done
            echo "0 100000 65536" >/proc/$child/uid_map
            echo "0 100000 65536" >/proc/$child/gid_map
            echo go >"$1/dev/go"
            wait $child' sh "$dir" "$seconds" "$(declare -f inside); inside"
        local code=$?
        rm -rf "$dir"
        return $code
        ;;
    esac
}

failed=0
printf '%-10s %-7s %-14s %7s %7s %7s %8s  %s\n' SUITE WHO MODE PASSED FAILED SKIPPED SECONDS RESULT
row() {
    local log=$LOGS/$SUITE-$1-$MODE.log begun=$SECONDS code passed=- bad=- skipped=- result=ok
    enter "$1" "$2" >"$log" 2>&1
    code=$?
    case $SUITE in
    pjdfstest)
        read -r bad skipped passed < <(sed -n 's/^Summary: \([0-9]*\) failed, \([0-9]*\) skipped, \([0-9]*\) passed.*/\1 \2 \3/p' "$log")
        ;;
    unionmount | layers) passed=$(grep -a -c '^TEST' "$log") ;;
    stress-ng)
        passed=$(grep -c 'metrc.*bogo\|metrc: \[[0-9]*\] [a-z]* *[0-9]' "$log")
        bad=$(grep -c ' fail: ' "$log")
        ;;
    fio) passed=$(grep -c '^3;' "$log") ;;
    esac
    case $code in
    0) ;;
    # Some of its stressors need what neither the kernel nor a FUSE file system has (FIEMAP, binder, verity).
    3 | 4) if [ "$SUITE" = stress-ng ] && grep -q 'successful run completed' "$log"; then code=0; else result="exit $code"; fi ;;
    77) return ;;
    124 | 137) result="stopped after $2 s" ;;
    *) result="exit $code" ;;
    esac
    [ $code = 0 ] || [ "$MODE" = - ] || failed=1
    printf '%-10s %-7s %-14s %7s %7s %7s %8s  %s\n' "$SUITE" "$1" "$MODE" "${passed:--}" "${bad:--}" "${skipped:--}" \
        $((SECONDS - begun)) "$result"
}

export SUITE MODE
for one in $who; do
    for SUITE in $suites; do
        limit=300
        case $SUITE in
        native) continue ;;
        pjdfstest) [ -n "$PJDFSTEST" ] || { echo "$SUITE: not found, set PJDFSTEST"; continue; } ;;
        unionmount) [ -n "$UNIONMOUNT" ] || { echo "$SUITE: not found, set UNIONMOUNT"; continue; } ;;
        layers)
            [ -n "$UNIONMOUNT" ] || continue
            # It drops the machine's caches between its steps, for which a user namespace has no right.
            [ "$one" = root ] || continue
            limit=1200
            ;;
        stress-ng) command -v stress-ng >/dev/null || { echo "$SUITE: not found"; continue; } ;;
        fio) command -v fio >/dev/null || { echo "$SUITE: not found"; continue; } ;;
        esac
        case " $suites " in *" native "*) MODE=- row "$one" $limit ;; esac
        for MODE in $modes; do
            row "$one" $limit
        done
    done
done
exit $failed
