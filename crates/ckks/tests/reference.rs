//! Key switching against a reference that works with whole integers: the same words, bit for bit.

mod common;

use common::{Fixture, Set};
use hei_ckks::{GaloisKeys, SwitchKey};
use hei_ring::automorphism::permute;
use hei_ring::{Coeff, GaloisElement, Modulus, Ntt, Poly};

/// Digits and P of one or two primes, so that they fit 128 bits.
const RINGS: [Set; 5] = [
    (1024, &[60, 30, 30, 60], 1, 30),
    (1024, &[40, 36, 36, 30], 1, 30),
    (1024, &[50, 47, 47, 47, 47, 50, 50], 2, 40),
    (1024, &[60, 30, 31, 60, 60, 59], 2, 30),
    (1024, &[40, 36, 36, 36, 36, 36, 30, 30], 2, 30),
];

/// The centered integer with residues `words` modulo one or two primes.
fn compose(words: &[u64], primes: &[Modulus]) -> i128 {
    let (value, product) = match (words, primes) {
        ([x], [q]) => (i128::from(*x), i128::from(q.value())),
        ([x, y], [q, r]) => {
            let steps = r.mul(r.sub(*y, r.reduce(*x)), r.inv(r.reduce(q.value())));
            let value = i128::from(*x) + i128::from(q.value()) * i128::from(steps);
            (value, i128::from(q.value()) * i128::from(r.value()))
        }
        _ => unreachable!("one or two primes"),
    };
    if value > product / 2 { value - product } else { value }
}

/// A polynomial of integers modulo primes of the context.
fn reduce(f: &Fixture, integers: &[i128], primes: &[usize]) -> Vec<Vec<u64>> {
    let basis = f.context.basis();
    primes
        .iter()
        .map(|t| {
            let q = i128::from(basis.modulus(*t).value());
            let mut limb: Vec<u64> = integers.iter().map(|x| x.rem_euclid(q) as u64).collect();
            basis.table(*t).forward(&mut limb);
            limb
        })
        .collect()
}

fn integers(f: &Fixture, limbs: &[(usize, Vec<u64>)]) -> Vec<i128> {
    let basis = f.context.basis();
    let primes: Vec<Modulus> = limbs.iter().map(|(t, _)| *basis.modulus(*t)).collect();
    let coefficients: Vec<Vec<u64>> = limbs
        .iter()
        .map(|(t, limb)| {
            let mut limb = limb.clone();
            basis.table(*t).inverse(&mut limb);
            limb
        })
        .collect();
    (0..f.degree())
        .map(|i| compose(&coefficients.iter().map(|limb| limb[i]).collect::<Vec<_>>(), &primes))
        .collect()
}

/// input · s' under s, in the order of the textbook: cut into digits, multiply by the key, divide by P.
fn switch(f: &Fixture, input: &Poly<Ntt>, key: &SwitchKey) -> [Vec<Vec<u64>>; 2] {
    let basis = f.context.basis();
    let (level, alpha, data) = (input.limbs() - 1, f.context.special_count(), f.context.data_count());
    let primes: Vec<usize> = (0..=level).chain(data..data + alpha).collect();
    let mut sums = [(); 2].map(|()| vec![vec![0u64; f.degree()]; primes.len()]);
    for (j, digit) in key.digits().iter().enumerate().take(level / alpha + 1) {
        let group: Vec<_> = (j * alpha..(j + 1) * alpha)
            .filter(|i| *i <= level)
            .map(|i| (i, input.limb(i).to_vec()))
            .collect();
        let lifted = reduce(f, &integers(f, &group), &primes);
        let (b, a) = digit.parts();
        for (place, t) in primes.iter().enumerate() {
            let (modulus, in_key) =
                (basis.modulus(*t), if *t < data { *t } else { t - data + key.level() + 1 });
            for (sum, part) in sums.iter_mut().zip([b, a]) {
                for ((s, d), k) in sum[place].iter_mut().zip(&lifted[place]).zip(part.limb(in_key)) {
                    *s = modulus.add(*s, modulus.mul(*d, *k));
                }
            }
        }
    }
    sums.map(|sum| {
        let special: Vec<_> =
            primes[level + 1..].iter().copied().zip(sum[level + 1..].iter().cloned()).collect();
        let remainder = reduce(f, &integers(f, &special), &primes[..=level]);
        (0..=level)
            .map(|i| {
                let m = basis.modulus(i);
                let p = f.context.special_moduli().fold(1, |p, s| m.mul(p, m.reduce(s.value())));
                let divide = |(x, r): (&u64, &u64)| m.mul(m.sub(*x, *r), m.inv(p));
                sum[i].iter().zip(&remainder[i]).map(divide).collect()
            })
            .collect()
    })
}

