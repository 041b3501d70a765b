//! Computing on ciphertexts. Nothing here needs, or could use, a secret.

use std::sync::Arc;

use hei_ring::automorphism::permute;
use hei_ring::modulus::Shoup;
use hei_ring::{Basis, GaloisElement, Poly};

use crate::context::Context;
use crate::encoder::residue_of;
use crate::keys::{GaloisKeys, RelinKey};
use crate::keyswitch;
use crate::values::{Ciphertext, Plaintext};

/// Why an operation was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluatorError {
    /// Operands at different levels.
    #[error("operands are at levels {left} and {right}: drop the higher one with drop_to_level")]
    Level {
        /// Level of the first operand.
        left: usize,
        /// Level of the second operand.
        right: usize,
    },
    /// Operands at different scales.
    #[error("operands have scales {left} and {right}: only equal scales can be added")]
    Scale {
        /// Scale of the first operand.
        left: f64,
        /// Scale of the second operand.
        right: f64,
    },
    /// The product's scale leaves no room below the modulus.
    #[error(
        "a scale of 2^{log2_scale:.1} exceeds the modulus of {log2_modulus:.1} bits at this level: rescale first"
    )]
    ScaleTooLarge {
        /// log2 of the resulting scale.
        log2_scale: f64,
        /// log2 of the modulus.
        log2_modulus: f64,
    },
    /// No level left to rescale to.
    #[error("no level left: the ciphertext is at level 0")]
    NoLevelLeft,
    /// Dropping only goes down.
    #[error("a ciphertext at level {from} cannot be raised to level {to}")]
    Raise {
        /// Level it has.
        from: usize,
        /// Level asked for.
        to: usize,
    },
    /// The operation is for ciphertexts of another number of parts.
    #[error("the operation takes ciphertexts of {expected} parts, this one has {actual}")]
    Parts {
        /// Parts it takes.
        expected: usize,
        /// Parts it was given.
        actual: usize,
    },
    /// Another ring.
    #[error("the operand is of other parameters")]
    Parameters,
    /// No key for that automorphism.
    #[error("no key for Galois element {0}")]
    MissingGaloisKey(u64),
    /// Parameters without special primes cannot switch keys.
    #[error("these parameters have no special prime, so they cannot switch keys")]
    NoSpecialPrime,
    /// NaN or infinite scalar or scale.
    #[error("a scalar or scale is not a finite number, or the scale is not positive")]
    NotFinite,
}

/// Evaluates on ciphertexts of one context. Cheap to clone, shareable between threads.
#[derive(Debug, Clone)]
pub struct Evaluator {
    context: Arc<Context>,
}

type Result<T> = core::result::Result<T, EvaluatorError>;

