//! What the guests run from: a small Debian tree, made once and kept below `target`, and the helpers compiled here.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use crate::support::{program, run};

/// What a guest needs beyond a minimal Debian.
const PACKAGES: &str = "nfs-common,nfs-kernel-server,rpcbind,iproute2,kmod,procps,e2fsprogs,socat,curl";
const RELEASE: &str = "bookworm";
/// Part of the name of the kept tree: a changed recipe makes a new one.
const RECIPE: &str = "1";

/// The tree, made when it is not there yet, which takes one to three minutes.
///
/// `PAKHUIS_NFS_MIRROR` names another mirror than debootstrap's own.
pub(super) fn tree() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nfs-guest-{RELEASE}-{RECIPE}"));
    if directory.is_dir() {
        return directory;
    }
    let unfinished = directory.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).expect("what an interrupted run left can be removed");
    }
    program("debootstrap", "debootstrap");
    // In a mount namespace of its own: what it mounts goes away with it, however it ends.
    let mut command = program("unshare", "util-linux");
    command.args(["--mount", "--propagation=private", "debootstrap", "--variant=minbase"]);
    command.arg(format!("--include={PACKAGES}")).arg(RELEASE).arg(&unfinished);
    if let Ok(mirror) = std::env::var("PAKHUIS_NFS_MIRROR") {
        command.arg(mirror);
    }
    run(&mut command);
    // The share is all that a guest knows by itself; where it lies is on the kernel's command line.
    let init = "#!/bin/bash\nmount -t hostfs none /mnt -o \"$RIG_SHARE\" && exec /mnt/guest/init.sh\n";
    fs::write(unfinished.join("sbin/rig-init"), init).expect("a file in the new tree");
    run(Command::new("chmod").arg("755").arg(unfinished.join("sbin/rig-init")));
    fs::create_dir_all(unfinished.join("lib/modules")).expect("a directory in the new tree");
    File::open(&unfinished).and_then(|tree| tree.sync_all()).expect("a flushed directory");
    fs::rename(&unfinished, &directory).expect("the tree gets its name when it is whole");
    directory
}

/// The two helpers in C of User Mode Linux, compiled.
pub(super) struct Helpers {
    /// Raises the interrupt that a guest missed; see `uml_wakeup.c`.
    pub(super) wakeup: PathBuf,
    /// Preloaded into a guest; see `uml_readv.c`.
    pub(super) readv: PathBuf,
}

impl Helpers {
    pub(super) fn compile(directory: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nfs");
        let helpers = Self { wakeup: directory.join("uml_wakeup"), readv: directory.join("uml_readv.so") };
        let compile = |flags: &[&str], name: &str, made: &Path| {
            let mut command = program("gcc", "gcc");
            run(command
                .args(["-O2", "-Wall", "-Werror"])
                .args(flags)
                .arg("-o")
                .arg(made)
                .arg(source.join(name)));
        };
        compile(&[], "uml_wakeup.c", &helpers.wakeup);
        compile(&["-shared", "-fPIC"], "uml_readv.c", &helpers.readv);
        helpers
    }
}
