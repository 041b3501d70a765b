//! Matrix times encrypted vector: diagonals (S. Halevi and V. Shoup, ia.cr/2014/106), in baby and giant steps over rotations
//! that are decomposed once (ia.cr/2018/244) and divided by P once for each giant step (ia.cr/2020/1203).

mod diagonals;
mod inner_sum;
mod split;

use std::collections::BTreeMap;
use std::sync::Arc;

use hei_ckks::noise::Noise;
use hei_ckks::{
    Ciphertext, Complex, Context, EncodeError, Encoder, Evaluator, EvaluatorError, ExtendedPlaintext,
    GaloisKeys, KeyManifest,
};

pub use diagonals::Diagonals;
pub use inner_sum::InnerSum;
pub use split::Split;

/// Why a linear transform could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinearError {
    /// The matrix must fit the slots.
    #[error(
        "a matrix of period {period} does not fit {slots} slots: the period must be a power of two up to them"
    )]
    Period {
        /// What was asked for.
        period: usize,
        /// Slots there are.
        slots: usize,
    },
    /// A row of another length than the first, or no row at all.
    #[error("row {row} has {actual} entries, the matrix has {expected} columns")]
    Row {
        /// Position, from 0.
        row: usize,
        /// Columns of the matrix.
        expected: usize,
        /// Length of the row.
        actual: usize,
    },
    /// A number of terms or a distance that is no power of two, or reaches beyond the slots.
    #[error(
        "{count} terms at distance {stride} are no inner sum over {slots} slots: both must be powers of two"
    )]
    InnerSum {
        /// Terms.
        count: usize,
        /// Distance of two terms.
        stride: usize,
        /// Slots there are.
        slots: usize,
    },
    /// A matrix of zeros would give a ciphertext that hides nothing.
    #[error("all entries of the matrix are zero: the answer would not depend on the input")]
    Zero,
    /// The transform rescales once, so it starts above level 0.
    #[error("a linear transform needs a level to rescale from, and was asked for at level 0")]
    NoLevel,
    /// A diagonal could not be encoded.
    #[error("diagonal: {0}")]
    Encode(#[from] EncodeError),
    /// The scheme refused an operation.
    #[error("evaluation: {0}")]
    Evaluator(#[from] EvaluatorError),
}

/// Where a transform stands: which ciphertexts it takes, and what scale it gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Level of the input; the output is one lower.
    pub level: usize,
    /// Scale of the input.
    pub input_scale: f64,
    /// Scale of the output, hit exactly: the diagonals are encoded at the scale that makes it so.
    pub output_scale: f64,
}

/// A matrix with its diagonals encoded for one level and scale.
///
/// The input vector fills all slots: repeated as often as [`Diagonals::input_period`] goes into them. So does the output.
/// Time and memory access depend on the shape of the matrix and on which of its diagonals are zero, not on the entries.
#[derive(Debug, Clone)]
pub struct LinearTransform {
    context: Arc<Context>,
    placement: Placement,
    split: Split,
    /// Giant step -> (baby step, diagonal moved back by the giant step).
    giants: BTreeMap<i64, Vec<(i64, ExtendedPlaintext)>>,
    fold: Option<InnerSum>,
    facts: Facts,
}

/// What the noise formula asks of the entries.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Facts {
    /// Largest 2-norm of a row, before folding.
    row_norm: f64,
    weight_scale: f64,
    diagonals: usize,
}

impl LinearTransform {
    /// Encodes a matrix.
    ///
    /// # Errors
    /// [`LinearError`]. Cost: an encoding for each diagonal that is not zero.
    pub fn new(
        context: &Arc<Context>,
        matrix: &Diagonals,
        placement: Placement,
    ) -> Result<Self, LinearError> {
        let (slots, level) = (context.slots(), placement.level);
        let period = matrix.period();
        if !period.is_power_of_two() || period > slots {
            return Err(LinearError::Period { period, slots });
        }
        if matrix.is_empty() {
            return Err(LinearError::Zero);
        }
        if level == 0 {
            return Err(LinearError::NoLevel);
        }
        let split = Split::new(period, matrix.indices());
        let last =
            context.data_moduli().nth(level).ok_or(EncodeError::Level { level, max: context.max_level() })?;
        let weight_scale = placement.output_scale / placement.input_scale * last.value() as f64;
        let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
        let mut giants: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for (index, diagonal) in matrix.iter() {
            let (giant, baby) = split.steps(index);
            // Slot i holds the entry for slot i - giant: the giant step moves it back with the products.
            let moved: Vec<Complex> =
                (0..slots as i64).map(|i| diagonal[(i - giant).rem_euclid(period as i64) as usize]).collect();
            let plaintext = if moved.iter().all(|v| v.1 == 0.0) {
                let real: Vec<f64> = moved.iter().map(|v| v.0).collect();
                encoder.encode(&real, level, weight_scale)?
            } else {
                encoder.encode_complex(&moved, level, weight_scale)?
            };
            giants.entry(giant).or_default().push((baby, evaluator.extend_plaintext(&plaintext)?));
        }
        let fold = match matrix.fold() {
            Some((count, stride)) => Some(InnerSum::new(context, count, stride)?),
            None => None,
        };
        let facts = Facts { row_norm: matrix.row_norm(), weight_scale, diagonals: matrix.indices().count() };
        Ok(Self { context: Arc::clone(context), placement, split, giants, fold, facts })
    }

