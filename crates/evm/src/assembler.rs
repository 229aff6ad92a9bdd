//! Puts together code that is run without being deployed.

use crate::op;

/// Instructions, one after the other.
#[derive(Default)]
pub(crate) struct Code(Vec<u8>);

impl Code {
    pub(crate) fn ops(&mut self, ops: &[u8]) -> &mut Self {
        self.0.extend_from_slice(ops);
        self
    }

    /// At most 32 bytes.
    pub(crate) fn push(&mut self, value: &[u8]) -> &mut Self {
        self.0.push(op::PUSH.saturating_add(u8::try_from(value.len()).unwrap_or(0)));
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.push(&[value])
    }

    pub(crate) fn half(&mut self, value: u16) -> &mut Self {
        self.push(&value.to_be_bytes())
    }

    pub(crate) fn word(&mut self, value: u32) -> &mut Self {
        self.push(&value.to_be_bytes())
    }

    /// Where the next instruction stands.
    pub(crate) fn here(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    /// The finished code.
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}