#[test]
fn rotations_and_relinearizations_equal_the_reference() {
    for set in RINGS {
        let mut f = Fixture::new(set, 4);
        let (x, element) = (f.numbers(3), GaloisElement::rotation(3, f.degree()));
        let keys = f.key.galois_keys(&[element], &mut f.randomness).unwrap();
        let relin = f.key.relin_key(&mut f.randomness).unwrap();
        let permutation = element.permutation(f.degree());
        let fresh = f.encrypt(&x);
        for level in [f.top(), 1, 0] {
            let a = f.evaluator.drop_to_level(&fresh, level).unwrap();
            let moved: Vec<Poly<Ntt>> = a.parts().iter().map(|p| permute(p, &permutation)).collect();
            for key in [keys.clone(), trimmed(&f, &keys, element, level)] {
                let [k0, k1] = switch(&f, &moved[1], &key.key(element).unwrap());
                let rotated = f.evaluator.rotate(&a, 3, &key).unwrap();
                for i in 0..=level {
                    let m = f.context.basis().modulus(i);
                    let first = k0[i].iter().zip(moved[0].limb(i)).map(|(k, c)| m.add(*k, *c));
                    assert!(rotated.parts()[0].limb(i).iter().copied().eq(first), "{}", f.name);
                    assert_eq!(rotated.parts()[1].limb(i), k1[i], "{}", f.name);
                }
            }
            let wide = f.evaluator.multiply_scalar(&a, 1.0, 1.0).unwrap();
            let three = f.evaluator.multiply(&wide, &wide);
            // At level 0 a product may not fit the modulus.
            let Ok(three) = three else { continue };
            let [k0, _] = switch(&f, &three.parts()[2], &relin.0);
            let two = f.evaluator.relinearize(&three, &relin).unwrap();
            for (i, k) in k0.iter().enumerate() {
                let m = f.context.basis().modulus(i);
                let first = k.iter().zip(three.parts()[0].limb(i)).map(|(k, c)| m.add(*k, *c));
                assert!(two.parts()[0].limb(i).iter().copied().eq(first), "{}", f.name);
            }
        }
    }
}

fn trimmed(f: &Fixture, keys: &GaloisKeys, element: GaloisElement, level: usize) -> GaloisKeys {
    let key = keys.key(element).unwrap().trimmed(&f.context, level).unwrap();
    GaloisKeys::from_keys(&f.context, [(element, key)])
}

/// The reference composes integers as it should.
#[test]
fn the_reference_composes_centered_integers() {
    let f = Fixture::new(RINGS[2], 1);
    let basis = f.context.basis();
    let values: Vec<i64> = (0..f.degree() as i64).map(|i| (i - 500) * 1_234_567_891_234).collect();
    let poly: Poly<Coeff> = basis.from_signed(&values, 2);
    for (i, value) in values.iter().enumerate() {
        let words = [poly.limb(0)[i], poly.limb(1)[i]];
        assert_eq!(compose(&words, &[*basis.modulus(0), *basis.modulus(1)]), i128::from(*value));
    }
}
