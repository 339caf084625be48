//! Trials of bytes: flushing of files and directories, large files, and what a small durable write costs.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
    time::{Duration, Instant},
};

use super::{
    report::Finding,
    scratch::Scratch,
    trial_of::{Failure, Seen},
};
use crate::storage::atomic_file;

/// Where the large file ends; some file systems and limits end at 2 or 4 GiB.
const LARGE: u64 = 5 << 30;

/// A median above this is told: a push makes about four such writes a layer, one after the other.
const SLOW_WRITE: Duration = Duration::from_millis(100);

/// Every acknowledgement waits for it, and takes its result as the truth.
pub(super) fn flush_of_a_file(scratch: &Scratch) -> Result<Seen, Failure> {
    const BYTES: usize = 1 << 20;
    let mut file = scratch.create("flushed")?;
    file.write_all(&vec![b'x'; BYTES]).map_err(Failure::when("write"))?;
    let started = Instant::now();
    file.sync_all().map_err(Failure::when("flush a file"))?;
    let took = started.elapsed();
    let mut content = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut content)?;
    if content.len() != BYTES || content.iter().any(|byte| *byte != b'x') {
        return Err("a file that was flushed has another content".into());
    }
    Ok(format!("1 MiB in {}", milliseconds(took)).into())
}

/// Without it names are lost in a power cut.
pub(super) fn flush_of_a_directory(scratch: &Scratch) -> Result<Seen, Failure> {
    scratch.write("named", b"named", true)?;
    let started = Instant::now();
    atomic_file::sync_directory(scratch.directory())?;
    Ok(format!("in {}", milliseconds(started.elapsed())).into())
}

/// A file that is all hole but for its last byte.
pub(super) fn large_file(scratch: &Scratch) -> Result<Seen, Failure> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if let Some(limit) = limit.filter(|limit| *limit <= LARGE) {
        // Beyond it the kernel would end this process, as it would the server.
        return Err(format!("this process may make files of {limit} bytes at most (ulimit -f)").into());
    }
    let file = scratch.create("large")?;
    let last = LARGE - 1;
    file.write_all_at(b"x", last).map_err(Failure::when("write the last byte of a file of 5 GiB"))?;
    file.sync_all().map_err(Failure::when("flush a file of 5 GiB"))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    let metadata = file.metadata()?;
    if byte != *b"x" || metadata.len() != LARGE {
        return Err(format!("a file of {LARGE} bytes has {} bytes", metadata.len()).into());
    }
    let sparse = if metadata.blocks() * 512 < LARGE { "sparse" } else { "not sparse" };
    Ok(format!("5 GiB, {sparse}").into())
}

/// What a link costs: create, write, flush, rename, flush the directory.
pub(super) fn time_of_a_write(scratch: &Scratch) -> Result<Seen, Failure> {
    const TIMES: usize = 20;
    scratch.make_directory("timed")?;
    let directory = scratch.path("timed");
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let started = Instant::now();
        scratch.write("timed/temporary", &[b'x'; 71], true)?;
        scratch.rename("timed/temporary", "timed/link")?;
        atomic_file::sync_directory(&directory)?;
        took.push(started.elapsed());
    }
    took.sort();
    let (median, slowest) = (took[TIMES / 2], took[TIMES - 1]);
    let mut seen =
        Seen::from(format!("median {}, slowest {} of {TIMES}", milliseconds(median), milliseconds(slowest)));
    if median > SLOW_WRITE {
        seen.findings.push(Finding::note(
            format!("a small durable write takes {}", milliseconds(median)),
            "nothing, but a push makes about four of them a layer, one after the other",
            "look at the disk of the file server: iostat -x 1",
        ));
    }
    Ok(seen)
}

/// As milliseconds with two digits that count.
pub(super) fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    let digits = if milliseconds < 1.0 { 2 } else { usize::from(milliseconds < 10.0) };
    format!("{milliseconds:.digits$} ms")
}
