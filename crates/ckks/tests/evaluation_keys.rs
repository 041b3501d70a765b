//! Evaluation keys: digits of several primes, hoisting, levels, manifests.

mod common;

use common::{Fixture, zip};
use hei_ckks::noise::Noise;
use hei_ckks::{
    EvaluatorError, GaloisKeys, KeyDigit, KeyManifest, MissingKey, RelinKey, SwitchKey, switch_key_bytes,
};
use hei_ring::{GaloisElement, Poly};

#[test]
fn one_special_prime_gives_a_digit_for_each_data_prime_and_more_give_fewer() {
    Fixture::each(|f| {
        let (data, special) = (f.context.data_count(), f.context.special_count());
        let key = f.key.relin_key(&mut f.randomness).unwrap().0;
        assert_eq!(key.digits().len(), data.div_ceil(special));
        assert_eq!(key.level(), f.top());
        for digit in key.digits() {
            let (b, a) = digit.parts();
            assert_eq!((b.limbs(), a.limbs()), (data + special, data + special));
        }
    });
}

/// b + a s is P s² plus a small error on the limbs of the digit's group, and a small error on the others.
#[test]
fn digits_encrypt_p_times_the_secret_on_their_group_only() {
    Fixture::each(|f| {
        let basis = f.context.basis();
        let (alpha, all) = (f.context.special_count(), basis.len());
        let key = f.key.relin_key(&mut f.randomness).unwrap().0;
        let mut square = f.key.ntt().clone();
        basis.mul_assign(&mut square, f.key.ntt());
        for (j, digit) in key.digits().iter().enumerate() {
            let (b, a) = digit.parts();
            let mut phase = b.clone();
            basis.mul_add_assign(&mut phase, a, f.key.ntt());
            for i in (j * alpha..(j + 1) * alpha).filter(|i| *i < f.context.data_count()) {
                let modulus = basis.modulus(i);
                let special =
                    f.context.special_moduli().fold(1, |p, m| modulus.mul(p, modulus.reduce(m.value())));
                for (x, s) in phase.limb_mut(i).iter_mut().zip(square.limb(i)) {
                    *x = modulus.sub(*x, modulus.mul(special, *s));
                }
            }
            let error = basis.inverse(phase);
            for i in 0..all {
                assert!(
                    error.limb(i).iter().all(|e| basis.modulus(i).centered(*e).abs() <= 21),
                    "{}",
                    f.name
                );
            }
            assert_eq!(
                basis.modulus(0).centered(error.limb(0)[5]),
                basis.modulus(all - 1).centered(error.limb(all - 1)[5])
            );
        }
    });
}

#[test]
fn hoisted_rotations_equal_plain_ones_bit_for_bit() {
    Fixture::each(|f| {
        let x = f.numbers(21);
        let mut elements: Vec<_> = [1, -3].map(|s| GaloisElement::rotation(s, f.degree())).to_vec();
        elements.push(GaloisElement::conjugation(f.degree()));
        let keys = f.key.galois_keys(&elements, &mut f.randomness).unwrap();
        let fresh = f.encrypt(&x);
        let e = f.evaluator.clone();
        for level in [f.top(), 0] {
            let a = e.drop_to_level(&fresh, level).unwrap();
            let hoisted = e.hoist(&a).unwrap();
            for step in [0, 1, -3] {
                let plain = e.rotate(&a, step, &keys).unwrap();
                assert_eq!(e.rotate_hoisted(&hoisted, step, &keys).unwrap(), plain, "{}", f.name);
                let extended = e.rotate_extended(&hoisted, step, &keys).unwrap();
                let finished = e.finish(extended.clone()).unwrap();
                // Divided after the rotation instead of before, and c_0 with it: equal for one special prime.
                if f.context.special_count() == 1 {
                    assert_eq!(finished.parts(), plain.parts(), "{}", f.name);
                }
                let noise = Noise::fresh_symmetric().plus(f.switch_noise(level));
                let slots = f.context.slots() as i64;
                let expected: Vec<f64> =
                    (0..slots).map(|i| x[(i + step).rem_euclid(slots) as usize]).collect();
                f.expect("extended", &finished, &expected, noise);
                if level > 0 {
                    let rescaled = e.finish_rescaled(extended).unwrap();
                    let last = f.context.basis().modulus(level).value();
                    assert_eq!((rescaled.level(), rescaled.scale()), (level - 1, a.scale() / last as f64));
                }
            }
            assert_eq!(e.conjugate_hoisted(&hoisted, &keys).unwrap(), e.conjugate(&a, &keys).unwrap());
        }
        let hoisted = e.hoist(&fresh).unwrap();
        assert!(matches!(e.rotate_hoisted(&hoisted, 7, &keys), Err(EvaluatorError::MissingGaloisKey(_))));
    });
}

