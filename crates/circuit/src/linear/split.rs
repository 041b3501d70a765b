//! Baby steps and giant steps.

use std::collections::BTreeSet;

/// How many hoisted rotations take the time of one giant step, a whole key switch: measured between 2 (N = 8192, three data
/// primes) and 4 (N = 32768, twelve).
const GIANT_COST: usize = 3;

/// A division of diagonal indices into index = giant + baby, with baby below a radix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    radix: usize,
    babies: Vec<i64>,
    giants: Vec<i64>,
}

impl Split {
    /// The cheapest division: fewest rotations, a giant step counted as three baby steps. All radices are tried for up to
    /// 4096 rows, powers of two beyond.
    pub fn new(period: usize, indices: impl Iterator<Item = usize> + Clone) -> Self {
        let tried = (1..=period).filter(|radix| period <= 4096 || radix.is_power_of_two());
        let radix =
            tried.min_by_key(|radix| (Self::cost(period, *radix, indices.clone()), *radix)).unwrap_or(1);
        let (mut babies, mut giants) = (BTreeSet::new(), BTreeSet::new());
        for index in indices {
            babies.insert((index % radix) as i64);
            giants.insert((index - index % radix) as i64);
        }
        Self { radix, babies: babies.into_iter().collect(), giants: giants.into_iter().collect() }
    }

    fn cost(period: usize, radix: usize, indices: impl Iterator<Item = usize>) -> usize {
        let (mut babies, mut giants) = (vec![0; radix], vec![0; period / radix + 1]);
        for index in indices {
            babies[index % radix] = 1;
            giants[index / radix] = GIANT_COST;
        }
        // Step 0 is none.
        babies[1..].iter().chain(&giants[1..]).sum()
    }

    /// (giant, baby) of a diagonal.
    pub fn steps(&self, index: usize) -> (i64, i64) {
        ((index - index % self.radix) as i64, (index % self.radix) as i64)
    }

    /// Rotations of the input, ascending; 0 is none.
    pub fn babies(&self) -> &[i64] {
        &self.babies
    }

    /// Rotations of the partial sums, ascending; 0 is none.
    pub fn giants(&self) -> &[i64] {
        &self.giants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_matrices_take_about_twice_the_root_of_their_diagonals() {
        let split = Split::new(64, 0..64);
        assert_eq!((split.babies().len(), split.giants().len()), (13, 5));
        for index in 0..64 {
            let (giant, baby) = split.steps(index);
            assert_eq!((giant + baby) as usize, index);
            assert!(split.babies().contains(&baby) && split.giants().contains(&giant));
        }
    }

    #[test]
    fn few_diagonals_take_a_rotation_each() {
        let split = Split::new(1024, [0, 1, 2].into_iter());
        assert_eq!((split.babies(), split.giants()), (&[0, 1, 2][..], &[0][..]));
        let split = Split::new(1024, [0, 512].into_iter());
        assert_eq!((split.babies(), split.giants()), (&[0, 512][..], &[0][..]));
    }
}
