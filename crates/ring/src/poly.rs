//! Polynomials as limbs of residues, their domain in their type.

use core::fmt;
use core::marker::PhantomData;
use core::mem;

use zeroize::Zeroize;

use crate::buffer;

/// Limbs hold coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coeff;

/// Limbs hold values at the odd powers of psi, in bit-reversed order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ntt;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Coeff {}
    impl Sealed for super::Ntt {}
}

/// The domain of a polynomial: [`Coeff`] or [`Ntt`].
pub trait Form: sealed::Sealed + Copy + 'static {
    /// The name used in messages: `"coefficient"` or `"ntt"`.
    const NAME: &'static str;
}

impl Form for Coeff {
    const NAME: &'static str = "coefficient";
}

impl Form for Ntt {
    const NAME: &'static str = "ntt";
}

/// N residues for each of some primes, limb after limb.
///
/// A polynomial does not name its primes: the [`Basis`](crate::Basis) it is used with does. Its memory is used again by the
/// thread that drops it.
#[derive(PartialEq, Eq)]
pub struct Poly<F> {
    degree: usize,
    data: Vec<u64>,
    form: PhantomData<F>,
}

impl<F> Clone for Poly<F> {
    fn clone(&self) -> Self {
        Self { degree: self.degree, data: buffer::take_copy(&self.data), form: PhantomData }
    }
}

impl<F> Drop for Poly<F> {
    fn drop(&mut self) {
        buffer::give(mem::take(&mut self.data));
    }
}

impl<F: Form> Poly<F> {
    /// The zero polynomial.
    pub fn zero(degree: usize, limbs: usize) -> Self {
        Self { degree, data: buffer::take_zeroed(degree * limbs), form: PhantomData }
    }

    /// A polynomial of any words, not even residues: to be written whole before it is read.
    pub fn scratch(degree: usize, limbs: usize) -> Self {
        Self { degree, data: buffer::take_any(degree * limbs), form: PhantomData }
    }

    /// Words taken over as they are, limb-major; `None` unless they are a positive number of whole limbs.
    ///
    /// Residues are the caller's promise: each below its prime.
    pub fn from_data(degree: usize, data: Vec<u64>) -> Option<Self> {
        (degree > 0 && !data.is_empty() && data.len().is_multiple_of(degree)).then_some(Self {
            degree,
            data,
            form: PhantomData,
        })
    }

    /// N.
    #[inline]
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Number of limbs.
    #[inline]
    pub fn limbs(&self) -> usize {
        self.data.len() / self.degree
    }

    /// Limb `i`.
    ///
    /// # Panics
    /// When there is no such limb.
    #[inline]
    pub fn limb(&self, i: usize) -> &[u64] {
        &self.data[i * self.degree..(i + 1) * self.degree]
    }

    /// Limb `i`, to write.
    ///
    /// # Panics
    /// When there is no such limb.
    #[inline]
    pub fn limb_mut(&mut self, i: usize) -> &mut [u64] {
        &mut self.data[i * self.degree..(i + 1) * self.degree]
    }

    /// All limbs in order.
    pub fn iter(&self) -> core::slice::ChunksExact<'_, u64> {
        self.data.chunks_exact(self.degree)
    }

    /// All limbs in order, to write.
    pub fn iter_mut(&mut self) -> core::slice::ChunksExactMut<'_, u64> {
        self.data.chunks_exact_mut(self.degree)
    }

    /// All words, limb-major.
    #[inline]
    pub fn data(&self) -> &[u64] {
        &self.data
    }

    /// Keeps the first `limbs` limbs.
    pub fn truncate(&mut self, limbs: usize) {
        self.data.truncate(limbs * self.degree);
    }

    /// Splits off the last limb; `None` when it is the only one.
    pub fn split_last(mut self) -> Option<(Self, Self)> {
        let rest = self.limbs().checked_sub(1).filter(|rest| *rest > 0)?;
        let data = buffer::take_copy(self.limb(rest));
        let last = Self { degree: self.degree, data, form: PhantomData };
        self.truncate(rest);
        Some((self, last))
    }

    /// A copy of the first `limbs` limbs.
    ///
    /// # Panics
    /// When there are not as many.
    #[must_use]
    pub fn first_limbs(&self, limbs: usize) -> Self {
        let data = buffer::take_copy(&self.data[..limbs * self.degree]);
        Self { degree: self.degree, data, form: PhantomData }
    }

    /// The same words read in another domain. For transforms, which change the words to match.
    pub(crate) fn relabel<G: Form>(mut self) -> Poly<G> {
        Poly { degree: self.degree, data: mem::take(&mut self.data), form: PhantomData }
    }
}

impl<F> Zeroize for Poly<F> {
    /// All words become zeros; the shape stays.
    fn zeroize(&mut self) {
        buffer::wipe(&mut self.data);
    }
}

/// Shape only: a polynomial may be secret, so its words are never printed.
impl<F: Form> fmt::Debug for Poly<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poly<{}>(N={}, limbs={})", F::NAME, self.degree, self.limbs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_must_be_whole_limbs() {
        assert!(Poly::<Coeff>::from_data(8, vec![0; 16]).is_some_and(|p| p.limbs() == 2));
        for words in [0, 7, 9] {
            assert!(Poly::<Ntt>::from_data(8, vec![0; words]).is_none());
        }
        assert!(Poly::<Ntt>::from_data(0, vec![]).is_none());
    }

    #[test]
    fn debug_shows_the_shape_and_no_word() {
        let poly = Poly::<Coeff>::from_data(8, vec![123_456_789; 8]).unwrap();
        assert_eq!(format!("{poly:?}"), "Poly<coefficient>(N=8, limbs=1)");
    }
}
