//! Blobs: their paths, sizes and bytes; and the files that were set aside.

use super::{
    Check,
    finding::{FindingKind, Repair, Suspicion},
    pace::Phase,
};
use crate::{
    oci::Digest,
    registry::integrity::{Verdict, is_empty, read_until_sure},
    storage::{Leftover, StorageError},
};

impl Check<'_> {
    /// The files that were set aside: one that is good after all can come back; of the others it is remembered
    /// whose they are, for who needs them.
    pub(super) fn look_at_set_aside(&mut self) -> Result<(), StorageError> {
        for aside in self.storage.list_set_aside()? {
            self.report.checked.set_aside += 1;
            self.pace.look_up()?;
            if self.storage.find_stored(&aside.digest)?.is_some() {
                continue;
            }
            let path = self.storage.set_aside_name(&aside);
            self.set_aside.insert(aside.digest.clone(), path.clone());
            if !self.options.read_data {
                continue;
            }
            let pace = &mut self.pace;
            match self.storage.check_set_aside(&aside, &mut |count| pace.read(count)) {
                Ok(false) | Err(StorageError::NotFound) => {}
                Err(error) => self.tolerate(&path, error)?,
                Ok(true) => {
                    let detail =
                        "it was set aside as damaged, and has its digest now; it is absent until it is back";
                    let suspicion = Suspicion::new(FindingKind::SetAsideGood, path, detail)
                        .of(&aside.digest)
                        .advise("run pakhuis verify --read-data --repair to put it back")
                        .mend(Some(Repair::Restore(aside)));
                    let finding = self.mend(suspicion)?;
                    self.record(finding);
                }
            }
        }
        Ok(())
    }

    /// Names and sizes of all blobs. Returns how many bytes they have.
    pub(super) fn look_at_blobs(&mut self) -> Result<u64, StorageError> {
        let mut strange = Vec::new();
        let shards = self.storage.blob_shards(&mut strange)?;
        self.pace.begin(Phase::Blobs, shards.len() as u64);
        let mut bytes = 0;
        for (algorithm, shard) in shards {
            let found = self.storage.list_shard(algorithm, &shard)?;
            strange.extend(found.strange);
            for digest in found.blobs {
                match self.look_at_blob(&digest) {
                    Ok(size) => bytes += size,
                    Err(error) => self.tolerate(&self.storage.content_path(&digest), error)?,
                }
            }
            self.pace.progress.done += 1;
        }
        for path in strange {
            let detail =
                "this is not the name of a blob; nothing reads it, and registry:2 may stumble over it";
            let finding = Suspicion::new(FindingKind::StrangeName, path, detail)
                .advise("find out what put it there, and move it away")
                .finding;
            self.record(finding);
        }
        Ok(bytes)
    }

    fn look_at_blob(&mut self, digest: &Digest) -> Result<u64, StorageError> {
        self.pace.look_up()?;
        let mut leftovers = Vec::new();
        let found = self.storage.inspect_stored(digest, &mut leftovers)?;
        self.report_temporaries(leftovers);
        let Some(identity) = found else { return Ok(0) };
        self.report.checked.blobs += 1;
        if identity.size == 0 && !is_empty(digest) && !self.options.read_data {
            self.judge_content(digest)?;
        }
        Ok(identity.size)
    }

    pub(super) fn report_temporaries(&mut self, leftovers: Vec<Leftover>) {
        for leftover in leftovers.into_iter().filter(|found| found.age >= self.options.abandoned_after) {
            let days = leftover.age.as_secs() / 86_400;
            let detail = format!("a server that died {days} days ago left it; it only takes space");
            let finding = Suspicion::new(FindingKind::TemporaryOld, leftover.path, detail)
                .advise("remove it when no server writes to the volume")
                .finding;
            // Seen twice, by two looks at one repository.
            if !self.report.findings.iter().any(|known| known.path == finding.path) {
                self.record(finding);
            }
        }
    }

    /// Reads all blobs, of `total` bytes.
    pub(super) fn read_blobs(&mut self, total: u64) -> Result<(), StorageError> {
        self.pace.begin(Phase::Content, total);
        for (algorithm, shard) in self.storage.blob_shards(&mut Vec::new())? {
            for digest in self.storage.list_shard(algorithm, &shard)?.blobs {
                if let Err(error) = self.judge_content(&digest) {
                    self.tolerate(&self.storage.content_path(&digest), error)?;
                }
            }
        }
        Ok(())
    }

    /// Reads stored content, and remembers it when it is damaged, after setting it aside where that is allowed.
    /// `None` when it is not there.
    pub(super) fn judge_content(&mut self, digest: &Digest) -> Result<Option<Verdict>, StorageError> {
        if self.damaged.contains_key(digest) {
            return Ok(Some(Verdict::Damaged));
        }
        let pace = &mut self.pace;
        let read = read_until_sure(self.storage, digest, &mut |count| pace.read(count))?;
        let Some((identity, verdict)) = read else { return Ok(None) };
        if verdict == Verdict::Damaged {
            self.damaged.insert(digest.clone(), identity);
        }
        Ok(Some(verdict))
    }
}
