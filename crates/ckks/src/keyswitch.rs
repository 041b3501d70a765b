//! Key switching with digits of several primes (K. Han and D. Ki, ia.cr/2019/688); one special prime is SEAL's layout.

use core::ops::Range;

use hei_ring::kernel::{self, sums};
use hei_ring::modulus::Shoup;
use hei_ring::parallel::{self, Work};
use hei_ring::{Basis, Extension, Modulus, Ntt, Poly, Prepared};

use crate::context::Context;
use crate::evaluation_keys::SwitchKey;

/// Constants of key switching for one parameter set with special primes.
#[derive(Debug)]
pub(crate) struct SwitchTables {
    /// `digits[j][s - 1]`: from the first s primes of group j to all primes.
    digits: Vec<Vec<Extension>>,
    /// Division by P.
    special: Division,
    /// `special_and[l]`: division by q_l P.
    special_and: Vec<Division>,
    /// P modulo each data prime.
    special_product: Vec<Shoup>,
}

/// Constants to divide by a product D of primes with rounding.
#[derive(Debug)]
struct Division {
    /// From the primes of D to the data primes that are kept.
    extension: Extension,
    /// 1/D modulo those.
    inverses: Vec<Shoup>,
}

impl Division {
    fn new(by: &[Modulus], kept: &[Modulus]) -> Self {
        let inverse = |m: &Modulus| m.shoup(m.inv(product(by, m)));
        Self { extension: Extension::new(by, kept), inverses: kept.iter().map(inverse).collect() }
    }
}

fn product(factors: &[Modulus], modulus: &Modulus) -> u64 {
    factors.iter().fold(1, |product, p| modulus.mul(product, modulus.reduce(p.value())))
}

impl SwitchTables {
    /// `None` without special primes.
    pub(crate) fn new(basis: &Basis, data_count: usize) -> Option<Self> {
        let all: Vec<Modulus> = basis.moduli().copied().collect();
        let (data, special) = all.split_at(data_count);
        if special.is_empty() {
            return None;
        }
        let digits = data
            .chunks(special.len())
            .map(|group| (1..=group.len()).map(|s| Extension::new(&group[..s], &all)).collect())
            .collect();
        let special_and =
            (0..data_count).map(|l| Division::new(&[&data[l..=l], special].concat(), &data[..l])).collect();
        Some(Self {
            digits,
            special: Division::new(special, data),
            special_and,
            special_product: data.iter().map(|m| m.shoup(product(special, m))).collect(),
        })
    }
}

/// The data primes of each digit of a ciphertext or key at a level.
pub(crate) fn digit_groups(context: &Context, level: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let alpha = context.special_count().max(1);
    (0..=level).step_by(alpha).map(move |start| start..(start + alpha).min(level + 1))
}

/// Place in the whole chain of limb `place` of a polynomial over the data primes of a level and the special primes.
#[inline]
pub(crate) fn prime_index(context: &Context, level: usize, place: usize) -> usize {
    if place <= level { place } else { place - level - 1 + context.data_count() }
}

/// Limbs of a polynomial over the data primes of a level and the special primes.
pub(crate) fn extended_limbs(context: &Context, level: usize) -> usize {
    level + 1 + context.special_count()
}

/// A polynomial cut into digits, ready to be lifted to any prime.
///
/// Digit j is the input modulo the product D_j of its group, *centered*: of size at most D_j/2 (1 + s · 2^-29) for a group of
/// s primes. SEAL takes it in [0, D_j), whose non-zero mean puts an error into slot 0 two orders of magnitude above the
/// median. Keys are the same for both.
struct Decomposition<'a> {
    context: &'a Context,
    input: &'a Poly<Ntt>,
    digits: Vec<(Range<usize>, &'a Extension, Prepared)>,
}

impl<'a> Decomposition<'a> {
    /// Cost: an inverse NTT for each limb.
    fn new(context: &'a Context, tables: &'a SwitchTables, input: &'a Poly<Ntt>) -> Self {
        let basis = context.basis();
        let groups = digit_groups(context, input.limbs() - 1).zip(&tables.digits);
        let digits = parallel::map(Work::Transform, input.data().len(), groups, |(group, extensions)| {
            let extension = &extensions[group.len() - 1];
            let prepared = extension.prepare(context.degree(), |i, limb| {
                basis.table(group.start + i).inverse_from(limb, input.limb(group.start + i));
            });
            (group, extension, prepared)
        });
        Self { context, input, digits }
    }

