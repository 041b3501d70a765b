//! What some bytes are, without knowing what they should be.

use core::fmt;

use hei_ckks::{KeyManifest, ParamsId};

use crate::Format;
use crate::error::DecodeError;
use crate::hei;
use crate::seal::{self, Compression, Version};
use crate::shape::{Form, Kind};

/// What a container says about itself. Only headers are read: nothing here is verified against parameters, and a seed or
/// a residue is never shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its format.
    pub format: Format,
    /// What it holds: a [`Kind`]'s name, or one of the objects only SEAL has.
    pub kind: &'static str,
    /// Octets in all.
    pub size: u64,
    /// N.
    pub degree: Option<u64>,
    /// Primes its residues are over.
    pub limbs: Option<u64>,
    /// Polynomials of one ciphertext.
    pub parts: Option<u64>,
    /// Ciphertexts in a list.
    pub items: Option<u64>,
    /// Message times scale is what decryption finds.
    pub scale: Option<f64>,
    /// Coefficients or NTT values.
    pub form: Option<Form>,
    /// Whether the mask is given by a seed.
    pub seeded: Option<bool>,
    /// The parameter set: `params_id` of `hei/1`, `parms_id` (one per level) of SEAL.
    pub params_id: Option<ParamsId>,
    /// Bits of each residue, of `hei/1`.
    pub widths: Vec<u8>,
    /// The evaluation keys of `hei/1`.
    pub keys: Option<KeyManifest>,
    /// Coefficients of c_0 that are present, when not all are.
    pub present: Option<u64>,
    /// k when residues are modulo 2^k.
    pub reply_modulus_bits: Option<u32>,
    /// The version of a SEAL stream.
    pub version: Option<Version>,
    /// The compression of a SEAL stream.
    pub compression: Option<Compression>,
    /// The primes of SEAL parameters.
    pub primes: Vec<u64>,
}

impl Description {
    pub(crate) fn new(format: Format, kind: &'static str, size: usize) -> Self {
        Self {
            format,
            kind,
            size: size as u64,
            degree: None,
            limbs: None,
            parts: None,
            items: None,
            scale: None,
            form: None,
            seeded: None,
            params_id: None,
            widths: Vec::new(),
            keys: None,
            present: None,
            reply_modulus_bits: None,
            version: None,
            compression: None,
            primes: Vec::new(),
        }
    }

    /// Whether it is, or by its format may be, a secret key.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::SecretKey.as_str()
    }
}

/// Describes the bytes of a container.
///
/// # Errors
/// [`DecodeError::Invalid`]: in no known format, or malformed as far as headers go.
pub fn inspect(bytes: &[u8]) -> Result<Description, DecodeError> {
    match crate::inputs::recognize(bytes)? {
        Format::Hei => inspect_hei(bytes),
        Format::Seal => seal::inspect(bytes),
    }
}

fn inspect_hei(bytes: &[u8]) -> Result<Description, DecodeError> {
    let header = hei::Header::read(bytes, None)?;
    let present = header
        .ranges
        .iter()
        .map(|[_, _, _, _, count @ .., _, _, _, _]| u64::from(u32::from_le_bytes(*count)));
    Ok(Description {
        degree: Some(u64::from(header.degree)),
        limbs: Some(u64::from(header.limbs)),
        parts: Some(u64::from(header.parts)),
        items: matches!(header.kind, Kind::CiphertextList | Kind::EvaluationKey)
            .then_some(u64::from(header.items)),
        keys: (header.kind == Kind::EvaluationKey).then(|| hei::key_manifest(&header)),
        scale: Some(header.scale),
        form: Some(header.form),
        seeded: Some(header.seeded),
        params_id: Some(ParamsId(header.params_id)),
        widths: header.widths.to_vec(),
        present: (!header.ranges.is_empty()).then(|| present.sum()),
        reply_modulus_bits: (header.reply_modulus_bits > 0).then_some(u32::from(header.reply_modulus_bits)),
        ..Description::new(Format::Hei, header.kind.as_str(), bytes.len())
    })
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<12} {value}");
        line("format", self.format.to_string())?;
        line("kind", self.kind.to_string())?;
        line("size", format!("{} bytes", self.size))?;
        if let Some(version) = self.version {
            line("version", format!("SEAL {}.{}", version.major, version.minor))?;
        }
        if let Some(compression) = self.compression {
            line("compression", format!("{compression:?}").to_lowercase())?;
        }
        if let Some(id) = self.params_id {
            line(if self.format == Format::Hei { "params id" } else { "parms id" }, id.to_string())?;
        }
        if let Some(degree) = self.degree {
            line("degree", degree.to_string())?;
        }
        if let Some(limbs) = self.limbs {
            let widths: Vec<String> = self.widths.iter().map(u8::to_string).collect();
            let widths =
                if widths.is_empty() { String::new() } else { format!(" of {} bits", widths.join(", ")) };
            line("limbs", format!("{limbs}{widths} (level {})", limbs.saturating_sub(1)))?;
        }
        if !self.primes.is_empty() {
            let primes: Vec<String> = self.primes.iter().map(u64::to_string).collect();
            line("primes", primes.join(", "))?;
        }
        if let Some(bits) = self.reply_modulus_bits {
            line("modulus", format!("2^{bits}"))?;
        }
        if let Some(items) = self.items {
            line("items", items.to_string())?;
        }
        if let Some(level) = self.keys.as_ref().and_then(KeyManifest::relinearization) {
            line("relinearize", format!("up to level {level}"))?;
        }
        for (element, level) in self.keys.iter().flat_map(KeyManifest::galois) {
            line("galois", format!("element {}, up to level {level}", element.value()))?;
        }
        if let Some(parts) = self.parts {
            line("parts", parts.to_string())?;
        }
        if let Some(form) = self.form {
            line("form", form.as_str().to_string())?;
        }
        if let Some(present) = self.present {
            line("c0", format!("{present} coefficients present"))?;
        }
        if let Some(scale) = self.scale {
            line("scale", format!("{scale} (2^{:.6})", scale.log2()))?;
        }
        if let Some(seeded) = self.seeded {
            line("mask", if seeded { "seed" } else { "in full" }.to_string())?;
        }
        Ok(())
    }
}
