//! What was chosen, and what it costs, for people and for tools.

use crate::facts;
use crate::model::Model;
use core::fmt;
use hei_circuit::{Cost, ErrorBound, Layout, Plan};
use hei_ckks::{ParamsId, SecurityReport};
use hei_protocol::manifest::Manifest;

/// The report of one compilation. Its `Display` is a short text.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileReport {
    /// The model.
    pub model_id: String,
    /// Its version.
    pub version: String,
    /// Features of a row.
    pub input_dimension: usize,
    /// Largest absolute error allowed, in the model's value.
    pub tolerance: f64,
    /// One report for each layout.
    pub layouts: Vec<LayoutReport>,
}

/// The report of one layout.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutReport {
    /// Where the features sit.
    pub layout: Layout,
    /// N.
    pub degree: usize,
    /// Data primes.
    pub moduli: Vec<u64>,
    /// Special primes.
    pub special_moduli: Vec<u64>,
    /// Identity of the parameter set.
    pub params_id: ParamsId,
    /// What the security table says of it.
    pub security: SecurityReport,
    /// Scale of an encrypted feature.
    pub scale: f64,
    /// Scale at which the weights are rounded.
    pub weight_scale: f64,
    /// Scale of the answer.
    pub output_scale: f64,
    /// k when the answer travels modulo 2^k.
    pub reply_modulus_bits: Option<u32>,
    /// Rows of the largest request.
    pub max_batch: usize,
    /// Octets of the `hei/1` containers of a request with one row, headers included.
    pub request_bytes: u64,
    /// Octets of its reply.
    pub reply_bytes: u64,
    /// The same for the largest batch.
    pub max_request_bytes: u64,
    /// The same for the largest batch.
    pub max_reply_bytes: u64,
    /// What the server computes for one row.
    pub cost: Cost,
    /// Where the error of the decrypted number comes from.
    pub error_bound: ErrorBound,
    /// Largest error of the model's value.
    pub expected_error: f64,
}

impl CompileReport {
    pub(crate) fn new(manifest: &Manifest, plans: &[Plan], model: &Model) -> Self {
        Self {
            model_id: manifest.entry.model_id.to_string(),
            version: manifest.entry.version.to_string(),
            input_dimension: model.weights.len(),
            tolerance: model.tolerance,
            layouts: plans.iter().map(|plan| LayoutReport::new(plan, model)).collect(),
        }
    }
}

impl LayoutReport {
    fn new(plan: &Plan, model: &Model) -> Self {
        let literal = plan.literal();
        let (request_bytes, reply_bytes) = facts::container_bytes(literal, 1);
        let (max_request_bytes, max_reply_bytes) = facts::container_bytes(literal, plan.max_batch());
        Self {
            layout: plan.layout(),
            degree: literal.degree,
            moduli: literal.moduli.clone(),
            special_moduli: literal.special_moduli.clone(),
            params_id: plan.parameters().context().params_id(),
            security: plan.parameters().security(),
            scale: literal.scale,
            weight_scale: plan.weight_scale(),
            output_scale: plan.output().scale,
            reply_modulus_bits: plan.output().reply_modulus_bits,
            max_batch: plan.max_batch(),
            request_bytes,
            reply_bytes,
            max_request_bytes,
            max_reply_bytes,
            cost: plan.cost(1),
            error_bound: plan.error_bound(&model.ranges),
            expected_error: facts::expected_error(model, plan),
        }
    }

    /// Bit sizes of all primes, data then special.
    pub fn chain_bits(&self) -> Vec<u32> {
        self.moduli.iter().chain(&self.special_moduli).map(|q| q.ilog2() + 1).collect()
    }
}

impl fmt::Display for CompileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {}, {} features, tolerance {:.1e}",
            self.model_id, self.version, self.input_dimension, self.tolerance
        )?;
        self.layouts.iter().try_for_each(|layout| write!(f, "{layout}"))
    }
}

impl fmt::Display for LayoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let security = &self.security;
        writeln!(f, "  {}", self.layout)?;
        writeln!(
            f,
            "    parameters  N = {}, primes of {:?} bits, log2 QP = {:.2} of {} allowed: {} bits classical",
            self.degree,
            self.chain_bits(),
            security.log2_qp,
            security.limit_128,
            security.bits
        )?;
        write!(
            f,
            "    scales      input 2^{:.2}, weights {}, answer 2^{:.2}",
            self.scale.log2(),
            Scale(self.weight_scale),
            self.output_scale.log2()
        )?;
        match self.reply_modulus_bits {
            Some(bits) => writeln!(f, " modulo 2^{bits}")?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "    bytes       {} up, {} down for one row; {} up, {} down for {} rows",
            self.request_bytes,
            self.reply_bytes,
            self.max_request_bytes,
            self.max_reply_bytes,
            self.max_batch
        )?;
        writeln!(
            f,
            "    error       at most {:.1e} on the model's value; {:.1} bits of room before a value wraps around",
            self.expected_error, self.error_bound.headroom_bits
        )?;
        writeln!(f, "    cost        {} transforms, {} products", self.cost.transforms, self.cost.products)
    }
}

/// An integer as it is when it is short, else as a power of two.
struct Scale(f64);

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1e6 && self.0.fract() == 0.0 {
            write!(f, "{}", self.0)
        } else {
            write!(f, "2^{:.2}", self.0.log2())
        }
    }
}