    /// Writes digit j modulo prime t in NTT form, unless the input holds it already.
    fn lift(&self, j: usize, t: usize, out: &mut [u64]) {
        let (group, extension, prepared) = &self.digits[j];
        if !group.contains(&t) {
            let fill = |start: usize, part: &mut [u64]| extension.lift(prepared, t, start, part);
            self.context.basis().table(t).forward_with(out, fill, |_, _| ());
        }
    }

    /// Digit j modulo prime t, where `lifted` is what [`lift`](Self::lift) wrote.
    fn digit<'b>(&'b self, j: usize, t: usize, lifted: &'b [u64]) -> &'b [u64] {
        if self.digits[j].0.contains(&t) { self.input.limb(t) } else { lifted }
    }
}

/// All digits of a polynomial over the data primes of its level and the special primes.
///
/// Cost for m limbs and k special primes in d digits: m inverse NTTs and d (m + k) - m forward NTTs.
pub(crate) fn decompose(context: &Context, tables: &SwitchTables, input: &Poly<Ntt>) -> Vec<Poly<Ntt>> {
    let level = input.limbs() - 1;
    let decomposition = Decomposition::new(context, tables, input);
    let (degree, limbs, count) =
        (context.degree(), extended_limbs(context, level), decomposition.digits.len());
    let mut digits: Vec<_> = (0..count).map(|_| Poly::scratch(degree, limbs)).collect();
    let all = digits.iter_mut().enumerate().flat_map(|(j, digit)| {
        digit.iter_mut().enumerate().map(move |(place, limb)| (j, prime_index(context, level, place), limb))
    });
    parallel::each(Work::Transform, degree * limbs * count, all, |(j, t, limb)| {
        if decomposition.digits[j].0.contains(&t) {
            limb.copy_from_slice(input.limb(t));
        } else {
            decomposition.lift(j, t, limb);
        }
    });
    digits
}

/// Re-encrypts `input · s'` under s, times P: over the data primes of the input's level and the special primes.
///
/// The key must reach the level of the input. Noise: a sum over digits of digit · error, each of variance
/// N · D_j²/12 · 10.5. Cost: as [`decompose`], and 2 d (m + k) products a coefficient.
pub(crate) fn switch_extended(
    context: &Context,
    tables: &SwitchTables,
    input: &Poly<Ntt>,
    key: &SwitchKey,
) -> [Poly<Ntt>; 2] {
    let level = input.limbs() - 1;
    let decomposition = Decomposition::new(context, tables, input);
    let count = decomposition.digits.len();
    let mut sums = [(); 2].map(|()| Poly::scratch(context.degree(), extended_limbs(context, level)));
    let (words, limbs) = (sums[0].data().len(), both_limbs(&mut sums));
    let scratch = || Poly::<Ntt>::scratch(context.degree(), count);
    parallel::each_with(Work::Transform, words, limbs, scratch, |lifted, (place, out)| {
        let t = prime_index(context, level, place);
        for (j, out) in lifted.iter_mut().enumerate() {
            decomposition.lift(j, t, out);
        }
        let digit = |j: usize| decomposition.digit(j, t, lifted.limb(j));
        multiply_key(context, key, (level, place), count, digit, out);
    });
    sums
}

/// [`switch_extended`] of digits that are there already.
pub(crate) fn switch_digits(
    context: &Context,
    digits: &[Poly<Ntt>],
    level: usize,
    key: &SwitchKey,
) -> [Poly<Ntt>; 2] {
    let mut sums = [(); 2].map(|()| Poly::scratch(context.degree(), extended_limbs(context, level)));
    let (words, limbs) = (digits.len() * sums[0].data().len(), both_limbs(&mut sums));
    parallel::each(Work::Pass, words, limbs, |(place, out)| {
        let digit = |j: usize| digits[j].limb(place);
        multiply_key(context, key, (level, place), digits.len(), digit, out);
    });
    sums
}

/// One limb of two polynomials.
type Limbs<'a> = (&'a mut [u64], &'a mut [u64]);

/// The limbs of two polynomials, with their place.
fn both_limbs([first, second]: &mut [Poly<Ntt>; 2]) -> impl Iterator<Item = (usize, Limbs<'_>)> {
    first.iter_mut().zip(second.iter_mut()).enumerate()
}

