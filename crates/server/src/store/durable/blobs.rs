//! Payloads that are too large for a row: one file each, there whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hei_protocol::JobId;

use super::disk::Disk;

/// Whose payload it is. The numbers are those of the table `payloads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Input = 0,
    Result = 1,
    /// An evaluation key's, always in a file, under a name of its own.
    Key = 2,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Input, Self::Result, Self::Key];
    /// Those that go with a job.
    pub(super) const OF_A_JOB: [Self; 2] = [Self::Input, Self::Result];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Input => "in",
            Self::Result => "out",
            Self::Key => "key",
        }
    }
}

/// A failed call: refused, or the end.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing happened.
    Refused(io::Error),
    /// An fsync failed: what is on the disk is unknown.
    Unknown(io::Error),
}

/// The folder of large payloads.
pub(super) struct Blobs {
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Blobs {
    pub(super) fn open(data: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let root = super::blob_folder(data);
        std::fs::create_dir_all(&root)?;
        disk.sync_folder(data)?;
        Ok(Self { root, disk })
    }

    /// Where a payload is.
    pub(super) fn path(&self, id: JobId, kind: Kind) -> PathBuf {
        path(&self.root, id, kind)
    }

    /// Writes a payload: temporary file, fsync, rename, fsync of the folder.
    pub(super) fn write(&self, id: JobId, kind: Kind, octets: &[u8]) -> Result<(), Failure> {
        let last = self.path(id, kind);
        let first = last.with_extension(format!("{}.tmp", kind.suffix()));
        // A try that failed earlier may have left one.
        drop(std::fs::remove_file(&first));
        let written = self.disk.write(&first, octets).map_err(Failure::Refused);
        let file = written.inspect_err(|_| drop(std::fs::remove_file(&first)))?;
        self.disk.sync(&file).map_err(Failure::Unknown)?;
        drop(file);
        self.disk.rename(&first, &last).map_err(Failure::Refused)?;
        self.disk.sync_folder(&self.root).map_err(Failure::Unknown)
    }

    /// A payload's octets, at most `limit` and one.
    pub(super) fn read(&self, id: JobId, kind: Kind, limit: u64) -> io::Result<Vec<u8>> {
        use io::Read;
        let mut octets = Vec::new();
        let file = std::fs::File::open(self.path(id, kind))?;
        file.take(limit.saturating_add(1)).read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Removes a payload; one that is not there is removed.
    pub(super) fn remove(&self, id: JobId, kind: Kind) {
        match std::fs::remove_file(self.path(id, kind)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is an orphan from now on; the next start removes those.
            Err(error) => tracing::warn!(job = %id, %error, "a payload could not be removed"),
        }
    }

    /// Removes every file that `wanted` does not name: remains of writes that never became rows, of temporary
    /// files, of payloads that outlived their rows.
    pub(super) fn retain(&self, wanted: impl Fn(JobId, Kind) -> bool) -> io::Result<u64> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            let named = Kind::ALL.into_iter().find_map(|kind| {
                let id: JobId = path.file_stem()?.to_str()?.parse().ok()?;
                (path == self.path(id, kind)).then_some((id, kind))
            });
            if !named.is_some_and(|(id, kind)| wanted(id, kind)) {
                std::fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Where a payload is below a folder of blobs.
pub(super) fn path(root: &Path, id: JobId, kind: Kind) -> PathBuf {
    root.join(format!("{id}.{}", kind.suffix()))
}
