//! The ordered encrypted steps of one layout of one model, over one parameter set.

pub(crate) mod check;
mod clear;
mod prepare;
mod run;

pub use run::{Inputs, Output};

use crate::{Layout, PlanError};
use hei_ckks::Parameters;
use hei_ckks::coefficients::PreparedWeights;
use std::sync::Arc;

/// One encrypted step. Scales are what an encoded number is multiplied by; the comments say what a step does to them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Forget limbs above this level. Keeps the scale. Cost: nothing.
    DropToLevel {
        /// The level after the step.
        level: usize,
    },
    /// Sum over the features of ciphertext times weight, the weight rounded at `weight_scale`. Multiplies the scale.
    /// Cost: d products a limb and part, no transform.
    MultiplyAccumulate {
        /// Scale at which the weights are rounded to integers.
        weight_scale: f64,
    },
    /// Divide by the last prime and drop it. Divides the scale. Cost: one transform a limb and part.
    Rescale,
    /// Add the plan's constant, rounded at the scale the step finds, in every slot. Cost: no transform.
    AddConstant,
    /// Product with the reversed weights, rounded at `weight_scale`, plus the constant, rounded at the product's scale: the
    /// coefficient at a row's last feature becomes the row's value. Multiplies the scale. Cost: two transforms.
    MultiplyReversed {
        /// Scale at which the weights are rounded to integers.
        weight_scale: f64,
    },
    /// Round from modulus q to 2^bits, which is what a `coefficients` reply travels in. Scale times 2^bits / q.
    SwitchModulus {
        /// k of the reply modulus 2^k.
        bits: u32,
    },
}

impl Step {
    /// The name used in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DropToLevel { .. } => "drop to level",
            Self::MultiplyAccumulate { .. } => "multiply and accumulate",
            Self::Rescale => "rescale",
            Self::AddConstant => "add constant",
            Self::MultiplyReversed { .. } => "multiply by reversed weights",
            Self::SwitchModulus { .. } => "switch modulus",
        }
    }

    /// Scale at which a step rounds the weights, if it multiplies by them.
    pub fn weight_scale(&self) -> Option<f64> {
        match self {
            Self::MultiplyAccumulate { weight_scale } | Self::MultiplyReversed { weight_scale } => {
                Some(*weight_scale)
            }
            _ => None,
        }
    }
}

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The inputs, one ciphertext or many.
    Inputs,
    /// The weighted sum, still without the constant.
    Sum,
    /// The value, modulo the primes of its level.
    Value,
    /// The value modulo 2^k.
    Reply,
}

/// What is known about the ciphertexts between two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// How far the evaluation has come.
    pub stage: Stage,
    /// Limbs - 1.
    pub level: usize,
    /// What a number is multiplied by.
    pub scale: f64,
}

/// Everything that makes a [`Plan`]: what a model file stores, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanLiteral {
    /// Where the features sit.
    pub layout: Layout,
    /// N.
    pub degree: usize,
    /// Data primes q_0 … q_L.
    pub moduli: Vec<u64>,
    /// Special primes, which count for security only.
    pub special_moduli: Vec<u64>,
    /// Scale of a fresh input.
    pub scale: f64,
    /// Rows of the largest batch.
    pub max_batch: usize,
    /// The weights of the answer; for `feature_columns` already multiplied by the activation's slope.
    pub weights: Vec<f64>,
    /// The constant of the answer.
    pub constant: f64,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// The one shape of ciphertext that a plan takes.
#[derive(Debug, Clone, PartialEq)]
pub struct InputShape {
    /// Where the features sit.
    pub layout: Layout,
    /// Ciphertexts of a request.
    pub ciphertexts: usize,
    /// N.
    pub degree: usize,
    /// Limbs - 1.
    pub level: usize,
    /// Polynomials of a ciphertext.
    pub parts: usize,
    /// Scale, exactly.
    pub scale: f64,
    /// Rows of the largest batch.
    pub max_batch: usize,
}

