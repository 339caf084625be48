//! The report of a volume that does not answer.

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use super::{
    absolute,
    mount_table::MountTable,
    report::{Finding, Report, Trial},
};
use crate::storage::{Config, Space};

/// A question that is on its way to the volume, asked on a thread of its own.
#[derive(Debug)]
pub struct Question(Receiver<()>);

impl Question {
    /// Asks how much room there is, as the server does every two seconds.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn ask(config: &Config) -> std::io::Result<Self> {
        let (answer, answered) = channel();
        let root = absolute(&config.root);
        std::thread::Builder::new().name("question".to_owned()).spawn(move || {
            // Any answer is one, an error too. Nobody listens when the command ended meanwhile.
            let _ = Space::of(&root);
            let _ = answer.send(());
        })?;
        Ok(Self(answered))
    }

    /// Whether there was an answer by now.
    pub fn is_answered(&self) -> bool {
        !matches!(self.0.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout))
    }
}

/// What to tell of a volume that has not answered for so long, while `doing` this. Touches no volume.
pub fn unanswered(config: &Config, doing: &str, silent: Duration) -> Report {
    let root = absolute(&config.root);
    let table = MountTable::of_this_process();
    let mount = table.holding(&root).cloned();
    let finding = Finding::error(
        format!("the volume has not answered for {} s ({doing})", silent.as_secs()),
        "requests are answered with 503 until it does, and a server that starts waits for it",
        advice(&root, mount.as_ref().is_some_and(|mount| mount.file_system.starts_with("nfs"))),
    );
    let trials = vec![Trial::of("answer", "none", vec![finding])];
    Report { root, directory: None, mount, trials }
}

fn advice(root: &Path, is_nfs: bool) -> String {
    let look = format!("findmnt --target {}; dmesg | tail -50", root.display());
    if is_nfs {
        format!(
            "{look}    and look at the file server: is it up, does it answer ping; all goes on when it is back"
        )
    } else {
        format!("{look}    and look at the disk, or at the program that serves the file system")
    }
}
