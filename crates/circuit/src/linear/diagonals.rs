//! Matrices by their diagonals.

use std::collections::BTreeMap;

use hei_ckks::Complex;

use super::LinearError;

/// A matrix as generalized diagonals: entry i of diagonal k is what output i takes from input i + k, indices modulo the
/// periods.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagonals {
    /// Of input and output, both powers of two; the diagonals are as long as the larger.
    periods: (usize, usize),
    diagonals: BTreeMap<usize, Vec<Complex>>,
}

impl Diagonals {
    /// A square matrix of `period` rows from some of its diagonals, the others zero. Diagonal k is taken modulo the period;
    /// shorter diagonals are filled up with zeros, and those of zeros left out.
    pub fn new(period: usize, diagonals: impl IntoIterator<Item = (i64, Vec<Complex>)>) -> Self {
        let mut kept: BTreeMap<usize, Vec<Complex>> = BTreeMap::new();
        for (k, values) in diagonals {
            let place = k.rem_euclid(period.max(1) as i64) as usize;
            let sum = kept.entry(place).or_insert_with(|| vec![(0.0, 0.0); period]);
            for (s, v) in sum.iter_mut().zip(values) {
                *s = (s.0 + v.0, s.1 + v.1);
            }
        }
        kept.retain(|_, values| values.iter().any(|v| *v != (0.0, 0.0)));
        Self { periods: (period, period), diagonals: kept }
    }

    /// A real matrix by rows, of any shape, filled up with zeros to a power of two of rows and columns.
    ///
    /// The input holds as many numbers as the matrix has columns, zeros up to the next power of two, repeated from there; the
    /// output likewise as many as it has rows. There are no more diagonals than the smaller of both. A matrix that is wider
    /// than high is cut into squares side by side, whose outputs are summed by log2 rotations at the end (C. Juvekar et al.,
    /// GAZELLE, USENIX Security 2018).
    ///
    /// # Errors
    /// [`LinearError::Row`] when the rows have unequal lengths, or there is none.
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Result<Self, LinearError> {
        let entries = |row: &R| row.as_ref().iter().map(|v| (*v, 0.0)).collect();
        Self::from_complex_rows(&rows.iter().map(entries).collect::<Vec<Vec<Complex>>>())
    }

    /// [`from_rows`](Self::from_rows) for complex entries.
    ///
    /// # Errors
    /// [`LinearError::Row`] when the rows have unequal lengths, or there is none.
    pub fn from_complex_rows<R: AsRef<[Complex]>>(rows: &[R]) -> Result<Self, LinearError> {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        for (i, row) in rows.iter().enumerate() {
            let actual = row.as_ref().len();
            if actual != columns {
                return Err(LinearError::Row { row: i, expected: columns, actual });
            }
        }
        if columns == 0 {
            return Err(LinearError::Row { row: 0, expected: 1, actual: 0 });
        }
        let (height, width) = (rows.len().next_power_of_two(), columns.next_power_of_two());
        let entry = |row: usize, column: usize| {
            rows.get(row).and_then(|r| r.as_ref().get(column)).copied().unwrap_or((0.0, 0.0))
        };
        let diagonals = (0..height.min(width)).map(|k| {
            (k as i64, (0..height.max(width)).map(|i| entry(i % height, (i + k) % width)).collect())
        });
        Ok(Self { periods: (width, height), ..Self::new(height.max(width), diagonals) })
    }

    /// Numbers in a repetition of the input.
    pub fn input_period(&self) -> usize {
        self.periods.0
    }

    /// Numbers in a repetition of the output.
    pub fn output_period(&self) -> usize {
        self.periods.1
    }

    /// The larger of both: the length of a diagonal.
    pub fn period(&self) -> usize {
        self.periods.0.max(self.periods.1)
    }

    /// Whether all entries are zero.
    pub fn is_empty(&self) -> bool {
        self.diagonals.is_empty()
    }

    /// Indices of the diagonals that are not zero, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.diagonals.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[Complex])> {
        self.diagonals.iter().map(|(k, values)| (*k, &values[..]))
    }

    /// Terms and distance of the final inner sum, if there is one.
    pub fn fold(&self) -> Option<(usize, usize)> {
        let (input, output) = self.periods;
        (input > output).then(|| (input / output, output))
    }

    pub(super) fn row_norm(&self) -> f64 {
        let square =
            |i: usize| self.diagonals.values().map(|d| d[i].0 * d[i].0 + d[i].1 * d[i].1).sum::<f64>();
        (0..self.period()).map(square).fold(0.0, f64::max).sqrt()
    }

    /// The cleartext twin: one repetition of the output for one of the input, which is filled up with zeros.
    pub fn apply(&self, input: &[Complex]) -> Vec<Complex> {
        let (input_period, output_period) = self.periods;
        let mut out = vec![(0.0, 0.0); output_period];
        for (k, diagonal) in &self.diagonals {
            for (i, d) in diagonal.iter().enumerate() {
                let x = input.get((i + k) % input_period).copied().unwrap_or((0.0, 0.0));
                let sum = &mut out[i % output_period];
                *sum = (sum.0 + d.0 * x.0 - d.1 * x.1, sum.1 + d.0 * x.1 + d.1 * x.0);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_multiplies_like_its_rows() {
        for (height, width) in
            [(1usize, 1usize), (4, 4), (3, 5), (5, 3), (2, 16), (1, 8), (16, 2), (7, 7), (8, 1)]
        {
            let rows: Vec<Vec<f64>> = (0..height)
                .map(|i| (0..width).map(|j| (i * 31 + j * 17) as f64 % 11.0 - 5.0).collect())
                .collect();
            let x: Vec<f64> = (0..width).map(|j| (j * 7 % 5) as f64 - 2.0).collect();
            let matrix = Diagonals::from_rows(&rows).unwrap();
            let complex: Vec<_> = x.iter().map(|v| (*v, 0.0)).collect();
            let y = matrix.apply(&complex);
            assert_eq!(y.len(), height.next_power_of_two());
            for (i, y) in y.iter().enumerate() {
                let expected: f64 =
                    rows.get(i).map_or(0.0, |row| row.iter().zip(&x).map(|(a, b)| a * b).sum());
                assert!((y.0 - expected).abs() < 1e-12 && y.1 == 0.0, "{height}x{width} row {i}");
            }
            let most = height.next_power_of_two().min(width.next_power_of_two());
            assert!(matrix.indices().count() <= most, "{height}x{width}");
        }
    }

    #[test]
    fn rows_of_unequal_lengths_are_refused() {
        let refused = Diagonals::from_rows(&[vec![1.0, 2.0], vec![1.0]]);
        assert_eq!(refused, Err(LinearError::Row { row: 1, expected: 2, actual: 1 }));
        assert!(Diagonals::from_rows::<Vec<f64>>(&[]).is_err());
    }
}
