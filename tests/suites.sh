#!/bin/bash
# External file-system suites on a view, each in a mount and process namespace of its own with a time limit; one table.
# README.md beside `suites/` says what was measured last and what cannot pass anywhere.
#
#   tests/suites.sh [-w WHO,...] [-m MODE,...] [-s SUITE,...]
#
#   WHO    root    mounted and served by root of the host (default)
#          userns  root of a user namespace with 65,536 ids, without any right outside
#          user    an ordinary user in a namespace that maps one id, as in a jar; the suites have no capability
#   MODE   as the mount tool names them (default: all it has)
#   SUITE  native, pjdfstest, readonly, unionmount, verify, layers, stress-ng, fio (default: all that are found)
#          native is no suite: it asks for a run without a view before each, in mode `-`. What fails there as well is
#          told as `as native` and is no failure of the view.
#
# Fetches nothing. What it uses where it is found:
#   PJDFSTEST       binary of pjdfstest in Rust (github.com/saidsay-so/pjdfstest)
#   UNIONMOUNT      checkout of unionmount-testsuite (github.com/amir73il/unionmount-testsuite)
#   BELLJAR_MOUNT   the mount tool; built from crates/overlay/examples/mount.rs where it is not given
#   STRESS_SECONDS  for each stressor (default: 1)
#   stress-ng and fio from the PATH
# Logs stay in LOGS (default: a new directory under TMPDIR). The file system under TMPDIR is the one that is tested on.
# To be run as root. Exit code 1 when a view failed.
set -u
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "suites.sh: run as root" >&2; exit 2; }

who=root modes= suites="native pjdfstest readonly unionmount verify layers stress-ng fio"
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
export STRESS_SECONDS=${STRESS_SECONDS:-1}
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
    real=$(mktemp -d "${TMPDIR:-/tmp}/suite.XXXXXX")
    # Under a short name: the path of a socket has 107 bytes.
    W=/media
    mount --bind "$real" $W
    cd $W
    chmod 755 .
    mkdir lower m second
    chmod 755 lower m
    trap 'cd /; cut -d" " -f5 /proc/self/mountinfo | grep "^$W/" | sort -r | xargs -r -n1 umount; wait
        chattr -R -f -ia "$real" || true; rm -rf "$real"' EXIT
    place=$W/m
    if [ "$MODE" = - ]; then
        place=$W/lower
    elif [ "$SUITE" != unionmount ] && [ "$SUITE" != verify ] && [ "$SUITE" != layers ]; then
        "$BELLJAR_MOUNT" --mode "$MODE" --devices lower store m &
        for _ in $(seq 200); do
            grep -q " $W/m " /proc/self/mountinfo && break
            sleep 0.05
        done
        # A server that refused has unmounted again or never mounted.
        stat m >/dev/null
        grep -q " $W/m " /proc/self/mountinfo
    fi
    # What maps no other ids runs as what it is, without the capabilities that mounted.
    plain=
    [ "$(id -u)" = 0 ] || plain="setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all --"
    case $SUITE in
    pjdfstest | readonly)
        mount -t tmpfs -o mode=0755 second second
        remount=false only= path=$PATH
        if [ "$SUITE" = readonly ]; then
            # By themselves: other tests leave files open, and what has an open file cannot become read-only. Without a
            # view it would be the whole file system of the machine.
            [ "$MODE" != - ] || exit 77
            remount=true only=erofs path=$ADAPTERS:$PATH
        fi
        cat >pjd.toml <<CONFIG
