//! Encryption and decryption.

use hei_ring::parallel::{self, Work};
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{Ntt, Poly, Wiped, kernel};

use crate::context::Context;
use crate::keys::{PublicKey, SecretKey, sample_error};
use crate::randomness::{RandomSource, RandomnessError};
use crate::values::{Ciphertext, MaskSeed, Plaintext};

/// Why something could not be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// The value belongs to other parameters than the key.
    #[error("the value and the key are of different parameters")]
    Parameters,
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl SecretKey {
    /// Encrypts under the secret with a seeded mask, at the plaintext's level: c_0 = -(a s + e) + m, c_1 = a.
    ///
    /// Noise: one centered binomial error, standard deviation 3.24 per coefficient. The ciphertext keeps the mask's seed,
    /// so it takes half the bytes on the wire. Cost: one NTT per limb and the expansion of the mask.
    ///
    /// # Errors
    /// [`EncryptionError`].
    pub fn encrypt(
        &self,
        plaintext: &Plaintext,
        randomness: &mut impl RandomSource,
    ) -> Result<Ciphertext, EncryptionError> {
        let seed = MaskSeed(*randomness.key()?);
        let mask = seed.expand(self.context(), plaintext.poly().limbs());
        Ok(self.encrypt_with_mask(plaintext, mask, randomness)?.with_seed(seed))
    }

    /// Like [`encrypt`](Self::encrypt) with a given mask, for formats that expand their own seeds.
    ///
    /// The mask must be uniform and fresh: two ciphertexts with one mask reveal the difference of their messages.
    ///
    /// # Errors
    /// [`EncryptionError`].
    pub fn encrypt_with_mask(
        &self,
        plaintext: &Plaintext,
        mask: Poly<Ntt>,
        randomness: &mut impl RandomSource,
    ) -> Result<Ciphertext, EncryptionError> {
        let (context, limbs) = (self.context(), plaintext.poly().limbs());
        let fits = |p: &Poly<Ntt>| {
            p.degree() == context.degree() && p.limbs() == limbs && limbs <= context.data_count()
        };
        if !fits(&mask) || !fits(plaintext.poly()) {
            return Err(EncryptionError::Parameters);
        }
        let basis = context.basis();
        let error = sample_error(context, randomness)?;
        let mut c0 = Poly::scratch(context.degree(), limbs);
        let words = c0.data().len();
        parallel::each(Work::Transform, words, c0.iter_mut().enumerate(), |(i, limb)| {
            let modulus = basis.modulus(i);
            let (mask, secret, message) = (mask.limb(i), self.ntt().limb(i), plaintext.poly().limb(i));
            basis.table(i).forward_with(
                limb,
                |start, part| kernel::reduce_small(part, &error[start..start + part.len()], modulus),
                |start, part| {
                    let range = start..start + part.len();
                    kernel::mul_add_assign(part, &mask[range.clone()], &secret[range.clone()], modulus);
                    kernel::neg_assign(part, modulus);
                    kernel::add_assign(part, &message[range], modulus);
                },
            );
        });
        Ok(Ciphertext::from_parts(vec![c0, mask], plaintext.scale()))
    }

    /// Decrypts: c_0 + c_1 s (+ c_2 s²).
    ///
    /// Whoever sees the result and the ciphertext can solve for the secret (ia.cr/2020/1533): keep results with the key.
    ///
    /// # Errors
    /// [`EncryptionError::Parameters`] for a ciphertext of other parameters.
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Plaintext, EncryptionError> {
        let context = self.context();
        let first = &ciphertext.parts()[0];
        if first.degree() != context.degree() || first.limbs() > context.data_count() {
            return Err(EncryptionError::Parameters);
        }
        let limbs = first.limbs();
        let basis = context.basis();
        // Horner in s: (c_2 s + c_1) s + c_0.
        let mut parts = ciphertext.parts().iter().rev();
        let mut sum = parts.next().cloned().unwrap_or_else(|| Poly::zero(context.degree(), limbs));
        for part in parts {
            for (i, (limb, secret)) in sum.iter_mut().zip(self.ntt().iter()).enumerate() {
                kernel::mul_assign(limb, secret, basis.modulus(i));
            }
            basis.add_assign(&mut sum, part);
        }
        Ok(Plaintext::from_parts(sum, ciphertext.scale()))
    }
}

