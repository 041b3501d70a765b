//! Polynomials in Z_q\[X\]/(X^N + 1) by residues.
//!
//! The bottom of the house. A [`Poly`] holds one *limb* (N residues) per prime; its type says whether the limbs are
//! coefficients ([`Coeff`]) or values at the roots of unity ([`Ntt`]). A [`Basis`] knows the primes and moves polynomials
//! between the two. Nothing here does I/O, spawns threads or reads a clock.
//!
//! | module | what it holds |
//! |---|---|
//! | [`modulus`] | arithmetic modulo one prime below 2^61 |
//! | [`prime`] | primality, the choice of NTT primes, minimal roots of unity |
//! | [`ntt`] | the negacyclic number-theoretic transform |
//! | [`kernel`] | the limb loops behind it |
//! | [`poly`], [`basis`] | polynomials, and the primes they live over |
//! | [`automorphism`] | X -> X^g as a permutation |
//! | [`crt`] | residues to centered numbers |
//! | [`extension`] | residues over some primes to residues over others |
//! | [`parallel`] | limbs on several threads, as a feature |
//! | [`sample`] | expansion of seeds, error and secret samplers |

pub mod automorphism;
pub mod basis;
mod buffer;
pub mod crt;
pub mod extension;
pub mod kernel;
pub mod modulus;
pub mod ntt;
pub mod parallel;
pub mod poly;
pub mod prime;
pub mod sample;

pub use automorphism::GaloisElement;
pub use basis::Basis;
pub use buffer::Wiped;
pub use extension::{Extension, Prepared};
pub use modulus::Modulus;
pub use ntt::NttTable;
pub use poly::{Coeff, Form, Ntt, Poly};

/// Why a ring object could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A modulus must be an odd prime in [3, 2^61).
    #[error("{0} is not a prime in [3, 2^61)")]
    NotAPrime(u64),
    /// The prime does not split X^N + 1.
    #[error("{modulus} is not 1 modulo {two_n}: it has no primitive {two_n}-th root of unity")]
    NotNttFriendly {
        /// The offending prime.
        modulus: u64,
        /// 2N.
        two_n: u64,
    },
    /// N must be a power of two within the supported range.
    #[error("degree {0} is not a power of two in [8, 131072]")]
    Degree(usize),
    /// The same prime twice has no Chinese remainder.
    #[error("prime {0} occurs twice in the basis")]
    Repeated(u64),
    /// There are not that many primes of that size.
    #[error("fewer than {count} primes of {bits} bits are 1 modulo {two_n}")]
    TooFewPrimes {
        /// How many were asked for.
        count: usize,
        /// Their size.
        bits: u32,
        /// 2N.
        two_n: u64,
    },
    /// A Galois element is odd and below 2N.
    #[error("{0} is not an odd number below {1}")]
    GaloisElement(u64, u64),
}
