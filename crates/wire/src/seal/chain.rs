//! The names SEAL gives to the levels of a parameter set.

use hei_ckks::Context;
use hei_ring::Modulus;

use super::blake2::{Tree, blake2b};

const SCHEME_CKKS: u64 = 2;

/// SEAL's identity of one level: BLAKE2b-256 over scheme, degree, primes and plain modulus.
pub fn parms_id(degree: u64, primes: &[u64]) -> [u8; 32] {
    let mut preimage = Vec::with_capacity(8 * (primes.len() + 3));
    for word in [SCHEME_CKKS, degree].iter().chain(primes).chain(&[0]) {
        preimage.extend_from_slice(&word.to_le_bytes());
    }
    let digest = blake2b(32, Tree::SEQUENTIAL, &[], &preimage);
    let mut id = [0; 32];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    id
}

/// All levels of a parameter set with one special prime.
pub(crate) struct Chain {
    pub(crate) degree: u64,
    /// Data primes, then the special prime.
    pub(crate) primes: Vec<u64>,
    /// The level of keys: all primes.
    pub(crate) key: [u8; 32],
    /// `data[m - 1]` is the level with the first m data primes.
    pub(crate) data: Vec<[u8; 32]>,
}

impl Chain {
    /// `None` unless there is exactly one special prime.
    pub(crate) fn new(context: &Context) -> Option<Self> {
        if context.special_count() != 1 {
            return None;
        }
        let degree = context.degree() as u64;
        let primes: Vec<u64> = context.basis().moduli().map(Modulus::value).collect();
        let data = (1..=context.data_count()).map(|m| parms_id(degree, primes.get(..m).unwrap_or_default()));
        Some(Self { degree, key: parms_id(degree, &primes), data: data.collect(), primes })
    }

    /// The name of the level with `limbs` data primes.
    pub(crate) fn level(&self, limbs: usize) -> Option<[u8; 32]> {
        self.data.get(limbs.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: [u8; 32]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn ids_equal_what_seal_computes() {
        let primes = [1_152_921_504_606_683_137, 1_073_479_681, 1_073_643_521, 1_152_921_504_606_748_673];
        let known = [
            "77a8f8a2be3616086569b67c5575eb61a20f4c8f747bb47c6a217c9f6e868d3b",
            "8d10501331b0639ce8bcbe707b4dfc8039de7d48253b0ebe9d8de1fbe0e9c488",
            "387b88f322fe0cb3ad543f071c34893a324eeafb5b3163a79ea7dc71b16fcce9",
            "0f2de9c684a8687b56b5db45a87dcd08c1527444e1df71944fea3287cb65f7e4",
        ];
        for (m, id) in known.iter().enumerate() {
            assert_eq!(hex(parms_id(16384, &primes[..=m])), *id);
        }
        let primes = [0x0fff_ffff_fffe_8001, 0xff_fff4_c001, 0xff_fffd_c001, 0x0fff_ffff_ffff_c001];
        assert_eq!(
            hex(parms_id(8192, &primes)),
            "e2a8dd3f1586dacfac02a4591f26b3ba536e0b1f60e28faef57f030eab08c5dd"
        );
        assert_eq!(
            hex(parms_id(8192, &primes[..3])),
            "0f8bbf7d4509a0123c2bc9d4f3d564630c448ed8cc41a8965894081870675512"
        );
    }
}
