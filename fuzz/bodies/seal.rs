//! Targets 6 and 7: SEAL streams, uncompressed and compressed.

use hei_ring::GaloisElement;
use hei_wire::{Format, KeyShape, Shape, inspect, seal};

use super::{Cursor, Outcome, context, manifest, peak};

/// What SEAL 3.7 wrote uncompressed and in full is written again in the same octets.
const OURS: [u8; 6] = [0x5e, 0xa1, 0x10, 3, 7, 0];

/// Any uncompressed stream to every reader of SEAL's objects. Nothing panics, memory is bounded by the input, and what is
/// accepted comes back when it is written.
pub(crate) fn seal_bytes(data: &[u8]) -> Outcome {
    if data.get(5).is_some_and(|compression| *compression != 0) {
        return Outcome::Refused;
    }
    let context = context();
    let degree = context.degree();
    let mut accepted = false;
    // Seeds expand to as much as is there; one more polynomial over all primes may be on its way.
    let bound = 4 * data.len() + 2 * 3 * 8 * degree + (64 << 10);
    let mut check = |again: Option<Vec<u8>>, used: usize| {
        assert!(used <= bound, "{used} bytes for an input of {}", data.len());
        let Some(again) = again else { return };
        if data.starts_with(&OURS) && again.len() == data.len() {
            assert!(again == data, "one value has one encoding");
        }
        accepted = true;
    };
    for level in 0..=context.max_level() {
        let shape = Shape::ciphertext(context, level, context.scale());
        let (value, used) = peak(|| seal::decode_ciphertext(data, &shape));
        let again = value.ok().map(|value| {
            let again = seal::encode_ciphertext(&value, context).expect("it was read");
            assert!(seal::decode_ciphertext(&again, &shape).is_ok_and(|back| back == value));
            again
        });
        check(again, used);
    }
    let (value, used) = peak(|| seal::decode_plaintext(data, context));
    check(value.ok().and_then(|value| seal::encode_plaintext(&value, context).ok()), used);
    let (value, used) = peak(|| seal::decode_secret_key(data, context));
    check(value.ok().and_then(|key| Some(seal::encode_secret_key(&key, context).ok()?.to_vec())), used);
    let (value, used) = peak(|| seal::decode_public_key(data, context));
    check(value.ok().and_then(|key| seal::encode_public_key(&key, context).ok()), used);
    let (value, used) = peak(|| seal::decode_relin_keys(data, context));
    check(value.ok().and_then(|key| seal::encode_relin_keys(&key, context).ok()), used);
    let one = GaloisElement::rotation(1, degree);
    let (value, used) = peak(|| seal::decode_galois_keys(data, context, &[one]));
    check(value.ok().and_then(|keys| seal::encode_galois_keys(&keys, context).ok()), used);
    let (value, used) = peak(|| seal::decode_parameters(data));
    if let Ok(parameters) = value {
        assert!(used <= bound && (2..=131_072).contains(&parameters.degree) && parameters.primes.len() <= 64);
        accepted = true;
    }
    let _ = inspect(data).map(|description| description.to_string());
    Outcome::of(accepted)
}

/// Any bytes as the compressed members of an object whose header is honest. Memory stays below the expected length and a
/// window, whatever they decompress to.
pub(crate) fn seal_compressed(data: &[u8]) -> Outcome {
    /// The window, what a decoder keeps beside it, and a polynomial on its way.
    const MARGIN: usize = 5 << 19;
    let context = context();
    let mut input = Cursor(data);
    let selector = input.u8();
    let compression = 1 + selector % 2;
    let mut object = vec![0x5e, 0xa1, 0x10, 3, 7, compression, 0, 0];
    object.extend((16 + input.0.len() as u64).to_le_bytes());
    object.extend_from_slice(input.0);

    let shape = Shape::ciphertext(context, 0, context.scale());
    let (value, used) = peak(|| seal::decode_ciphertext(&object, &shape));
    assert!(used <= shape.max_encoded_len(Format::Seal) as usize + MARGIN, "{used} bytes for a ciphertext");
    let mut accepted = value.is_ok();
    if let Ok(value) = value {
        let plain = seal::encode_ciphertext(&value, context).expect("it was read");
        assert!(seal::decode_ciphertext(&plain, &shape).is_ok_and(|back| back == value));
    }
    let keys = KeyShape::new(context, &manifest(context));
    let most = keys.max_encoded_len(Format::Seal) as usize + MARGIN;
    let (value, used) = peak(|| seal::decode_evaluation_keys(&object, &keys).is_ok());
    assert!(used <= most, "{used} bytes for keys");
    accepted |= value;
    let (value, used) = peak(|| seal::decode_relin_keys(&object, context).is_ok());
    assert!(used <= most, "{used} bytes for a key");
    accepted |= value;
    let (value, used) = peak(|| {
        let _ = inspect(&object);
        seal::decode_parameters(&object).is_ok()
            || seal::decode_plaintext(&object, context).is_ok()
            || seal::decode_secret_key(&object, context).is_ok()
            || seal::decode_public_key(&object, context).is_ok()
    });
    assert!(used <= most, "{used} bytes for a client's own objects");
    accepted |= value;
    Outcome::of(accepted)
}
