#!/bin/busybox sh
# The first process of the guest: in the initial file system it loads what the root needs and goes there; there it mounts
# what a Linux has, runs the checks and switches the machine off.
busybox=/bin/busybox
if [ -d /root/usr ] || [ ! -e /opt/guest.py ]; then
    $busybox mount -t proc proc /proc
    $busybox mount -t sysfs sysfs /sys
    $busybox mount -t devtmpfs dev /dev
    for module in virtio_pci virtio_blk crc32c crc32c_generic ext4; do $busybox modprobe $module 2>/dev/null; done
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; $busybox sleep 0.3; done
    $busybox mount -t ext4 /dev/vda /root || { echo "not ok the root cannot be mounted"; $busybox poweroff -f; }
    $busybox mount -t tmpfs modules /root/lib/modules
    $busybox cp -r /lib/modules/. /root/lib/modules/
    $busybox cp -r /boot /root/ 2>/dev/null
    $busybox umount /proc /sys /dev
    exec $busybox switch_root /root /bin/busybox sh /opt/begin.sh
fi
export PATH=/usr/local/bin:/usr/bin:/usr/sbin HOME=/root LANG=C.UTF-8
# The image may have been made by somebody who is not root.
[ "$(stat -c %u /usr/bin/cat)" = 0 ] || chown -R 0:0 /usr /etc /opt /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /var/tmp
ip link set lo up
echo /usr/sbin/modprobe >/proc/sys/kernel/modprobe
ln -s /proc/self/fd /dev/fd
python3 -B -u /opt/guest.py
sync
exec /bin/busybox poweroff -f
