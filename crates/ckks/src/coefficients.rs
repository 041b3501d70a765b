//! The `coefficients` layout: linear models without evaluation keys, one small ciphertext each way.
//!
//! Rows sit in polynomial coefficients. A product with the polynomial of the reversed weights puts each row's dot product
//! into one coefficient (the encoding of Cheetah's linear layers, ia.cr/2022/207, used here without its other half). The
//! client sends a mask seed and only those coefficients of c_0 that the wanted outputs depend on; the server answers with
//! one full mask and the output coefficients of c_0, both switched to a modulus 2^k.
//!
//! Everything is over the single data prime of its parameters and in coefficient form.

use hei_ring::modulus::mul_high;
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{Coeff, Modulus, Poly};
use zeroize::{Zeroize, Zeroizing};

use crate::context::Context;
use crate::encoder::round_away;
use crate::encryption::EncryptionError;
use crate::keys::SecretKey;
use crate::randomness::RandomSource;
use crate::values::MaskSeed;

/// Coefficients start, start + step, … (`count` of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexRange {
    /// First index.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// Distance between neighbors, at least 1.
    pub step: u32,
}

impl IndexRange {
    /// Its indices in order.
    pub fn indices(self) -> impl Iterator<Item = u64> + Clone {
        (0..u64::from(self.count)).map(move |i| u64::from(self.start) + i * u64::from(self.step))
    }

    /// Whether it is non-empty and below `degree`, computed without overflow.
    pub fn is_within(self, degree: usize) -> bool {
        self.count > 0
            && self.step > 0
            && u64::from(self.start) + (u64::from(self.count) - 1) * u64::from(self.step) < degree as u64
    }
}

/// Several ranges, ascending and disjoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexRanges(Vec<IndexRange>);

impl IndexRanges {
    /// Checked ranges: each non-empty and below `degree`, their indices strictly ascending over all of them.
    pub fn new(ranges: Vec<IndexRange>, degree: usize) -> Option<Self> {
        let ordered = ranges.windows(2).all(|pair| {
            let last = pair[0].indices().last();
            last.is_some_and(|last| last < u64::from(pair[1].start))
        });
        let within = ranges.iter().all(|r| r.is_within(degree));
        (!ranges.is_empty() && within && ordered).then_some(Self(ranges))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[IndexRange] {
        &self.0
    }

    /// How many indices in all.
    pub fn count(&self) -> usize {
        self.0.iter().map(|r| r.count as usize).sum()
    }

    /// All indices in order.
    pub fn indices(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.0.iter().flat_map(|r| r.indices()).map(|i| i as usize)
    }
}

/// A fresh ciphertext of which only some coefficients of c_0 are kept: c_0 = -(a s + e) + m at `ranges`, a from the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct CoefficientCiphertext {
    /// Seed of the mask a, expanded in coefficient form.
    pub seed: MaskSeed,
    /// Which coefficients of c_0 are present.
    pub ranges: IndexRanges,
    /// Those coefficients, in order, in [0, q).
    pub values: Vec<u64>,
    /// Message times scale is what the coefficients hold.
    pub scale: f64,
}

/// A reply modulo 2^k: the whole of c_1 and the output coefficients of c_0.
#[derive(Debug, Clone, PartialEq)]
pub struct CoefficientReply {
    /// c_1, N words in [0, 2^k).
    pub mask: Vec<u64>,
    /// Which coefficients of c_0 are present.
    pub ranges: IndexRanges,
    /// Those coefficients, in [0, 2^k).
    pub values: Vec<u64>,
    /// k, in [1, 62].
    pub modulus_bits: u32,
    /// Message times scale modulo 2^k is what decryption finds.
    pub scale: f64,
}

/// Why a product was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoefficientError {
    /// The layout needs parameters of one data prime.
    #[error("the coefficients layout needs parameters with exactly one data prime, these have {0}")]
    Chain(usize),
    /// Words and indices disagree.
    #[error("the ciphertext does not hold one word for each of its indices")]
    Words,
    /// More weights than coefficients, or none.
    #[error("{0} weights do not fit the ring")]
    Weights(usize),
    /// An output depends on a coefficient that is not present.
    #[error("an output depends on coefficient {0}, which the ciphertext does not hold")]
    Missing(usize),
    /// An unusable reply modulus.
    #[error("a reply modulus of 2^{0} is not between 2 and the prime")]
    ReplyModulus(u32),
}

