//! Encrypted runs against the cleartext twin.

mod common;

use common::*;
use hei_circuit::{CircuitError, Inputs, Output, Plan, packing};
use hei_ckks::Encoder;
use hei_ckks::insecure_testing::SeededRandomness;
use std::cell::Cell;

const BOX: [(f64, f64); 8] = [(-8.0, 8.0); 8];

#[test]
fn feature_columns_agree_with_the_twin_within_the_bound() {
    let plan = Plan::new(logistic_columns()).unwrap();
    let bound = plan.error_bound(&BOX);
    assert!(bound.total() < 5e-5 && bound.headroom_bits > 10.0, "{bound:?}");
    for batch in [1, 16] {
        let error = largest_error(&round_trip(&plan, &rows(batch, 8, 8.0, batch as u64), 7));
        assert!(error <= bound.total(), "batch {batch}: {error:e} > {:e}", bound.total());
    }
}

#[test]
fn coefficients_agree_with_the_twin_within_the_bound() {
    for (degree, bits, reply_bits) in [(1024, 26, 20), (2048, 53, 34), (4096, 60, 40)] {
        let plan = Plan::new(logistic_coefficients(degree, bits, reply_bits)).unwrap();
        let bound = plan.error_bound(&BOX);
        assert!(bound.headroom_bits > 0.0, "{bound:?}");
        for batch in [1, 16] {
            let error = largest_error(&round_trip(&plan, &rows(batch, 8, 8.0, batch as u64), 11));
            assert!(error <= bound.total(), "N {degree}, batch {batch}: {error:e} > {:e}", bound.total());
        }
    }
}

#[test]
fn the_largest_batch_fills_the_ring() {
    let weights: Vec<f64> = (0..30).map(|j| ((j * 7 % 13) as f64 - 6.0) / 5.0).collect();
    let plan = Plan::new(small_columns(weights.clone(), 0.25)).unwrap();
    let ranges = vec![(-1.0, 1.0); 30];
    let error = largest_error(&round_trip(&plan, &rows(1024, 30, 1.0, 3), 13));
    assert!(error <= plan.error_bound(&ranges).total(), "{error:e}");

    let mut literal = logistic_coefficients(1024, 26, 22);
    (literal.weights, literal.max_batch, literal.scale) = (weights, 34, 10_000.0);
    let plan = Plan::new(literal).unwrap();
    let bound = plan.error_bound(&ranges);
    assert!(bound.headroom_bits > 0.0, "{bound:?}");
    let error = largest_error(&round_trip(&plan, &rows(34, 30, 1.0, 3), 17));
    assert!(error <= bound.total(), "{error:e} > {:e}", bound.total());
}

/// The bound must hold on every sample, and be a description rather than an excuse: the largest of many errors comes
/// within a factor of 64 of it.
#[test]
fn the_bound_is_neither_broken_nor_absurdly_loose() {
    let plan = Plan::new(small_columns(vec![0.3, -0.7, 0.0, 0.2], 0.5)).unwrap();
    let mut worst: f64 = 0.0;
    for seed in 0..8 {
        worst = worst.max(largest_error(&round_trip(&plan, &rows(1024, 4, 1.0, seed), 100 + seed)));
    }
    let bound = plan.error_bound(&[(-1.0, 1.0); 4]).total();
    assert!(worst <= bound && bound <= 64.0 * worst, "slots: worst {worst:e}, bound {bound:e}");

    let plan = Plan::new(logistic_coefficients(1024, 26, 18)).unwrap();
    let mut worst: f64 = 0.0;
    for seed in 0..60 {
        worst = worst.max(largest_error(&round_trip(&plan, &rows(16, 8, 8.0, seed), 200 + seed)));
    }
    let bound = plan.error_bound(&BOX).total();
    assert!(worst <= bound && bound <= 8.0 * worst, "coefficients: worst {worst:e}, bound {bound:e}");
}

