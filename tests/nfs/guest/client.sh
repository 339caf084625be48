#!/bin/bash
# An NFS client of the rig, with a registry on it.
#   client.sh start | mount VERSION | serve PROGRAM | kill PROGRAM | remount VERSION
# RIG_SERVER is the address of the NFS server.
set -euo pipefail
readonly server=${RIG_SERVER:-10.32.0.2} volume=/srv/volume

start() {
    modprobe nfs
    modprobe nfsv3
    modprobe nfsv4
    mkdir -p "$volume"
    # What statd knows must outlive a crash of this machine, or its locks are never given back.
    mkdir -p "/mnt/$RIG_NAME.statd/sm" "/mnt/$RIG_NAME.statd/sm.bak"
    mount --bind "/mnt/$RIG_NAME.statd/sm" /var/lib/nfs/sm
    mount --bind "/mnt/$RIG_NAME.statd/sm.bak" /var/lib/nfs/sm.bak
    rpcbind -w
    rpc.statd
}

mount_volume() {
    case $1 in
    3) mount -t nfs -o vers=3,proto=tcp,mountproto=tcp "$server:/srv/volume" "$volume" ;;
    *) mount -t nfs -o "vers=$1,proto=tcp" "$server:/volume" "$volume" ;;
    esac
}

serve() {
    local log="/mnt/$RIG_NAME.$1.log" command
    case $1 in
    pakhuis) command=(/mnt/pakhuis serve --config /mnt/pakhuis.toml) ;;
    docker-registry) command=(/mnt/docker-registry serve /mnt/docker-registry.yml) ;;
    *) return 2 ;;
    esac
    cd /run
    setsid "${command[@]}" </dev/null >>"$log" 2>&1 &
    echo $! >"/run/$1.pid"
}

case $1 in
start) start ;;
mount) mount_volume "$2" ;;
unmount) umount "$volume" ;;
remount)
    umount -l "$volume"
    mount_volume "$2"
    ;;
serve) serve "$2" ;;
kill) kill -9 "$(cat "/run/$2.pid")" ;;
*) exit 2 ;;
esac