fn single(context: &Context) -> Result<&Modulus, CoefficientError> {
    if context.data_count() == 1 {
        Ok(context.basis().modulus(0))
    } else {
        Err(CoefficientError::Chain(context.data_count()))
    }
}

/// Encrypts numbers into the coefficients at `ranges`, in that order.
///
/// Cost: two transforms and the expansion of one mask.
///
/// # Errors
/// [`EncryptionError::Parameters`] when the chain is longer than one prime or the counts disagree.
pub fn encrypt(
    key: &SecretKey,
    values: &[f64],
    ranges: &IndexRanges,
    scale: f64,
    randomness: &mut impl RandomSource,
) -> Result<CoefficientCiphertext, EncryptionError> {
    let context = key.context();
    let modulus = single(context).map_err(|_| EncryptionError::Parameters)?;
    let degree = context.degree();
    let finite = values.iter().all(|v| (v * scale).abs() < (modulus.value() / 2) as f64);
    if values.len() != ranges.count() || !finite || ranges.indices().any(|i| i >= degree) {
        return Err(EncryptionError::Parameters);
    }
    let seed = MaskSeed(*randomness.key()?);
    let mut product = Zeroizing::new(seed.expand::<Coeff>(context, 1));
    let table = context.basis().table(0);
    table.forward(product.limb_mut(0));
    hei_ring::kernel::mul_assign(product.limb_mut(0), key.ntt().limb(0), modulus);
    table.inverse(product.limb_mut(0));
    let mut errors = Zeroizing::new(vec![0i8; values.len()]);
    sample::error(&mut Stream::new(&*randomness.key()?, Domain::Error, 0, 0), &mut errors);
    let values = ranges
        .indices()
        .zip(values)
        .zip(errors.iter())
        .map(|((i, value), error)| {
            let message = modulus.from_signed(round_away(value * scale));
            let noise = modulus.from_signed(i64::from(*error));
            modulus.sub(message, modulus.add(product.limb(0)[i], noise))
        })
        .collect();
    Ok(CoefficientCiphertext { seed, ranges: ranges.clone(), values, scale })
}

/// Multiplies by the polynomial Σ_j w_j X^(d-1-j) of integer weights and adds `bias` (at the scale of the product) to the
/// outputs: output t is Σ_j w_j x_{t-d+1+j} + bias. The result keeps c_0 at `outputs` only.
///
/// `weight_scale` is what the weights were multiplied by. Every coefficient of c_0 the outputs depend on must be present
/// (zero weights included, so that timing and need do not depend on values).
///
/// Cost: two transforms, a product and `outputs` · d modular products.
///
/// # Errors
/// [`CoefficientError`].
pub fn multiply_by_weights(
    context: &Context,
    ciphertext: &CoefficientCiphertext,
    weights: &PreparedWeights,
    bias: i64,
    outputs: &IndexRanges,
) -> Result<CoefficientProduct, CoefficientError> {
    let modulus = single(context)?;
    let degree = context.degree();
    if ciphertext.values.len() != ciphertext.ranges.count() {
        return Err(CoefficientError::Words);
    }
    let mut mask = ciphertext.seed.expand::<Coeff>(context, 1);
    let table = context.basis().table(0);
    table.forward(mask.limb_mut(0));
    hei_ring::kernel::mul_assign(mask.limb_mut(0), weights.ntt.limb(0), modulus);
    table.inverse(mask.limb_mut(0));

    const ABSENT: u64 = u64::MAX;
    let mut c0 = vec![ABSENT; degree];
    for (i, word) in ciphertext.ranges.indices().zip(&ciphertext.values) {
        *c0.get_mut(i).ok_or(CoefficientError::Words)? = *word;
    }
    let d = weights.residues.len();
    let mut values = Vec::with_capacity(outputs.count());
    for t in outputs.indices() {
        let mut sum = modulus.from_signed(bias);
        for (j, w) in weights.residues.iter().enumerate() {
            // X^(d-1-j) · X^i lands on t for i = t - (d-1-j), with a sign change when it wraps around.
            let power = d - 1 - j;
            let (i, wraps) = if t >= power { (t - power, false) } else { (t + degree - power, true) };
            let word = c0[i];
            if word == ABSENT {
                return Err(CoefficientError::Missing(i));
            }
            let term = modulus.mul(word, *w);
            sum = if wraps { modulus.sub(sum, term) } else { modulus.add(sum, term) };
        }
        values.push(sum);
    }
    let scale = ciphertext.scale * weights.scale;
    Ok(CoefficientProduct { mask, ranges: outputs.clone(), values, scale })
}

