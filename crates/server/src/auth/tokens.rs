//! The token file: one JSON document, replaced atomically, readable by its owner only. It holds no secret, only the
//! SHA-256 of each; secrets have 256 random bits, so a slow hash would protect nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hei_protocol::{Timestamp, encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Scope;
use crate::clock::{Clock, later};
use crate::id::{InvalidTenant, Tenant};

/// How old the table may be before the file is read again; a revocation is effective within this.
const MAX_AGE: Duration = Duration::from_secs(2);
/// No token file is longer.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Characters of a key id: 64 random bits in hexadecimal digits.
const ID_CHARACTERS: usize = 16;
const PREFIX: &str = "hei_";

/// What went wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is not a token file.
    #[error("{}: not a token file, at line {line}; restore it, or make a new one with `hei tokens create`", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A token's digest is not one.
    #[error("the token with the id {id:.16} has no SHA-256; revoke it and make another")]
    Record {
        /// The token.
        id: String,
    },
    /// Others can read or change the file.
    #[error("{}: others may read or change it (mode {mode:03o}); run chmod 600 on it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The tenant's name is not one.
    #[error(transparent)]
    Tenant(#[from] InvalidTenant),
    /// There is no such token.
    #[error("no token has this id; see `hei tokens list`")]
    Unknown,
    /// The operating system has no randomness.
    #[error("the operating system has no randomness to give")]
    Randomness,
}

/// What is known about a token. The secret is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The public part of the token.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the secret part, in hexadecimal digits.
    secret_sha256: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    tokens: Vec<TokenRecord>,
}

const VERSION: u32 = 1;

/// A new token, to be shown once.
pub struct NewToken {
    /// The whole token.
    pub token: zeroize::Zeroizing<String>,
    /// What is kept of it.
    pub record: TokenRecord,
}

/// The tokens of a file; an absent file has none.
///
/// # Errors
/// [`TokenError`] when the file is not a token file, or is open to others.
pub fn list(path: &Path) -> Result<Vec<TokenRecord>, TokenError> {
    let file_error = |cause| TokenError::File { path: path.to_owned(), cause };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error(error)),
    };
    private(path, &file)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(file_error)?;
    let document: Document = serde_json::from_slice(&text)
        .map_err(|error| TokenError::Format { path: path.to_owned(), line: error.line() })?;
    if document.version == VERSION {
        Ok(document.tokens)
    } else {
        Err(TokenError::Format { path: path.to_owned(), line: 1 })
    }
}

#[cfg(unix)]
fn private(path: &Path, file: &std::fs::File) -> Result<(), TokenError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|cause| TokenError::File { path: path.to_owned(), cause })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(TokenError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn private(_path: &Path, _file: &std::fs::File) -> Result<(), TokenError> {
    Ok(())
}

/// Makes a token and adds it to the file, which is made when there is none.
///
/// # Errors
/// [`TokenError`]; the file is then as it was.
pub fn create(
    path: &Path,
    tenant: &str,
    scopes: BTreeSet<Scope>,
    now: Timestamp,
    life: Option<Duration>,
) -> Result<NewToken, TokenError> {
    let tenant = Tenant::from_header(Some(tenant.as_bytes()))?;
    let mut random = zeroize::Zeroizing::new([0; 40]);
    getrandom::fill(random.as_mut_slice()).map_err(|_| TokenError::Randomness)?;
    let (id, secret) = random.split_at(ID_CHARACTERS / 2);
    let (id, secret) = (encoding::to_hex(id), base62(secret));
    let record = TokenRecord {
        id: id.clone(),
        tenant: tenant.name().to_owned(),
        scopes,
        created_at: now,
        expires_at: life.map(|life| later(now, life)),
        secret_sha256: encoding::to_hex(&digest(&secret)),
    };
    let _turn = Turn::take(path)?;
    let mut tokens = list(path)?;
    tokens.push(record.clone());
    write(path, tokens)?;
    let token = zeroize::Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
    Ok(NewToken { token, record })
}

/// Takes a token out of the file. Servers notice within seconds.
///
/// # Errors
/// [`TokenError::Unknown`] when it is not there, or why the file was not changed.
pub fn revoke(path: &Path, id: &str) -> Result<TokenRecord, TokenError> {
    let _turn = Turn::take(path)?;
    let mut tokens = list(path)?;
    let place = tokens.iter().position(|token| token.id == id).ok_or(TokenError::Unknown)?;
    let record = tokens.remove(place);
    write(path, tokens)?;
    Ok(record)
}

/// The right to change the file: two operators at once lose no token. Given back when the process ends, however.
struct Turn(#[expect(dead_code, reason = "held for its lock")] std::fs::File);

impl Turn {
    fn take(path: &Path) -> Result<Self, TokenError> {
        let file_error = |cause| TokenError::File { path: path.to_owned(), cause };
        let lock = path.with_extension("lock");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock)
            .map_err(file_error)?;
        file.lock().map_err(file_error)?;
        Ok(Self(file))
    }
}

/// Replaces the file whole: written beside it, synced, renamed, the folder synced.
fn write(path: &Path, tokens: Vec<TokenRecord>) -> Result<(), TokenError> {
    let replace = || -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(&Document { version: VERSION, tokens })?;
        let beside = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    replace().map_err(|cause| TokenError::File { path: path.to_owned(), cause })
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The octets as a number, in digits, capital and small letters.
fn base62(octets: &[u8]) -> zeroize::Zeroizing<String> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = zeroize::Zeroizing::new(octets.to_vec());
    // log(256) / log(62) is a little less than 1.35.
    let length = (octets.len() * 135).div_ceil(100);
    let mut text = zeroize::Zeroizing::new(String::with_capacity(length));
    for _ in 0..length {
        let mut rest = 0u32;
        for octet in number.iter_mut() {
            let value = rest << 8 | u32::from(*octet);
            *octet = (value / 62) as u8;
            rest = value % 62;
        }
        text.push(DIGITS.get(rest as usize).copied().map_or('0', char::from));
    }
    text
}

/// Where a server's tokens are kept. A reading is asked for at most once in two seconds, whatever the load, and by
/// every replica for itself: what all replicas read from (a file on shared storage, say) is effective on all of them.
pub trait TokenSource: Send + Sync + 'static {
    /// Every token, as it is now.
    ///
    /// # Errors
    /// [`TokenError`]; nobody is let in until a reading succeeds.
    fn tokens(&self) -> Result<Vec<TokenRecord>, TokenError>;
}

