//! The security table: the largest modulus for a ring, per the 2024 guidelines (Bossuat et al., ia.cr/2024/463).
//!
//! Uniform ternary secret, error of standard deviation at least 3.19, classical attacks under the MATZOV cost model and,
//! beside it, quantum attacks under ChaLoy21. The modulus counted is the whole of QP, special primes included, by the
//! exact logarithm of its product.

/// Name of the table, as announced to clients.
pub const TABLE: &str = "ia.cr/2024/463";

/// One row: degree, then the largest log2 QP for 128, 192, 256 classical bits, then for 128 quantum bits.
/// 0 where the table has no entry.
const ROWS: [(usize, [u32; 3], u32); 7] = [
    (1024, [26, 0, 0], 20),
    (2048, [53, 36, 27], 40),
    (4096, [106, 73, 56], 80),
    (8192, [214, 147, 114], 161),
    (16384, [430, 297, 230], 322),
    (32768, [868, 597, 462], 644),
    (65536, [1747, 1199, 929], 1289),
];

/// What the table says of one parameter set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SecurityReport {
    /// Exact log2 of the product of all primes.
    pub log2_qp: f64,
    /// Classical security level reached: 128, 192 or 256.
    pub bits: u32,
    /// Largest log2 QP with 128 classical bits at this degree.
    pub limit_128: u32,
    /// Largest log2 QP with 128 quantum bits at this degree.
    pub limit_128_quantum: u32,
}

impl SecurityReport {
    /// Bits of modulus that could be added before 128 classical bits are lost.
    pub fn margin(&self) -> f64 {
        f64::from(self.limit_128) - self.log2_qp
    }

    /// Whether the set also has 128 bits against quantum attacks.
    pub fn quantum_128(&self) -> bool {
        self.log2_qp <= f64::from(self.limit_128_quantum)
    }
}

/// Largest log2 QP with 128 classical bits; `None` for a degree that is not in the table (there is no interpolation).
pub fn limit_128(degree: usize) -> Option<u32> {
    ROWS.iter().find(|row| row.0 == degree).map(|row| row.1[0])
}

/// Holds a modulus against the table; `None` when it has fewer than 128 classical bits or the degree is unknown.
pub fn assess(degree: usize, primes: impl IntoIterator<Item = u64>) -> Option<SecurityReport> {
    let (_, classical, quantum) = *ROWS.iter().find(|row| row.0 == degree)?;
    let log2_qp = log2_product(primes);
    let level = classical.iter().rposition(|limit| log2_qp <= f64::from(*limit))?;
    Some(SecurityReport {
        log2_qp,
        bits: [128, 192, 256][level],
        limit_128: classical[0],
        limit_128_quantum: quantum,
    })
}

/// log2 of a product of primes.
pub fn log2_product(primes: impl IntoIterator<Item = u64>) -> f64 {
    primes.into_iter().map(|q| libm::log2(q as f64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_held_at_its_edges() {
        let two = |n: u32| std::iter::repeat_n(2, n as usize);
        for (degree, [classical, ..], _) in ROWS {
            assert_eq!(assess(degree, two(classical)).unwrap().bits, 128);
            assert_eq!(assess(degree, two(classical + 1)), None);
        }
        assert_eq!(assess(16384, two(180)).unwrap().bits, 256);
        assert_eq!(assess(16384, two(297)).unwrap().bits, 192);
        assert!(assess(16384, two(322)).unwrap().quantum_128());
        assert!(!assess(16384, two(323)).unwrap().quantum_128());
        for unknown in [512, 1000, 131_072] {
            assert_eq!(assess(unknown, two(1)), None);
        }
    }
}
