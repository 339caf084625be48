//! A volume that can be made to hang.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::program;

/// A FUSE file system that passes everything on to a directory, until its program is stopped.
pub(crate) struct StoppableVolume {
    program: Child,
    mount: PathBuf,
    _directory: TempDir,
}

impl StoppableVolume {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-hung-").tempdir().expect("a directory");
        for name in ["lower", "upper", "work", "mount"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let path = |name: &str| directory.path().join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
        let mount = directory.path().join("mount");
        let program = program("fuse-overlayfs", "fuse-overlayfs")
            .args(["-f", "-o", &options])
            .arg(&mount)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("fuse-overlayfs starts");
        let volume = Self { program, mount, _directory: directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string("/proc/mounts")
            .is_ok_and(|mounts| mounts.contains(&volume.mount.display().to_string()))
        {
            assert!(
                Instant::now() < deadline,
                "a FUSE file system is mounted; this test needs root and /dev/fuse"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        volume
    }

    pub(crate) fn root(&self) -> &Path {
        &self.mount
    }

    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.program), Signal::STOP).expect("our own child");
    }

    pub(crate) fn go_on(&self) {
        kill_process(Pid::from_child(&self.program), Signal::CONT).expect("our own child");
    }

    /// Makes it go on when this is dropped. Declared after a server: one whose test has failed ends only when its calls
    /// come back.
    pub(crate) fn goes_on_at_the_end(&self) -> GoesOn {
        GoesOn(Pid::from_child(&self.program))
    }
}

pub(crate) struct GoesOn(Pid);

impl Drop for GoesOn {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for StoppableVolume {
    fn drop(&mut self) {
        // The server is gone only when its calls come back.
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = rustix::mount::unmount(&self.mount, rustix::mount::UnmountFlags::DETACH);
    }
}