/// The tokens of a file; see [`list`].
#[derive(Clone, Debug)]
pub struct TokenFile(pub PathBuf);

impl TokenSource for TokenFile {
    fn tokens(&self) -> Result<Vec<TokenRecord>, TokenError> {
        list(&self.0)
    }
}

/// The tokens as a server sees them, read again when the last reading is too old.
pub(crate) struct TokenTable {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    state: Mutex<Table>,
}

struct Table {
    read_at: Instant,
    tokens: Arc<Vec<Known>>,
}

struct Known {
    id: String,
    tenant: Tenant,
    scopes: BTreeSet<Scope>,
    expires_at: Option<Timestamp>,
    secret: [u8; 32],
}

impl TokenTable {
    pub(crate) fn open(source: Box<dyn TokenSource>, clock: Arc<dyn Clock>) -> Result<Self, TokenError> {
        let tokens = Arc::new(read(source.as_ref())?);
        if tokens.is_empty() {
            tracing::warn!("there is no token; make one with `hei tokens create`");
        }
        Ok(Self { source, clock, state: Mutex::new(Table { read_at: Instant::now(), tokens }) })
    }

    fn tokens(&self) -> Arc<Vec<Known>> {
        let mut state = crate::locked(&self.state);
        if state.read_at.elapsed() >= MAX_AGE {
            let tokens = read(self.source.as_ref()).unwrap_or_else(|error| {
                // Whom it would have let in cannot be known, so nobody is.
                tracing::error!(%error, "the tokens cannot be read; every token is refused");
                Vec::new()
            });
            audit(&state.tokens, &tokens);
            state.tokens = Arc::new(tokens);
            state.read_at = Instant::now();
        }
        Arc::clone(&state.tokens)
    }

    /// Whose token it is and what it allows, if it is one that works now. The same work is done for every text.
    pub(crate) fn find(&self, token: &str) -> Option<(Tenant, BTreeSet<Scope>)> {
        let (id, secret) =
            token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).unwrap_or_default();
        let digest = digest(secret);
        let tokens = self.tokens();
        let known = tokens.iter().find(|known| known.id == id);
        let expected = known.map_or([0; 32], |known| known.secret);
        let same = bool::from(digest.ct_eq(&expected));
        let now = self.clock.now();
        let known = known.filter(|known| same && known.expires_at.is_none_or(|end| end > now))?;
        Some((known.tenant.clone(), known.scopes.clone()))
    }
}

/// Logs which tokens came and went.
fn audit(before: &[Known], now: &[Known]) {
    let ids = |tokens: &[Known]| tokens.iter().map(|known| known.id.clone()).collect::<BTreeSet<_>>();
    let (before, now) = (ids(before), ids(now));
    for id in now.difference(&before) {
        tracing::info!(target: "audit", token = id, "a token works from now on");
    }
    for id in before.difference(&now) {
        tracing::info!(target: "audit", token = id, "a token does not work any more");
    }
}

fn read(source: &dyn TokenSource) -> Result<Vec<Known>, TokenError> {
    let known = |record: TokenRecord| {
        let secret = encoding::from_hex(&record.secret_sha256).ok().and_then(|octets| octets.try_into().ok());
        Ok(Known {
            tenant: Tenant::from_header(Some(record.tenant.as_bytes()))?,
            secret: secret.ok_or_else(|| TokenError::Record { id: record.id.clone() })?,
            id: record.id,
            scopes: record.scopes,
            expires_at: record.expires_at,
        })
    };
    source.tokens()?.into_iter().map(known).collect()
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
