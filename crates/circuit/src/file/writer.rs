//! Values to bytes. Everything fits: [`ModelFile::new`] and [`Plan`] hold the ceilings.

use super::{MAGIC, ModelFile, VERSION};
use crate::{Layout, Plan, Step};

/// The file without its trailer.
pub(super) fn model(model: &ModelFile) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend([model.plans.len() as u8, 0]);
    out.extend((model.manifest.len() as u32).to_le_bytes());
    out.extend(model.manifest.as_bytes());
    for plan in &model.plans {
        self::plan(&mut out, plan);
    }
    out
}

fn plan(out: &mut Vec<u8>, plan: &Plan) {
    let literal = plan.literal();
    out.push(match literal.layout {
        Layout::FeatureColumns => 0,
        Layout::Coefficients => 1,
    });
    out.push(literal.degree.ilog2() as u8);
    out.extend([literal.moduli.len() as u8, literal.special_moduli.len() as u8]);
    for q in literal.moduli.iter().chain(&literal.special_moduli) {
        out.extend(q.to_le_bytes());
    }
    out.extend(literal.scale.to_le_bytes());
    out.extend((literal.max_batch as u32).to_le_bytes());
    out.extend((literal.weights.len() as u32).to_le_bytes());
    for weight in &literal.weights {
        out.extend(weight.to_le_bytes());
    }
    out.extend(literal.constant.to_le_bytes());
    out.push(literal.steps.len() as u8);
    for step in &literal.steps {
        let (code, operand) = match *step {
            Step::DropToLevel { level } => (1, level as u64),
            Step::MultiplyAccumulate { weight_scale } => (2, weight_scale.to_bits()),
            Step::Rescale => (3, 0),
            Step::AddConstant => (4, 0),
            Step::MultiplyReversed { weight_scale } => (5, weight_scale.to_bits()),
            Step::SwitchModulus { bits } => (6, u64::from(bits)),
        };
        out.push(code);
        out.extend(operand.to_le_bytes());
    }
}
