//! What one evaluation costs: transforms, products and bytes.

use crate::{Layout, Plan, PlanLiteral, Step};

/// Bytes of the seed that stands for a mask.
const SEED_BYTES: u64 = 32;

/// The cost of one request, for a given number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Number-theoretic transforms of one limb, forward or inverse, on the server.
    pub transforms: u64,
    /// Products of a residue with a prepared residue, on the server.
    pub products: u64,
    /// Packed residues and seeds of the inputs; headers are not counted.
    pub request_bytes: u64,
    /// Packed residues of the answer; headers are not counted.
    pub reply_bytes: u64,
}

impl Plan {
    /// The cost of evaluating `batch` rows.
    pub fn cost(&self, batch: usize) -> Cost {
        self.literal().cost(batch)
    }
}

impl PlanLiteral {
    /// [`Plan::cost`] without building the parameter set. Steps that the type check would refuse count as nothing.
    pub fn cost(&self, batch: usize) -> Cost {
        let degree = self.degree as u64;
        let dimension = self.weights.len() as u64;
        let bits: Vec<u64> = self.moduli.iter().map(|q| u64::from(q.ilog2() + 1)).collect();
        let top = bits.len().saturating_sub(1);
        let mut cost = Cost::default();
        let mut level = top;
        let mut reply_bits = None;
        for step in &self.steps {
            let limbs = level as u64 + 1;
            match step {
                Step::MultiplyAccumulate { .. } => cost.products += 2 * dimension * limbs * degree,
                Step::Rescale => {
                    cost.transforms += 2 * limbs;
                    cost.products += 2 * (limbs - 1) * degree;
                    level = level.saturating_sub(1);
                }
                Step::MultiplyReversed { .. } => {
                    cost.transforms += 2;
                    cost.products += degree + dimension * batch as u64;
                }
                Step::SwitchModulus { bits } => {
                    cost.products += degree + batch as u64;
                    reply_bits = Some(u64::from(*bits));
                }
                Step::DropToLevel { level: to } => level = *to,
                Step::AddConstant => {}
            }
        }
        let packed = |count: u64, bits: u64| (count * bits).div_ceil(8);
        match self.layout {
            Layout::FeatureColumns => {
                let part =
                    |level: usize| bits.iter().take(level + 1).map(|b| packed(degree, *b)).sum::<u64>();
                cost.request_bytes = dimension * (part(top) + SEED_BYTES);
                cost.reply_bytes = 2 * part(level);
            }
            Layout::Coefficients => {
                let prime_bits = bits.first().copied().unwrap_or(0);
                let reply_bits = reply_bits.unwrap_or(prime_bits);
                cost.request_bytes = packed(dimension * batch as u64, prime_bits) + SEED_BYTES;
                cost.reply_bytes = packed(degree, reply_bits) + packed(batch as u64, reply_bits);
            }
        }
        cost
    }

    /// Level of the answer.
    pub fn output_level(&self) -> usize {
        self.steps.iter().fold(self.moduli.len().saturating_sub(1), |level, step| match step {
            Step::DropToLevel { level: to } => *to,
            Step::Rescale => level.saturating_sub(1),
            _ => level,
        })
    }
}
