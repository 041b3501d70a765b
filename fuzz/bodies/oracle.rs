//! Who may be accepted, decided a second time: from the text of `spec/wire.md`, bit by bit, without the library's readers.

use std::sync::Arc;

use hei_ckks::{Context, KeyManifest};

/// A kind of container with the one shape that is accepted.
pub(crate) enum Wanted<'a> {
    /// A ciphertext of two polynomials over the first `limbs` data primes.
    Ciphertext { limbs: usize, scale: f64 },
    /// The evaluation keys of a manifest.
    Keys(&'a KeyManifest),
}

/// Whether the bytes are a valid container of the one shape.
pub(crate) fn accepts(bytes: &[u8], context: &Arc<Context>, wanted: &Wanted<'_>) -> bool {
    [false, true].into_iter().any(|seeded| {
        let header = header(context, wanted, seeded);
        let body = body(context, wanted, seeded);
        let length: usize = body.iter().map(Section::octets).sum();
        // The header is one string of octets; a seed in it may be any 32 octets.
        let seeds = if seeded && matches!(wanted, Wanted::Ciphertext { .. }) { 32 } else { 0 };
        let Some((start, rest)) = bytes.split_at_checked(header.len()) else { return false };
        if start[..64] != header[..64]
            || start[64..72] != (length as u64).to_le_bytes()
            || start[72..] != header[72..]
            || rest.len() != seeds + length
        {
            return false;
        }
        let mut at = seeds;
        body.iter().all(|section| {
            let octets = &rest[at..at + section.octets()];
            at += section.octets();
            section.accepts(octets, context.degree())
        })
    })
}

/// A part of a body.
enum Section {
    /// One packed limb: bits, prime, and whether it belongs to a mask.
    Limb(u32, u64, bool, usize),
    Seed,
}

impl Section {
    fn octets(&self) -> usize {
        match self {
            Self::Limb(width, _, _, degree) => (*width as usize * degree).div_ceil(8),
            Self::Seed => 32,
        }
    }

    fn accepts(&self, octets: &[u8], degree: usize) -> bool {
        let Self::Limb(width, prime, mask, _) = self else { return true };
        let bit = |i: usize| octets[i / 8] >> (i % 8) & 1;
        let mut different_from_zero = 0;
        for i in 0..degree {
            let word = (0..*width as usize)
                .fold(0u64, |word, j| word | u64::from(bit(i * *width as usize + j)) << j);
            if word >= *prime {
                return false;
            }
            different_from_zero += usize::from(word != 0);
        }
        let padding = (*width as usize * degree..octets.len() * 8).all(|i| bit(i) == 0);
        padding && (!mask || different_from_zero > 8)
    }
}

fn limbs(context: &Context, data: usize, special: bool, mask: bool) -> Vec<Section> {
    let of = |q: &hei_ring::Modulus| {
        Section::Limb(64 - q.value().leading_zeros(), q.value(), mask, context.degree())
    };
    let specials = context.special_moduli().filter(|_| special);
    context.data_moduli().take(data).chain(specials).map(of).collect()
}

fn body(context: &Context, wanted: &Wanted<'_>, seeded: bool) -> Vec<Section> {
    let mut sections = Vec::new();
    match wanted {
        Wanted::Ciphertext { limbs: count, .. } => {
            sections.extend(limbs(context, *count, false, false));
            if !seeded {
                sections.extend(limbs(context, *count, false, true));
            }
        }
        Wanted::Keys(manifest) => {
            let levels = manifest.relinearization().into_iter().chain(manifest.galois().map(|(_, l)| l));
            for level in levels {
                for _ in 0..(level + 1).div_ceil(context.special_moduli().len()) {
                    sections.extend(limbs(context, level + 1, true, false));
                    if seeded {
                        sections.push(Section::Seed);
                    } else {
                        sections.extend(limbs(context, level + 1, true, true));
                    }
                }
            }
        }
    }
    sections
}

/// The header up to the seeds, the body length left zero.
fn header(context: &Context, wanted: &Wanted<'_>, seeded: bool) -> Vec<u8> {
    let (kind, primes, items, scale) = match wanted {
        Wanted::Ciphertext { limbs, scale } => (1, *limbs, 1, *scale),
        Wanted::Keys(manifest) => {
            let count = usize::from(manifest.relinearization().is_some()) + manifest.galois().len();
            (3, context.data_moduli().len() + context.special_moduli().len(), count, 1.0)
        }
    };
    let mut out = vec![0xe7, 0x68, 0x65, 0x69, 1, kind, 1, if seeded { 32 } else { 0 }];
    out.extend((context.degree() as u32).to_le_bytes());
    out.extend((primes as u16).to_le_bytes());
    out.extend([2, 0]);
    out.extend((items as u16).to_le_bytes());
    out.extend([0; 6]);
    out.extend(context.params_id().0);
    out.extend(scale.to_le_bytes());
    out.extend([0; 8]);
    let all = context.data_moduli().chain(context.special_moduli());
    out.extend(all.take(primes).map(|q| (64 - q.value().leading_zeros()) as u8));
    if let Wanted::Keys(manifest) = wanted {
        let mut entry = |purpose: u8, level: usize, element: u64| {
            out.extend([purpose, 0]);
            out.extend((level as u16 + 1).to_le_bytes());
            out.extend((element as u32).to_le_bytes());
        };
        if let Some(level) = manifest.relinearization() {
            entry(1, level, 0);
        }
        for (element, level) in manifest.galois() {
            entry(2, level, element.value());
        }
    }
    out
}
