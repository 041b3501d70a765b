//! The noise estimates, on more than 10^4 samples for every operation: the bound holds for each of them, and the predicted
//! standard deviation is within a factor of eight of the measured one.

mod common;

use common::{Fixture, Set, zip};
use hei_ckks::noise::Noise;
use hei_ckks::{Ciphertext, Encoder, EvaluationKeys, Evaluator, KeyManifest};

/// Small rings; special primes large enough for the division's rounding to dominate, and too small for it.
const RINGS: [Set; 5] = [
    (1024, &[45, 40, 40, 45], 1, 30),
    (1024, &[40, 36, 36, 36], 1, 30),
    (1024, &[40, 36, 36, 36, 40, 40], 2, 30),
    (1024, &[40, 36, 36, 36, 36, 36, 30, 30], 2, 30),
    (1024, &[40, 36, 36, 36, 36, 40, 40, 41], 3, 30),
];
/// Times 512 slots: 10,240 samples.
const RUNS: u64 = 20;

/// Errors of an operation on fresh encryptions of random numbers, against its estimate.
fn measure(
    what: &str,
    operation: impl Fn(&Evaluator, &Ciphertext, &Ciphertext, &EvaluationKeys) -> Ciphertext,
    expected: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    estimate: impl Fn(&Fixture, Noise) -> Noise,
) {
    for set in RINGS {
        let mut f = Fixture::new(set, 77);
        let mut manifest = KeyManifest::new();
        manifest.need_relinearization(f.top());
        manifest.need_rotation(&f.context, 1, f.top());
        let keys = f.key.evaluation_keys(&manifest, &mut f.randomness).unwrap();
        let noise = estimate(&f, Noise::fresh_symmetric().plus(Noise::encoding()));
        let (mut square, mut count, mut worst, mut scale) = (0.0, 0, 0.0f64, 0.0);
        for run in 0..RUNS {
            let (x, y) = (f.numbers(2 * run + 1), f.numbers(2 * run + 2));
            let (a, b) = (f.encrypt(&x), f.encrypt(&y));
            let result = operation(&f.evaluator, &a, &b, &keys);
            scale = result.scale();
            for (got, expected) in f.decrypt(&result).iter().zip(expected(&x, &y)) {
                let error = (got - expected) * scale;
                square += error * error;
                worst = worst.max(error.abs());
                count += 1;
            }
        }
        assert!(count >= 10_000);
        let bound = noise.slot_bound(f.degree(), 1.0);
        assert!(worst <= bound, "{what}, {}: error {worst:e} above the bound {bound:e}", f.name);
        let (measured, predicted) =
            ((square / f64::from(count)).sqrt(), noise.std() * (f.degree() as f64 / 2.0).sqrt());
        let bits = (predicted / measured).log2();
        assert!(bits.abs() < 3.0, "{what}, {}: predicted std is {bits:+.2} bits off", f.name);
        if std::env::var_os("HEI_SHOW_NOISE").is_some() {
            println!(
                "{what:24} {:50} std {bits:+.2} bits, bound {:+.2} bits",
                f.name,
                (bound / worst).log2()
            );
        }
        let _ = scale;
    }
}

fn rotated(x: &[f64]) -> Vec<f64> {
    (0..x.len()).map(|i| x[(i + 1) % x.len()]).collect()
}

fn product(x: &[f64], y: &[f64]) -> Vec<f64> {
    zip(x, y, |x, y| x * y)
}

/// A product of fresh ciphertexts of uniform numbers in [-1, 1): root mean square 1/sqrt(3).
fn multiplied(f: &Fixture, fresh: Noise) -> Noise {
    let rms = 1.0 / 3f64.sqrt();
    let scale = f.context.scale();
    let spread = Noise::multiply((fresh, rms, scale), (fresh, rms, scale));
    // The bound is for numbers up to 1.
    spread.times(3f64.sqrt())
}

