//! The bodies of the fuzz targets: plain functions of bytes that panic when an invariant does not hold.
//!
//! Two programs call them: the libFuzzer targets in `fuzz/fuzz_targets`, and `crates/wire/tests/fuzz.rs`, which replays the
//! committed corpora and seeded mutations of them on stable Rust. Each says what became of the input, so that a replay can
//! insist that valid inputs are still accepted.

#![allow(dead_code, reason = "each fuzz target uses a part of this module")]

mod compute;
mod container;
mod keys;
mod math;
mod meter;
mod oracle;
mod seal;
pub(crate) mod seeds;

pub(crate) use compute::conformant_then_compute;
pub(crate) use container::{container_bytes, container_struct};
pub(crate) use keys::evaluation_key;
pub(crate) use math::{encode_decode, ring_ops, seed_expand};
pub(crate) use meter::peak;
pub(crate) use seal::{seal_bytes, seal_compressed};

use std::sync::{Arc, OnceLock};

use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::{Context, EvaluationKeys, KeyManifest, ParametersLiteral, SecretKey};

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Some reader took it, or the computation ran.
    Accepted,
    /// Refused with a typed error by every reader.
    Refused,
}

impl Outcome {
    pub(crate) fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// A target: its name, which is that of its corpus, and its body.
pub(crate) type Target = (&'static str, fn(&[u8]) -> Outcome);

/// All targets.
pub(crate) const TARGETS: [Target; 9] = [
    ("container_bytes", container_bytes),
    ("container_struct", container_struct),
    ("conformant_then_compute", conformant_then_compute),
    ("evaluation_key", evaluation_key),
    ("seed_expand", seed_expand),
    ("seal_bytes", seal_bytes),
    ("seal_compressed", seal_compressed),
    ("encode_decode", encode_decode),
    ("ring_ops", ring_ops),
];

/// A small set with SEAL's layout: two data primes, one special. **Insecure.**
pub(crate) fn context() -> &'static Arc<Context> {
    static CONTEXT: OnceLock<Arc<Context>> = OnceLock::new();
    CONTEXT.get_or_init(|| small(&[30, 20, 30], 1))
}

/// A set with two special primes: digits of two primes. **Insecure.**
pub(crate) fn hybrid() -> &'static Arc<Context> {
    static CONTEXT: OnceLock<Arc<Context>> = OnceLock::new();
    CONTEXT.get_or_init(|| small(&[30, 20, 20, 30, 30], 2))
}

fn small(bits: &[u32], special_count: usize) -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: 1024,
        coeff_modulus_bits: bits.to_vec(),
        special_count,
        scale: f64::exp2(18.0),
    };
    Arc::clone(InsecureParameters::new(&literal).expect("a valid set").context())
}

/// The secret key of a context that all targets use.
pub(crate) fn secret(context: &Arc<Context>) -> SecretKey {
    SecretKey::generate(context, &mut SeededRandomness::new(5)).expect("seeded randomness does not fail")
}

/// Relinearization at the highest level, one rotation a level lower.
pub(crate) fn manifest(context: &Context) -> KeyManifest {
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(context.max_level());
    manifest.need_rotation(context, 1, context.max_level() - 1);
    manifest
}

/// The keys of that manifest.
pub(crate) fn evaluation_keys(context: &Arc<Context>) -> EvaluationKeys {
    let keys = secret(context).evaluation_keys(&manifest(context), &mut SeededRandomness::new(6));
    keys.expect("seeded randomness does not fail")
}

/// A cursor over the input; at its end there are zeros.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl Cursor<'_> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let count = N.min(self.0.len());
        let (head, tail) = self.0.split_at(count);
        out[..count].copy_from_slice(head);
        self.0 = tail;
        out
    }

    /// Below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (u32::from_le_bytes(self.array()) as usize) % bound.max(1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Words from a number; splitmix64.
pub(crate) struct Words(pub(crate) u64);

impl Words {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
