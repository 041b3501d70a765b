//! Keys, encryption and decryption for one model and one layout. Bytes in, bytes out.
//!
//! ```text
//! card (JSON) -> Session -> key -> encrypt(rows) -> Request + Pending
//!                                     reply bytes + Pending -> Scores
//! ```
//!
//! The server's word is not taken for anything that can be checked here: parameters are recomputed from the
//! primes and held against the security table, and a reply is accepted only in exactly the shape the card
//! announced when the session was made. Whatever fails after decryption is one error without detail, because
//! a server must not learn from a client's reaction (ia.cr/2022/706 and others).

mod features;
mod reply;
mod request;
mod scores;
mod terms;

use std::sync::Arc;

pub use hei_circuit::Layout;
use hei_ckks::{
    EncodeError, EncryptionError, Parameters, PublicKey, RandomSource, RandomnessError, SecretKey,
};
pub use hei_protocol::Encoding;
pub use hei_protocol::messages::BodyFormat;
pub use hei_wire::Format;

pub use features::{Feature, RowError};
pub use request::{Pending, Request, RequestOptions};
pub use scores::Scores;
pub use terms::{CardError, Terms};

use crate::keyfile::{self, KeyFileError};

/// Why a session refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The model card cannot be used safely, or not by this program.
    #[error("the model card is not acceptable: {0}")]
    Card(#[from] CardError),
    /// The rows cannot be encrypted for this model.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The layout does not travel in this format.
    #[error("the {layout} layout is not offered in the {} format: use {}", .format.as_str(), .offered)]
    Format {
        /// The layout of the session.
        layout: Layout,
        /// The format that was asked for.
        format: Format,
        /// What the card offers.
        offered: &'static str,
    },
    /// A public key encrypts; it does not decrypt.
    #[error("only a public key is here: the holder of the secret key can decrypt")]
    NoSecretKey,
    /// The layout's ciphertexts are made with the secret key.
    #[error("the {0} layout encrypts with the secret key: use feature_columns with a public key")]
    SecretKeyNeeded(Layout),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Numbers that do not fit the parameters.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The scheme refused.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// Nothing is encrypted without randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Write(&'static str),
    /// The reply is not what the card announced. Deliberately without detail.
    #[error("the reply is not acceptable: it is not what this model answers to this request")]
    Reply,
}

/// A client's side of one model and layout.
///
/// ```compile_fail
/// fn print(session: &hei_client::session::Session) { println!("{session:?}"); }
/// ```
pub struct Session {
    terms: Terms,
    keys: Keys,
}

enum Keys {
    /// A fresh secret key for each request.
    Fresh,
    Secret(Arc<SecretKey>),
    Public(PublicKey),
}

/// The key of one request. No copy, no bytes, no printing:
///
/// ```compile_fail
/// fn print(key: &hei_client::session::RequestKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn copy(key: &hei_client::session::RequestKey) -> hei_client::session::RequestKey { key.clone() }
/// ```
pub struct RequestKey(Key);

enum Key {
    Secret(Arc<SecretKey>),
    Public(PublicKey),
}

impl Session {
    /// Checks a model card and makes the keys its layout asks for: none that outlive a request where no
    /// evaluation keys are needed.
    ///
    /// # Errors
    /// [`SessionError::Card`] when parameters are weak, unknown or inconsistent.
    pub fn new(card: &[u8], layout: Layout) -> Result<Self, SessionError> {
        Ok(Self { terms: Terms::from_card(card, layout)?, keys: Keys::Fresh })
    }

    /// A session with a stored secret key ([`keyfile`]).
    ///
    /// # Errors
    /// As [`Session::new`], and [`SessionError::Key`] when the key is for other parameters or cannot be
    /// opened.
    pub fn with_secret_key(
        card: &[u8],
        layout: Layout,
        key_file: &[u8],
        passphrase: Option<&[u8]>,
    ) -> Result<Self, SessionError> {
        let terms = Terms::from_card(card, layout)?;
        let key = keyfile::read(key_file, terms.parameters().context(), passphrase)?;
        Ok(Self { terms, keys: Keys::Secret(Arc::new(key)) })
    }

    /// A session that can encrypt for somebody else, and not decrypt.
    ///
    /// # Errors
    /// As [`Session::new`], and [`SessionError::Key`] when the bytes are no public key for these parameters.
    pub fn with_public_key(card: &[u8], layout: Layout, public_key: &[u8]) -> Result<Self, SessionError> {
        let terms = Terms::from_card(card, layout)?;
        if layout == Layout::Coefficients {
            return Err(SessionError::SecretKeyNeeded(layout));
        }
        let shape = hei_wire::Shape::public_key(terms.parameters().context());
        let key = hei_wire::hei::decode_public_key(public_key, &shape).map_err(KeyFileError::from)?;
        Ok(Self { terms, keys: Keys::Public(key) })
    }

    /// What was agreed on.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The key for the next request: a fresh one, unless the session was made with one.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn key(&self, randomness: &mut impl RandomSource) -> Result<RequestKey, SessionError> {
        Ok(RequestKey(match &self.keys {
            Keys::Fresh => {
                Key::Secret(Arc::new(SecretKey::generate(self.parameters().context(), randomness)?))
            }
            Keys::Secret(key) => Key::Secret(Arc::clone(key)),
            Keys::Public(key) => Key::Public(key.clone()),
        }))
    }

    /// What is needed to open the reply to a request of `batch` rows that somebody else encrypted under this
    /// key, for instance with its public key.
    ///
    /// # Errors
    /// [`SessionError::Rows`] for a batch the model does not take; [`SessionError::Format`].
    pub fn pending(&self, key: RequestKey, batch: usize, format: Format) -> Result<Pending, SessionError> {
        self.terms.check_format(format)?;
        let limit = self.terms.max_batch();
        match batch {
            0 => Err(RowError::Empty.into()),
            rows if rows > limit => Err(RowError::TooMany { rows, limit }.into()),
            _ => Ok(Pending { key, batch, format }),
        }
    }

    fn parameters(&self) -> &Parameters {
        self.terms.parameters()
    }
}
