//! Kernels for x86-64: two instances of the same AVX-512 loops, with different modular products, and [`fma`] for AVX2.
//!
//! Words are read and written as arrays of eight, so that every body is safe code; the compiler makes plain unaligned
//! vector moves of them.

mod arithmetic;
pub(super) mod fma;
mod loops;
pub(super) mod slots;
pub(super) mod sums;
mod transform;

pub(super) mod ifma {
    //! Primes up to 50 bits: products as 52-bit fused halves.
    use super::arithmetic::fused as arithmetic;
    super::loops::loops!("avx512f,avx512dq,avx512vl,avx512ifma");
    super::sums::sums!("avx512f,avx512dq,avx512vl,avx512ifma", super::sums::fused);
    super::transform::transform!("avx512f,avx512dq,avx512vl,avx512ifma");
}

pub(super) mod avx512 {
    //! Primes up to 61 bits: products from 32-bit halves.
    use super::arithmetic::halves as arithmetic;
    super::loops::loops!("avx512f,avx512dq,avx512vl");
    super::sums::sums!("avx512f,avx512dq,avx512vl", super::sums::halves);
    super::transform::transform!("avx512f,avx512dq,avx512vl");
}
