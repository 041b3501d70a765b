//! Nothing secret is left in memory once its owner is gone: not on the heap, in a pool or on a stack.
//!
//! A process makes secrets and drops them; this one, which computes the same secrets from the same randomness, searches the
//! other's whole writable memory for them. That the search finds what is there is part of each case.
#![cfg(target_os = "linux")]

mod memory;
mod patterns;

use std::sync::Arc;

use hei_ckks::insecure_testing::InsecureParameters;
use hei_ckks::{Context, Encoder, ParametersLiteral, Plaintext, SecretKey};
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{Ntt, Poly};
use memory::{Watched, case, stop};
use patterns::{Counted, Pattern, doubles, forms, key_number, pattern, sampled, words};
use zeroize::{Zeroize, Zeroizing};

const DEGREE: usize = 4096;

fn context() -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: DEGREE,
        coeff_modulus_bits: vec![50, 35, 36],
        special_count: 1,
        scale: 2f64.powi(30),
    };
    Arc::clone(InsecureParameters::new(&literal).unwrap().context())
}

fn numbers() -> Zeroizing<Vec<f64>> {
    let mut numbers = Zeroizing::new(vec![0.0; DEGREE / 2]);
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = ((i * 2_654_435_761) % 1_000_003) as f64 / 1_000_003.0 + 0.1;
    }
    numbers
}

fn secret_patterns(context: &Arc<Context>) -> Vec<Pattern> {
    let mut all = forms("secret", context, &sampled(context, Domain::Secret, 1, sample::ternary));
    all.push(("secret's stream key".to_owned(), key_number(1).to_vec()));
    all
}

/// The other process: does what its case says, and waits where it is looked at.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn watched() {
    let context = context();
    let mut randomness = Counted(0);
    match case().expect("run by the tests below").as_str() {
        "secret key" => {
            let key = SecretKey::generate(&context, &mut randomness).unwrap();
            stop("alive");
            drop(key);
            stop("dropped");
            let mut again = vec![0i8; DEGREE];
            sample::ternary(&mut Stream::new(&key_number(1), Domain::Secret, 0, 0), &mut again);
            drop(again);
            stop("not wiped");
        }
        "evaluation keys" => {
            let key = SecretKey::generate(&context, &mut randomness).unwrap();
            key.public_key(&mut randomness).unwrap();
            stop("public key");
            key.relin_key(&mut randomness).unwrap();
            stop("relinearization key");
            let element = hei_ring::GaloisElement::rotation(3, DEGREE);
            key.galois_keys(&[element], &mut randomness).unwrap();
            stop("rotation key");
            drop(key);
            stop("dropped");
        }
        "encryption" => {
            let key = SecretKey::generate(&context, &mut randomness).unwrap();
            let public = key.public_key(&mut randomness).unwrap();
            let plaintext = Encoder::new(&context).encode(&numbers(), 1, context.scale()).unwrap();
            let first = key.encrypt(&plaintext, &mut randomness).unwrap();
            let second = public.encrypt(&plaintext, &mut randomness).unwrap();
            drop((key, plaintext));
            stop("dropped");
            drop((public, first, second));
        }
        "decryption" => {
            let key = SecretKey::generate(&context, &mut randomness).unwrap();
            let encoder = Encoder::new(&context);
            let plaintext = encoder.encode(&numbers(), 1, context.scale()).unwrap();
            let ciphertext = key.encrypt(&plaintext, &mut randomness).unwrap();
            drop(plaintext);
            let opened = key.decrypt(&ciphertext).unwrap();
            drop(key);
            let mut values = encoder.decode(&opened);
            stop("alive");
            values.zeroize();
            for (mut re, mut im) in encoder.decode_complex(&opened) {
                re.zeroize();
                im.zeroize();
            }
            encoder.decode_coefficients(&opened).zeroize();
            drop(opened);
            stop("dropped");
        }
        other => panic!("no case {other}"),
    }
}

fn watch(case: &str) -> Watched {
    Watched::start("watched", case)
}

#[test]
fn a_secret_key_is_gone_when_it_is_dropped() {
    let patterns = secret_patterns(&context());
    let mut process = watch("secret key");
    process.at("alive");
    let found = process.found(&patterns);
    for form in ["secret, signed bytes", "secret, values modulo prime 0", "secret, values modulo prime 2"] {
        assert!(found.iter().any(|f| f.starts_with(form)), "{form} is there while the key is: {found:?}");
    }
    process.go_on();
    process.at("dropped");
    assert_eq!(process.found(&patterns), [""; 0]);
    process.go_on();
    process.at("not wiped");
    assert!(!process.found(&patterns).is_empty(), "what is freed and not wiped is found");
}

