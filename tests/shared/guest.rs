//! Guests: machines with a kernel of their own, as User Mode Linux processes. What they boot from is a small Debian
//! tree that is made once and kept below `target`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Mutex,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::program::{program, run};

/// What guests need beyond a minimal Debian: NFS for those of `tests/nfs`, systemd for that of `tests/clients/systemd`.
const PACKAGES: &str =
    "nfs-common,nfs-kernel-server,rpcbind,iproute2,kmod,procps,e2fsprogs,socat,curl,systemd";
const RELEASE: &str = "bookworm";
/// Part of the name of the kept tree: a changed recipe makes a new one.
const RECIPE: &str = "2";
/// Memory of a guest. With less the network driver of UML's kernel fails allocations.
const MEMORY: &str = "mem=768M";

/// The tree, made when it is not there yet, which takes one to three minutes.
///
/// `PAKHUIS_NFS_MIRROR` names another mirror than debootstrap's own.
pub(crate) fn tree() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-{RELEASE}-{RECIPE}"));
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

/// Makes `setpriv`, a command of whatever surroundings the guest shall live in, one that boots a guest from `tree`.
/// `share` is the directory of the host that it sees; its `guest/init.sh` is the first process, and the console is on
/// standard output.
pub(crate) fn boots(mut setpriv: Command, tree: &Path, share: &Path, name: &str) -> Command {
    program("linux.uml", "user-mode-linux");
    let share = share.display();
    // The kernel of the host ends the guest when the test process is killed.
    setpriv.args(["--pdeathsig", "KILL", "linux.uml", MEMORY, "root=/dev/root", "rootfstype=hostfs"]);
    setpriv.arg(format!("rootflags={}", tree.display())).args(["ro", "init=/sbin/rig-init"]);
    setpriv.args(["con=null", "con0=null,fd:1", "ssl=null"]);
    setpriv.arg(format!("uml_dir={share}/uml")).arg(format!("umid={name}"));
    setpriv.arg(format!("RIG_SHARE={share}")).arg(format!("RIG_NAME={name}"));
    setpriv.env("TMPDIR", "/dev/shm");
    setpriv
}

/// Cuts the power of a guest that was started as a process group of its own.
pub(crate) fn cut_power(uml: &mut Child) {
    // A group ends only when each member is hit, also one that is stopped.
    let _ = kill_process_group(Pid::from_child(uml), Signal::KILL);
    let _ = uml.kill();
    let _ = uml.wait();
}