/// The one shape of answer that a plan gives.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputShape {
    /// Where the values sit.
    pub layout: Layout,
    /// N.
    pub degree: usize,
    /// Limbs - 1.
    pub level: usize,
    /// Polynomials of a ciphertext.
    pub parts: usize,
    /// Scale, exactly.
    pub scale: f64,
    /// k when the residues are modulo 2^k rather than modulo primes.
    pub reply_modulus_bits: Option<u32>,
}

/// A type-checked, prepared evaluation. Immutable; cloning shares.
#[derive(Clone)]
pub struct Plan {
    inner: Arc<Inner>,
}

struct Inner {
    literal: PlanLiteral,
    parameters: Parameters,
    trace: Vec<State>,
    /// For [`Layout::Coefficients`]: the weights of the product, and the constant at its scale.
    reversed: Option<(PreparedWeights, i64)>,
}

impl Plan {
    /// A plan from its literal. Cost: the parameter set's tables.
    ///
    /// # Errors
    /// [`PlanError`] when the primes do not pass the security table, a step does not follow from the ones before it, a
    /// number is not finite, or a rounded weight leaves the modulus.
    pub fn new(literal: PlanLiteral) -> Result<Self, PlanError> {
        check::bounds(&literal)?;
        let parameters =
            Parameters::from_primes(literal.degree, &literal.moduli, &literal.special_moduli, literal.scale)?;
        let trace = check::trace(&literal)?;
        let reversed = prepare::prepare(&literal, &trace, parameters.context())?;
        Ok(Self { inner: Arc::new(Inner { literal, parameters, trace, reversed }) })
    }

    /// What the plan was made of.
    pub fn literal(&self) -> &PlanLiteral {
        &self.inner.literal
    }

    /// Where the features sit.
    pub fn layout(&self) -> Layout {
        self.inner.literal.layout
    }

    /// Features of a row.
    pub fn dimension(&self) -> usize {
        self.inner.literal.weights.len()
    }

    /// Rows of the largest batch.
    pub fn max_batch(&self) -> usize {
        self.inner.literal.max_batch
    }

    /// The parameter set; it passed the security table.
    pub fn parameters(&self) -> &Parameters {
        &self.inner.parameters
    }

    /// What is done, in order.
    pub fn steps(&self) -> &[Step] {
        &self.inner.literal.steps
    }

    /// The state before the first step and after each: one more than there are steps.
    pub fn trace(&self) -> &[State] {
        &self.inner.trace
    }

    /// The shape of its inputs.
    pub fn input(&self) -> InputShape {
        InputShape {
            layout: self.layout(),
            ciphertexts: self.layout().ciphertexts(self.dimension()),
            degree: self.inner.literal.degree,
            level: self.inner.literal.moduli.len() - 1,
            parts: 2,
            scale: self.inner.literal.scale,
            max_batch: self.max_batch(),
        }
    }

    /// The shape of its answer.
    pub fn output(&self) -> OutputShape {
        let last = self.last();
        OutputShape {
            layout: self.layout(),
            degree: self.inner.literal.degree,
            level: last.level,
            parts: 2,
            scale: last.scale,
            reply_modulus_bits: self.steps().iter().find_map(|step| match step {
                Step::SwitchModulus { bits } => Some(*bits),
                _ => None,
            }),
        }
    }

    pub(crate) fn last(&self) -> State {
        *self.inner.trace.last().expect("a trace starts with the input's state")
    }

    /// Scale at which the weights are rounded.
    pub fn weight_scale(&self) -> f64 {
        self.steps().iter().find_map(Step::weight_scale).expect("a plan multiplies by its weights")
    }
}

/// Shape only: a model may be its operator's secret.
impl core::fmt::Debug for Plan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { inner } = self;
        write!(f, "Plan({}, N={}, d={})", self.layout(), inner.literal.degree, self.dimension())
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.inner.literal == other.inner.literal
    }
}