#[test]
fn making_evaluation_keys_leaves_neither_secret_nor_errors() {
    let context = context();
    let mut patterns = Vec::new();
    let key = SecretKey::generate(&context, &mut Counted(0)).unwrap();
    let basis = context.basis();
    let mut square = key.ntt().clone();
    basis.mul_assign(&mut square, key.ntt());
    let moved = hei_ring::automorphism::permute(
        key.ntt(),
        &hei_ring::GaloisElement::rotation(3, DEGREE).permutation(DEGREE),
    );
    for i in 0..basis.len() {
        patterns.push(words(&format!("square modulo prime {i}"), square.limb(i)));
        patterns.push(words(&format!("rotated secret modulo prime {i}"), moved.limb(i)));
    }
    // Public key 2 and 3; two digits of the relinearization key 4 to 7, of the rotation key 8 to 11.
    for number in [3, 5, 7, 9, 11] {
        patterns.push((format!("key of error {number}"), key_number(number).to_vec()));
        patterns.extend(forms(
            &format!("error {number}"),
            &context,
            &sampled(&context, Domain::Error, number, sample::error),
        ));
    }
    let mut process = watch("evaluation keys");
    // One after the other: what is made next takes the memory of what was made before.
    for place in ["public key", "relinearization key", "rotation key"] {
        process.at(place);
        assert_eq!(process.found(&patterns), [""; 0], "{place}");
        process.go_on();
    }
    process.at("dropped");
    patterns.extend(secret_patterns(&context));
    assert_eq!(process.found(&patterns), [""; 0]);
}

/// What an encoded message goes through.
fn message_patterns(context: &Arc<Context>, plaintext: &Plaintext) -> Vec<Pattern> {
    let basis = context.basis();
    let coefficients = basis.inverse(plaintext.poly().clone());
    let centered: Vec<i64> = coefficients.limb(0).iter().map(|r| basis.modulus(0).centered(*r)).collect();
    let mut all = vec![
        doubles("numbers", &numbers()),
        pattern("rounded coefficients", &centered, |c| c.to_le_bytes().to_vec()),
    ];
    for i in 0..plaintext.poly().limbs() {
        all.push(words(&format!("plaintext modulo prime {i}"), plaintext.poly().limb(i)));
        all.push(words(&format!("its coefficients modulo prime {i}"), coefficients.limb(i)));
    }
    all
}

#[test]
fn encrypting_leaves_no_message_no_error_and_no_ephemeral_secret() {
    let context = context();
    let basis = context.basis();
    let mut randomness = Counted(0);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let public = key.public_key(&mut randomness).unwrap();
    let plaintext = Encoder::new(&context).encode(&numbers(), 1, context.scale()).unwrap();
    let mut patterns = secret_patterns(&context);
    patterns.extend(message_patterns(&context, &plaintext));
    // Keys 4 and 5 are the mask and the error of the first encryption, 6 to 8 ephemeral secret and errors of the second.
    let ephemeral = sampled(&context, Domain::Ephemeral, 6, sample::ternary);
    patterns.extend(forms("ephemeral secret", &context, &ephemeral));
    for number in [5, 7, 8] {
        let error = sampled(&context, Domain::Error, number, sample::error);
        patterns.extend(forms(&format!("error {number}"), &context, &error));
    }
    for number in 5..=8 {
        patterns.push((format!("key {number}"), key_number(number).to_vec()));
    }
    // An encryption of zero before the special prime is divided out: with the ciphertext it gives the message away.
    let ephemeral: Poly<Ntt> = basis.forward(basis.from_small(&ephemeral, basis.len()));
    for (number, part) in [(7, public.parts().0), (8, public.parts().1)] {
        let small = sampled(&context, Domain::Error, number, sample::error);
        let mut zero = basis.forward(basis.from_small(&small, basis.len()));
        basis.mul_add_assign(&mut zero, part, &ephemeral);
        // Modulo the special prime it is as good as uniform, also to who sees the ciphertext.
        for i in 0..context.data_count() {
            patterns.push(words(&format!("encryption of zero {number} modulo prime {i}"), zero.limb(i)));
        }
    }
    let mut process = watch("encryption");
    process.at("dropped");
    assert_eq!(process.found(&patterns), [""; 0]);
}

#[test]
fn decrypting_and_decoding_leave_no_message() {
    let context = context();
    let mut randomness = Counted(0);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let encoder = Encoder::new(&context);
    let plaintext = encoder.encode(&numbers(), 1, context.scale()).unwrap();
    let ciphertext = key.encrypt(&plaintext, &mut randomness).unwrap();
    let opened = key.decrypt(&ciphertext).unwrap();
    let mut patterns = secret_patterns(&context);
    patterns.extend(message_patterns(&context, &plaintext));
    patterns.extend(message_patterns(&context, &opened).into_iter().skip(1));
    let decoded = doubles("decoded numbers", &encoder.decode(&opened));
    let coefficients = encoder.decode_coefficients(&opened);
    let unscaled: Vec<f64> = coefficients.iter().map(|c| c * opened.scale()).collect();
    patterns.extend([doubles("coefficients", &coefficients), doubles("unscaled coefficients", &unscaled)]);
    let imaginary: Vec<f64> = encoder.decode_complex(&opened).iter().map(|z| z.1).collect();
    patterns.extend([doubles("imaginary parts", &imaginary), decoded.clone()]);
    let mut process = watch("decryption");
    process.at("alive");
    assert!(!process.found(&[decoded]).is_empty(), "decoded numbers are there while their owner is");
    process.go_on();
    process.at("dropped");
    assert_eq!(process.found(&patterns), [""; 0]);
}
