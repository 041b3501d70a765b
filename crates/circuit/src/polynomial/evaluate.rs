//! Evaluation on ciphertexts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hei_ckks::{Ciphertext, Context, Evaluator, EvaluatorError, KeyManifest, RelinKey};

use super::{Node, Polynomial, PolynomialBasis, PolynomialError};
use crate::linear::Placement;

/// Level and scale of a power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PowerState {
    pub(super) level: usize,
    pub(super) scale: f64,
}

/// A polynomial made ready for ciphertexts at one level and scale.
///
/// For the Chebyshev basis the encrypted numbers must lie in [-1, 1].
#[derive(Debug, Clone)]
pub struct PolynomialEvaluation {
    pub(super) context: Arc<Context>,
    pub(super) polynomial: Polynomial,
    pub(super) placement: Placement,
    pub(super) node: Node,
    pub(super) powers: BTreeMap<usize, PowerState>,
}

impl PolynomialEvaluation {
    /// Plans the evaluation. The result is [`Polynomial::depth`] levels below the input, at the output scale exactly.
    ///
    /// # Errors
    /// [`PolynomialError`].
    pub fn new(
        context: &Arc<Context>,
        polynomial: &Polynomial,
        placement: Placement,
    ) -> Result<Self, PolynomialError> {
        let depth = polynomial.depth();
        let level = placement.level.min(context.max_level());
        if level < depth || level < placement.level {
            return Err(PolynomialError::Depth { degree: polynomial.degree(), depth, level });
        }
        let (node, needed) = polynomial.plan();
        let mut evaluation = Self {
            context: Arc::clone(context),
            polynomial: polynomial.clone(),
            placement,
            node,
            powers: BTreeMap::new(),
        };
        evaluation.place_powers(needed)?;
        let top = evaluation.top();
        evaluation.check_node(&evaluation.node, top)?;
        Ok(evaluation)
    }

    /// Level and scale of the whole sum, before the last rescaling.
    pub(super) fn top(&self) -> PowerState {
        let level = self.placement.level + 1 - self.polynomial.depth();
        PowerState { level, scale: self.placement.output_scale * self.prime(level) }
    }

    /// Level and scale of a quotient's sum, before its rescaling, whose product with power g is to reach `at`.
    pub(super) fn quotient(&self, at: PowerState, g: usize) -> PowerState {
        let level = at.level + 1;
        PowerState { level, scale: at.scale / self.powers[&g].scale * self.prime(level) }
    }

    pub(super) fn prime(&self, level: usize) -> f64 {
        self.context.basis().modulus(level).value() as f64
    }

    fn place_powers(&mut self, needed: BTreeSet<usize>) -> Result<(), PolynomialError> {
        for i in needed {
            let state = if i == 1 {
                PowerState { level: self.placement.level, scale: self.placement.input_scale }
            } else {
                let (a, b, _) = self.polynomial.factors(i);
                let level = self.powers[&a].level;
                let product = self.powers[&a].scale * self.powers[&b].scale;
                self.check(PowerState { level, scale: product })?;
                PowerState { level: level - 1, scale: product / self.prime(level) }
            };
            self.check(state)?;
            self.powers.insert(i, state);
        }
        Ok(())
    }

    fn check_node(&self, node: &Node, at: PowerState) -> Result<(), PolynomialError> {
        self.check(at)?;
        for (quotient, g) in &node.products {
            self.check_node(quotient, self.quotient(at, *g))?;
        }
        // Coefficients are rounded at this ratio: below 1 nothing is left of them.
        for (i, _) in &node.terms {
            let ratio = at.scale / self.powers[i].scale;
            self.check(PowerState { level: at.level, scale: ratio })?;
        }
        Ok(())
    }

    fn check(&self, at: PowerState) -> Result<(), PolynomialError> {
        let log2_scale = libm::log2(at.scale);
        if log2_scale > 1.0 && log2_scale < self.context.log2_modulus(at.level) - 1.0 {
            Ok(())
        } else {
            Err(PolynomialError::Scale { log2_scale, level: at.level })
        }
    }

    /// The polynomial.
    pub fn polynomial(&self) -> &Polynomial {
        &self.polynomial
    }

    /// Where it stands: its output is [`Polynomial::depth`] levels lower.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Level of the output.
    pub fn output_level(&self) -> usize {
        self.placement.level - self.polynomial.depth()
    }

    /// Products of ciphertexts it takes.
    pub fn products(&self) -> usize {
        self.node.products() + self.powers.len() - 1
    }

    /// The key it needs: none for degree 1.
    pub fn manifest(&self) -> KeyManifest {
        let mut manifest = KeyManifest::new();
        let made = self.powers.keys().filter(|i| **i > 1);
        let levels = made.map(|i| self.powers[&self.polynomial.factors(*i).0].level);
        if let Some(level) = levels.max() {
            manifest.need_relinearization(level);
        }
        manifest
    }

