//! Polynomials of an encrypted number, in the monomial or the Chebyshev basis (M. Paterson and L. Stockmeyer, 1973; for
//! Chebyshev J.-P. Bossuat et al., ia.cr/2020/1203).
//!
//! Depth is ceil(log2(degree + 1)). Scales are errorless: each coefficient is encoded at the scale that makes its term land on
//! one common scale, and the result on the scale asked for. Products are summed before they are relinearized, and
//! relinearized and rescaled by one division.

mod evaluate;
mod noise;
mod tree;

use std::collections::BTreeSet;

pub use evaluate::PolynomialEvaluation;
use tree::Node;

/// What the coefficients of a polynomial belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolynomialBasis {
    /// Powers x^i.
    Monomial,
    /// Chebyshev polynomials of the first kind, T_i(x), for x in [-1, 1].
    Chebyshev,
}

/// Why a polynomial cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolynomialError {
    /// NaN or an infinity.
    #[error("coefficient {0} is not a finite number")]
    NotFinite(usize),
    /// The value of a constant does not depend on the input.
    #[error("a polynomial of degree 0: the answer would not depend on the input")]
    Constant,
    /// Beyond what has been tested.
    #[error("degree {0} is above {max}", max = Polynomial::MAX_DEGREE)]
    Degree(usize),
    /// An interval needs two ends.
    #[error("the interval from {0} to {1} is empty or not finite")]
    Interval(f64, f64),
    /// Fewer levels than the depth.
    #[error("a polynomial of degree {degree} takes {depth} levels, there are {level}")]
    Depth {
        /// The degree.
        degree: usize,
        /// Levels it takes.
        depth: usize,
        /// Levels there are.
        level: usize,
    },
    /// A power or term does not fit the modulus at its level.
    #[error(
        "scale 2^{log2_scale:.1} at level {level} does not fit: take primes of about the size of the scale"
    )]
    Scale {
        /// log2 of the scale.
        log2_scale: f64,
        /// The level.
        level: usize,
    },
}

/// A real polynomial of degree 1 to [`MAX_DEGREE`](Self::MAX_DEGREE).
#[derive(Debug, Clone, PartialEq)]
pub struct Polynomial {
    basis: PolynomialBasis,
    coefficients: Vec<f64>,
}

impl Polynomial {
    /// The highest degree.
    pub const MAX_DEGREE: usize = 2047;

    /// A polynomial from its coefficients, constant first. Coefficients below 2^-52 of the largest count as zero, so that an
    /// odd or even function is recognized.
    ///
    /// # Errors
    /// [`PolynomialError`].
    pub fn new(basis: PolynomialBasis, coefficients: &[f64]) -> Result<Self, PolynomialError> {
        if let Some(i) = coefficients.iter().position(|c| !c.is_finite()) {
            return Err(PolynomialError::NotFinite(i));
        }
        let floor = coefficients.iter().fold(0.0f64, |max, c| max.max(c.abs())) * f64::EPSILON;
        let kept = coefficients.iter().rposition(|c| c.abs() > floor).map_or(0, |last| last + 1);
        let coefficients: Vec<f64> =
            coefficients[..kept].iter().map(|c| if c.abs() > floor { *c } else { 0.0 }).collect();
        match coefficients.len() {
            0 | 1 => Err(PolynomialError::Constant),
            length if length > Self::MAX_DEGREE + 1 => Err(PolynomialError::Degree(length - 1)),
            _ => Ok(Self { basis, coefficients }),
        }
    }

