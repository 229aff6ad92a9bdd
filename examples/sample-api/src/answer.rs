//! An answer as the handlers make it, whichever server they are mounted in.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One answer.
pub(crate) type Answer = Response<Content>;

/// The body of an answer.
pub(crate) enum Content {
    Whole(Bytes),
    Pieces(BoxStream<'static, io::Result<Bytes>>),
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
