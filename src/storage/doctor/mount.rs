//! What the mount of the volume means for a registry, judged from the mount table alone.

use std::path::Path;

use super::{
    mount_table::{Mount, MountTable, PlannedMount},
    nfs_mount,
    report::{Finding, Trial},
};

/// Tells the mount of `directory`, and what is wrong with it.
pub(super) fn trial(mount: Option<&Mount>) -> Trial {
    let Some(mount) = mount else {
        return Trial::not_tried("mount", "/proc/self/mountinfo does not say what the volume is on");
    };
    let mut findings = judge(mount);
    if mount.is_read_only() {
        findings.push(Finding::warning(
            "the volume is mounted read-only",
            "pulls work; pushes and deletes are refused with 503",
            format!("if pushes shall work: mount -o remount,rw {}", mount.mount_point.display()),
        ));
    }
    Trial::of("mount", mount.describe(), findings)
}

fn judge(mount: &Mount) -> Vec<Finding> {
    const LOST: &str = "images are lost";
    let file_system = mount.file_system.as_str();
    match file_system {
        "nfs" | "nfs4" => nfs_mount::judge(mount),
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "zfs" | "f2fs" | "jfs" | "bcachefs" => local_disk(mount),
        "tmpfs" | "ramfs" => vec![Finding::error(
            format!("{file_system} is memory"),
            format!("{LOST} when the machine restarts"),
            "put storage.root on a disk or a share",
        )],
        "overlay" | "aufs" => vec![Finding::warning(
            format!("{file_system}: the inside of a container"),
            format!("{LOST} with the container"),
            "give the container a volume: docker run --mount type=bind,source=/srv/registry,target=/var/lib/registry ...",
        )],
        "autofs" => vec![Finding::error(
            "the automounter has not mounted the share",
            "nothing of the volume is there",
            format!("ls {}    then look at: journalctl -u autofs", mount.mount_point.display()),
        )],
        "vfat" | "exfat" | "msdos" | "ntfs" | "ntfs3" => vec![Finding::error(
            format!("{file_system} has no hard links, no owners, or no large files"),
            "pushes fail",
            "use ext4, XFS or NFS",
        )],
        _ => network_and_foreign(mount),
    }
}

fn local_disk(mount: &Mount) -> Vec<Finding> {
    let no_barrier = ["nobarrier", "barrier=0", "nobarriers"].iter().find(|option| mount.has(option));
    no_barrier
        .map(|option| {
            Finding::error(
                format!("the mount has {option}"),
                "a power cut loses pushes that were acknowledged, and may damage the file system",
                format!(
                    "remove `{option}` from /etc/fstab, then: mount -o remount {}",
                    mount.mount_point.display()
                ),
            )
        })
        .into_iter()
        .collect()
}

/// What Pakhuis has not been tried on, with what is known of it.
fn network_and_foreign(mount: &Mount) -> Vec<Finding> {
    let untried = format!("Pakhuis has not been tried on {}", mount.file_system);
    let local_or_nfs = "the trials below say what works here; with several servers use NFS (docs/nfs.md)";
    match mount.file_system.as_str() {
        "cifs" | "smb3" => vec![Finding::warning(
            untried,
            "SMB refuses to rename over a file that is open, and lists names without regard to case",
            "mount the share by NFS",
        )],
        "9p" | "virtiofs" => vec![Finding::warning(
            untried,
            "what other machines see of the volume, and whether a flush reaches the disk, is up to the host",
            local_or_nfs,
        )],
        name if name.starts_with("fuse") => {
            let copies = ["s3fs", "gcsfuse", "goofys", "rclone", "geesefs", "sshfs", "mountpoint-s3"];
            let program = name.strip_prefix("fuse.").unwrap_or_default();
            if copies.contains(&program) {
                vec![Finding::error(
                    format!("{program} has no atomic rename"),
                    "other servers see half of a tag or a layer, and a crash leaves it so",
                    "use ext4, XFS or NFS",
                )]
            } else {
                vec![Finding::warning(
                    untried,
                    "whether a flush reaches the disk is up to the program behind it",
                    local_or_nfs,
                )]
            }
        }
        _ => vec![Finding::note(untried, "nothing that is known", local_or_nfs)],
    }
}

/// A share that should be where the volume is and is not: `/etc/fstab` names it, or the volume is empty, on the
/// disk of the system, on a machine that has other shares.
pub(super) fn unmounted_share(
    root: &Path,
    table: &MountTable,
    planned: &[PlannedMount],
    has_registry: bool,
) -> Option<Finding> {
    let mount = table.holding(root)?;
    let breaks = "an empty registry is made beside the real one, on the wrong disk";
    let forgotten = planned.iter().rev().find(|plan| {
        plan.mount_point != Path::new("/")
            && root.starts_with(&plan.mount_point)
            && !mount.mount_point.starts_with(&plan.mount_point)
    });
    if let Some(plan) = forgotten {
        let point = plan.mount_point.display();
        return Some(Finding::error(
            format!(
                "/etc/fstab has {} ({}) on {point}, and it is not mounted",
                plan.source, plan.file_system
            ),
            breaks,
            format!("mount {point}"),
        ));
    }
    let share = table.iter().find(|mount| mount.is_nfs())?;
    (!has_registry && mount.mount_point == Path::new("/")).then(|| {
        Finding::warning(
            format!(
                "there is no registry yet, and {} is on the disk of the system although {} is on {}",
                root.display(),
                share.source,
                share.mount_point.display()
            ),
            breaks,
            format!("findmnt --target {}    and mount the share if that is not it", root.display()),
        )
    })
}