[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}
secondary_fs = "$W/second"
[settings]
naptime = 0.02
allow_remount = $remount
[dummy_auth]
entries = [["nobody", "$(id -gn nobody)"], ["daemon", "daemon"]]
CONFIG
        PATH=$path "$PJDFSTEST" -c pjd.toml -p "$place" $only
        ;;
    unionmount | verify | layers)
        mkdir base
        export UNIONMOUNT_BASEDIR=$W/base BELLJAR_MODE=$MODE PATH=$ADAPTERS:$PATH
        cd "$UNIONMOUNT"
        case "$SUITE $MODE" in
        "unionmount -") ./run --no ;;
        *" -") exit 77 ;;
        unionmount*) ./run --ov --fuse=belljar ;;
        # Inode and device numbers stay what they were, across copy-up and a new mount. What it asks besides, that open(2)
        # for writing copies a file before anything is written, is not wanted here.
        verify*)
            python3 -B -c 'import runpy, sys; from context import test_context
test_context.check_copy_up = lambda *_: None
sys.argv[0] = "./run"; runpy.run_path("run", run_name="__main__")' --ov --fuse=belljar --verify
            ;;
        # Up to five layers, each an upper one that became a lower one; the view is mounted anew at every step.
        layers*) ./run --ov=5 --fuse=belljar ;;
        esac
        ;;
    stress-ng)
        $plain stress-ng --class filesystem --seq 1 -t "$STRESS_SECONDS" --verify --temp-path "$place" --metrics-brief
        ;;
    fio)
        cd "$place"
        for job in psync:0 mmap:0 io_uring:0 psync:1 libaio:1; do
            $plain fio --name="$job" --ioengine=${job%:*} --direct=${job#*:} --rw=randrw --bs=4k --size=16m --numjobs=2 \
                --verify=crc32c --verify_fatal=1 --do_verify=1 --time_based=0 --group_reporting --output-format=terse
        done
        ;;
    esac
}

# Runs `inside` as $1; its exit code.
enter() {
    local seconds=$2 dir code body
    body="$(declare -f inside); inside"
    if [ "$1" = root ]; then
        unshare -m -p -f --mount-proc --kill-child -- timeout -k 5 "$seconds" bash -c "$body"
        return
    fi
    # A device of our own to open, and a directory for whoever it is.
    dir=$(mktemp -d)
    chmod 711 "$dir"
    mkdir "$dir/dev" "$dir/tmp"
    chown "${owners[$1]}:${owners[$1]}" "$dir/tmp"
    TMPDIR=$dir/tmp unshare -m -- bash -c '
        mount -t tmpfs -o mode=0755 dev "$1/dev"
        mknod -m 0666 "$1/dev/fuse" c 10 229
        mount --bind "$1/dev/fuse" /dev/fuse
        become="setpriv --reuid $5 --regid $5 --clear-groups --"
        if [ "$4" = user ]; then
            exec $become unshare -U --map-user "$5" --map-group "$5" --keep-caps -m -p -f --mount-proc --kill-child -- \
                timeout -k 5 "$2" bash -c "$3"
        fi
        mkfifo "$1/dev/go"; chmod 666 "$1/dev/go"
        # Root of the host must write the maps before anything else happens there.
        $become unshare -U -- bash -c "
            read -r _ <$1/dev/go
            exec setpriv --reuid 0 --regid 0 --clear-groups -- unshare -m -p -f --mount-proc --kill-child -- \
                timeout -k 5 $2 bash -c \"\$3\"" sh sh sh "$3" &
        child=$!
        own=$(readlink /proc/self/ns/user)
        until [ "$(readlink /proc/$child/ns/user)" != "$own" ]; do sleep 0.02; done
        echo "0 $5 65536" >/proc/$child/uid_map
        echo "0 $5 65536" >/proc/$child/gid_map
        echo go >"$1/dev/go"
        wait $child' sh "$dir" "$seconds" "$body" "$1" "${owners[$1]}"
    code=$?
    rm -rf "$dir"
    return $code
}
# Ids nobody has.
declare -A owners=([userns]=100000 [user]=47110)

