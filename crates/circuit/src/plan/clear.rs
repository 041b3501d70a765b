//! The cleartext twin: the same function on numbers.

use super::Plan;
use crate::{CircuitError, packing};

impl Plan {
    /// What decryption gives when nothing is rounded and no noise is added: weights · row + constant, for each row.
    ///
    /// For `feature_columns` that is the model's value, for `coefficients` the linear part of it.
    ///
    /// # Errors
    /// [`CircuitError`] for a row of the wrong length, or a number that is not finite.
    pub fn run_clear<R: AsRef<[f64]>>(&self, rows: &[R]) -> Result<Vec<f64>, CircuitError> {
        packing::check_rows(rows, self.dimension())?;
        let literal = self.literal();
        let dot = |row: &[f64]| row.iter().zip(&literal.weights).fold(0.0, |sum, (x, w)| sum + x * w);
        Ok(rows.iter().map(|row| dot(row.as_ref()) + literal.constant).collect())
    }
}
