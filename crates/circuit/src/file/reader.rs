//! Bytes to values, strictly.

use super::{FileError, MAX_MANIFEST_BYTES, MAX_STEPS, MAX_WEIGHTS};
use crate::{Layout, PlanLiteral, Step};

/// A position in a byte string; reading past its end is an error.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Reading on in other bytes from the same position.
    pub(super) fn resume(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FileError> {
        let needed = length.saturating_sub(self.remaining());
        let taken = self.bytes.get(self.offset..).and_then(|rest| rest.get(..length));
        let taken = taken.ok_or(FileError::Truncated { offset: self.offset, needed })?;
        self.offset += length;
        Ok(taken)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], FileError> {
        let mut array = [0; LEN];
        array.copy_from_slice(self.take(LEN)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, FileError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn word(&mut self) -> Result<u64, FileError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn double(&mut self) -> Result<f64, FileError> {
        Ok(f64::from_bits(self.word()?))
    }

    /// A count of at most `maximum`.
    fn count(&mut self, what: &'static str, minimum: usize, maximum: usize) -> Result<usize, FileError> {
        let count = u32::from_le_bytes(self.array()?);
        super::in_range(what, count as usize, minimum, maximum).map(|()| count as usize)
    }

    /// A count in one byte of at most `maximum`.
    fn small_count(
        &mut self,
        what: &'static str,
        minimum: usize,
        maximum: usize,
    ) -> Result<usize, FileError> {
        let count = usize::from(self.byte()?);
        super::in_range(what, count, minimum, maximum).map(|()| count)
    }

    /// `count` words, once it is sure that they are there.
    fn words(&mut self, count: usize) -> Result<Vec<u64>, FileError> {
        let bytes = self.take(count.saturating_mul(8))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }
}

/// Everything between the version and the trailer: the manifest, and what makes the plans.
pub(super) fn contents<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Vec<PlanLiteral>), FileError> {
    let plans = reader.small_count("number of plans", 1, Layout::ALL.len())?;
    if reader.byte()? != 0 {
        return Err(FileError::NonCanonical("the reserved byte"));
    }
    let length = reader.count("manifest length", 0, MAX_MANIFEST_BYTES)?;
    let manifest = core::str::from_utf8(reader.take(length)?).map_err(|_| FileError::NotUtf8)?;
    let literals = (0..plans).map(|_| plan(reader)).collect::<Result<Vec<_>, _>>()?;
    if !literals.is_sorted_by(|a, b| a.layout < b.layout) {
        return Err(FileError::NonCanonical("the list of plans"));
    }
    match reader.remaining() {
        0 => Ok((manifest, literals)),
        trailing => Err(FileError::TrailingBytes(trailing)),
    }
}

fn plan(reader: &mut Reader<'_>) -> Result<PlanLiteral, FileError> {
    let layout = match reader.small_count("layout", 0, 1)? {
        0 => Layout::FeatureColumns,
        _ => Layout::Coefficients,
    };
    let degree = 1usize << reader.small_count("log2 of the degree", 10, 16)?;
    let data = reader.small_count("number of data primes", 1, 64)?;
    let special = reader.small_count("number of special primes", 0, 64)?;
    let moduli = reader.words(data)?;
    let special_moduli = reader.words(special)?;
    let scale = reader.double()?;
    let max_batch = reader.count("largest batch", 1, degree)?;
    let weights = reader.count("number of weights", 1, MAX_WEIGHTS)?;
    let weights = reader.words(weights)?.into_iter().map(f64::from_bits).collect();
    let constant = reader.double()?;
    let steps = reader.small_count("number of steps", 1, MAX_STEPS)?;
    let steps = (0..steps).map(|_| step(reader)).collect::<Result<_, _>>()?;
    Ok(PlanLiteral { layout, degree, moduli, special_moduli, scale, max_batch, weights, constant, steps })
}

fn step(reader: &mut Reader<'_>) -> Result<Step, FileError> {
    let code = reader.small_count("step", 1, 6)?;
    let operand = reader.word()?;
    let small = |what, maximum| match operand <= maximum {
        true => Ok(operand as u32),
        false => Err(FileError::OutOfRange { what, minimum: 0, maximum, actual: operand }),
    };
    let none = |step| match operand {
        0 => Ok(step),
        _ => Err(FileError::NonCanonical("an operand of a step that takes none")),
    };
    match code {
        1 => Ok(Step::DropToLevel { level: small("level", 64)? as usize }),
        2 => Ok(Step::MultiplyAccumulate { weight_scale: f64::from_bits(operand) }),
        3 => none(Step::Rescale),
        4 => none(Step::AddConstant),
        5 => Ok(Step::MultiplyReversed { weight_scale: f64::from_bits(operand) }),
        _ => Ok(Step::SwitchModulus { bits: small("reply bits", 60)? }),
    }
}
