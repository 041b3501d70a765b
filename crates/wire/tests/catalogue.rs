//! The adversarial catalogue at the level of bytes: every mutation with the exact refusal it must meet.

mod common;

use std::sync::Arc;

use common::{N1024, context, file, small_context};
use hei_ckks::coefficients::{self, IndexRange, IndexRanges};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Ciphertext, Context, Encoder, SecretKey};
use hei_ring::{Ntt, Poly};
use hei_wire::DecodeError::{Incompatible as I, Invalid as V, Policy as P, SecretKey as SECRET};
use hei_wire::Incompatible::{Form, Level, Params, PolynomialCount, Scale};
use hei_wire::Policy::TransparentMask;
use hei_wire::Reason::{
    BadMagic, BadScale, BadVersion, CoefficientOutOfRange, LengthMismatch, NonCanonical, TrailingBytes,
    Truncated, WrongKind,
};
use hei_wire::{DecodeError, Input, InputError, Shape, decode_inputs, hei, seal};

/// Offsets of the fixed part of a `hei/1` header.
mod at {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const KIND: usize = 5;
    pub(crate) const FORM: usize = 6;
    pub(crate) const SEED: usize = 7;
    pub(crate) const DEGREE: usize = 8;
    pub(crate) const LIMBS: usize = 12;
    pub(crate) const PARTS: usize = 14;
    pub(crate) const REPLY: usize = 15;
    pub(crate) const ITEMS: usize = 16;
    pub(crate) const RANGES: usize = 18;
    pub(crate) const RESERVED: usize = 20;
    pub(crate) const PARAMS: usize = 24;
    pub(crate) const SCALE: usize = 56;
    pub(crate) const BODY: usize = 64;
    pub(crate) const WIDTHS: usize = 72;
}

struct Bench {
    context: Arc<Context>,
    shape: Shape,
    seeded: Vec<u8>,
    full: Vec<u8>,
    key: SecretKey,
    ciphertext: Ciphertext,
}

fn bench() -> Bench {
    let context = context(N1024);
    let mut randomness = SeededRandomness::new(7);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let values: Vec<f64> = (0..context.slots()).map(|i| (i as f64).sin()).collect();
    let plaintext = Encoder::new(&context).encode(&values, context.max_level(), context.scale()).unwrap();
    let ciphertext = key.encrypt(&plaintext, &mut randomness).unwrap();
    Bench {
        shape: Shape::ciphertext(&context, context.max_level(), context.scale()),
        seeded: hei::encode_ciphertext(&ciphertext, &context).unwrap(),
        full: hei::encode_ciphertext_full(&ciphertext, &context).unwrap(),
        context,
        key,
        ciphertext,
    }
}

fn put<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    bytes
}

/// What a server answers to a request with this one input.
fn refusal(bytes: Vec<u8>, shape: &Shape) -> Option<DecodeError> {
    decode_inputs(vec![bytes], shape).err().map(|InputError { index, error }| {
        assert_eq!(index, 0);
        error
    })
}

#[track_caller]
fn refused(bytes: Vec<u8>, shape: &Shape, expected: DecodeError) {
    assert_eq!(refusal(bytes, shape), Some(expected));
}

#[track_caller]
fn accepted(bytes: Vec<u8>, shape: &Shape) {
    assert_eq!(refusal(bytes, shape), None);
}

#[test]
fn the_valid_containers_are_accepted() {
    let b = bench();
    let limbs = 40usize.div_ceil(8) * 1024 + 2 * 30 * 128;
    assert_eq!(b.seeded.len(), 72 + 3 + 32 + limbs);
    assert_eq!(b.full.len(), 72 + 3 + 2 * limbs);
    accepted(b.seeded.clone(), &b.shape);
    accepted(b.full.clone(), &b.shape);
    for bytes in [&b.seeded, &b.full] {
        assert!(hei::decode_ciphertext(bytes, &b.shape).unwrap().parts() == b.ciphertext.parts());
        assert!(bytes.len() as u64 <= b.shape.max_encoded_len(hei_wire::Format::Hei));
    }
}

