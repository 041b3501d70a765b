//! Computing on ciphertexts. Nothing here needs, or could use, a secret.

use std::sync::Arc;

use hei_ring::modulus::Shoup;
use hei_ring::parallel::{self, Work};
use hei_ring::{Basis, Ntt, Poly};

use crate::context::Context;
use crate::encoder::residue_of;
use crate::evaluator_error::EvaluatorError;
use crate::values::{Ciphertext, Plaintext};

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

    /// a + b. Equal levels and scales; noise adds. The sum has as many parts as the longer of both.
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

    /// a - b. Equal levels and scales; noise adds. The difference has as many parts as the longer of both.
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
        let basis = self.context.basis();
        let parts = a.parts().iter().map(|part| basis.product(part, plaintext.poly())).collect();
        Ok(Ciphertext::from_parts(parts, scale))
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
        Ok(Ciphertext::from_parts(self.context.basis().tensor([a0, a1], [b0, b1]).into(), scale))
    }

    /// a · a, of three parts: one product less than [`multiply`](Self::multiply).
    ///
    /// # Errors
    /// [`EvaluatorError`], among them [`Parts`](EvaluatorError::Parts) unless it has two.
    pub fn square(&self, a: &Ciphertext) -> Result<Ciphertext> {
        self.check(a)?;
        let [a0, a1] = two_parts(a)?;
        let scale = self.product_scale(a, a.scale())?;
        let basis = self.context.basis();
        let mut middle = basis.product(a0, a1);
        basis.double_assign(&mut middle);
        Ok(Ciphertext::from_parts(vec![basis.product(a0, a0), middle, basis.product(a1, a1)], scale))
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
        let words = a.parts().iter().map(|part| part.data().len()).sum();
        let parts = parallel::map(Work::Transform, words, a.parts().iter(), |part| {
            Basis::divide_round_last(part.clone(), &tables, &inverses)
        });
        Ok(Ciphertext::from_parts(parts, a.scale() / last as f64))
    }

    /// The same ciphertext with a scale that differs from its own by roundings of doubles only, so that values which reach
    /// one scale on different ways have the same number there. Changes the message by less than 2^-48 of it.
    ///
    /// # Errors
    /// [`EvaluatorError::Scale`] for a scale that is another one.
    pub fn with_scale(&self, mut a: Ciphertext, scale: f64) -> Result<Ciphertext> {
        same_scale(a.scale(), scale)?;
        a.set_scale(scale);
        Ok(a)
    }

    /// sum += a · b, of three parts: [`multiply`](Self::multiply) and [`add`](Self::add) in one pass.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn multiply_add_assign(&self, sum: &mut Ciphertext, a: &Ciphertext, b: &Ciphertext) -> Result<()> {
        self.check_pair(a, b)?;
        self.check_pair(sum, a)?;
        let ([a0, a1], [b0, b1]) = (two_parts(a)?, two_parts(b)?);
        same_scale(sum.scale(), self.product_scale(a, b.scale())?)?;
        while sum.parts().len() < 3 {
            sum.push_part(Poly::zero(self.context.degree(), a.level() + 1));
        }
        let basis = self.context.basis();
        for (part, terms) in
            sum.parts_mut().iter_mut().zip([&[(a0, b0)][..], &[(a0, b1), (a1, b0)], &[(a1, b1)]])
        {
            for (x, y) in terms {
                basis.mul_add_assign(part, x, y);
            }
        }
        Ok(())
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
        self.product_scale_at(a.level(), a.scale(), factor)
    }

    pub(crate) fn product_scale_at(&self, level: usize, scale: f64, factor: f64) -> Result<f64> {
        let scale = scale * factor;
        let (log2_scale, log2_modulus) = (libm::log2(scale), self.context.log2_modulus(level));
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
        f: impl Fn(&Basis, &mut Poly<Ntt>, &Poly<Ntt>),
    ) -> Result<()> {
        self.check_pair(a, b)?;
        same_scale(a.scale(), b.scale())?;
        while a.parts().len() < b.parts().len() {
            a.push_part(Poly::zero(self.context.degree(), a.level() + 1));
        }
        for (x, y) in a.parts_mut().iter_mut().zip(b.parts()) {
            f(self.context.basis(), x, y);
        }
        Ok(())
    }

    pub(crate) fn check(&self, a: &Ciphertext) -> Result<()> {
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
}

pub(crate) fn two_parts(a: &Ciphertext) -> Result<[&Poly<Ntt>; 2]> {
    match a.parts() {
        [c0, c1] => Ok([c0, c1]),
        parts => Err(EvaluatorError::Parts { expected: 2, actual: parts.len() }),
    }
}

/// Equal up to the last bits of a double, which products and quotients of doubles in another order may differ in.
pub(crate) fn same_scale(left: f64, right: f64) -> Result<()> {
    if (left - right).abs() <= left.abs().max(right.abs()) * 16.0 * f64::EPSILON {
        Ok(())
    } else {
        Err(EvaluatorError::Scale { left, right })
    }
}
