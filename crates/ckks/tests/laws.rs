//! The laws of the scheme, over every parameter set, each within its stated noise bound.

mod common;

use common::{Fixture, zip};
use hei_ckks::noise::Noise;
use hei_ckks::{EvaluatorError, SecretKey};
use hei_ring::GaloisElement;

#[test]
fn encryption_is_undone_by_decryption() {
    Fixture::each(|f| {
        let x = f.numbers(1);
        let symmetric = f.encrypt(&x);
        assert!(symmetric.seed().is_some());
        f.expect("symmetric", &symmetric, &x, Noise::fresh_symmetric());

        let public = f.key.public_key(&mut f.randomness).unwrap();
        for level in [f.top(), 0] {
            let plaintext = f.encoder.encode(&x, level, f.context.scale()).unwrap();
            let ciphertext = public.encrypt(&plaintext, &mut f.randomness).unwrap();
            assert_eq!((ciphertext.level(), ciphertext.seed()), (level, None));
            f.expect("public", &ciphertext, &x, Noise::fresh_public(f.degree(), f.special_bits()));
        }
    });
}

#[test]
fn noise_is_there_and_close_to_its_estimate() {
    Fixture::each(|f| {
        let zero = f.encrypt(&[0.0]);
        let phase = f.context.basis().inverse(f.key.decrypt(&zero).unwrap().poly().clone());
        let modulus = f.context.basis().modulus(0);
        let square: f64 = phase.limb(0).iter().map(|r| (modulus.centered(*r) as f64).powi(2)).sum();
        let std = (square / f.degree() as f64).sqrt();
        // The estimate of a standard deviation from N samples is good to 1/sqrt(2N).
        let tolerance = 6.0 * Noise::fresh_symmetric().std() / (2.0 * f.degree() as f64).sqrt();
        assert!((std - Noise::fresh_symmetric().std()).abs() < tolerance, "{}: {std}", f.name);
    });
}

#[test]
fn linear_operations_are_linear() {
    Fixture::each(|f| {
        let (x, y) = (f.numbers(2), f.numbers(3));
        let (a, b) = (f.encrypt(&x), f.encrypt(&y));
        let fresh = Noise::fresh_symmetric();
        let two = fresh.times(2f64.sqrt());
        let e = f.evaluator.clone();
        f.expect("add", &e.add(&a, &b).unwrap(), &zip(&x, &y, |x, y| x + y), two);
        f.expect("sub", &e.sub(&a, &b).unwrap(), &zip(&x, &y, |x, y| x - y), two);
        f.expect("negate", &e.negate(&a).unwrap(), &x.iter().map(|x| -x).collect::<Vec<_>>(), fresh);
        let plaintext = f.encoder.encode(&y, f.top(), f.context.scale()).unwrap();
        f.expect("add_plain", &e.add_plain(&a, &plaintext).unwrap(), &zip(&x, &y, |x, y| x + y), fresh);
        f.expect(
            "add_scalar",
            &e.add_scalar(&a, -0.75).unwrap(),
            &x.iter().map(|x| x - 0.75).collect::<Vec<_>>(),
            fresh,
        );
        assert_eq!(e.add(&a, &b).unwrap(), e.add(&b, &a).unwrap());
        assert_eq!(e.sub(&e.add(&a, &b).unwrap(), &b).unwrap().parts(), a.parts());
        assert!(e.add(&a, &b).unwrap().seed().is_none(), "a sum is no expansion of a seed");
    });
}

#[test]
fn products_with_plaintexts_and_scalars() {
    Fixture::each(|f| {
        let (x, y) = (f.numbers(4), f.numbers(5));
        let a = f.encrypt(&x);
        let e = f.evaluator.clone();
        let weight_scale = 2f64.powi(20);
        let plaintext = f.encoder.encode(&y, f.top(), weight_scale).unwrap();
        let product = e.multiply_plain(&a, &plaintext).unwrap();
        assert_eq!(product.scale(), f.context.scale() * weight_scale);
        // The weight's own rounding, up to sqrt(N/24) a slot at 6.5 sigma, times the message, joins the fresh noise.
        let std =
            Noise::fresh_symmetric().times(weight_scale).plus(Noise::encoding().times(f.context.scale()));
        f.expect("multiply_plain", &product, &zip(&x, &y, |x, y| x * y), std);

        let scaled = e.multiply_scalar(&a, -0.625, weight_scale).unwrap();
        f.expect(
            "multiply_scalar",
            &scaled,
            &x.iter().map(|x| -0.625 * x).collect::<Vec<_>>(),
            Noise::fresh_symmetric().times(weight_scale),
        );
        let mut sum = scaled.clone();
        e.multiply_scalar_add_assign(&mut sum, &a, 0.25, weight_scale).unwrap();
        assert_eq!(sum, e.add(&scaled, &e.multiply_scalar(&a, 0.25, weight_scale).unwrap()).unwrap());
    });
}