/// CT-01, CT-02: cut anywhere, extended, empty.
#[test]
fn lengths() {
    let b = bench();
    for bytes in [&b.seeded, &b.full] {
        refused(Vec::new(), &b.shape, V(LengthMismatch));
        let header = (1..200).chain((200..bytes.len()).step_by(997)).chain([bytes.len() - 1]);
        for length in header {
            refused(bytes[..length].to_vec(), &b.shape, V(Truncated));
        }
        for extra in [1, 2, 32, 4096] {
            refused([bytes, vec![0; extra].as_slice()].concat(), &b.shape, V(TrailingBytes));
        }
    }
}

/// CT-03 to CT-10, CT-13, CT-14, CT-24, SD-01, SD-02, SD-04: every field of the header.
#[test]
fn header_fields() {
    let b = bench();
    let full = &b.full;
    let table: Vec<(&str, Vec<u8>, DecodeError)> = vec![
        ("magic", put(full, 0, *b"x"), V(BadMagic)),
        ("magic", put(full, 3, *b"j"), V(BadMagic)),
        ("version 0", put(full, at::VERSION, [0]), V(BadVersion)),
        ("version 2", put(full, at::VERSION, [2]), V(BadVersion)),
        ("version 255", put(full, at::VERSION, [255]), V(BadVersion)),
        ("kind 0", put(full, at::KIND, [0]), V(WrongKind)),
        ("kind list", put(full, at::KIND, [2]), V(WrongKind)),
        ("kind evaluation key", put(full, at::KIND, [3]), V(WrongKind)),
        ("kind public key", put(full, at::KIND, [4]), V(WrongKind)),
        ("kind secret key", put(full, at::KIND, [5]), SECRET),
        ("kind 6", put(full, at::KIND, [6]), V(WrongKind)),
        ("kind 255", put(full, at::KIND, [255]), V(WrongKind)),
        ("form 0", put(full, at::FORM, [0]), I(Form)),
        ("form 2", put(full, at::FORM, [2]), V(NonCanonical)),
        ("form 255", put(full, at::FORM, [255]), V(NonCanonical)),
        ("seeded flag on a full body", put(full, at::SEED, [32]), V(LengthMismatch)),
        ("full flag on a seeded body", put(&b.seeded, at::SEED, [0]), V(LengthMismatch)),
        ("seed length 1", put(&b.seeded, at::SEED, [1]), V(NonCanonical)),
        ("seed length 31", put(&b.seeded, at::SEED, [31]), V(NonCanonical)),
        ("seed length 33", put(&b.seeded, at::SEED, [33]), V(NonCanonical)),
        ("seed length 64", put(&b.seeded, at::SEED, [64]), V(NonCanonical)),
        ("seeded with three polynomials", put(&b.seeded, at::PARTS, [3]), V(NonCanonical)),
        ("degree of another set", put(full, at::DEGREE, 2048u32.to_le_bytes()), V(NonCanonical)),
        ("degree 512", put(full, at::DEGREE, 512u32.to_le_bytes()), V(NonCanonical)),
        ("limbs 0", put(full, at::LIMBS, 0u16.to_le_bytes()), V(NonCanonical)),
        ("limbs 1", put(full, at::LIMBS, 1u16.to_le_bytes()), I(Level)),
        ("limbs 2", put(full, at::LIMBS, 2u16.to_le_bytes()), I(Level)),
        ("limbs 4", put(full, at::LIMBS, 4u16.to_le_bytes()), I(Level)),
        ("limbs 65", put(full, at::LIMBS, 65u16.to_le_bytes()), V(NonCanonical)),
        ("limbs 255", put(full, at::LIMBS, 255u16.to_le_bytes()), V(NonCanonical)),
        ("limbs 65535", put(full, at::LIMBS, u16::MAX.to_le_bytes()), V(NonCanonical)),
        ("polynomials 0", put(full, at::PARTS, [0]), V(NonCanonical)),
        ("polynomials 1", put(full, at::PARTS, [1]), I(PolynomialCount)),
        ("polynomials 3", put(full, at::PARTS, [3]), I(PolynomialCount)),
        ("polynomials 16", put(full, at::PARTS, [16]), I(PolynomialCount)),
        ("polynomials 17", put(full, at::PARTS, [17]), V(NonCanonical)),
        ("polynomials 255", put(full, at::PARTS, [255]), V(NonCanonical)),
        ("reply modulus in slots", put(full, at::REPLY, [20]), V(NonCanonical)),
        ("reply modulus 64", put(full, at::REPLY, [64]), V(NonCanonical)),
        ("items 0", put(full, at::ITEMS, 0u16.to_le_bytes()), V(NonCanonical)),
        ("items 2", put(full, at::ITEMS, 2u16.to_le_bytes()), V(NonCanonical)),
        ("items 65535", put(full, at::ITEMS, u16::MAX.to_le_bytes()), V(NonCanonical)),
        ("ranges in NTT form", put(full, at::RANGES, 1u16.to_le_bytes()), V(NonCanonical)),
        ("ranges 65535", put(full, at::RANGES, u16::MAX.to_le_bytes()), V(NonCanonical)),
        ("width 41", put(full, at::WIDTHS, [41]), V(NonCanonical)),
        ("width 0", put(full, at::WIDTHS, [0]), V(NonCanonical)),
        ("width 255", put(full, at::WIDTHS + 2, [255]), V(NonCanonical)),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(refusal(bytes, &b.shape), Some(expected), "{name}");
    }
    for degree in [0u32, 1, 3, 3000, 65535, 65537, 1 << 18, 1 << 31, u32::MAX] {
        refused(put(full, at::DEGREE, degree.to_le_bytes()), &b.shape, V(NonCanonical));
    }
    for bit in 0..32 {
        refused(put(full, at::RESERVED, (1u32 << bit).to_le_bytes()), &b.shape, V(NonCanonical));
    }
    let length = u64::from_le_bytes(full[at::BODY..at::BODY + 8].try_into().unwrap());
    for lie in [length - 1, length + 1, 0, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        refused(put(full, at::BODY, lie.to_le_bytes()), &b.shape, V(LengthMismatch));
    }
}