    /// Where it stands.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Level of the output.
    pub fn output_level(&self) -> usize {
        self.placement.level - 1
    }

    /// How the diagonals are divided into steps.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The keys it needs: one for each baby step and giant step at its level, and those of the final sums one level lower.
    pub fn manifest(&self) -> KeyManifest {
        let mut manifest = KeyManifest::new();
        for step in self.split.babies().iter().chain(self.giants.keys()) {
            manifest.need_rotation(&self.context, *step, self.placement.level);
        }
        if let Some(fold) = &self.fold {
            manifest.merge(&fold.manifest(self.output_level()));
        }
        manifest
    }

    /// The product, one level lower and at [`Placement::output_scale`]. A ciphertext at a higher level is dropped first.
    ///
    /// # Errors
    /// [`EvaluatorError`]: another scale, a lower level, a key that is missing. Cost: a decomposition; for each baby step the
    /// products of a key switch; for each giant step a key switch; one division.
    pub fn apply(
        &self,
        evaluator: &Evaluator,
        input: &Ciphertext,
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, EvaluatorError> {
        let input = evaluator.drop_to_level(input, self.placement.level)?;
        let input = evaluator.with_scale(input, self.placement.input_scale)?;
        let hoisted = evaluator.hoist(&input)?;
        let mut rotated = BTreeMap::new();
        for step in self.split.babies() {
            rotated.insert(*step, evaluator.rotate_extended(&hoisted, *step, keys)?);
        }
        let scale = self.placement.input_scale * self.facts.weight_scale;
        let mut sum = evaluator.zero_extended(self.placement.level, scale)?;
        let lists: Vec<Vec<_>> = self
            .giants
            .values()
            .map(|diagonals| diagonals.iter().map(|(baby, diagonal)| (&rotated[baby], diagonal)).collect())
            .collect();
        let inner = evaluator.weighted_sums_extended(&lists)?;
        for (giant, inner) in self.giants.keys().zip(inner) {
            evaluator.rotate_extended_add_assign(&mut sum, inner, *giant, keys)?;
        }
        let product = evaluator.finish_rescaled(sum)?;
        let product = evaluator.with_scale(product, self.placement.output_scale)?;
        match &self.fold {
            Some(fold) => fold.apply(evaluator, &product, keys),
            None => Ok(product),
        }
    }

    /// Noise of the output for inputs of this noise, with numbers of size up to `bound` in their slots.
    pub fn noise(&self, input: Noise, bound: f64) -> Noise {
        let (context, level) = (&self.context, self.placement.level);
        let Facts { row_norm, weight_scale, diagonals } = self.facts;
        let degree = context.degree();
        let last = context.data_moduli().nth(level).map_or(1, |q| q.value());
        // Every baby rotation has the input's noise and that of its own switch, and is multiplied by a diagonal.
        let switch = Noise::key_switch_sum_at(context, level);
        let products = input.plus(switch).times(row_norm * weight_scale);
        // The rounding of each diagonal meets the message.
        let encoding =
            Noise::encoding().times((diagonals as f64).sqrt() * bound * self.placement.input_scale);
        // A giant step rounds its input and switches it.
        let giant = switch.plus(Noise::rounding(degree)).times((self.giants.len() as f64).sqrt());
        let sum = products.plus(encoding).plus(giant).rescale(degree, last);
        self.fold.as_ref().map_or(sum, |fold| fold.noise(sum, self.output_level()))
    }
}
