//! Operations that switch keys: relinearization, rotation, conjugation.

use hei_ring::automorphism::permute;
use hei_ring::{GaloisElement, Ntt, Poly};

use crate::evaluation_keys::{GaloisKey, GaloisKeys, RelinKey, SwitchKey};
use crate::evaluator::{Evaluator, two_parts};
use crate::evaluator_error::EvaluatorError;
use crate::keyswitch::{self, SwitchTables};
use crate::values::Ciphertext;

type Result<T> = core::result::Result<T, EvaluatorError>;

impl Evaluator {
    /// Three parts back to two. Scale and level stay.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch.
    pub fn relinearize(&self, a: &Ciphertext, key: &RelinKey) -> Result<Ciphertext> {
        let (tables, [c0, c1, c2]) = self.check_relinearization(a, key)?;
        let limbs = c2.limbs();
        let sums = keyswitch::switch_extended(self.context(), tables, c2, &key.0);
        let [mut k0, mut k1] = keyswitch::divide_both(self.context(), sums, limbs);
        let basis = self.context().basis();
        basis.add_assign(&mut k0, c0);
        basis.add_assign(&mut k1, c1);
        Ok(Ciphertext::from_parts(vec![k0, k1], a.scale()))
    }

    /// [`relinearize`](Self::relinearize) and [`rescale`](Self::rescale) in one division, by P and the last prime: faster,
    /// and one rounding error less than the two.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch with, for k special primes, 2 k + 2 inverse NTTs and two NTTs for each limb
    /// kept in its division.
    pub fn relinearize_rescale(&self, a: &Ciphertext, key: &RelinKey) -> Result<Ciphertext> {
        let (tables, [c0, c1, c2]) = self.check_relinearization(a, key)?;
        let level = a.level();
        if level == 0 {
            return Err(EvaluatorError::NoLevelLeft);
        }
        let [mut k0, mut k1] = keyswitch::switch_extended(self.context(), tables, c2, &key.0);
        keyswitch::add_times_special(self.context(), tables, &mut k0, c0);
        keyswitch::add_times_special(self.context(), tables, &mut k1, c1);
        let parts =
            keyswitch::divide_both_by_special_and_last(self.context(), tables, [k0, k1], level + 1).into();
        let last = self.context().basis().modulus(level).value();
        Ok(Ciphertext::from_parts(parts, a.scale() / last as f64))
    }

    /// Rotates slots to the left by `step`: slot i of the result is slot i + step.
    ///
    /// # Errors
    /// [`EvaluatorError`], among them [`MissingGaloisKey`](EvaluatorError::MissingGaloisKey). Cost: one key switch.
    pub fn rotate(&self, a: &Ciphertext, step: i64, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply(a, GaloisElement::rotation(step, self.context().degree()), keys)
    }

    /// Conjugates every slot.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch.
    pub fn conjugate(&self, a: &Ciphertext, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.apply(a, GaloisElement::conjugation(self.context().degree()), keys)
    }

    /// Applies an automorphism X -> X^g.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: one key switch and two permutations.
    pub fn apply(&self, a: &Ciphertext, element: GaloisElement, keys: &GaloisKeys) -> Result<Ciphertext> {
        self.check(a)?;
        let [c0, c1] = two_parts(a)?;
        if element.value() == 1 {
            return Ok(a.clone());
        }
        let (tables, key) = self.galois_key(a.level(), element, keys)?;
        let sums = keyswitch::switch_extended(self.context(), tables, c1, &key.moved);
        Ok(self.finish_rotation(sums, c0, key, a.scale()))
    }

    /// Divides the sums of a key switch, adds c_0 and moves both parts.
    pub(crate) fn finish_rotation(
        &self,
        sums: [Poly<Ntt>; 2],
        c0: &Poly<Ntt>,
        key: &GaloisKey,
        scale: f64,
    ) -> Ciphertext {
        let [mut k0, k1] = keyswitch::divide_both(self.context(), sums, c0.limbs());
        self.context().basis().add_assign(&mut k0, c0);
        let parts = vec![permute(&k0, &key.permutation), permute(&k1, &key.permutation)];
        Ciphertext::from_parts(parts, scale)
    }

    pub(crate) fn tables(&self) -> Result<&SwitchTables> {
        self.context().switching().ok_or(EvaluatorError::NoSpecialPrime)
    }

    fn check_key(&self, level: usize, key: &SwitchKey) -> Result<()> {
        if key.params_id != self.context().params_id() {
            return Err(EvaluatorError::Parameters);
        }
        if key.level < level {
            return Err(EvaluatorError::KeyLevel { key: key.level, ciphertext: level });
        }
        Ok(())
    }

    fn check_relinearization<'a>(
        &self,
        a: &'a Ciphertext,
        key: &RelinKey,
    ) -> Result<(&SwitchTables, &'a [Poly<Ntt>; 3])> {
        self.check(a)?;
        let parts = a
            .parts()
            .try_into()
            .map_err(|_| EvaluatorError::Parts { expected: 3, actual: a.parts().len() })?;
        let tables = self.tables()?;
        self.check_key(a.level(), &key.0)?;
        Ok((tables, parts))
    }

    pub(crate) fn galois_key<'k>(
        &self,
        level: usize,
        element: GaloisElement,
        keys: &'k GaloisKeys,
    ) -> Result<(&SwitchTables, &'k GaloisKey)> {
        let tables = self.tables()?;
        let key = keys.ready(element).ok_or(EvaluatorError::MissingGaloisKey(element.value()))?;
        self.check_key(level, &key.moved)?;
        Ok((tables, key))
    }
}
