//! Two hosts meet on the volume and measure how long each takes to see what the other does.
//!
//! They find each other by directories, and tell each other how far they are by files that are only ever made, and
//! looked for by listing: what is to be measured must not carry the messages. Times are those of the file server, so
//! that a late message makes nothing look early.

mod events;
mod host;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime},
};

use events::{ALL, Event, Watch, Way};
use host::Host;

use super::{
    Request,
    mount_table::Mount,
    report::{Finding, Trial},
    scratch::Scratch,
    trial_of::Failure,
};
use crate::storage::{layout::DoctorDirectory, lookup};

/// Name of the trial of the meeting itself.
const NAME: &str = "other host";

/// The last step.
const FINISHED: &str = "finished";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How long is looked for what the other did: directories are believed for up to 60 s by default.
const PATIENCE: Duration = Duration::from_secs(65);

/// How long the other may take for a step beyond what it waits for itself.
const STEP: Duration = Duration::from_secs(30);

/// Seen within it is at once: two looks, a busy host, and file times of whole seconds.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Waits for the other host for at most `wait`, then measures. One trial when nobody came.
pub(super) fn hold(
    request: &Request<'_>,
    place: &DoctorDirectory,
    root: &Path,
    mount: Option<&Mount>,
    wait: Duration,
) -> Vec<Trial> {
    let held = Scratch::join_meeting(place).map_err(Failure::when("make the meeting's directory"));
    let held = held.and_then(|scratch| {
        let mut meeting = Meeting::new(request, scratch, root, mount)?;
        if meeting.find_other(wait)? { meeting.measure() } else { Ok(vec![nobody_came(root, wait)]) }
    });
    held.unwrap_or_else(|failure| {
        let breaks = "it is not known how long one server takes to see what the other does";
        let advice = format!("again, on two hosts and no third: {}", command(root));
        vec![Trial::of(NAME, "broken off", vec![Finding::warning(failure.text(), breaks, advice)])]
    })
}

fn command(root: &Path) -> String {
    format!("pakhuis doctor --meet --storage {}", root.display())
}

fn nobody_came(root: &Path, wait: Duration) -> Trial {
    let finding = Finding::warning(
        format!("nobody came within {} s", wait.as_secs()),
        "it is not known how long one server takes to see what the other does",
        format!("on both hosts at once: {}    (is it the same volume there?)", command(root)),
    );
    Trial::of(NAME, "nobody came", vec![finding])
}

struct Meeting<'a> {
    request: &'a Request<'a>,
    scratch: Scratch,
    root: &'a Path,
    here: Host,
    skew: Skew,
    other: Option<(Host, PathBuf)>,
}

/// The clock of the file server less ours.
#[derive(Clone, Copy, Debug)]
struct Skew {
    stamp: SystemTime,
    ours: SystemTime,
}

impl Skew {
    /// How long after `stamp`, a time of the file server, `seen` was, a time of ours; zero when before.
    fn since(self, stamp: SystemTime, seen: SystemTime) -> Duration {
        let seen_after = seen.duration_since(self.ours).unwrap_or_default();
        let done_after = stamp.duration_since(self.stamp).unwrap_or_default();
        seen_after.saturating_sub(done_after)
    }
}

impl<'a> Meeting<'a> {
    fn new(
        request: &'a Request<'a>,
        scratch: Scratch,
        root: &'a Path,
        mount: Option<&Mount>,
    ) -> Result<Self, Failure> {
        let ours = SystemTime::now();
        let metadata = scratch.write("clock", b"", false)?.metadata()?;
        let here = Host::this(mount, metadata.uid(), metadata.dev());
        let card = serde_json::to_vec(&here).map_err(|error| error.to_string())?;
        scratch.write("card.tmp", &card, false)?;
        scratch.rename("card.tmp", "card")?;
        let skew = Skew { stamp: metadata.modified()?, ours };
        Ok(Self { request, scratch, root, here, skew, other: None })
    }

    fn pause(&self) -> Result<(), Failure> {
        if self.request.stop.load(Ordering::Relaxed) {
            return Err("stopped".into());
        }
        thread::sleep(PAUSE);
        Ok(())
    }

    /// Lists afresh what a host has said; `None` when it has left.
    fn said(directory: &Path) -> Result<Option<Vec<String>>, Failure> {
        let parent = directory.parent().unwrap_or(directory);
        Ok(lookup::names(parent, directory)?)
    }

    fn has_said(directory: &Path, what: &str) -> Result<bool, Failure> {
        Ok(Self::said(directory)?.is_some_and(|said| said.iter().any(|said| said == what)))
    }

    /// Greets whoever is there until one greets back: a directory that a killed run left behind does not, since ids
    /// are never used twice.
    fn find_other(&mut self, wait: Duration) -> Result<bool, Failure> {
        let meeting = self.scratch.directory().parent().unwrap_or(Path::new("/")).to_path_buf();
        let (started, mut told, mut greeted) = (Instant::now(), None, Vec::new());
        let greeting = format!("greets-{}", self.scratch.id());
        while started.elapsed() < wait {
            let present = Self::said(&meeting)?.unwrap_or_default();
            for id in present.into_iter().filter(|id| id != self.scratch.id()) {
                if !greeted.contains(&id) {
                    self.scratch.create(&format!("greets-{id}"))?;
                    greeted.push(id.clone());
                }
                let directory = meeting.join(&id);
                if Self::has_said(&directory, &greeting)? {
                    let card = lookup::read_small(&meeting, &directory.join("card"))?
                        .map(|file| file.bytes)
                        .unwrap_or_default();
                    let host = serde_json::from_slice(&card).map_err(|error| format!("its card: {error}"))?;
                    self.other = Some((host, directory));
                    return Ok(true);
                }
            }
            let left = (wait - started.elapsed().min(wait)).as_secs();
            if told.is_none_or(|told: u64| told >= left + 10) {
                (self.request.progress)(&format!(
                    "waiting {left} s for the other host; there: {}",
                    command(self.root)
                ));
                told = Some(left);
            }
            self.pause()?;
        }
        Ok(false)
    }

