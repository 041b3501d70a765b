//! The noise estimates of linear transforms, inner sums and polynomials on more than 10^4 samples each: the bound holds for
//! every sample, and the predicted standard deviation is within a factor of eight of the measured one.

use std::sync::Arc;

use hei_circuit::linear::{Diagonals, InnerSum, LinearTransform, Placement};
use hei_circuit::polynomial::{Polynomial, PolynomialBasis, PolynomialEvaluation};
use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::noise::Noise;
use hei_ckks::{
    Ciphertext, Complex, Context, Encoder, EvaluationKeys, Evaluator, KeyManifest, ParametersLiteral,
    SecretKey,
};

/// Chains where the division's rounding dominates a key switch, and where the digits do; one special prime and several.
const CHAINS: [(&[u32], usize); 4] = [
    (&[50, 40, 40, 40, 50], 1),
    (&[50, 40, 40, 40, 40], 1),
    (&[50, 40, 40, 40, 50, 50], 2),
    (&[50, 40, 40, 40, 45, 43], 2),
];
const DEGREE: usize = 1024;
/// Times 512 slots: 10,240 samples.
const RUNS: usize = 20;

struct Case<'a> {
    what: &'a str,
    manifest: KeyManifest,
    run: &'a dyn Fn(&Evaluator, &Ciphertext, &EvaluationKeys) -> Ciphertext,
    expected: &'a dyn Fn(&[f64]) -> Vec<f64>,
    noise: Noise,
}

fn context((bits, special_count): (&[u32], usize)) -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: DEGREE,
        coeff_modulus_bits: bits.to_vec(),
        special_count,
        scale: 2f64.powi(40),
    };
    Arc::clone(InsecureParameters::new(&literal).unwrap().context())
}

fn check(context: &Arc<Context>, case: &Case<'_>, period: usize) {
    let mut randomness = SeededRandomness::new(17);
    let key = SecretKey::generate(context, &mut randomness).unwrap();
    let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
    let keys = key.evaluation_keys(&case.manifest, &mut randomness).unwrap();
    let (mut square, mut count, mut worst) = (0.0, 0, 0.0f64);
    for run in 0..RUNS {
        let x: Vec<f64> =
            (0..context.slots()).map(|i| ((i % period) as f64 * 0.731 + run as f64).sin()).collect();
        let plaintext = encoder.encode(&x, context.max_level(), context.scale()).unwrap();
        let result = (case.run)(&evaluator, &key.encrypt(&plaintext, &mut randomness).unwrap(), &keys);
        let decoded = encoder.decode(&key.decrypt(&result).unwrap());
        for (got, expected) in decoded.iter().zip((case.expected)(&x)) {
            let error = (got - expected) * result.scale();
            square += error * error;
            worst = worst.max(error.abs());
            count += 1;
        }
    }
    assert!(count >= 10_000);
    let chain = context.chain_bits();
    let bound = case.noise.slot_bound(DEGREE, 1.0);
    assert!(worst <= bound, "{} {chain:?}: error {worst:e} above the bound {bound:e}", case.what);
    let measured = (square / f64::from(count)).sqrt();
    let bits = (case.noise.std() * (DEGREE as f64 / 2.0).sqrt() / measured).log2();
    assert!(bits.abs() < 3.0, "{} {chain:?}: predicted std is {bits:+.2} bits off", case.what);
    if std::env::var_os("HEI_SHOW_NOISE").is_some() {
        println!("{:16} {chain:?} std {bits:+.2} bits, bound {:+.2} bits", case.what, (bound / worst).log2());
    }
}

fn fresh() -> Noise {
    Noise::fresh_symmetric().plus(Noise::encoding())
}

fn placement(context: &Context) -> Placement {
    Placement { level: context.max_level(), input_scale: context.scale(), output_scale: context.scale() }
}

#[test]
fn linear_transforms_and_inner_sums() {
    for chain in CHAINS {
        let context = context(chain);
        for (height, width) in [(16, 16), (8, 32)] {
            let entry = |i: usize, j: usize| ((i * 13 + j * 7) as f64).cos();
            let rows: Vec<Vec<f64>> =
                (0..height).map(|i| (0..width).map(|j| entry(i, j)).collect()).collect();
            let matrix = Diagonals::from_rows(&rows).unwrap();
            let transform = LinearTransform::new(&context, &matrix, placement(&context)).unwrap();
            let case = Case {
                what: "matrix",
                manifest: transform.manifest(),
                run: &|evaluator, x, keys| transform.apply(evaluator, x, &keys.galois).unwrap(),
                expected: &|x| {
                    let input: Vec<Complex> = x[..width].iter().map(|v| (*v, 0.0)).collect();
                    let output = matrix.apply(&input);
                    (0..x.len()).map(|i| output[i % height].0).collect()
                },
                noise: transform.noise(fresh(), 1.0),
            };
            check(&context, &case, width);
        }
        let sum = InnerSum::new(&context, 8, 4).unwrap();
        let case = Case {
            what: "inner sum",
            manifest: sum.manifest(context.max_level()),
            run: &|evaluator, x, keys| sum.apply(evaluator, x, &keys.galois).unwrap(),
            expected: &|x| (0..x.len()).map(|i| (0..8).map(|j| x[(i + 4 * j) % x.len()]).sum()).collect(),
            noise: sum.noise(fresh(), context.max_level()),
        };
        check(&context, &case, 512);
    }
}

#[test]
fn polynomials() {
    for chain in CHAINS {
        let context = context(chain);
        for (basis, coefficients) in [
            (PolynomialBasis::Monomial, &[0.5, 0.25][..]),
            (PolynomialBasis::Monomial, &[0.5, 0.25, -0.125, 0.5]),
            (PolynomialBasis::Chebyshev, &[0.1, -0.4, 0.3, 0.2, -0.3, 0.1, 0.2, -0.1]),
        ] {
            let polynomial = Polynomial::new(basis, coefficients).unwrap();
            let evaluation = PolynomialEvaluation::new(&context, &polynomial, placement(&context)).unwrap();
            let case = Case {
                what: "polynomial",
                manifest: evaluation.manifest(),
                run: &|evaluator, x, keys| {
                    evaluation.apply(evaluator, x, keys.relinearization.as_ref()).unwrap()
                },
                expected: &|x| x.iter().map(|x| polynomial.evaluate(*x)).collect(),
                noise: evaluation.noise(fresh(), 1.0),
            };
            check(&context, &case, 512);
        }
    }
}
