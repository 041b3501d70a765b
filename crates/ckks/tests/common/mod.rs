//! Parameter sets and helpers shared by the tests.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::sync::Arc;

use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::noise::Noise;
use hei_ckks::{
    Ciphertext, Context, Encoder, Evaluator, OsRandomness, ParametersLiteral, RandomSource, SecretKey,
};

/// (degree, chain, special primes, log2 scale)
pub(crate) type Set = (usize, &'static [u32], usize, i32);
pub(crate) const SETS: [Set; 12] = [
    (1024, &[40, 30, 30, 40], 1, 30),
    (2048, &[50, 35, 35, 50], 1, 33),
    (4096, &[36, 34, 36], 1, 30),
    (8192, &[60, 40, 40, 60], 1, 40),
    (8192, &[47, 40, 40, 45, 45], 2, 38),
    (8192, &[45, 40, 40, 40, 45, 45], 2, 38),
    (4096, &[50, 33, 34, 33, 34, 60, 60], 2, 32),
    (16384, &[60, 30, 30, 60], 1, 30),
    (16384, &[50, 40, 40, 40, 50], 1, 38),
    (32768, &[60, 45, 45, 60], 1, 42),
    (32768, &[50, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 50, 50, 50, 50, 50], 5, 45),
    (65536, &[60, 45, 60], 1, 42),
];

pub(crate) struct Fixture {
    pub(crate) context: Arc<Context>,
    pub(crate) encoder: Encoder,
    pub(crate) evaluator: Evaluator,
    pub(crate) key: SecretKey,
    pub(crate) randomness: SeededRandomness,
    pub(crate) name: String,
    seed: u64,
}

impl Fixture {
    /// Every set with a seed that never changes, and those that are quick with a new one each time as well, so that keys,
    /// noise and messages are not the same for ever. A failure names its seed; `HEI_TEST_SEED` runs it again.
    pub(crate) fn each(test: impl Fn(&mut Fixture)) {
        let fresh =
            std::env::var("HEI_TEST_SEED").ok().map(|seed| seed.parse().unwrap()).unwrap_or_else(|| {
                let key = OsRandomness.key().unwrap();
                u64::from_le_bytes(*key.first_chunk().unwrap())
            });
        for (i, set) in SETS.into_iter().enumerate() {
            test(&mut Self::new(set, i as u64));
            if set.0 <= 8192 {
                test(&mut Self::new(set, fresh));
            }
        }
    }

    pub(crate) fn new((degree, bits, special, log_scale): Set, seed: u64) -> Self {
        let literal = ParametersLiteral {
            poly_modulus_degree: degree,
            coeff_modulus_bits: bits.to_vec(),
            special_count: special,
            scale: 2f64.powi(log_scale),
        };
        let parameters = InsecureParameters::new(&literal).unwrap();
        let context = Arc::clone(parameters.context());
        let mut randomness = SeededRandomness::new(seed);
        Self {
            encoder: Encoder::new(&context),
            evaluator: Evaluator::new(&context),
            key: SecretKey::generate(&context, &mut randomness).unwrap(),
            context,
            randomness,
            name: format!("N={degree} {bits:?} special={special} HEI_TEST_SEED={seed}"),
            seed,
        }
    }

    pub(crate) fn degree(&self) -> usize {
        self.context.degree()
    }

    pub(crate) fn top(&self) -> usize {
        self.context.max_level()
    }

    pub(crate) fn numbers(&self, salt: u64) -> Vec<f64> {
        let mut state = (salt ^ self.seed.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..self.context.slots())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            })
            .collect()
    }

    pub(crate) fn encrypt(&mut self, values: &[f64]) -> Ciphertext {
        let plaintext = self.encoder.encode(values, self.top(), self.context.scale()).unwrap();
        self.key.encrypt(&plaintext, &mut self.randomness).unwrap()
    }

    pub(crate) fn decrypt(&self, ciphertext: &Ciphertext) -> Vec<f64> {
        self.encoder.decode(&self.key.decrypt(ciphertext).unwrap())
    }

    /// Every slot within the bound of the noise, encoding's rounding and the doubles of the transform.
    pub(crate) fn expect(&self, what: &str, actual: &Ciphertext, expected: &[f64], noise: Noise) {
        let bound = noise.plus(Noise::encoding()).slot_bound(self.degree(), actual.scale()) + 1e-9;
        let (worst, at) = self.worst(actual, expected);
        assert!(worst <= bound, "{}: {what}: slot {at} is off by {worst:e}, bound {bound:e}", self.name);
    }

    pub(crate) fn worst(&self, actual: &Ciphertext, expected: &[f64]) -> (f64, usize) {
        let decoded = self.decrypt(actual);
        assert!(decoded.iter().all(|v| v.is_finite()));
        decoded
            .iter()
            .zip(expected)
            .enumerate()
            .map(|(i, (a, e))| ((a - e).abs(), i))
            .fold((0.0, 0), |max, x| if x.0 > max.0 { x } else { max })
    }

    /// Noise of a product of two fresh ciphertexts of values below 1: in a slot it is m_a e_b + m_b e_a with |m| <= 1.
    pub(crate) fn product_noise(&self) -> Noise {
        Noise::fresh_symmetric().plus(Noise::encoding()).times(2f64.sqrt() * self.context.scale())
    }

    pub(crate) fn special_bits(&self) -> f64 {
        self.context.special_moduli().map(|p| (p.value() as f64).log2()).sum()
    }

    pub(crate) fn switch_noise(&self, level: usize) -> Noise {
        Noise::key_switch_at(&self.context, level)
    }
}

pub(crate) fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| f(*x, *y)).collect()
}
