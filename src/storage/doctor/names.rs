//! Trials of names: rename, link, exclusive creation, removal, length, and whether one sees what one made.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::{
    scratch::Scratch,
    trial_of::{Failure, Seen},
};
use crate::storage::lookup;

/// Longest name of one directory: a component of a repository name may be this long.
const LONGEST_NAME: usize = 255;

/// A reader sees the old file or the new one, whole, and never none.
pub(super) fn rename_over(scratch: &Scratch) -> Result<Seen, Failure> {
    let content = |round: usize| format!("{round:08}").repeat(512);
    scratch.write("name", content(0).as_bytes(), true)?;
    let done = AtomicBool::new(false);
    let reads = AtomicUsize::new(0);
    let renamed = thread::scope(|scope| -> Result<Result<(), Failure>, Failure> {
        let reader = scope.spawn(|| {
            loop {
                let last = done.load(Ordering::Acquire);
                let seen = fs::read_to_string(scratch.path("name"))
                    .map_err(Failure::when("a reader did not find the file while another took its place"))?;
                let round: usize = seen.get(..8).and_then(|round| round.parse().ok()).unwrap_or(usize::MAX);
                if round > scratch.rounds || seen != content(round) {
                    return Err(Failure::from("a reader saw a part of a file while another took its place"));
                }
                reads.fetch_add(1, Ordering::Relaxed);
                if last {
                    return Ok(());
                }
            }
        });
        let renamed = (1..=scratch.rounds).try_for_each(|round| {
            scratch.write("temporary", content(round).as_bytes(), true)?;
            scratch.rename("temporary", "name").map_err(Failure::when("rename over an existing file"))
        });
        done.store(true, Ordering::Release);
        let read = reader.join().unwrap_or_else(|_| Err(Failure::from("the reader panicked")));
        read.map(|()| renamed)
    })?;
    renamed?;
    if fs::read_to_string(scratch.path("name"))? != content(scratch.rounds) {
        return Err("after a rename the old content is still there".into());
    }
    Ok(format!("{} times, {} reads meanwhile, each old or new", scratch.rounds, reads.into_inner()).into())
}

/// An upload becomes a blob so.
pub(super) fn rename_to_another_directory(scratch: &Scratch) -> Result<Seen, Failure> {
    scratch.make_directory("from")?;
    scratch.make_directory("to")?;
    scratch.write("from/file", b"moved", true)?;
    scratch.rename("from/file", "to/file").map_err(Failure::when("rename to another directory"))?;
    if fs::read(scratch.path("to/file"))? != b"moved" {
        return Err("the file that was moved has another content".into());
    }
    if !scratch.names("from")?.is_empty() || scratch.names("to")? != ["file"] {
        return Err("after a move the file is listed in the old directory, or not in the new".into());
    }
    Ok("moved, gone from the old".to_owned().into())
}

/// Of two servers that make a shared secret at once, one wins so.
pub(super) fn hard_link(scratch: &Scratch) -> Result<Seen, Failure> {
    scratch.write("first", b"linked", true)?;
    scratch.link("first", "second").map_err(Failure::when("link"))?;
    let count = |name: &str| Ok::<u64, Failure>(fs::metadata(scratch.path(name))?.nlink());
    let linked = count("second")?;
    match scratch.link("first", "second") {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::when("a link to a name that is taken")(error)),
        Ok(()) => return Err("a link took a name that was there".into()),
    }
    scratch.remove("first")?;
    let left = count("second")?;
    if (linked, left) != (2, 1) {
        return Err(format!("the file has {linked} names where it has 2, and {left} where it has 1").into());
    }
    Ok("2 names, then 1; a taken name is refused".to_owned().into())
}

/// A name is made by one of those who try at once.
pub(super) fn exclusive_create(scratch: &Scratch) -> Result<Seen, Failure> {
    const AT_ONCE: usize = 4;
    for round in 0..scratch.rounds {
        let name = format!("exclusive-{round}");
        let outcomes: Vec<io::Result<File>> = thread::scope(|scope| {
            let makers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| scratch.create(&name))).collect();
            let joined = makers.into_iter().map(|maker| maker.join());
            joined.map(|outcome| outcome.unwrap_or_else(|_| Err(io::Error::other("panicked")))).collect()
        });
        let mut made = 0;
        for outcome in outcomes {
            match outcome {
                Ok(_) => made += 1,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::when("exclusive create")(error)),
            }
        }
        if made != 1 {
            return Err(format!("{made} of {AT_ONCE} made a file that only one may make").into());
        }
    }
    Ok(format!("{} times, one of {AT_ONCE} won", scratch.rounds).into())
}

/// What is removed while it is open: NFS keeps it under a name `.nfs...` until it is closed.
pub(super) fn removal_of_an_open_file(scratch: &Scratch) -> Result<Seen, Failure> {
    scratch.make_directory("removed")?;
    scratch.write("removed/file", b"still here", true)?;
    let mut file = File::open(scratch.path("removed/file"))?;
    scratch.remove("removed/file").map_err(Failure::when("remove a file that is open"))?;
    let left = scratch.names("removed")?;
    let mut content = String::new();
    file.read_to_string(&mut content).map_err(Failure::when("read on in a file that was removed"))?;
    if content != "still here" {
        return Err("a file that was removed while it was open lost its content".into());
    }
    drop(file);
    let kept = left.iter().any(|name| name.starts_with(".nfs"));
    if !kept && !left.is_empty() {
        return Err(format!("after a removal {} is listed", left.join(", ")).into());
    }
    scratch
        .remove_directory("removed")
        .map_err(Failure::when("remove a directory after its last file was closed"))?;
    let text =
        if kept { "kept as .nfs... until it is closed" } else { "gone at once, readable until closed" };
    Ok(text.to_owned().into())
}

/// The longest component of a repository name, and the deepest path.
pub(super) fn long_names(scratch: &Scratch) -> Result<Seen, Failure> {
    let longest = "n".repeat(LONGEST_NAME);
    scratch.create(&longest).map_err(Failure::when("a name of 255 bytes"))?;
    // A repository name of 255 bytes in 128 components, and the longest that is made below a repository.
    let repository = vec!["r"; 128].join("/");
    let deepest =
        format!("deep/{repository}/{}/{}/index/sha512/{}", "m".repeat(14), "t".repeat(128), "d".repeat(128));
    scratch.make_directories(&deepest).map_err(Failure::when("a path of 137 directories"))?;
    scratch.write(&format!("{deepest}/link"), b"deep", true)?;
    Ok(format!(
        "a name of {LONGEST_NAME} bytes, a path of {} bytes",
        scratch.path(&deepest).as_os_str().len()
    )
    .into())
}

/// What was made is listed and found at once.
pub(super) fn seen_once_made(scratch: &Scratch) -> Result<Seen, Failure> {
    scratch.make_directory("listed")?;
    for round in 0..scratch.rounds {
        let name = format!("listed/file-{round}");
        // The absence is looked up first, as every push does.
        if lookup::read_small(scratch.directory(), &scratch.path(&name))?.is_some() {
            return Err("a file was found before it was made".into());
        }
        scratch.write(&name, b"made", false)?;
        if scratch.names("listed")?.len() != round + 1 {
            return Err("a file that was just made is not listed".into());
        }
        if lookup::read_small(scratch.directory(), &scratch.path(&name))?.is_none() {
            return Err("a file that was just made is not found".into());
        }
    }
    Ok(format!("{} files, each at once", scratch.rounds).into())
}
