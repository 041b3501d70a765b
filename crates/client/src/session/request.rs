//! Rows to a request body.

use hei_circuit::packing;
use hei_ckks::{Encoder, RandomSource, coefficients};
use hei_protocol::Encoding;
use hei_protocol::messages::{BodyFormat, InferRequest, Input};
use hei_wire::{Format, hei, seal};
use zeroize::Zeroizing;

use super::{Key, Layout, RequestKey, Session, SessionError, features};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// Ciphertext bytes: the project's own container, or SEAL streams.
    pub format: Format,
    /// How payloads sit in the body: `binary` makes it CBOR, the others JSON.
    pub encoding: Encoding,
}

impl Default for RequestOptions {
    /// The fewest bytes: `hei/1` in CBOR.
    fn default() -> Self {
        Self { format: Format::Hei, encoding: Encoding::Binary }
    }
}

/// What is sent. Holds ciphertexts and public facts only.
pub struct Request {
    /// The body of `POST /infer`.
    pub body: Vec<u8>,
    /// What the body is.
    pub media: BodyFormat,
    /// Octets of the ciphertext containers in it.
    pub payload_bytes: u64,
}

/// What is kept until the reply comes. Opening a reply consumes it: one request, one decryption.
///
/// ```compile_fail
/// fn print(pending: &hei_client::session::Pending) { println!("{pending:?}"); }
/// ```
pub struct Pending {
    pub(super) key: RequestKey,
    pub(super) batch: usize,
    pub(super) format: Format,
}

impl Session {
    /// Encrypts rows: scales them, checks every number against the card, packs, encrypts, writes the body.
    ///
    /// # Errors
    /// [`SessionError::Rows`] with row and feature before anything is encrypted.
    pub fn encrypt<R: AsRef<[f64]>>(
        &self,
        key: RequestKey,
        rows: &[R],
        options: RequestOptions,
        randomness: &mut impl RandomSource,
    ) -> Result<(Request, Pending), SessionError> {
        let terms = &self.terms;
        terms.check_format(options.format)?;
        let scaled = features::scale(rows, terms.features(), terms.max_batch())?;
        let payloads = match terms.layout() {
            Layout::FeatureColumns => self.encrypt_columns(&key, &scaled, options.format, randomness)?,
            Layout::Coefficients => vec![self.encrypt_coefficients(&key, &scaled, randomness)?],
        };
        let payload_bytes = payloads.iter().map(|payload| payload.len() as u64).sum();
        let (body, media) = self.body(rows.len(), payloads, options.encoding)?;
        let pending = Pending { key, batch: rows.len(), format: options.format };
        Ok((Request { body, media, payload_bytes }, pending))
    }

    fn encrypt_columns(
        &self,
        key: &RequestKey,
        rows: &[Zeroizing<Vec<f64>>],
        format: Format,
        randomness: &mut impl RandomSource,
    ) -> Result<Vec<Vec<u8>>, SessionError> {
        let context = self.parameters().context();
        let encoder = Encoder::new(context);
        let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
        let columns =
            packing::columns(&rows, self.terms.dimension()).map_err(|_| SessionError::Write("packing"))?;
        let columns: Vec<_> = columns.into_iter().map(Zeroizing::new).collect();
        let unwritable = |_| SessionError::Write("ciphertext");
        let mut payloads = Vec::with_capacity(columns.len());
        for column in &columns {
            let plaintext = encoder.encode(column, self.terms.input_level(), self.terms.input_scale())?;
            payloads.push(match (&key.0, format) {
                (Key::Secret(key), Format::Hei) => {
                    hei::encode_ciphertext(&key.encrypt(&plaintext, randomness)?, context)
                        .map_err(unwritable)?
                }
                (Key::Secret(key), Format::Seal) => {
                    let mut bytes = [0; 64];
                    bytes[..32].copy_from_slice(&*randomness.key()?);
                    bytes[32..].copy_from_slice(&*randomness.key()?);
                    let seed = seal::SealSeed::Blake2xb(bytes);
                    let mask =
                        seed.mask(context, plaintext.level() + 1).ok_or(SessionError::Write("seed"))?;
                    let ciphertext = key.encrypt_with_mask(&plaintext, mask, randomness)?;
                    seal::encode_ciphertext_seeded(&ciphertext, &seed, context).map_err(unwritable)?
                }
                (Key::Public(key), Format::Hei) => {
                    hei::encode_ciphertext(&key.encrypt(&plaintext, randomness)?, context)
                        .map_err(unwritable)?
                }
                (Key::Public(key), Format::Seal) => {
                    seal::encode_ciphertext(&key.encrypt(&plaintext, randomness)?, context)
                        .map_err(unwritable)?
                }
            });
        }
        Ok(payloads)
    }

    fn encrypt_coefficients(
        &self,
        key: &RequestKey,
        rows: &[Zeroizing<Vec<f64>>],
        randomness: &mut impl RandomSource,
    ) -> Result<Vec<u8>, SessionError> {
        let Key::Secret(key) = &key.0 else {
            return Err(SessionError::SecretKeyNeeded(Layout::Coefficients));
        };
        let context = self.parameters().context();
        let dimension = self.terms.dimension();
        let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
        let values = packing::coefficients(&rows, dimension).map_err(|_| SessionError::Write("packing"))?;
        let values = Zeroizing::new(values);
        let ranges = packing::request_ranges(context.degree(), dimension, rows.len())
            .map_err(|_| SessionError::Write("packing"))?;
        let ciphertext = coefficients::encrypt(key, &values, &ranges, self.terms.input_scale(), randomness)?;
        hei::encode_request(&ciphertext, context).map_err(|_| SessionError::Write("ciphertext"))
    }

    fn body(
        &self,
        batch: usize,
        payloads: Vec<Vec<u8>>,
        encoding: Encoding,
    ) -> Result<(Vec<u8>, BodyFormat), SessionError> {
        let unwritable = || SessionError::Write("body");
        let (media, inputs) = match encoding {
            Encoding::Binary => (BodyFormat::Cbor, payloads.into_iter().map(Input::binary).collect()),
            text => (BodyFormat::Json, payloads.iter().map(|payload| Input::text(text, payload)).collect()),
        };
        let batch = u32::try_from(batch).map_err(|_| unwritable())?;
        let mut request =
            InferRequest::new(self.terms.model_id().clone(), self.terms.version(), batch, inputs);
        request.layout = Some(self.terms.layout().name().to_owned());
        Ok((request.write(media).map_err(|_| unwritable())?, media))
    }
}
