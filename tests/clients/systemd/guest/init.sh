#!/bin/bash
# First process of the guest: makes the tree of the host writable, in memory, and gives way to systemd. The host's directory
# is at /media then. From the kernel's command line, as environment: RIG_SHARE.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t hostfs none /lib/modules -o /usr/lib/uml/modules
mount -t tmpfs -o mode=755 tmpfs /media
modprobe overlay
mkdir /media/{upper,work,root}
mount -t overlay overlay -o lowerdir=/,upperdir=/media/upper,workdir=/media/work /media/root
umount /proc /lib/modules
mount -t hostfs none /media/root/media -o "$RIG_SHARE"
cp /mnt/guest/agent.service /mnt/guest/mnt-docker-registry.mount /media/root/etc/systemd/system/
install -m 755 /mnt/guest/sudo /media/root/usr/local/bin/sudo
# They make units of what is not here, and take seconds at each daemon-reload.
rm -f /media/root/lib/systemd/system-generators/*
exec switch_root /media/root /lib/systemd/systemd
