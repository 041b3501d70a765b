//! Decrypted results.

use zeroize::Zeroizing;

/// Decrypted model values, one per row. Wiped when dropped.
///
/// There is no `Debug`, `Display` or serialization, so that none is logged by accident: whoever sees a
/// decrypted value together with the ciphertext can solve for the secret key (ia.cr/2020/1533). Results are
/// for the key holder.
///
/// ```compile_fail
/// fn print(scores: &hei_client::session::Scores) { println!("{scores:?}"); }
/// ```
pub struct Scores(Zeroizing<Vec<f64>>);

impl Scores {
    pub(super) fn new(values: Vec<f64>) -> Self {
        Self(Zeroizing::new(values))
    }

    /// The values, in the order of the rows. Do not send them to the server, in any form.
    pub fn reveal(&self) -> &[f64] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
