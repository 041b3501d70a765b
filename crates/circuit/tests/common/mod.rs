//! Plans and encrypted runs shared by the tests.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use hei_circuit::{Inputs, Layout, Output, Plan, PlanLiteral, Step, packing};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Encoder, Parameters, ParametersLiteral, SecretKey, coefficients};

pub(crate) const WEIGHTS: [f64; 8] = [0.15, -0.08, 0.11, 0.07, -0.12, 0.09, 0.05, -0.04];
pub(crate) const BIAS: f64 = -0.02;

pub(crate) fn primes(degree: usize, bits: &[u32], special: usize) -> (Vec<u64>, Vec<u64>) {
    let parameters = Parameters::new(&ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: bits.to_vec(),
        special_count: special,
        scale: 1024.0,
    })
    .unwrap();
    let context = parameters.context();
    let values = |moduli: Vec<&hei_ring::Modulus>| moduli.into_iter().map(|m| m.value()).collect();
    (values(context.data_moduli().collect()), values(context.special_moduli().collect()))
}

/// The logistic model over the chain that the reference project serves: c0 + c1 (w·x + b), at scale 2^45.
pub(crate) fn logistic_columns() -> PlanLiteral {
    let (moduli, special_moduli) = primes(16384, &[60, 30, 30, 60], 1);
    let weight_scale = (1u64 << 15) as f64 * moduli[1] as f64;
    PlanLiteral {
        layout: Layout::FeatureColumns,
        degree: 16384,
        moduli,
        special_moduli,
        scale: (1u64 << 30) as f64,
        max_batch: 16,
        weights: WEIGHTS.map(|w| 0.197 * w).to_vec(),
        constant: 0.5 + 0.197 * BIAS,
        steps: vec![
            Step::DropToLevel { level: 1 },
            Step::MultiplyAccumulate { weight_scale },
            Step::Rescale,
            Step::AddConstant,
        ],
    }
}

/// A small plan: N = 4096, two data primes, so that tests over many rows stay fast.
pub(crate) fn small_columns(weights: Vec<f64>, constant: f64) -> PlanLiteral {
    let (moduli, special_moduli) = primes(4096, &[36, 34, 36], 1);
    let weight_scale = moduli[1] as f64 / 4.0;
    PlanLiteral {
        layout: Layout::FeatureColumns,
        degree: 4096,
        moduli,
        special_moduli,
        scale: (1u64 << 33) as f64,
        max_batch: 1024,
        weights,
        constant,
        steps: vec![Step::MultiplyAccumulate { weight_scale }, Step::Rescale, Step::AddConstant],
    }
}

/// The logistic model's linear part in one small ciphertext.
pub(crate) fn logistic_coefficients(degree: usize, bits: u32, reply_bits: u32) -> PlanLiteral {
    let (moduli, special_moduli) = primes(degree, &[bits], 0);
    let (scale, weight_scale) =
        if bits < 40 { (57_000.0, 100.0) } else { ((1u64 << 26) as f64, (1u64 << 20) as f64) };
    PlanLiteral {
        layout: Layout::Coefficients,
        degree,
        moduli,
        special_moduli,
        scale,
        max_batch: 16,
        weights: WEIGHTS.to_vec(),
        constant: BIAS,
        steps: vec![Step::MultiplyReversed { weight_scale }, Step::SwitchModulus { bits: reply_bits }],
    }
}

/// Deterministic rows in [-bound, bound].
pub(crate) fn rows(count: usize, dimension: usize, bound: f64, seed: u64) -> Vec<Vec<f64>> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| (0..dimension).map(|_| bound * next()).collect()).collect()
}

/// A client's key for a plan.
pub(crate) fn key(plan: &Plan, seed: u64) -> SecretKey {
    SecretKey::generate(plan.parameters().context(), &mut SeededRandomness::new(seed)).unwrap()
}

/// Rows as the inputs of a plan, encrypted under the secret key.
pub(crate) fn encrypt(plan: &Plan, key: &SecretKey, rows: &[Vec<f64>], seed: u64) -> Inputs {
    let context = plan.parameters().context();
    let mut randomness = SeededRandomness::new(seed);
    let shape = plan.input();
    match plan.layout() {
        Layout::FeatureColumns => {
            let encoder = Encoder::new(context);
            let columns = packing::columns(rows, plan.dimension()).unwrap();
            let encrypt = |column: &Vec<f64>| {
                key.encrypt(&encoder.encode(column, shape.level, shape.scale).unwrap(), &mut randomness)
                    .unwrap()
            };
            Inputs::Slots(columns.iter().map(encrypt).collect())
        }
        Layout::Coefficients => {
            let values = packing::coefficients(rows, plan.dimension()).unwrap();
            let ranges = packing::request_ranges(shape.degree, plan.dimension(), rows.len()).unwrap();
            Inputs::Coefficients(
                coefficients::encrypt(key, &values, &ranges, shape.scale, &mut randomness).unwrap(),
            )
        }
    }
}

/// Decrypted values of a batch, after checking that the answer has the shape the plan announced.
pub(crate) fn decrypt(plan: &Plan, key: &SecretKey, output: &Output, batch: usize) -> Vec<f64> {
    let shape = plan.output();
    match output {
        Output::Slots(ciphertext) => {
            assert_eq!(
                (ciphertext.level(), ciphertext.parts().len(), ciphertext.scale()),
                (shape.level, shape.parts, shape.scale)
            );
            let mut values =
                Encoder::new(plan.parameters().context()).decode(&key.decrypt(ciphertext).unwrap());
            values.truncate(batch);
            values
        }
        Output::Coefficients(reply) => {
            assert_eq!((Some(reply.modulus_bits), reply.scale), (shape.reply_modulus_bits, shape.scale));
            let ranges = packing::reply_ranges(shape.degree, plan.dimension(), batch).unwrap();
            assert_eq!(reply.ranges, ranges);
            coefficients::decrypt(key, reply).unwrap()
        }
        _ => unreachable!("two layouts"),
    }
}

/// Encrypts, runs, decrypts; answers (decrypted, cleartext).
pub(crate) fn round_trip(plan: &Plan, rows: &[Vec<f64>], seed: u64) -> (Vec<f64>, Vec<f64>) {
    let key = key(plan, seed);
    let output = plan.run(encrypt(plan, &key, rows, seed + 1), rows.len(), &|| false).unwrap();
    (decrypt(plan, &key, &output, rows.len()), plan.run_clear(rows).unwrap())
}

pub(crate) fn largest_error((decrypted, clear): &(Vec<f64>, Vec<f64>)) -> f64 {
    assert_eq!(decrypted.len(), clear.len());
    decrypted.iter().zip(clear).map(|(d, c)| (d - c).abs()).fold(0.0, f64::max)
}
