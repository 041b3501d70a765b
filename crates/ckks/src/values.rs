//! Plaintexts and ciphertexts.

use hei_ring::parallel::{self, Work};
use hei_ring::sample::{Domain, Stream, uniform};
use hei_ring::{Form, Ntt, Poly};
use zeroize::Zeroize;

use crate::context::Context;

/// Seed of a public mask. A ciphertext that carries one can leave its second part out on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskSeed(pub [u8; 32]);

impl MaskSeed {
    /// The mask for part 1 over the first `limbs` primes, filled directly in the domain `F` (`spec/wire.md`).
    pub fn expand<F: Form>(&self, context: &Context, limbs: usize) -> Poly<F> {
        let mut mask = Poly::zero(context.degree(), limbs);
        let words = limbs * context.degree();
        parallel::each(Work::Transform, words, mask.iter_mut().enumerate(), |(i, limb)| {
            let mut stream = Stream::new(&self.0, Domain::Mask, 1, i as u32);
            uniform(&mut stream, context.basis().modulus(i), limb);
        });
        mask
    }
}

/// Polynomials that cannot be one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A ciphertext has two or three parts.
    #[error("{0} parts: a ciphertext has 2, or 3 after a product")]
    Parts(usize),
    /// All parts have the degree and a number of limbs of the context.
    #[error("a part is not over the data primes of these parameters")]
    Limbs,
    /// Scales are positive and finite.
    #[error("the scale is not a positive finite number")]
    Scale,
}

fn check_scale(scale: f64) -> Result<(), ShapeError> {
    if scale.is_normal() && scale > 0.0 { Ok(()) } else { Err(ShapeError::Scale) }
}

/// An encoded vector: message times scale, rounded, in the NTT domain. Wiped on drop.
pub struct Plaintext {
    poly: Poly<Ntt>,
    scale: f64,
}

impl Plaintext {
    /// A plaintext from its polynomial over the first data primes of a context.
    ///
    /// # Errors
    /// [`ShapeError`] when it is none.
    pub fn new(context: &Context, poly: Poly<Ntt>, scale: f64) -> Result<Self, ShapeError> {
        check_scale(scale)?;
        if poly.degree() != context.degree() || poly.limbs() > context.data_count() {
            return Err(ShapeError::Limbs);
        }
        Ok(Self { poly, scale })
    }

    pub(crate) fn from_parts(poly: Poly<Ntt>, scale: f64) -> Self {
        Self { poly, scale }
    }

    /// The polynomial.
    pub fn poly(&self) -> &Poly<Ntt> {
        &self.poly
    }

    /// Message times scale is what the polynomial holds.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Limbs minus one.
    pub fn level(&self) -> usize {
        self.poly.limbs() - 1
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.poly.zeroize();
    }
}

/// An encrypted vector: (c_0, c_1) with c_0 + c_1 s = scale · message + noise; (c_0, c_1, c_2) after a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Ciphertext {
    parts: Vec<Poly<Ntt>>,
    scale: f64,
    seed: Option<MaskSeed>,
}

impl Ciphertext {
    /// A ciphertext from its parts, all over the same first data primes of a context.
    ///
    /// # Errors
    /// [`ShapeError`] when they are none.
    pub fn new(context: &Context, parts: Vec<Poly<Ntt>>, scale: f64) -> Result<Self, ShapeError> {
        check_scale(scale)?;
        if !(2..=3).contains(&parts.len()) {
            return Err(ShapeError::Parts(parts.len()));
        }
        let limbs = parts[0].limbs();
        if limbs > context.data_count()
            || parts.iter().any(|p| p.degree() != context.degree() || p.limbs() != limbs)
        {
            return Err(ShapeError::Limbs);
        }
        Ok(Self { parts, scale, seed: None })
    }

    /// A fresh ciphertext from c_0 and the seed of c_1.
    ///
    /// # Errors
    /// [`ShapeError`] when c_0 is not over the context.
    pub fn from_seed(
        context: &Context,
        c0: Poly<Ntt>,
        seed: MaskSeed,
        scale: f64,
    ) -> Result<Self, ShapeError> {
        if c0.limbs() > context.data_count() {
            return Err(ShapeError::Limbs);
        }
        let mask = seed.expand(context, c0.limbs());
        let mut ciphertext = Self::new(context, vec![c0, mask], scale)?;
        ciphertext.seed = Some(seed);
        Ok(ciphertext)
    }

    pub(crate) fn from_parts(parts: Vec<Poly<Ntt>>, scale: f64) -> Self {
        Self { parts, scale, seed: None }
    }

    pub(crate) fn with_seed(mut self, seed: MaskSeed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// c_0, c_1 and, after a product, c_2.
    pub fn parts(&self) -> &[Poly<Ntt>] {
        &self.parts
    }

    pub(crate) fn parts_mut(&mut self) -> &mut [Poly<Ntt>] {
        // Whatever changes the parts makes the seed a lie.
        self.seed = None;
        &mut self.parts
    }

    /// Message times scale is what decryption finds.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Adds a part, of the shape of the others.
    pub(crate) fn push_part(&mut self, part: Poly<Ntt>) {
        self.seed = None;
        self.parts.push(part);
    }

    pub(crate) fn set_scale(&mut self, scale: f64) {
        self.scale = scale;
    }

    /// Rescalings still possible: limbs minus one.
    pub fn level(&self) -> usize {
        self.parts[0].limbs() - 1
    }

    /// The seed c_1 was expanded from, while c_1 still is that expansion.
    pub fn seed(&self) -> Option<MaskSeed> {
        self.seed
    }
}
