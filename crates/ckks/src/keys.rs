//! Secret, public and evaluation keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use hei_ring::automorphism::permute;
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{Coeff, GaloisElement, Ntt, Poly};
use zeroize::{Zeroize, Zeroizing};

use crate::context::Context;
use crate::randomness::{RandomSource, RandomnessError};

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
        let ternary = coefficients.iter().all(|c| (-1..=1).contains(c));
        if coefficients.len() != context.degree() || !ternary || coefficients.iter().all(|c| *c == 0) {
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
        let pair = self.zero_pair(randomness)?;
        Ok(PublicKey { context: Arc::clone(&self.context), pair })
    }

    /// The key that brings a product back from three parts to two.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn relin_key(&self, randomness: &mut impl RandomSource) -> Result<RelinKey, RandomnessError> {
        let mut square = Zeroizing::new(self.ntt.clone());
        self.context.basis().mul_assign(&mut square, &self.ntt);
        Ok(RelinKey(self.switch_key(&square, randomness)?))
    }

    /// Keys for exactly the given Galois elements.
    ///
    /// # Errors
    /// [`RandomnessError`].
    pub fn galois_keys(
        &self,
        elements: &[GaloisElement],
        randomness: &mut impl RandomSource,
    ) -> Result<GaloisKeys, RandomnessError> {
        let mut keys = BTreeMap::new();
        for &element in elements {
            let permutation = element.permutation(self.context.degree());
            let moved = Zeroizing::new(permute(&self.ntt, &permutation));
            keys.insert(element, GaloisKey { permutation, key: self.switch_key(&moved, randomness)? });
        }
        Ok(GaloisKeys(keys))
    }

    /// A key that re-encrypts from `from` (over data and special primes) to this secret: digit j is an encryption of zero
    /// whose first part has (P mod q_j) · from added on limb j (SEAL's layout; J.-C. Bajard et al., ia.cr/2016/510, with
    /// special primes as in ia.cr/2012/099).
    fn switch_key(
        &self,
        from: &Poly<Ntt>,
        randomness: &mut impl RandomSource,
    ) -> Result<SwitchKey, RandomnessError> {
        let context = &self.context;
        let digits = (0..context.data_count())
            .map(|j| {
                let (mut b, a) = self.zero_pair(randomness)?;
                let modulus = context.basis().modulus(j);
                let special = context
                    .special_moduli()
                    .fold(1, |product, p| modulus.mul(product, modulus.reduce(p.value())));
                hei_ring::kernel::mul_scalar_add_assign(
                    b.limb_mut(j),
                    from.limb(j),
                    modulus.shoup(special),
                    modulus,
                );
                Ok((b, a))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(SwitchKey { digits })
    }

    /// (-(a s + e), a) over data and special primes.
    fn zero_pair(
        &self,
        randomness: &mut impl RandomSource,
    ) -> Result<(Poly<Ntt>, Poly<Ntt>), RandomnessError> {
        let basis = self.context.basis();
        let a: Poly<Ntt> = crate::values::MaskSeed(*randomness.key()?).expand(&self.context, basis.len());
        let mut b = a.clone();
        basis.mul_assign(&mut b, &self.ntt);
        let error = Zeroizing::new(basis.forward(sample_error(&self.context, basis.len(), randomness)?));
        basis.add_assign(&mut b, &error);
        basis.neg_assign(&mut b);
        Ok((b, a))
    }
}

/// A fresh centered binomial error over the first `limbs` primes.
pub(crate) fn sample_error(
    context: &Context,
    limbs: usize,
    randomness: &mut impl RandomSource,
) -> Result<Poly<Coeff>, RandomnessError> {
    let mut error = Zeroizing::new(vec![0i8; context.degree()]);
    sample::error(&mut Stream::new(&*randomness.key()?, Domain::Error, 0, 0), &mut error);
    Ok(context.basis().from_small(&error, limbs))
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

/// Re-encrypts from one secret to another: one pair of polynomials over all primes for each data prime.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchKey {
    digits: Vec<(Poly<Ntt>, Poly<Ntt>)>,
}

impl SwitchKey {
    /// A key from its digits, as many as data primes, each over data and special primes; `None` for another shape.
    pub fn from_digits(context: &Context, digits: Vec<(Poly<Ntt>, Poly<Ntt>)>) -> Option<Self> {
        let fits = |p: &Poly<Ntt>| p.degree() == context.degree() && p.limbs() == context.basis().len();
        (digits.len() == context.data_count() && digits.iter().all(|(b, a)| fits(b) && fits(a)))
            .then_some(Self { digits })
    }

    /// Its digits.
    pub fn digits(&self) -> &[(Poly<Ntt>, Poly<Ntt>)] {
        &self.digits
    }
}

/// The key that brings a product back to two parts: from s² to s.
#[derive(Debug, Clone, PartialEq)]
pub struct RelinKey(pub SwitchKey);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GaloisKey {
    pub(crate) permutation: Vec<u32>,
    pub(crate) key: SwitchKey,
}

/// Keys for some Galois elements: from s(X^g) to s.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GaloisKeys(pub(crate) BTreeMap<GaloisElement, GaloisKey>);

impl GaloisKeys {
    /// Keys from their elements.
    pub fn from_keys(context: &Context, keys: impl IntoIterator<Item = (GaloisElement, SwitchKey)>) -> Self {
        let with = |(g, key): (GaloisElement, SwitchKey)| {
            (g, GaloisKey { permutation: g.permutation(context.degree()), key })
        };
        Self(keys.into_iter().map(with).collect())
    }

    /// The elements there are keys for, ascending.
    pub fn elements(&self) -> impl Iterator<Item = GaloisElement> + '_ {
        self.0.keys().copied()
    }

    /// The key for an element.
    pub fn key(&self, element: GaloisElement) -> Option<&SwitchKey> {
        self.0.get(&element).map(|k| &k.key)
    }
}
