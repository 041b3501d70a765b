//! Key switching with one digit per data prime.

use hei_ring::kernel;
use hei_ring::{Basis, Ntt, Poly};

use crate::context::Context;
use crate::keys::SwitchKey;

/// Re-encrypts `input · s'` under s: returns (k_0, k_1) with k_0 + k_1 s = input · s' + noise, at the level of `input`.
///
/// Digit j is limb j of the input, *centered* in [-q_j/2, q_j/2]: SEAL takes it in [0, q_j), whose non-zero mean puts an
/// error into slot 0 two orders of magnitude above the median. Keys are the same for both.
///
/// Noise before division by P: sum over digits of digit · error, variance N · q_j²/12 · 10.5 each; after it, that over P²
/// plus the rounding (1 + 2N/3)/12. Cost for m limbs and k special primes: m inverse NTTs, m (m + k - 1) forward NTTs,
/// and the division by P.
pub(crate) fn switch(context: &Context, input: &Poly<Ntt>, key: &SwitchKey) -> (Poly<Ntt>, Poly<Ntt>) {
    let basis = context.basis();
    let (degree, limbs) = (context.degree(), input.limbs());
    let indices: Vec<usize> = (0..limbs).chain(context.data_count()..basis.len()).collect();
    let mut sums = [Poly::<Ntt>::zero(degree, indices.len()), Poly::zero(degree, indices.len())];
    let coefficients = basis.inverse(input.clone());
    let mut lifted = Poly::<Ntt>::zero(degree, 1);
    let lifted = lifted.limb_mut(0);
    for (j, (b, a)) in key.digits().iter().take(limbs).enumerate() {
        let from = basis.modulus(j);
        for (place, &t) in indices.iter().enumerate() {
            let to = basis.modulus(t);
            let digit: &[u64] = if t == j {
                input.limb(j)
            } else {
                kernel::lift_centered(lifted, coefficients.limb(j), from.value(), to);
                basis.table(t).forward(lifted);
                lifted
            };
            kernel::mul_add_assign(sums[0].limb_mut(place), digit, b.limb(t), to);
            kernel::mul_add_assign(sums[1].limb_mut(place), digit, a.limb(t), to);
        }
    }
    let [k0, k1] = sums.map(|sum| divide_by_special(context, sum, limbs));
    (k0, k1)
}

/// Divides by all special primes, one after the other, with rounding.
pub(crate) fn divide_by_special(context: &Context, mut poly: Poly<Ntt>, limbs: usize) -> Poly<Ntt> {
    let indices: Vec<usize> = (0..limbs).chain(context.data_count()..context.basis().len()).collect();
    for count in (limbs + 1..=indices.len()).rev() {
        let (kept, last) = (&indices[..count], indices[count - 1]);
        poly = Basis::divide_round_last(
            poly,
            &context.tables(kept.iter().copied()),
            &context.inverses_of(last, kept[..count - 1].iter().copied()),
        );
    }
    poly
}
