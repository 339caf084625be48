//! The clock of the file server against ours, and how finely it stamps files.

use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::{
    report::Finding,
    scratch::Scratch,
    trial_of::{Failure, Seen},
};

/// Told from here on; nothing of ours breaks.
const TOLD: i128 = 30 * NANOSECONDS;

/// From here on a file that a server is writing may look old enough to be swept away, as half of an hour.
const HARMFUL: i128 = 1800 * NANOSECONDS;

const NANOSECONDS: i128 = 1_000_000_000;

/// Lets the file server stamp a file with its own time.
pub(super) fn clock(scratch: &Scratch) -> Result<Seen, Failure> {
    let file = scratch.create("stamped")?;
    let mut skew = None;
    let mut stamps = Vec::new();
    for _ in 0..20 {
        let before = now();
        rustix::fs::futimens(&file, &server_time())?;
        let after = now();
        let metadata = file.metadata()?;
        let stamp = i128::from(metadata.mtime()) * NANOSECONDS + i128::from(metadata.mtime_nsec());
        stamps.push(stamp);
        skew.get_or_insert(skew_of(stamp, before, after));
        std::thread::sleep(Duration::from_millis(2));
    }
    let skew = skew.unwrap_or(0);
    let text = format!("{}; stamps in steps of {}", told(skew), granularity(&stamps));
    Ok(Seen { text, findings: judge(skew).into_iter().collect() })
}

/// `UTIME_NOW`: an NFS client asks the server to take its own time.
fn server_time() -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    }
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(0)
}

/// How far the server is ahead: nothing when the stamp lies between our two readings.
fn skew_of(stamp: i128, before: i128, after: i128) -> i128 {
    if stamp > after { stamp - after } else { (stamp - before).min(0) }
}

/// In words, to a tenth of a second: a coarse stamp is up to that old.
fn told(skew: i128) -> String {
    let tenths = (skew.abs() + NANOSECONDS / 20) / (NANOSECONDS / 10);
    match (tenths, skew > 0) {
        (0 | 1, _) => "as ours".to_owned(),
        (_, true) => format!("{}.{} s ahead of ours", tenths / 10, tenths % 10),
        (_, false) => format!("{}.{} s behind ours", tenths / 10, tenths % 10),
    }
}

fn judge(skew: i128) -> Option<Finding> {
    let advice = "timedatectl    here and on the file server; run chrony or systemd-timesyncd on both";
    let problem = format!("the clock of the volume is {}", told(skew));
    if skew.abs() >= HARMFUL {
        let breaks = "files that a server is writing may be taken for leftovers of a crash and removed";
        Some(Finding::warning(problem, breaks, advice))
    } else if skew.abs() > TOLD {
        let breaks = "nothing: Pakhuis needs no clocks; logs of the machines do not agree";
        Some(Finding::note(problem, breaks, advice))
    } else {
        None
    }
}

/// The smallest step between stamps that differ, in words.
fn granularity(stamps: &[i128]) -> String {
    if stamps.iter().all(|stamp| stamp % NANOSECONDS == 0) {
        return "1 s".to_owned();
    }
    let steps = stamps.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0);
    match steps.min() {
        Some(step) if step >= 1_000_000 => format!("{} ms", (step + 500_000) / 1_000_000),
        Some(_) => "less than 1 ms".to_owned(),
        None => "more than 40 ms".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_between_our_readings_is_no_skew() {
        assert_eq!(skew_of(15, 10, 20), 0);
        assert_eq!(skew_of(25, 10, 20), 5);
        assert_eq!(skew_of(3, 10, 20), -7);
    }

    #[test]
    fn a_skew_is_told_with_its_direction() {
        assert_eq!(told(0), "as ours");
        assert_eq!(told(-4_000_000), "as ours", "a coarse stamp");
        assert_eq!(told(90 * NANOSECONDS), "90.0 s ahead of ours");
        assert_eq!(told(-2_540_000_000), "2.5 s behind ours");
    }

    #[test]
    fn half_a_minute_is_a_note_and_half_an_hour_a_warning() {
        use super::super::report::Severity;
        let severity = |seconds: i128| judge(seconds * NANOSECONDS).map(|finding| finding.severity);
        assert_eq!(severity(30), None);
        assert_eq!(severity(-31), Some(Severity::Note));
        assert_eq!(severity(1799), Some(Severity::Note));
        assert_eq!(severity(-1800), Some(Severity::Warning));
    }

    #[test]
    fn the_step_of_stamps_is_the_smallest_seen() {
        assert_eq!(granularity(&[3 * NANOSECONDS, 4 * NANOSECONDS]), "1 s");
        assert_eq!(granularity(&[1_000_001, 1_000_001, 4_900_000, 9_000_000]), "4 ms");
        assert_eq!(granularity(&[4_000_000, 4_200_001]), "less than 1 ms");
        assert_eq!(granularity(&[4_000_000, 4_000_000]), "more than 40 ms");
    }
}