/// A scale declared wrongly after dividing shows as an error proportional to the value. The mean of (decrypted - clear)
/// over (clear - constant) must vanish far below the 3.4e-4 that such a mistake costs.
#[test]
fn there_is_no_bias_proportional_to_the_value() {
    let plan = Plan::new(logistic_columns()).unwrap();
    let last = plan.output().scale;
    assert_eq!(last, (1u64 << 45) as f64, "the scale after the division is a power of two, exactly");
    let constant = plan.literal().constant;
    let (decrypted, clear) = round_trip(&plan, &rows(16, 8, 8.0, 5), 19);
    let linear = clear.iter().map(|c| c - constant);
    let (mut product, mut square) = (0.0, 0.0);
    for (difference, linear) in decrypted.iter().zip(&clear).map(|(d, c)| d - c).zip(linear) {
        product += difference * linear;
        square += linear * linear;
    }
    assert!((product / square).abs() < 1e-6, "relative bias {:e}", product / square);
}

/// Public-key encryption is the noisier one, and the one that the bound for slots is made for.
#[test]
fn the_bound_covers_public_key_encryption() {
    let plan = Plan::new(small_columns(vec![0.3, -0.7, 0.0, 0.2], 0.5)).unwrap();
    let (key, rows, shape) = (key(&plan, 1), rows(1024, 4, 1.0, 2), plan.input());
    let context = plan.parameters().context();
    let (encoder, mut randomness) = (Encoder::new(context), SeededRandomness::new(3));
    let public = key.public_key(&mut randomness).unwrap();
    let encrypt = |column: &Vec<f64>| {
        public.encrypt(&encoder.encode(column, shape.level, shape.scale).unwrap(), &mut randomness).unwrap()
    };
    let inputs = Inputs::Slots(packing::columns(&rows, 4).unwrap().iter().map(encrypt).collect());
    let output = plan.run(inputs, 1024, &|| false).unwrap();
    let error = largest_error(&(decrypt(&plan, &key, &output, 1024), plan.run_clear(&rows).unwrap()));
    let bound = plan.error_bound(&[(-1.0, 1.0); 4]).total();
    assert!(error <= bound && bound <= 64.0 * error, "error {error:e}, bound {bound:e}");
}

#[test]
fn zero_weights_are_multiplied_like_any_other() {
    let plan = Plan::new(small_columns(vec![0.0, 1.0, 0.0], -0.5)).unwrap();
    assert_eq!(plan.cost(1), Plan::new(small_columns(vec![0.3, 1.0, 0.2], -0.5)).unwrap().cost(1));
    let error = largest_error(&round_trip(&plan, &rows(5, 3, 1.0, 1), 23));
    assert!(error < 1e-5, "{error:e}");
    let mut literal = logistic_coefficients(1024, 26, 20);
    literal.weights = vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let error = largest_error(&round_trip(&Plan::new(literal).unwrap(), &rows(5, 8, 1.0, 1), 23));
    assert!(error < 5e-3, "{error:e}");
}

#[test]
fn cancelling_stops_between_steps() {
    let plan = Plan::new(small_columns(vec![0.3, -0.7], 0.5)).unwrap();
    let key = key(&plan, 1);
    let inputs = encrypt(&plan, &key, &rows(2, 2, 1.0, 1), 2);
    let asked = Cell::new(0);
    let count = |stop_at: usize| {
        asked.set(0);
        let cancel = || {
            asked.set(asked.get() + 1);
            asked.get() == stop_at
        };
        plan.run(inputs.clone(), 2, &cancel)
    };
    assert!(count(usize::MAX).is_ok());
    let checks = asked.get();
    assert_eq!(checks, plan.steps().len() + plan.dimension(), "once a step and once a feature");
    for stop_at in 1..=checks {
        assert!(matches!(count(stop_at), Err(CircuitError::Cancelled)));
        assert_eq!(asked.get(), stop_at);
    }
    let plan = Plan::new(logistic_coefficients(1024, 26, 20)).unwrap();
    let inputs = encrypt(&plan, &common::key(&plan, 1), &rows(1, 8, 1.0, 1), 2);
    assert!(matches!(plan.run(inputs, 1, &|| true), Err(CircuitError::Cancelled)));
}

