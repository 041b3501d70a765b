//! How far a decrypted value can be from the cleartext one.
//!
//! The bounds are the usual high-probability ones: six standard deviations of a Gaussian, and 16 sigma_1 sigma_2 for a
//! product of two (C. Gentry, S. Halevi, N. Smart, ia.cr/2012/099, appendix A.5), which fail with a probability around
//! 2^-50 for slots (they bound the complex modulus) and 2^-28 for a single coefficient. With N the degree, sigma the
//! error's standard deviation, h = 2N/3 the expected weight of a uniform ternary secret and P the special modulus:
//!
//! | term | slots (canonical embedding, ia.cr/2016/421 section 3.5) | coefficients (one LWE sample) |
//! |---|---|---|
//! | fresh, secret key | 6 sigma sqrt(N) | 6 sigma |
//! | fresh, public key | (8 sqrt(2) sigma N + 6 sigma sqrt(N) + 16 sigma sqrt(h N)) / P + R | – |
//! | rounding by rescaling, R | sqrt(N/3) (3 + 8 sqrt(h)) | – |
//! | rounding the message | 6 sqrt(N/12) | 1/2 in the worst case |
//! | switching to 2^k | – | 1/2 + 6 sqrt(h/12) (L. Ducas, D. Micciancio, ia.cr/2014/816, lemma 5) |
//!
//! Noises of different features are independent, so they add as the 2-norm of the weights; rounding the weights is known
//! exactly once the plan is, and multiplies the largest input.

use crate::plan::{Stage, State, check};
use crate::{Layout, Plan, PlanError, PlanLiteral, Step};

/// Standard deviation of the error.
const SIGMA: f64 = hei_ring::sample::ERROR_STD;

/// Where the error of a value can come from, in units of the value that the layout answers with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorBound {
    /// Noise of the fresh ciphertexts. For slots: the larger of secret-key and public-key encryption.
    pub encryption: f64,
    /// Rounding of the inputs to integers at their scale.
    pub encoding: f64,
    /// Rounding of weights and constant to integers at theirs, against the largest inputs.
    pub weights: f64,
    /// Rounding by rescaling, or by switching to the reply modulus.
    pub rounding: f64,
    /// Largest absolute value for inputs within their ranges.
    pub largest_value: f64,
    /// log2 of the room that value and noise leave below half the modulus, where it is scarcest; negative when they can
    /// wrap around.
    pub headroom_bits: f64,
}

impl ErrorBound {
    /// All terms together.
    pub fn total(&self) -> f64 {
        self.encryption + self.encoding + self.weights + self.rounding
    }
}

impl Plan {
    /// The bound for inputs within `ranges`, one (minimum, maximum) for each feature; missing ones count as zero.
    pub fn error_bound(&self, ranges: &[(f64, f64)]) -> ErrorBound {
        Terms::new(self.literal(), self.trace(), ranges).bound()
    }
}

impl PlanLiteral {
    /// [`Plan::error_bound`] without building the parameter set, for a search over many of them.
    ///
    /// # Errors
    /// [`PlanError`] when a step does not follow from the ones before it.
    pub fn error_bound(&self, ranges: &[(f64, f64)]) -> Result<ErrorBound, PlanError> {
        check::bounds(self)?;
        Ok(Terms::new(self, &check::trace(self)?, ranges).bound())
    }
}

/// What the formulas are made of.
struct Terms<'a> {
    literal: &'a PlanLiteral,
    trace: &'a [State],
    /// Largest |x| of any feature.
    largest_input: f64,
    /// Largest |weights · x| and |weights · x + constant| over the box.
    largest_sum: f64,
    largest_value: f64,
    /// Norms of the weights as they are used, and what rounding them costs.
    two_norm: f64,
    one_norm: f64,
    weight_error: f64,
}

impl<'a> Terms<'a> {
    fn new(literal: &'a PlanLiteral, trace: &'a [State], ranges: &[(f64, f64)]) -> Self {
        let weight_scale = literal.steps.iter().find_map(Step::weight_scale).unwrap_or(1.0);
        let mut terms = Self {
            literal,
            trace,
            largest_input: 0.0,
            largest_sum: 0.0,
            largest_value: 0.0,
            two_norm: 0.0,
            one_norm: 0.0,
            weight_error: 0.0,
        };
        let (mut low_end, mut high_end) = (0.0, 0.0);
        let ranges = ranges.iter().copied().chain(core::iter::repeat((0.0, 0.0)));
        for (weight, (low, high)) in literal.weights.iter().zip(ranges) {
            let used = (weight * weight_scale).round() / weight_scale;
            let largest = f64::max(low.abs(), high.abs());
            terms.largest_input = terms.largest_input.max(largest);
            low_end += (weight * low).min(weight * high);
            high_end += (weight * low).max(weight * high);
            terms.two_norm += used * used;
            terms.one_norm += used.abs();
            terms.weight_error += (weight - used).abs() * largest;
        }
        terms.two_norm = terms.two_norm.sqrt();
        terms.largest_sum = f64::max(-low_end, high_end).max(0.0);
        terms.largest_value = (low_end + literal.constant).abs().max((high_end + literal.constant).abs());
        terms
    }

