//! Many rotations of one ciphertext for little more than the price of one (S. Halevi and V. Shoup, ia.cr/2018/244), and
//! sums of rotations that are divided by P once (J.-P. Bossuat et al., ia.cr/2020/1203).

use hei_ring::automorphism::permute;
use hei_ring::kernel::{self, sums};
use hei_ring::parallel::{self, Work};
use hei_ring::{Extension, GaloisElement, Modulus, Ntt, Poly};

use crate::evaluation_keys::GaloisKeys;
use crate::evaluator::{Evaluator, same_scale, two_parts};
use crate::evaluator_error::EvaluatorError;
use crate::keyswitch::{self, add_times_special, digit_groups, extended_limbs, prime_index, times_special};
use crate::values::{Ciphertext, Plaintext};

type Result<T> = core::result::Result<T, EvaluatorError>;

/// Words of each operand that sums are advanced by: those of some tens of ciphertexts fit a second-level cache.
const BLOCK: usize = 1024;

/// A ciphertext whose second part is cut into digits already: the costly part of every rotation of it.
///
/// Memory: that of the ciphertext, and a polynomial over data and special primes for each digit.
#[derive(Debug, Clone)]
pub struct Hoisted {
    ciphertext: Ciphertext,
    digits: Vec<Poly<Ntt>>,
}

impl Hoisted {
    /// The ciphertext itself.
    pub fn ciphertext(&self) -> &Ciphertext {
        &self.ciphertext
    }
}

/// A ciphertext times P, over the data primes of its level and the special primes: what a key switch gives before it divides
/// by P. Sums of such values pay one division and one rounding error in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Extended {
    parts: [Poly<Ntt>; 2],
    level: usize,
    scale: f64,
}

impl Extended {
    /// Its level.
    pub fn level(&self) -> usize {
        self.level
    }

    /// Its scale, P left out.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

/// A plaintext over the data primes of its level and the special primes, to multiply an [`Extended`] ciphertext with.
///
/// For numbers that are public to whoever evaluates, such as a model's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtendedPlaintext {
    poly: Poly<Ntt>,
    level: usize,
    scale: f64,
}

impl ExtendedPlaintext {
    /// Its level.
    pub fn level(&self) -> usize {
        self.level
    }

    /// Its scale.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

impl Evaluator {
    /// Zero at a level and a scale, to add to.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn zero_extended(&self, level: usize, scale: f64) -> Result<Extended> {
        self.tables()?;
        let context = self.context();
        if level > context.max_level() {
            return Err(EvaluatorError::Raise { from: context.max_level(), to: level });
        }
        let limbs = extended_limbs(context, level);
        Ok(Extended { parts: [(); 2].map(|()| Poly::zero(context.degree(), limbs)), level, scale })
    }

    /// Cuts a ciphertext into digits, once for many rotations.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: the transforms of a key switch without those of its division.
    pub fn hoist(&self, a: &Ciphertext) -> Result<Hoisted> {
        self.check(a)?;
        let [_, c1] = two_parts(a)?;
        let digits = keyswitch::decompose(self.context(), self.tables()?, c1);
        Ok(Hoisted { ciphertext: a.clone(), digits })
    }

    /// Rotates slots to the left by `step`, like [`rotate`](Self::rotate) and equal to it bit for bit.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: the products of a key switch and its division.
    pub fn rotate_hoisted(&self, a: &Hoisted, step: i64, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply_hoisted(a, GaloisElement::rotation(step, self.context().degree()), keys)
    }

