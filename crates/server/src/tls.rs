//! TLS in process: version 1.3 only, hybrid post-quantum key exchange first, certificates that can be changed while
//! connections live.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The certificate chain and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificates: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsChoice {
    /// The file of the certificate chain; plain HTTP without.
    pub certificates: Option<PathBuf>,
    /// The file of the private key.
    pub key: Option<PathBuf>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for TlsChoice {
    fn default() -> Self {
        Self { certificates: None, key: None, handshake_timeout: Duration::from_secs(10) }
    }
}

/// Why TLS cannot be spoken. Files are named, their contents are not.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two files is missing.
    #[error("TLS needs both tls.certificates and tls.key; only one is set")]
    Half,
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was met.
        cause: String,
    },
    /// There is no certificate in the file.
    #[error("{path}: no certificate; expected a PEM chain, the server's own first")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The private key can be read by others.
    #[error("{path}: the private key can be read by others; chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or are of no known kind.
    #[error("{certificates} and {key} are not usable together: {cause}")]
    Mismatch {
        /// The file of the chain.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the library said.
        cause: String,
    },
    /// The library refuses its own settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl TlsChoice {
    /// The files, if TLS is spoken.
    ///
    /// # Errors
    /// [`TlsError::Half`].
    pub fn files(&self) -> Result<Option<TlsFiles>, TlsError> {
        match (&self.certificates, &self.key) {
            (Some(certificates), Some(key)) => {
                Ok(Some(TlsFiles { certificates: certificates.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(TlsError::Half),
        }
    }
}

fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let unreadable = |path: &Path, cause: String| TlsError::Unreadable { path: path.to_owned(), cause };
    let path = &files.certificates;
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|error| unreadable(path, error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.clone() });
    }
    let key = &files.key;
    refuse_exposed(key)?;
    let der = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error.to_string()))?;
    let mismatch = |error: rustls::Error| TlsError::Mismatch {
        certificates: path.clone(),
        key: key.clone(),
        cause: error.to_string(),
    };
    CertifiedKey::from_der(chain, der, &aws_lc_rs::default_provider()).map_err(mismatch)
}

#[cfg(unix)]
fn refuse_exposed(key: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(key)
        .map_err(|error| TlsError::Unreadable { path: key.to_owned(), cause: error.to_string() })?;
    // A group may share it, as packages do with `ssl-cert`; the world may not.
    if metadata.permissions().mode() & 0o007 == 0 {
        Ok(())
    } else {
        Err(TlsError::Exposed { path: key.to_owned() })
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path) -> Result<(), TlsError> {
    Ok(())
}

/// The certificate in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

/// TLS, as it is spoken now.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: TlsFiles,
    pub(crate) handshake_timeout: Duration,
}

impl Tls {
    /// Reads certificate and key.
    pub(crate) fn start(choice: &TlsChoice) -> Result<Option<Self>, TlsError> {
        let Some(files) = choice.files()? else { return Ok(None) };
        let current = Arc::new(Current(RwLock::new(Arc::new(load(&files)?))));
        // `prefer-post-quantum` puts X25519MLKEM768 first: what is recorded today stays closed to tomorrow's machines.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Self { acceptor, current, files, handshake_timeout: choice.handshake_timeout }))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads certificate and key again; what cannot be used changes nothing. Open connections keep theirs.
    pub(crate) fn reload(&self) {
        match load(&self.files) {
            Ok(loaded) => {
                *self.current.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(loaded);
                tracing::info!(target: "audit", "the certificate was read again");
            }
            Err(error) => tracing::error!(%error, "the certificate in use stays: the new one is not usable"),
        }
    }
}
