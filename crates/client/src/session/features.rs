//! From measured features to what is encrypted: the affine scaling of the model card, and its ranges.

use zeroize::Zeroizing;

/// Why rows cannot be encrypted for a model. Says where, never what: rows are secret.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// There is nothing to encrypt.
    #[error("no rows: give at least one")]
    Empty,
    /// More rows than one request holds.
    #[error("{rows} rows do not fit into one request of this layout: send at most {limit} at a time")]
    TooMany {
        /// How many there are.
        rows: usize,
        /// How many fit.
        limit: usize,
    },
    /// A row of the wrong length.
    #[error("row {}: {actual} features, the model takes {expected}", .row + 1)]
    Length {
        /// Index of the row, from 0.
        row: usize,
        /// What the model takes.
        expected: usize,
        /// What the row has.
        actual: usize,
    },
    /// Not a number.
    #[error("row {}, feature {} ({name}): not a finite number", .row + 1, .feature + 1)]
    NotFinite {
        /// Index of the row, from 0.
        row: usize,
        /// Index of the feature, from 0.
        feature: usize,
        /// The feature's name on the card.
        name: String,
    },
    /// Outside the range for which the model's answer is meaningful.
    #[error(
        "row {}, feature {} ({name}): outside the model's range {minimum} to {maximum}; check its unit and the order of columns",
        .row + 1, .feature + 1
    )]
    OutOfRange {
        /// Index of the row, from 0.
        row: usize,
        /// Index of the feature, from 0.
        feature: usize,
        /// The feature's name on the card.
        name: String,
        /// Smallest value allowed, as measured.
        minimum: f64,
        /// Largest value allowed, as measured.
        maximum: f64,
    },
}

impl RowError {
    /// The row it is about, from 0, if it is about one.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Length { row, .. } | Self::NotFinite { row, .. } | Self::OutOfRange { row, .. } => {
                Some(*row)
            }
            _ => None,
        }
    }
}

/// One feature as the card describes it: `(x - offset) * factor` must lie in `[minimum, maximum]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Subtracted first.
    pub offset: f64,
    /// Multiplied after.
    pub factor: f64,
    /// Smallest scaled value.
    pub minimum: f64,
    /// Largest scaled value.
    pub maximum: f64,
}

impl Feature {
    /// The range in the unit the feature is measured in.
    pub fn measured_range(&self) -> (f64, f64) {
        let measured = |scaled: f64| scaled / self.factor + self.offset;
        let (a, b) = (measured(self.minimum), measured(self.maximum));
        if a <= b { (a, b) } else { (b, a) }
    }
}

/// Scales rows and checks every number. The result is wiped when dropped.
pub(super) fn scale<R: AsRef<[f64]>>(
    rows: &[R],
    features: &[Feature],
    limit: usize,
) -> Result<Vec<Zeroizing<Vec<f64>>>, RowError> {
    if rows.is_empty() {
        return Err(RowError::Empty);
    }
    if rows.len() > limit {
        return Err(RowError::TooMany { rows: rows.len(), limit });
    }
    rows.iter().enumerate().map(|(index, row)| scale_row(index, row.as_ref(), features)).collect()
}

fn scale_row(row: usize, values: &[f64], features: &[Feature]) -> Result<Zeroizing<Vec<f64>>, RowError> {
    if values.len() != features.len() {
        return Err(RowError::Length { row, expected: features.len(), actual: values.len() });
    }
    let mut scaled = Zeroizing::new(Vec::with_capacity(values.len()));
    for (feature, (value, facts)) in values.iter().zip(features).enumerate() {
        if !value.is_finite() {
            return Err(RowError::NotFinite { row, feature, name: facts.name.clone() });
        }
        let number = (value - facts.offset) * facts.factor;
        if !(facts.minimum..=facts.maximum).contains(&number) {
            let (minimum, maximum) = facts.measured_range();
            return Err(RowError::OutOfRange { row, feature, name: facts.name.clone(), minimum, maximum });
        }
        scaled.push(number);
    }
    Ok(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Vec<Feature> {
        let feature = |name: &str, offset, factor| Feature {
            name: name.to_owned(),
            offset,
            factor,
            minimum: -1.0,
            maximum: 2.0,
        };
        vec![feature("radius", 10.0, 0.5), feature("depth", 0.0, -1.0)]
    }

    #[test]
    fn the_published_scaling_is_applied() {
        let rows = scale(&[[12.0, 1.0], [8.0, -2.0]], &features(), 2).unwrap();
        assert_eq!((&**rows[0], &**rows[1]), (&[1.0, -1.0][..], &[-1.0, 2.0][..]));
    }

    #[test]
    fn mistakes_name_row_feature_and_range_and_keep_the_value_secret() {
        let error = |rows: &[&[f64]], limit| scale(rows, &features(), limit).unwrap_err();
        let outside = error(&[&[12.0, 1.0], &[14.125, 1.0]], 2);
        assert_eq!(
            outside.to_string(),
            "row 2, feature 1 (radius): outside the model's range 8 to 14; check its unit and the order of columns"
        );
        assert!(!format!("{outside:?}").contains("14.125"));
        assert!(error(&[&[12.0, 1.5]], 1).to_string().contains("(depth): outside the model's range -2 to 1"));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(error(&[&[12.0, bad]], 1), RowError::NotFinite { row: 0, feature: 1, .. }));
        }
        assert_eq!(error(&[&[1.0]], 1), RowError::Length { row: 0, expected: 2, actual: 1 });
        assert_eq!(error(&[], 1), RowError::Empty);
        assert_eq!(error(&[&[12.0, 0.0], &[12.0, 0.0]], 1), RowError::TooMany { rows: 2, limit: 1 });
    }
}
