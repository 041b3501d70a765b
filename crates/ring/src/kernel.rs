//! The limb loops. One implementation for now, `scalar`, against which every later one must be equal bit for bit.
//!
//! Bounds are stated as "in [a, b), out [c, d)" for each function; `q` is below 2^61, so 4q and 8q fit a word.

pub mod scalar;

/// Name of the implementation in use.
pub fn name() -> &'static str {
    "scalar"
}