/// CT-05 and KY-17: a whole key file, and its first octets, are refused as what they are.
#[test]
fn secret_keys() {
    let b = bench();
    let file = hei::encode_secret_key(&b.key, &b.context).unwrap();
    refused(file.to_vec(), &b.shape, SECRET);
    refused(file[..6].to_vec(), &b.shape, SECRET);
    refused(put(&file, at::FORM, [9]), &b.shape, SECRET);
    let seal = seal::encode_secret_key(&b.key, &b.context).unwrap();
    refused(seal.to_vec(), &b.shape, SECRET);
    let public =
        hei::encode_public_key(&b.key.public_key(&mut SeededRandomness::new(1)).unwrap(), &b.context);
    refused(public.unwrap(), &b.shape, V(WrongKind));
    // A key where a key is expected has to be the right one.
    let shape = Shape::secret_key(&b.context);
    assert!(hei::decode_secret_key(&file, &shape).is_ok());
    let other = small_context(2048, &[40, 30, 40], 1);
    let refusal = hei::decode_secret_key(&file, &Shape::secret_key(&other)).err();
    assert_eq!(refusal, Some(I(Params)));
    let mut three = file.to_vec();
    *three.last_mut().unwrap() |= 0b1100_0000;
    assert_eq!(hei::decode_secret_key(&three, &shape).err(), Some(V(CoefficientOutOfRange)));
    let mut zero = file.to_vec();
    zero[73..].fill(0);
    assert_eq!(hei::decode_secret_key(&zero, &shape).err(), Some(V(NonCanonical)));
}

