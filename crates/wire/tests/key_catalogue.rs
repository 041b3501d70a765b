//! The part of the adversarial catalogue that is about evaluation keys: `hei/1` containers.

mod common;

use std::sync::Arc;

use common::{N1024, small_context};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{
    Context, Encoder, EvaluationKeys, Evaluator, GaloisKeys, KeyDigit, KeyManifest, MissingKey, RelinKey,
    SecretKey, SwitchKey,
};
use hei_ring::{GaloisElement, Ntt, Poly};
use hei_wire::DecodeError::{Incompatible as I, Invalid as V, Policy as P, SecretKey as SECRET};
use hei_wire::Reason::{
    BadMagic, BadScale, BadVersion, CoefficientOutOfRange, LengthMismatch, NonCanonical, TrailingBytes,
    Truncated, WrongKind,
};
use hei_wire::{
    DecodeError, Format, Incompatible, KeyError, KeyShape, Policy, decode_evaluation_keys, hei, inspect,
};

const DEGREE: usize = 1024;
/// Four data primes, two special ones: the keys below have digits of two primes and of one.
const BITS: [u32; 6] = [40, 30, 30, 30, 40, 40];
const FIXED: usize = 72;
const ENTRIES: usize = FIXED + BITS.len();
const HEADER: usize = ENTRIES + 3 * 8;

struct Bench {
    context: Arc<Context>,
    key: SecretKey,
    manifest: KeyManifest,
    shape: KeyShape,
    keys: EvaluationKeys,
    seeded: Vec<u8>,
    full: Vec<u8>,
}

fn bench() -> Bench {
    let context = small_context(DEGREE, &BITS, 2);
    let mut randomness = SeededRandomness::new(3);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(3);
    manifest.need_rotation(&context, 1, 2);
    manifest.need_galois(GaloisElement::conjugation(DEGREE), 0);
    let keys = key.evaluation_keys(&manifest, &mut randomness).unwrap();
    Bench {
        seeded: hei::encode_evaluation_keys(&keys, &context).unwrap(),
        full: hei::encode_evaluation_keys_full(&keys, &context).unwrap(),
        shape: KeyShape::new(&context, &manifest),
        context,
        key,
        manifest,
        keys,
    }
}

/// Octets of one polynomial of a key over so many data primes.
fn poly_len(limbs: usize) -> usize {
    let bits: u32 = BITS[..limbs].iter().chain(&BITS[4..]).sum();
    bits as usize * DEGREE / 8
}

fn put<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    bytes
}

fn entry(purpose: u8, limbs: u16, element: u32) -> [u8; 8] {
    let (l, e) = (limbs.to_le_bytes(), element.to_le_bytes());
    [purpose, 0, l[0], l[1], e[0], e[1], e[2], e[3]]
}

fn refusal(bytes: Vec<u8>, shape: &KeyShape) -> Option<KeyError> {
    decode_evaluation_keys(bytes, shape).err()
}

#[track_caller]
fn refused(bytes: Vec<u8>, shape: &KeyShape, expected: DecodeError) {
    assert_eq!(refusal(bytes, shape), Some(KeyError::Bytes(expected)));
}

/// The body replaced, with the length field to match.
fn with_body(bytes: &[u8], body: &[u8]) -> Vec<u8> {
    put(&[&bytes[..HEADER], body].concat(), 64, (body.len() as u64).to_le_bytes())
}

