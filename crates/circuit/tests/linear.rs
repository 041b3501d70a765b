//! Linear transforms and inner sums on ciphertexts equal their cleartext twins within the stated noise.

use std::sync::Arc;

use hei_circuit::linear::{Diagonals, InnerSum, LinearError, LinearTransform, Placement};
use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::noise::Noise;
use hei_ckks::{
    Ciphertext, Complex, Context, Encoder, Evaluator, EvaluatorError, ParametersLiteral, SecretKey,
};
use hei_ring::parallel::Threads;

struct Fixture {
    context: Arc<Context>,
    encoder: Encoder,
    evaluator: Evaluator,
    key: SecretKey,
    randomness: SeededRandomness,
}

impl Fixture {
    fn each(test: impl Fn(&mut Fixture)) {
        let sets: [(usize, &[u32], usize, i32); 4] = [
            (1024, &[45, 36, 36, 45], 1, 36),
            (2048, &[50, 38, 38, 38, 50, 50], 2, 38),
            (4096, &[60, 40, 40, 60], 1, 40),
            (4096, &[48, 38, 38, 38, 38, 48, 48, 48], 3, 38),
        ];
        for (i, (degree, bits, special_count, log_scale)) in sets.into_iter().enumerate() {
            let literal = ParametersLiteral {
                poly_modulus_degree: degree,
                coeff_modulus_bits: bits.to_vec(),
                special_count,
                scale: 2f64.powi(log_scale),
            };
            let context = Arc::clone(InsecureParameters::new(&literal).unwrap().context());
            let mut randomness = SeededRandomness::new(900 + i as u64);
            test(&mut Fixture {
                encoder: Encoder::new(&context),
                evaluator: Evaluator::new(&context),
                key: SecretKey::generate(&context, &mut randomness).unwrap(),
                context,
                randomness,
            });
        }
    }

    fn placement(&self, level: usize) -> Placement {
        Placement { level, input_scale: self.context.scale(), output_scale: self.context.scale() * 1.25 }
    }

    fn encrypt(&mut self, values: &[Complex]) -> Ciphertext {
        let slots: Vec<Complex> = (0..self.context.slots()).map(|i| values[i % values.len()]).collect();
        let plaintext =
            self.encoder.encode_complex(&slots, self.context.max_level(), self.context.scale()).unwrap();
        self.key.encrypt(&plaintext, &mut self.randomness).unwrap()
    }

    /// Every slot holds the expected numbers, repeated, within the bound.
    fn expect(&self, what: &str, actual: &Ciphertext, expected: &[Complex], noise: Noise) {
        let decoded = self.encoder.decode_complex(&self.key.decrypt(actual).unwrap());
        let bound = noise.slot_bound(self.context.degree(), actual.scale()) + 1e-9;
        let mut worst = 0.0f64;
        for (i, value) in decoded.iter().enumerate() {
            let e = expected[i % expected.len()];
            worst = worst.max((value.0 - e.0).abs()).max((value.1 - e.1).abs());
        }
        assert!(worst <= bound, "{what}: off by {worst:e}, bound {bound:e}");
        // A bound that is met by accident says nothing.
        assert!(worst > bound / 1e4, "{what}: off by {worst:e} only, bound {bound:e}");
    }

    fn fresh() -> Noise {
        Noise::fresh_symmetric().plus(Noise::encoding())
    }
}

fn numbers(salt: u64, count: usize) -> Vec<f64> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn real(values: &[f64]) -> Vec<Complex> {
    values.iter().map(|v| (*v, 0.0)).collect()
}

#[test]
fn matrices_of_every_shape_multiply_encrypted_vectors() {
    let threads = Threads::new(2).unwrap();
    Fixture::each(|f| {
        for (height, width) in [(1, 1), (16, 16), (5, 3), (10, 32), (1, 64), (32, 4)] {
            let rows: Vec<Vec<f64>> = (0..height).map(|i| numbers(i as u64 + 5, width)).collect();
            let matrix = Diagonals::from_rows(&rows).unwrap();
            let transform =
                LinearTransform::new(&f.context, &matrix, f.placement(f.context.max_level())).unwrap();
            let manifest = transform.manifest();
            let keys = f.key.evaluation_keys(&manifest, &mut f.randomness).unwrap();
            assert!(manifest.missing(&keys).is_empty());
            let mut x = real(&numbers(77, width));
            x.resize(matrix.input_period(), (0.0, 0.0));
            let encrypted = f.encrypt(&x);
            let y = transform.apply(&f.evaluator, &encrypted, &keys.galois).unwrap();
            let together = threads.run(|| transform.apply(&f.evaluator, &encrypted, &keys.galois)).unwrap();
            assert!(together == y, "{height}x{width} on two threads");
            assert_eq!(
                (y.level(), y.scale()),
                (transform.output_level(), transform.placement().output_scale)
            );
            let noise = transform.noise(Fixture::fresh(), 1.0);
            f.expect(&format!("{height}x{width}"), &y, &matrix.apply(&x), noise);
        }
    });
}

