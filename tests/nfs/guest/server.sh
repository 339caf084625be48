#!/bin/bash
# The NFS server of the rig: knfsd on an ext4 image.
#   server.sh start | export FSID | stop | resume
set -euo pipefail

# Short, so that a restart is over in seconds; the kernel's defaults are 90.
readonly lease=15

export_volume() {
    local fsid=$1
    local options=rw,sync,no_root_squash,no_subtree_check
    # An NFSv4 root must be exportable, which the tree of the guest is not: a directory in memory is.
    exportfs -o "$options,fsid=0" '*:/srv'
    exportfs -o "$options,fsid=$fsid" '*:/srv/volume'
    # What the kernel asked mountd before is forgotten.
    exportfs -f
}

start_service() {
    echo "$lease" >/proc/fs/nfsd/nfsv4leasetime
    echo "$lease" >/proc/fs/nfsd/nfsv4gracetime
    rpc.nfsd 8
}

start() {
    modprobe ext4
    modprobe nfsd
    # Which clients held state must outlive a power cut, as on a real server.
    mkdir -p /srv/volume
    mount -t ext4 /dev/ubda /media
    mkdir -p /media/volume /media/v4recovery /media/sm /media/sm.bak
    for directory in v4recovery sm sm.bak; do
        mount --bind "/media/$directory" "/var/lib/nfs/$directory"
    done
    mount --bind /media/volume /srv/volume
    mount -t nfsd nfsd /proc/fs/nfsd
    rpcbind -w
    rpc.statd
    export_volume 1
    start_service
    rpc.mountd
}

case $1 in
start) start ;;
export)
    exportfs -ua
    export_volume "$2"
    ;;
stop) rpc.nfsd 0 ;;
resume) start_service ;;
*) exit 2 ;;
esac