#[test]
fn exactly_the_manifest_comes_back() {
    let b = bench();
    // Digits: two for four and three data primes, one for one.
    let body = 2 * (poly_len(4) + 32) + 2 * (poly_len(3) + 32) + poly_len(1) + 32;
    assert_eq!(b.seeded.len(), HEADER + body);
    assert_eq!(body, b.manifest.bytes(&b.context));
    assert_eq!(b.full.len(), HEADER + 2 * (body - 5 * 32));
    for (bytes, seeded) in [(&b.seeded, true), (&b.full, false)] {
        assert_eq!(bytes.len() as u64, b.shape.encoded_len(Format::Hei, seeded));
        assert!(bytes.len() as u64 <= b.shape.max_encoded_len(Format::Hei));
        let header = hei::KeyHeader::parse(bytes).unwrap();
        assert_eq!(header.params_id(), b.context.params_id());
        assert_eq!((header.manifest(), header.seeded()), (b.manifest.clone(), seeded));
        let (format, keys) = decode_evaluation_keys(bytes.clone(), &b.shape).unwrap();
        assert_eq!(format, Format::Hei);
        let again = if seeded {
            assert!(keys == b.keys);
            hei::encode_evaluation_keys(&keys, &b.context)
        } else {
            hei::encode_evaluation_keys_full(&keys, &b.context)
        };
        assert!(again.unwrap() == *bytes, "one value has one encoding");
        let description = inspect(bytes).unwrap();
        assert_eq!((description.kind, description.seeded), ("evaluation-key", Some(seeded)));
        assert_eq!(description.keys, Some(b.manifest.clone()));
    }
    // SEAL has no form for two special primes.
    assert_eq!(b.shape.encoded_len(Format::Seal, true), 0);
    assert_eq!(b.shape.max_encoded_len(Format::Seal), 0);
}

/// Keys that went over the wire compute; a key for a lower level is the whole key without some limbs.
#[test]
fn decoded_keys_switch() {
    let b = bench();
    let (encoder, evaluator) = (Encoder::new(&b.context), Evaluator::new(&b.context));
    let values: Vec<f64> = (0..b.context.slots()).map(|i| (i as f64).cos()).collect();
    let plaintext = encoder.encode(&values, 2, b.context.scale()).unwrap();
    let ciphertext = b.key.encrypt(&plaintext, &mut SeededRandomness::new(9)).unwrap();
    for bytes in [&b.seeded, &b.full] {
        let keys = hei::decode_evaluation_keys(bytes, &b.shape).unwrap();
        let rotated = evaluator.rotate(&ciphertext, 1, &keys.galois).unwrap();
        let expected: Vec<f64> = values[1..].iter().chain(&values[..1]).copied().collect();
        let actual = encoder.decode(&b.key.decrypt(&rotated).unwrap());
        let error = common::max_error(&actual, &expected);
        assert!(error < 1e-5, "{error:e}");
        let product = evaluator.multiply(&ciphertext, &ciphertext).unwrap();
        let product = evaluator.relinearize(&product, keys.relinearization.as_ref().unwrap()).unwrap();
        let expected: Vec<f64> = values.iter().map(|x| x * x).collect();
        let actual = encoder.decode(&b.key.decrypt(&product).unwrap());
        assert!(common::max_error(&actual, &expected) < 1e-5);
    }

    let whole = &b.keys.relinearization.as_ref().unwrap().0;
    for level in 0..3 {
        let mut manifest = KeyManifest::new();
        manifest.need_relinearization(level);
        let trimmed = whole.trimmed(&b.context, level).unwrap();
        let keys = EvaluationKeys { relinearization: Some(RelinKey(trimmed.clone())), ..Default::default() };
        let bytes = hei::encode_evaluation_keys(&keys, &b.context).unwrap();
        let back = hei::decode_evaluation_keys(&bytes, &KeyShape::new(&b.context, &manifest)).unwrap();
        assert!(back.relinearization.unwrap().0 == trimmed, "level {level}: its seeds expand to its limbs");
    }
}

