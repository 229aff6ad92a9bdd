//! Tools of other MCP servers, some of which ask for payment: x402's binding to MCP, in tool results
//! (specs/transports-v2/mcp.md), with the error 402 of its first version beside it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quittance_payer::{Answer, Carried, PayError, Payer, Request};
use quittance_protocol::plain_words;
use reqwest::redirect;
use rmcp::ServiceExt as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock,
    Implementation, JsonObject, MetaObject, PaginatedRequestParams, RequestMetaObject,
};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

/// The payment in a request, and what became of it in a result.
const PAYMENT: &str = "x402/payment";
const RESPONSE: &str = "x402/payment-response";

/// The error of version 1 that asks for payment.
const PAYMENT_REQUIRED_CODE: i32 = 402;

/// Longest wait for one HTTP answer.
const ANSWER_MAX: Duration = Duration::from_secs(45);

/// Largest message of a server's that is read, bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pages of tools that are asked for, and tools that are shown.
const PAGES_MAX: usize = 4;
const TOOLS_MAX: usize = 100;

/// All that is shown of them, and the longest schema of one, bytes.
const LISTING_BYTES_MAX: usize = 60_000;
const SCHEMA_BYTES_MAX: usize = 8_192;

/// One call of one tool.
pub(super) struct Tool {
    pub(super) server: String,
    pub(super) name: String,
    pub(super) arguments: JsonObject,
}

type Session = RunningService<RoleClient, ClientConfig>;

/// A connection of its own for each exchange: sellers forget sessions, and what is paid for is said in
/// the payment. No redirect is followed: another place could take the payment and do something else.
async fn connect(url: &str) -> Result<Session, String> {
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).build();
    let client = client.map_err(|error| error.to_string())?;
    let config = StreamableHttpClientTransportConfig::with_uri(url)
        .max_sse_event_size(MESSAGE_BYTES_MAX)
        .max_json_response_size(MESSAGE_BYTES_MAX);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let us = Implementation::new("quittance", env!("CARGO_PKG_VERSION"));
    let session = ClientConfig::new(ClientCapabilities::default(), us).serve(transport).await;
    session.map_err(|error| plain_words(&error.to_string()))
}

/// What a server says of its tools.
pub(super) async fn tools(payer: &Payer, server: &str) -> Result<Value, PayError> {
    payer.check_host(&Request::get(server)?)?;
    let session = connect(server).await.map_err(PayError::NotCarried)?;
    let (mut shown, mut more, mut bytes) = (Vec::new(), None, 0_usize);
    for page in 0..PAGES_MAX {
        let asked = PaginatedRequestParams::default().with_cursor(more.take());
        let listed = session.list_tools((page > 0).then_some(asked)).await;
        let listed = listed.map_err(|error| PayError::NotCarried(plain_words(&error.to_string())))?;
        for tool in listed.tools {
            let schema = super::answers::words_of(&json!(tool.input_schema));
            let schema = (schema.to_string().len() <= SCHEMA_BYTES_MAX).then_some(schema);
            let description = tool.description.as_deref().map(plain_words);
            let one =
                json!({ "name": plain_words(&tool.name), "description": description, "arguments": schema });
            bytes = bytes.saturating_add(one.to_string().len());
            if shown.len() < TOOLS_MAX && bytes <= LISTING_BYTES_MAX {
                shown.push(one);
            }
        }
        more = listed.next_cursor;
        if more.is_none() {
            break;
        }
    }
    let _ = session.cancel().await;
    Ok(json!({ "seller_says": { "notice": super::listing::NOTICE, "tools": shown } }))
}

impl Tool {
    /// What makes two calls the same: the server, the tool, its arguments in whatever order (an agent
    /// that repeats a call while its payment is open may name them in another one), and their own name.
    pub(super) fn request(&self, idempotency_key: Option<&str>) -> Result<Request, PayError> {
        let arguments = sorted(&Value::Object(self.arguments.clone()));
        let call = json!({ "method": "tools/call", "params": { "name": self.name, "arguments": arguments } });
        let request = Request::post(&self.server, call.to_string().into_bytes())?;
        match idempotency_key {
            Some(key) => request.header("idempotency-key", key),
            None => Ok(request),
        }
    }

