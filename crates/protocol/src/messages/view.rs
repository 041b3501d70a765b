//! Reading members of a tree, with the pointer of what is wrong.

use super::MessageError;
use crate::tree::Value;

/// An object and where it is.
#[derive(Clone, Copy)]
pub(super) struct View<'v, 'a> {
    value: &'v Value<'a>,
    pointer: &'v str,
}

impl<'v, 'a> View<'v, 'a> {
    pub(super) fn new(value: &'v Value<'a>, pointer: &'v str) -> Result<Self, MessageError> {
        match value {
            Value::Object(_) => Ok(View { value, pointer }),
            _ => Err(MessageError::Member { pointer: pointer.to_owned(), reason: "type" }),
        }
    }

    pub(super) fn wrong(&self, name: &str, reason: &'static str) -> MessageError {
        MessageError::Member { pointer: format!("{}/{name}", self.pointer), reason }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'v Value<'a>> {
        self.value.member(name)
    }

    pub(super) fn required(&self, name: &str) -> Result<&'v Value<'a>, MessageError> {
        self.get(name).ok_or_else(|| self.wrong(name, "missing"))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'v str, MessageError> {
        self.required(name)?.as_text().ok_or_else(|| self.wrong(name, "type"))
    }

    /// A text that reads as `T`.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, MessageError> {
        self.text(name)?.parse().map_err(|_| self.wrong(name, "pattern"))
    }

    /// The same for a member that may be absent.
    pub(super) fn parsed_if_present<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, MessageError> {
        if self.get(name).is_some() { self.parsed(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn unsigned(&self, name: &str, from: u64, to: u64) -> Result<u64, MessageError> {
        let value = self.required(name)?.as_u64().ok_or_else(|| self.wrong(name, "type"))?;
        if value < from {
            Err(self.wrong(name, "minimum"))
        } else if value > to {
            Err(self.wrong(name, "maximum"))
        } else {
            Ok(value)
        }
    }

    pub(super) fn unsigned_if_present(
        &self,
        name: &str,
        from: u64,
        to: u64,
    ) -> Result<Option<u64>, MessageError> {
        if self.get(name).is_some() { self.unsigned(name, from, to).map(Some) } else { Ok(None) }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, MessageError> {
        match self.required(name)? {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.wrong(name, "type")),
        }
    }
}