    fn bound(&self) -> ErrorBound {
        let (encryption, encoding, rounding) = match self.literal.layout {
            Layout::FeatureColumns => self.slots(),
            Layout::Coefficients => self.coefficients(),
        };
        // The constant is rounded at the scale of the first state that holds it.
        let added = self.trace.iter().find(|state| state.stage == Stage::Value);
        let weights = self.weight_error + added.map_or(0.0, |state| 0.5 / state.scale);
        let error = encryption + encoding + weights + rounding;
        let headroom_bits = self.headroom(error);
        ErrorBound {
            encryption,
            encoding,
            weights,
            rounding,
            largest_value: self.largest_value,
            headroom_bits,
        }
    }

    /// (encryption, encoding, rounding) for [`Layout::FeatureColumns`].
    fn slots(&self) -> (f64, f64, f64) {
        let (n, weight) = self.ring();
        let rescale = (n / 3.0).sqrt() * (3.0 + 8.0 * weight.sqrt());
        let secret_key = 6.0 * SIGMA * n.sqrt();
        let public_key =
            8.0 * 2f64.sqrt() * SIGMA * n + 6.0 * SIGMA * n.sqrt() + 16.0 * SIGMA * (weight * n).sqrt();
        let public_key = match &self.literal.special_moduli[..] {
            [] => public_key,
            special => public_key / special.iter().map(|p| *p as f64).product::<f64>() + rescale,
        };
        let after = self.literal.steps.iter().zip(&self.trace[1..]);
        let rounding =
            after.filter(|(step, _)| **step == Step::Rescale).map(|(_, after)| rescale / after.scale);
        let each = self.two_norm / self.literal.scale;
        (secret_key.max(public_key) * each, 6.0 * (n / 12.0).sqrt() * each, rounding.sum())
    }

    /// (encryption, encoding, rounding) for [`Layout::Coefficients`].
    fn coefficients(&self) -> (f64, f64, f64) {
        let (_, weight) = self.ring();
        let last = self.trace[self.trace.len() - 1];
        let rounding = (0.5 + 6.0 * (weight / 12.0).sqrt()) / last.scale;
        (6.0 * SIGMA * self.two_norm / self.literal.scale, 0.5 * self.one_norm / self.literal.scale, rounding)
    }

    /// N and the expected weight of the secret.
    fn ring(&self) -> (f64, f64) {
        let n = self.literal.degree as f64;
        (n, 2.0 * n / 3.0)
    }

    /// A wrap-around is harmless until something rounds: before a rescaling or a switch, and at the end.
    fn headroom(&self, error: f64) -> f64 {
        let log2_modulus = |state: &State| check::log2_modulus(&self.literal.moduli, state.level);
        let room = |log2_modulus: f64, largest: f64, scale: f64| {
            log2_modulus - 1.0 - libm::log2((largest + error).max(f64::MIN_POSITIVE) * scale)
        };
        let largest = |state: &State| match state.stage {
            Stage::Inputs => self.largest_input,
            Stage::Sum => self.largest_sum,
            Stage::Value | Stage::Reply => self.largest_value,
        };
        let mut rooms =
            vec![room(log2_modulus(&self.trace[0]), largest(&self.trace[0]), self.trace[0].scale)];
        for (step, pair) in self.literal.steps.iter().zip(self.trace.windows(2)) {
            let (before, after) = (&pair[0], &pair[1]);
            match step {
                Step::Rescale => rooms.push(room(log2_modulus(before), largest(before), before.scale)),
                Step::SwitchModulus { bits } => {
                    rooms.push(room(log2_modulus(before), largest(before), before.scale));
                    rooms.push(room(f64::from(*bits), largest(after), after.scale));
                }
                _ => {}
            }
        }
        let last = &self.trace[self.trace.len() - 1];
        if last.stage == Stage::Value {
            rooms.push(room(log2_modulus(last), largest(last), last.scale));
        }
        rooms.into_iter().fold(f64::INFINITY, f64::min)
    }
}