    /// Calls it, and pays for it if it asks; what it answered last beside it.
    pub(super) async fn buy(
        &self,
        payer: &Payer,
        request: &Request,
    ) -> Result<(Answer, Option<CallToolResult>), PayError> {
        let last = Mutex::new(None);
        let carry = |payment| async {
            let (carried, result) = self.call(payment).await?;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = result;
            Ok(carried)
        };
        let answer = payer.buy_carried(request, carry).await?;
        Ok((answer, last.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn call(&self, payment: Option<Value>) -> Result<(Carried, Option<CallToolResult>), String> {
        let session = connect(&self.server).await?;
        let mut params = CallToolRequestParams::new(self.name.clone()).with_arguments(self.arguments.clone());
        params.meta = payment.map(|payment| {
            let meta = [(PAYMENT.to_owned(), payment)].into_iter().collect::<JsonObject>();
            RequestMetaObject(MetaObject(meta))
        });
        let answered = session.call_tool_once(params).await;
        let _ = session.cancel().await;
        match answered {
            Ok(CallToolResponse::Complete(result)) => Ok((carried(&result), Some(result))),
            Ok(_) => Err("the tool wants more than arguments, which is not spoken here".to_owned()),
            Err(ServiceError::McpError(error)) => {
                let asks = error.code.0 == PAYMENT_REQUIRED_CODE;
                let required = error.data.clone().filter(|_| asks);
                let told = CallToolResult::error(vec![ContentBlock::text(error.message.into_owned())]);
                Ok((Carried { required, receipt: None, is_error: true }, Some(told)))
            }
            Err(error) => Err(plain_words(&error.to_string())),
        }
    }
}

/// The same, each object's members in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(sorted).collect(),
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
            members.into_iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        other => other.clone(),
    }
}

fn carried(result: &CallToolResult) -> Carried {
    let is_error = result.is_error.unwrap_or(false);
    let receipt = result.meta.as_ref().and_then(|meta| meta.get(RESPONSE)).cloned();
    Carried { required: required(result).filter(|_| is_error), receipt, is_error }
}

/// In `structuredContent`, else as text in the first block.
fn required(result: &CallToolResult) -> Option<Value> {
    let asks = |value: &Value| value.get("x402Version").is_some() && value.get("accepts").is_some();
    if let Some(value) = result.structured_content.as_ref().filter(|value| asks(value)) {
        return Some(value.clone());
    }
    let ContentBlock::Text(text) = result.content.first()? else { return None };
    serde_json::from_str(&text.text).ok().filter(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_asks_for_payment_only_as_an_error_and_in_either_place() {
        let asks = json!({ "x402Version": 2, "accepts": [] });
        let text = vec![ContentBlock::text(asks.to_string())];
        let mut structured = CallToolResult::error(vec![]);
        structured.structured_content = Some(asks.clone());
        assert_eq!(carried(&structured).required, Some(asks.clone()));
        assert_eq!(carried(&CallToolResult::error(text.clone())).required, Some(asks));
        let good = carried(&CallToolResult::success(text));
        assert_eq!((good.required, good.is_error), (None, false), "a tool may speak of payments");
    }

    /// The defect: the same call with its arguments in another order signed anew beside an open payment.
    #[test]
    fn the_order_of_arguments_makes_no_other_call() {
        let request = |arguments: &str| {
            let tool = Tool {
                server: "https://a.example/mcp".to_owned(),
                name: "x".to_owned(),
                arguments: serde_json::from_str(arguments).unwrap(),
            };
            format!("{:?}", tool.request(None).unwrap())
        };
        let one = request(r#"{"a":1,"b":[{"c":2,"d":{"e":3,"f":4}}]}"#);
        let same = request(r#"{"b":[{"d":{"f":4,"e":3},"c":2}],"a":1}"#);
        assert_eq!(one, same);
        assert_ne!(one, request(r#"{"a":1,"b":[{"c":2,"d":{"e":4,"f":3}}]}"#));
        assert_ne!(request(r#"{"a":[1,2]}"#), request(r#"{"a":[2,1]}"#));
    }
}
