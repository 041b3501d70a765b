//! The inputs of one request, all through each stage before any enters the next.

use hei_ckks::Ciphertext;
use hei_ckks::coefficients::CoefficientCiphertext;
use zeroize::Zeroize;

use crate::error::{DecodeError, Reason};
use crate::shape::{Kind, Shape};
use crate::{Format, detect, hei, policy, seal};

/// A decoded input of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A ciphertext in slots.
    Slots(Ciphertext),
    /// A ciphertext of the `coefficients` layout.
    Coefficients(CoefficientCiphertext),
}

/// The first input that was refused, in the order of the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("input {index}: {error}")]
pub struct InputError {
    /// Which one, from 0.
    pub index: usize,
    /// Why.
    pub error: DecodeError,
}

enum Header<'a> {
    Hei(hei::Header<'a>),
    Seal(seal::Header<'a>),
}

/// Decodes all inputs of a request against the one shape they must have.
///
/// Stages: magic, version, kind and numeric sanity of every input; then what the headers say against the shape; then
/// exact lengths; then bodies; then policy. The reported index is the lowest that fails the first failing stage. All
/// inputs are in the format of the first. When a secret key is among them, every payload is wiped.
///
/// # Errors
/// [`InputError`]. An empty request is input 0 with `length_mismatch`.
pub fn decode_inputs(mut payloads: Vec<Vec<u8>>, shape: &Shape) -> Result<(Format, Vec<Input>), InputError> {
    decode_or_wipe(&mut payloads, shape)
}

fn decode_or_wipe(payloads: &mut [Vec<u8>], shape: &Shape) -> Result<(Format, Vec<Input>), InputError> {
    let result = decode_stages(payloads, shape);
    if matches!(result, Err(InputError { error: DecodeError::SecretKey, .. })) {
        payloads.iter_mut().for_each(Zeroize::zeroize);
    }
    result
}

fn decode_stages(payloads: &[Vec<u8>], shape: &Shape) -> Result<(Format, Vec<Input>), InputError> {
    let at = |index: usize| move |error: DecodeError| InputError { index, error };
    let first = payloads.first().map(Vec::as_slice).unwrap_or_default();
    let format = recognize(first).map_err(at(0))?;
    let expected = seal::Expected::new(shape);

    let mut headers = Vec::with_capacity(payloads.len());
    for (index, payload) in payloads.iter().enumerate() {
        headers.push(parse(payload, format, shape, expected.as_ref()).map_err(at(index))?);
    }
    for (index, header) in headers.iter().enumerate() {
        match (header, &expected) {
            (Header::Hei(header), _) => header.check(shape),
            (Header::Seal(header), Some(expected)) => header.check(expected),
            (Header::Seal(_), None) => Err(Reason::BadMagic.into()),
        }
        .map_err(at(index))?;
    }
    for (index, header) in headers.iter().enumerate() {
        match (header, &expected) {
            (Header::Hei(header), _) => header.check_length(shape),
            (Header::Seal(header), Some(expected)) => header.check_length(expected),
            (Header::Seal(_), None) => Err(Reason::BadMagic.into()),
        }
        .map_err(at(index))?;
    }
    let mut inputs = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        let input = match (header, &expected) {
            (Header::Hei(header), _) => decode_hei(header, shape),
            (Header::Seal(header), Some(expected)) => header.decode(expected).map(Input::Slots),
            (Header::Seal(_), None) => Err(Reason::BadMagic.into()),
        };
        inputs.push(input.map_err(at(index))?);
    }
    for (index, input) in inputs.iter().enumerate() {
        match input {
            Input::Slots(ciphertext) => policy::check_ciphertext(ciphertext),
            // The mask is the expansion of a seed.
            Input::Coefficients(_) => Ok(()),
        }
        .map_err(at(index))?;
    }
    Ok((format, inputs))
}

/// The format by magic, or why there is none.
pub(crate) fn recognize(bytes: &[u8]) -> Result<Format, DecodeError> {
    detect(bytes).ok_or(if bytes.is_empty() {
        Reason::LengthMismatch.into()
    } else if hei::header::MAGIC.starts_with(bytes) || [0x5e, 0xa1].starts_with(bytes) {
        Reason::Truncated.into()
    } else {
        Reason::BadMagic.into()
    })
}

fn parse<'a>(
    payload: &'a [u8],
    format: Format,
    shape: &Shape,
    expected: Option<&seal::Expected<'_>>,
) -> Result<Header<'a>, DecodeError> {
    if recognize(payload)? != format {
        return Err(Reason::BadMagic.into());
    }
    match (format, expected) {
        (Format::Hei, _) if shape.kind == Kind::Ciphertext => {
            hei::Header::parse(payload, shape.kind).map(Header::Hei)
        }
        (Format::Seal, Some(expected)) => seal::Header::parse(payload, expected).map(Header::Seal),
        _ => Err(Reason::BadMagic.into()),
    }
}

fn decode_hei(header: &hei::Header<'_>, shape: &Shape) -> Result<Input, DecodeError> {
    let input = if shape.ranges.is_some() {
        header.decode_requests(shape)?.pop().map(Input::Coefficients)
    } else {
        header.decode_ciphertexts(shape)?.pop().map(Input::Slots)
    };
    input.ok_or_else(|| Reason::LengthMismatch.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
    use hei_ckks::{ParametersLiteral, SecretKey};

    #[test]
    fn a_secret_key_among_the_inputs_has_all_of_them_wiped() {
        let literal = ParametersLiteral {
            poly_modulus_degree: 1024,
            coeff_modulus_bits: vec![30, 30],
            special_count: 1,
            scale: 1024.0,
        };
        let parameters = InsecureParameters::new(&literal).unwrap();
        let context = parameters.context();
        let key = SecretKey::generate(context, &mut SeededRandomness::new(1)).unwrap();
        let shape = Shape::ciphertext(context, 0, 1024.0);
        let files = [
            hei::encode_secret_key(&key, context).unwrap().to_vec(),
            seal::encode_secret_key(&key, context).unwrap().to_vec(),
        ];
        for file in files {
            let mut payloads = vec![file.clone(), file];
            let error = decode_or_wipe(&mut payloads, &shape).unwrap_err();
            assert_eq!(error, InputError { index: 0, error: DecodeError::SecretKey });
            assert!(payloads.iter().all(Vec::is_empty));
        }
    }
}
