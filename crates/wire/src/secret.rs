//! Whether some bytes are a secret key, told from their beginning and of any parameters: so that a key that strayed into
//! a request can be named as what it is before anything else about the request is judged.

use zeroize::Zeroizing;

use crate::hei::header::MAGIC;
use crate::read::Reader;
use crate::seal;
use crate::shape::Kind;

/// Octets that are enough to recognize a secret key that is not compressed.
pub const SECRET_KEY_PREFIX: usize = 96;
/// Whether these are the first bytes of a secret key: a `hei/1` container of that kind, or a SEAL stream with the
/// structure of a plaintext and scale 1, which is how SEAL writes its secret keys. [`SECRET_KEY_PREFIX`] bytes are
/// enough unless [`may_be_compressed`]; a compressed stream has to be whole, and one that does not unpack is not
/// recognized. Says nothing about whether the key is well formed.
pub fn is_secret_key(bytes: &[u8]) -> bool {
    is_hei(bytes) || is_seal(bytes).unwrap_or(false)
}

/// Whether a beginning is that of a compressed stream.
pub fn may_be_compressed(prefix: &[u8]) -> bool {
    prefix.starts_with(&[0x5e, 0xa1]) && prefix.get(5).is_some_and(|compression| *compression != 0)
}

fn is_hei(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) && bytes.get(5).and_then(|kind| Kind::from_byte(*kind)) == Some(Kind::SecretKey)
}

fn is_seal(bytes: &[u8]) -> Option<bool> {
    let start = Zeroizing::new(seal::members_start(bytes).ok()?);
    let mut reader = Reader::new(start.as_slice());
    reader.take(32).ok()?;
    let (count, scale, nested) = (reader.u64().ok()?, reader.f64().ok()?, reader.array::<16>().ok()?);
    let array_count = reader.u64().ok()?;
    Some(nested.starts_with(&[0x5e, 0xa1, 0x10]) && count == array_count && scale.to_bits() == 1f64.to_bits())
}

#[cfg(test)]
mod tests {
    use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
    use hei_ckks::{Encoder, ParametersLiteral, SecretKey};

    use super::*;
    use crate::{hei, seal};

    #[test]
    fn a_key_is_told_from_its_beginning_and_nothing_else_is_one() {
        let literal = ParametersLiteral {
            poly_modulus_degree: 1024,
            coeff_modulus_bits: vec![30, 30, 30],
            special_count: 1,
            scale: 1024.0,
        };
        let parameters = InsecureParameters::new(&literal).unwrap();
        let context = parameters.context();
        let mut randomness = SeededRandomness::new(1);
        let key = SecretKey::generate(context, &mut randomness).unwrap();
        let plaintext = Encoder::new(context).encode(&[1.0], 1, 1024.0).unwrap();
        let ciphertext = key.encrypt(&plaintext, &mut randomness).unwrap();
        let files =
            [hei::encode_secret_key(&key, context).unwrap(), seal::encode_secret_key(&key, context).unwrap()];
        for file in files {
            for length in [SECRET_KEY_PREFIX, file.len() - 1, file.len()] {
                assert!(is_secret_key(&file[..length]), "{length}");
                assert!(!may_be_compressed(&file[..length]));
            }
            assert!(!is_secret_key(&file[1..]) && !is_secret_key(&file[..5]));
        }
        for other in [
            hei::encode_ciphertext(&ciphertext, context).unwrap(),
            seal::encode_ciphertext(&ciphertext, context).unwrap(),
            seal::encode_plaintext(&plaintext, context).unwrap(),
            seal::encode_parameters(context).unwrap(),
            Vec::new(),
            b"hei".to_vec(),
        ] {
            assert!(!is_secret_key(&other));
        }
    }

    #[test]
    fn keys_of_other_libraries_are_recognized_compressed_or_not() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors");
        let mut seen = 0;
        for set in std::fs::read_dir(root).unwrap() {
            let set = set.unwrap().path();
            let files = if set.is_dir() { std::fs::read_dir(set).unwrap().collect() } else { Vec::new() };
            for file in files {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.starts_with("sk") && name.ends_with(".bin") {
                    let octets = std::fs::read(&path).unwrap();
                    assert!(is_secret_key(&octets), "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 0);
    }
}
