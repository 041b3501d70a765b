//! Ciphertexts that the server refuses: broken, of another shape, transparent, or no ciphertexts at all.

use hei_circuit::Layout;
use hei_ckks::{Ciphertext, Encoder, OsRandomness, SecretKey};
use hei_protocol::Encoding;
use hei_protocol::encoding::to_base64;
use hei_wire::Format;
use serde_json::json;

use crate::refusals::{post, refusal, refused, tree};
use crate::support::party::Party;
use crate::support::{LOGISTIC, Reply, Request, TestServer, model_file, vector};

/// Octets before the body of a full `hei/1` ciphertext of three limbs.
const HEI_HEADER: usize = 72 + 3;
const HEI_POLYNOMIALS: usize = 14;
const HEI_PARAMS_ID: usize = 24;
const HEI_SCALE: usize = 56;
const HEI_BODY_LENGTH: usize = 64;
/// Offsets in an uncompressed SEAL 4.x ciphertext.
const SEAL_PARMS_ID: usize = 16;
const SEAL_NTT: usize = 48;
const SEAL_SIZE: usize = 49;
const SEAL_SCALE: usize = 73;
const SEAL_DATA: usize = 113;

/// Valid inputs for `logistic_v1` in feature columns, and a place to break one of them.
struct Bench {
    server: TestServer,
    party: Party,
    /// Full `hei/1` ciphertexts.
    full: Vec<Vec<u8>>,
    seal: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let party = Party::new(&model_file(LOGISTIC), Layout::FeatureColumns);
        let full = full(&party, &party.columns(&party.rows(1, 0)));
        let seal = (0..8).map(|index| vector(&format!("pyfhel_n16384/logreg_in_{index}.bin"))).collect();
        Self { server: TestServer::start(), party, full, seal }
    }

    /// Sends valid inputs of a format with the one at `index` changed.
    fn send(&self, format: Format, index: usize, change: impl FnOnce(&mut Vec<u8>)) -> Reply {
        let mut payloads = if format == Format::Hei { self.full.clone() } else { self.seal.clone() };
        change(&mut payloads[index]);
        self.send_payloads(&payloads)
    }

    fn send_payloads(&self, payloads: &[Vec<u8>]) -> Reply {
        let body = self.party.body(payloads, 1, Encoding::Binary);
        refused(self.server.send(&Request::post("/infer", "application/cbor", body)))
    }
}

fn full(party: &Party, ciphertexts: &[Ciphertext]) -> Vec<Vec<u8>> {
    let encode = |ciphertext| hei_wire::hei::encode_ciphertext_full(ciphertext, party.context()).unwrap();
    ciphertexts.iter().map(encode).collect()
}

#[test]
fn broken_ciphertexts_are_refused_with_their_reason() {
    let bench = Bench::new();
    let invalid = |reason| refusal(400, "INVALID_CIPHERTEXT", reason);
    type Change = fn(&mut Vec<u8>);
    let hei: [(&str, Change); 14] = [
        ("bad_magic", |c| c[0] = 0),
        ("bad_version", |c| c[4] = 2),
        ("wrong_kind", |c| c[5] = 4),
        ("wrong_kind", |c| c[5] = 77),
        ("truncated", |c| c.truncate(3)),
        ("truncated", |c| c.truncate(60)),
        ("truncated", |c| c.truncate(HEI_HEADER + 1000)),
        ("trailing_bytes", |c| c.push(0)),
        ("length_mismatch", |c| c[HEI_BODY_LENGTH] ^= 1),
        ("non_canonical", |c| c[20] = 1),
        ("non_canonical", |c| c[8..12].copy_from_slice(&3000_u32.to_le_bytes())),
        ("non_canonical", |c| c[7] = 31),
        ("coefficient_out_of_range", |c| set_first_residue(c, 1_152_921_504_606_683_137)),
        ("coefficient_out_of_range", |c| set_first_residue(c, (1 << 60) - 1)),
    ];
    for (reason, change) in hei {
        let reply = bench.send(Format::Hei, 5, change);
        assert_eq!(reply.refusal(), invalid(reason));
        assert_eq!(reply.json()["input_index"], 5);
    }
    let seal: [(&str, Change); 7] = [
        ("bad_version", |c| c[3..5].copy_from_slice(&[3, 3])),
        ("truncated", |c| c.truncate(SEAL_DATA + 8)),
        ("trailing_bytes", |c| c.push(0)),
        ("length_mismatch", |c| c[8] ^= 1),
        ("non_canonical", |c| c[SEAL_NTT] = 2),
        ("non_canonical", |c| c[6] = 1),
        ("coefficient_out_of_range", |c| {
            c[SEAL_DATA..SEAL_DATA + 8].copy_from_slice(&1_152_921_504_606_683_137_u64.to_le_bytes());
        }),
    ];
    for (reason, change) in seal {
        let reply = bench.send(Format::Seal, 2, change);
        assert_eq!(reply.refusal(), invalid(reason));
        assert_eq!(reply.json()["input_index"], 2);
    }
    // The last word of a mask.
    let reply = bench.send(Format::Seal, 7, |c| {
        let last = c.len() - 8;
        c[last..].copy_from_slice(&1_073_643_521_u64.to_le_bytes());
    });
    assert_eq!(reply.refusal(), invalid("coefficient_out_of_range"));
    // Another format behind the first input's.
    let mut mixed = bench.full.clone();
    mixed[3] = bench.seal[3].clone();
    assert_eq!(bench.send_payloads(&mixed).refusal(), invalid("bad_magic"));
}

