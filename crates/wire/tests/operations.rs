//! SEAL's own ciphertexts and keys, computed on here: the same words as SEAL where the operation is exact, the manifest's
//! values where keys are switched.

mod common;

use std::sync::Arc;

use common::{N1024, N16384, context, doubles, file, floats, manifest, max_error};
use hei_ckks::{Ciphertext, Context, Encoder, Evaluator, GaloisKeys, RelinKey, SecretKey};
use hei_ring::GaloisElement;
use hei_wire::{Shape, seal};

/// A coefficient error of this variance as a bound on every slot: eight standard deviations.
fn slot_bound(context: &Context, variance: f64) -> f64 {
    8.0 * (context.degree() as f64 / 2.0 * variance).sqrt() / context.scale()
}

/// SEAL encrypts with the public key at key level and divides by the special prime: what is left is the rounding, of
/// variance (1 + 2N/3)/12. Twice, for a sum of two or a product of two numbers below 1.
fn fresh(context: &Context) -> f64 {
    2.0 * slot_bound(context, (1.0 + 2.0 * context.degree() as f64 / 3.0) / 12.0)
}

/// A fresh ciphertext after a key switch: digits of variance q²/12 meet errors of variance 10.5, both divided by P.
fn switched(context: &Context) -> f64 {
    let n = context.degree() as f64;
    let special: f64 = context.special_moduli().map(|p| p.value() as f64).product();
    let ratios: f64 = context.data_moduli().map(|q| (q.value() as f64 / special).powi(2)).sum();
    fresh(context) + slot_bound(context, n * 10.5 / 12.0 * ratios)
}

struct Bench {
    set: &'static str,
    context: Arc<Context>,
    key: SecretKey,
    encoder: Encoder,
    evaluator: Evaluator,
}

impl Bench {
    fn new(set: &'static str) -> Self {
        let context = context(set);
        let key = seal::decode_secret_key(&file(set, "sk_none.bin"), &context).unwrap();
        let (encoder, evaluator) = (Encoder::new(&context), Evaluator::new(&context));
        Self { set, context, key, encoder, evaluator }
    }

    /// A result of the manifest, with the scale and the number of primes and polynomials the manifest gives for it.
    fn result(&self, name: &str) -> Ciphertext {
        let entry = &manifest()["sets"][self.set]["files"][name];
        let limbs = entry["primes"].as_u64().map_or(self.context.data_count(), |limbs| limbs as usize);
        let scale = entry["scale"].as_f64().unwrap_or(self.context.scale());
        let parts = entry["poly_count"].as_u64().unwrap_or(2) as u8;
        let shape = Shape::ciphertext(&self.context, limbs - 1, scale).with_parts(parts);
        seal::decode_ciphertext(&file(self.set, name), &shape).unwrap()
    }

    fn decrypt(&self, ciphertext: &Ciphertext) -> Vec<f64> {
        self.encoder.decode(&self.key.decrypt(ciphertext).unwrap())
    }

    #[track_caller]
    fn holds(&self, ciphertext: &Ciphertext, expected: &[f64], bound: f64) {
        assert_eq!(expected.len(), self.context.slots());
        let error = max_error(&self.decrypt(ciphertext), expected);
        assert!(error < bound, "{}: error {error:e} against {bound:e}", self.set);
    }

    fn galois(&self, name: &str, steps: &[i64]) -> GaloisKeys {
        let elements: Vec<_> =
            steps.iter().map(|step| GaloisElement::rotation(*step, self.context.degree())).collect();
        seal::decode_galois_keys(&file(self.set, name), &self.context, &elements).unwrap()
    }
}

fn rotated(values: &[f64], step: i64) -> Vec<f64> {
    let n = values.len() as i64;
    (0..n).map(|i| values[(i + step).rem_euclid(n) as usize]).collect()
}

/// The results were computed from two ciphertexts of which the files hold the first without its last prime
/// (`res_modswitched`) and their sum. Addition is exact, so both are known at level 1.
fn operands(bench: &Bench) -> (Ciphertext, Ciphertext) {
    let a = bench.result("res_modswitched.bin");
    let sum = bench.evaluator.drop_to_level(&bench.result("res_add.bin"), 1).unwrap();
    let b = bench.evaluator.sub(&sum, &a).unwrap();
    (a, b)
}