    /// Says that a step is done, and waits until the other has said so too.
    fn step(&self, other: &Path, step: &str, patience: Duration) -> Result<(), Failure> {
        self.scratch.create(step)?;
        let started = Instant::now();
        loop {
            match Self::said(other)? {
                Some(said) if said.iter().any(|said| said == step) => return Ok(()),
                Some(_) => {}
                // Whoever has heard that we are finished too may go.
                None if step == FINISHED => return Ok(()),
                None => return Err(format!("the other host left before \"{step}\"").into()),
            }
            if started.elapsed() > patience {
                return Err(
                    format!("the other host did not come to \"{step}\" in {} s", patience.as_secs()).into()
                );
            }
            self.pause()?;
        }
    }

    fn measure(&mut self) -> Result<Vec<Trial>, Failure> {
        let (host, other) = self.other.take().ok_or("nobody is there")?;
        (self.request.progress)(&format!("met {}; measuring, up to {} s", host.name, PATIENCE.as_secs()));
        for (event, way) in ALL {
            event.prepare(way, &self.scratch)?;
        }
        self.step(&other, "prepared", STEP)?;
        let mut watch = Watch::new(other.clone());
        watch.look()?;
        self.step(&other, "ready", STEP)?;
        for (event, way) in ALL {
            event.act(way, &self.scratch)?;
        }
        self.scratch.create("done")?;
        let done = self.watch(&mut watch, &other)?;
        self.step(&other, FINISHED, PATIENCE + STEP)?;
        let mut trials = vec![self.meeting_trial(&host)];
        for event in [Event::Made, Event::Replaced, Event::Removed, Event::Moved] {
            let delay = |way| watch.seen(event, way).map(|seen| self.skew.since(done, seen));
            trials.push(judge(event, delay(Way::AsServed), delay(Way::ByPath)));
        }
        Ok(trials)
    }

    /// Watches until all was seen, or was not in time. When the other was done, by the file server.
    fn watch(&self, watch: &mut Watch, other: &Path) -> Result<SystemTime, Failure> {
        let started = Instant::now();
        let mut done = None;
        while started.elapsed() < PATIENCE && !(watch.has_seen_all() && done.is_some()) {
            watch.look()?;
            if done.is_none() && Self::has_said(other, "done")? {
                done = Some(fs::metadata(other.join("done"))?.modified()?);
            }
            self.pause()?;
        }
        done.ok_or_else(|| format!("the other host was not done in {} s", PATIENCE.as_secs()).into())
    }

    fn meeting_trial(&self, host: &Host) -> Trial {
        let mut findings = host::judge(&self.here, host, self.root);
        if self.here.shares_cache_with(host) {
            findings.push(Finding::note(
                "both are on this machine, with one mount and one cache",
                "nothing, but it does not show what two machines see of each other",
                format!("on two machines at once: {}", command(self.root)),
            ));
        }
        Trial::of(NAME, format!("{}, {}", host.name, host.file_system), findings)
    }
}

fn judge(event: Event, served: Option<Duration>, by_path: Option<Duration>) -> Trial {
    let shown = |delay: Option<Duration>| match delay {
        Some(delay) => format!("after {:.1} s", delay.as_secs_f64()),
        None => format!("not in {} s", PATIENCE.as_secs()),
    };
    let late = |delay: Option<Duration>| delay.is_none_or(|delay| delay > AT_ONCE);
    let mut findings = Vec::new();
    if late(served) {
        findings.push(Finding::error(
            format!("seen {} by the calls that the server uses", shown(served)),
            event.breaks(),
            "mount by NFS 4.2 without nocto, with lookupcache=positive, and give each host a name of its own \
             (docs/nfs.md)",
        ));
    } else if late(by_path) {
        findings.push(Finding::note(
            format!("by path alone seen {}", shown(by_path)),
            "nothing: Pakhuis opens the directory afresh before it believes",
            "lookupcache=positive shortens it for other programs",
        ));
    }
    Trial::of(event.trial(), format!("{}, by path alone {}", shown(served), shown(by_path)), findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::doctor::report::Severity;

    #[test]
    fn what_the_server_sees_late_is_an_error_and_the_path_alone_a_note() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let worst = |served, by_path| judge(Event::Replaced, served, by_path).worst();
        assert_eq!(worst(seconds(0), seconds(1)), None);
        assert_eq!(worst(seconds(0), seconds(30)), Some(Severity::Note));
        assert_eq!(worst(seconds(1), None), Some(Severity::Note));
        assert_eq!(worst(seconds(3), seconds(3)), Some(Severity::Error));
        let trial = judge(Event::Made, None, None);
        assert_eq!(trial.worst(), Some(Severity::Error));
        assert_eq!(trial.seen, "not in 65 s, by path alone not in 65 s");
    }

    #[test]
    fn delays_are_by_the_clock_of_the_file_server() {
        let ours = SystemTime::now();
        let skew = Skew { stamp: ours + Duration::from_secs(100), ours };
        let done = ours + Duration::from_secs(105);
        assert_eq!(skew.since(done, ours + Duration::from_secs(7)), Duration::from_secs(2));
        assert_eq!(skew.since(done, ours + Duration::from_secs(4)), Duration::ZERO);
    }
}
