//! What an agent may ask for.

use quittance_payer::{Request, dollars};
use rmcp::model::JsonObject;
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::CommandError;
use crate::mcp::remote::Tool;

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

/// An MCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// The server's URL (streamable HTTP).
    pub(super) server: String,
}

/// One call of a tool of an MCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolCall {
    /// The server's URL (streamable HTTP).
    server: String,
    /// The tool's name.
    tool: String,
    /// Its arguments.
    #[serde(default)]
    arguments: JsonObject,
    /// A name for this purchase: the same call under another name is bought again.
    #[serde(default)]
    idempotency_key: Option<String>,
    /// The most that this call may cost, US dollars, e.g. `0.05`; it can only lower the operator's limit.
    #[serde(default)]
    max_usdc: Option<String>,
}

impl ToolCall {
    pub(super) fn tool(self) -> Result<(Tool, Request), CommandError> {
        let Self { server, tool: name, arguments, idempotency_key, max_usdc } = self;
        let tool = Tool { server, name, arguments };
        let request = tool.request(idempotency_key.as_deref())?;
        let request = at_most(request, max_usdc.as_deref())?;
        Ok((tool, request))
    }
}

fn at_most(request: Request, max_usdc: Option<&str>) -> Result<Request, CommandError> {
    match max_usdc {
        None => Ok(request),
        Some(text) => Ok(request.at_most(dollars(text).ok_or("max_usdc must be a decimal such as 0.05")?)),
    }
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
        at_most(request, self.max_usdc.as_deref())
    }
}