/// KY-02: cut at each section and anywhere, one octet more, empty.
#[test]
fn lengths() {
    let b = bench();
    for bytes in [&b.seeded, &b.full] {
        refused(Vec::new(), &b.shape, V(LengthMismatch));
        for length in
            (1..HEADER + 40).chain((HEADER + 40..bytes.len()).step_by(9973)).chain([bytes.len() - 1])
        {
            refused(bytes[..length].to_vec(), &b.shape, V(Truncated));
        }
        for extra in [1, 8, 32, poly_len(4)] {
            refused([bytes, vec![0; extra].as_slice()].concat(), &b.shape, V(TrailingBytes));
        }
        let length = (bytes.len() - HEADER) as u64;
        for lie in [0, length - 1, length + 1, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            refused(put(bytes, 64, lie.to_le_bytes()), &b.shape, V(LengthMismatch));
        }
    }
    refused(put(&b.seeded, 7, [0]), &b.shape, V(LengthMismatch));
    refused(put(&b.full, 7, [32]), &b.shape, V(LengthMismatch));
}

/// KY-03, KY-04: a digit too few or too many, with a length field that owns up to it.
#[test]
fn digits() {
    let b = bench();
    for (bytes, digit) in [(&b.seeded, poly_len(4) + 32), (&b.full, 2 * poly_len(4))] {
        let body = &bytes[HEADER..];
        refused(with_body(bytes, &body[digit..]), &b.shape, V(LengthMismatch));
        refused(with_body(bytes, &[&body[..digit], body].concat()), &b.shape, V(LengthMismatch));
        refused(with_body(bytes, &[]), &b.shape, V(LengthMismatch));
    }
}

