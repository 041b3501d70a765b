//! The primes a polynomial lives over, and what can be done limb by limb.

use crate::kernel;
use crate::modulus::Shoup;
use crate::parallel::{self, Work};
use crate::poly::{Coeff, Form, Ntt, Poly};
use crate::{Modulus, NttTable, RingError};

/// Distinct primes with their transforms, for one degree.
///
/// A polynomial with m limbs is taken over the first m primes.
#[derive(Debug, Clone)]
pub struct Basis {
    degree: usize,
    tables: Vec<NttTable>,
}

impl Basis {
    /// Tables for primes that are all 1 mod 2N and pairwise distinct.
    ///
    /// # Errors
    /// [`RingError`] for a number that is no such prime, or one that occurs twice.
    pub fn new(degree: usize, primes: &[u64]) -> Result<Self, RingError> {
        for (i, q) in primes.iter().enumerate() {
            if primes[..i].contains(q) {
                return Err(RingError::Repeated(*q));
            }
        }
        let tables =
            primes.iter().map(|&q| NttTable::new(Modulus::new(q)?, degree)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { degree, tables })
    }

    /// N.
    #[inline]
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Number of primes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a basis is asked for its size, never for emptiness")]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// The transform of prime `i`.
    ///
    /// # Panics
    /// When there is no such prime.
    #[inline]
    pub fn table(&self, i: usize) -> &NttTable {
        &self.tables[i]
    }

    /// Prime `i`.
    ///
    /// # Panics
    /// When there is no such prime.
    #[inline]
    pub fn modulus(&self, i: usize) -> &Modulus {
        self.tables[i].modulus()
    }

    /// All primes in order.
    pub fn moduli(&self) -> impl ExactSizeIterator<Item = &Modulus> + Clone {
        self.tables.iter().map(NttTable::modulus)
    }

    /// Coefficients to values. Cost: one transform per limb.
    pub fn forward(&self, mut poly: Poly<Coeff>) -> Poly<Ntt> {
        self.each(Work::Transform, &mut poly, |table, limb| table.forward(limb));
        poly.relabel()
    }

    /// Values to coefficients. Cost: one inverse transform per limb.
    pub fn inverse(&self, mut poly: Poly<Ntt>) -> Poly<Coeff> {
        self.each(Work::Transform, &mut poly, |table, limb| table.inverse(limb));
        poly.relabel()
    }

    /// Coefficients of values that stay. Cost: one inverse transform per limb.
    pub fn coefficients(&self, poly: &Poly<Ntt>) -> Poly<Coeff> {
        let mut out = Poly::scratch(self.degree, poly.limbs());
        let limbs = out.iter_mut().zip(poly.iter()).zip(&self.tables);
        parallel::each(Work::Transform, poly.data().len(), limbs, |((out, values), table)| {
            table.inverse_from(out, values);
        });
        out
    }

