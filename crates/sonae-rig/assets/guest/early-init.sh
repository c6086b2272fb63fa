#!/bin/busybox sh
# First program of the guest: loads the disk drivers and hands over to the system on the disk.
B=/bin/busybox
$B mount -t devtmpfs d /dev
$B mount -t proc p /proc
$B mount -t sysfs s /sys
for m in $($B cat /modules/order); do $B insmod "/modules/$m"; done
if ! $B mount -t ext4 -o errors=remount-ro /dev/vda2 /new; then
  echo "SONAE-GUEST FAILED no system disk"
  $B poweroff -f
fi
for d in dev proc sys; do $B mount -o move "/$d" "/new/$d"; done
exec $B switch_root /new /sbin/init