#[test]
fn products_relinearize_and_rescale() {
    Fixture::each(|f| {
        let (x, y) = (f.numbers(6), f.numbers(7));
        let (a, b) = (f.encrypt(&x), f.encrypt(&y));
        let expected = zip(&x, &y, |x, y| x * y);
        let e = f.evaluator.clone();
        let relin = f.key.relin_key(&mut f.randomness).unwrap();

        let three = e.multiply(&a, &b).unwrap();
        assert_eq!(three.parts().len(), 3);
        let std = f.product_noise();
        f.expect("multiply", &three, &expected, std);

        let two = e.relinearize(&three, &relin).unwrap();
        assert_eq!((two.parts().len(), two.level(), two.scale()), (2, three.level(), three.scale()));
        let std = std.plus(f.switch_noise(f.top()));
        f.expect("relinearize", &two, &expected, std);

        let q = f.context.data_moduli().last().unwrap().value() as f64;
        let rescaled = e.rescale(&two).unwrap();
        assert_eq!((rescaled.level(), rescaled.scale()), (f.top() - 1, two.scale() / q));
        f.expect("rescale", &rescaled, &expected, std.times(1.0 / q).plus(Noise::rounding(f.degree())));
        // Rescaling and relinearizing commute up to noise.
        let other = e.relinearize(&e.rescale(&three).unwrap(), &relin).unwrap();
        // c_2's rounding error meets s²: three random factors in a slot, covered by a generous standard deviation.
        let square = Noise { additive: 0.0, product: f.degree() as f64 / 3f64.sqrt() };
        let std = std
            .times(1.0 / q)
            .plus(Noise::rounding(f.degree()))
            .plus(f.switch_noise(f.top() - 1))
            .plus(square);
        f.expect("rescale, then relinearize", &other, &expected, std);
    });
}

#[test]
fn rotations_turn_slots_and_conjugation_conjugates() {
    Fixture::each(|f| {
        let x = f.numbers(8);
        let slots = f.context.slots() as i64;
        let steps = [1, -1, 5, slots / 2];
        let mut elements: Vec<_> = steps.iter().map(|s| GaloisElement::rotation(*s, f.degree())).collect();
        elements.push(GaloisElement::conjugation(f.degree()));
        let keys = f.key.galois_keys(&elements, &mut f.randomness).unwrap();
        let e = f.evaluator.clone();
        let fresh = f.encrypt(&x);
        for level in [f.top(), 0] {
            let a = e.drop_to_level(&fresh, level).unwrap();
            let std = Noise::fresh_symmetric().plus(f.switch_noise(level));
            for step in steps {
                let expected: Vec<f64> =
                    (0..slots).map(|i| x[(i + step).rem_euclid(slots) as usize]).collect();
                f.expect(
                    &format!("rotate {step} at level {level}"),
                    &e.rotate(&a, step, &keys).unwrap(),
                    &expected,
                    std,
                );
            }
            let there = e.rotate(&a, 1, &keys).unwrap();
            f.expect("and back", &e.rotate(&there, -1, &keys).unwrap(), &x, std.times(1.5));
            assert_eq!(e.rotate(&a, slots, &keys).unwrap().parts(), a.parts());
        }
        assert!(matches!(e.rotate(&fresh, 3, &keys), Err(EvaluatorError::MissingGaloisKey(_))));

        let complex: Vec<_> = x.iter().map(|v| (*v, 0.5 - v)).collect();
        let plaintext = f.encoder.encode_complex(&complex, f.top(), f.context.scale()).unwrap();
        let a = f.key.encrypt(&plaintext, &mut f.randomness).unwrap();
        let conjugated = f.encoder.decode_complex(&f.key.decrypt(&e.conjugate(&a, &keys).unwrap()).unwrap());
        let noise = Noise::fresh_symmetric().plus(f.switch_noise(f.top()));
        let bound = noise.slot_bound(f.degree(), f.context.scale());
        for (c, v) in conjugated.iter().zip(&complex) {
            assert!((c.0 - v.0).abs() < bound + 1e-9 && (c.1 + v.1).abs() < bound + 1e-9, "{}", f.name);
        }
    });
}

