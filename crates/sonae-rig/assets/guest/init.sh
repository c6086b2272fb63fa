#!/bin/sh
# PID 1 of the tiny guest: a resident register on its own disk, written continuously, and a serial line to ask it.
#
#   status     how many rows there are
#   register   every row as one line of text
#   poweroff   ends the writing, unmounts both disks, says whether that was clean, switches off
export PATH=/bin:/sbin:/usr/bin
DB=/data/register.db
PAUSE=0.2
exec </dev/ttyS0 >/dev/ttyS0 2>&1
dmesg -n 1
# Nothing typed into the line is echoed, and lines end with a plain newline.
stty -echo -onlcr
mount -t tmpfs t /tmp
hostname "$(cat /etc/hostname)"

failed() {
  echo "SONAE-GUEST FAILED $*"
  sync
  poweroff -f
}

sql() { sqlite3 -bail -cmd '.timeout 5000' "$DB"; }

count() { echo 'select count(*) from resident;' | sql; }

write_on() {
  until [ -e /tmp/stop ]; do
    sql </etc/sonae/write.sql 2>/tmp/error || echo "SONAE-GUEST WRITE-ERROR $(cat /tmp/error)"
    sleep $PAUSE
  done
}

stop() {
  touch /tmp/stop
  wait "$WRITER"
  rows=$(count)
  sync
  if umount /data && mount -o remount,ro /; then
    echo "SONAE-GUEST STOPPED clean rows=$rows"
  else
    echo "SONAE-GUEST STOPPED dirty rows=$rows"
  fi
  sync
  poweroff -f
}

mount -t ext4 -o errors=remount-ro,noatime /dev/vdb /data || failed "no data disk"
sql </etc/sonae/create.sql >/dev/null || failed "no register"
echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) booted" >>/var/log/boot.log
FOUND=$(count) || failed "the register cannot be read"
write_on &
WRITER=$!
echo "SONAE-GUEST READY $(hostname) uptime=$(cut -d' ' -f1 /proc/uptime) rows=$FOUND kernel=$(uname -r)"

while read -r line; do
  case "$line" in
    status) echo "SONAE-GUEST STATUS rows=$(count)" ;;
    register)
      sql </etc/sonae/register.sql
      echo "SONAE-GUEST REGISTER integrity=$(echo 'pragma integrity_check;' | sql)"
      ;;
    poweroff) stop ;;
  esac
done
failed "the serial line ended"