/// KY-05, KY-07, KY-09 and every other field of the header.
#[test]
fn header_fields() {
    let b = bench();
    let ok = &b.seeded;
    let two_n = 2 * DEGREE as u32;
    let galois = ENTRIES + 8;
    let last = ENTRIES + 16;
    let table: Vec<(&str, Vec<u8>, DecodeError)> = vec![
        ("magic", put(ok, 1, *b"x"), V(BadMagic)),
        ("version", put(ok, 4, [2]), V(BadVersion)),
        ("a ciphertext's kind", put(ok, 5, [1]), V(WrongKind)),
        ("a public key's kind", put(ok, 5, [4]), V(WrongKind)),
        ("a secret key's kind", put(ok, 5, [5]), SECRET),
        ("unknown kind", put(ok, 5, [9]), V(WrongKind)),
        ("coefficient form", put(ok, 6, [0]), V(NonCanonical)),
        ("form 2", put(ok, 6, [2]), V(NonCanonical)),
        ("seed length 31", put(ok, 7, [31]), V(NonCanonical)),
        ("degree 128", put(ok, 8, 128u32.to_le_bytes()), V(NonCanonical)),
        ("degree 0", put(ok, 8, 0u32.to_le_bytes()), V(NonCanonical)),
        ("degree 2^31", put(ok, 8, (1u32 << 31).to_le_bytes()), V(NonCanonical)),
        ("no limbs", put(ok, 12, 0u16.to_le_bytes()), V(NonCanonical)),
        ("65535 limbs", put(ok, 12, u16::MAX.to_le_bytes()), V(NonCanonical)),
        ("one polynomial", put(ok, 14, [1]), V(NonCanonical)),
        ("three polynomials", put(ok, 14, [3]), V(NonCanonical)),
        ("a reply modulus", put(ok, 15, [20]), V(NonCanonical)),
        ("no keys", put(ok, 16, 0u16.to_le_bytes()), V(NonCanonical)),
        ("4097 keys", put(ok, 16, 4097u16.to_le_bytes()), V(NonCanonical)),
        ("65535 keys", put(ok, 16, u16::MAX.to_le_bytes()), V(NonCanonical)),
        ("4096 keys in a longer body", put(ok, 16, 4096u16.to_le_bytes()), V(NonCanonical)),
        ("4096 keys and no body", put(&ok[..HEADER], 16, 4096u16.to_le_bytes()), V(Truncated)),
        ("an index range", put(ok, 18, 1u16.to_le_bytes()), V(NonCanonical)),
        ("reserved", put(ok, 20, [1]), V(NonCanonical)),
        ("params", put(ok, 24, [0; 32]), I(Incompatible::Params)),
        ("scale 2^40", put(ok, 56, f64::exp2(40.0).to_le_bytes()), V(NonCanonical)),
        ("scale 1 + 2^-52", put(ok, 56, (1.0 + f64::EPSILON).to_le_bytes()), V(NonCanonical)),
        ("scale 0", put(ok, 56, 0f64.to_le_bytes()), V(BadScale)),
        ("scale -1", put(ok, 56, (-1f64).to_le_bytes()), V(BadScale)),
        ("scale NaN", put(ok, 56, f64::NAN.to_le_bytes()), V(BadScale)),
        ("width", put(ok, FIXED, [41]), V(NonCanonical)),
        ("width of a special prime", put(ok, FIXED + 5, [39]), V(NonCanonical)),
        ("purpose 0", put(ok, galois, [0]), V(NonCanonical)),
        ("purpose 3", put(ok, galois, [3]), V(NonCanonical)),
        ("reserved octet of a key", put(ok, galois + 1, [1]), V(NonCanonical)),
        ("a key over no primes", put(ok, galois, entry(2, 0, 3)), V(NonCanonical)),
        ("a key over too many primes", put(ok, galois, entry(2, 5, 3)), V(NonCanonical)),
        ("a key over 65535 primes", put(ok, galois, entry(2, u16::MAX, 3)), V(NonCanonical)),
        // KY-10.
        ("even element", put(ok, galois, entry(2, 3, 4)), V(NonCanonical)),
        ("element 0", put(ok, galois, entry(2, 3, 0)), V(NonCanonical)),
        ("element 1", put(ok, galois, entry(2, 3, 1)), V(NonCanonical)),
        ("element 2N", put(ok, last, entry(2, 1, two_n)), V(NonCanonical)),
        ("element 2N + 1", put(ok, last, entry(2, 1, two_n + 1)), V(NonCanonical)),
        ("element 2^32 - 1", put(ok, last, entry(2, 1, u32::MAX)), V(NonCanonical)),
        // KY-11.
        ("the same element twice", put(ok, last, entry(2, 1, 3)), V(NonCanonical)),
        ("descending elements", put(ok, galois, entry(2, 3, two_n - 1)), V(NonCanonical)),
        ("relinearization twice", put(ok, galois, entry(1, 3, 0)), V(NonCanonical)),
        ("relinearization last", put(ok, last, entry(1, 1, 0)), V(NonCanonical)),
        ("relinearization with an element", put(ok, ENTRIES, entry(1, 4, 3)), V(NonCanonical)),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(refusal(bytes, &b.shape), Some(KeyError::Bytes(expected)), "{name}");
    }
    // The limbs of a smaller set, with the widths that go with it.
    let mut fewer = put(ok, 12, 5u16.to_le_bytes());
    fewer.remove(FIXED);
    refused(fewer, &b.shape, V(NonCanonical));
}

/// What is sent, which keys are missing, which elements are not wanted.
type Case<'a> = (&'a str, Vec<u8>, Vec<MissingKey>, Vec<u64>);

