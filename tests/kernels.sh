#!/bin/sh
# Boots Debian's own kernels in qemu and puts Belljar to work on each: what an older kernel does not have must be told or
# refused, and everything else must hold as it does here. No test run does this by itself.
#
#     sh tests/kernels.sh fetch [NAME...]    downloads the kernels, some 30 MB each, without installing them
#     sh tests/kernels.sh [NAME...]          boots them all, or these (6.1)
#
# KERNELS is where they are kept (target/kernels); a directory NAME in it with the kernel and modules of any other Debian
# package is taken too. BELLJAR is the program (target/debug/belljar, built when it is not given); one that was built with
# optimisation is several times faster here, where the processor is emulated. SECONDS_MAX bounds a boot (600).
# ONLY=limits,fuse runs the checks with those words in their names. ACCEL=kvm where a virtual machine can be had.
#
# The guest has no network and no disk but an image of a few programs of this machine. It is made anew each time, and
# nothing of the machine can be written from it. What is printed last, and the log of each, say what Belljar told there.
set -eu
cd "$(dirname "$0")/.."
KERNELS=${KERNELS:-target/kernels}
mkdir -p "$KERNELS"
KERNELS=$(cd "$KERNELS" && pwd)

# The newest kernel for virtual machines in each of these.
suites="5.10=bullseye 6.1=bookworm 6.12=bookworm-backports newest=trixie-backports"

missing=
for pair in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static mke2fs:e2fsprogs cpio:cpio xz:xz-utils strip:binutils \
    python3:python3 setpriv:util-linux; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -z "$missing" ] || {
    echo "kernels.sh: missing:$missing (on Debian: sudo apt-get install --no-install-recommends$missing)" >&2
    exit 2
}
[ "$(uname -m)" = x86_64 ] || { echo "kernels.sh: these kernels are for x86-64" >&2; exit 2; }
# The system's own first: what is in /usr/local may be a wrapper.
PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# apt with lists of its own: what this machine installs from stays as it is.
fetch() {
    name=$1 suite=$2 apt=$KERNELS/apt/$2
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${MIRROR:-http://deb.debian.org/debian} $suite main" \
        >"$apt/sources.list"
    own="-q -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State=$apt
        -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status -o Dir::Cache=$apt/cache
        -o APT::Sandbox::User=$(id -un)"
    apt-get $own update >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
    image=$(apt-cache $own search --names-only '^linux-image-[0-9.]+[^ ]*-cloud-amd64$' | cut -d' ' -f1 | sort -V | tail -n1)
    [ -n "$image" ] || { echo "kernels.sh: no kernel in $suite" >&2; return 1; }
    # Newer packages have the kernel and its modules in two others.
    parts=$(apt-cache $own depends "$image" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-.*\)/\1/p')
    (cd "$work" && apt-get $own download "$image" $parts >log 2>&1) || { cat "$work/log" >&2; return 1; }
    rm -rf "${KERNELS:?}/$name"
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$KERNELS/$name"
        rm "$package"
    done
    echo "$name: $image"
}

if [ "${1:-}" = fetch ]; then
    shift
    for pair in $suites; do
        case " ${*:-${pair%%=*}} " in *" ${pair%%=*} "*) fetch "${pair%%=*}" "${pair#*=}" ;; esac
    done
    exit
fi

if [ -z "${BELLJAR:-}" ]; then
    cargo build -q --locked --bin belljar
    BELLJAR=${CARGO_TARGET_DIR:-target}/debug/belljar
fi

# What ldd(1) says a file needs.
libraries() { ldd "$1" 2>/dev/null | awk '$3 ~ /^\// {print $3} $1 ~ /^\// {print $1}'; }

own_libraries() {
    libraries "$1" | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        [ -e "$root$library" ] || cp -L "$library" "$root$library"
    done
}

# Copies a program with its libraries into the root of the guest, by their own paths.
program() {
    # Not `command -v`, which also knows what the shell does itself.
    path=$(IFS=:; for dir in $PATH; do [ ! -x "$dir/$1" ] || { echo "$dir/$1"; break; }; done)
    [ -n "$path" ] || { echo "kernels.sh: no program $1" >&2; exit 2; }
    mkdir -p "$root$(dirname "$path")"
    [ -e "$root$path" ] || cp -L "$path" "$root$path"
    own_libraries "$path"
}

# The root file system of every guest: this machine's programs and the checks.
root=$work/root
mkdir -p "$root/usr/bin" "$root/usr/lib64" "$root/usr/sbin" "$root/etc" "$root/opt"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/var/tmp" "$root/home" "$root/root" "$root/lib/modules"
mv "$root/lib" "$root/usr/lib"
for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
for name in sh bash cat ls cp mv rm mkdir rmdir ln touch chmod chown head tail seq sleep stat id sort wc cut tr tee env timeout \
    truncate mktemp date dd uname sync mkfifo readlink dirname basename true sha256sum printf grep sed find mount umount \
    unshare setpriv setsid python3 nproc nohup od df yes mknod; do
    program "$name"
done
python=$(/usr/bin/python3 -c 'import sys; print("/usr/lib/python%d.%d" % sys.version_info[:2])')
mkdir -p "$root$python"
(cd "$python" && tar -cf - --exclude=test --exclude=dist-packages --exclude=__pycache__ --exclude=idlelib --exclude=tkinter \
    --exclude=ensurepip --exclude=lib2to3 --exclude='config-*' .) | tar -xf - -C "$root$python"
