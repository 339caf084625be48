//! `/proc/self/mountinfo`, `/etc/fstab`, and what is made of them.

use std::path::Path;

use super::super::{
    mount::{trial, unmounted_share},
    mount_table::{Mount, MountTable, parse_fstab},
    report::Severity,
};

/// In the form of proc(5), put together by hand; the options of NFS are those that Linux 6.1 writes.
const TABLE: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard,errors=remount-ro
40 27 0:45 / /mnt/v42 rw,relatime shared:60 - nfs4 10.9.0.1:/export rw,vers=4.2,rsize=524288,wsize=524288,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=10.9.0.2,local_lock=none,addr=10.9.0.1
41 27 0:46 / /mnt/v3 rw,relatime shared:61 master:2 - nfs 10.9.0.1:/export rw,vers=3,rsize=524288,wsize=524288,namlen=255,soft,nolock,proto=tcp,timeo=50,retrans=2,sec=sys,mountaddr=10.9.0.1,mountvers=3,mountport=20048,mountproto=tcp,lookupcache=pos,local_lock=all,addr=10.9.0.1
42 27 0:45 /images /srv/bound\040here rw,relatime - nfs4 10.9.0.1:/export/images rw,vers=4.2,hard,local_lock=none,addr=10.9.0.1
43 27 0:50 / /run/merged rw,relatime - overlay overlay rw,lowerdir=/a\072b:/c,upperdir=/up,workdir=/work
44 27 0:51 / /home rw,relatime - autofs /etc/auto.home rw,fd=6,pgrp=1,timeout=300,minproto=5,maxproto=5,indirect
45 27 0:52 / /mnt/twice rw,relatime - tmpfs first rw
46 45 254:1 / /mnt/twice rw,relatime - xfs /dev/vdb rw,attr2,inode64
47 27 254:2 / /mnt/hidden/deep rw,relatime - btrfs /dev/vdc rw,subvol=/
48 27 254:3 / /mnt/hidden ro,relatime - ext4 /dev/vdd rw
49 27 0:53 / /back\134slash rw - fuse.sshfs user@host: rw,user_id=0
";

fn table() -> MountTable {
    MountTable::parse(TABLE)
}

fn on(path: &str) -> Mount {
    table().holding(Path::new(path)).unwrap_or_else(|| panic!("{path} is on no mount")).clone()
}

/// A table with a root and one mount more.
fn mounted(line: &str) -> Mount {
    let table = MountTable::parse(&format!("27 1 254:0 / / rw - ext4 /dev/vda rw\n{line}\n"));
    table.holding(Path::new("/v")).unwrap().clone()
}

fn problems(mount: &Mount, from: Severity) -> Vec<String> {
    let trial = trial(Some(mount));
    trial
        .findings
        .into_iter()
        .filter(|finding| finding.severity >= from)
        .map(|finding| finding.problem)
        .collect()
}

#[test]
fn a_path_is_on_the_nearest_mount_above_it() {
    for (path, source) in [
        ("/", "/dev/vda"),
        ("/mnt", "/dev/vda"),
        ("/mnt/v42", "10.9.0.1:/export"),
        ("/mnt/v42/docker/registry", "10.9.0.1:/export"),
        ("/mnt/v42x", "/dev/vda"),
        ("/srv/bound here/v2", "10.9.0.1:/export/images"),
        ("/back\\slash/x", "user@host:"),
        ("/run/merged/x", "overlay"),
        ("/home/alice", "/etc/auto.home"),
    ] {
        assert_eq!(on(path).source, source, "{path}");
    }
}

#[test]
fn of_several_mounts_on_one_path_the_last_counts() {
    assert_eq!(on("/mnt/twice/v2").file_system, "xfs");
}

#[test]
fn a_mount_that_a_later_one_above_hides_does_not_count() {
    assert_eq!(on("/mnt/hidden/deep/v2").source, "/dev/vdd");
}

#[test]
fn options_are_read_from_both_places() {
    let mount = on("/mnt/v42/x");
    assert_eq!(mount.value("vers"), Some("4.2"));
    assert_eq!(mount.value("addr"), Some("10.9.0.1"));
    assert!(mount.has("hard") && !mount.has("soft") && mount.is_nfs() && !mount.is_read_only());
    assert_eq!(mount.subdirectory, Path::new("/"));
    assert_eq!(on("/srv/bound here").subdirectory, Path::new("/images"));
    assert!(on("/mnt/hidden/x").is_read_only(), "read-only here, though not the file system");
    assert_eq!(on("/run/merged").value("lowerdir"), Some("/a:b:/c"));
}

#[test]
fn lines_of_another_form_are_passed_over() {
    let text = "nonsense\n1 2 3\n27 1 254:0 / / rw - ext4\n27 1 254:0 / / rw - ext4 /dev/vda\n5 27 0:1 / /p rw - proc  rw";
    let table = MountTable::parse(text);
    assert_eq!(table.iter().count(), 2);
    assert_eq!(
        table.holding(Path::new("/p/x")).unwrap().source,
        "",
        "the kernel writes an empty source as nothing"
    );
    assert_eq!(MountTable::parse("").holding(Path::new("/")), None);
}

#[test]
fn what_this_machine_writes_is_read() {
    let directory = std::env::current_dir().unwrap();
    let table = MountTable::of_this_process();
    let mount = table.holding(&directory).unwrap();
    assert!(directory.starts_with(&mount.mount_point), "{}", mount.describe());
}

