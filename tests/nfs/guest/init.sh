#!/bin/bash
# First process of a guest. The root is the host's tree, read-only; what must be written lies in memory.
# From the kernel's command line, as environment: RIG_SHARE (the host's directory for all guests), RIG_NAME,
# RIG_ROLE (server or client), RIG_CONTROL and RIG_STORAGE (addresses with prefix length).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t hostfs none /mnt -o "$RIG_SHARE"
mount -t hostfs none /lib/modules -o /usr/lib/uml/modules
for directory in /run /tmp /srv /media /opt /var/lib/nfs; do
    mount -t tmpfs tmpfs "$directory"
done
mkdir -p /run/lock /run/rpc_pipefs /var/lib/nfs/{sm,sm.bak,v4recovery,rpc_pipefs}
touch /var/lib/nfs/{etab,rmtab,state}

# Each guest is an NFS client of its own: the name is part of its identity.
hostname "rig-$RIG_NAME"
# The network driver of this kernel does not bear a failed allocation.
sysctl -q vm.min_free_kbytes=32768
# Two networks, and never one in place of the other: a cut cable must stay cut.
sysctl -q net.ipv4.ip_forward=0 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
sysctl -q net.ipv6.conf.all.disable_ipv6=1
ip link set lo up
ip address add "$RIG_CONTROL" dev vec0 && ip link set vec0 up
ip address add "$RIG_STORAGE" dev vec1 && ip link set vec1 up

# A listening port is the mark of a guest that is up.
"/mnt/guest/$RIG_ROLE.sh" start >"/mnt/$RIG_NAME.role.log" 2>&1
echo "$?" >"/mnt/$RIG_NAME.started"
while true; do
    socat -t 3600 TCP-LISTEN:7,fork,reuseaddr EXEC:/mnt/guest/agent.sh
    sleep 1
done
