//! Secret and public keys, and the making of evaluation keys.

use std::sync::Arc;

use hei_ring::automorphism::permute;
use hei_ring::parallel::{self, Work};
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{GaloisElement, Ntt, Poly, Wiped, kernel};
use zeroize::{Zeroize, Zeroizing};

use crate::context::Context;
use crate::evaluation_keys::{EvaluationKeys, GaloisKeys, KeyDigit, RelinKey, SwitchKey, expand_mask};
use crate::key_manifest::KeyManifest;
use crate::keyswitch::{digit_groups, prime_index};
use crate::randomness::{RandomSource, RandomnessError};
use crate::values::MaskSeed;

/// Words that are no secret key of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the coefficients of a ternary secret for these parameters")]
pub struct SecretKeyError;

/// A uniform ternary secret. Wiped on drop; it has no `Debug`, no `Clone` and no serializer that a request could call.
pub struct SecretKey {
    context: Arc<Context>,
    coefficients: Zeroizing<Vec<i8>>,
    /// Over data and special primes.
    ntt: Poly<Ntt>,
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.ntt.zeroize();
    }
}

impl SecretKey {
    /// A fresh secret.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn generate(
        context: &Arc<Context>,
        randomness: &mut impl RandomSource,
    ) -> Result<Self, RandomnessError> {
        let mut coefficients = Zeroizing::new(vec![0; context.degree()]);
        sample::ternary(&mut Stream::new(&*randomness.key()?, Domain::Secret, 0, 0), &mut coefficients);
        Ok(Self::with(context, coefficients))
    }

    /// A secret from its coefficients, as a key file holds them.
    ///
    /// # Errors
    /// [`SecretKeyError`] unless they are N numbers in {-1, 0, 1}, not all zero.
    pub fn from_coefficients(
        context: &Arc<Context>,
        coefficients: Zeroizing<Vec<i8>>,
    ) -> Result<Self, SecretKeyError> {
        // All are looked at before anything is decided: where the first zero is would be visible in time.
        let (foreign, any) = coefficients.iter().fold((false, 0), |(foreign, any), c| {
            // -1, 0 and 1 are 0, 1 and 2 without a sign.
            (foreign | (c.wrapping_add(1) as u8 > 2), any | *c)
        });
        if coefficients.len() != context.degree() || foreign || any == 0 {
            return Err(SecretKeyError);
        }
        Ok(Self::with(context, coefficients))
    }

    /// A secret from its values over data and special primes, as SEAL stores it.
    ///
    /// # Errors
    /// [`SecretKeyError`] unless all limbs hold the same ternary polynomial.
    pub fn from_ntt(context: &Arc<Context>, ntt: Poly<Ntt>) -> Result<Self, SecretKeyError> {
        let basis = context.basis();
        if ntt.degree() != context.degree() || ntt.limbs() != basis.len() {
            return Err(SecretKeyError);
        }
        let mut poly = basis.inverse(ntt);
        let coefficients: Zeroizing<Vec<i8>> = Zeroizing::new(
            poly.limb(0)
                .iter()
                .map(|r| i8::try_from(basis.modulus(0).centered(*r)).unwrap_or(i8::MAX))
                .collect(),
        );
        let mut expected = basis.from_small(&coefficients, basis.len());
        let same = poly == expected;
        poly.zeroize();
        expected.zeroize();
        if same { Self::from_coefficients(context, coefficients) } else { Err(SecretKeyError) }
    }

    fn with(context: &Arc<Context>, coefficients: Zeroizing<Vec<i8>>) -> Self {
        let basis = context.basis();
        let ntt = basis.forward(basis.from_small(&coefficients, basis.len()));
        Self { context: Arc::clone(context), coefficients, ntt }
    }

    /// The parameters it belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The secret itself, for a key file. Handle like a password.
    pub fn coefficients(&self) -> &[i8] {
        &self.coefficients
    }

    /// The secret itself, over data and special primes. Handle like a password.
    pub fn ntt(&self) -> &Poly<Ntt> {
        &self.ntt
    }

    /// The public key: an encryption of zero over data and special primes.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn public_key(&self, randomness: &mut impl RandomSource) -> Result<PublicKey, RandomnessError> {
        let KeyDigit { b, a, .. } = self.zero_pair(self.context.max_level(), randomness)?;
        Ok(PublicKey { context: Arc::clone(&self.context), pair: (b, a) })
    }

    /// The key that brings a product back from three parts to two, at every level.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn relin_key(&self, randomness: &mut impl RandomSource) -> Result<RelinKey, RandomnessError> {
        self.relin_key_at(self.context.max_level(), randomness)
    }

    /// A relinearization key for ciphertexts at `level` and below, smaller the lower the level. Levels above the highest
    /// count as the highest.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn relin_key_at(
        &self,
        level: usize,
        randomness: &mut impl RandomSource,
    ) -> Result<RelinKey, RandomnessError> {
        let mut square = Zeroizing::new(self.ntt.clone());
        self.context.basis().mul_assign(&mut square, &self.ntt);
        Ok(RelinKey(self.switch_key(&square, level, randomness)?))
    }

    /// Keys for exactly the given Galois elements, at every level.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn galois_keys(
        &self,
        elements: &[GaloisElement],
        randomness: &mut impl RandomSource,
    ) -> Result<GaloisKeys, RandomnessError> {
        let level = self.context.max_level();
        self.galois_keys_at(elements.iter().map(|element| (*element, level)), randomness)
    }

    /// Keys for Galois elements, each for ciphertexts at its level and below.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn galois_keys_at(
        &self,
        elements: impl IntoIterator<Item = (GaloisElement, usize)>,
        randomness: &mut impl RandomSource,
    ) -> Result<GaloisKeys, RandomnessError> {
        let mut keys = GaloisKeys::default();
        for (element, level) in elements {
            let permutation = element.permutation(self.context.degree());
            let moved = Zeroizing::new(permute(&self.ntt, &permutation));
            keys.insert(element, permutation, &self.switch_key(&moved, level, randomness)?);
        }
        Ok(keys)
    }

    /// Exactly the keys a manifest names.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn evaluation_keys(
        &self,
        manifest: &KeyManifest,
        randomness: &mut impl RandomSource,
    ) -> Result<EvaluationKeys, RandomnessError> {
        let relinearization = match manifest.relinearization() {
            Some(level) => Some(self.relin_key_at(level, randomness)?),
            None => None,
        };
        Ok(EvaluationKeys { relinearization, galois: self.galois_keys_at(manifest.galois(), randomness)? })
    }

    /// A key that re-encrypts from `from` (over data and special primes) to this secret.
    ///
    /// The data primes are taken in groups of as many as there are special primes, a digit for each group: digit j is an
    /// encryption of zero whose first part has (P mod q_i) · from added on the limbs i of its group (K. Han and D. Ki,
    /// ia.cr/2019/688). One special prime gives a digit for each data prime, SEAL's layout.
    fn switch_key(
        &self,
        from: &Poly<Ntt>,
        level: usize,
        randomness: &mut impl RandomSource,
    ) -> Result<SwitchKey, RandomnessError> {
        let context = &self.context;
        let level = level.min(context.max_level());
        let basis = context.basis();
        let digits = digit_groups(context, level)
            .map(|group| {
                let mut digit = self.zero_pair(level, randomness)?;
                for i in group {
                    let modulus = basis.modulus(i);
                    let special = context
                        .special_moduli()
                        .fold(1, |product, p| modulus.mul(product, modulus.reduce(p.value())));
                    let special = modulus.shoup(special);
                    kernel::mul_scalar_add_assign(digit.b.limb_mut(i), from.limb(i), special, modulus);
                }
                Ok(digit)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(SwitchKey { params_id: context.params_id(), level, digits })
    }

    /// (-(a s + e), a) over the data primes of a level and the special primes.
    fn zero_pair(
        &self,
        level: usize,
        randomness: &mut impl RandomSource,
    ) -> Result<KeyDigit, RandomnessError> {
        let context = &self.context;
        let basis = context.basis();
        let seed = MaskSeed(*randomness.key()?);
        let a: Poly<Ntt> = expand_mask(context, level, seed);
        let error = sample_error(context, randomness)?;
        let mut b = Poly::scratch(context.degree(), a.limbs());
        let words = b.data().len();
        parallel::each(Work::Transform, words, b.iter_mut().enumerate(), |(place, limb)| {
            let t = prime_index(context, level, place);
            let (modulus, mask, secret) = (basis.modulus(t), a.limb(place), self.ntt.limb(t));
            basis.table(t).forward_with(
                limb,
                |start, part| kernel::reduce_small(part, &error[start..start + part.len()], modulus),
                |start, part| {
                    let range = start..start + part.len();
                    kernel::mul_add_assign(part, &mask[range.clone()], &secret[range], modulus);
                    kernel::neg_assign(part, modulus);
                },
            );
        });
        Ok(KeyDigit { b, a, seed: Some(seed) })
    }
}

/// A fresh centered binomial error.
pub(crate) fn sample_error(
    context: &Context,
    randomness: &mut impl RandomSource,
) -> Result<Wiped<i8>, RandomnessError> {
    let mut error = Wiped::any(context.degree());
    sample::error(&mut Stream::new(&*randomness.key()?, Domain::Error, 0, 0), &mut error);
    Ok(error)
}

/// An encryption of zero that anyone can encrypt with.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicKey {
    context: Arc<Context>,
    pair: (Poly<Ntt>, Poly<Ntt>),
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.params_id() == other.params_id()
    }
}

impl PublicKey {
    /// A public key from its two parts over data and special primes; `None` for another shape.
    pub fn from_parts(context: &Arc<Context>, b: Poly<Ntt>, a: Poly<Ntt>) -> Option<Self> {
        let limbs = context.basis().len();
        let fits = |p: &Poly<Ntt>| p.degree() == context.degree() && p.limbs() == limbs;
        (fits(&a) && fits(&b)).then(|| Self { context: Arc::clone(context), pair: (b, a) })
    }

    /// The parameters it belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// (-(a s + e), a) over data and special primes.
    pub fn parts(&self) -> (&Poly<Ntt>, &Poly<Ntt>) {
        (&self.pair.0, &self.pair.1)
    }
}