/// Puts a word where the first residue of limb 0 is packed into 60 bits.
fn set_first_residue(container: &mut [u8], residue: u64) {
    let place: &mut [u8; 8] = (&mut container[HEI_HEADER..HEI_HEADER + 8]).try_into().unwrap();
    let next = u64::from_le_bytes(*place) >> 60 << 60;
    *place = (next | residue).to_le_bytes();
}

#[test]
fn scales_that_are_none_or_another_are_refused() {
    let bench = Bench::new();
    let exact = bench.party.plan.input().scale;
    let bad = refusal(400, "INVALID_CIPHERTEXT", "bad_scale");
    let other = refusal(409, "INCOMPATIBLE_CIPHERTEXT", "scale");
    let cases = [
        (f64::NAN, &bad),
        (f64::from_bits(0x7ff0_0000_0000_0001), &bad),
        (f64::INFINITY, &bad),
        (f64::NEG_INFINITY, &bad),
        (-exact, &bad),
        (0.0, &bad),
        (-0.0, &bad),
        (5e-324, &bad),
        (exact * 2.0, &other),
        (exact * 4.0, &other),
        (exact / 2.0, &other),
        (exact * (1.0 + f64::EPSILON), &other),
        (1.0, &other),
        (1e300, &other),
    ];
    for (scale, expected) in cases {
        for (format, offset) in [(Format::Hei, HEI_SCALE), (Format::Seal, SEAL_SCALE)] {
            let reply =
                bench.send(format, 1, |c| c[offset..offset + 8].copy_from_slice(&scale.to_le_bytes()));
            assert_eq!(&reply.refusal(), expected, "{format:?} {scale:e}");
        }
    }
}

#[test]
fn ciphertexts_of_another_shape_are_refused() {
    let bench = Bench::new();
    let incompatible = |reason| refusal(409, "INCOMPATIBLE_CIPHERTEXT", reason);
    let party = &bench.party;
    let context = party.context();

    // One level lower.
    let plaintext = Encoder::new(context).encode(&[1.0], 1, party.plan.input().scale).unwrap();
    let low = party.key.encrypt(&plaintext, &mut OsRandomness).unwrap();
    let hei = hei_wire::hei::encode_ciphertext_full(&low, context).unwrap();
    assert_eq!(bench.send(Format::Hei, 4, |c| *c = hei).refusal(), incompatible("level"));
    let seal = hei_wire::seal::encode_ciphertext(&low, context).unwrap();
    let level = bench.send(Format::Seal, 4, |c| *c = seal);
    // In SEAL the level is part of the parameters' id.
    assert_eq!((level.status, level.code().as_str()), (409, "INCOMPATIBLE_CIPHERTEXT"));
    // Another number of polynomials.
    for count in [1, 3] {
        let reply = bench.send(Format::Hei, 4, |c| c[HEI_POLYNOMIALS] = count);
        assert_eq!(reply.refusal(), incompatible("polynomial_count"));
        let reply = bench.send(Format::Seal, 4, |c| c[SEAL_SIZE] = count);
        assert_eq!(reply.refusal(), incompatible("polynomial_count"));
    }
    // Other parameters: a wrong id, and a good ciphertext of another model.
    let reply = bench.send(Format::Hei, 4, |c| c[HEI_PARAMS_ID] ^= 1);
    assert_eq!(reply.refusal(), incompatible("params"));
    assert_eq!(reply.json()["input_index"], 4);
    assert_eq!(bench.send(Format::Seal, 4, |c| c[SEAL_PARMS_ID] ^= 1).refusal(), incompatible("params"));
    let other = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let payloads = other.payloads(&other.rows(1, 0), Format::Hei);
    assert_eq!(bench.send_payloads(&vec![payloads[0].clone(); 8]).status, 409);
    // The other form.
    assert_eq!(bench.send(Format::Hei, 4, |c| c[6] = 0).refusal(), incompatible("form"));
    assert_eq!(bench.send(Format::Seal, 4, |c| c[SEAL_NTT] = 0).refusal(), incompatible("form"));
    // Other coefficients than the batch has.
    let two = other.payloads(&other.rows(2, 0), Format::Hei);
    let body = other.body(&two, 1, Encoding::Binary);
    let reply = refused(bench.server.send(&Request::post("/infer", "application/cbor", body)));
    assert_eq!(reply.refusal(), incompatible("form"));
}