for module in "$python"/lib-dynload/*.so; do own_libraries "$module"; done
# A later `program` would take the busybox of this machine's PATH; this one needs no library.
cp "$(command -v busybox)" "$root/usr/bin/busybox"
for name in modprobe insmod poweroff ip; do ln -s ../bin/busybox "$root/usr/sbin/$name"; done
strip -o "$root/usr/bin/belljar" "$BELLJAR"
own_libraries "$BELLJAR"
cp tests/kernels/guest.py tests/kernels/begin.sh "$root/opt/"
echo "root:x:0:0:root:/root:/bin/sh
tester:x:1000:1000:tester:/home/tester:/bin/sh" >"$root/etc/passwd"
echo "root:x:0:
tester:x:1000:" >"$root/etc/group"
echo "root:SECRET-shadow:1::::::" >"$root/etc/shadow"
chmod 600 "$root/etc/shadow"
echo "127.0.0.1 localhost" >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
mke2fs -q -F -t ext4 -d "$root" -E root_owner=0:0 "$work/root.img" 2G >/dev/null

# An initial file system with what mounts the root, and the modules a jar may need.
initrd() {
    from=$KERNELS/$1 init=$work/init.$1
    release=$(basename "$(ls -d "$from"/lib/modules/* "$from"/usr/lib/modules/* 2>/dev/null | head -n1)")
    source=$(ls -d "$from/lib/modules/$release" "$from/usr/lib/modules/$release" 2>/dev/null | head -n1)
    to=$init/lib/modules/$release
    mkdir -p "$init/bin" "$init/proc" "$init/sys" "$init/dev" "$init/root" "$to/kernel"
    cp "$(command -v busybox)" "$init/bin/busybox"
    cp tests/kernels/begin.sh "$init/init"
    chmod 755 "$init/init"
    for part in fs/ext4 fs/jbd2 fs/mbcache.ko fs/fuse fs/overlayfs lib crypto arch/x86/crypto net/netfilter net/ipv4/netfilter \
        net/ipv6/netfilter drivers/virtio drivers/block drivers/net/dummy.ko; do
        for found in "$source/kernel/$part"*; do
            [ -e "$found" ] || continue
            mkdir -p "$to/kernel/$(dirname "$part")"
            cp -r "$found" "$to/kernel/$(dirname "$part")/"
        done
    done
    cp "$source"/modules.builtin* "$source"/modules.order "$to/" 2>/dev/null || true
    find "$to" -name '*.ko.xz' -exec xz -d {} +
    find "$to" -name '*.ko.zst' -exec zstd -q -d --rm {} +
    # busybox looks below the working directory.
    (cd "$init" && busybox depmod -b "$init" "$release" 2>/dev/null)
    [ -s "$to/modules.dep" ] || { echo "kernels.sh: no modules.dep could be made for $release" >&2; return 1; }
    # What `doctor` reads.
    mkdir -p "$init/boot"
    cp "$from"/boot/config-* "$init/boot/" 2>/dev/null || cp "$source/config" "$init/boot/config-$release" 2>/dev/null || true
    (cd "$init" && find . | cpio -o -H newc --quiet) >"$work/$1.cpio"
    rm -rf "$init"
}

failed=0 found=
for dir in "$KERNELS"/*/; do
    name=$(basename "$dir")
    image=$(ls -d "$dir"boot/vmlinuz-* "$dir"usr/lib/modules/*/vmlinuz 2>/dev/null | head -n1)
    [ -n "$image" ] || continue
    wanted=${*:-$name}
    case " $wanted " in *" $name "*) ;; *) continue ;; esac
    found=yes
    initrd "$name"
    # Blank lines and echo keep the serial console readable in a log; no user directory, network or display.
    log=$KERNELS/$name.log
    begun=$(date +%s)
    set +e
    timeout -k 5 "${SECONDS_MAX:-600}" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -machine "q35,accel=${ACCEL:-tcg}" \
        -cpu "${CPU:-max}" -m 2G -smp 2 -nic none -serial stdio -kernel "$image" -initrd "$work/$name.cpio" \
        -drive "file=$work/root.img,format=raw,if=virtio,snapshot=on" \
        -append "console=ttyS0 no_timer_check quiet loglevel=3 panic=-1 cgroup_no_v1=all lsm=landlock,yama,apparmor,bpf only=${ONLY:-}" \
        </dev/null >"$log" 2>&1
    code=$?
    set -e
    tr -d '\r' <"$log" >"$work/log" && mv "$work/log" "$log"
    took=$(($(date +%s) - begun))
    good=$(grep -c '^ok ' "$log") || true
    bad=$(grep -c '^not ok ' "$log") || true
    result=ok
    [ "$bad" = 0 ] || result=failed
    grep -q '^done$' "$log" || result="did not finish (qemu: $code)"
    printf '%-10s %-34s %4s ok %4s failed %5s s  %s\n' "$name" "$(sed -n 's/^kernel //p' "$log" | head -n1)" "$good" "$bad" "$took" "$result"
    sed -n 's/^told /           /p' "$log"
    if [ "$result" != ok ]; then
        failed=1
        grep -A12 '^not ok ' "$log" | head -n 80
        case $result in did*) tail -n 20 "$log" ;; esac
        echo "           see $log"
    fi
done
[ -n "$found" ] || { echo "kernels.sh: no kernel in $KERNELS: sh tests/kernels.sh fetch" >&2; exit 2; }
exit $failed