    /// a += b.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn add_assign<F: Form>(&self, a: &mut Poly<F>, b: &Poly<F>) {
        self.zip(a, b, kernel::add_assign);
    }

    /// a -= b.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn sub_assign<F: Form>(&self, a: &mut Poly<F>, b: &Poly<F>) {
        self.zip(a, b, kernel::sub_assign);
    }

    /// a = -a.
    pub fn neg_assign<F: Form>(&self, a: &mut Poly<F>) {
        self.each(Work::Pass, a, |table, limb| kernel::neg_assign(limb, table.modulus()));
    }

    /// a += a.
    pub fn double_assign<F: Form>(&self, a: &mut Poly<F>) {
        self.each(Work::Pass, a, |table, limb| {
            for x in limb {
                *x = table.modulus().add(*x, *x);
            }
        });
    }

    /// a *= b, a product of polynomials because both are in the NTT domain.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn mul_assign(&self, a: &mut Poly<Ntt>, b: &Poly<Ntt>) {
        self.zip(a, b, kernel::mul_assign);
    }

    /// a b.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn product(&self, a: &Poly<Ntt>, b: &Poly<Ntt>) -> Poly<Ntt> {
        self.check(a, b);
        let mut out = Poly::scratch(self.degree, a.limbs());
        let limbs = out.iter_mut().zip(a.iter()).zip(b.iter()).zip(&self.tables);
        parallel::each(Work::Pass, a.data().len(), limbs, |(((o, x), y), table)| {
            kernel::product(o, x, y, table.modulus());
        });
        out
    }

    /// (a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1).
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn tensor(&self, a: [&Poly<Ntt>; 2], b: [&Poly<Ntt>; 2]) -> [Poly<Ntt>; 3] {
        for x in [a[1], b[0], b[1]] {
            self.check(a[0], x);
        }
        let mut out = [(); 3].map(|()| Poly::scratch(self.degree, a[0].limbs()));
        let [o0, o1, o2] = &mut out;
        let limbs = o0.iter_mut().zip(o1.iter_mut()).zip(o2.iter_mut()).enumerate();
        parallel::each(Work::Pass, 3 * a[0].data().len(), limbs, |(i, ((o0, o1), o2))| {
            let (a, b) = ((a[0].limb(i), a[1].limb(i)), (b[0].limb(i), b[1].limb(i)));
            kernel::tensor((o0, o1, o2), a, b, self.modulus(i));
        });
        out
    }

    /// out += a b.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn mul_add_assign(&self, out: &mut Poly<Ntt>, a: &Poly<Ntt>, b: &Poly<Ntt>) {
        assert_eq!(a.limbs(), b.limbs(), "operands have as many limbs");
        self.check(out, a);
        let limbs = out.iter_mut().zip(a.iter()).zip(b.iter()).zip(&self.tables);
        parallel::each(Work::Pass, a.data().len(), limbs, |(((o, x), y), table)| {
            kernel::mul_add_assign(o, x, y, table.modulus());
        });
    }

    /// a *= scalars, one prepared residue per limb.
    pub fn mul_scalar_assign<F: Form>(&self, a: &mut Poly<F>, scalars: &[Shoup]) {
        assert_eq!(a.limbs(), scalars.len(), "one residue per limb");
        let (words, limbs) = (a.data().len(), a.iter_mut().zip(scalars).zip(&self.tables));
        parallel::each(Work::Pass, words, limbs, |((limb, scalar), table)| {
            kernel::mul_scalar_assign(limb, *scalar, table.modulus());
        });
    }

    /// out += a scalars, one prepared residue per limb.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn mul_scalar_add_assign<F: Form>(&self, out: &mut Poly<F>, a: &Poly<F>, scalars: &[Shoup]) {
        assert_eq!(a.limbs(), scalars.len(), "one residue per limb");
        self.check(out, a);
        let limbs = out.iter_mut().zip(a.iter()).zip(scalars).zip(&self.tables);
        parallel::each(Work::Pass, a.data().len(), limbs, |(((o, x), scalar), table)| {
            kernel::mul_scalar_add_assign(o, x, *scalar, table.modulus());
        });
    }

    /// Signed coefficients as residues for the first `limbs` primes.
    ///
    /// # Panics
    /// When there are not N coefficients.
    pub fn from_signed(&self, coefficients: &[i64], limbs: usize) -> Poly<Coeff> {
        assert_eq!(coefficients.len(), self.degree, "a polynomial has N coefficients");
        let mut poly = Poly::zero(self.degree, limbs);
        self.each(Work::Pass, &mut poly, |table, limb| {
            kernel::reduce_signed(limb, coefficients, table.modulus())
        });
        poly
    }

    /// Small signed coefficients (secrets and errors) as residues for the first `limbs` primes.
    ///
    /// # Panics
    /// When there are not N coefficients, or a prime is not above 127.
    pub fn from_small(&self, coefficients: &[i8], limbs: usize) -> Poly<Coeff> {
        assert_eq!(coefficients.len(), self.degree, "a polynomial has N coefficients");
        let mut poly = Poly::zero(self.degree, limbs);
        self.each(Work::Pass, &mut poly, |table, limb| {
            assert!(table.modulus().value() > 127, "small coefficients are below the prime");
            kernel::reduce_small(limb, coefficients, table.modulus());
        });
        poly
    }

    /// Divides by the last prime of `poly` with rounding to the nearest integer, and drops that limb (K. Han and
    /// D. Ki's RNS rescaling as SEAL orders it: add floor(q/2), subtract, multiply by the inverse).
    ///
    /// `tables` are the transforms for every limb of `poly`, in order; `inverses[i]` is 1/q_last mod prime i.
    /// Cost: one inverse transform and one forward transform for each limb kept.
    ///
    /// # Panics
    /// When the polynomial has fewer than two limbs or another number of limbs than there are tables.
    pub fn divide_round_last(poly: Poly<Ntt>, tables: &[&NttTable], inverses: &[Shoup]) -> Poly<Ntt> {
        assert_eq!(poly.limbs(), tables.len(), "one transform per limb");
        assert_eq!(inverses.len() + 1, tables.len(), "one inverse per limb kept");
        let last_table = tables[tables.len() - 1];
        let last_modulus = last_table.modulus();
        let degree = poly.degree();
        let (mut kept, mut last) = poly.split_last().expect("at least two limbs");
        let last = last.limb_mut(0);
        let half = last_modulus.value() >> 1;
        last_table.inverse_with(
            last,
            |_, _| (),
            |_, part| kernel::add_scalar_assign(part, half, last_modulus),
        );
        let last = &*last;
        let (words, limbs) = (kept.data().len(), kept.iter_mut().zip(tables).zip(inverses));
        let scratch = || Poly::<Coeff>::scratch(degree, 1);
        parallel::each_with(Work::Transform, words, limbs, scratch, |lifted, ((limb, table), inverse)| {
            let lifted = lifted.limb_mut(0);
            let modulus = table.modulus();
            let half = modulus.reduce(half);
            table.forward_with(
                lifted,
                |start, part| {
                    kernel::reduce_shifted(part, &last[start..start + part.len()], half, modulus);
                },
                |start, part| {
                    let limb = &mut limb[start..start + part.len()];
                    kernel::sub_mul_assign(limb, part, *inverse, modulus);
                },
            );
        });
        kept
    }

    fn each<F: Form>(&self, work: Work, poly: &mut Poly<F>, f: impl Fn(&NttTable, &mut [u64]) + Sync + Send) {
        assert!(
            poly.degree() == self.degree && poly.limbs() <= self.tables.len(),
            "the polynomial is over this basis"
        );
        let (words, limbs) = (poly.data().len(), poly.iter_mut().zip(&self.tables));
        parallel::each(work, words, limbs, |(limb, table)| f(table, limb));
    }

    fn zip<F: Form>(
        &self,
        a: &mut Poly<F>,
        b: &Poly<F>,
        f: impl Fn(&mut [u64], &[u64], &Modulus) + Sync + Send,
    ) {
        self.check(a, b);
        let limbs = a.iter_mut().zip(b.iter()).zip(&self.tables);
        parallel::each(Work::Pass, b.data().len(), limbs, |((x, y), table)| f(x, y, table.modulus()));
    }

    fn check<F: Form>(&self, a: &Poly<F>, b: &Poly<F>) {
        assert!(
            a.degree() == self.degree && b.degree() == self.degree && a.limbs() == b.limbs(),
            "operands have the shape of this basis"
        );
        assert!(a.limbs() <= self.tables.len(), "no more limbs than primes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::chain_primes;

    #[test]
    fn dividing_by_the_last_prime_rounds_to_nearest() {
        let degree = 16;
        let basis = Basis::new(degree, &chain_primes(degree, &[30, 25]).unwrap()).unwrap();
        let (q, p) = (basis.modulus(0).value() as i64, basis.modulus(1).value() as i64);
        let values: Vec<i64> = [
            0,
            1,
            -1,
            p / 2,
            p / 2 + 1,
            -(p / 2),
            -(p / 2) - 1,
            p,
            -p,
            3 * p - 1,
            3 * p + p / 2,
            q - 1,
            5,
            6,
            7,
            8,
        ]
        .to_vec();
        let poly = basis.forward(basis.from_signed(&values, 2));
        let inverse = basis.modulus(0).shoup(basis.modulus(0).inv(p as u64));
        let divided = Basis::divide_round_last(poly, &[basis.table(0), basis.table(1)], &[inverse]);
        let divided = basis.inverse(divided);
        for (x, r) in values.iter().zip(divided.limb(0)) {
            let expected = (2 * x + p).div_euclid(2 * p);
            assert_eq!(basis.modulus(0).centered(*r), expected, "{x} / {p}");
        }
    }

    #[test]
    fn a_prime_twice_or_a_foreign_prime_is_refused() {
        let q = chain_primes(16, &[30]).unwrap()[0];
        assert_eq!(Basis::new(16, &[q, q]).unwrap_err(), RingError::Repeated(q));
        assert_eq!(Basis::new(16, &[q + 2]).unwrap_err(), RingError::NotAPrime(q + 2));
        assert_eq!(
            Basis::new(16, &[1_000_003]).unwrap_err(),
            RingError::NotNttFriendly { modulus: 1_000_003, two_n: 32 }
        );
    }
}