/// KY-06, KY-10, KY-12: keys that are well formed and not those that are needed.
#[test]
fn other_keys_than_the_manifest_names() {
    let b = bench();
    let conjugation = GaloisElement::conjugation(DEGREE);
    let rotation = GaloisElement::rotation(1, DEGREE);
    let make = |relin: Option<usize>, galois: &[(GaloisElement, usize)]| {
        let mut manifest = KeyManifest::new();
        relin.into_iter().for_each(|level| manifest.need_relinearization(level));
        galois.iter().for_each(|(element, level)| manifest.need_galois(*element, *level));
        let keys = b.key.evaluation_keys(&manifest, &mut SeededRandomness::new(8)).unwrap();
        hei::encode_evaluation_keys(&keys, &b.context).unwrap()
    };
    let other = GaloisElement::rotation(5, DEGREE);
    let lack = |element, level| MissingKey::Galois { element, level };
    let relin = MissingKey::Relinearization { level: 3 };
    let table: Vec<Case<'_>> = vec![
        ("an element is missing", make(Some(3), &[(rotation, 2)]), vec![lack(conjugation, 0)], vec![]),
        ("all are missing", make(Some(3), &[]), vec![lack(rotation, 2), lack(conjugation, 0)], vec![]),
        ("relinearization is missing", make(None, &[(rotation, 2), (conjugation, 0)]), vec![relin], vec![]),
        (
            "one too many",
            make(Some(3), &[(rotation, 2), (conjugation, 0), (other, 1)]),
            vec![],
            vec![other.value()],
        ),
        (
            "another element",
            make(Some(3), &[(other, 2), (conjugation, 0)]),
            vec![lack(rotation, 2)],
            vec![other.value()],
        ),
        (
            "one level lower",
            make(Some(2), &[(rotation, 1), (conjugation, 0)]),
            vec![relin, lack(rotation, 2)],
            vec![],
        ),
        (
            "one level higher",
            make(Some(3), &[(rotation, 3), (conjugation, 1)]),
            vec![],
            vec![rotation.value(), conjugation.value()],
        ),
    ];
    for (name, bytes, missing, surplus) in table {
        assert_eq!(refusal(bytes, &b.shape), Some(KeyError::Manifest { missing, surplus }), "{name}");
    }
    // KY-13: what is announced as the other purpose.
    let mut only_relin = KeyManifest::new();
    only_relin.need_relinearization(3);
    let mut only_galois = KeyManifest::new();
    only_galois.need_galois(rotation, 3);
    let (relin, galois) = (make(Some(3), &[]), make(None, &[(rotation, 3)]));
    let [want_relin, want_galois] = [only_relin, only_galois].map(|m| KeyShape::new(&b.context, &m));
    refused(galois.clone(), &want_relin, V(WrongKind));
    refused(relin.clone(), &want_galois, V(WrongKind));
    refused(put(&relin, ENTRIES, entry(2, 4, 3)), &want_relin, V(WrongKind));
    refused(put(&galois, ENTRIES, entry(1, 4, 0)), &want_galois, V(WrongKind));
    assert_eq!(refusal(relin, &want_relin), None);
    // And KY-14: keys for other parameters, with and without special primes.
    let context = small_context(DEGREE, &[40, 30, 30, 30, 40], 1);
    refused(galois.clone(), &KeyShape::new(&context, &b.manifest), I(Incompatible::Params));
    let context = small_context(DEGREE, &[40, 30, 30, 30], 0);
    refused(galois.clone(), &KeyShape::new(&context, &b.manifest), I(Incompatible::Params));
    let named = put(&galois, 24, context.params_id().0);
    refused(named, &KeyShape::new(&context, &b.manifest), V(NonCanonical));
    let nothing = KeyShape::new(&b.context, &KeyManifest::new());
    refused(galois, &nothing, V(WrongKind));
    assert_eq!(nothing.encoded_len(Format::Hei, true), 0);
    assert!(hei::encode_evaluation_keys(&EvaluationKeys::default(), &b.context).is_err());
}

/// KY-08: a residue equal to its prime, in the first and the last place of each limb of each polynomial; padding.
#[test]
fn residues() {
    let b = bench();
    let mut start = HEADER * 8;
    let (primes, mut seen): (Vec<u64>, _) = (b.context.basis().moduli().map(|q| q.value()).collect(), 0);
    for limbs in [4, 3, 1] {
        for _polynomial in 0..2 * SwitchKey::digit_count(&b.context, limbs - 1) {
            for limb in (0..limbs).chain(4..6) {
                let width = BITS[limb] as usize;
                for i in [0, 1, DEGREE - 1] {
                    for value in [primes[limb], (1 << width) - 1] {
                        let bytes = set_bits(&b.full, start + i * width, width, value);
                        refused(bytes, &b.shape, V(CoefficientOutOfRange));
                        seen += 1;
                    }
                    let bytes = set_bits(&b.full, start + i * width, width, primes[limb] - 1);
                    assert_eq!(refusal(bytes, &b.shape), None);
                }
                start += width * DEGREE;
            }
        }
    }
    assert_eq!((start / 8, seen), (b.full.len(), 6 * (4 * 6 + 4 * 5 + 2 * 3)));
}

