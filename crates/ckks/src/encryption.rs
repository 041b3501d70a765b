//! Encryption and decryption.

use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{Ntt, Poly};
use zeroize::Zeroizing;

use crate::keys::{PublicKey, SecretKey, sample_error};
use crate::keyswitch::divide_by_special;
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
        let mut c0 = mask.clone();
        for (i, (limb, secret)) in c0.iter_mut().zip(self.ntt().iter()).enumerate() {
            hei_ring::kernel::mul_assign(limb, secret, basis.modulus(i));
        }
        let error = Zeroizing::new(basis.forward(sample_error(context, limbs, randomness)?));
        basis.add_assign(&mut c0, &error);
        basis.neg_assign(&mut c0);
        basis.add_assign(&mut c0, plaintext.poly());
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
                hei_ring::kernel::mul_assign(limb, secret, basis.modulus(i));
            }
            basis.add_assign(&mut sum, part);
        }
        Ok(Plaintext::from_parts(sum, ciphertext.scale()))
    }
}

impl PublicKey {
    /// Encrypts for the holder of the secret key, at the plaintext's level.
    ///
    /// As SEAL does it: an encryption of zero over the plaintext's and the special primes, divided by the special primes
    /// with rounding, plus the message. Cost: three NTTs per limb and prime, and the division.
    ///
    /// # Errors
    /// [`EncryptionError`].
    pub fn encrypt(
        &self,
        plaintext: &Plaintext,
        randomness: &mut impl RandomSource,
    ) -> Result<Ciphertext, EncryptionError> {
        let context = self.context();
        let limbs = plaintext.poly().limbs();
        if plaintext.poly().degree() != context.degree() || limbs > context.data_count() {
            return Err(EncryptionError::Parameters);
        }
        let basis = context.basis();
        let mut ephemeral = Zeroizing::new(vec![0i8; context.degree()]);
        sample::ternary(&mut Stream::new(&*randomness.key()?, Domain::Ephemeral, 0, 0), &mut ephemeral);
        let ephemeral = Zeroizing::new(basis.forward(basis.from_small(&ephemeral, basis.len())));
        // Only the plaintext's limbs and the special ones are needed.
        let indices: Vec<usize> = (0..limbs).chain(context.data_count()..basis.len()).collect();
        let (b, a) = self.parts();
        let mut parts = Vec::with_capacity(2);
        for part in [b, a] {
            // Before it is divided, an encryption of zero gives the message away: it is made where it is wiped.
            let mut zero = Zeroizing::new(basis.forward(sample_error(context, basis.len(), randomness)?));
            let mut data = Vec::with_capacity(indices.len() * context.degree());
            for &i in &indices {
                let limb = zero.limb_mut(i);
                hei_ring::kernel::mul_add_assign(limb, part.limb(i), ephemeral.limb(i), basis.modulus(i));
                data.extend_from_slice(limb);
            }
            let poly = Poly::from_data(context.degree(), data).ok_or(EncryptionError::Parameters)?;
            parts.push(divide_by_special(context, poly, limbs));
        }
        basis.add_assign(&mut parts[0], plaintext.poly());
        Ok(Ciphertext::from_parts(parts, plaintext.scale()))
    }
}