/// Digits in [0, q) have a mean, which after the key switch piles up in slot 0. Centered digits do not.
#[test]
fn slot_zero_is_no_worse_than_the_others_after_a_rotation() {
    Fixture::each(|f| {
        let keys = f.key.galois_keys(&[GaloisElement::rotation(1, f.degree())], &mut f.randomness).unwrap();
        let zero = f.encrypt(&[0.0]);
        let mut ratios = Vec::new();
        let rotated = f.evaluator.rotate(&zero, 1, &keys).unwrap();
        let mut errors: Vec<f64> = f.decrypt(&rotated).iter().map(|e| e.abs()).collect();
        let first = errors[0];
        errors.sort_by(f64::total_cmp);
        ratios.push(first / errors[errors.len() / 2]);
        assert!(ratios[0] < 40.0, "{}: slot 0 is {} times the median", f.name, ratios[0]);
    });
}

#[test]
fn dropping_levels_keeps_the_message_exactly() {
    Fixture::each(|f| {
        let x = f.numbers(9);
        let a = f.encrypt(&x);
        let dropped = f.evaluator.drop_to_level(&a, 0).unwrap();
        assert_eq!((dropped.level(), dropped.scale()), (0, a.scale()));
        f.expect("drop", &dropped, &x, Noise::fresh_symmetric());
        assert_eq!(dropped.parts()[0].limb(0), a.parts()[0].limb(0));
        assert!(matches!(
            f.evaluator.drop_to_level(&dropped, 1),
            Err(EvaluatorError::Raise { from: 0, to: 1 })
        ));
        assert_eq!(f.evaluator.rescale(&dropped), Err(EvaluatorError::NoLevelLeft));
    });
}

#[test]
fn unequal_scales_levels_and_shapes_are_refused_with_both_values() {
    Fixture::each(|f| {
        let a = f.encrypt(&[1.0]);
        let e = f.evaluator.clone();
        let low = e.drop_to_level(&a, f.top() - 1).unwrap();
        assert_eq!(e.add(&a, &low), Err(EvaluatorError::Level { left: f.top(), right: f.top() - 1 }));
        let scaled = e.multiply_scalar(&a, 1.0, 2.0).unwrap();
        assert_eq!(
            e.add(&a, &scaled),
            Err(EvaluatorError::Scale { left: a.scale(), right: 2.0 * a.scale() })
        );
        let three = e.multiply(&a, &a).unwrap();
        assert_eq!(e.multiply(&three, &a), Err(EvaluatorError::Parts { expected: 2, actual: 3 }));
        let relin = f.key.relin_key(&mut f.randomness).unwrap();
        assert_eq!(e.relinearize(&a, &relin), Err(EvaluatorError::Parts { expected: 3, actual: 2 }));
        let bottom = e.drop_to_level(&a, 0).unwrap();
        assert!(matches!(
            e.multiply_scalar(&bottom, 1.0, 2f64.powi(59)),
            Err(EvaluatorError::ScaleTooLarge { .. })
        ));
        assert_eq!(e.multiply_scalar(&a, f64::NAN, 2.0), Err(EvaluatorError::NotFinite));
    });
}

#[test]
fn secrets_come_back_from_their_coefficients_and_from_seals_form_only() {
    Fixture::each(|f| {
        let a = f.encrypt(&[0.5]);
        let coefficients = zeroize::Zeroizing::new(f.key.coefficients().to_vec());
        let same = SecretKey::from_coefficients(&f.context, coefficients.clone()).ok().unwrap();
        let also = SecretKey::from_ntt(&f.context, f.key.ntt().clone()).ok().unwrap();
        for key in [same, also] {
            let value = f.encoder.decode(&key.decrypt(&a).unwrap())[0];
            assert!((value - 0.5).abs() < 1e-3);
        }
        let mut bad = coefficients.clone();
        bad[0] = 2;
        assert!(SecretKey::from_coefficients(&f.context, bad).is_err());
        let zero = zeroize::Zeroizing::new(vec![0; f.degree()]);
        assert!(SecretKey::from_coefficients(&f.context, zero).is_err());
        let mut ntt = f.key.ntt().clone();
        let last = ntt.limbs() - 1;
        ntt.limb_mut(last)[0] ^= 1;
        assert!(SecretKey::from_ntt(&f.context, ntt).is_err(), "one limb says otherwise");
    });
}
