//! Request bodies.

use quittance_protocol::Json;
use quittance_quote::Body;

use crate::error::ApiError;

/// The body as JSON, read at most once.
pub(crate) fn read<'b, 'a>(body: &'b Body<'a>) -> Result<&'b Json<'a>, ApiError> {
    body.json().map_err(|problem| {
        ApiError::bad_request("invalid_json", format!("the body is not valid JSON: {problem}"))
    })
}