    /// The Chebyshev interpolation of a function on [low, high], as a polynomial of t = (2x - low - high)/(high - low), which
    /// runs over [-1, 1]. Whoever computes x can fold that map into its last linear step.
    ///
    /// # Errors
    /// [`PolynomialError`].
    pub fn chebyshev_interpolation(
        function: impl Fn(f64) -> f64,
        (low, high): (f64, f64),
        degree: usize,
    ) -> Result<Self, PolynomialError> {
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(PolynomialError::Interval(low, high));
        }
        if degree > Self::MAX_DEGREE {
            return Err(PolynomialError::Degree(degree));
        }
        let count = degree + 1;
        let angle = |k: usize| core::f64::consts::PI * (k as f64 + 0.5) / count as f64;
        let values: Vec<f64> =
            (0..count).map(|k| function(low + (high - low) * (libm::cos(angle(k)) + 1.0) / 2.0)).collect();
        let coefficients: Vec<f64> = (0..count)
            .map(|j| {
                let sum: f64 =
                    values.iter().enumerate().map(|(k, v)| v * libm::cos(j as f64 * angle(k))).sum();
                sum * if j == 0 { 1.0 } else { 2.0 } / count as f64
            })
            .collect();
        // What rounding left where a symmetric function has nothing.
        let largest = values.iter().fold(0.0f64, |max, v| max.max(v.abs()));
        let floor = largest * 4.0 * f64::EPSILON * (count as f64).sqrt();
        let coefficients: Vec<f64> =
            coefficients.into_iter().map(|c| if c.abs() > floor { c } else { 0.0 }).collect();
        Self::new(PolynomialBasis::Chebyshev, &coefficients)
    }

    /// The basis.
    pub fn basis(&self) -> PolynomialBasis {
        self.basis
    }

    /// The coefficients, constant first.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The degree.
    pub fn degree(&self) -> usize {
        self.coefficients.len() - 1
    }

    /// Levels an evaluation takes: ceil(log2(degree + 1)).
    pub fn depth(&self) -> usize {
        ceil_log2(self.degree() + 1)
    }

    /// The cleartext twin (Horner's and Clenshaw's recurrences).
    pub fn evaluate(&self, x: f64) -> f64 {
        match self.basis {
            PolynomialBasis::Monomial => self.coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c),
            PolynomialBasis::Chebyshev => {
                let (mut next, mut after) = (0.0, 0.0);
                for c in self.coefficients[1..].iter().rev() {
                    (next, after) = (2.0 * x * next - after + c, next);
                }
                x * next - after + self.coefficients[0]
            }
        }
    }

    /// Coefficients of quotient and remainder by the power g, a power of two with g <= degree < 2g.
    fn split(&self, coefficients: &[f64], g: usize) -> (Vec<f64>, Vec<f64>) {
        let mut remainder = coefficients[..g].to_vec();
        let mut quotient = coefficients[g..].to_vec();
        if self.basis == PolynomialBasis::Chebyshev {
            // T_(g+t) = 2 T_g T_t - T_(g-t).
            for (t, q) in quotient.iter_mut().enumerate().skip(1) {
                remainder[g - t] -= *q;
                *q *= 2.0;
            }
        }
        (quotient, remainder)
    }

    /// The power that two smaller ones make: i = a + b, a a power of two; for Chebyshev also the one to subtract, a - b.
    fn factors(&self, i: usize) -> (usize, usize, Option<usize>) {
        let a = i.next_power_of_two() / 2;
        let b = i - a;
        (a, b, (self.basis == PolynomialBasis::Chebyshev).then(|| a - b))
    }

    /// With all powers they are made of, ascending.
    fn closure(&self, mut needed: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut closed = BTreeSet::new();
        while let Some(i) = needed.pop_last() {
            closed.insert(i);
            if i > 1 {
                let (a, b, difference) = self.factors(i);
                needed.extend([a, b].into_iter().chain(difference.filter(|d| *d > 0)));
            }
        }
        closed
    }

    /// The cheapest evaluation: over all numbers of small powers, the one with the fewest products.
    fn plan(&self) -> (Node, BTreeSet<usize>) {
        let plans = (1..=self.depth()).map(|log| {
            let node = Node::build(self, &self.coefficients, 1 << log, self.depth());
            let mut needed = BTreeSet::from([1]);
            node.powers(&mut needed);
            let powers = self.closure(needed);
            (node.products() + powers.len(), node, powers)
        });
        let (_, node, powers) = plans.min_by_key(|(cost, ..)| *cost).expect("a depth of at least one");
        (node, powers)
    }
}

/// ceil(log2 x), for x >= 1.
fn ceil_log2(x: usize) -> usize {
    x.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_reproduces_smooth_functions_and_symmetry() {
        let sine = Polynomial::chebyshev_interpolation(f64::sin, (-3.0, 3.0), 21).unwrap();
        assert!(sine.coefficients().iter().step_by(2).all(|c| *c == 0.0), "sine is odd");
        for k in -10..=10 {
            let t = f64::from(k) / 10.0;
            assert!((sine.evaluate(t) - (3.0 * t).sin()).abs() < 1e-12);
        }
        let shifted = Polynomial::chebyshev_interpolation(|x| x * x, (1.0, 5.0), 4).unwrap();
        assert_eq!(shifted.degree(), 2);
        assert!((shifted.evaluate(-1.0) - 1.0).abs() < 1e-12 && (shifted.evaluate(0.0) - 9.0).abs() < 1e-12);
        assert_eq!(
            Polynomial::chebyshev_interpolation(f64::exp, (1.0, 1.0), 3),
            Err(PolynomialError::Interval(1.0, 1.0))
        );
    }

    #[test]
    fn depth_is_the_logarithm_of_the_degree_plus_one() {
        for (degree, depth) in [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (15, 4), (31, 5), (119, 7)] {
            let polynomial = Polynomial::new(PolynomialBasis::Monomial, &vec![1.0; degree + 1]).unwrap();
            assert_eq!(polynomial.depth(), depth);
        }
    }

    #[test]
    fn odd_polynomials_take_fewer_products() {
        let products = |coefficients: &[f64]| {
            let polynomial = Polynomial::new(PolynomialBasis::Chebyshev, coefficients).unwrap();
            let (node, powers) = polynomial.plan();
            node.products() + powers.len() - 1
        };
        let all: Vec<f64> = (0..32).map(|i| 1.0 / f64::from(i + 1)).collect();
        let odd: Vec<f64> = all.iter().enumerate().map(|(i, c)| if i % 2 == 1 { *c } else { 0.0 }).collect();
        assert_eq!((products(&odd), products(&all)), (12, 13));
        assert_eq!(products(&[0.0, 0.0, 1.0]), 1);
        assert_eq!(products(&[1.0, 1.0]), 0);
    }

    #[test]
    fn what_is_no_polynomial_is_refused() {
        let new = |c: &[f64]| Polynomial::new(PolynomialBasis::Monomial, c).err();
        assert_eq!(new(&[1.0, f64::NAN]), Some(PolynomialError::NotFinite(1)));
        assert_eq!(new(&[]), Some(PolynomialError::Constant));
        assert_eq!(new(&[3.0, 0.0, 1e-30]), Some(PolynomialError::Constant));
        assert_eq!(new(&vec![1.0; 3000]), Some(PolynomialError::Degree(2999)));
    }
}