#[test]
fn a_transparent_ciphertext_is_refused() {
    let bench = Bench::new();
    let context = bench.party.context();
    let columns = bench.party.columns(&bench.party.rows(1, 0));
    let parts = columns[0].parts();
    let zero = hei_ring::Poly::zero(parts[0].degree(), parts[0].limbs());
    let transparent = [vec![parts[0].clone(), zero.clone()], vec![zero.clone(), zero]];
    for parts in transparent {
        let ciphertext = Ciphertext::new(context, parts, columns[0].scale()).unwrap();
        let hei = hei_wire::hei::encode_ciphertext_full(&ciphertext, context).unwrap();
        let seal = hei_wire::seal::encode_ciphertext(&ciphertext, context).unwrap();
        for (format, octets) in [(Format::Hei, hei), (Format::Seal, seal)] {
            let reply = bench.send(format, 6, |c| *c = octets);
            assert_eq!((reply.status, reply.code().as_str()), (422, "CRYPTO_POLICY_VIOLATION"));
            assert_eq!(reply.json()["input_index"], 6);
        }
    }
}

#[test]
fn a_secret_key_is_refused() {
    let bench = Bench::new();
    let context = bench.party.context();
    let own = hei_wire::hei::encode_secret_key(&bench.party.key, context).unwrap().to_vec();
    let seal = hei_wire::seal::encode_secret_key(&bench.party.key, context).unwrap().to_vec();
    let pyfhel = vector("pyfhel_n16384/sk_none.bin");
    let expected = refusal(400, "SECRET_KEY_REJECTED", "");
    assert_eq!(bench.send(Format::Hei, 3, |c| c.clone_from(&own)).refusal(), expected);
    assert_eq!(bench.send(Format::Seal, 3, |c| c.clone_from(&seal)).refusal(), expected);
    assert_eq!(bench.send(Format::Seal, 0, |c| c.clone_from(&pyfhel)).refusal(), expected);
    // In text too, and in the other layout.
    let mut body = tree();
    for (index, input) in body["inputs"].as_array_mut().unwrap().iter_mut().enumerate() {
        let octets = if index == 7 { &own } else { &bench.full[index] };
        *input = json!({"encoding": "base64", "payload": to_base64(octets)});
    }
    let reply = post(&bench.server, body.to_string());
    assert_eq!((reply.refusal(), reply.json()["input_index"].as_u64()), (expected.clone(), Some(7)));
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let key = SecretKey::generate(party.context(), &mut OsRandomness).unwrap();
    let key = hei_wire::hei::encode_secret_key(&key, party.context()).unwrap().to_vec();
    let body = party.body(&[key], 1, Encoding::Hex);
    assert_eq!(post(&bench.server, body).refusal(), expected);
}