/// Integer weights with the transform of their reversed polynomial.
#[derive(Debug, Clone)]
pub struct PreparedWeights {
    residues: Vec<u64>,
    ntt: Poly<hei_ring::Ntt>,
    scale: f64,
}

impl PreparedWeights {
    /// Prepares integer weights that stand for `weights / scale`.
    ///
    /// # Errors
    /// [`CoefficientError`].
    pub fn new(context: &Context, weights: &[i64], scale: f64) -> Result<Self, CoefficientError> {
        let modulus = single(context)?;
        if weights.is_empty() || weights.len() > context.degree() {
            return Err(CoefficientError::Weights(weights.len()));
        }
        let residues: Vec<u64> = weights.iter().map(|w| modulus.from_signed(*w)).collect();
        let mut poly = Poly::<Coeff>::zero(context.degree(), 1);
        for (word, residue) in poly.limb_mut(0).iter_mut().zip(residues.iter().rev()) {
            *word = *residue;
        }
        Ok(Self { residues, ntt: context.basis().forward(poly), scale })
    }
}

/// A product before its modulus is switched.
#[derive(Debug, Clone, PartialEq)]
pub struct CoefficientProduct {
    mask: Poly<Coeff>,
    ranges: IndexRanges,
    values: Vec<u64>,
    scale: f64,
}

impl CoefficientProduct {
    /// Rounds every word from modulo q to modulo 2^k. The scale becomes scale · 2^k / q, as a double.
    ///
    /// Adds a rounding of variance (1 + 2N/3)/12 in units of the new modulus.
    ///
    /// # Errors
    /// [`CoefficientError::ReplyModulus`] unless 2 <= 2^k < q.
    pub fn switch_modulus(&self, context: &Context, bits: u32) -> Result<CoefficientReply, CoefficientError> {
        let modulus = single(context)?;
        if bits == 0 || bits >= modulus.bits() {
            return Err(CoefficientError::ReplyModulus(bits));
        }
        let switch = ModulusSwitch::new(modulus.value(), bits);
        Ok(CoefficientReply {
            mask: self.mask.data().iter().map(|v| switch.apply(*v)).collect(),
            ranges: self.ranges.clone(),
            values: self.values.iter().map(|v| switch.apply(*v)).collect(),
            modulus_bits: bits,
            scale: reply_scale(self.scale, modulus.value(), bits),
        })
    }
}

/// The scale of a reply modulo 2^k to a product at `scale` modulo q: one double division, then one exact shift.
pub fn reply_scale(scale: f64, q: u64, bits: u32) -> f64 {
    scale / q as f64 * (1u64 << bits) as f64
}

/// round(v · 2^k / q) mod 2^k.
struct ModulusSwitch {
    q: u64,
    bits: u32,
    /// floor(2^(64+k) / q), below 2^64 because 2^k < q.
    ratio: u64,
}

impl ModulusSwitch {
    fn new(q: u64, bits: u32) -> Self {
        Self { q, bits, ratio: ((1u128 << (64 + bits)) / u128::from(q)) as u64 }
    }

    fn apply(&self, v: u64) -> u64 {
        // At most one below the true quotient; the remainder tells, exactly, modulo 2^64.
        let quotient = mul_high(v, self.ratio);
        let remainder = (v << self.bits).wrapping_sub(quotient.wrapping_mul(self.q));
        let above = u64::from(remainder >= self.q);
        let remainder = remainder - self.q * above;
        (quotient + above + u64::from(2 * remainder >= self.q)) & ((1 << self.bits) - 1)
    }
}

