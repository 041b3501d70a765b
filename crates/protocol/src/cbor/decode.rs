//! Reading: every length is held against what is left of the body before anything is allocated for it.

use std::borrow::Cow;

use super::MAX_DEPTH;
use crate::json::{MAX_BODY_BYTES, MAX_VALUES, SyntaxError};
use crate::tree::{Number, Value};

/// Parses one CBOR item that fills the whole body. Text and bytes borrow from the body.
pub fn parse(body: &[u8]) -> Result<Value<'_>, SyntaxError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(SyntaxError::TooLong);
    }
    let mut reader = Reader { rest: body, values: 0 };
    let value = reader.item(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(SyntaxError::Malformed) }
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

/// The initial byte and its argument.
struct Head {
    major: u8,
    info: u8,
    argument: u64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], SyntaxError> {
        let count = usize::try_from(count).map_err(|_| SyntaxError::Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SyntaxError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, SyntaxError> {
        let (&initial, rest) = self.rest.split_first().ok_or(SyntaxError::Malformed)?;
        self.rest = rest;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let width = match info {
            0..=23 => return Ok(Head { major, info, argument: u64::from(info) }),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            28..=30 => return Err(SyntaxError::Malformed),
            _ => return Err(SyntaxError::NotDeterministic),
        };
        let argument =
            self.take(width)?.iter().fold(0_u64, |argument, &byte| argument << 8 | u64::from(byte));
        Ok(Head { major, info, argument })
    }

    /// A head whose argument is a number or a length: it must be the shortest one.
    fn shortest(head: &Head) -> Result<u64, SyntaxError> {
        let shortest = match head.info {
            24 => head.argument >= 24,
            25 => head.argument > 0xff,
            26 => head.argument > 0xffff,
            27 => head.argument > 0xffff_ffff,
            _ => true,
        };
        if shortest { Ok(head.argument) } else { Err(SyntaxError::NotDeterministic) }
    }

    fn count(&mut self) -> Result<(), SyntaxError> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(SyntaxError::TooManyValues) } else { Ok(()) }
    }

    fn text(&mut self, length: u64) -> Result<&'a str, SyntaxError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| SyntaxError::InvalidUtf8)
    }

    fn item(&mut self, depth: usize) -> Result<Value<'a>, SyntaxError> {
        self.count()?;
        let head = self.head()?;
        match head.major {
            0 => Ok(Value::Number(Number::Unsigned(Self::shortest(&head)?))),
            1 => {
                // -1 - argument; what does not fit is no number of this protocol.
                let magnitude =
                    i64::try_from(Self::shortest(&head)?).map_err(|_| SyntaxError::NotDeterministic)?;
                Ok(Value::Number(Number::Negative(-1 - magnitude)))
            }
            2 => {
                let length = Self::shortest(&head)?;
                Ok(Value::Bytes(Cow::Borrowed(self.take(length)?)))
            }
            3 => {
                let length = Self::shortest(&head)?;
                Ok(Value::Text(Cow::Borrowed(self.text(length)?)))
            }
            4 => self.array(Self::shortest(&head)?, depth),
            5 => self.map(Self::shortest(&head)?, depth),
            7 if head.info == 20 => Ok(Value::Bool(false)),
            7 if head.info == 21 => Ok(Value::Bool(true)),
            7 if head.info == 22 => Ok(Value::Null),
            _ => Err(SyntaxError::NotDeterministic),
        }
    }

    fn array(&mut self, length: u64, depth: usize) -> Result<Value<'a>, SyntaxError> {
        self.enter(length, depth)?;
        let mut elements = Vec::new();
        for _ in 0..length {
            elements.push(self.item(depth + 1)?);
        }
        Ok(Value::Array(elements))
    }

    fn map(&mut self, length: u64, depth: usize) -> Result<Value<'a>, SyntaxError> {
        self.enter(length.saturating_mul(2), depth)?;
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        let mut previous: Option<&'a [u8]> = None;
        for _ in 0..length {
            self.count()?;
            let start = self.rest;
            let head = self.head()?;
            if head.major != 3 {
                return Err(SyntaxError::Malformed);
            }
            let length = Self::shortest(&head)?;
            let name = self.text(length)?;
            let encoded = start.get(..start.len() - self.rest.len()).unwrap_or_default();
            if previous.is_some_and(|previous| previous >= encoded) {
                return Err(SyntaxError::DuplicateMember);
            }
            previous = Some(encoded);
            members.push((Cow::Borrowed(name), self.item(depth + 1)?));
        }
        Ok(Value::Object(members))
    }

    /// Refuses a container that is too deep, or that announces more items than there are bytes left.
    fn enter(&self, items: u64, depth: usize) -> Result<(), SyntaxError> {
        if depth >= MAX_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        if usize::try_from(items).is_ok_and(|items| items <= self.rest.len()) {
            Ok(())
        } else {
            Err(SyntaxError::Malformed)
        }
    }
}
