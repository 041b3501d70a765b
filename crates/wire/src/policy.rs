//! What is well formed and still refused: stage 12.

use hei_ckks::Ciphertext;
use hei_ring::{Ntt, Poly};

use crate::error::{DecodeError, Policy};

/// A limb of a mask with at most this many words that are not zero counts as no mask. A uniform limb has about N of
/// them; this catches messages sent in the clear by mistake and is no statement about security.
const MAX_NON_ZERO_OF_NO_MASK: usize = 8;

/// Words of one limb of a mask.
pub(crate) fn check_words(words: &[u64]) -> Result<(), DecodeError> {
    let enough = words.iter().filter(|word| **word != 0).nth(MAX_NON_ZERO_OF_NO_MASK).is_some();
    if enough { Ok(()) } else { Err(Policy::TransparentMask.into()) }
}

/// Every limb of a mask.
pub(crate) fn check_mask(mask: &Poly<Ntt>) -> Result<(), DecodeError> {
    mask.iter().try_for_each(check_words)
}

/// c_1 of a ciphertext, limb by limb: zero in one limb alone already shows the message modulo that prime.
pub(crate) fn check_ciphertext(ciphertext: &Ciphertext) -> Result<(), DecodeError> {
    ciphertext.parts().get(1).map_or(Err(Policy::TransparentMask.into()), check_mask)
}