failed=0
printf '%-10s %-7s %-14s %7s %7s %7s %8s  %s\n' SUITE WHO MODE PASSED FAILED SKIPPED SECONDS RESULT
# The tests of pjdfstest, or the stressors of stress-ng, that failed in a log.
failures() { sed -n -e 's/ *FAILED$//p' -e 's/^stress-ng: fail: *\[[0-9]*\] \([a-z-]*\):.*/\1/p' "$1" | sort -u; }
# Whether a view failed in nothing but what fails without it.
as_native() { [ "$MODE" != - ] && [ -e "$2" ] && [ -z "$(comm -13 <(failures "$2") <(failures "$1"))" ]; }

row() {
    local log=$LOGS/$SUITE-$1-$MODE.log native=$LOGS/$SUITE-$1--.log begun=$SECONDS code passed=- bad=- skipped=- result=ok
    enter "$1" "$2" >"$log" 2>&1
    code=$?
    case $SUITE in
    pjdfstest | readonly)
        read -r bad skipped passed < <(sed -n 's/^Summary: \([0-9]*\) failed, \([0-9]*\) skipped, \([0-9]*\) passed.*/\1 \2 \3/p' "$log")
        if [ $code = 1 ] && [ "${bad:-0}" -gt 0 ] && as_native "$log" "$native"; then code=0 result="as native"; fi
        ;;
    unionmount | verify | layers) passed=$(grep -a -c '^TEST' "$log") ;;
    stress-ng)
        passed=$(grep 'metrc: \[[0-9]*\] [a-z]' "$log" | awk '$5 ~ /^[0-9]+$/ {print $4}' | sort -u | wc -l)
        skipped=$(grep -c 'skipping stress' "$log")
        bad=$(failures "$log" | wc -l)
        if [ $code = 2 ] && [ "$bad" -gt 0 ] && as_native "$log" "$native"; then code=0 result="as native"; fi
        ;;
    fio) passed=$(grep -c '^3;' "$log") ;;
    esac
    case $code in
    0) ;;
    # Some of its stressors need what the kernel or the file system does not have; the log names them.
    3 | 4)
        if [ "$SUITE" = stress-ng ] && [ "$bad" = 0 ] && grep -q 'successful run completed' "$log"; then
            code=0
        else
            result="exit $code"
        fi
        ;;
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
    case $one in root | userns | user) ;; *) echo "suites.sh: nobody called $one" >&2; exit 2 ;; esac
    for SUITE in $suites; do
        limit=300
        case $SUITE in
        native) continue ;;
        pjdfstest | readonly)
            [ -n "$PJDFSTEST" ] || { echo "$SUITE: not found, set PJDFSTEST"; continue; }
            [ "$one" != user ] || { echo "$SUITE: skipped for $one, it needs several users"; continue; }
            ;;
        unionmount | verify | layers)
            [ -n "$UNIONMOUNT" ] || { echo "$SUITE: not found, set UNIONMOUNT"; continue; }
            [ "$one" != user ] || { echo "$SUITE: skipped for $one, it needs several users"; continue; }
            if [ $SUITE != unionmount ] && [ "$one" != root ]; then
                echo "$SUITE: skipped for $one, it empties the caches of the machine between its steps"
                continue
            fi
            [ $SUITE != layers ] || limit=1200
            ;;
        stress-ng)
            command -v stress-ng >/dev/null || { echo "$SUITE: not found"; continue; }
            limit=$((200 + 100 * STRESS_SECONDS))
            ;;
        fio) command -v fio >/dev/null || { echo "$SUITE: not found"; continue; } ;;
        *) echo "suites.sh: no suite called $SUITE" >&2; exit 2 ;;
        esac
        case " $suites " in *" native "*) MODE=- row "$one" $limit ;; esac
        for MODE in $modes; do
            if [ "$MODE" = passthrough ] && [ "$one" != root ]; then
                echo "$SUITE: mode $MODE skipped for $one, the kernel gives it to CAP_SYS_ADMIN of the machine only"
                continue
            fi
            row "$one" $limit
        done
    done
done
exit $failed
