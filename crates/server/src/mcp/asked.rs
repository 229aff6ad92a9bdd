//! What an agent may ask for.

use quittance_payer::{Request, dollars};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::CommandError;

/// A seller.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    /// The seller: any URL of it.
    pub(super) url: String,
}

/// One request. Fields that are not here are refused: an agent that names a limit which nobody knows
/// would count on it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct What {
    /// The endpoint's URL.
    url: String,
    /// HTTP method; GET, or POST where there is a body, unless said otherwise.
    #[serde(default)]
    method: Option<String>,
    /// The request's body, as text.
    #[serde(default)]
    body: Option<String>,
    /// The body's media type; `application/json` unless said otherwise.
    #[serde(default)]
    content_type: Option<String>,
    /// A name for this purchase: the same request under another name is bought again.
    #[serde(default)]
    idempotency_key: Option<String>,
    /// The most that this call may cost, US dollars, e.g. `0.05`; it can only lower the operator's limit.
    #[serde(default)]
    max_usdc: Option<String>,
}

impl What {
    pub(super) fn request(&self) -> Result<Request, CommandError> {
        let body = self.body.clone().unwrap_or_default().into_bytes();
        let method = self.method.as_deref().unwrap_or(if body.is_empty() { "GET" } else { "POST" });
        let mut request = Request::new(method, &self.url, body)?;
        for (name, value) in
            [("content-type", &self.content_type), ("idempotency-key", &self.idempotency_key)]
        {
            if let Some(value) = value {
                request = request.header(name, value)?;
            }
        }
        match &self.max_usdc {
            None => Ok(request),
            Some(text) => {
                Ok(request.at_most(dollars(text).ok_or("max_usdc must be a decimal such as 0.05")?))
            }
        }
    }
}
