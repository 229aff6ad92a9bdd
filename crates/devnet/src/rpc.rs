//! The smallest JSON-RPC client that sets up a chain.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::DevnetError;

/// A JSON-RPC endpoint over HTTP.
#[derive(Debug, Clone)]
pub struct Rpc {
    client: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<Value>,
}

impl Rpc {
    /// A client for `url`; no proxy of the environment is used, the chains are local.
    pub fn new(url: impl Into<String>) -> Result<Self, DevnetError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|source| DevnetError::Transport { method: "client".into(), source })?;
        Ok(Self { client, url: url.into() })
    }

    /// The endpoint's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method`. A missing `result` is read as `null`.
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize,
    ) -> Result<R, DevnetError> {
        let transport = |source| DevnetError::Transport { method: method.into(), source };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Answer = self
            .client
            .post(&self.url)
            .json(&body)
            .send()
            .await
            .map_err(transport)?
            .json()
            .await
            .map_err(transport)?;
        if let Some(error) = answer.error {
            return Err(DevnetError::Rpc { method: method.into(), error });
        }
        serde_json::from_value(answer.result.unwrap_or(Value::Null))
            .map_err(|source| DevnetError::Json { what: method.into(), source })
    }
}