#[test]
fn a_secret_key_is_named_as_such_wherever_it_strays() {
    let bench = Bench::new();
    let context = bench.party.context();
    let hei = hei_wire::hei::encode_secret_key(&bench.party.key, context).unwrap().to_vec();
    let seal = hei_wire::seal::encode_secret_key(&bench.party.key, context).unwrap().to_vec();
    let compressed = vector("pyfhel_n1024_insecure/sk_zstd.bin");
    let expected = refusal(400, "SECRET_KEY_REJECTED", "");
    let coefficients = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    for key in [&hei, &seal, &compressed] {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Binary] {
            let media = if encoding == Encoding::Binary { "application/cbor" } else { "application/json" };
            let send = |party: &Party, payloads: &[Vec<u8>]| {
                let body = party.body(payloads, 1, encoding);
                let request = Request::post("/infer", media, body).header("accept", "application/json");
                let reply = bench.server.send(&request);
                (reply.refusal(), reply.json()["input_index"].as_u64())
            };
            // Longer than any payload of the layout; the only payload where there should be eight; of another format.
            assert_eq!(send(&coefficients, std::slice::from_ref(key)), (expected.clone(), Some(0)));
            assert_eq!(send(&bench.party, std::slice::from_ref(key)), (expected.clone(), Some(0)));
            let mut mixed = bench.seal.clone();
            mixed[5].clone_from(key);
            assert_eq!(send(&bench.party, &mixed), (expected.clone(), Some(5)));
        }
        // A model that is not served, a payload that is not text.
        let mut body = tree();
        body["model_id"] = "unknown".into();
        body["inputs"][0]["payload"] = "0".into();
        body["inputs"][2] = json!({"encoding": "base64", "payload": to_base64(key)});
        let reply = post(&bench.server, body.to_string());
        assert_eq!((reply.refusal(), reply.json()["input_index"].as_u64()), (expected.clone(), Some(2)));
    }
}

/// A SEAL stream whose zstd frame says it holds what is expected, and unpacks to 512 MiB of zeros.
fn zstd_bomb(content_size: u64) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x58];
    frame.extend_from_slice(&content_size.to_le_bytes());
    const BLOCK: u32 = 128 << 10;
    for block in 0..4096_u32 {
        let header = (BLOCK << 3) | (1 << 1) | u32::from(block == 4095);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    let mut stream = vec![0x5e, 0xa1, 0x10, 4, 1, 2, 0, 0];
    stream.extend_from_slice(&(16 + frame.len() as u64).to_le_bytes());
    stream.extend_from_slice(&frame);
    stream
}

#[test]
fn a_zstd_bomb_is_refused() {
    let bench = Bench::new();
    let expected = bench.seal[0].len() as u64 - 16;
    for content_size in [expected, 512 << 20, 0, u64::MAX] {
        let started = std::time::Instant::now();
        let reply = bench.send(Format::Seal, 0, |c| *c = zstd_bomb(content_size));
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_CIPHERTEXT"), "{content_size}");
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }
}

#[test]
fn a_payload_longer_than_any_ciphertext_of_the_layout_is_refused_undecoded() {
    let bench = Bench::new();
    let reply = bench.send(Format::Hei, 2, |c| c.resize(2 << 20, 0));
    assert_eq!((reply.status, reply.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(reply.json()["input_index"], 2);
}

#[test]
fn all_inputs_pass_one_stage_before_any_enters_the_next() {
    let bench = Bench::new();
    let code_at = |payloads: &[Vec<u8>]| {
        let reply = bench.send_payloads(payloads);
        let (_, code, reason) = reply.refusal();
        (code, reason.unwrap_or_default(), reply.json()["input_index"].as_u64().unwrap())
    };
    let mut payloads = bench.full.clone();
    // The body of input 0 is bad, the length of 1, the shape of 2, the scale of 3, the magic of 6.
    set_first_residue(&mut payloads[0], (1 << 60) - 1);
    payloads[1].push(0);
    payloads[2][HEI_PARAMS_ID] ^= 1;
    payloads[3][HEI_SCALE..HEI_SCALE + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    payloads[6][0] = 0;
    let expect = |code: &str, reason: &str, index| (code.to_owned(), reason.to_owned(), index);
    assert_eq!(code_at(&payloads), expect("INVALID_CIPHERTEXT", "bad_scale", 3));
    payloads[3].clone_from(&bench.full[3]);
    assert_eq!(code_at(&payloads), expect("INVALID_CIPHERTEXT", "bad_magic", 6));
    payloads[6].clone_from(&bench.full[6]);
    assert_eq!(code_at(&payloads), expect("INCOMPATIBLE_CIPHERTEXT", "params", 2));
    payloads[2].clone_from(&bench.full[2]);
    assert_eq!(code_at(&payloads), expect("INVALID_CIPHERTEXT", "trailing_bytes", 1));
    payloads[1].clone_from(&bench.full[1]);
    assert_eq!(code_at(&payloads), expect("INVALID_CIPHERTEXT", "coefficient_out_of_range", 0));
}
