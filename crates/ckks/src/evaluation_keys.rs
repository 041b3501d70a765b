//! Keys that an evaluator computes with: they hold no secret that it could read.

use std::collections::BTreeMap;

use hei_ring::automorphism::permute;
use hei_ring::parallel::{self, Work};
use hei_ring::sample::{Domain, Stream, uniform};
use hei_ring::{Form, GaloisElement, Modulus, Ntt, Poly};

use crate::context::{Context, ParamsId};
use crate::keyswitch::{digit_groups, prime_index};
use crate::values::MaskSeed;

/// The mask of a key digit over the data primes of a level and the special primes.
///
/// A limb's stream is named by the place of its prime in the whole chain, so the mask of a key for a lower level is the same
/// without some limbs.
pub(crate) fn expand_mask<F: Form>(context: &Context, level: usize, seed: MaskSeed) -> Poly<F> {
    let mut mask = Poly::zero(context.degree(), key_limbs(context, level));
    let words = mask.data().len();
    parallel::each(Work::Transform, words, mask.iter_mut().enumerate(), |(place, limb)| {
        let t = prime_index(context, level, place);
        uniform(&mut Stream::new(&seed.0, Domain::Mask, 1, t as u32), context.basis().modulus(t), limb);
    });
    mask
}

fn key_limbs(context: &Context, level: usize) -> usize {
    level + 1 + context.special_count()
}

/// One digit of a [`SwitchKey`]: (b, a) with b + a s = P · s' on the primes of the digit's group and 0 on the others, plus
/// an error.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDigit {
    pub(crate) b: Poly<Ntt>,
    pub(crate) a: Poly<Ntt>,
    pub(crate) seed: Option<MaskSeed>,
}

impl KeyDigit {
    /// A digit from its two polynomials, over the data primes of the key's level and the special primes.
    pub fn new(b: Poly<Ntt>, a: Poly<Ntt>) -> Self {
        Self { b, a, seed: None }
    }

    /// A digit of a key for `level` from its first polynomial and the seed of the second, which is expanded as
    /// `spec/wire.md` says with the place of each prime in the whole chain as its limb number.
    pub fn from_seed(context: &Context, level: usize, b: Poly<Ntt>, seed: MaskSeed) -> Self {
        let a = expand_mask(context, level.min(context.max_level()), seed);
        Self { b, a, seed: Some(seed) }
    }

    /// (b, a).
    pub fn parts(&self) -> (&Poly<Ntt>, &Poly<Ntt>) {
        (&self.b, &self.a)
    }

    /// The seed a was expanded from, if it was.
    pub fn seed(&self) -> Option<MaskSeed> {
        self.seed
    }
}

/// Re-encrypts from one secret to another, for ciphertexts at a level and below: a digit for each group of data primes
/// ([`SwitchKey::digit_count`]), each over the data primes of the level and all special primes.
///
/// A key for a lower level is an encryption under the same secret with the same error modulo a divisor of QP: it is at least
/// as hard to break as a whole key.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchKey {
    pub(crate) params_id: ParamsId,
    pub(crate) level: usize,
    pub(crate) digits: Vec<KeyDigit>,
}

impl SwitchKey {
    /// Digits of a key for a level: one for each group of as many data primes as there are special ones.
    pub fn digit_count(context: &Context, level: usize) -> usize {
        digit_groups(context, level).count()
    }

    /// The primes of a key for a level, in the order of its limbs.
    pub fn moduli(context: &Context, level: usize) -> impl ExactSizeIterator<Item = &Modulus> + Clone {
        (0..key_limbs(context, level))
            .map(move |place| context.basis().modulus(prime_index(context, level, place)))
    }

    /// A key for a level from its digits; `None` for another shape.
    ///
    /// Residues are the caller's promise: each below its prime.
    pub fn from_digits(context: &Context, level: usize, digits: Vec<KeyDigit>) -> Option<Self> {
        let possible = level <= context.max_level() && context.special_count() > 0;
        let limbs = key_limbs(context, level);
        let fits = |p: &Poly<Ntt>| p.degree() == context.degree() && p.limbs() == limbs;
        let shaped = digits.iter().all(|digit| fits(&digit.b) && fits(&digit.a));
        (possible && shaped && digits.len() == Self::digit_count(context, level)).then(|| Self {
            params_id: context.params_id(),
            level,
            digits,
        })
    }