/// Writes the sum of digits times key to one limb of both sums.
fn multiply_key<'a>(
    context: &Context,
    key: &'a SwitchKey,
    (level, place): (usize, usize),
    digits: usize,
    digit: impl Fn(usize) -> &'a [u64],
    out: Limbs<'_>,
) {
    let modulus = context.basis().modulus(prime_index(context, level, place));
    let in_key = if place <= level { place } else { place + key.level - level };
    let mut terms = [(&[][..], &[][..], &[][..]); 64];
    for (j, (term, key)) in terms.iter_mut().zip(&key.digits[..digits]).enumerate() {
        *term = (digit(j), key.b.limb(in_key), key.a.limb(in_key));
    }
    sums::dot_pair(out, &terms[..digits], modulus);
}

/// Divides by all special primes at once, with rounding to the nearest: `poly` is over `limbs` data primes and the special
/// primes, the result over those data primes. With one special prime the rounding is SEAL's; with k of them, numbers within
/// k · 2^-30 of a half may go to the farther neighbor.
///
/// Cost: k inverse NTTs and one NTT for each limb kept.
pub(crate) fn divide_by_special(context: &Context, poly: Poly<Ntt>, limbs: usize) -> Poly<Ntt> {
    match context.switching() {
        Some(tables) => divide(context, &tables.special, poly, limbs),
        None => poly,
    }
}

/// [`divide_by_special`] of both parts of a ciphertext.
pub(crate) fn divide_both(context: &Context, parts: [Poly<Ntt>; 2], limbs: usize) -> [Poly<Ntt>; 2] {
    let words = 2 * parts[0].data().len();
    parallel::both(Work::Transform, words, parts, |part| divide_by_special(context, part, limbs))
}

/// [`divide_both`] and a rescaling in one division, with one rounding: by P and the last of the data primes.
///
/// Cost: k + 1 inverse NTTs and one NTT for each limb kept.
pub(crate) fn divide_both_by_special_and_last(
    context: &Context,
    tables: &SwitchTables,
    parts: [Poly<Ntt>; 2],
    limbs: usize,
) -> [Poly<Ntt>; 2] {
    let words = 2 * parts[0].data().len();
    parallel::both(Work::Transform, words, parts, |part| {
        divide(context, &tables.special_and[limbs - 1], part, limbs - 1)
    })
}

/// The primes divided by are the limbs from `kept` on.
fn divide(context: &Context, division: &Division, mut poly: Poly<Ntt>, kept: usize) -> Poly<Ntt> {
    let basis = context.basis();
    let degree = context.degree();
    let divisors = division.extension.sources();
    // The last of them are special primes; the one before, if any, is the data prime `kept`.
    let prime = |i: usize| {
        let from_end = divisors - i;
        if from_end <= context.special_count() { basis.len() - from_end } else { kept }
    };
    let remainder = division.extension.prepare(degree, |i, limb| {
        basis.table(prime(i)).inverse_from(limb, poly.limb(kept + i));
    });
    poly.truncate(kept);
    let (words, limbs) = (poly.data().len(), poly.iter_mut().zip(&division.inverses).enumerate());
    let scratch = || Poly::<Ntt>::scratch(degree, 1);
    parallel::each_with(Work::Transform, words, limbs, scratch, |lifted, (i, (limb, inverse))| {
        basis.table(i).forward_with(
            lifted.limb_mut(0),
            |start, part| division.extension.lift(&remainder, i, start, part),
            |start, part| {
                kernel::sub_mul_assign(
                    &mut limb[start..start + part.len()],
                    part,
                    *inverse,
                    basis.modulus(i),
                );
            },
        );
    });
    poly
}

/// P · p over the data primes of the level of `p` and the special primes, where it is zero.
pub(crate) fn times_special(context: &Context, tables: &SwitchTables, p: &Poly<Ntt>) -> Poly<Ntt> {
    let mut out = Poly::zero(context.degree(), extended_limbs(context, p.limbs() - 1));
    add_times_special(context, tables, &mut out, p);
    out
}

/// out += P · p, over the data primes of the level of `p` and the special primes.
pub(crate) fn add_times_special(
    context: &Context,
    tables: &SwitchTables,
    out: &mut Poly<Ntt>,
    p: &Poly<Ntt>,
) {
    let limbs = out.iter_mut().zip(p.iter()).enumerate();
    parallel::each(Work::Pass, p.data().len(), limbs, |(i, (out, limb))| {
        kernel::mul_scalar_add_assign(out, limb, tables.special_product[i], context.basis().modulus(i));
    });
}