    /// Conjugates every slot, like [`conjugate`](Self::conjugate) and equal to it bit for bit.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn conjugate_hoisted(&self, a: &Hoisted, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply_hoisted(a, GaloisElement::conjugation(self.context().degree()), keys)
    }

    fn apply_hoisted(&self, a: &Hoisted, element: GaloisElement, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.check_hoisted(a)?;
        if element.value() == 1 {
            return Ok(a.ciphertext.clone());
        }
        let level = a.ciphertext.level();
        let (_, key) = self.galois_key(level, element, keys)?;
        let sums = keyswitch::switch_digits(self.context(), &a.digits, level, &key.moved);
        Ok(self.finish_rotation(sums, &a.ciphertext.parts()[0], key, a.ciphertext.scale()))
    }

    /// A rotation without the division by P; `step` 0 gives the ciphertext itself, times P.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: the products of a key switch, no transform.
    pub fn rotate_extended(&self, a: &Hoisted, step: i64, keys: &GaloisKeys) -> Result<Extended> {
        self.check_hoisted(a)?;
        let context = self.context();
        let [c0, c1] = two_parts(&a.ciphertext)?;
        let (level, scale) = (a.ciphertext.level(), a.ciphertext.scale());
        let element = GaloisElement::rotation(step, context.degree());
        if element.value() == 1 {
            let tables = self.tables()?;
            return Ok(Extended { parts: [c0, c1].map(|c| times_special(context, tables, c)), level, scale });
        }
        let (tables, key) = self.galois_key(level, element, keys)?;
        let mut sums = keyswitch::switch_digits(context, &a.digits, level, &key.moved);
        add_times_special(context, tables, &mut sums[0], c0);
        Ok(Extended { parts: sums.map(|sum| permute(&sum, &key.permutation)), level, scale })
    }

    /// sum += the rotation by `step` of an extended ciphertext: the giant step of a linear transform.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: a key switch that divides its input instead of its result, one part instead of two.
    pub fn rotate_extended_add_assign(
        &self,
        sum: &mut Extended,
        a: Extended,
        step: i64,
        keys: &GaloisKeys,
    ) -> Result<()> {
        let element = GaloisElement::rotation(step, self.context().degree());
        if element.value() == 1 {
            return self.add_extended_assign(sum, &a);
        }
        self.check_extended(sum, &a)?;
        let context = self.context();
        let (tables, key) = self.galois_key(a.level, element, keys)?;
        let [mut first, second] = a.parts;
        let second = keyswitch::divide_by_special(context, second, a.level + 1);
        let [k0, k1] = keyswitch::switch_extended(context, tables, &second, &key.moved);
        self.each_limb(a.level, &mut first, &k0, kernel::add_assign);
        for (sum, part) in sum.parts.iter_mut().zip([first, k1]) {
            self.each_limb(a.level, sum, &permute(&part, &key.permutation), kernel::add_assign);
        }
        Ok(())
    }

    /// sum += a.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn add_extended_assign(&self, sum: &mut Extended, a: &Extended) -> Result<()> {
        self.check_extended(sum, a)?;
        for (sum, part) in sum.parts.iter_mut().zip(&a.parts) {
            self.each_limb(a.level, sum, part, kernel::add_assign);
        }
        Ok(())
    }

    /// Sums of products of extended ciphertexts and plaintexts, all of equal levels and equal scales: for each list one sum.
    ///
    /// Ciphertexts that occur in several lists are read from memory once: all sums advance together, some words at a time.
    ///
    /// # Errors
    /// [`EvaluatorError`]; [`NoTerms`](EvaluatorError::NoTerms) for an empty sum. Cost: two products a coefficient and term.
    pub fn weighted_sums_extended(
        &self,
        lists: &[Vec<(&Extended, &ExtendedPlaintext)>],
    ) -> Result<Vec<Extended>> {
        let context = self.context();
        let (a, w) = lists.first().and_then(|terms| terms.first()).ok_or(EvaluatorError::NoTerms)?;
        let scale = self.product_scale_at(a.level, a.scale, w.scale)?;
        for terms in lists {
            if terms.is_empty() {
                return Err(EvaluatorError::NoTerms);
            }
            for (x, y) in terms {
                self.check_extended(a, x)?;
                same_scale(w.scale, y.scale)?;
                if y.poly.degree() != context.degree() {
                    return Err(EvaluatorError::Parameters);
                }
                if y.level != a.level {
                    return Err(EvaluatorError::Level { left: a.level, right: y.level });
                }
            }
        }
        let limbs = extended_limbs(context, a.level);
        let zero = || [(); 2].map(|()| Poly::scratch(context.degree(), limbs));
        let mut all: Vec<[Poly<Ntt>; 2]> = lists.iter().map(|_| zero()).collect();
        let words = lists.iter().map(Vec::len).sum::<usize>() * limbs * context.degree();
        // Limb by limb, that of all sums.
        let mut out: Vec<_> = all.iter_mut().map(|[a, b]| a.iter_mut().zip(b.iter_mut())).collect();
        let limbs =
            (0..limbs).map(|place| (place, out.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()));
        parallel::each(Work::Pass, words, limbs, |(place, mut out)| {
            let mut list = Vec::new();
            let modulus = context.basis().modulus(prime_index(context, a.level, place));
            for start in (0..context.degree()).step_by(BLOCK) {
                let block = start..(start + BLOCK).min(context.degree());
                for (terms, (first, second)) in lists.iter().zip(&mut out) {
                    list.clear();
                    list.extend(terms.iter().map(|(x, w)| {
                        let [w, x0, x1] =
                            [&w.poly, &x.parts[0], &x.parts[1]].map(|p| &p.limb(place)[block.clone()]);
                        (w, x0, x1)
                    }));
                    let out = (&mut first[block.clone()], &mut second[block.clone()]);
                    sums::dot_pair(out, &list, modulus);
                }
            }
        });
        Ok(all.into_iter().map(|parts| Extended { parts, level: a.level, scale }).collect())
    }

    /// Divides by P: the ciphertext itself.
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn finish(&self, a: Extended) -> Result<Ciphertext> {
        self.check_extended(&a, &a)?;
        let parts = keyswitch::divide_both(self.context(), a.parts, a.level + 1);
        Ok(Ciphertext::from_parts(parts.into(), a.scale))
    }

    /// Divides by P and the last data prime at once: [`finish`](Self::finish) and [`rescale`](Self::rescale).
    ///
    /// # Errors
    /// [`EvaluatorError`].
    pub fn finish_rescaled(&self, a: Extended) -> Result<Ciphertext> {
        self.check_extended(&a, &a)?;
        if a.level == 0 {
            return Err(EvaluatorError::NoLevelLeft);
        }
        let (context, tables) = (self.context(), self.tables()?);
        let parts = keyswitch::divide_both_by_special_and_last(context, tables, a.parts, a.level + 1);
        let last = context.basis().modulus(a.level).value();
        Ok(Ciphertext::from_parts(parts.into(), a.scale / last as f64))
    }

    /// A plaintext over the special primes as well. Exact for coefficients below half the modulus of its level, up to
    /// 2^-24 of it.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: an inverse NTT for each limb and an NTT for each special prime.
    pub fn extend_plaintext(&self, plaintext: &Plaintext) -> Result<ExtendedPlaintext> {
        let (context, level) = (self.context(), plaintext.level());
        if plaintext.poly().degree() != context.degree() || level > context.max_level() {
            return Err(EvaluatorError::Parameters);
        }
        self.tables()?;
        let basis = context.basis();
        let data: Vec<Modulus> = context.data_moduli().take(level + 1).copied().collect();
        let extension = Extension::new(&data, context.special_moduli());
        let prepared = extension.prepare(context.degree(), |i, limb| {
            basis.table(i).inverse_from(limb, plaintext.poly().limb(i));
        });
        let mut poly = Poly::scratch(context.degree(), extended_limbs(context, level));
        let words = poly.data().len();
        parallel::each(Work::Transform, words, poly.iter_mut().enumerate(), |(place, limb)| {
            if place <= level {
                limb.copy_from_slice(plaintext.poly().limb(place));
            } else {
                let fill = |start: usize, part: &mut [u64]| {
                    extension.lift(&prepared, place - level - 1, start, part);
                };
                basis.table(prime_index(context, level, place)).forward_with(limb, fill, |_, _| ());
            }
        });
        Ok(ExtendedPlaintext { poly, level, scale: plaintext.scale() })
    }

    fn each_limb(
        &self,
        level: usize,
        a: &mut Poly<Ntt>,
        b: &Poly<Ntt>,
        f: impl Fn(&mut [u64], &[u64], &Modulus) + Sync + Send,
    ) {
        let limbs = a.iter_mut().zip(b.iter()).enumerate();
        parallel::each(Work::Pass, b.data().len(), limbs, |(place, (a, b))| {
            f(a, b, self.context().basis().modulus(prime_index(self.context(), level, place)));
        });
    }

    fn check_hoisted(&self, a: &Hoisted) -> Result<()> {
        self.check(&a.ciphertext)?;
        let (context, level) = (self.context(), a.ciphertext.level());
        let limbs = extended_limbs(context, level);
        let fits = a.digits.len() == digit_groups(context, level).count()
            && a.digits.iter().all(|digit| digit.limbs() == limbs);
        if fits { Ok(()) } else { Err(EvaluatorError::Parameters) }
    }

    fn check_extended(&self, a: &Extended, b: &Extended) -> Result<()> {
        let context = self.context();
        for x in [a, b] {
            let limbs = extended_limbs(context, x.level);
            let fits = |p: &Poly<Ntt>| p.degree() == context.degree() && p.limbs() == limbs;
            if x.level > context.max_level() || !x.parts.iter().all(fits) {
                return Err(EvaluatorError::Parameters);
            }
        }
        if a.level != b.level {
            return Err(EvaluatorError::Level { left: a.level, right: b.level });
        }
        same_scale(a.scale, b.scale)
    }
}