/// Decrypts a reply: the outputs in order, as numbers.
///
/// Cost: N additions per output. Constant time in the secret.
///
/// # Errors
/// [`EncryptionError::Parameters`] when the reply does not fit the key.
pub fn decrypt(key: &SecretKey, reply: &CoefficientReply) -> Result<Vec<f64>, EncryptionError> {
    let degree = key.context().degree();
    let fits = reply.mask.len() == degree
        && reply.values.len() == reply.ranges.count()
        && (1..=62).contains(&reply.modulus_bits)
        && reply.ranges.indices().all(|i| i < degree);
    if !fits {
        return Err(EncryptionError::Parameters);
    }
    // The secret reversed and, above it, negated: one contiguous window for each output.
    let mut window = Zeroizing::new(Vec::with_capacity(2 * degree));
    window.extend(key.coefficients().iter().rev().map(|s| i64::from(*s) as u64));
    window.extend(key.coefficients().iter().rev().map(|s| i64::from(*s).wrapping_neg() as u64));
    let shift = 64 - reply.modulus_bits;
    let mut phases = Zeroizing::new(Vec::with_capacity(reply.values.len()));
    for (t, value) in reply.ranges.indices().zip(&reply.values) {
        // (c_1 s)_t = Σ_{i <= t} c_1[i] s[t-i] - Σ_{i > t} c_1[i] s[N+t-i]; window[N-1-t+i] is the factor of c_1[i].
        let secret = &window[degree - 1 - t..2 * degree - 1 - t];
        let sum =
            reply.mask.iter().zip(secret).fold(*value, |sum, (c, s)| sum.wrapping_add(c.wrapping_mul(*s)));
        // Centered modulo 2^k: shift to the top, and back with the sign.
        phases.push(((sum << shift) as i64 >> shift) as f64 / reply.scale);
    }
    let out = phases.to_vec();
    phases.zeroize();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insecure_testing::SeededRandomness;
    use crate::noise::Noise;
    use crate::{Parameters, ParametersLiteral};
    use proptest::prelude::*;

    fn parameters(degree: usize, bits: u32) -> Parameters {
        Parameters::new(&ParametersLiteral {
            poly_modulus_degree: degree,
            coeff_modulus_bits: vec![bits],
            special_count: 0,
            scale: 1024.0,
        })
        .unwrap()
    }

    #[test]
    fn switching_rounds_to_nearest() {
        for q in [67_043_329u64, 9_007_199_254_614_017, (1 << 61) - 1] {
            for bits in [1, 13, 20, 25] {
                let switch = ModulusSwitch::new(q, bits);
                for v in (0..2000).map(|i| (u128::from(q - 1) * i / 1999) as u64).chain([
                    0,
                    1,
                    q / 2,
                    q / 2 + 1,
                    q - 1,
                ]) {
                    let exact = ((u128::from(v) << (bits + 1)) + u128::from(q)) / (2 * u128::from(q));
                    assert_eq!(
                        u128::from(switch.apply(v)),
                        exact & ((1 << bits) - 1),
                        "q={q} k={bits} v={v}"
                    );
                }
            }
        }
    }

    #[test]
    fn ranges_are_checked() {
        let range = |start, count, step| IndexRange { start, count, step };
        assert!(IndexRanges::new(vec![range(0, 8, 1)], 8).is_some());
        for bad in [
            vec![],
            vec![range(0, 9, 1)],
            vec![range(0, 0, 1)],
            vec![range(0, 2, 0)],
            vec![range(1, u32::MAX, u32::MAX)],
        ] {
            assert!(IndexRanges::new(bad.clone(), 8).is_none(), "{bad:?}");
        }
        assert!(IndexRanges::new(vec![range(0, 2, 1), range(1, 1, 1)], 8).is_none());
        assert_eq!(
            IndexRanges::new(vec![range(0, 2, 3), range(4, 2, 1)], 8).unwrap().indices().collect::<Vec<_>>(),
            [0, 3, 4, 5]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn dot_products_come_out(rows in 1usize..40, d in 1usize..40, seed: u64, bias in -100i64..100) {
            let parameters = parameters(2048, 53);
            let context = parameters.context();
            let mut randomness = SeededRandomness::new(seed);
            let key = SecretKey::generate(context, &mut randomness).unwrap();
            let number = |i: usize| ((i as f64 + seed as f64 % 1e6) * 0.77).sin();
            let x: Vec<f64> = (0..rows * d).map(number).collect();
            let (scale, weight_scale) = ((1u64 << 28) as f64, (1u64 << 16) as f64);
            let weights: Vec<i64> = (0..d).map(|j| (number(j + 5000) * weight_scale) as i64).collect();
            let request = IndexRanges::new(vec![IndexRange { start: 0, count: (rows * d) as u32, step: 1 }], 2048).unwrap();
            let outputs =
                IndexRanges::new(vec![IndexRange { start: d as u32 - 1, count: rows as u32, step: d as u32 }], 2048).unwrap();
            let ciphertext = encrypt(&key, &x, &request, scale, &mut randomness).unwrap();
            let prepared = PreparedWeights::new(context, &weights, weight_scale).unwrap();
            let bias_units = bias << 30;
            let product = multiply_by_weights(context, &ciphertext, &prepared, bias_units, &outputs).unwrap();
            let reply = product.switch_modulus(context, 34).unwrap();
            let result = decrypt(&key, &reply).unwrap();
            prop_assert_eq!(result.len(), rows);
            for (r, value) in result.iter().enumerate() {
                let exact: f64 = (0..d).map(|j| x[r * d + j] * weights[j] as f64 / weight_scale).sum::<f64>()
                    + bias_units as f64 / scale / weight_scale;
                // Errors times weights over the scale, plus the switch: far below 2^-17.
                prop_assert!((value - exact).abs() < 1e-5, "row {}: {} vs {}", r, value, exact);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// The ring that small models are served in: 26 bits are all that N = 1024 allows.
        #[test]
        fn dot_products_come_out_of_the_smallest_ring(rows in 1usize..30, seed: u64) {
            let parameters = parameters(1024, 26);
            let context = parameters.context();
            let mut randomness = SeededRandomness::new(seed);
            let key = SecretKey::generate(context, &mut randomness).unwrap();
            let d = 30;
            let x: Vec<f64> = (0..rows * d).map(|i| ((i as f64 + seed as f64 % 1e6) * 0.77).sin()).collect();
            let weights: Vec<i64> = (0..d as i64).map(|j| j % 7 - 3).collect();
            let range = |start, count, step| IndexRange { start, count, step };
            let request = IndexRanges::new(vec![range(0, (rows * d) as u32, 1)], 1024).unwrap();
            let outputs = IndexRanges::new(vec![range(d as u32 - 1, rows as u32, d as u32)], 1024).unwrap();
            let scale = (1u64 << 18) as f64;
            let ciphertext = encrypt(&key, &x, &request, scale, &mut randomness).unwrap();
            let prepared = PreparedWeights::new(context, &weights, 1.0).unwrap();
            let reply = multiply_by_weights(context, &ciphertext, &prepared, 0, &outputs)
                .unwrap()
                .switch_modulus(context, 22)
                .unwrap();
            // Errors of std 3.24 and roundings of 0.29 a weight, over the scale; the switch, over the reply's.
            let norm = weights.iter().map(|w| (w * w) as f64).sum::<f64>().sqrt();
            let noise = Noise::additive(3.25 * norm).coefficient_bound(scale)
                + Noise::rounding(1024).coefficient_bound(reply.scale);
            for (r, value) in decrypt(&key, &reply).unwrap().iter().enumerate() {
                let exact: f64 = (0..d).map(|j| x[r * d + j] * weights[j] as f64).sum();
                prop_assert!((value - exact).abs() < noise, "row {}: {} vs {}, bound {}", r, value, exact, noise);
            }
        }
    }

    #[test]
    fn absent_coefficients_and_longer_chains_are_refused() {
        let parameters = parameters(1024, 26);
        let context = parameters.context();
        let mut randomness = SeededRandomness::new(1);
        let key = SecretKey::generate(context, &mut randomness).unwrap();
        let one = |start, count| IndexRanges::new(vec![IndexRange { start, count, step: 1 }], 1024).unwrap();
        let ciphertext = encrypt(&key, &[1.0, 2.0], &one(0, 2), 1024.0, &mut randomness).unwrap();
        let prepared = PreparedWeights::new(context, &[1, 1, 1], 1.0).unwrap();
        assert_eq!(
            multiply_by_weights(context, &ciphertext, &prepared, 0, &one(2, 1)),
            Err(CoefficientError::Missing(2))
        );
        assert_eq!(
            encrypt(&key, &[1.0], &one(0, 2), 1024.0, &mut randomness),
            Err(EncryptionError::Parameters)
        );
        assert_eq!(
            encrypt(&key, &[f64::NAN], &one(0, 1), 1024.0, &mut randomness),
            Err(EncryptionError::Parameters)
        );
        assert_eq!(
            encrypt(&key, &[1e9], &one(0, 1), 1024.0, &mut randomness),
            Err(EncryptionError::Parameters)
        );
    }
}
