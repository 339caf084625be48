//! Every trial on the scratch directory, with what breaks when it fails and what to do then.

use super::{bytes, clock, names, report::Severity, trial_of::TrialOf};

const RENAME_OVER: TrialOf = TrialOf {
    name: "rename over a file",
    severity: Severity::Error,
    breaks: "a reader sees half of a tag or none at all while it is moved, and a crash leaves it so",
    advice: "put the volume on ext4, XFS, or NFS from such a disk (docs/nfs.md)",
    run: names::rename_over,
};

const HARD_LINK: TrialOf = TrialOf {
    name: "hard link",
    severity: Severity::Error,
    breaks: "the key of the session cookies cannot be made, and an upload whose server died cannot be taken over",
    advice: "put the volume on ext4, XFS, or NFS from such a disk (docs/nfs.md)",
    run: names::hard_link,
};

const EXCLUSIVE_CREATE: TrialOf = TrialOf {
    name: "exclusive create",
    severity: Severity::Error,
    breaks: "two servers may write one file at the same time",
    advice: "mount with NFS version 3 or later; with FUSE, put the volume elsewhere (docs/nfs.md)",
    run: names::exclusive_create,
};

const FLUSH_OF_A_FILE: TrialOf = TrialOf {
    name: "flush of a file",
    severity: Severity::Error,
    breaks: "no push is acknowledged, since what cannot be flushed is lost in a power cut",
    advice: "dmesg | tail -50    here and on the file server: look for I/O errors of the disk",
    run: bytes::flush_of_a_file,
};

const FLUSH_OF_A_DIRECTORY: TrialOf = TrialOf {
    name: "flush of a directory",
    severity: Severity::Error,
    breaks: "no push is acknowledged, since a name that cannot be flushed is lost in a power cut",
    advice: "dmesg | tail -50    here and on the file server; FUSE and SMB may not have it at all",
    run: bytes::flush_of_a_directory,
};

/// What `serve` tries when it starts: a few milliseconds on a disk.
pub(super) const QUICK: &[TrialOf] =
    &[RENAME_OVER, HARD_LINK, EXCLUSIVE_CREATE, FLUSH_OF_A_FILE, FLUSH_OF_A_DIRECTORY];

/// What only the command tries.
pub(super) const THOROUGH: &[TrialOf] = &[
    TrialOf {
        name: "rename to another directory",
        severity: Severity::Error,
        breaks: "every push fails: an upload becomes a blob so",
        advice: "one file system for the whole volume, without project quotas or unions (mergerfs) inside",
        run: names::rename_to_another_directory,
    },
    TrialOf {
        name: "removal of an open file",
        severity: Severity::Warning,
        breaks: "a pull breaks off when what it reads is deleted, and directories stay behind",
        advice: "put the volume on ext4, XFS or NFS",
        run: names::removal_of_an_open_file,
    },
    TrialOf {
        name: "long names",
        severity: Severity::Warning,
        breaks: "repositories and tags with long names cannot be pushed",
        advice: "use a file system with names of 255 bytes; eCryptfs has 143",
        run: names::long_names,
    },
    TrialOf {
        name: "seen once made",
        severity: Severity::Error,
        breaks: "what was just pushed is a false 404",
        advice: "put the volume on ext4, XFS, or NFS from such a disk (docs/nfs.md)",
        run: names::seen_once_made,
    },
    TrialOf {
        name: "large file",
        severity: Severity::Warning,
        breaks: "large layers cannot be pushed",
        advice: "ulimit -f unlimited    for the server (LimitFSIZE= in its unit), and no FAT",
        run: bytes::large_file,
    },
    TrialOf {
        name: "clock",
        severity: Severity::Warning,
        breaks: "uploads of a server that died cannot be taken over: it is judged by times of the file server",
        advice: "the account of the server must own what it makes: ls -ln on a file it made",
        run: clock::clock,
    },
    TrialOf {
        name: "small durable write",
        severity: Severity::Error,
        breaks: "pushes fail",
        advice: "dmesg | tail -50    here and on the file server",
        run: bytes::time_of_a_write,
    },
];
