//! What can go wrong while the local chains start.

use std::{io, path::PathBuf};

/// Why a devnet or the proxy could not start or stay up.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// A file, socket or child process failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// No free port was found, or the requested one is taken.
    #[error("port {0} is taken; choose another one, or none to have a free one chosen")]
    PortTaken(u16),
    /// The range was searched without finding a free port.
    #[error("no free port found between {0} and {1}")]
    NoFreePort(u16, u16),
    /// No anvil binary was found.
    #[error(
        "anvil not found: set QUITTANCE_ANVIL, put anvil on PATH, or run `npm ci` in tests/clients (looked at {0})"
    )]
    AnvilMissing(PathBuf),
    /// anvil ended although nobody stopped it.
    #[error("anvil ended by itself: {0}")]
    AnvilEnded(String),
    /// A build artifact of the token is missing or not what it should be.
    #[error("token artifact {path}: {problem}")]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The node could not be reached, or answered something that is not JSON-RPC.
    #[error("{method}: {source}")]
    Transport {
        /// The JSON-RPC method.
        method: String,
        /// The HTTP client's error.
        source: reqwest::Error,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method} refused: {error}")]
    Rpc {
        /// The JSON-RPC method.
        method: String,
        /// The error object, as sent.
        error: serde_json::Value,
    },
    /// JSON of an unexpected shape.
    #[error("{what}: {source}")]
    Json {
        /// What was being read.
        what: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The chain is up, but is not what it promises to be.
    #[error("self-check failed: {0}")]
    SelfCheck(String),
    /// A chain was not ready in time.
    #[error("{what} was not ready within {seconds} s")]
    Timeout {
        /// Which chain.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// surfpool refused to start.
    #[error("surfpool: {0}")]
    Surfpool(String),
}

impl DevnetError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