#[test]
fn complex_diagonals_below_the_top_level() {
    Fixture::each(|f| {
        let period = 64;
        let diagonal = |k: i64| {
            let (re, im) = (numbers((k + 100) as u64, period), numbers((k + 500) as u64, period));
            (k, re.into_iter().zip(im).collect())
        };
        // A band around the main diagonal.
        let matrix = Diagonals::new(period, (-2..=2).map(diagonal));
        let transform = LinearTransform::new(&f.context, &matrix, f.placement(1)).unwrap();
        let keys = f.key.evaluation_keys(&transform.manifest(), &mut f.randomness).unwrap();
        let x: Vec<Complex> = numbers(1, period).into_iter().zip(numbers(2, period)).collect();
        let encrypted = f.encrypt(&x);
        let y = transform.apply(&f.evaluator, &encrypted, &keys.galois).unwrap();
        f.expect("band", &y, &matrix.apply(&x), transform.noise(Fixture::fresh(), 1.5));
        assert!(
            keys.galois.elements().all(|g| keys.galois.level(g) == Some(1)),
            "keys no higher than their use"
        );

        let lower = f.evaluator.drop_to_level(&encrypted, 0).unwrap();
        let refused = transform.apply(&f.evaluator, &lower, &keys.galois);
        assert_eq!(refused, Err(EvaluatorError::Raise { from: 0, to: 1 }));
    });
}

#[test]
fn the_giant_and_baby_steps_are_about_twice_the_root() {
    Fixture::each(|f| {
        let rows: Vec<Vec<f64>> = (0..64).map(|i| numbers(i, 64)).collect();
        let matrix = Diagonals::from_rows(&rows).unwrap();
        let transform = LinearTransform::new(&f.context, &matrix, f.placement(1)).unwrap();
        assert_eq!(transform.manifest().galois().len(), 12 + 4);
    });
}

#[test]
fn inner_sums_add_strided_slots() {
    Fixture::each(|f| {
        let x = numbers(3, 64);
        for (count, stride) in [(1, 1), (8, 1), (4, 16), (64, 1)] {
            let sum = InnerSum::new(&f.context, count, stride).unwrap();
            assert_eq!(sum.steps().len(), count.trailing_zeros() as usize);
            let level = f.context.max_level();
            let keys = f.key.evaluation_keys(&sum.manifest(level), &mut f.randomness).unwrap();
            let encrypted = f.encrypt(&real(&x));
            let y = sum.apply(&f.evaluator, &encrypted, &keys.galois).unwrap();
            let expected: Vec<f64> =
                (0..64).map(|i| (0..count).map(|j| x[(i + j * stride) % 64]).sum()).collect();
            f.expect(
                &format!("{count} x {stride}"),
                &y,
                &real(&expected),
                sum.noise(Fixture::fresh(), level),
            );
        }
        for (count, stride) in [(3, 1), (4, 0), (f.context.slots() * 2, 1), (4, f.context.slots())] {
            assert!(matches!(InnerSum::new(&f.context, count, stride), Err(LinearError::InnerSum { .. })));
        }
    });
}

#[test]
fn what_is_no_transform_is_refused() {
    Fixture::each(|f| {
        let refuse =
            |matrix: &Diagonals, level| LinearTransform::new(&f.context, matrix, f.placement(level)).err();
        let zero = Diagonals::from_rows(&[vec![0.0; 4]]).unwrap();
        assert_eq!(refuse(&zero, 1), Some(LinearError::Zero));
        let one = Diagonals::from_rows(&[vec![1.0]]).unwrap();
        assert_eq!(refuse(&one, 0), Some(LinearError::NoLevel));
        assert!(matches!(refuse(&one, 40), Some(LinearError::Encode(_))));
        let slots = f.context.slots();
        let odd = Diagonals::new(3, [(0, vec![(1.0, 0.0); 3])]);
        assert_eq!(refuse(&odd, 1), Some(LinearError::Period { period: 3, slots }));
        let wide = Diagonals::new(2 * slots, [(0, vec![(1.0, 0.0)])]);
        assert_eq!(refuse(&wide, 1), Some(LinearError::Period { period: 2 * slots, slots }));
    });
}
