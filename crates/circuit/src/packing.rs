//! Layouts: which number sits in which slot or coefficient of which ciphertext.

use crate::CircuitError;
use core::fmt;
use core::str::FromStr;
use hei_ckks::coefficients::{IndexRange, IndexRanges};

/// Where the features of a batch sit in the ciphertexts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// One ciphertext per feature, row *i* of the batch in slot *i*; the answer has row *i* in slot *i*.
    FeatureColumns,
    /// One ciphertext: row *r* of *d* features in coefficients *r d* … *r d + d - 1*; its answer in coefficient
    /// *r d + d - 1*. Only the coefficients used are sent.
    Coefficients,
}

impl Layout {
    /// Every layout, in the order in which a model file lists them.
    pub const ALL: [Self; 2] = [Self::FeatureColumns, Self::Coefficients];

    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::FeatureColumns => "feature_columns",
            Self::Coefficients => "coefficients",
        }
    }

    /// Rows of `dimension` features that fit into one request over a ring of this degree.
    pub fn capacity(self, degree: usize, dimension: usize) -> usize {
        match self {
            Self::FeatureColumns => degree / 2,
            Self::Coefficients => degree.checked_div(dimension).unwrap_or(0),
        }
    }

    /// Ciphertexts of one request.
    pub fn ciphertexts(self, dimension: usize) -> usize {
        match self {
            Self::FeatureColumns => dimension,
            Self::Coefficients => 1,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(name: &str) -> Result<Self, UnknownLayout> {
        Self::ALL.into_iter().find(|layout| layout.name() == name).ok_or(UnknownLayout)
    }
}

/// A name that is no [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown layout; use feature_columns or coefficients")]
pub struct UnknownLayout;

/// `feature_columns`: one vector per feature, row *i* at index *i*.
///
/// # Errors
/// [`CircuitError`] for a row of another length than `dimension`, or a number that is not finite.
pub fn columns<R: AsRef<[f64]>>(rows: &[R], dimension: usize) -> Result<Vec<Vec<f64>>, CircuitError> {
    check_rows(rows, dimension)?;
    Ok((0..dimension).map(|feature| rows.iter().map(|row| row.as_ref()[feature]).collect()).collect())
}

/// `coefficients`: row after row, without padding.
///
/// # Errors
/// As [`columns`].
pub fn coefficients<R: AsRef<[f64]>>(rows: &[R], dimension: usize) -> Result<Vec<f64>, CircuitError> {
    check_rows(rows, dimension)?;
    // One allocation of the final size: growing would leave copies of the rows behind.
    let mut out = Vec::with_capacity(rows.len() * dimension);
    rows.iter().for_each(|row| out.extend_from_slice(row.as_ref()));
    Ok(out)
}

/// Coefficients of c0 that a `coefficients` request carries: 0 … d·batch - 1.
///
/// # Errors
/// [`CircuitError::Batch`] for no rows, or more than fit the ring.
pub fn request_ranges(degree: usize, dimension: usize, batch: usize) -> Result<IndexRanges, CircuitError> {
    range(degree, dimension, batch, |_| IndexRange { start: 0, count: (dimension * batch) as u32, step: 1 })
}

/// Coefficients that a `coefficients` reply carries: d - 1, 2d - 1, …, one for each row.
///
/// # Errors
/// As [`request_ranges`].
pub fn reply_ranges(degree: usize, dimension: usize, batch: usize) -> Result<IndexRanges, CircuitError> {
    range(degree, dimension, batch, |dimension| IndexRange {
        start: dimension - 1,
        count: batch as u32,
        // A single index has no stride: 1 is its canonical form.
        step: if batch == 1 { 1 } else { dimension },
    })
}

/// One range, once it is sure that 1 <= d·batch <= degree.
fn range(
    degree: usize,
    dimension: usize,
    batch: usize,
    make: impl Fn(u32) -> IndexRange,
) -> Result<IndexRanges, CircuitError> {
    let maximum = Layout::Coefficients.capacity(degree, dimension);
    let refused = CircuitError::Batch { maximum, actual: batch };
    match u32::try_from(dimension) {
        Ok(word) if dimension > 0 && (1..=maximum).contains(&batch) => {
            IndexRanges::new(vec![make(word)], degree).ok_or(refused)
        }
        _ => Err(refused),
    }
}

pub(crate) fn check_rows<R: AsRef<[f64]>>(rows: &[R], dimension: usize) -> Result<(), CircuitError> {
    for (row, values) in rows.iter().enumerate() {
        let values = values.as_ref();
        if values.len() != dimension {
            return Err(CircuitError::RowDimension { row, expected: dimension, actual: values.len() });
        }
        if let Some(feature) = values.iter().position(|x| !x.is_finite()) {
            return Err(CircuitError::NotFinite { row, feature });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>(), Ok(layout));
        }
        assert_eq!("Coefficients".parse::<Layout>(), Err(UnknownLayout));
    }

    #[test]
    fn rows_become_columns_and_coefficients() {
        let rows = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        assert_eq!(columns(&rows, 3).unwrap(), [vec![1.0, 4.0], vec![2.0, 5.0], vec![3.0, 6.0]]);
        assert_eq!(coefficients(&rows, 3).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn ranges_name_the_used_coefficients() {
        let indices = |ranges: IndexRanges| ranges.indices().collect::<Vec<_>>();
        assert_eq!(indices(request_ranges(1024, 3, 2).unwrap()), [0, 1, 2, 3, 4, 5]);
        assert_eq!(indices(reply_ranges(1024, 3, 2).unwrap()), [2, 5]);
        assert_eq!(indices(reply_ranges(1024, 8, 1).unwrap()), [7]);
        assert_eq!(indices(request_ranges(8, 2, 4).unwrap()).len(), 8);
        for (degree, dimension, batch) in [(8, 2, 5), (8, 2, 0), (8, 0, 2), (8, 9, 1), (8, 2, usize::MAX)] {
            assert!(request_ranges(degree, dimension, batch).is_err());
            assert!(reply_ranges(degree, dimension, batch).is_err());
        }
    }

    #[test]
    fn ragged_and_infinite_rows_are_refused() {
        assert!(matches!(
            columns(&[vec![1.0, 2.0], vec![1.0]], 2),
            Err(CircuitError::RowDimension { row: 1, expected: 2, actual: 1 })
        ));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(
                coefficients(&[[0.0, bad]], 2),
                Err(CircuitError::NotFinite { row: 0, feature: 1 })
            ));
        }
    }
}