#[test]
fn a_hard_mount_of_version_4_2_is_fine() {
    let mount = on("/mnt/v42");
    assert_eq!(problems(&mount, Severity::Warning), [""; 0]);
    assert_eq!(
        problems(&mount, Severity::Note),
        [
            "names that were absent are remembered (lookupcache=all, the default)",
            "a client cannot see whether the export is sync or async"
        ]
    );
}

#[test]
fn a_soft_mount_is_an_error_with_what_to_type() {
    let mount = on("/mnt/v3");
    assert_eq!(problems(&mount, Severity::Error), ["the mount is soft"]);
    let finding = trial(Some(&mount)).findings.swap_remove(0);
    assert!(finding.breaks.contains("silent data corruption"));
    assert_eq!(
        finding.advice,
        "replace `soft` by `hard` for /mnt/v3 in /etc/fstab, stop the server, then: umount /mnt/v3 && mount /mnt/v3"
    );
    let notes = problems(&mount, Severity::Note);
    assert!(notes.iter().any(|note| note == "NFS version 3"), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("locks are this host's own")), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("lookupcache")), "pos is what is recommended: {notes:?}");
}

#[test]
fn each_option_that_matters_is_found() {
    for (options, severity, problem) in [
        ("vers=4.2,softerr", Severity::Warning, "the mount is softerr"),
        ("vers=4.2,hard,nocto", Severity::Error, "the mount has nocto"),
        ("vers=3,hard,proto=udp", Severity::Error, "the mount uses UDP"),
        ("vers=4.2,hard,nosharecache", Severity::Warning, "the mount has nosharecache"),
        (
            "vers=3,hard",
            Severity::Error,
            "names that were absent are remembered by NFS version 3 (lookupcache=all, the default)",
        ),
        ("vers=2,hard", Severity::Error, "NFS version 2"),
        ("vers=4.0,hard", Severity::Note, "NFS version 4.0"),
        ("vers=4.2,lookupcache=none", Severity::Note, "no name is remembered (lookupcache=none)"),
        ("vers=4.2,noac", Severity::Note, "attributes are not cached (noac)"),
        ("vers=4.2,acdirmax=600", Severity::Note, "attributes are believed for long (acdirmax=600)"),
        ("vers=4.2,wsize=32768", Severity::Note, "small requests (wsize=32768)"),
        ("vers=4.2,sync", Severity::Note, "the client writes synchronously (sync)"),
        ("vers=4.2,ro", Severity::Warning, "the volume is mounted read-only"),
    ] {
        let mount = mounted(&format!("40 27 0:45 / /v rw - nfs4 s:/e rw,{options}"));
        let findings = trial(Some(&mount)).findings;
        let found = findings.iter().find(|finding| finding.problem == problem);
        assert_eq!(found.map(|finding| finding.severity), Some(severity), "{options}: {findings:?}");
    }
}

#[test]
fn each_kind_of_file_system_gets_its_remark() {
    for (file_system, options, worst) in [
        ("ext4", "rw", None),
        ("xfs", "rw", None),
        ("btrfs", "rw", None),
        ("ext4", "rw,nobarrier", Some(Severity::Error)),
        ("ext4", "ro", Some(Severity::Warning)),
        ("tmpfs", "rw", Some(Severity::Error)),
        ("overlay", "rw", Some(Severity::Warning)),
        ("autofs", "rw", Some(Severity::Error)),
        ("vfat", "rw", Some(Severity::Error)),
        ("cifs", "rw", Some(Severity::Warning)),
        ("9p", "rw", Some(Severity::Warning)),
        ("fuse.sshfs", "rw", Some(Severity::Error)),
        ("fuse.glusterfs", "rw", Some(Severity::Warning)),
        ("fuse", "rw", Some(Severity::Warning)),
        ("ceph", "rw", Some(Severity::Note)),
    ] {
        let mount = mounted(&format!("40 27 0:45 / /v rw - {file_system} source {options}"));
        let trial = trial(Some(&mount));
        assert_eq!(trial.worst(), worst, "{file_system} {options}: {:?}", trial.findings);
        assert_eq!(trial.seen, mount.describe());
    }
}

#[test]
fn a_share_of_fstab_that_is_not_mounted_is_found() {
    let fstab = "# a comment\n\nUUID=1 / ext4 defaults 0 1\nserver:/images /mnt/docker\\040images nfs4 hard,_netdev 0 0\n\
                 server:/other /mnt/v42 nfs4 hard 0 0\nnone swap swap sw 0 0\n";
    let planned = parse_fstab(fstab);
    assert_eq!(planned.len(), 4);
    let found = |root: &str, registry| unmounted_share(Path::new(root), &table(), &planned, registry);
    let finding = found("/mnt/docker images/registry", true).unwrap();
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(
        finding.problem,
        "/etc/fstab has server:/images (nfs4) on /mnt/docker images, and it is not mounted"
    );
    assert_eq!(finding.advice, "mount /mnt/docker images");
    assert_eq!(found("/mnt/v42/registry", false), None, "this one is mounted");
    assert_eq!(found("/srv/registry", true), None, "images on the disk of the system");
    let empty = found("/srv/registry", false).unwrap();
    assert_eq!(empty.severity, Severity::Warning, "an empty directory, and the machine has shares");
}
