//! Numbers to plaintexts and back, in slots or in coefficients.

use std::sync::Arc;

pub(crate) use hei_ring::kernel::fft::round_one as round_away;
use hei_ring::{Modulus, Poly, Wiped};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::values::Plaintext;

/// A complex number as (real, imaginary).
pub type Complex = (f64, f64);

/// Why numbers could not be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// More numbers than places.
    #[error("{given} numbers do not fit into {places} places")]
    TooMany {
        /// Numbers given.
        given: usize,
        /// Slots or coefficients there are.
        places: usize,
    },
    /// NaN or infinite input.
    #[error("a number to encode is NaN or infinite")]
    NotFinite,
    /// A scale must be positive and finite.
    #[error("scale {0} is not a positive finite number")]
    Scale(f64),
    /// No such level.
    #[error("level {level} is above the highest level {max}")]
    Level {
        /// Level asked for.
        level: usize,
        /// Highest level.
        max: usize,
    },
    /// The encoded value would wrap around.
    #[error(
        "encoded coefficients need {needed:.1} bits and the modulus at this level has {available:.1}: lower the scale"
    )]
    TooLarge {
        /// Bits of the largest coefficient, with its sign.
        needed: f64,
        /// log2 of the modulus.
        available: f64,
    },
}

/// Encodes vectors into plaintexts at a level and a scale, and decodes them.
///
/// Runs on the client; floating point, so not constant time (see `docs/threat-model.md`).
#[derive(Debug, Clone)]
pub struct Encoder {
    context: Arc<Context>,
}

