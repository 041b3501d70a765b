//! Targets 1 and 2: `hei/1` containers, raw and with edits.

use hei_ckks::coefficients::{IndexRange, IndexRanges};
use hei_wire::{Format, Input, KeyShape, Shape, decode_inputs, hei, inspect};

use super::oracle::{Wanted, accepts};
use super::{Cursor, Outcome, context, hybrid, manifest, peak, seeds};

/// Octets that reading may take on top of what the shape holds and what was sent: headers, lists, one polynomial on its way.
const SLACK: usize = 64 << 10;

/// Any bytes to every reader of `hei/1`. Nothing panics; memory is bounded by the input and the expected shape; what is
/// accepted is written again in the same octets.
pub(crate) fn container_bytes(data: &[u8]) -> Outcome {
    let context = context();
    let degree = context.degree();
    let mut accepted = false;
    // Whatever a shape holds is at most three polynomials over three primes, twice for a list of two.
    let held = 2 * 3 * 3 * 8 * degree;
    let ((), used) = peak(|| {
        let _ = inspect(data).map(|description| description.to_string());
    });
    assert!(used <= data.len() + SLACK, "{used} bytes to describe {}", data.len());

    let slots = Shape::ciphertext(context, context.max_level(), context.scale());
    let mut check = |again: Option<Vec<u8>>, used: usize| {
        assert!(used <= 2 * data.len() + held + SLACK, "{used} bytes for an input of {}", data.len());
        if let Some(again) = again {
            assert!(again == data, "accepted octets are the only ones for their value");
            accepted = true;
        }
    };
    let (inputs, used) = peak(|| decode_inputs(vec![data.to_vec()], &slots));
    check(
        inputs.ok().filter(|(format, _)| *format == Format::Hei).and_then(|(_, inputs)| match &inputs[..] {
            [Input::Slots(ciphertext)] => hei::encode_ciphertext(ciphertext, context).ok(),
            _ => None,
        }),
        used,
    );
    let (list, used) = peak(|| hei::decode_list(data, &slots.clone().list(2)));
    check(list.ok().and_then(|items| hei::encode_list(&items, context).ok()), used);
    let Some(ranges) = IndexRanges::new(vec![IndexRange { start: 3, count: 8, step: 5 }], degree) else {
        panic!("a valid range");
    };
    let request = Shape::coefficient_request(context, &ranges, context.scale());
    let (value, used) = peak(|| hei::decode_request(data, &request));
    check(value.ok().and_then(|value| hei::encode_request(&value, context).ok()), used);
    let reply = Shape::coefficient_reply(context, &ranges, 21, context.scale());
    let (value, used) = peak(|| hei::decode_reply(data, &reply));
    check(value.ok().and_then(|value| hei::encode_reply(&value, context).ok()), used);
    let (value, used) = peak(|| hei::decode_public_key(data, &Shape::public_key(context)));
    // Public keys are written in full only.
    let full = data.get(7) == Some(&0);
    check(value.ok().filter(|_| full).and_then(|key| hei::encode_public_key(&key, context).ok()), used);
    let (value, used) = peak(|| hei::decode_secret_key(data, &Shape::secret_key(context)));
    check(value.ok().and_then(|key| Some(hei::encode_secret_key(&key, context).ok()?.to_vec())), used);
    Outcome::of(accepted)
}

/// Edits of a valid container. It is accepted exactly when the oracle says so.
pub(crate) fn container_struct(data: &[u8]) -> Outcome {
    let mut input = Cursor(data);
    let keys = input.u8() % 4;
    let (context, wants_keys) = match keys {
        0 => (context(), false),
        1 => (hybrid(), false),
        2 => (context(), true),
        _ => (hybrid(), true),
    };
    let seeded = input.u8() % 2 == 0;
    let limbs = context.max_level() + 1;
    let manifest = manifest(context);
    let base = if wants_keys { seeds::keys(context, seeded) } else { seeds::ciphertext(context, seeded) };
    let bytes = edited(base, &mut input);

    let (wanted, accepted) = if wants_keys {
        let shape = KeyShape::new(context, &manifest);
        (Wanted::Keys(&manifest), hei::decode_evaluation_keys(&bytes, &shape).is_ok())
    } else {
        let shape = Shape::ciphertext(context, limbs - 1, context.scale());
        let wanted = Wanted::Ciphertext { limbs, scale: context.scale() };
        (wanted, hei::decode_ciphertext(&bytes, &shape).is_ok())
    };
    assert_eq!(accepted, accepts(&bytes, context, &wanted), "the reader and the specification disagree");
    Outcome::of(accepted)
}

/// Each edit is five octets: what, where (within the header, or anywhere), and a value.
pub(crate) fn edited(base: &[u8], input: &mut Cursor<'_>) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..8 {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        let (what, wide, value) = (input.u8(), input.u8(), input.u8());
        let place = u16::from_le_bytes(input.array()) as usize;
        // The header is where the structure is; multiples of the length over 2^16 reach all of the body.
        let at = if wide % 4 == 0 {
            place * bytes.len().div_ceil(1 << 16) % bytes.len()
        } else {
            place % bytes.len().min(160)
        };
        match what % 8 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, value),
            4 => drop(bytes.remove(at)),
            5 => {
                let end = (at + usize::from(value)).min(bytes.len());
                bytes[at..end].fill(if wide % 2 == 0 { 0 } else { 0xff });
            }
            6 => {
                let end = (at + usize::from(value)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => bytes.extend(core::iter::repeat_n(value, place % 64)),
        }
    }
    bytes
}