/// Addition, multiplication and modulus switching: three polynomials of a product over two primes leave one choice for the
/// four of the operands, so they fit only if all three operations are SEAL's.
#[test]
fn exact_operations_give_seals_words() {
    let bench = Bench::new(N1024);
    let (a, b) = operands(&bench);
    let slots = doubles(N1024, "full_slots.f64le");
    let reversed: Vec<f64> = slots.iter().rev().copied().collect();
    bench.holds(&a, &slots, fresh(&bench.context));
    bench.holds(&b, &reversed, fresh(&bench.context));
    let product = bench.evaluator.multiply(&a, &b).unwrap();
    let theirs = bench.result("res_mul_size3.bin");
    assert!(product == bench.evaluator.drop_to_level(&theirs, 1).unwrap());
    let sum = bench.evaluator.add(&a, &b).unwrap();
    assert!(sum == bench.evaluator.drop_to_level(&bench.result("res_add.bin"), 1).unwrap());
    // With one word changed nothing fits.
    let mut parts = a.parts().to_vec();
    parts[0].limb_mut(1)[5] ^= 1;
    let other = Ciphertext::new(&bench.context, parts, a.scale()).unwrap();
    assert!(bench.evaluator.multiply(&other, &b).unwrap() != product);
    // With the word of one operand shifted to the other, the sum still fits and the product no longer.
    let shifted = bench.evaluator.sub(&sum, &other).unwrap();
    assert!(bench.evaluator.multiply(&other, &shifted).unwrap() != product);

    let rescaled = bench.evaluator.rescale(&bench.result("res_mul_relin.bin")).unwrap();
    assert!(rescaled == bench.result("res_mul_relin_rescaled.bin"));

    // And written down, each is SEAL's stream but for the version and the correction factor.
    for (value, name) in [(&a, "res_modswitched.bin"), (&rescaled, "res_mul_relin_rescaled.bin")] {
        let (ours, theirs) = (seal::encode_ciphertext(value, &bench.context).unwrap(), file(N1024, name));
        assert_eq!(ours.len() + 8, theirs.len());
        assert!(ours[105..] == theirs[113..], "{name}");
    }
}

#[test]
fn encoding_gives_seals_coefficients() {
    for (set, files) in [(N1024, &["pt_small_none.bin", "pt_small_zstd.bin"][..])] {
        let bench = Bench::new(set);
        let known = floats(&manifest()["sets"][set]["files"]["pt_small_none.bin"]["slots_head"]);
        let ours = bench.encoder.encode(&known, bench.context.max_level(), bench.context.scale()).unwrap();
        let norm: f64 = known.iter().map(|z| z.abs()).sum();
        let bound = (f64::exp2(-48.0) * bench.context.scale() * norm).max(1.0) as i64;
        for name in files {
            let theirs = seal::decode_plaintext(&file(set, name), &bench.context).unwrap();
            let basis = bench.context.basis();
            let mut difference = basis.inverse(ours.poly().clone());
            basis.sub_assign(&mut difference, &basis.inverse(theirs.poly().clone()));
            let first: Vec<i64> = difference.limb(0).iter().map(|r| basis.modulus(0).centered(*r)).collect();
            let largest = first.iter().map(|d| d.abs()).max().unwrap();
            assert!(largest <= bound, "{name}: a coefficient differs by {largest}, at most {bound}");
            // The same difference under every prime, so it is one integer and not a wrapped one.
            for (limb, modulus) in difference.iter().zip(basis.moduli()) {
                assert!(limb.iter().zip(&first).all(|(r, d)| modulus.centered(*r) == *d), "{name}");
            }
        }
    }
}

#[test]
fn products_are_relinearized_with_seals_keys() {
    let bench = Bench::new(N1024);
    let slots = doubles(N1024, "full_slots.f64le");
    let expected: Vec<f64> = slots.iter().zip(slots.iter().rev()).map(|(x, y)| x * y).collect();
    let product = bench.result("res_mul_size3.bin");
    let bound = fresh(&bench.context);
    bench.holds(&product, &expected, bound);
    for name in ["relin_none.bin", "relin_seeded_none.bin", "relin_seeded_zstd.bin"] {
        let key = seal::decode_relin_keys(&file(N1024, name), &bench.context).unwrap();
        let relinearized = bench.evaluator.relinearize(&product, &key).unwrap();
        bench.holds(&relinearized, &expected, bound);
        // SEAL's result differs by the noise of two key switches, at the scale of a product.
        let theirs = bench.decrypt(&bench.result("res_mul_relin.bin"));
        let error = max_error(&bench.decrypt(&relinearized), &theirs);
        assert!(error > 0.0 && error < 1e-11, "{name}: differs from SEAL by {error:e}");
        let rescaled = bench.evaluator.rescale(&relinearized).unwrap();
        let theirs = bench.result("res_mul_relin_rescaled.bin");
        assert_eq!(rescaled.scale().to_bits(), theirs.scale().to_bits());
        bench.holds(&rescaled, &expected, 2.0 * bound);
        // Key switching below the highest level, with a key for all of them.
        let (a, b) = operands(&bench);
        let low = bench.evaluator.multiply(&a, &b).unwrap();
        bench.holds(&bench.evaluator.relinearize(&low, &key).unwrap(), &expected, bound);
    }
}