impl Evaluator {
    /// An evaluator for a context.
    pub fn new(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context) }
    }

    /// The parameters it computes over.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// a + b. Equal levels and scales; noise adds.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn add(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext> {
        let mut sum = a.clone();
        self.add_assign(&mut sum, b)?;
        Ok(sum)
    }

    /// a += b.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn add_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<()> {
        self.linear(a, b, |basis, x, y| basis.add_assign(x, y))
    }

    /// a - b. Equal levels and scales; noise adds.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn sub(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext> {
        let mut difference = a.clone();
        self.linear(&mut difference, b, |basis, x, y| basis.sub_assign(x, y))?;
        Ok(difference)
    }

    /// -a.
    ///
    /// # Errors
    /// [`EvaluatorError::Parameters`].
    pub fn negate(&self, a: &Ciphertext) -> Result<Ciphertext> {
        self.check(a)?;
        let mut out = a.clone();
        for part in out.parts_mut() {
            self.context.basis().neg_assign(part);
        }
        Ok(out)
    }

    /// a + p. Equal levels and scales; no noise added beyond the encoding's rounding.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn add_plain(&self, a: &Ciphertext, plaintext: &Plaintext) -> Result<Ciphertext> {
        self.check(a)?;
        self.check_plain(a, plaintext)?;
        same_scale(a.scale(), plaintext.scale())?;
        let mut out = a.clone();
        self.context.basis().add_assign(&mut out.parts_mut()[0], plaintext.poly());
        Ok(out)
    }

    /// a + value in every slot.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: no transform, a constant is the same word at every root.
    pub fn add_scalar(&self, a: &Ciphertext, value: f64) -> Result<Ciphertext> {
        self.check(a)?;
        let constant = value * a.scale();
        if !constant.is_finite() {
            return Err(EvaluatorError::NotFinite);
        }
        let mut out = a.clone();
        let basis = self.context.basis();
        for (limb, modulus) in out.parts_mut()[0].iter_mut().zip(basis.moduli()) {
            hei_ring::kernel::add_scalar_assign(limb, residue_of(constant, modulus), modulus);
        }
        Ok(out)
    }

    /// a · p, slot by slot. The scales multiply; noise grows by the size of p.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one pass over the limbs.
    pub fn multiply_plain(&self, a: &Ciphertext, plaintext: &Plaintext) -> Result<Ciphertext> {
        self.check(a)?;
        self.check_plain(a, plaintext)?;
        let scale = self.product_scale(a, plaintext.scale())?;
        let mut out = a.clone();
        for part in out.parts_mut() {
            self.context.basis().mul_assign(part, plaintext.poly());
        }
        out.set_scale(scale);
        Ok(out)
    }

    /// a · value in every slot, the value encoded as round(value · scale). The scales multiply.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one pass over the limbs.
    pub fn multiply_scalar(&self, a: &Ciphertext, value: f64, scale: f64) -> Result<Ciphertext> {
        let (product_scale, scalars) = self.scalars(a, value, scale)?;
        let mut out = a.clone();
        for part in out.parts_mut() {
            self.context.basis().mul_scalar_assign(part, &scalars);
        }
        out.set_scale(product_scale);
        Ok(out)
    }

    /// sum += a · value: [`multiply_scalar`](Self::multiply_scalar) and [`add`](Self::add) in one pass.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn multiply_scalar_add_assign(
        &self,
        sum: &mut Ciphertext,
        a: &Ciphertext,
        value: f64,
        scale: f64,
    ) -> Result<()> {
        let (product_scale, scalars) = self.scalars(a, value, scale)?;
        self.check_pair(sum, a)?;
        same_scale(sum.scale(), product_scale)?;
        for (out, part) in sum.parts_mut().iter_mut().zip(a.parts()) {
            self.context.basis().mul_scalar_add_assign(out, part, &scalars);
        }
        Ok(())
    }

    /// a · b, of three parts. The scales multiply.
    ///
    /// # Errors
    /// [`EvaluatorError`], among them [`Parts`](EvaluatorError::Parts) unless both have two.
    pub fn multiply(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext> {
        self.check_pair(a, b)?;
        let ([a0, a1], [b0, b1]) = (two_parts(a)?, two_parts(b)?);
        let scale = self.product_scale(a, b.scale())?;
        let basis = self.context.basis();
        let product = |x: &Poly<_>, y: &Poly<_>| {
            let mut out = x.clone();
            basis.mul_assign(&mut out, y);
            out
        };
        let mut middle = product(a0, b1);
        basis.mul_add_assign(&mut middle, a1, b0);
        Ok(Ciphertext::from_parts(vec![product(a0, b0), middle, product(a1, b1)], scale))
    }

    /// Three parts back to two. Scale and level stay.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch.
    pub fn relinearize(&self, a: &Ciphertext, key: &RelinKey) -> Result<Ciphertext> {
        self.check(a)?;
        self.check_switch()?;
        let [c0, c1, c2] = a.parts() else {
            return Err(EvaluatorError::Parts { expected: 3, actual: a.parts().len() });
        };
        let (mut k0, mut k1) = keyswitch::switch(&self.context, c2, &key.0);
        let basis = self.context.basis();
        basis.add_assign(&mut k0, c0);
        basis.add_assign(&mut k1, c1);
        Ok(Ciphertext::from_parts(vec![k0, k1], a.scale()))
    }

    /// Divides by the last prime: one level down, the scale divided by that prime exactly as a double quotient.
    ///
    /// Noise is divided too, plus a rounding of variance (1 + 2N/3)/12 per coefficient.
    ///
    /// # Errors
    /// [`EvaluatorError::NoLevelLeft`] at level 0. Cost: per part, one inverse NTT and one NTT per limb kept.
    pub fn rescale(&self, a: &Ciphertext) -> Result<Ciphertext> {
        self.check(a)?;
        let level = a.level();
        if level == 0 {
            return Err(EvaluatorError::NoLevelLeft);
        }
        let last = self.context.basis().modulus(level).value();
        let tables = self.context.tables(0..level + 1);
        let inverses = self.context.inverses_of(level, 0..level);
        let parts =
            a.parts().iter().map(|p| Basis::divide_round_last(p.clone(), &tables, &inverses)).collect();
        Ok(Ciphertext::from_parts(parts, a.scale() / last as f64))
    }

    /// Leaves out limbs: the same message and scale at a lower level, exactly.
    ///
    /// # Errors
    /// [`EvaluatorError::Raise`].
    pub fn drop_to_level(&self, a: &Ciphertext, level: usize) -> Result<Ciphertext> {
        self.check(a)?;
        if level > a.level() {
            return Err(EvaluatorError::Raise { from: a.level(), to: level });
        }
        if level == a.level() {
            return Ok(a.clone());
        }
        let parts = a.parts().iter().map(|p| p.first_limbs(level + 1)).collect();
        Ok(Ciphertext::from_parts(parts, a.scale()))
    }

    /// Rotates slots to the left by `step`: slot i of the result is slot i + step.
    ///
    /// # Errors
    /// [`EvaluatorError`], among them [`MissingGaloisKey`](EvaluatorError::MissingGaloisKey). Cost: one key switch.
    pub fn rotate(&self, a: &Ciphertext, step: i64, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply(a, GaloisElement::rotation(step, self.context.degree()), keys)
    }

    /// Conjugates every slot.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch.
    pub fn conjugate(&self, a: &Ciphertext, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply(a, GaloisElement::conjugation(self.context.degree()), keys)
    }

    fn apply(&self, a: &Ciphertext, element: GaloisElement, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.check(a)?;
        let [c0, c1] = two_parts(a)?;
        if element.value() == 1 {
            return Ok(a.clone());
        }
        self.check_switch()?;
        let key = keys.0.get(&element).ok_or(EvaluatorError::MissingGaloisKey(element.value()))?;
        let (mut k0, k1) = keyswitch::switch(&self.context, &permute(c1, &key.permutation), &key.key);
        self.context.basis().add_assign(&mut k0, &permute(c0, &key.permutation));
        Ok(Ciphertext::from_parts(vec![k0, k1], a.scale()))
    }

    fn scalars(&self, a: &Ciphertext, value: f64, scale: f64) -> Result<(f64, Vec<Shoup>)> {
        self.check(a)?;
        let constant = value * scale;
        if !constant.is_finite() || !scale.is_normal() || scale <= 0.0 {
            return Err(EvaluatorError::NotFinite);
        }
        let product_scale = self.product_scale(a, scale)?;
        let moduli = self.context.basis().moduli().take(a.level() + 1);
        Ok((product_scale, moduli.map(|m| m.shoup(residue_of(constant, m))).collect()))
    }

    fn product_scale(&self, a: &Ciphertext, factor: f64) -> Result<f64> {
        let scale = a.scale() * factor;
        let (log2_scale, log2_modulus) = (libm::log2(scale), self.context.log2_modulus(a.level()));
        if log2_scale < log2_modulus {
            Ok(scale)
        } else {
            Err(EvaluatorError::ScaleTooLarge { log2_scale, log2_modulus })
        }
    }

    fn linear(
        &self,
        a: &mut Ciphertext,
        b: &Ciphertext,
        f: impl Fn(&Basis, &mut Poly<hei_ring::Ntt>, &Poly<hei_ring::Ntt>),
    ) -> Result<()> {
        self.check_pair(a, b)?;
        same_scale(a.scale(), b.scale())?;
        if a.parts().len() != b.parts().len() {
            return Err(EvaluatorError::Parts { expected: a.parts().len(), actual: b.parts().len() });
        }
        for (x, y) in a.parts_mut().iter_mut().zip(b.parts()) {
            f(self.context.basis(), x, y);
        }
        Ok(())
    }

    fn check(&self, a: &Ciphertext) -> Result<()> {
        let fits = a.parts()[0].degree() == self.context.degree() && a.level() <= self.context.max_level();
        if fits { Ok(()) } else { Err(EvaluatorError::Parameters) }
    }

    fn check_pair(&self, a: &Ciphertext, b: &Ciphertext) -> Result<()> {
        self.check(a)?;
        self.check(b)?;
        if a.level() != b.level() {
            return Err(EvaluatorError::Level { left: a.level(), right: b.level() });
        }
        Ok(())
    }

    fn check_plain(&self, a: &Ciphertext, plaintext: &Plaintext) -> Result<()> {
        if plaintext.poly().degree() != self.context.degree() {
            return Err(EvaluatorError::Parameters);
        }
        if a.level() != plaintext.level() {
            return Err(EvaluatorError::Level { left: a.level(), right: plaintext.level() });
        }
        Ok(())
    }

    fn check_switch(&self) -> Result<()> {
        if self.context.special_count() == 0 { Err(EvaluatorError::NoSpecialPrime) } else { Ok(()) }
    }
}

fn two_parts(a: &Ciphertext) -> Result<[&Poly<hei_ring::Ntt>; 2]> {
    match a.parts() {
        [c0, c1] => Ok([c0, c1]),
        parts => Err(EvaluatorError::Parts { expected: 2, actual: parts.len() }),
    }
}

/// Equal up to the last bit of a double, which products of doubles in another order may differ in.
fn same_scale(left: f64, right: f64) -> Result<()> {
    if (left - right).abs() <= left.abs().max(right.abs()) * f64::EPSILON {
        Ok(())
    } else {
        Err(EvaluatorError::Scale { left, right })
    }
}