/// CT-11, CT-12: the first and the last residue of every limb of both polynomials.
#[test]
fn residues() {
    let b = bench();
    let widths = [40u64, 30, 30];
    let body = 72 + 3;
    let mut start = 8 * body as u64;
    for part in 0..2 {
        for (limb, width) in widths.iter().enumerate() {
            let q = b.context.basis().modulus(limb).value();
            for i in [0, 1, 511, 1023] {
                let bit = start + i * width;
                for value in [q, q + 1, (1 << width) - 1] {
                    let bytes = set_bits(&b.full, bit, *width, value);
                    refused(bytes, &b.shape, V(CoefficientOutOfRange));
                }
                accepted(set_bits(&b.full, bit, *width, q - 1), &b.shape);
                accepted(set_bits(&b.full, bit, *width, 0), &b.shape);
            }
            start += 1024 * width;
        }
        assert_eq!(start / 8, (body + (part + 1) * 12800) as u64);
    }
}

fn set_bits(bytes: &[u8], bit: u64, width: u64, value: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for i in 0..width {
        let (byte, shift) = (((bit + i) / 8) as usize, (bit + i) % 8);
        bytes[byte] = bytes[byte] & !(1 << shift) | ((value >> i & 1) as u8) << shift;
    }
    bytes
}

/// CT-15 to CT-20.
#[test]
fn scales() {
    let b = bench();
    let scale = b.context.scale();
    let with = |scale: f64| put(&b.full, at::SCALE, scale.to_le_bytes());
    let not_a_number = [0x7ff8_0000_0000_0000u64, 0x7ff0_0000_0000_0001, 0xfff8_0000_dead_beef, u64::MAX];
    for bits in not_a_number {
        refused(with(f64::from_bits(bits)), &b.shape, V(BadScale));
    }
    let bad = [
        f64::INFINITY,
        f64::NEG_INFINITY,
        -f64::exp2(40.0),
        -scale,
        0.0,
        -0.0,
        5e-324,
        f64::MIN_POSITIVE / 2.0,
    ];
    for value in bad {
        refused(with(value), &b.shape, V(BadScale));
    }
    let ulp = f64::EPSILON;
    let other = [
        f64::MIN_POSITIVE,
        1e-300,
        1e300,
        f64::MAX,
        f64::exp2(100.0),
        scale * (1.0 + ulp),
        scale * (1.0 - ulp),
        scale * (1.0 + f64::exp2(-40.0)),
        scale * (1.0 - f64::exp2(-40.0)),
        scale * 2.0,
        scale * 4.0,
        1.0,
    ];
    for value in other {
        refused(with(value), &b.shape, I(Scale));
    }
}

/// CT-21, CT-22, CT-23: well formed, for something else.
#[test]
fn other_levels_and_parameters() {
    let b = bench();
    let level = |level| Shape::ciphertext(&b.context, level, b.context.scale());
    refused(b.full.clone(), &level(1), I(Level));
    refused(b.full.clone(), &level(0), I(Level));
    let other = small_context(1024, &[40, 30, 30, 39], 1);
    refused(b.full.clone(), &Shape::ciphertext(&other, 2, other.scale()), I(Params));
    let other = small_context(2048, &[40, 30, 40], 1);
    refused(b.full.clone(), &Shape::ciphertext(&other, 1, other.scale()), I(Params));
    refused(put(&b.full, at::PARAMS, [0; 32]), &b.shape, I(Params));
    refused(put(&b.full, at::PARAMS, [0xa5; 32]), &b.shape, I(Params));
    refused(b.full.clone(), &b.shape.clone().with_parts(3), I(PolynomialCount));
    refused(b.seeded.clone(), &b.shape.clone().unseeded(), I(Form));
    accepted(b.full.clone(), &b.shape.clone().unseeded());
}

