//! The operating system's disk, behind a trait so that tests can make the n-th call fail.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::path::Path;

/// Every call to the disk whose failure matters to a promise of the store.
pub trait Disk: Send + Sync + 'static {
    /// Writes a new file. Nothing is promised about it before [`Self::sync`].
    ///
    /// # Errors
    /// As the operating system says; the store refuses the job, nothing was promised.
    fn write(&self, path: &Path, octets: &[u8]) -> Result<File> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(octets)?;
        Ok(file)
    }

    /// Makes a file's octets durable.
    ///
    /// # Errors
    /// As the operating system says; the store calls [`Self::end`]: after a failed fsync nobody knows what is on
    /// the disk, and a second fsync would lie.
    fn sync(&self, file: &File) -> Result<()> {
        file.sync_all()
    }

    /// Gives a file its final name.
    ///
    /// # Errors
    /// As the operating system says; the store refuses the job.
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the operating system says; the store calls [`Self::end`].
    fn sync_folder(&self, folder: &Path) -> Result<()> {
        // Only where a folder is a file that can be synced.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// Called right before each commit of the database, in whose place a test can fail.
    ///
    /// # Errors
    /// Never; a test's disk stands for a failing write or fsync of the log with it, and the store calls
    /// [`Self::end`].
    fn before_commit(&self) -> Result<()> {
        Ok(())
    }

    /// Octets that can still be written below a folder; `None` where the system does not say.
    ///
    /// # Errors
    /// As the operating system says; taken for "does not say".
    fn available(&self, folder: &Path) -> Result<Option<u64>> {
        #[cfg(unix)]
        {
            let facts = rustix::fs::statvfs(folder)?;
            Ok(Some(facts.f_bavail.saturating_mul(facts.f_frsize)))
        }
        #[cfg(not(unix))]
        {
            let _ = folder;
            Ok(None)
        }
    }

    /// Ends the process, for what the disk holds is no longer known; the next start reads it again.
    fn end(&self, what: &str) {
        tracing::error!(what, "the disk failed; ending the process so that nothing false is promised");
        std::process::exit(EXIT_DISK);
    }
}

/// The exit code of a process whose disk failed: `EX_IOERR`.
pub const EXIT_DISK: i32 = 74;

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {}
