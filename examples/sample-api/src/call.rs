//! A request as the handlers see it and an answer as they make it, whichever server they are
//! mounted in.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use quittance_gate::Paid;
use serde::Serialize;

use crate::error::ApiError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

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

/// One answer.
pub(crate) type Answer = Response<Content>;

/// What a handler says, or why it does not.
pub(crate) type Answered = Result<Answer, ApiError>;

/// The body of an answer.
pub(crate) enum Content {
    Whole(Bytes),
    Pieces(BoxStream<'static, io::Result<Bytes>>),
}

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

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let Ok(text) = serde_json::to_vec(value) else {
        let mut failed = Response::new(Content::Whole(Bytes::new()));
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return failed;
    };
    let mut answer = Response::new(Content::Whole(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// An answer that is made as it is read.
pub(crate) fn pieces(
    content_type: &'static str,
    pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(Content::Pieces(Box::pin(pieces)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