#[test]
fn relinearizing_and_rescaling_in_one_division() {
    Fixture::each(|f| {
        let (x, y) = (f.numbers(6), f.numbers(7));
        let (a, b) = (f.encrypt(&x), f.encrypt(&y));
        let e = f.evaluator.clone();
        let relin = f.key.relin_key(&mut f.randomness).unwrap();
        let three = e.multiply(&a, &b).unwrap();
        let both = e.relinearize_rescale(&three, &relin).unwrap();
        let one_by_one = e.rescale(&e.relinearize(&three, &relin).unwrap()).unwrap();
        assert_eq!((both.level(), both.scale()), (one_by_one.level(), one_by_one.scale()));
        let last = f.context.basis().modulus(f.top()).value();
        let noise = f.product_noise().plus(f.switch_noise(f.top())).rescale(f.degree(), last);
        f.expect("in one", &both, &zip(&x, &y, |x, y| x * y), noise);

        assert_eq!(e.square(&a).unwrap(), e.multiply(&a, &a).unwrap());
        let mut sum = e.multiply(&a, &a).unwrap();
        e.multiply_add_assign(&mut sum, &a, &b).unwrap();
        assert_eq!(sum, e.add(&e.square(&a).unwrap(), &three).unwrap());
        // A sum of two and three parts has three.
        let scaled = e.multiply_scalar(&a, 1.0, a.scale()).unwrap();
        let mixed = e.add(&scaled, &three).unwrap();
        assert_eq!(mixed, e.add(&three, &scaled).unwrap());
        f.expect("mixed", &mixed, &zip(&x, &y, |x, y| x + x * y), f.product_noise().times(2.0));

        let bottom = e.drop_to_level(&three, 0).unwrap();
        assert_eq!(e.relinearize_rescale(&bottom, &relin), Err(EvaluatorError::NoLevelLeft));
    });
}

#[test]
fn keys_work_at_their_level_and_below_and_are_refused_above() {
    Fixture::each(|f| {
        let x = f.numbers(31);
        let (e, level) = (f.evaluator.clone(), f.top() - 1);
        let element = GaloisElement::rotation(2, f.degree());
        let whole = f.key.galois_keys(&[element], &mut f.randomness).unwrap();
        let made = f.key.galois_keys_at([(element, level)], &mut f.randomness).unwrap();
        let cut = whole.key(element).unwrap().trimmed(&f.context, level).unwrap();
        assert_eq!(cut.digits().len(), SwitchKey::digit_count(&f.context, level));
        assert_eq!(SwitchKey::moduli(&f.context, level).len(), cut.digits()[0].parts().0.limbs());
        assert!(cut.trimmed(&f.context, level + 1).is_none());
        let cut = GaloisKeys::from_keys(&f.context, [(element, cut)]);
        assert_eq!((cut.level(element), made.level(element)), (Some(level), Some(level)));

        let fresh = f.encrypt(&x);
        let slots = f.context.slots();
        let expected: Vec<f64> = (0..slots).map(|i| x[(i + 2) % slots]).collect();
        for below in [level, 0] {
            let a = e.drop_to_level(&fresh, below).unwrap();
            let noise = Noise::fresh_symmetric().plus(f.switch_noise(below));
            f.expect("made lower", &e.rotate(&a, 2, &made).unwrap(), &expected, noise);
            assert_eq!(e.rotate(&a, 2, &cut).unwrap(), e.rotate(&a, 2, &whole).unwrap(), "{}", f.name);
        }
        let refused = Err(EvaluatorError::KeyLevel { key: level, ciphertext: f.top() });
        assert_eq!(e.rotate(&fresh, 2, &made), refused);
        let relin = f.key.relin_key_at(level, &mut f.randomness).unwrap();
        assert_eq!(e.relinearize(&e.square(&fresh).unwrap(), &relin), refused);
        let hoisted = e.hoist(&fresh).unwrap();
        assert_eq!(e.rotate_hoisted(&hoisted, 2, &made), refused);
    });
}

