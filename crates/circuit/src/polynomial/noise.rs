//! What the noise of an input becomes.

use std::collections::BTreeMap;

use hei_ckks::noise::Noise;

use super::evaluate::PowerState;
use super::{Node, PolynomialBasis, PolynomialEvaluation};

/// Noise and the largest size of the number it is with.
type Estimate = (Noise, f64);

impl PolynomialEvaluation {
    /// Noise of the output for an input of this noise, with numbers of size up to `bound` in its slots (1 for Chebyshev).
    ///
    /// The same noise reaches the result on many ways, so noises are added as if they were dependent.
    pub fn noise(&self, input: Noise, bound: f64) -> Noise {
        let mut powers = BTreeMap::from([(1, (input, bound))]);
        for (i, state) in self.powers.iter().skip(1) {
            let (a, b, difference) = self.polynomial.factors(*i);
            let (left, right) = (self.powers[&a], self.powers[&b]);
            let at = PowerState { level: left.level, scale: left.scale * right.scale };
            let mut noise = product(powers[&a], left.scale, powers[&b], right.scale);
            let mut size = powers[&a].1 * powers[&b].1;
            if self.polynomial.basis() == PolynomialBasis::Chebyshev {
                (noise, size) = (noise.times(2.0), 1.0);
            }
            if let Some(d) = difference.filter(|d| *d > 0) {
                noise = noise.plus_dependent(self.term(&powers, at, d, 1.0));
            }
            let noise = self.finished(noise, at.level, true);
            powers.insert(*i, (noise, size));
            debug_assert_eq!(state.level + 1, at.level);
        }
        let (noise, _) = self.sum(&self.node, self.top(), &powers);
        self.finished(noise, self.top().level, !self.node.products.is_empty())
    }

    fn sum(&self, node: &Node, at: PowerState, powers: &BTreeMap<usize, Estimate>) -> Estimate {
        let mut noise = Noise::constant(self.context.degree(), 0.5);
        let mut size = node.constant.abs();
        for (quotient, g) in &node.products {
            let below = self.quotient(at, *g);
            let (inner, inner_size) = self.sum(quotient, below, powers);
            let inner = self.finished(inner, below.level, !quotient.products.is_empty());
            let power_scale = self.powers[g].scale;
            noise = noise.plus_dependent(product(
                (inner, inner_size),
                at.scale / power_scale,
                powers[g],
                power_scale,
            ));
            size += inner_size * powers[g].1;
        }
        for (i, coefficient) in &node.terms {
            noise = noise.plus_dependent(self.term(powers, at, *i, coefficient.abs()));
            size += coefficient.abs() * powers[i].1;
        }
        (noise, size)
    }

    /// A power times a coefficient that is rounded at the ratio of the scales.
    fn term(&self, powers: &BTreeMap<usize, Estimate>, at: PowerState, i: usize, coefficient: f64) -> Noise {
        let (noise, size) = powers[&i];
        let scale = self.powers[&i].scale;
        noise
            .times(coefficient * at.scale / scale)
            .plus_dependent(Noise::constant(self.context.degree(), 0.5 * size * scale))
    }

    /// After the rescaling that leaves `level`, and the key switch of a product.
    fn finished(&self, noise: Noise, level: usize, product: bool) -> Noise {
        let switch = if product { Noise::key_switch_sum_at(&self.context, level) } else { Noise::default() };
        noise.plus(switch).rescale(self.context.degree(), self.context.basis().modulus(level).value())
    }
}

fn product(left: Estimate, left_scale: f64, right: Estimate, right_scale: f64) -> Noise {
    left.0.times(right.1 * right_scale).plus_dependent(right.0.times(left.1 * left_scale))
}
