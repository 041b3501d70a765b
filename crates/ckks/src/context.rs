//! The arithmetic of one parameter set, shared by everything that computes on it.

use core::fmt;
use std::sync::Arc;

use hei_ring::crt::MixedRadix;
use hei_ring::modulus::Shoup;
use hei_ring::{Basis, Modulus, NttTable};
use sha2::{Digest, Sha256};

use crate::fft::SlotTransform;
use crate::keyswitch::SwitchTables;
use crate::parameters::{ParametersError, ParametersLiteral};

/// Identity of a parameter set: SHA-256 over degree, primes and distributions (preimage in `spec/wire.md`).
/// Scale and level are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamsId(pub [u8; 32]);

impl ParamsId {
    /// The identity of a chain: data primes, then special primes.
    pub fn new(degree: usize, data: &[u64], special: &[u64]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"hei/1 params\0");
        hash.update((degree as u64).to_le_bytes());
        for primes in [data, special] {
            hash.update((primes.len() as u64).to_le_bytes());
            for q in primes {
                hash.update(q.to_le_bytes());
            }
        }
        // Secret: 1 = uniform ternary. Error: 1 = centered binomial, with eta coins a side.
        hash.update([1, 1]);
        hash.update(hei_ring::sample::ERROR_ETA.to_le_bytes());
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ParamsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ParamsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParamsId({self})")
    }
}

/// Primes, transforms and constants of one parameter set.
///
/// Made by [`Parameters`](crate::Parameters), which vouches for its security; a context by itself vouches for nothing.
#[derive(Debug)]
pub struct Context {
    basis: Basis,
    data_count: usize,
    scale: f64,
    params_id: ParamsId,
    /// `divide[l][i]` = 1/prime_l mod prime_i for i < l, over data then special primes.
    divide: Vec<Vec<Shoup>>,
    radix: MixedRadix,
    transform: SlotTransform,
    switching: Option<SwitchTables>,
}

impl Context {
    pub(crate) fn from_literal(literal: &ParametersLiteral) -> Result<Arc<Self>, ParametersError> {
        literal.check()?;
        let primes = hei_ring::prime::chain_primes(literal.poly_modulus_degree, &literal.coeff_modulus_bits)?;
        let (data, special) = primes.split_at(primes.len() - literal.special_count);
        Self::from_primes(literal.poly_modulus_degree, data, special, literal.scale)
    }

    pub(crate) fn from_primes(
        degree: usize,
        data: &[u64],
        special: &[u64],
        scale: f64,
    ) -> Result<Arc<Self>, ParametersError> {
        ParametersLiteral::check_shape(degree, data.len(), special.len(), scale)?;
        let log2_q = crate::security::log2_product(data.iter().copied());
        if libm::log2(scale) >= log2_q {
            return Err(ParametersError::ScaleTooLarge { log2_scale: libm::log2(scale), log2_q });
        }
        let primes = [data, special].concat();
        let basis = Basis::new(degree, &primes)?;
        let divide = (0..primes.len())
            .map(|l| {
                let prime = primes[l];
                basis.moduli().take(l).map(|m| m.shoup(m.inv(m.reduce(prime)))).collect()
            })
            .collect();
        Ok(Arc::new(Self {
            radix: MixedRadix::new(&basis, data.len()),
            transform: SlotTransform::new(degree),
            switching: SwitchTables::new(&basis, data.len()),
            params_id: ParamsId::new(degree, data, special),
            data_count: data.len(),
            basis,
            scale,
            divide,
        }))
    }

    /// N.
    #[inline]
    pub fn degree(&self) -> usize {
        self.basis.degree()
    }

    /// Numbers a plaintext holds: N/2.
    #[inline]
    pub fn slots(&self) -> usize {
        self.degree() / 2
    }

    /// Level of a fresh ciphertext: data primes minus one.
    #[inline]
    pub fn max_level(&self) -> usize {
        self.data_count - 1
    }

    /// The scale fresh values are encoded at by default.
    #[inline]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Identity of the set.
    #[inline]
    pub fn params_id(&self) -> ParamsId {
        self.params_id
    }

    /// Data primes q_0 … q_L.
    pub fn data_moduli(&self) -> impl ExactSizeIterator<Item = &Modulus> + Clone {
        self.basis.moduli().take(self.data_count)
    }

    /// Special primes, used by key switching only.
    pub fn special_moduli(&self) -> impl ExactSizeIterator<Item = &Modulus> + Clone {
        self.basis.moduli().skip(self.data_count)
    }

    /// Bit sizes of all primes, data then special.
    pub fn chain_bits(&self) -> Vec<u32> {
        self.basis.moduli().map(Modulus::bits).collect()
    }

    /// All primes with their transforms: data, then special.
    #[inline]
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Number of data primes.
    #[inline]
    pub fn data_count(&self) -> usize {
        self.data_count
    }

    /// Number of special primes.
    #[inline]
    pub fn special_count(&self) -> usize {
        self.basis.len() - self.data_count
    }

    /// log2 of q_0 … q_level.
    pub fn log2_modulus(&self, level: usize) -> f64 {
        crate::security::log2_product(self.data_moduli().take(level + 1).map(Modulus::value))
    }

    pub(crate) fn radix(&self) -> &MixedRadix {
        &self.radix
    }

    pub(crate) fn transform(&self) -> &SlotTransform {
        &self.transform
    }

    /// Constants of key switching; `None` without special primes.
    pub(crate) fn switching(&self) -> Option<&SwitchTables> {
        self.switching.as_ref()
    }

    /// 1/prime_l modulo an earlier prime.
    pub(crate) fn inverse_of(&self, l: usize, earlier: usize) -> Shoup {
        self.divide[l][earlier]
    }

    /// 1/prime_l modulo the given earlier primes.
    pub(crate) fn inverses_of(&self, l: usize, earlier: impl Iterator<Item = usize>) -> Vec<Shoup> {
        earlier.map(|i| self.divide[l][i]).collect()
    }

    pub(crate) fn tables(&self, indices: impl Iterator<Item = usize>) -> Vec<&NttTable> {
        indices.map(|i| self.basis.table(i)).collect()
    }
}