impl Encoder {
    /// An encoder for a context.
    pub fn new(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context) }
    }

    /// Real numbers into slots 0, 1, …; the other slots are zero.
    ///
    /// Rounding to integers adds at most about sqrt(N)/scale to a slot.
    ///
    /// # Errors
    /// [`EncodeError`]. Cost: one complex transform of N/2 points and one NTT per limb.
    pub fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<Plaintext, EncodeError> {
        self.check(values, self.context.slots(), level, scale)?;
        let coefficients = self.context.transform().real_to_coefficients(values, scale);
        self.finish(&coefficients, true, level, scale)
    }

    /// Complex numbers into slots 0, 1, …
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_complex(
        &self,
        values: &[Complex],
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, EncodeError> {
        let (re, im): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
        let (re, im) = (Zeroizing::new(re), Zeroizing::new(im));
        self.check(&re, self.context.slots(), level, scale)?;
        self.check(&im, self.context.slots(), level, scale)?;
        let coefficients = self.context.transform().to_coefficients(&re, &im, scale);
        self.finish(&coefficients, false, level, scale)
    }

    /// Real numbers into coefficients 0, 1, …
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_coefficients(
        &self,
        values: &[f64],
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, EncodeError> {
        self.check(values, self.context.degree(), level, scale)?;
        let mut coefficients = Wiped::zero(self.context.degree());
        for (c, v) in coefficients.iter_mut().zip(values) {
            *c = v * scale;
        }
        self.finish(&coefficients, false, level, scale)
    }

    /// The real parts of all slots.
    ///
    /// Whoever holds the ciphertext and these numbers can compute the secret key: wipe them when done.
    ///
    /// Cost: one inverse NTT per limb, limbs²/2 modular products per coefficient, one complex transform.
    pub fn decode(&self, plaintext: &Plaintext) -> Vec<f64> {
        let mut slots = vec![0.0; self.context.slots()];
        let factor = 1.0 / plaintext.scale();
        self.context.transform().to_real_slots(&self.coefficients(plaintext), factor, &mut slots);
        slots
    }

    /// All slots.
    pub fn decode_complex(&self, plaintext: &Plaintext) -> Vec<Complex> {
        let mut re = Wiped::any(self.context.slots());
        let mut im = Wiped::any(self.context.slots());
        let factor = 1.0 / plaintext.scale();
        self.context.transform().to_slots(&self.coefficients(plaintext), factor, &mut re, Some(&mut im));
        re.iter().copied().zip(im.iter().copied()).collect()
    }

    /// All coefficients.
    pub fn decode_coefficients(&self, plaintext: &Plaintext) -> Vec<f64> {
        let coefficients = self.coefficients(plaintext);
        coefficients.iter().map(|c| c / plaintext.scale()).collect()
    }

    /// Coefficients as they are, times the scale.
    fn coefficients(&self, plaintext: &Plaintext) -> Wiped<f64> {
        let basis = self.context.basis();
        self.context.radix().to_centered(basis, basis.coefficients(plaintext.poly()))
    }

    fn check(&self, values: &[f64], places: usize, level: usize, scale: f64) -> Result<(), EncodeError> {
        if values.len() > places {
            return Err(EncodeError::TooMany { given: values.len(), places });
        }
        if !scale.is_normal() || scale <= 0.0 {
            return Err(EncodeError::Scale(scale));
        }
        if level > self.context.max_level() {
            return Err(EncodeError::Level { level, max: self.context.max_level() });
        }
        if !largest(values).is_finite() {
            return Err(EncodeError::NotFinite);
        }
        Ok(())
    }

    /// Rounds, and reduces modulo every prime. `mirrored` coefficients are those of a polynomial that is its own conjugate.
    fn finish(
        &self,
        coefficients: &[f64],
        mirrored: bool,
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, EncodeError> {
        let largest = largest(coefficients);
        // Infinite or NaN where the transform overflowed.
        let needed = if largest.is_finite() { libm::log2(largest.max(1.0)) + 1.0 } else { f64::INFINITY };
        let available = self.context.log2_modulus(level);
        if needed >= available {
            return Err(EncodeError::TooLarge { needed, available });
        }
        let basis = self.context.basis();
        let mut poly = Poly::scratch(basis.degree(), level + 1);
        // Below 2^62 a rounded coefficient is a machine integer.
        let mut rounded = Wiped::any(coefficients.len());
        let machine = largest < (1u64 << 62) as f64;
        if machine {
            hei_ring::kernel::slots::round(&mut rounded, coefficients);
        }
        for (i, limb) in poly.iter_mut().enumerate() {
            let (table, modulus) = (basis.table(i), basis.modulus(i));
            let fill = |start: usize, part: &mut [u64]| {
                let range = start..start + part.len();
                if machine {
                    hei_ring::kernel::reduce_signed(part, &rounded[range], modulus);
                } else {
                    for (residue, c) in part.iter_mut().zip(&coefficients[range]) {
                        *residue = residue_of(*c, modulus);
                    }
                }
            };
            if mirrored {
                table.forward_mirrored(limb, fill);
            } else {
                table.forward_with(limb, fill, |_, _| ());
            }
        }
        Ok(Plaintext::from_parts(poly, scale))
    }
}

/// The largest size among numbers; infinite or NaN when one of them is.
fn largest(values: &[f64]) -> f64 {
    let mut bits = 0;
    hei_ring::kernel::slots::largest(values, &mut bits);
    f64::from_bits(bits)
}

/// round(x) mod q for any finite double, exactly.
pub(crate) fn residue_of(x: f64, modulus: &Modulus) -> u64 {
    if x.abs() < (1u64 << 62) as f64 {
        return modulus.from_signed(round_away(x));
    }
    // A double this large is a whole number: mantissa times a power of two.
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    let residue = modulus.mul(mantissa, modulus.pow(2, exponent));
    if x < 0.0 { modulus.neg(residue) } else { residue }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insecure_testing::InsecureParameters;
    use crate::parameters::ParametersLiteral;
    use proptest::prelude::*;

    fn context(degree: usize, bits: &[u32]) -> Arc<Context> {
        let literal = ParametersLiteral {
            poly_modulus_degree: degree,
            coeff_modulus_bits: bits.to_vec(),
            special_count: 1,
            scale: (1u64 << 40) as f64,
        };
        Arc::clone(InsecureParameters::new(&literal).unwrap().context())
    }

    /// Known answer measured against SEAL 4.4.3: encode (1, 0, 0, …), N = 2048, scale 2^40.
    #[test]
    fn first_coefficients_are_seals() {
        let context = context(2048, &[60, 40, 60]);
        let encoder = Encoder::new(&context);
        let plaintext = encoder.encode(&[1.0], 1, (1u64 << 40) as f64).unwrap();
        let poly = context.basis().inverse(plaintext.poly().clone());
        let first: Vec<i64> =
            poly.limb(0)[..4].iter().map(|r| context.basis().modulus(0).centered(*r)).collect();
        assert_eq!(first, [1_073_741_824, 1_073_740_561, 1_073_736_771, 1_073_730_454]);
    }

    #[test]
    fn halves_round_away_from_zero() {
        for (x, expected) in
            [(0.5, 1), (-0.5, -1), (1.5, 2), (2.5, 3), (-2.5, -3), (0.499_999_999_999_999_94, 0), (0.0, 0)]
        {
            assert_eq!(round_away(x), expected, "{x}");
        }
        assert_eq!(round_away(4_503_599_627_370_497.5), 4_503_599_627_370_498);
    }

    #[test]
    fn what_cannot_be_encoded_is_refused() {
        let context = context(1024, &[40, 30, 40]);
        let encoder = Encoder::new(&context);
        assert!(matches!(
            encoder.encode(&[0.0; 513], 1, 1024.0),
            Err(EncodeError::TooMany { given: 513, places: 512 })
        ));
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(encoder.encode(&[bad], 1, 1024.0).err(), Some(EncodeError::NotFinite));
            assert!(matches!(encoder.encode(&[1.0], 1, bad), Err(EncodeError::Scale(_))));
        }
        assert!(matches!(encoder.encode(&[1.0], 2, 1024.0), Err(EncodeError::Level { level: 2, max: 1 })));
        assert!(matches!(
            encoder.encode(&[1e9; 512], 0, (1u64 << 40) as f64),
            Err(EncodeError::TooLarge { .. })
        ));
        assert!(matches!(encoder.encode(&[f64::MAX; 512], 0, 1e300), Err(EncodeError::TooLarge { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn decoding_undoes_encoding(
            values in proptest::collection::vec((-100.0..100.0f64, -100.0..100.0f64), 1..512),
            log_scale in 20..70i32,
            level in 0usize..3,
        ) {
            let context = context(1024, &[60, 40, 30, 60]);
            let encoder = Encoder::new(&context);
            let scale = 2f64.powi(log_scale);
            prop_assume!(f64::from(log_scale) + 8.0 < context.log2_modulus(level));
            let tolerance = 1024.0f64.sqrt() / scale + 1e-12;
            let back = encoder.decode_complex(&encoder.encode_complex(&values, level, scale).unwrap());
            for (b, v) in back.iter().zip(&values) {
                prop_assert!((b.0 - v.0).abs() < tolerance && (b.1 - v.1).abs() < tolerance);
            }
            prop_assert!(back[values.len()..].iter().all(|b| b.0.abs() < tolerance));
            let real: Vec<f64> = values.iter().map(|v| v.0).collect();
            let back = encoder.decode_coefficients(&encoder.encode_coefficients(&real, level, scale).unwrap());
            prop_assert!(back.iter().zip(&real).all(|(b, v)| (b - v).abs() <= 0.5001 / scale + 1e-12));
        }

        #[test]
        fn large_doubles_reduce_exactly(mantissa in 1u64..1 << 53, shift in 9u32..60, negative: bool) {
            let m = hei_ring::Modulus::new(1_099_511_590_913).unwrap();
            let magnitude = u128::from(mantissa) << shift;
            let x = magnitude as f64 * if negative { -1.0 } else { 1.0 };
            let residue = (magnitude % u128::from(m.value())) as u64;
            prop_assert_eq!(residue_of(x, &m), if negative { m.neg(residue) } else { residue });
        }
    }
}
