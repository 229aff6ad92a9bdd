//! A request as the handlers see it, whichever server they are mounted in.

use bytes::Bytes;
use http::{HeaderMap, Method};
use quittance_gate::Paid;

use crate::answer::Answer;
use crate::error::ApiError;

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The payment that started this run.
    pub(crate) paid: Option<Paid>,
}

/// What a handler says, or why it does not.
pub(crate) type Answered = Result<Answer, ApiError>;

impl Call {
    /// A value of the query, decoded; the first of several.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The last segment of the path.
    pub(crate) fn last_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}