#[test]
fn rotations_work_with_seals_keys() {
    let bench = Bench::new(N1024);
    let a = bench.result("ct_full_none.bin");
    let slots = doubles(N1024, "full_slots.f64le");
    let all = bench.galois("rot_1_m1_4_none.bin", &[1, -1, 4]);
    for step in [1, -1, 4] {
        let ours = bench.evaluator.rotate(&a, step, &all).unwrap();
        bench.holds(&ours, &rotated(&slots, step), switched(&bench.context));
        bench.holds(&bench.result(&format!("res_rot_{step}.bin")), &rotated(&slots, step), 1e-3);
    }
    for name in ["rot_1_seeded_none.bin", "rot_1_seeded_zstd.bin"] {
        let keys = bench.galois(name, &[1]);
        let ours = bench.evaluator.rotate(&a, 1, &keys).unwrap();
        bench.holds(&ours, &rotated(&slots, 1), switched(&bench.context));
    }
}

/// At the size of the served model: two feature columns multiplied under SEAL's seeded relinearization key.
#[test]
fn products_at_full_size_are_relinearized_with_seals_key() {
    let bench = Bench::new(N16384);
    let slots = bench.context.slots();
    let columns = doubles(N16384, "logreg_X_8xslots.f64le");
    let (x, y) = (&columns[..slots], &columns[slots..2 * slots]);
    let expected: Vec<f64> = x.iter().zip(y).map(|(x, y)| x * y).collect();
    let key = seal::decode_relin_keys(&file(N16384, "relin_seeded_zstd.bin"), &bench.context).unwrap();
    let inputs = [0, 1].map(|i| bench.result(&format!("logreg_in_{i}.bin")));
    let product = bench.evaluator.multiply(&inputs[0], &inputs[1]).unwrap();
    let product = bench.evaluator.relinearize(&product, &key).unwrap();
    let bound = fresh(&bench.context);
    bench.holds(&product, &expected, bound);
    bench.holds(&bench.evaluator.rescale(&product).unwrap(), &expected, 2.0 * bound);
}

/// What SEAL wrote is read and written again: the same octets but for version and correction factor, which are told apart
/// by reading our own stream once more.
#[test]
fn seals_keys_come_back() {
    let bench = Bench::new(N1024);
    let relin = seal::decode_relin_keys(&file(N1024, "relin_none.bin"), &bench.context).unwrap();
    let octets = seal::encode_relin_keys(&relin, &bench.context).unwrap();
    assert_eq!(octets.len() + 3 * 8, file(N1024, "relin_none.bin").len());
    assert!(seal::decode_relin_keys(&octets, &bench.context).unwrap() == relin);
    let all = bench.galois("rot_1_m1_4_none.bin", &[4, 1, -1]);
    let octets = seal::encode_galois_keys(&all, &bench.context).unwrap();
    assert_eq!(octets.len() + 9 * 8, file(N1024, "rot_1_m1_4_none.bin").len());
    let elements: Vec<_> = all.elements().collect();
    assert!(seal::decode_galois_keys(&octets, &bench.context, &elements).unwrap() == all);

    // Seeded keys of SEAL are the same key as their expansion, in our own container as well.
    let seeded = seal::decode_relin_keys(&file(N1024, "relin_seeded_none.bin"), &bench.context).unwrap();
    let again = seal::decode_relin_keys(&file(N1024, "relin_seeded_zstd.bin"), &bench.context).unwrap();
    let octets = seal::encode_relin_keys(&seeded, &bench.context).unwrap();
    assert!(seal::decode_relin_keys(&octets, &bench.context).unwrap() == seeded);
    for RelinKey(key) in [&seeded, &again] {
        assert_eq!((key.level(), key.digits().len()), (2, 3));
    }
}
