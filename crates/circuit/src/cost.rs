//! What one evaluation costs: transforms, products and bytes.

use crate::{Layout, Plan, Step};

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
        let degree = self.literal().degree as u64;
        let dimension = self.dimension() as u64;
        let bits: Vec<u64> = self.literal().moduli.iter().map(|q| u64::from(q.ilog2() + 1)).collect();
        let mut cost = Cost::default();
        for (step, before) in self.steps().iter().zip(self.trace()) {
            let limbs = before.level as u64 + 1;
            match step {
                Step::MultiplyAccumulate { .. } => cost.products += 2 * dimension * limbs * degree,
                Step::Rescale => {
                    cost.transforms += 2 * limbs;
                    cost.products += 2 * (limbs - 1) * degree;
                }
                Step::MultiplyReversed { .. } => {
                    cost.transforms += 2;
                    cost.products += degree + dimension * batch as u64;
                }
                Step::SwitchModulus { .. } => cost.products += degree + batch as u64,
                Step::DropToLevel { .. } | Step::AddConstant => {}
            }
        }
        let last = self.last();
        match self.layout() {
            Layout::FeatureColumns => {
                let limb_bytes = |bits: &u64| (degree * bits).div_ceil(8);
                let part = |level: usize| bits.iter().take(level + 1).map(limb_bytes).sum::<u64>();
                cost.request_bytes = dimension * (part(bits.len() - 1) + SEED_BYTES);
                cost.reply_bytes = 2 * part(last.level);
            }
            Layout::Coefficients => {
                let reply_bits = self.output().reply_modulus_bits.map_or(bits[0], u64::from);
                cost.request_bytes = (dimension * batch as u64 * bits[0]).div_ceil(8) + SEED_BYTES;
                cost.reply_bytes =
                    (degree * reply_bits).div_ceil(8) + (batch as u64 * reply_bits).div_ceil(8);
            }
        }
        cost
    }
}
