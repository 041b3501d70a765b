//! Key files in a directory: readable by their owner only, written atomically, never overwritten silently.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keyfile::MAX_KEY_FILE;

const SUFFIX: &str = "heikey";

/// Why a key could not be stored or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No directory for user data can be derived from the environment.
    #[error("no directory for keys: set XDG_DATA_HOME or HOME to an absolute path, or name a directory")]
    NoDirectory,
    /// The name cannot be a key name.
    #[error("a key name is 1 to 64 characters of a-z 0-9 . _ -, starting with a letter or digit")]
    InvalidName,
    /// A key of this name exists.
    #[error("a key named {name} exists already; choose another name, or replace it explicitly")]
    Exists {
        /// The name that is taken.
        name: String,
    },
    /// No key has this name.
    #[error("no key is named {name}; `hei keys list` shows those that are there")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// Others may read the file.
    #[error(
        "{path}: others may read this key (mode {mode:04o}); run `chmod 600` on it, and consider the key exposed"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a regular file, or larger than any key.
    #[error("{path}: not a key file (a regular file of at most {limit} bytes)")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
        /// The ceiling on its length.
        limit: u64,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// What happens when a key of the same name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse with [`StoreError::Exists`].
    Never,
    /// Replace it atomically.
    Replace,
}

/// A directory of key files.
#[derive(Clone, Debug)]
pub struct KeyStore {
    directory: PathBuf,
}

impl KeyStore {
    /// The store of the current user: `$XDG_DATA_HOME/hei/keys`, else `~/.local/share/hei/keys`.
    pub fn user() -> Result<Self, StoreError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
            .or_else(|| absolute("LOCALAPPDATA"))
            .ok_or(StoreError::NoDirectory)?;
        Ok(Self::at(data.join("hei").join("keys")))
    }

    /// A store in `directory`, which is made (mode 0700) when the first key is saved.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where the keys are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the key `name` is or would be.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let bytes = name.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = bytes.len() <= 64
            && bytes.first().is_some_and(plain)
            && bytes.iter().all(|b| plain(b) || b"._-".contains(b));
        if !valid {
            return Err(StoreError::InvalidName);
        }
        Ok(self.directory.join(format!("{name}.{SUFFIX}")))
    }

    /// Writes a key: a temporary file of mode 0600, synced, then renamed into place, and the directory
    /// synced.
    pub fn save(&self, name: &str, bytes: &[u8], overwrite: Overwrite) -> Result<PathBuf, StoreError> {
        let path = self.path(name)?;
        create_private_directory(&self.directory).map_err(at(&self.directory))?;
        let temporary = self.directory.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = write_private(&temporary, bytes)
            .map_err(at(&temporary))
            .and_then(|()| place(&temporary, &path, name, overwrite));
        // After a link the temporary name is still there; after a rename it is not.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound && written.is_ok() => {
                return Err(StoreError::Io { path: temporary, source: error });
            }
            _ => {}
        }
        written?;
        sync_directory(&self.directory).map_err(at(&self.directory))?;
        Ok(path)
    }

    /// Reads a key. A file that others may read is refused.
    pub fn load(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let path = self.path(name)?;
        let file = File::open(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => StoreError::NotFound { name: name.to_owned() },
            _ => StoreError::Io { path: path.clone(), source },
        })?;
        let metadata = file.metadata().map_err(at(&path))?;
        if !metadata.is_file() || metadata.len() > MAX_KEY_FILE {
            return Err(StoreError::NotAKeyFile { path, limit: MAX_KEY_FILE });
        }
        refuse_exposed(&path, &metadata)?;
        // Sized up front: growing would leave copies of the key in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(at(&path))?;
        Ok(bytes)
    }

    /// Deletes a key for good.
    pub fn remove(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => StoreError::NotFound { name: name.to_owned() },
            _ => StoreError::Io { path: path.clone(), source },
        })?;
        sync_directory(&self.directory).map_err(at(&self.directory))?;
        Ok(path)
    }

    /// The names of all keys, sorted; empty when the directory does not exist.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(at(&self.directory))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file_name = entry.map_err(at(&self.directory))?.file_name();
            let name = file_name.to_str().and_then(|f| f.strip_suffix(SUFFIX)?.strip_suffix('.'));
            if let Some(name) = name.filter(|name| self.path(name).is_ok()) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn place(temporary: &Path, path: &Path, name: &str, overwrite: Overwrite) -> Result<(), StoreError> {
    let taken = || StoreError::Exists { name: name.to_owned() };
    match overwrite {
        Overwrite::Replace => fs::rename(temporary, path).map_err(at(path)),
        // A rename replaces silently; a link does not, and appears complete or not at all.
        Overwrite::Never => match fs::hard_link(temporary, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken()),
            // A file system without links: reserve the name, then rename over the reservation.
            Err(_) => match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(_) => fs::rename(temporary, path).map_err(at(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken()),
                Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
            },
        },
    }
}

fn create_private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    // Windows cannot open a directory as a file; there the rename itself is the barrier.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), StoreError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, KeyStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = KeyStore::at(directory.path().join("hei").join("keys"));
        (directory, store)
    }

    #[test]
    fn a_key_comes_back_and_is_listed() {
        let (_guard, store) = store();
        assert_eq!(store.names().unwrap(), Vec::<String>::new());
        store.save("one", b"first", Overwrite::Never).unwrap();
        store.save("a.b-c_2", b"second", Overwrite::Never).unwrap();
        assert_eq!(store.names().unwrap(), ["a.b-c_2", "one"]);
        assert_eq!(**store.load("one").unwrap(), *b"first");
        store.remove("one").unwrap();
        assert!(matches!(store.load("one"), Err(StoreError::NotFound { .. })));
        assert!(matches!(store.remove("one"), Err(StoreError::NotFound { .. })));
    }

    #[test]
    fn an_existing_key_survives_a_second_save() {
        let (_guard, store) = store();
        store.save("one", b"first", Overwrite::Never).unwrap();
        assert!(matches!(store.save("one", b"second", Overwrite::Never), Err(StoreError::Exists { .. })));
        assert_eq!(**store.load("one").unwrap(), *b"first");
        store.save("one", b"second", Overwrite::Replace).unwrap();
        assert_eq!(**store.load("one").unwrap(), *b"second");
        let left: Vec<_> = fs::read_dir(store.directory()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["one.heikey"], "no temporary file is left behind");
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let (_guard, store) = store();
        for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "Upper", "ü", "a\0b", &"a".repeat(65)]
        {
            assert!(matches!(store.path(name), Err(StoreError::InvalidName)), "{name:?}");
            assert!(store.save(name, b"x", Overwrite::Replace).is_err(), "{name:?}");
        }
        assert!(store.path(&"a".repeat(64)).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_private_and_an_exposed_one_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_guard, store) = store();
        let path = store.save("one", b"first", Overwrite::Never).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(store.directory()), 0o700);
        for exposed in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
            assert!(matches!(store.load("one"), Err(StoreError::Exposed { mode, .. }) if mode == exposed));
        }
    }

    #[test]
    fn a_directory_or_an_oversized_file_is_not_a_key() {
        let (_guard, store) = store();
        fs::create_dir_all(store.path("folder").unwrap()).unwrap();
        assert!(matches!(store.load("folder"), Err(StoreError::NotAKeyFile { .. } | StoreError::Io { .. })));
        let path = store.save("big", b"", Overwrite::Never).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_KEY_FILE + 1).unwrap();
        assert!(matches!(store.load("big"), Err(StoreError::NotAKeyFile { .. })));
    }
}