#[test]
fn keys_come_back_from_their_seeds_at_every_level() {
    Fixture::each(|f| {
        let element = GaloisElement::rotation(1, f.degree());
        for level in [f.top(), 0] {
            let keys = f.key.galois_keys_at([(element, level)], &mut f.randomness).unwrap();
            let key = keys.key(element).unwrap();
            let digits = key
                .digits()
                .iter()
                .map(|d| KeyDigit::from_seed(&f.context, level, d.parts().0.clone(), d.seed().unwrap()))
                .collect();
            let back = SwitchKey::from_digits(&f.context, level, digits).unwrap();
            assert_eq!(back, key, "{}", f.name);
            assert_eq!(GaloisKeys::from_keys(&f.context, [(element, back)]), keys);
            // A lower key from the same seeds: the mask of a prime depends on its place in the whole chain.
            if level > 0 {
                let trimmed = key.trimmed(&f.context, 0).unwrap();
                let digit = &trimmed.digits()[0];
                let again =
                    KeyDigit::from_seed(&f.context, 0, digit.parts().0.clone(), digit.seed().unwrap());
                assert_eq!(&again, digit);
            }
        }
    });
}

#[test]
fn keys_of_another_shape_or_of_other_parameters_are_refused() {
    let mut f = Fixture::new(common::SETS[0], 5);
    let key = f.key.relin_key(&mut f.randomness).unwrap().0;
    let (degree, limbs) = (f.degree(), f.context.basis().len());
    let digit = |limbs| KeyDigit::new(Poly::zero(degree, limbs), Poly::zero(degree, limbs));
    let digits = |count: usize, limbs| (0..count).map(|_| digit(limbs)).collect::<Vec<_>>();
    assert!(SwitchKey::from_digits(&f.context, 2, digits(3, limbs)).is_some());
    assert!(SwitchKey::from_digits(&f.context, 1, digits(2, limbs - 1)).is_some());
    for (level, count, limbs) in
        [(2, 2, limbs), (2, 4, limbs), (2, 3, limbs - 1), (1, 2, limbs), (3, 4, limbs + 1)]
    {
        assert!(SwitchKey::from_digits(&f.context, level, digits(count, limbs)).is_none());
    }
    let mut other = Fixture::new((degree, &[40, 30, 31, 40], 1, 30), 6);
    let a = other.encrypt(&[1.0]);
    let three = other.evaluator.square(&a).unwrap();
    assert_eq!(other.evaluator.relinearize(&three, &RelinKey(key)), Err(EvaluatorError::Parameters));
    let none = Fixture::new((degree, &[40, 30], 0, 30), 7);
    let mut none = none;
    let a = none.encrypt(&[1.0]);
    assert_eq!(none.evaluator.hoist(&a).err(), Some(EvaluatorError::NoSpecialPrime));
}

#[test]
fn a_manifest_names_what_is_needed_once_and_counts_its_bytes() {
    Fixture::each(|f| {
        let top = f.top();
        let mut manifest = KeyManifest::new();
        assert!(manifest.is_empty() && manifest.bytes(&f.context) == 0);
        manifest.need_rotation(&f.context, 1, 0);
        manifest.need_rotation(&f.context, 1, top);
        manifest.need_rotation(&f.context, 0, top);
        manifest.need_rotation(&f.context, f.context.slots() as i64, top);
        let mut other = KeyManifest::new();
        other.need_relinearization(0);
        other.need_rotation(&f.context, 1, 0);
        manifest.merge(&other);
        let rotation = GaloisElement::rotation(1, f.degree());
        assert_eq!(manifest.galois().collect::<Vec<_>>(), [(rotation, top)]);
        assert_eq!(manifest.relinearization(), Some(0));

        let keys = f.key.evaluation_keys(&manifest, &mut f.randomness).unwrap();
        assert!(manifest.missing(&keys).is_empty());
        let mut more = manifest.clone();
        more.need_relinearization(top);
        assert_eq!(more.missing(&keys), [MissingKey::Relinearization { level: top }]);
        let missing = manifest.missing(&Default::default());
        let galois = MissingKey::Galois { element: rotation, level: top };
        assert_eq!(missing, [MissingKey::Relinearization { level: 0 }, galois]);

        // Bytes as a writer would count them: seeds, and the residues of b at their widths.
        let written = |key: &SwitchKey| -> usize {
            let widths =
                SwitchKey::moduli(&f.context, key.level()).map(|m| f.degree() * m.bits() as usize / 8);
            key.digits().len() * (32 + widths.sum::<usize>())
        };
        let galois = keys.galois.key(rotation).unwrap();
        let relin = &keys.relinearization.as_ref().unwrap().0;
        assert_eq!(manifest.bytes(&f.context), written(&galois) + written(relin));
        assert_eq!(switch_key_bytes(&f.context, top), written(&galois));
        let words =
            |key: &SwitchKey| key.digits().iter().map(|d| 2 * d.parts().0.data().len() * 8).sum::<usize>();
        assert_eq!(manifest.memory(&f.context), words(&galois) + words(relin) + 4 * f.degree());
    });
}
