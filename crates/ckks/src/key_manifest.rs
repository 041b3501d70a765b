//! Which evaluation keys a computation needs: no fewer, no more, and none higher than it is used.

use std::collections::BTreeMap;

use hei_ring::{GaloisElement, Modulus};

use crate::context::Context;
use crate::evaluation_keys::{EvaluationKeys, SwitchKey};

/// The evaluation keys of a computation, each with the highest level it is used at.
///
/// A key for level l serves every level below; it holds (l + 1 + specials) limbs for each of its digits only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyManifest {
    relinearization: Option<usize>,
    galois: BTreeMap<GaloisElement, usize>,
}

/// A key that is missing, or that does not reach the level it is needed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingKey {
    /// The relinearization key.
    Relinearization {
        /// Level it must reach.
        level: usize,
    },
    /// A Galois key.
    Galois {
        /// Its element.
        element: GaloisElement,
        /// Level it must reach.
        level: usize,
    },
}

impl KeyManifest {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds relinearization at a level.
    pub fn need_relinearization(&mut self, level: usize) {
        self.relinearization = Some(self.relinearization.map_or(level, |known| known.max(level)));
    }

    /// Adds an automorphism at a level; the identity needs no key.
    pub fn need_galois(&mut self, element: GaloisElement, level: usize) {
        if element.value() != 1 {
            let known = self.galois.entry(element).or_insert(level);
            *known = level.max(*known);
        }
    }

    /// Adds a rotation at a level.
    pub fn need_rotation(&mut self, context: &Context, step: i64, level: usize) {
        self.need_galois(GaloisElement::rotation(step, context.degree()), level);
    }

    /// Adds what another computation needs.
    pub fn merge(&mut self, other: &Self) {
        if let Some(level) = other.relinearization {
            self.need_relinearization(level);
        }
        for (element, level) in other.galois() {
            self.need_galois(element, level);
        }
    }

    /// Level of the relinearization key, if one is needed.
    pub fn relinearization(&self) -> Option<usize> {
        self.relinearization
    }

    /// Galois elements with the level of their key, ascending.
    pub fn galois(&self) -> impl ExactSizeIterator<Item = (GaloisElement, usize)> + '_ {
        self.galois.iter().map(|(element, level)| (*element, *level))
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.relinearization.is_none() && self.galois.is_empty()
    }

    /// What `keys` lack.
    pub fn missing(&self, keys: &EvaluationKeys) -> Vec<MissingKey> {
        let relin = keys.relinearization.as_ref().map(|key| key.0.level());
        let mut missing: Vec<_> = self
            .relinearization
            .filter(|level| relin.is_none_or(|have| have < *level))
            .map(|level| MissingKey::Relinearization { level })
            .into_iter()
            .collect();
        missing.extend(
            self.galois()
                .filter(|(element, level)| keys.galois.level(*element).is_none_or(|have| have < *level))
                .map(|(element, level)| MissingKey::Galois { element, level }),
        );
        missing
    }

    /// Payload bytes of all these keys in seeded `hei/1` form, headers excepted; see [`switch_key_bytes`].
    pub fn bytes(&self, context: &Context) -> usize {
        let levels = self.relinearization.into_iter().chain(self.galois.values().copied());
        levels.map(|level| switch_key_bytes(context, level)).sum()
    }

    /// Bytes of all these keys in memory: two polynomials of 64-bit words for each digit, and a permutation of 32-bit
    /// words for each Galois key.
    pub fn memory(&self, context: &Context) -> usize {
        let key = |level| {
            2 * 8
                * context.degree()
                * SwitchKey::moduli(context, level).len()
                * SwitchKey::digit_count(context, level)
        };
        let galois = self.galois.values().map(|level| key(*level) + 4 * context.degree());
        self.relinearization.map_or(0, key) + galois.sum::<usize>()
    }
}

/// Payload bytes of one seeded key for a level: for each digit a 32-byte seed and one polynomial, each residue at the bit
/// length of its prime, each limb filled up to whole bytes.
pub fn switch_key_bytes(context: &Context, level: usize) -> usize {
    let limb = |m: &Modulus| (context.degree() * m.bits() as usize).div_ceil(8);
    let polynomial: usize = SwitchKey::moduli(context, level).map(limb).sum();
    SwitchKey::digit_count(context, level) * (32 + polynomial)
}
