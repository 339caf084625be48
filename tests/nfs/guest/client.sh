#!/bin/bash
# An NFS client of the rig, with a registry on it.
#   client.sh start | mount VERSION | serve PROGRAM | end | remount VERSION | mount_at DIRECTORY OPTIONS
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

# As docs/nfs.md says: with version 3 a client that remembers absences may never see a name (visibility.rs).
mount_volume() {
    case $1 in
    3) mount_at "$volume" vers=3,lookupcache=positive ;;
    *) mount_at "$volume" "vers=$1" ;;
    esac
}

mount_at() {
    local export=/volume
    [[ $2 == *vers=3* ]] && export=/srv/volume
    mkdir -p "$1"
    mount -t nfs -o "proto=tcp,$2" "$server:$export" "$1"
}

serve() {
    local log="/mnt/$RIG_NAME.$1.log" command
    case $1 in
    pakhuis) command=(/mnt/pakhuis serve --config /mnt/pakhuis.toml) ;;
    docker-registry) command=(/mnt/docker-registry serve /mnt/docker-registry.yml) ;;
    registry) command=(env OTEL_TRACES_EXPORTER=none /mnt/registry serve /mnt/docker-registry.yml) ;;
    *) return 2 ;;
    esac
    cd /run
    setsid "${command[@]}" </dev/null >>"$log" 2>&1 &
    echo $! >/run/served.pid
}

# Ends the registry, and takes the volume away when its last file is closed.
end() {
    kill -9 "$(cat /run/served.pid)"
    for _ in {1..50}; do
        umount "$volume" && return
        sleep 0.1
    done
    return 1
}

case $1 in
start) start ;;
mount) mount_volume "$2" ;;
remount)
    umount -l "$volume"
    mount_volume "$2"
    ;;
mount_at) mount_at "$2" "$3" ;;
serve) serve "$2" ;;
end) end ;;
*) exit 2 ;;
esac
