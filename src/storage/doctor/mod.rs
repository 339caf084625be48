//! Tries the volume as the server uses it, and says what breaks and what to do.
//!
//! All that it makes is in a directory of its own (`scratch`) and goes away with it; blobs and repositories are
//! looked at, never changed. [`examine`] is the command `pakhuis doctor`, [`quick`] what `serve` does at its start.

mod bytes;
mod clock;
mod meeting;
mod mount;
mod mount_table;
mod names;
mod nfs_mount;
mod ownership;
mod report;
mod scratch;
mod space;
mod tree;
mod trial_of;
mod trials;
mod unanswered;

#[cfg(test)]
mod tests;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use mount_table::Mount;
pub use report::{Finding, Report, Severity, Trial};
pub use unanswered::{Question, unanswered};

use mount_table::MountTable;
use scratch::Scratch;
use trial_of::{Failure, TrialOf};

use super::{Config, layout::DoctorDirectory, open::absolute};

/// How often the thorough trials repeat what may go wrong now and then, and the quick ones.
const ROUNDS: usize = 50;
const QUICK_ROUNDS: usize = 3;

/// What to examine, and how.
pub struct Request<'a> {
    /// The volume; it need not be there.
    pub config: &'a Config,
    /// How long to wait for a second doctor on another host; `None`: do not meet.
    pub meet: Option<Duration>,
    /// Is told what is being done.
    pub progress: &'a dyn Fn(&str),
    /// When set, no further trial begins; what was made is removed.
    pub stop: &'a AtomicBool,
}

/// Makes every trial. Blocks for as long as the volume does.
pub fn examine(request: &Request<'_>) -> Report {
    let root = absolute(&request.config.root);
    (request.progress)("looking at the mounts and the registry");
    let table = MountTable::of_this_process();
    let tree = tree::find(request.config, &root);
    let real = nearest_real(&root);
    let mount = table.holding(&real);
    let mut on_mount = mount::trial(mount);
    let planned = mount_table::parse_fstab(&fs::read_to_string("/etc/fstab").unwrap_or_default());
    on_mount.findings.extend(mount::unmounted_share(&real, &table, &planned, tree.v2.is_some()));
    let mut trials = vec![on_mount, tree.trial];
    if root.is_dir() {
        trials.push(space::trial(&root, request.config.keep_free));
        trials.extend(tree.v2.as_deref().map(|v2| tree::one_mount(v2, &table)));
        trials.extend(on_volume(request, &root, tree.v2.as_deref(), mount));
    }
    Report { root, directory: tree.v2, mount: mount.cloned(), trials }
}

/// Makes the trials that take a few calls each, in the `v2` directory of a volume that was opened. Blocks for as
/// long as the volume does.
pub fn quick(config: &Config, v2: &Path) -> Report {
    let root = absolute(&config.root);
    let table = MountTable::of_this_process();
    let mount = table.holding(&nearest_real(v2));
    let mut trials =
        vec![mount::trial(mount), space::trial(v2, config.keep_free), tree::one_mount(v2, &table)];
    if !mount.is_some_and(Mount::is_read_only) {
        match Scratch::make(&DoctorDirectory::new(&root, Some(v2)), QUICK_ROUNDS) {
            Ok(scratch) => trials.extend(trials::QUICK.iter().map(|trial| trial.carry_out(&scratch))),
            Err(error) => trials.push(unwritable(v2, error, None)),
        }
    }
    let directory = Some(v2.to_path_buf());
    Report { root, directory, mount: mount.cloned(), trials }
}

/// Name of the trial of making anything at all.
const WRITE: &str = "write";