fn set_bits(bytes: &[u8], bit: usize, width: usize, value: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for i in 0..width {
        let (byte, shift) = ((bit + i) / 8, (bit + i) % 8);
        bytes[byte] = bytes[byte] & !(1 << shift) | ((value >> i & 1) as u8) << shift;
    }
    bytes
}

/// KY-16: masks of zeros, in all digits, in one digit, in one limb of one digit.
#[test]
fn masks_that_hide_nothing() {
    let b = bench();
    let zero = |poly: &Poly<Ntt>, limbs: &[usize]| {
        let mut poly = poly.clone();
        limbs.iter().for_each(|limb| poly.limb_mut(*limb).fill(0));
        poly
    };
    let change = |digits: &[usize], limbs: &[usize]| {
        let whole = &b.keys.relinearization.as_ref().unwrap().0;
        let digits = whole.digits().iter().enumerate().map(|(j, digit)| {
            let (first, mask) = digit.parts();
            let mask = if digits.contains(&j) { zero(mask, limbs) } else { mask.clone() };
            KeyDigit::new(first.clone(), mask)
        });
        let key = SwitchKey::from_digits(&b.context, 3, digits.collect()).unwrap();
        let galois: GaloisKeys = b.keys.galois.clone();
        let keys = EvaluationKeys { relinearization: Some(RelinKey(key)), galois };
        hei::encode_evaluation_keys_full(&keys, &b.context).unwrap()
    };
    assert_eq!(refusal(change(&[], &[]), &b.shape), None);
    for (digits, limbs) in
        [(&[0, 1][..], &[0, 1, 2, 3, 4, 5][..]), (&[1], &[0, 1, 2, 3, 4, 5]), (&[0], &[5]), (&[1], &[0])]
    {
        refused(change(digits, limbs), &b.shape, P(Policy::TransparentMask));
    }
    // A seed of zeros expands to a mask like any other: the client's risk only.
    let zeros = put(&b.seeded, HEADER + poly_len(4), [0; 32]);
    assert_eq!(refusal(zeros, &b.shape), None);
}

/// KY-17 and other objects where keys belong.
#[test]
fn other_objects() {
    let b = bench();
    let secret = hei::encode_secret_key(&b.key, &b.context).unwrap();
    refused(secret.to_vec(), &b.shape, SECRET);
    refused(secret[..6].to_vec(), &b.shape, SECRET);
    let public = b.key.public_key(&mut SeededRandomness::new(1)).unwrap();
    refused(hei::encode_public_key(&public, &b.context).unwrap(), &b.shape, V(WrongKind));
    let plaintext = Encoder::new(&b.context).encode(&[1.0], 3, b.context.scale()).unwrap();
    let ciphertext = b.key.encrypt(&plaintext, &mut SeededRandomness::new(4)).unwrap();
    refused(hei::encode_ciphertext(&ciphertext, &b.context).unwrap(), &b.shape, V(WrongKind));
    refused(b"hello".to_vec(), &b.shape, V(BadMagic));
    refused(vec![0xe7], &b.shape, V(Truncated));
    // A SEAL stream cannot be for these parameters.
    let seal = std::fs::read(common::root().join(N1024).join("relin_none.bin")).unwrap();
    refused(seal, &b.shape, I(Incompatible::Params));
}
