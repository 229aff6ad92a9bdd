//! What a node, or its provider, says instead of a result.

use std::fmt;

use serde_json::Value;

/// A node's own error.
#[derive(Clone, PartialEq)]
pub struct NodeError {
    /// `error.code`; some gateways leave it out.
    pub code: Option<i64>,
    /// `error.message`, or `error` where that is the text itself; clean.
    pub message: String,
    /// `error.data` as the node wrote it: not clean, so never to be shown as it is.
    pub data: Option<Value>,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeError")
            .field("code", &self.code)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
