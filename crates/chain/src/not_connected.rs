//! What a chain says before its nodes answer.

/// Nobody answered yet. Says nothing about any payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected yet")]
pub struct NotConnected;
