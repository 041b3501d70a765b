//! Polynomials of encrypted numbers equal their cleartext twins within the stated noise, at the scale asked for.

use std::sync::Arc;

use hei_circuit::linear::Placement;
use hei_circuit::polynomial::{Polynomial, PolynomialBasis, PolynomialError, PolynomialEvaluation};
use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::noise::Noise;
use hei_ckks::{Context, Encoder, Evaluator, EvaluatorError, ParametersLiteral, SecretKey};

/// (degree of the ring, chain, special primes, log2 scale)
type Set = (usize, &'static [u32], usize, i32);
const SETS: [Set; 3] = [
    (1024, &[50, 40, 40, 40, 40, 40, 50], 1, 40),
    (2048, &[50, 45, 45, 45, 45, 45, 50, 50], 2, 45),
    (1024, &[60, 40, 40, 40, 40, 40, 60, 60, 60], 3, 40),
];

fn context((degree, bits, special_count, log_scale): Set) -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: bits.to_vec(),
        special_count,
        scale: 2f64.powi(log_scale),
    };
    Arc::clone(InsecureParameters::new(&literal).unwrap().context())
}

fn check(set: Set, polynomial: &Polynomial, level: usize, what: &str) {
    let context = context(set);
    let mut randomness = SeededRandomness::new(polynomial.degree() as u64);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let (encoder, evaluator) = (Encoder::new(&context), Evaluator::new(&context));
    let x: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.731).sin()).collect();
    let plaintext = encoder.encode(&x, context.max_level(), context.scale()).unwrap();
    let encrypted = key.encrypt(&plaintext, &mut randomness).unwrap();

    // A scale of its own: the result must land on it.
    let output_scale = context.scale() * 1.375;
    let placement = Placement { level, input_scale: context.scale(), output_scale };
    let evaluation = PolynomialEvaluation::new(&context, polynomial, placement).unwrap();
    let keys = key.evaluation_keys(&evaluation.manifest(), &mut randomness).unwrap();
    assert_eq!(keys.relinearization.is_some(), polynomial.degree() > 1);
    let y = evaluation.apply(&evaluator, &encrypted, keys.relinearization.as_ref()).unwrap();
    assert_eq!(
        (y.level(), y.scale(), y.parts().len()),
        (evaluation.output_level(), output_scale, 2),
        "{what}"
    );
    assert_eq!(evaluation.output_level(), level - polynomial.depth());

    let noise = evaluation.noise(Noise::fresh_symmetric().plus(Noise::encoding()), 1.0);
    let bound = noise.slot_bound(context.degree(), output_scale) + 1e-9;
    let decoded = encoder.decode(&key.decrypt(&y).unwrap());
    let worst = decoded.iter().zip(&x).map(|(v, x)| (v - polynomial.evaluate(*x)).abs()).fold(0.0, f64::max);
    assert!(worst <= bound, "{what}: off by {worst:e}, bound {bound:e}");
    assert!(worst > bound / 1e5, "{what}: off by {worst:e} only, bound {bound:e}");
    assert!(bound < 1e-3, "{what}: bound {bound:e} says nothing");

    if polynomial.degree() > 1 {
        let refused = evaluation.apply(&evaluator, &encrypted, None);
        assert_eq!(refused, Err(EvaluatorError::MissingRelinKey));
    }
}

#[test]
fn polynomials_of_every_degree_and_both_bases() {
    for (s, set) in SETS.into_iter().enumerate() {
        for basis in [PolynomialBasis::Monomial, PolynomialBasis::Chebyshev] {
            for degree in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 23, 31] {
                let coefficients: Vec<f64> =
                    (0..=degree).map(|i| (i as f64 * 1.7 + 0.3).cos() / (degree as f64).sqrt()).collect();
                let polynomial = Polynomial::new(basis, &coefficients).unwrap();
                check(set, &polynomial, 5, &format!("set {s}, {basis:?} of degree {degree}"));
            }
        }
    }
}

#[test]
fn sparse_polynomials_and_lower_levels() {
    for set in SETS {
        for (coefficients, level) in [
            (vec![0.0, 0.0, 1.0], 3),
            (vec![0.5, 0.0, 0.0, 0.0, -1.0], 4),
            (vec![0.0, 0.7, 0.0, -0.2, 0.0, 0.1], 3),
            (vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 4),
        ] {
            for basis in [PolynomialBasis::Monomial, PolynomialBasis::Chebyshev] {
                let polynomial = Polynomial::new(basis, &coefficients).unwrap();
                check(set, &polynomial, level, &format!("{coefficients:?} in {basis:?}"));
            }
        }
    }
}

#[test]
fn the_logistic_function_by_interpolation() {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let polynomial = Polynomial::chebyshev_interpolation(logistic, (-6.0, 6.0), 15).unwrap();
    for k in -100..=100 {
        let t = f64::from(k) / 100.0;
        assert!((polynomial.evaluate(t) - logistic(6.0 * t)).abs() < 5e-3);
    }
    check(SETS[0], &polynomial, 5, "logistic");
}

#[test]
fn what_does_not_fit_is_refused_when_it_is_planned() {
    let context = context(SETS[0]);
    let plan = |degree: usize, level: usize, scale: f64| {
        let polynomial = Polynomial::new(PolynomialBasis::Monomial, &vec![1.0; degree + 1]).unwrap();
        let placement = Placement { level, input_scale: scale, output_scale: scale };
        PolynomialEvaluation::new(&context, &polynomial, placement).err()
    };
    let scale = context.scale();
    assert_eq!(plan(31, 4, scale), Some(PolynomialError::Depth { degree: 31, depth: 5, level: 4 }));
    assert_eq!(plan(3, 9, scale), Some(PolynomialError::Depth { degree: 3, depth: 2, level: 5 }));
    // Powers of a small scale fade away, those of a large one outgrow the modulus.
    assert!(matches!(plan(31, 5, 2f64.powi(30)), Some(PolynomialError::Scale { .. })));
    assert!(matches!(plan(31, 5, 2f64.powi(49)), Some(PolynomialError::Scale { .. })));
}
