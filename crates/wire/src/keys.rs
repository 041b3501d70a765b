//! The evaluation keys a place expects, in whichever format.

use std::sync::Arc;

use hei_ckks::{Context, EvaluationKeys, KeyManifest, MissingKey, SwitchKey};
use zeroize::Zeroize;

use crate::error::{DecodeError, KeyError, Reason};
use crate::hei::pack::packed_len;
use crate::{Format, hei, inputs, seal};

/// The one expected shape of evaluation keys: exactly the keys of a manifest, over the parameters of a context.
#[derive(Debug, Clone)]
pub struct KeyShape {
    pub(crate) context: Arc<Context>,
    pub(crate) manifest: KeyManifest,
}

impl KeyShape {
    /// Exactly the keys of `manifest`.
    pub fn new(context: &Arc<Context>, manifest: &KeyManifest) -> Self {
        Self { context: Arc::clone(context), manifest: manifest.clone() }
    }

    /// Exactly these keys.
    pub(crate) fn of(context: &Arc<Context>, keys: &EvaluationKeys) -> Self {
        let mut manifest = KeyManifest::new();
        if let Some(key) = &keys.relinearization {
            manifest.need_relinearization(key.0.level());
        }
        for element in keys.galois.elements() {
            manifest.need_galois(element, keys.galois.level(element).unwrap_or_default());
        }
        Self::new(context, &manifest)
    }

    /// The parameters.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The keys.
    pub fn manifest(&self) -> &KeyManifest {
        &self.manifest
    }

    /// Octets of these keys as this crate writes them. 0 for what the format does not have (SEAL, without exactly one
    /// special prime), for no keys, and beyond 2^64.
    pub fn encoded_len(&self, format: Format, seeded: bool) -> u64 {
        match format {
            Format::Hei if self.manifest.is_empty() => 0,
            Format::Hei => self.hei_len(seeded).unwrap_or(0),
            Format::Seal => seal::written_keys_len(self, seeded),
        }
    }

    /// Octets of the largest legal encoding: whoever sends more need not be decoded. 0 for what the format does not have.
    pub fn max_encoded_len(&self, format: Format) -> u64 {
        match format {
            Format::Hei => self.encoded_len(format, false),
            Format::Seal => seal::max_keys_len(self),
        }
    }

    /// Levels of all keys: relinearization, then Galois.
    pub(crate) fn levels(&self) -> impl Iterator<Item = usize> + '_ {
        self.manifest.relinearization().into_iter().chain(self.manifest.galois().map(|(_, level)| level))
    }

    /// Number of keys.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.manifest.relinearization().is_some()) + self.manifest.galois().len()
    }

    /// Octets of a `hei/1` body; `None` beyond 2^64.
    pub(crate) fn body_len(&self, seeded: bool) -> Option<u64> {
        self.levels().try_fold(0u64, |sum, level| {
            let mut poly = 0u64;
            for modulus in SwitchKey::moduli(&self.context, level) {
                poly = poly.checked_add(packed_len(self.context.degree() as u64, modulus.bits())?)?;
            }
            let mask = if seeded { 32 } else { poly };
            let digits = SwitchKey::digit_count(&self.context, level) as u64;
            sum.checked_add(poly.checked_add(mask)?.checked_mul(digits)?)
        })
    }

    fn hei_len(&self, seeded: bool) -> Option<u64> {
        let header = hei::header::FIXED + self.context.basis().len() as u64 + 8 * self.count() as u64;
        self.body_len(seeded)?.checked_add(header)
    }

    /// Whether exactly these keys were found.
    pub(crate) fn compare(&self, found: &KeyManifest) -> Result<(), KeyError> {
        let wanted = &self.manifest;
        let relin = wanted.relinearization().is_some() && found.relinearization().is_some();
        let galois = wanted.galois().len() > 0 && found.galois().len() > 0;
        if !relin && !galois {
            return Err(Reason::WrongKind.into());
        }
        let mut missing = Vec::new();
        let mut surplus = Vec::new();
        let (need, have) = (wanted.relinearization(), found.relinearization());
        if let Some(level) = need.filter(|level| have.is_none_or(|have| have < *level)) {
            missing.push(MissingKey::Relinearization { level });
        }
        if have.is_some_and(|have| need.is_none_or(|need| have > need)) {
            surplus.push(0);
        }
        let level_of = |manifest: &KeyManifest, element| {
            manifest.galois().find(|(other, _)| *other == element).map(|(_, level)| level)
        };
        for (element, level) in wanted.galois() {
            if level_of(found, element).is_none_or(|have| have < level) {
                missing.push(MissingKey::Galois { element, level });
            }
        }
        for (element, level) in found.galois() {
            if level_of(wanted, element).is_none_or(|need| level > need) {
                surplus.push(element.value());
            }
        }
        if missing.is_empty() && surplus.is_empty() {
            Ok(())
        } else {
            Err(KeyError::Manifest { missing, surplus })
        }
    }
}

/// Decodes evaluation keys in either format, and accepts exactly those of the shape. A secret key is wiped.
///
/// # Errors
/// [`KeyError`].
pub fn decode_evaluation_keys(
    payload: Vec<u8>,
    shape: &KeyShape,
) -> Result<(Format, EvaluationKeys), KeyError> {
    let mut payload = payload;
    decode_or_wipe(&mut payload, shape)
}

fn decode_or_wipe(payload: &mut Vec<u8>, shape: &KeyShape) -> Result<(Format, EvaluationKeys), KeyError> {
    let decode = |payload: &[u8]| {
        let format = inputs::recognize(payload)?;
        let keys = match format {
            Format::Hei => hei::decode_evaluation_keys(payload, shape)?,
            Format::Seal => seal::decode_evaluation_keys(payload, shape)?,
        };
        Ok((format, keys))
    };
    let result = decode(payload);
    if matches!(result, Err(KeyError::Bytes(DecodeError::SecretKey))) {
        payload.zeroize();
    }
    result
}