fn with_mask(b: &Bench, mask: impl Fn(usize, usize) -> u64) -> Vec<u8> {
    let words =
        (0..3).flat_map(|limb| (0..1024).map(move |i| (limb, i))).map(|(limb, i)| mask(limb, i)).collect();
    let parts = vec![b.ciphertext.parts()[0].clone(), Poly::<Ntt>::from_data(1024, words).unwrap()];
    hei::encode_ciphertext(&Ciphertext::new(&b.context, parts, b.context.scale()).unwrap(), &b.context)
        .unwrap()
}

/// CT-25 to CT-28, SD-03: what counts as a mask.
#[test]
fn masks() {
    let b = bench();
    refused(with_mask(&b, |_, _| 0), &b.shape, P(TransparentMask));
    for zero in 0..3 {
        refused(
            with_mask(&b, |limb, i| if limb == zero { 0 } else { 1 + i as u64 }),
            &b.shape,
            P(TransparentMask),
        );
        let sparse = |words| with_mask(&b, move |limb, i| u64::from(limb != zero || i < words));
        refused(sparse(8), &b.shape, P(TransparentMask));
        accepted(sparse(9), &b.shape);
    }
    accepted(with_mask(&b, |_, _| 1), &b.shape);
    let mut nothing = b.full.clone();
    nothing[75..].fill(0);
    refused(nothing, &b.shape, P(TransparentMask));
    accepted(put(&b.seeded, 75, [0; 32]), &b.shape);
}

/// CT-29, SD-05 and CT-33: several inputs.
#[test]
fn several_inputs() {
    let b = bench();
    let good = || vec![b.full.clone(); 8];
    assert_eq!(decode_inputs(good(), &b.shape).unwrap().1.len(), 8);
    assert!(decode_inputs(vec![b.seeded.clone(); 256], &b.shape).is_ok());
    let at_index = |inputs: Vec<Vec<u8>>| decode_inputs(inputs, &b.shape).unwrap_err();

    let mut inputs = good();
    inputs[5] = put(&b.full, at::SCALE, 1f64.to_le_bytes());
    inputs[2] = put(&b.full, at::SCALE, 2f64.to_le_bytes());
    assert_eq!(at_index(inputs), InputError { index: 2, error: I(Scale) });

    // An earlier stage decides, wherever it fails.
    let residue = set_bits(&b.full, 8 * 75, 40, (1 << 40) - 1);
    let stages: [(Vec<u8>, DecodeError); 5] = [
        (with_mask(&b, |_, _| 0), P(TransparentMask)),
        (residue, V(CoefficientOutOfRange)),
        (b.full[..100].to_vec(), V(Truncated)),
        (put(&b.full, at::PARAMS, [1; 32]), I(Params)),
        (put(&b.full, at::VERSION, [9]), V(BadVersion)),
    ];
    for later in 1..stages.len() {
        for earlier in 0..later {
            let mut inputs = good();
            inputs[1] = stages[earlier].0.clone();
            inputs[6] = stages[later].0.clone();
            assert_eq!(at_index(inputs), InputError { index: 6, error: stages[later].1 });
        }
    }

    let mut mixed = good();
    mixed[3] = seal::encode_ciphertext(&b.ciphertext, &b.context).unwrap();
    assert_eq!(at_index(mixed), InputError { index: 3, error: V(BadMagic) });
    assert_eq!(at_index(Vec::new()), InputError { index: 0, error: V(LengthMismatch) });
    assert_eq!(at_index(vec![Vec::new()]), InputError { index: 0, error: V(LengthMismatch) });
}

