//! Secrets as memory may hold them.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use hei_ckks::{Context, RandomSource, RandomnessError, StreamKey};
use hei_ring::sample::{Domain, Stream};
use hei_ring::{Coeff, Poly};

/// A name and octets that are found nowhere by chance.
pub(crate) type Pattern = (String, Vec<u8>);

/// The n-th key is the n-th in both processes. Written where it is asked for, so that there is no other copy.
pub(crate) struct Counted(pub(crate) u64);

impl RandomSource for Counted {
    fn key(&mut self) -> Result<StreamKey, RandomnessError> {
        self.0 += 1;
        let mut key = StreamKey::zero();
        counted(self.0, &mut key);
        Ok(key)
    }
}

fn counted(n: u64, key: &mut [u8; 32]) {
    let mut state = n << 32;
    for byte in key {
        // S. Vigna's splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *byte = ((x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as u8;
    }
}

pub(crate) fn key_number(n: u64) -> [u8; 32] {
    let mut key = [0; 32];
    counted(n, &mut key);
    key
}

pub(crate) fn words(name: &str, poly: &[u64]) -> Pattern {
    pattern(name, poly, |word| word.to_le_bytes().to_vec())
}

pub(crate) fn doubles(name: &str, values: &[f64]) -> Pattern {
    pattern(name, values, |value| value.to_le_bytes().to_vec())
}

/// A small polynomial in every form the engine gives it.
pub(crate) fn forms(name: &str, context: &Context, small: &[i8]) -> Vec<Pattern> {
    let (basis, third) = (context.basis(), context.degree() / 3);
    let coefficients: Poly<Coeff> = basis.from_small(small, basis.len());
    let values = basis.forward(coefficients.clone());
    let mut all = vec![
        pattern(&format!("{name}, signed bytes"), small, |c| vec![c as u8]),
        pattern(&format!("{name}, signed words"), small, |c| i64::from(c).to_le_bytes().to_vec()),
    ];
    // Eight words of a ternary polynomial may be found by chance.
    for (i, (limb, ntt)) in coefficients.iter().zip(values.iter()).enumerate() {
        let long: Vec<u8> = limb[third..][..24].iter().flat_map(|word| word.to_le_bytes()).collect();
        all.push((format!("{name}, residues modulo prime {i}"), long));
        all.push(words(&format!("{name}, values modulo prime {i}"), ntt));
    }
    all[1].1 = small[third..][..24].iter().flat_map(|c| i64::from(*c).to_le_bytes()).collect();
    all
}

pub(crate) fn sampled(
    context: &Context,
    domain: Domain,
    number: u64,
    draw: fn(&mut Stream, &mut [i8]),
) -> Vec<i8> {
    let mut out = vec![0; context.degree()];
    draw(&mut Stream::new(&key_number(number), domain, 0, 0), &mut out);
    out
}

/// Some words as memory holds them, from the middle of a polynomial.
pub(crate) fn pattern<T: Copy>(name: &str, words: &[T], bytes: impl Fn(T) -> Vec<u8>) -> Pattern {
    let middle = words.len() / 3;
    let of: Vec<u8> = words[middle..].iter().take(64).flat_map(|word| bytes(*word)).collect();
    (name.to_owned(), of[..of.len().min(64)].to_vec())
}
