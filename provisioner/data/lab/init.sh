#!/bin/sh
# First process of a lab host, as root: makes the container fit for systemd, then becomes it.
# $1 is the user that is logged in as. Runs again at each restart of the host.
set -eu

# Docker gives the container control groups of its own, but read-only; systemd and a Docker engine inside write to
# them. With version 1 each controller is a mount below /sys/fs/cgroup, with version 2 it is the folder itself.
for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
  if mountpoint -q "$folder"; then mount -o remount,bind,rw "$folder"; fi
done

# An engine inside sets up the interfaces of its containers here. All of it belongs to this container's network;
# the rest of /proc/sys is the real machine's and stays read-only.
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net

id -u "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"

exec /sbin/init