/// Requests and replies of the `coefficients` layout.
#[test]
fn coefficient_containers() {
    let context = small_context(2048, &[53], 0);
    let mut randomness = SeededRandomness::new(3);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let ranges = |list: &[(u32, u32, u32)]| {
        let range = |&(start, count, step): &(u32, u32, u32)| IndexRange { start, count, step };
        IndexRanges::new(list.iter().map(range).collect(), 2048).unwrap()
    };
    let scale = f64::exp2(24.0);
    let present = ranges(&[(0, 3, 1)]);
    let request = coefficients::encrypt(&key, &[0.5, -0.25, 1.0], &present, scale, &mut randomness).unwrap();
    let bytes = hei::encode_request(&request, &context).unwrap();
    let shape = Shape::coefficient_request(&context, &present, scale);
    let (_, inputs) = decode_inputs(vec![bytes.clone()], &shape).unwrap();
    assert_eq!(inputs, [Input::Coefficients(request)]);
    assert_eq!(bytes.len() as u64, shape.encoded_len(hei_wire::Format::Hei, true));
    assert_eq!(bytes.len() as u64, shape.max_encoded_len(hei_wire::Format::Hei));

    // 3 x 53 bits leave one bit of padding.
    let mut padded = bytes.clone();
    *padded.last_mut().unwrap() |= 0x80;
    refused(padded, &shape, V(NonCanonical));
    let q = context.basis().modulus(0).value();
    let body = 8 * (bytes.len() as u64 - 20);
    for i in 0..3 {
        refused(set_bits(&bytes, body + 53 * i, 53, q), &shape, V(CoefficientOutOfRange));
    }
    refused(put(&bytes, at::FORM, [1]), &shape, V(NonCanonical));
    refused(put(&bytes, at::SEED, [0]), &shape, I(Form));
    refused(put(&bytes, at::RANGES, 0u16.to_le_bytes()), &shape, I(Form));
    refused(put(&bytes, at::RANGES, 2u16.to_le_bytes()), &shape, I(Form));
    refused(put(&bytes, at::REPLY, [20]), &shape, V(NonCanonical));
    // Other coefficients of the same number, and one more or less of them.
    for other in [&[(1, 3, 1)][..], &[(0, 3, 2)], &[(0, 4, 1)], &[(0, 2, 1)], &[(0, 1, 1), (1, 2, 1)]] {
        refused(bytes.clone(), &Shape::coefficient_request(&context, &ranges(other), scale), I(Form));
    }
    let slots = Shape::ciphertext(&context, 0, scale);
    refused(bytes, &slots, I(Form));
    assert_eq!(shape.max_encoded_len(hei_wire::Format::Seal), 0);
    refused(file(N1024, "ct_full_none.bin"), &shape, V(BadMagic));

    let reply = coefficients::CoefficientReply {
        mask: (0..2048u64).map(|i| i * 977 % (1 << 34)).collect(),
        values: vec![12_345],
        ranges: ranges(&[(7, 1, 1)]),
        modulus_bits: 34,
        scale,
    };
    let bytes = hei::encode_reply(&reply, &context).unwrap();
    let shape = |bits| Shape::coefficient_reply(&context, &reply.ranges, bits, scale);
    assert!(hei::decode_reply(&bytes, &shape(34)).unwrap() == reply);
    assert_eq!(hei::decode_reply(&bytes, &shape(33)), Err(I(Level)));
    let request = Shape::coefficient_request(&context, &reply.ranges, scale);
    assert_eq!(hei::decode_request(&bytes, &request), Err(I(Form)));
    assert_eq!(hei::decode_reply(&put(&bytes, at::WIDTHS, [33]), &shape(34)), Err(V(NonCanonical)));
    let mut clear = bytes.clone();
    clear[72 + 1 + 12 + 5..].fill(0);
    assert_eq!(hei::decode_reply(&clear, &shape(34)), Err(P(TransparentMask)));
    let mut padded = bytes;
    padded[72 + 1 + 12 + 4] |= 0x80;
    assert_eq!(hei::decode_reply(&padded, &shape(34)), Err(V(NonCanonical)));
}
