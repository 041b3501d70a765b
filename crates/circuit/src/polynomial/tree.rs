//! How a polynomial is taken apart.

use std::collections::BTreeSet;

use super::{Polynomial, ceil_log2};

/// A polynomial as sums over powers that are at hand, and products of smaller polynomials with a power.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// What is added in any case.
    pub(super) constant: f64,
    /// Coefficients of single powers.
    pub(super) terms: Vec<(usize, f64)>,
    /// Quotients with the powers they are multiplied by.
    pub(super) products: Vec<(Node, usize)>,
}

impl Node {
    /// `levels` is what it may take, its own rescaling included; powers below `radix` may be used where they are high enough.
    pub(super) fn build(polynomial: &Polynomial, coefficients: &[f64], radix: usize, levels: usize) -> Self {
        let mut node = Self { constant: 0.0, terms: Vec::new(), products: Vec::new() };
        let mut rest = coefficients.to_vec();
        loop {
            let Some(degree) = rest.iter().rposition(|c| *c != 0.0) else { return node };
            rest.truncate(degree + 1);
            let highest = rest.iter().rposition(|c| *c != 0.0).unwrap_or(0);
            // A power i is ceil(log2 i) levels down; one more goes to its coefficient.
            let reachable = highest == 0 || ceil_log2(highest) < levels;
            if degree < radix.max(2) && reachable {
                node.constant = rest[0];
                node.terms.extend((1..=degree).filter(|i| rest[*i] != 0.0).map(|i| (i, rest[i])));
                return node;
            }
            // The largest power of two up to the degree.
            let g = (degree + 1).next_power_of_two() / 2;
            let (quotient, remainder) = polynomial.split(&rest, g);
            if let [c] = quotient[..] {
                node.terms.push((g, c));
            } else {
                let quotient = Self::build(polynomial, &quotient, radix, levels - 1);
                node.products.push((quotient, g));
            }
            rest = remainder;
        }
    }

    /// Adds the powers it uses.
    pub(super) fn powers(&self, needed: &mut BTreeSet<usize>) {
        needed.extend(self.terms.iter().map(|(i, _)| *i));
        for (quotient, g) in &self.products {
            needed.insert(*g);
            quotient.powers(needed);
        }
    }

    /// Products of ciphertexts, those that make the powers left out.
    pub(super) fn products(&self) -> usize {
        self.products.iter().map(|(quotient, _)| 1 + quotient.products()).sum()
    }
}
