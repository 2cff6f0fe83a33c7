#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The inside of machine.py: from a process in fresh namespaces to a booted systemd, over an overlay of
# this machine's own root, so that nothing outside is touched.
#
#   boot.sh FOLDER CGROUP     FOLDER/tree goes on top of the root; CGROUP is a fresh group for all of it

set -eu
folder=$1
cgroup=$2
root=$folder/root

echo 0 >"$cgroup/cgroup.procs"
mount --make-rprivate /

# The overlay's upper layer must not be an overlay itself, which this machine's own root may be.
mkdir "$folder/layers" "$root"
mount -t tmpfs -o mode=755 layers "$folder/layers"
mkdir "$folder/layers/upper" "$folder/layers/work"
mount -t overlay \
	-o "lowerdir=/,upperdir=$folder/layers/upper,workdir=$folder/layers/work" overlay "$root"
tar -C "$folder/tree" -c . | tar -C "$root" -x --keep-directory-symlink --no-same-owner

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mount --rbind /dev "$root/dev"

ip link set lo up

# From here on the group is the root of what is seen of the hierarchy.
# shellcheck disable=SC2016 # the shell inside expands it
exec unshare --cgroup /bin/sh -eu -c '
	mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
	cd "$1"
	mkdir -p mnt
	pivot_root . mnt
	umount -l /mnt
	# Credentials are mounted by a helper, in a namespace of its own that must reach this one.
	mount --make-rshared /
	exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --unit=box.target
' boot "$root"
