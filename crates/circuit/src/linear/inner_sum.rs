//! Sums over slots by doubling.

use std::sync::Arc;

use hei_ckks::noise::Noise;
use hei_ckks::{Ciphertext, Context, Evaluator, EvaluatorError, GaloisKeys, KeyManifest};

use super::LinearError;

/// Slot i becomes the sum of slots i, i + stride, …, i + (count - 1) stride, in log2 count rotations.
#[derive(Debug, Clone)]
pub struct InnerSum {
    context: Arc<Context>,
    steps: Vec<i64>,
}

impl InnerSum {
    /// A sum of `count` terms, a power of two, `stride` slots apart.
    ///
    /// # Errors
    /// [`LinearError::InnerSum`] unless count is a power of two and the terms fit the slots.
    pub fn new(context: &Arc<Context>, count: usize, stride: usize) -> Result<Self, LinearError> {
        let slots = context.slots();
        let fits = count.checked_mul(stride).is_some_and(|length| length <= slots);
        if !count.is_power_of_two() || stride == 0 || !fits {
            return Err(LinearError::InnerSum { count, stride, slots });
        }
        let steps = (0..count.trailing_zeros()).map(|i| (stride << i) as i64).collect();
        Ok(Self { context: Arc::clone(context), steps })
    }

    /// Its rotations.
    pub fn steps(&self) -> &[i64] {
        &self.steps
    }

    /// The keys it needs for ciphertexts at a level.
    pub fn manifest(&self, level: usize) -> KeyManifest {
        let mut manifest = KeyManifest::new();
        for step in &self.steps {
            manifest.need_rotation(&self.context, *step, level);
        }
        manifest
    }

    /// The sums.
    ///
    /// # Errors
    /// [`EvaluatorError`]. Cost: a key switch for each doubling.
    pub fn apply(
        &self,
        evaluator: &Evaluator,
        input: &Ciphertext,
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, EvaluatorError> {
        let mut sum = input.clone();
        for step in &self.steps {
            let moved = evaluator.rotate(&sum, *step, keys)?;
            evaluator.add_assign(&mut sum, &moved)?;
        }
        Ok(sum)
    }

    /// Noise of the sums of a ciphertext at a level. The noises of two slots count as independent.
    pub fn noise(&self, input: Noise, level: usize) -> Noise {
        let switch = Noise::key_switch_at(&self.context, level);
        self.steps.iter().fold(input, |noise, _| noise.times(2f64.sqrt()).plus(switch))
    }
}