#[test]
fn fresh_and_linear_operations() {
    measure("encrypt", |_, a, _, _| a.clone(), |x, _| x.to_vec(), |_, fresh| fresh);
    measure(
        "add",
        |e, a, b, _| e.add(a, b).unwrap(),
        |x, y| zip(x, y, |x, y| x + y),
        |_, fresh| fresh.plus(fresh),
    );
    measure(
        "multiply_scalar",
        |e, a, _, _| e.multiply_scalar(a, -0.75, 2f64.powi(20)).unwrap(),
        |x, _| x.iter().map(|x| -0.75 * x).collect(),
        |_, fresh| fresh.times(0.75 * 2f64.powi(20)),
    );
    // The weights are up to 1, their root mean square is 1/sqrt(2); their rounding meets the message's 1/sqrt(3).
    let weights = |count: usize| (0..count).map(|i| (i as f64 * 0.37).sin()).collect::<Vec<f64>>();
    measure(
        "multiply_plain",
        |e, a, _, _| {
            let encoder = Encoder::new(e.context());
            let weights = weights(e.context().slots());
            e.multiply_plain(a, &encoder.encode(&weights, a.level(), 2f64.powi(25)).unwrap()).unwrap()
        },
        |x, _| zip(x, &weights(x.len()), |x, w| x * w),
        |f, fresh| {
            fresh
                .times_values(1.0, 2f64.powi(25))
                .plus(Noise::encoding().times_values(1.0, f.context.scale()))
        },
    );
    measure(
        "rescale",
        |e, a, _, _| e.rescale(a).unwrap(),
        |x, _| x.to_vec(),
        |f, fresh| fresh.rescale(f.degree(), f.context.basis().modulus(f.top()).value()),
    );
}

#[test]
fn public_key_encryption() {
    for set in RINGS {
        let mut f = Fixture::new(set, 78);
        let public = f.key.public_key(&mut f.randomness).unwrap();
        let noise = Noise::fresh_public(f.degree(), f.special_bits()).plus(Noise::encoding());
        let (mut square, mut count) = (0.0, 0);
        for run in 0..RUNS {
            let x = f.numbers(run + 1);
            let plaintext = f.encoder.encode(&x, f.top(), f.context.scale()).unwrap();
            let ciphertext = public.encrypt(&plaintext, &mut f.randomness).unwrap();
            f.expect("public", &ciphertext, &x, noise);
            for (got, x) in f.decrypt(&ciphertext).iter().zip(&x) {
                square += ((got - x) * f.context.scale()).powi(2);
                count += 1;
            }
        }
        let measured = (square / f64::from(count)).sqrt();
        let bits = (noise.std() * (f.degree() as f64 / 2.0).sqrt() / measured).log2();
        assert!(count >= 10_000 && bits.abs() < 3.0, "{}: {bits:+.2} bits", f.name);
    }
}

#[test]
fn products() {
    measure("multiply", |e, a, b, _| e.multiply(a, b).unwrap(), product, multiplied);
    measure(
        "relinearize",
        |e, a, b, k| e.relinearize(&e.multiply(a, b).unwrap(), k.relinearization.as_ref().unwrap()).unwrap(),
        product,
        |f, fresh| multiplied(f, fresh).plus(Noise::key_switch_at(&f.context, f.top())),
    );
    measure(
        "relinearize_rescale",
        |e, a, b, k| {
            e.relinearize_rescale(&e.multiply(a, b).unwrap(), k.relinearization.as_ref().unwrap()).unwrap()
        },
        product,
        |f, fresh| {
            let last = f.context.basis().modulus(f.top()).value();
            let sum = multiplied(f, fresh).plus(Noise::key_switch_sum_at(&f.context, f.top()));
            sum.rescale(f.degree(), last)
        },
    );
}

#[test]
fn rotations() {
    let switched = |f: &Fixture, fresh: Noise| fresh.plus(Noise::key_switch_at(&f.context, f.top()));
    measure("rotate", |e, a, _, k| e.rotate(a, 1, &k.galois).unwrap(), |x, _| rotated(x), switched);
    measure(
        "rotate_hoisted",
        |e, a, _, k| e.rotate_hoisted(&e.hoist(a).unwrap(), 1, &k.galois).unwrap(),
        |x, _| rotated(x),
        switched,
    );
    measure(
        "rotate_extended",
        |e, a, _, k| e.finish(e.rotate_extended(&e.hoist(a).unwrap(), 1, &k.galois).unwrap()).unwrap(),
        |x, _| rotated(x),
        switched,
    );
    measure(
        "rotate_extended_add",
        |e, a, _, k| {
            let once = e.rotate_extended(&e.hoist(a).unwrap(), 1, &k.galois).unwrap();
            let mut sum = e.zero_extended(a.level(), a.scale()).unwrap();
            e.rotate_extended_add_assign(&mut sum, once, 1, &k.galois).unwrap();
            e.finish(sum).unwrap()
        },
        |x, _| rotated(&rotated(x)),
        |f, fresh| {
            let switch = Noise::key_switch_at(&f.context, f.top());
            fresh.plus(switch).plus(switch)
        },
    );
}