    /// The highest level it switches.
    pub fn level(&self) -> usize {
        self.level
    }

    /// Its digits, ascending.
    pub fn digits(&self) -> &[KeyDigit] {
        &self.digits
    }

    /// The same key for `level` and below only: limbs and digits are left out. `None` above the key's own level.
    pub fn trimmed(&self, context: &Context, level: usize) -> Option<Self> {
        if level > self.level || self.params_id != context.params_id() {
            return None;
        }
        let trim = |poly: &Poly<Ntt>| {
            let mut out = Poly::zero(poly.degree(), key_limbs(context, level));
            for (place, limb) in out.iter_mut().enumerate() {
                let from = if place <= level { place } else { place + self.level - level };
                limb.copy_from_slice(poly.limb(from));
            }
            out
        };
        let digits = self.digits[..Self::digit_count(context, level)]
            .iter()
            .map(|d| KeyDigit { b: trim(&d.b), a: trim(&d.a), seed: d.seed })
            .collect();
        Some(Self { params_id: self.params_id, level, digits })
    }

    fn permuted(&self, permutation: &[u32]) -> Self {
        let digits = self
            .digits
            .iter()
            .map(|d| KeyDigit { b: permute(&d.b, permutation), a: permute(&d.a, permutation), seed: d.seed })
            .collect();
        Self { params_id: self.params_id, level: self.level, digits }
    }
}

/// The key that brings a product back to two parts: from s² to s.
#[derive(Debug, Clone, PartialEq)]
pub struct RelinKey(pub SwitchKey);

/// A key for one element, kept as it is used: moved by the inverse of the element, so that the digits of a ciphertext are
/// multiplied as they are and only the two sums are permuted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GaloisKey {
    pub(crate) permutation: Vec<u32>,
    pub(crate) moved: SwitchKey,
}

/// Keys for some Galois elements: from s(X^g) to s.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GaloisKeys(BTreeMap<GaloisElement, GaloisKey>);

impl GaloisKeys {
    /// Keys from their elements.
    pub fn from_keys(context: &Context, keys: impl IntoIterator<Item = (GaloisElement, SwitchKey)>) -> Self {
        let mut all = Self::default();
        for (element, key) in keys {
            all.insert(element, element.permutation(context.degree()), &key);
        }
        all
    }

    pub(crate) fn insert(&mut self, element: GaloisElement, permutation: Vec<u32>, key: &SwitchKey) {
        let moved = key.permuted(&inverse(&permutation));
        self.0.insert(element, GaloisKey { permutation, moved });
    }

    /// The elements there are keys for, ascending.
    pub fn elements(&self) -> impl Iterator<Item = GaloisElement> + '_ {
        self.0.keys().copied()
    }

    /// The highest level of the key for an element.
    pub fn level(&self, element: GaloisElement) -> Option<usize> {
        self.0.get(&element).map(|key| key.moved.level)
    }

    /// The key for an element, as it is written down.
    pub fn key(&self, element: GaloisElement) -> Option<SwitchKey> {
        self.0.get(&element).map(|key| key.moved.permuted(&key.permutation))
    }

    pub(crate) fn ready(&self, element: GaloisElement) -> Option<&GaloisKey> {
        self.0.get(&element)
    }
}

/// `inverse[permutation[i]] = i`.
fn inverse(permutation: &[u32]) -> Vec<u32> {
    let mut inverse = vec![0; permutation.len()];
    for (i, source) in permutation.iter().enumerate() {
        inverse[*source as usize] = i as u32;
    }
    inverse
}

/// All keys of an evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EvaluationKeys {
    /// For products of ciphertexts.
    pub relinearization: Option<RelinKey>,
    /// For rotations and conjugations.
    pub galois: GaloisKeys,
}