    /// The polynomial of every slot. A ciphertext at a higher level is dropped first.
    ///
    /// # Errors
    /// [`EvaluatorError`]: another scale, a lower level, no key or one that does not reach.
    pub fn apply(
        &self,
        evaluator: &Evaluator,
        input: &Ciphertext,
        key: Option<&RelinKey>,
    ) -> Result<Ciphertext, EvaluatorError> {
        let run = Run { evaluation: self, evaluator, key };
        let input = evaluator.drop_to_level(input, self.placement.level)?;
        let input = evaluator.with_scale(input, self.placement.input_scale)?;
        let powers = run.powers(input)?;
        let sum = run.sum(&self.node, self.top(), &powers)?;
        run.finish(sum, self.placement.output_scale)
    }
}

/// One evaluation under way.
struct Run<'a> {
    evaluation: &'a PolynomialEvaluation,
    evaluator: &'a Evaluator,
    key: Option<&'a RelinKey>,
}

type Powers = BTreeMap<usize, Ciphertext>;

impl Run<'_> {
    fn powers(&self, input: Ciphertext) -> Result<Powers, EvaluatorError> {
        let (evaluator, polynomial) = (self.evaluator, &self.evaluation.polynomial);
        let mut powers = BTreeMap::from([(1, input)]);
        for (i, state) in self.evaluation.powers.iter().skip(1) {
            let (a, b, difference) = polynomial.factors(*i);
            let level = powers[&a].level();
            let mut product = if a == b {
                evaluator.square(&powers[&a])?
            } else {
                evaluator.multiply(&powers[&a], &evaluator.drop_to_level(&powers[&b], level)?)?
            };
            if polynomial.basis() == PolynomialBasis::Chebyshev {
                product = evaluator.add(&product, &product)?;
            }
            match difference {
                None => {}
                Some(0) => product = evaluator.add_scalar(&product, -1.0)?,
                Some(d) => self.add_term(&mut product, &powers[&d], -1.0)?,
            }
            powers.insert(*i, self.finish(product, state.scale)?);
        }
        Ok(powers)
    }

    /// The sum of a node at a level and scale, two or three parts.
    fn sum(&self, node: &Node, at: PowerState, powers: &Powers) -> Result<Ciphertext, EvaluatorError> {
        let evaluator = self.evaluator;
        let mut sum: Option<Ciphertext> = None;
        for (quotient, g) in &node.products {
            let inner = self.sum(quotient, self.evaluation.quotient(at, *g), powers)?;
            let power = evaluator.drop_to_level(&powers[g], at.level)?;
            let inner = self.finish(inner, at.scale / power.scale())?;
            match &mut sum {
                None => sum = Some(evaluator.with_scale(evaluator.multiply(&inner, &power)?, at.scale)?),
                Some(sum) => evaluator.multiply_add_assign(sum, &inner, &power)?,
            }
        }
        for (i, coefficient) in &node.terms {
            match &mut sum {
                None => {
                    let power = evaluator.drop_to_level(&powers[i], at.level)?;
                    let term = evaluator.multiply_scalar(&power, *coefficient, at.scale / power.scale())?;
                    sum = Some(evaluator.with_scale(term, at.scale)?);
                }
                Some(sum) => self.add_term(sum, &powers[i], *coefficient)?,
            }
        }
        // A node has a degree, so it has a term or a product.
        let sum = sum.ok_or(EvaluatorError::NoTerms)?;
        evaluator.add_scalar(&sum, node.constant)
    }

    /// sum += coefficient · power.
    fn add_term(
        &self,
        sum: &mut Ciphertext,
        power: &Ciphertext,
        coefficient: f64,
    ) -> Result<(), EvaluatorError> {
        let power = self.evaluator.drop_to_level(power, sum.level())?;
        let scale = sum.scale() / power.scale();
        self.evaluator.multiply_scalar_add_assign(sum, &power, coefficient, scale)
    }

    /// Two parts, one level lower, at a scale.
    fn finish(&self, sum: Ciphertext, scale: f64) -> Result<Ciphertext, EvaluatorError> {
        let rescaled = if sum.parts().len() == 2 {
            self.evaluator.rescale(&sum)?
        } else {
            let key = self.key.ok_or(EvaluatorError::MissingRelinKey)?;
            self.evaluator.relinearize_rescale(&sum, key)?
        };
        self.evaluator.with_scale(rescaled, scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polynomial::ceil_log2;

    #[test]
    fn powers_lie_as_low_as_their_logarithm() {
        let literal = hei_ckks::ParametersLiteral {
            poly_modulus_degree: 1024,
            coeff_modulus_bits: vec![45, 40, 40, 40, 40, 40, 45],
            special_count: 1,
            scale: 2f64.powi(40),
        };
        let parameters = hei_ckks::insecure_testing::InsecureParameters::new(&literal).unwrap();
        let scale = 2f64.powi(40);
        let placement = Placement { level: 5, input_scale: scale, output_scale: scale };
        for degree in [2, 5, 15, 31] {
            for basis in [PolynomialBasis::Monomial, PolynomialBasis::Chebyshev] {
                let polynomial = Polynomial::new(basis, &vec![1.0; degree + 1]).unwrap();
                let evaluation =
                    PolynomialEvaluation::new(parameters.context(), &polynomial, placement).unwrap();
                for (i, state) in &evaluation.powers {
                    assert_eq!(state.level, 5 - ceil_log2(*i));
                }
            }
        }
    }
}
