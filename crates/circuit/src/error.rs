//! Why a plan could not be made, or could not be run.

use crate::Layout;

/// Why a plan was refused when it was made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The primes or the scale make no parameter set that passes the security table.
    #[error("parameters: {0}")]
    Parameters(#[from] hei_ckks::ParametersError),
    /// A plan has at least one feature, and no more than the layout holds.
    #[error("{actual} weights: a plan of this layout takes 1 to {maximum}")]
    Dimension {
        /// What fits.
        maximum: usize,
        /// What was given.
        actual: usize,
    },
    /// The batch must fit the ring.
    #[error("max_batch {actual}: layout {layout} over this ring takes 1 to {maximum}")]
    MaxBatch {
        /// The plan's layout.
        layout: Layout,
        /// What fits.
        maximum: usize,
        /// What was given.
        actual: usize,
    },
    /// Weights and the constant are finite numbers.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// Rounded at the step's scale, a weight or the constant leaves the modulus.
    #[error("{what} at scale 2^{log2_scale:.1} exceeds the modulus of 2^{log2_modulus:.1}")]
    TooLarge {
        /// Weight or constant.
        what: &'static str,
        /// log2 of the scale it is rounded at.
        log2_scale: f64,
        /// log2 of the modulus.
        log2_modulus: f64,
    },
    /// A model whose rounded weights are all zero would answer with a transparent ciphertext.
    #[error(
        "every weight rounds to zero at scale 2^{log2_scale:.1}: the answer would not depend on the input"
    )]
    NoWeights {
        /// log2 of the weights' scale.
        log2_scale: f64,
    },
    /// The weights do not make a polynomial of the ring.
    #[error("weights: {0}")]
    Weights(#[from] hei_ckks::coefficients::CoefficientError),
    /// A step that does not follow from the ones before it.
    #[error("step {index} ({step}) cannot follow: {reason}")]
    Step {
        /// Position in the plan, from 0.
        index: usize,
        /// Its name.
        step: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The steps end before there is an answer.
    #[error("the steps do not end in an answer: {0}")]
    Incomplete(&'static str),
}

/// Why a run failed, or its inputs were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// The caller asked to stop; nothing was computed.
    #[error("cancelled between two steps")]
    Cancelled,
    /// The plan takes another number of ciphertexts.
    #[error("{actual} ciphertexts, the plan takes {expected}")]
    InputCount {
        /// What the plan takes.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// A ciphertext is not of the shape the plan takes.
    #[error("ciphertext {index} has {what} {actual}, the plan takes {expected}")]
    InputShape {
        /// Position among the inputs, from 0.
        index: usize,
        /// Degree, level, parts, scale or ranges.
        what: &'static str,
        /// What the plan takes.
        expected: String,
        /// What was given.
        actual: String,
    },
    /// Slots were given to a plan for coefficients, or the reverse.
    #[error("inputs of layout {actual}, the plan is for {expected}")]
    WrongLayout {
        /// The plan's layout.
        expected: Layout,
        /// The inputs' layout.
        actual: Layout,
    },
    /// No rows, or more than fit.
    #[error("batch of {actual}: the plan takes 1 to {maximum} rows")]
    Batch {
        /// The largest batch.
        maximum: usize,
        /// What was asked.
        actual: usize,
    },
    /// A row of the wrong length.
    #[error("row {row} has {actual} features, the model takes {expected}")]
    RowDimension {
        /// Position among the rows, from 0.
        row: usize,
        /// The model's features.
        expected: usize,
        /// The row's.
        actual: usize,
    },
    /// A row holds an infinity or no number.
    #[error("feature {feature} of row {row} is not a finite number")]
    NotFinite {
        /// Position among the rows, from 0.
        row: usize,
        /// Position in the row, from 0.
        feature: usize,
    },
    /// A step met a state that the plan's type check excludes: a defect of this crate.
    #[error("step {step} met a state that the plan's type check excludes")]
    Step {
        /// Its name.
        step: &'static str,
    },
    /// The scheme refused an operation on slots.
    #[error("evaluation: {0}")]
    Evaluator(#[from] hei_ckks::EvaluatorError),
    /// The scheme refused an operation on coefficients.
    #[error("evaluation: {0}")]
    Coefficients(#[from] hei_ckks::coefficients::CoefficientError),
}
