//! Free bytes and inodes.

use std::path::Path;

use super::{
    report::{Finding, Trial},
    trial_of::Failure,
};
use crate::storage::Space;

/// Below this share of the volume little room is left.
const LOW_PERCENT: u64 = 5;

/// Asks for the room below `directory`; below `keep_free` bytes the server takes no new uploads.
pub(super) fn trial(directory: &Path, keep_free: u64) -> Trial {
    match Space::of(directory) {
        Err(error) => Trial::not_tried("space", Failure::from(error).text()),
        Ok(space) => judge(space, keep_free, directory),
    }
}

fn judge(space: Space, keep_free: u64, directory: &Path) -> Trial {
    let mut findings = Vec::new();
    let directory = directory.display();
    let (free, total) = (size(space.free_bytes), size(space.total_bytes));
    if space.is_low(keep_free) {
        let kept = size(space.bytes_kept(keep_free));
        findings.push(Finding::warning(
            format!(
                "{free} and {} files are free; {kept} are kept back (storage.keep_free)",
                space.free_files
            ),
            "new uploads are refused with 507; pulls and deletes go on",
            format!("df -h {directory}; df -i {directory}    and make room"),
        ));
    } else if low(space.free_bytes, space.total_bytes) {
        findings.push(Finding::warning(
            format!("{free} of {total} are free, less than {LOW_PERCENT} %"),
            "soon pushes are refused",
            format!("df -h {directory}    and make room"),
        ));
    } else if low(space.free_files, space.total_files) {
        findings.push(Finding::warning(
            format!(
                "{} of {} inodes are free, less than {LOW_PERCENT} %",
                space.free_files, space.total_files
            ),
            "soon pushes are refused, with room left; a layer takes about six",
            format!("df -i {directory}    and make room, or a file system with more (mkfs.ext4 -i 8192)"),
        ));
    }
    let inodes = match space.total_files {
        0 => "inodes as needed".to_owned(),
        total => format!("{} of {total} inodes", space.free_files),
    };
    Trial::of("space", format!("{free} of {total} free, {inodes}"), findings)
}

fn low(free: u64, total: u64) -> bool {
    total > 0 && u128::from(free) * 100 < u128::from(total) * u128::from(LOW_PERCENT)
}

/// In binary units, as `df -h`.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (0..units.len() - 1).find(|unit| bytes >> (10 * unit) < 1024).unwrap_or(units.len() - 1);
    if unit == 0 {
        return format!("{bytes} B");
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn problems(free_bytes: u64, total_bytes: u64, free_files: u64, total_files: u64) -> Vec<String> {
        let space = Space { free_bytes, total_bytes, free_files, total_files };
        let trial = judge(space, 64 * MIB, Path::new("/v"));
        trial.findings.into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn little_room_is_told_once() {
        assert_eq!(problems(500 * MIB, 10_000 * MIB, 500, 1000), [""; 0]);
        assert_eq!(
            problems(63 * MIB, 10_000 * MIB, 0, 0),
            ["63.0 MiB and 0 files are free; 64.0 MiB are kept back (storage.keep_free)"]
        );
        assert_eq!(problems(100 * MIB, 10_000 * MIB, 0, 0), ["100.0 MiB of 9.7 GiB are free, less than 5 %"]);
        assert_eq!(problems(6 * MIB, 100 * MIB, 0, 0), [""; 0], "of a small volume less is kept back");
    }

    #[test]
    fn few_inodes_are_told() {
        assert_eq!(
            problems(5000 * MIB, 10_000 * MIB, 4999, 100_000),
            ["4999 of 100000 inodes are free, less than 5 %"]
        );
        assert_eq!(problems(5000 * MIB, 10_000 * MIB, 999, 100_000).len(), 1, "uploads are refused already");
        assert_eq!(problems(5000 * MIB, 10_000 * MIB, 5000, 100_000), [""; 0]);
    }

    #[test]
    fn sizes_are_as_people_write_them() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }
}