/// The trials that need the volume itself.
fn on_volume(request: &Request<'_>, root: &Path, v2: Option<&Path>, mount: Option<&Mount>) -> Vec<Trial> {
    let place = DoctorDirectory::new(root, v2);
    let mut trials = Vec::new();
    let made = Scratch::make(&place, ROUNDS).and_then(|scratch| {
        let metadata = scratch.write("first", b"first", true)?.metadata()?;
        scratch.remove("first")?;
        Ok((scratch, metadata))
    });
    let uid = match &made {
        Ok((_, metadata)) => metadata.uid(),
        Err(_) => rustix::process::geteuid().as_raw(),
    };
    if let Some(v2) = v2 {
        (request.progress)("looking at owners and modes");
        trials.push(ownership::trial(v2, uid, made.is_ok()));
    }
    let (scratch, metadata) = match made {
        Err(error) => {
            trials.push(unwritable(place.parent(), error, mount));
            let skipped = trials::QUICK.iter().chain(trials::THOROUGH);
            trials.extend(skipped.map(|trial| Trial::not_tried(trial.name, "the volume cannot be written")));
            return trials;
        }
        Ok(made) => made,
    };
    trials.push(written(&metadata));
    trials.extend(
        trials::QUICK.iter().chain(trials::THOROUGH).map(|trial| carry_out(request, trial, &scratch)),
    );
    drop(scratch);
    if let Some(wait) = request.meet.filter(|_| !request.stop.load(Ordering::Relaxed)) {
        trials.extend(meeting::hold(request, &place, root, mount, wait));
    }
    trials
}

fn carry_out(request: &Request<'_>, trial: &TrialOf, scratch: &Scratch) -> Trial {
    if request.stop.load(Ordering::Relaxed) {
        return Trial::not_tried(trial.name, "stopped");
    }
    (request.progress)(&format!("trying: {}", trial.name));
    trial.carry_out(scratch)
}

/// Whom a file belongs to that we made.
fn written(metadata: &fs::Metadata) -> Trial {
    let ours = rustix::process::geteuid().as_raw();
    let mut findings = Vec::new();
    if metadata.uid() != ours {
        findings.push(Finding::note(
            format!("we are uid {ours}, and what we make belongs to uid {}", metadata.uid()),
            "nothing, if every server is mapped to the same (root_squash or all_squash of the export)",
            "on the file server: exportfs -v    shows squash and anonuid",
        ));
    }
    let mode = metadata.mode() & 0o777;
    let seen = format!("files of uid {}, gid {}, mode {mode:03o}", metadata.uid(), metadata.gid());
    Trial::of(WRITE, seen, findings)
}

fn unwritable(directory: &Path, error: std::io::Error, mount: Option<&Mount>) -> Trial {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let shown = directory.display();
    let kind = error.kind();
    let failure = Failure::from(error);
    if failure.is_full() {
        return Trial::of(
            WRITE,
            "no room",
            vec![Failure::full_volume(&failure.text(), &directory.join("scratch"))],
        );
    }
    let problem = format!("{shown} cannot be written: {}", failure.text());
    let told_already = mount.is_some_and(Mount::is_read_only);
    let findings = match kind {
        ReadOnlyFilesystem if told_already => Vec::new(),
        ReadOnlyFilesystem => vec![Finding::warning(
            problem,
            "pulls work; pushes and deletes are refused with 503",
            format!(
                "dmesg | tail -50    on the file server: after an error a file system turns read-only; ls -ld {shown}"
            ),
        )],
        PermissionDenied => vec![Finding::error(
            problem,
            "pushes and deletes are refused with 503",
            format!(
                "ls -ldn {shown}    and give it to the server: chown -R {} {shown}",
                rustix::process::geteuid().as_raw()
            ),
        )],
        _ => vec![Finding::error(problem, "pushes fail", format!("ls -ld {shown}; dmesg | tail -50"))],
    };
    Trial::of(WRITE, "cannot be written", findings)
}

/// The root without symbolic links, or of a root that is not there the nearest directory above that is.
fn nearest_real(root: &Path) -> PathBuf {
    let real = root.ancestors().find_map(|ancestor| {
        let real = fs::canonicalize(ancestor).ok()?;
        Some(root.strip_prefix(ancestor).map_or(real.clone(), |below| real.join(below)))
    });
    real.unwrap_or_else(|| root.to_path_buf())
}
