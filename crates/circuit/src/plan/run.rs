//! The executor.

use super::{Plan, Step};
use crate::{CircuitError, Layout, packing};
use hei_ckks::coefficients::{CoefficientCiphertext, CoefficientReply, multiply_by_weights};
use hei_ckks::{Ciphertext, Evaluator};

/// The ciphertexts of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Inputs {
    /// For [`Layout::FeatureColumns`]: one for each feature, in order.
    Slots(Vec<Ciphertext>),
    /// For [`Layout::Coefficients`].
    Coefficients(CoefficientCiphertext),
}

impl Inputs {
    /// The layout they are for.
    pub fn layout(&self) -> Layout {
        match self {
            Self::Slots(_) => Layout::FeatureColumns,
            Self::Coefficients(_) => Layout::Coefficients,
        }
    }
}

/// The answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Output {
    /// Of a plan for [`Layout::FeatureColumns`].
    Slots(Ciphertext),
    /// Of a plan for [`Layout::Coefficients`].
    Coefficients(CoefficientReply),
}

/// Asked between steps, and between the ciphertexts of a long one.
type Cancel<'a> = &'a dyn Fn() -> bool;

impl Plan {
    /// Evaluates the plan. `cancel` is asked between the steps; once it says yes, nothing more is computed.
    ///
    /// Time depends on the plan's shape only, not on its weights nor on what is encrypted.
    ///
    /// # Errors
    /// [`CircuitError`]: cancelled, or inputs that are not what [`Self::input`] says.
    pub fn run(&self, inputs: Inputs, batch: usize, cancel: Cancel<'_>) -> Result<Output, CircuitError> {
        if !(1..=self.max_batch()).contains(&batch) {
            return Err(CircuitError::Batch { maximum: self.max_batch(), actual: batch });
        }
        match (self.layout(), inputs) {
            (Layout::FeatureColumns, Inputs::Slots(columns)) => {
                self.run_slots(columns, cancel).map(Output::Slots)
            }
            (Layout::Coefficients, Inputs::Coefficients(row)) => {
                self.run_coefficients(&row, batch, cancel).map(Output::Coefficients)
            }
            (expected, other) => Err(CircuitError::WrongLayout { expected, actual: other.layout() }),
        }
    }

    fn run_slots(
        &self,
        mut columns: Vec<Ciphertext>,
        cancel: Cancel<'_>,
    ) -> Result<Ciphertext, CircuitError> {
        self.check_slots(&columns)?;
        let evaluator = Evaluator::new(self.parameters().context());
        // Until the product, the level to read the columns at; each is lowered when its turn comes.
        let mut level = self.input().level;
        let mut sum = None;
        for step in self.steps() {
            go_on(cancel)?;
            sum = match (step, sum) {
                (Step::DropToLevel { level: to }, None) => {
                    level = *to;
                    None
                }
                (Step::MultiplyAccumulate { weight_scale }, None) => {
                    let columns = core::mem::take(&mut columns);
                    self.weighted_sum(&evaluator, columns, level, *weight_scale, cancel)?
                }
                (Step::DropToLevel { level }, Some(sum)) => Some(evaluator.drop_to_level(&sum, *level)?),
                (Step::Rescale, Some(sum)) => Some(evaluator.rescale(&sum)?),
                (Step::AddConstant, Some(sum)) => Some(evaluator.add_scalar(&sum, self.literal().constant)?),
                (step, _) => return Err(CircuitError::Step { step: step.name() }),
            };
        }
        sum.ok_or(CircuitError::Step { step: "answer" })
    }

    /// Sum of ciphertext times weight at a level. A weight of zero is multiplied like any other.
    fn weighted_sum(
        &self,
        evaluator: &Evaluator,
        columns: Vec<Ciphertext>,
        level: usize,
        weight_scale: f64,
        cancel: Cancel<'_>,
    ) -> Result<Option<Ciphertext>, CircuitError> {
        let mut sum = None;
        for (column, weight) in columns.into_iter().zip(&self.literal().weights) {
            go_on(cancel)?;
            let lowered = evaluator.drop_to_level(&column, level)?;
            match &mut sum {
                None => sum = Some(evaluator.multiply_scalar(&lowered, *weight, weight_scale)?),
                Some(sum) => evaluator.multiply_scalar_add_assign(sum, &lowered, *weight, weight_scale)?,
            }
        }
        Ok(sum)
    }

    fn run_coefficients(
        &self,
        input: &CoefficientCiphertext,
        batch: usize,
        cancel: Cancel<'_>,
    ) -> Result<CoefficientReply, CircuitError> {
        let context = self.parameters().context();
        self.check_coefficients(input, batch)?;
        let outputs = packing::reply_ranges(context.degree(), self.dimension(), batch)?;
        let mut product = None;
        for step in self.steps() {
            go_on(cancel)?;
            match (step, &product, &self.inner.reversed) {
                (Step::MultiplyReversed { .. }, None, Some((weights, constant))) => {
                    product = Some(multiply_by_weights(context, input, weights, *constant, &outputs)?);
                }
                (Step::SwitchModulus { bits }, Some(product), _) => {
                    return Ok(product.switch_modulus(context, *bits)?);
                }
                (step, _, _) => return Err(CircuitError::Step { step: step.name() }),
            }
        }
        Err(CircuitError::Step { step: "answer" })
    }

    fn check_coefficients(&self, input: &CoefficientCiphertext, batch: usize) -> Result<(), CircuitError> {
        let ranges = packing::request_ranges(self.input().degree, self.dimension(), batch)?;
        if input.ranges != ranges {
            let show = |ranges: &hei_ckks::coefficients::IndexRanges| format!("{:?}", ranges.ranges());
            return Err(CircuitError::InputShape {
                index: 0,
                what: "index ranges",
                expected: show(&ranges),
                actual: show(&input.ranges),
            });
        }
        expect(0, "number of words", ranges.count(), input.values.len())?;
        expect(0, "scale", self.input().scale, input.scale)
    }

    fn check_slots(&self, columns: &[Ciphertext]) -> Result<(), CircuitError> {
        let shape = self.input();
        if columns.len() != shape.ciphertexts {
            return Err(CircuitError::InputCount { expected: shape.ciphertexts, actual: columns.len() });
        }
        for (index, column) in columns.iter().enumerate() {
            expect(index, "degree", shape.degree, column.parts()[0].degree())?;
            expect(index, "level", shape.level, column.level())?;
            expect(index, "number of parts", shape.parts, column.parts().len())?;
            expect(index, "scale", shape.scale, column.scale())?;
        }
        Ok(())
    }
}

fn go_on(cancel: Cancel<'_>) -> Result<(), CircuitError> {
    if cancel() { Err(CircuitError::Cancelled) } else { Ok(()) }
}

fn expect<T: PartialEq + ToString>(
    index: usize,
    what: &'static str,
    expected: T,
    actual: T,
) -> Result<(), CircuitError> {
    if expected == actual {
        return Ok(());
    }
    Err(CircuitError::InputShape { index, what, expected: expected.to_string(), actual: actual.to_string() })
}
