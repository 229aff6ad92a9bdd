//! Why a body breaks off.

use std::error::Error;
use std::fmt;

use quittance_gate::HandlerError;

/// Why a body broke off; only ever logged.
#[derive(Debug)]
pub struct BodyError(HandlerError);

impl BodyError {
    pub(crate) fn of(error: impl Into<HandlerError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