impl PublicKey {
    /// Encrypts for the holder of the secret key, at the plaintext's level.
    ///
    /// As SEAL does it: an encryption of zero over the plaintext's primes and a special one, divided by that prime with
    /// rounding, plus the message. Further special primes would make smaller what the rounding hides already. Cost: three NTTs
    /// per limb and for the special prime, and the division.
    ///
    /// # Errors
    /// [`EncryptionError`].
    pub fn encrypt(
        &self,
        plaintext: &Plaintext,
        randomness: &mut impl RandomSource,
    ) -> Result<Ciphertext, EncryptionError> {
        let context = self.context();
        let (degree, limbs) = (context.degree(), plaintext.poly().limbs());
        if plaintext.poly().degree() != degree || limbs > context.data_count() {
            return Err(EncryptionError::Parameters);
        }
        let mut ephemeral = Wiped::any(degree);
        sample::ternary(&mut Stream::new(&*randomness.key()?, Domain::Ephemeral, 0, 0), &mut ephemeral);
        let errors = [sample_error(context, randomness)?, sample_error(context, randomness)?];
        let zero = Zero { context, key: self.parts().into(), ephemeral, errors };

        // Before it is divided, an encryption of zero gives the message away: what of it is not overwritten is wiped.
        let special = (context.special_count() > 0).then_some(context.data_count());
        let mut remainders = [Wiped::any(degree), Wiped::any(degree)];
        if let Some(t) = special {
            let [first, second] = &mut remainders;
            zero.limb(t, &mut Wiped::any(degree), [first, second]);
            let (table, half) = (context.basis().table(t), context.basis().modulus(t).value() >> 1);
            for remainder in &mut remainders {
                let done =
                    |_: usize, part: &mut [u64]| kernel::add_scalar_assign(part, half, table.modulus());
                table.inverse_with(remainder, |_, _| (), done);
            }
        }
        let mut parts = [(); 2].map(|()| Poly::scratch(degree, limbs));
        let [first, second] = &mut parts;
        let pairs = first.iter_mut().zip(second.iter_mut()).enumerate();
        let scratch = || [Wiped::any(degree), Wiped::any(degree)];
        parallel::each_with(Work::Transform, 4 * degree * limbs, pairs, scratch, |scratch, (i, (b, a))| {
            let (table, modulus) = (context.basis().table(i), context.basis().modulus(i));
            let [product, lifted] = scratch;
            zero.limb(i, product, [&mut *b, &mut *a]);
            if let Some(t) = special {
                let half = modulus.reduce(context.basis().modulus(t).value() >> 1);
                let inverse = context.inverse_of(t, i);
                for (limb, remainder) in [&mut *b, a].into_iter().zip(&remainders) {
                    table.forward_with(
                        lifted,
                        |start, part| {
                            let remainder = &remainder[start..start + part.len()];
                            kernel::reduce_shifted(part, remainder, half, modulus);
                        },
                        |start, part| {
                            let limb = &mut limb[start..start + part.len()];
                            kernel::sub_mul_assign(limb, part, inverse, modulus);
                        },
                    );
                }
            }
            kernel::add_assign(b, plaintext.poly().limb(i), modulus);
        });
        Ok(Ciphertext::from_parts(parts.into(), plaintext.scale()))
    }
}

/// An encryption of zero under a public key, limb by limb.
struct Zero<'a> {
    context: &'a Context,
    key: [&'a Poly<Ntt>; 2],
    ephemeral: Wiped<i8>,
    errors: [Wiped<i8>; 2],
}

impl Zero<'_> {
    /// Both parts modulo prime t: key times ephemeral secret, plus an error. `transformed` is room for the ephemeral secret.
    fn limb(&self, t: usize, transformed: &mut [u64], out: [&mut [u64]; 2]) {
        let (table, modulus) = (self.context.basis().table(t), self.context.basis().modulus(t));
        let small = |numbers: &[i8], start: usize, part: &mut [u64]| {
            kernel::reduce_small(part, &numbers[start..start + part.len()], modulus);
        };
        table.forward_with(transformed, |start, part| small(&self.ephemeral, start, part), |_, _| ());
        for ((out, key), error) in out.into_iter().zip(self.key).zip(&self.errors) {
            table.forward_with(
                out,
                |start, part| small(error, start, part),
                |start, part| {
                    let range = start..start + part.len();
                    let ephemeral = &transformed[range.clone()];
                    kernel::mul_add_assign(part, &key.limb(t)[range], ephemeral, modulus);
                },
            );
        }
    }
}
