//! Encrypted linear algebra: layouts, the plan, its executor, its cleartext twin, its cost.
//!
//! A [`Plan`] is what a served model is made of: the ordered steps of one evaluation on ciphertexts, with the level and
//! the scale after each, over one parameter set. It is type-checked when made, so running it can fail only on inputs that
//! are not what [`Plan::input`] says. Nothing here does I/O, spawns threads or reads a clock.
//!
//! | module | what it holds |
//! |---|---|
//! | [`packing`] | which number sits in which slot or coefficient of which ciphertext |
//! | [`plan`] | the steps, their type check, the executor, the cleartext twin |
//! | [`cost`] | transforms, products and bytes of one evaluation |
//! | [`linear`] | matrix times vector in baby and giant steps, inner sums |
//! | [`polynomial`] | polynomials in the monomial or the Chebyshev basis |
//! | [`error_bound`] | how far a decrypted value can be from the cleartext one |
//! | [`mod@file`] | the `.hei` model file |

pub mod cost;
pub mod error_bound;
pub mod file;
pub mod linear;
pub mod packing;
pub mod plan;
pub mod polynomial;

mod error;

pub use cost::Cost;
pub use error::{CircuitError, PlanError};
pub use error_bound::ErrorBound;
pub use file::{FileError, ModelFile};
pub use packing::Layout;
pub use plan::{InputShape, Inputs, Output, OutputShape, Plan, PlanLiteral, Step};
