//! A request's body, for everyone who has rules about it.

use std::cell::OnceCell;

use quittance_protocol::Json;

/// Deepest nesting of a priced body; tool schemas nest, bombs nest deeper.
pub const BODY_JSON_DEPTH_MAX: usize = 64;

/// A body that is parsed when somebody first asks, strictly, and once: what
/// the catalogue priced is what the host's own rules read.
#[derive(Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
    json: OnceCell<Result<Json<'a>, String>>,
}

impl<'a> Body<'a> {
    /// Of a request; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, json: OnceCell::new() }
    }

    /// As it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// As JSON without duplicate keys, at most [`BODY_JSON_DEPTH_MAX`] deep; or
    /// what is wrong with it.
    pub fn json(&self) -> Result<&Json<'a>, &str> {
        let parsed = self.json.get_or_init(|| Json::parse_strict(self.bytes, BODY_JSON_DEPTH_MAX));
        parsed.as_ref().map_err(String::as_str)
    }
}
