//! Target 4: evaluation keys, raw and edited, in both formats; what is accepted switches keys.

use std::sync::Arc;

use hei_ckks::{Context, Encoder, EvaluationKeys, Evaluator};
use hei_wire::{Format, KeyShape, decode_evaluation_keys, hei, inspect, seal};

use super::container::edited;
use super::{Cursor, Outcome, context, hybrid, manifest, peak, secret, seeds};

/// As for containers; then an accepted key relinearizes and rotates, whatever its residues are.
pub(crate) fn evaluation_key(data: &[u8]) -> Outcome {
    let mut input = Cursor(data);
    let raw = input.u8() % 2 == 0;
    let bytes = if raw {
        input.0.to_vec()
    } else {
        let base = match input.u8() % 6 {
            0 => seeds::keys(context(), true),
            1 => seeds::keys(context(), false),
            2 => seeds::keys(hybrid(), true),
            3 => seeds::keys(hybrid(), false),
            4 => seeds::seal_keys(false),
            _ => seeds::seal_keys(true),
        };
        edited(base, &mut input)
    };
    let mut accepted = false;
    for context in [context(), hybrid()] {
        let shape = KeyShape::new(context, &manifest(context));
        // The largest form there is, held as words instead of bits, with one polynomial on its way; and a window.
        let held = 4 * shape.max_encoded_len(Format::Hei) as usize + (9 << 18);
        let payload = bytes.clone();
        let (keys, used) = peak(|| decode_evaluation_keys(payload, &shape));
        assert!(used <= 2 * bytes.len() + held, "{used} bytes for an input of {}", bytes.len());
        if let Ok((format, keys)) = keys {
            accepted = true;
            written_again(&bytes, format, &keys, context);
            switch(&keys, context);
        }
    }
    let _ = inspect(&bytes).map(|description| description.to_string());
    Outcome::of(accepted)
}

fn written_again(bytes: &[u8], format: Format, keys: &EvaluationKeys, context: &Arc<Context>) {
    if format == Format::Hei {
        let seeded = hei::KeyHeader::parse(bytes).is_ok_and(|header| header.seeded());
        let write = if seeded { hei::encode_evaluation_keys } else { hei::encode_evaluation_keys_full };
        assert!(write(keys, context).is_ok_and(|again| again == bytes), "one value has one encoding");
        return;
    }
    let relin = keys.relinearization.as_ref().expect("exactly the manifest");
    let written = [seal::encode_relin_keys(relin, context), seal::encode_galois_keys(&keys.galois, context)];
    let again = written.map(|stream| stream.expect("SEAL's keys fit SEAL's streams")).concat();
    // Version 3.7, uncompressed and in full is how we write: then it is the same octets.
    if again.len() == bytes.len() && bytes.starts_with(&[0x5e, 0xa1, 0x10, 3, 7, 0]) {
        assert!(again == bytes, "one value has one encoding");
    }
    let shape = KeyShape::new(context, &manifest(context));
    assert!(seal::decode_evaluation_keys(&again, &shape).is_ok_and(|back| back == *keys));
}

fn switch(keys: &EvaluationKeys, context: &Arc<Context>) {
    let evaluator = Evaluator::new(context);
    assert!(manifest(context).missing(keys).is_empty());
    let x = seeds::fresh(context);
    let product = evaluator.multiply(&x, &x).expect("room for a product");
    let relin = keys.relinearization.as_ref().expect("exactly the manifest");
    let product = evaluator.relinearize(&product, relin).expect("a key of this level");
    let low = evaluator.rescale(&product).expect("a level is left");
    let rotated = evaluator.rotate(&low, 1, &keys.galois).expect("a key of this level");
    let values = Encoder::new(context).decode(&secret(context).decrypt(&rotated).expect("of this context"));
    assert!(values.iter().all(|value| value.is_finite()));
}
