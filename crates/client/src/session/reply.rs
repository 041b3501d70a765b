//! A reply to scores, or one error.

use hei_circuit::packing;
use hei_ckks::{Ciphertext, Encoder, SecretKey, coefficients};
use hei_protocol::messages::JobResult;
use hei_wire::{Format, Shape, hei, seal};
use zeroize::{Zeroize, Zeroizing};

use super::{Key, Layout, Pending, Scores, Session, SessionError};

impl Session {
    /// The longest reply to a pending request: what a transport should cut at.
    pub fn reply_limit(&self, pending: &Pending) -> u64 {
        self.reply_shape(pending).map_or(0, |shape| shape.max_encoded_len(pending.format))
    }

    /// Whether what a server says of a result is about this request: model, version, parameters, the whole
    /// batch.
    ///
    /// # Errors
    /// [`SessionError::Reply`].
    pub fn check_result(&self, pending: &Pending, result: &JobResult) -> Result<(), SessionError> {
        let batch = pending.batch as u64;
        let diagnostics = result.diagnostics;
        let mine = result.model_id == *self.terms.model_id()
            && result.version == *self.terms.version()
            && result.params_id == self.parameters().context().params_id().to_string()
            && diagnostics.requested_batch_size == batch
            && diagnostics.processed_batch_size == batch
            && !diagnostics.batch_truncated;
        if mine { Ok(()) } else { Err(SessionError::Reply) }
    }

    /// Decrypts the octets of a result.
    ///
    /// Accepted is exactly what the card announced: format, parameters, level, scale, parts, a mask that is
    /// not zero, no seed, nothing trailing; after decryption, every value inside the model's output bound and
    /// nothing where nothing belongs.
    ///
    /// # Errors
    /// [`SessionError::Reply`] for whatever is wrong with the reply.
    pub fn decrypt(&self, pending: Pending, reply: &[u8]) -> Result<Scores, SessionError> {
        let Key::Secret(key) = &pending.key.0 else { return Err(SessionError::NoSecretKey) };
        if hei_wire::detect(reply) != Some(pending.format) {
            return Err(SessionError::Reply);
        }
        let shape = self.reply_shape(&pending).ok_or(SessionError::Reply)?;
        let opened = match self.terms.layout() {
            Layout::FeatureColumns => {
                let ciphertext = match pending.format {
                    Format::Hei => hei::decode_ciphertext(reply, &shape),
                    Format::Seal => seal::decode_ciphertext(reply, &shape),
                };
                self.open_slots(key, &ciphertext.map_err(|_| SessionError::Reply)?, pending.batch)
            }
            Layout::Coefficients => {
                let reply = hei::decode_reply(reply, &shape).map_err(|_| SessionError::Reply)?;
                coefficients::decrypt(key, &reply).ok().map(|values| (values, true))
            }
        };
        let Some((mut values, mut clean)) = opened else { return Err(SessionError::Reply) };
        // Every value is looked at, whatever the first ones are.
        let bound = self.terms.output_bound();
        for value in &mut values {
            // Written so that NaN fails.
            clean &= value.abs() <= bound;
            *value = self.terms.post_process(*value);
        }
        if clean && values.len() == pending.batch {
            return Ok(Scores::new(values));
        }
        values.zeroize();
        Err(SessionError::Reply)
    }

    fn reply_shape(&self, pending: &Pending) -> Option<Shape> {
        let (context, terms) = (self.parameters().context(), &self.terms);
        Some(match terms.reply_modulus_bits() {
            None => Shape::ciphertext(context, terms.output_level(), terms.output_scale()).unseeded(),
            Some(bits) => {
                let ranges =
                    packing::reply_ranges(context.degree(), terms.dimension(), pending.batch).ok()?;
                Shape::coefficient_reply(context, &ranges, bits, terms.output_scale())
            }
        })
    }

    /// The first `batch` slots, and whether the others are what they must be: real, and all the same, since
    /// they all are the model's value of a row of zeros.
    fn open_slots(&self, key: &SecretKey, reply: &Ciphertext, batch: usize) -> Option<(Vec<f64>, bool)> {
        let plaintext = key.decrypt(reply).ok()?;
        let slots = Zeroizing::new(Encoder::new(self.parameters().context()).decode_complex(&plaintext));
        let tolerance = self.terms.expected_error();
        let mut clean = true;
        for (_, imaginary) in slots.iter() {
            clean &= imaginary.abs() <= tolerance;
        }
        let (used, unused) = slots.split_at_checked(batch)?;
        let reference = unused.first().map_or(0.0, |slot| slot.0);
        for (real, _) in unused {
            clean &= (real - reference).abs() <= 2.0 * tolerance;
        }
        Some((used.iter().map(|slot| slot.0).collect(), clean))
    }
}