#[test]
fn inputs_of_another_shape_are_refused() {
    let columns = Plan::new(small_columns(vec![0.3, -0.7], 0.5)).unwrap();
    let key = key(&columns, 1);
    let good = rows(2, 2, 1.0, 1);
    let Inputs::Slots(mut slots) = encrypt(&columns, &key, &good, 2) else { unreachable!() };
    let run = |inputs: Inputs, batch| columns.run(inputs, batch, &|| false).map(|_| ());
    assert!(run(Inputs::Slots(slots.clone()), 2).is_ok());
    for batch in [0, 1025, usize::MAX] {
        let refused = run(Inputs::Slots(slots.clone()), batch);
        assert!(matches!(refused, Err(CircuitError::Batch { maximum: 1024, .. })), "{refused:?}");
    }
    let one = run(Inputs::Slots(slots[..1].to_vec()), 2);
    assert_eq!(one, Err(CircuitError::InputCount { expected: 2, actual: 1 }));

    let evaluator = hei_ckks::Evaluator::new(columns.parameters().context());
    slots[1] = evaluator.drop_to_level(&slots[1], 0).unwrap();
    let low = run(Inputs::Slots(slots.clone()), 2);
    assert!(matches!(low, Err(CircuitError::InputShape { index: 1, what: "level", .. })), "{low:?}");
    slots[1] = evaluator.multiply_scalar(&slots[0], 1.0, 2.0).unwrap();
    let scaled = run(Inputs::Slots(slots.clone()), 2);
    assert!(matches!(scaled, Err(CircuitError::InputShape { index: 1, what: "scale", .. })), "{scaled:?}");
    slots[1] = evaluator.multiply(&slots[0], &slots[0]).unwrap();
    let three = run(Inputs::Slots(slots), 2);
    assert!(matches!(three, Err(CircuitError::InputShape { index: 1, .. })), "{three:?}");

    let coefficients = Plan::new(logistic_coefficients(1024, 26, 20)).unwrap();
    let inputs = encrypt(&coefficients, &common::key(&coefficients, 3), &rows(2, 8, 1.0, 1), 4);
    let other = run(inputs.clone(), 2);
    assert!(matches!(other, Err(CircuitError::WrongLayout { .. })), "{other:?}");
    let fewer = coefficients.run(inputs.clone(), 1, &|| false).map(|_| ());
    assert!(matches!(fewer, Err(CircuitError::InputShape { what: "index ranges", .. })), "{fewer:?}");
    let Inputs::Coefficients(mut changed) = inputs else { unreachable!() };
    changed.values.pop();
    let short = coefficients.run(Inputs::Coefficients(changed.clone()), 2, &|| false).map(|_| ());
    assert!(matches!(short, Err(CircuitError::InputShape { .. })), "{short:?}");
    changed.values.push(0);
    changed.scale *= 2.0;
    let scaled = coefficients.run(Inputs::Coefficients(changed), 2, &|| false).map(|_| ());
    assert!(matches!(scaled, Err(CircuitError::InputShape { what: "scale", .. })), "{scaled:?}");
}

/// The executor reads no weight through a branch: equal shapes do equal work, and the answer never lacks its mask.
#[test]
fn an_answer_has_a_mask() {
    let plan = Plan::new(small_columns(vec![0.0, 1e-6], 0.5)).unwrap();
    let key = key(&plan, 1);
    let output = plan.run(encrypt(&plan, &key, &rows(1, 2, 1.0, 1), 2), 1, &|| false).unwrap();
    let Output::Slots(ciphertext) = output else { unreachable!() };
    assert!(ciphertext.parts()[1].data().iter().any(|word| *word != 0));
    assert_eq!(ciphertext.seed(), None);
}
