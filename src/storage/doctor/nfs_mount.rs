//! What the options of an NFS mount mean for a registry. Names and defaults are those of nfs(5).

use super::{mount_table::Mount, report::Finding};

/// Longest time a directory is believed without asking, before it is worth telling; the default is 60 s.
const LONG_ATTRIBUTE_CACHE: u64 = 60;

/// Requests smaller than this, in bytes, make large layers slow.
const SMALL_REQUEST: u64 = 65_536;

/// The findings on an NFS mount.
pub(super) fn judge(mount: &Mount) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(what_can_lose_data(mount));
    findings.extend(caching(mount));
    findings.extend(version(mount));
    findings.extend(locks_and_speed(mount));
    findings.push(Finding::note(
        "a client cannot see whether the export is sync or async",
        "on an async export a crash of the file server loses pushes that were acknowledged (exports(5))",
        "on the file server: exportfs -v    and look for `sync`; put `sync` in its /etc/exports",
    ));
    findings
}

/// How to change an option that a remount does not change.
fn mount_again(mount: &Mount, edit: &str) -> String {
    let point = mount.mount_point.display();
    format!("{edit} for {point} in /etc/fstab, stop the server, then: umount {point} && mount {point}")
}

fn what_can_lose_data(mount: &Mount) -> Vec<Finding> {
    let mut findings = Vec::new();
    if mount.has("soft") {
        findings.push(Finding::error(
            "the mount is soft",
            "when the file server is slow, calls fail half done; nfs(5): can cause silent data corruption",
            mount_again(mount, "replace `soft` by `hard`"),
        ));
    }
    if mount.has("softerr") {
        findings.push(Finding::warning(
            "the mount is softerr",
            "when the file server is slow, pushes fail that would only have waited, and what failed may still happen",
            mount_again(mount, "replace `softerr` by `hard`"),
        ));
    }
    if mount.has("nocto") {
        findings.push(Finding::error(
            "the mount has nocto",
            "a tag moved through one server goes on being the old image on another",
            mount_again(mount, "remove `nocto`"),
        ));
    }
    if mount.value("proto").is_some_and(|protocol| protocol.starts_with("udp")) {
        findings.push(Finding::error(
            "the mount uses UDP",
            "on fast networks fragments are mixed up: silent data corruption (nfs(5))",
            mount_again(mount, "write `proto=tcp`"),
        ));
    }
    if mount.has("nosharecache") {
        findings.push(Finding::warning(
            "the mount has nosharecache",
            "two mounts of one host keep caches of their own under one identity: a moved tag was seen old for 29 s",
            mount_again(mount, "remove `nosharecache`"),
        ));
    }
    findings
}

fn caching(mount: &Mount) -> Vec<Finding> {
    let mut findings = Vec::new();
    match mount.value("lookupcache") {
        // Version 3 has the directory's time in place of a counter of its changes: a change in the same tick of the
        // file server's clock as the look does not show, however often the client asks (seen by tests/nfs).
        None if mount.value("vers") == Some("3") => findings.push(Finding::error(
            "names that were absent are remembered by NFS version 3 (lookupcache=all, the default)",
            "what is pushed while another server looks for it may be a false 404 there until that host forgets the name",
            mount_again(mount, "add `lookupcache=positive`, or write `vers=4.2` where the file server can"),
        )),
        None => findings.push(Finding::note(
            "names that were absent are remembered (lookupcache=all, the default)",
            "nothing: Pakhuis asks afresh before it says that something is not there, for one more request each time",
            mount_again(mount, "to save that request add `lookupcache=positive`"),
        )),
        Some("none") => findings.push(Finding::note(
            "no name is remembered (lookupcache=none)",
            "nothing, but every call costs two to three times as many requests",
            mount_again(mount, "write `lookupcache=positive` instead"),
        )),
        Some(_) => {}
    }
    if mount.has("noac") {
        findings.push(Finding::note(
            "attributes are not cached (noac)",
            "nothing, but everything is slow: each write waits for the file server",
            mount_again(mount, "remove `noac`"),
        ));
    }
    for name in ["acregmin", "acregmax", "acdirmin", "acdirmax"] {
        let seconds = mount.value(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        if seconds > LONG_ATTRIBUTE_CACHE {
            findings.push(Finding::note(
                format!("attributes are believed for long ({name}={seconds})"),
                "nothing of ours, which asks afresh; programs beside it see old sizes and times",
                mount_again(mount, "remove `actimeo` and `ac...`"),
            ));
        }
    }
    findings
}

fn version(mount: &Mount) -> Vec<Finding> {
    match mount.value("vers") {
        Some("2") => vec![Finding::error(
            "NFS version 2",
            "files end at 2 GiB, and O_EXCL is not exclusive",
            mount_again(mount, "write `vers=4.2`"),
        )],
        Some("3") => vec![Finding::note(
            "NFS version 3",
            "a pull that reads a file while another server removes it breaks off (ESTALE), and the client tries again",
            mount_again(mount, "where the file server can, write `vers=4.2`"),
        )],
        Some("4" | "4.0") => vec![Finding::note(
            "NFS version 4.0",
            "after a lost reply a change may be reported as failed; 4.1 and later answer exactly once",
            mount_again(mount, "where the file server can, write `vers=4.2`"),
        )],
        _ => Vec::new(),
    }
}

fn locks_and_speed(mount: &Mount) -> Vec<Finding> {
    let mut findings = Vec::new();
    let local = mount.value("local_lock").is_some_and(|kind| kind != "none");
    if mount.has("nolock") || local {
        findings.push(Finding::note(
            "locks are this host's own (nolock or local_lock)",
            "nothing of ours: Pakhuis takes no lock on the volume; other programs on it may rely on them",
            "nothing to do for Pakhuis",
        ));
    }
    for name in ["rsize", "wsize"] {
        let size = mount.value(name).and_then(|value| value.parse().ok()).unwrap_or(u64::MAX);
        if size < SMALL_REQUEST {
            findings.push(Finding::note(
                format!("small requests ({name}={size})"),
                "nothing, but large layers are slow",
                mount_again(mount, &format!("remove `{name}`: client and server agree on the largest")),
            ));
        }
    }
    if mount.has("sync") && !mount.has("noac") {
        findings.push(Finding::note(
            "the client writes synchronously (sync)",
            "nothing, but pushes are slow: Pakhuis flushes what it must by itself",
            mount_again(mount, "remove `sync`; it is an option of the export that counts"),
        ));
    }
    findings
}
