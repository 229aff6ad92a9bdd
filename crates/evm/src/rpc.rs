//! One endpoint, and what its answers over HTTP mean on EVM chains.

use std::fmt;

use quittance_rpc::{
    AdaptiveRange, HttpEndpoint, HttpFailure, HttpLimits, NodeError, Pause, Replies, Reply, Said, Tally,
};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::config::RPC_ANSWER_BYTES_MAX;
use crate::failure::RpcError;
use crate::text;

/// How many blocks of logs one endpoint answers for at once, as far as it has shown.
pub type LogRange = AdaptiveRange;

/// What came of one request.
pub type Answer = Result<Box<RawValue>, RpcError>;

/// One endpoint: what alloy's provider is put over.
#[async_trait::async_trait]
pub trait Rpc: Send + Sync {
    /// One request, one answer, no retry. `params` and the result are JSON text.
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError>;

    /// The same of a call that not every provider takes, and that is made otherwise where one does not:
    /// who counts failures leaves out this one's.
    async fn call_optional(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        self.call(method, params).await
    }

    /// Several of one method in one request over HTTP: an answer to each, in their order. Whoever refuses
    /// the whole of it is asked one by one.
    async fn call_many(&self, _method: &str, _params: &[Box<RawValue>]) -> Result<Vec<Answer>, RpcError> {
        Err(RpcError::BadAnswer("answer to several requests at once"))
    }

    /// The same with the texts taken apart.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let params = to_raw_value(&params).map_err(|_| RpcError::BadAnswer("request"))?;
        let result = self.call(method, &params).await?;
        serde_json::from_str(result.get()).map_err(|_| RpcError::BadAnswer("JSON"))
    }

    /// How many blocks of logs this endpoint answers for at once, as it has shown so far.
    fn log_range(&self) -> &LogRange;

    /// Which methods it answers, where that is counted.
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// Until when it wants to be left alone, where it can say so.
    fn pause(&self) -> Option<&Pause> {
        None
    }

    /// Whether it has answered for its chain and nothing broke since, where that is known.
    fn is_heard(&self) -> bool {
        true
    }

    /// Its host, where it has one; never the rest of its URL.
    fn host(&self) -> &str {
        ""
    }
}

/// One endpoint over HTTP.
pub struct HttpRpc {
    endpoint: HttpEndpoint,
    log_range: LogRange,
}

impl HttpRpc {
    /// An endpoint with a time limit per call.
    pub fn new(url: &str, timeout_ms: u64) -> Result<Self, RpcError> {
        let limits = HttpLimits { timeout_ms, answer_bytes_max: RPC_ANSWER_BYTES_MAX };
        let endpoint = HttpEndpoint::new(url, limits)
            .ok_or_else(|| RpcError::Transport("not an HTTP URL".to_owned()))?;
        Ok(Self { endpoint, log_range: LogRange::default() })
    }
}

impl fmt::Debug for HttpRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path and query of an RPC URL are credentials.
        write!(f, "HttpRpc({})", self.endpoint.host())
    }
}

#[async_trait::async_trait]
impl Rpc for HttpRpc {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        read_reply(self.endpoint.call(method, params).await?)
    }

    async fn call_many(&self, method: &str, params: &[Box<RawValue>]) -> Result<Vec<Answer>, RpcError> {
        match self.endpoint.call_many(method, params).await? {
            // One that is not answered is asked alone, and so are the others then.
            Replies::Each(replies) => match replies.into_iter().collect::<Option<Vec<_>>>() {
                Some(replies) => Ok(replies.into_iter().map(read_reply).collect()),
                None => Err(RpcError::BadAnswer("answer to several requests at once")),
            },
            Replies::One(reply) => Err(match read_reply(reply) {
                Err(error) => error,
                Ok(_) => RpcError::BadAnswer("answer to several requests at once"),
            }),
        }
    }

    fn log_range(&self) -> &LogRange {
        &self.log_range
    }

    fn pause(&self) -> Option<&Pause> {
        Some(self.endpoint.pause())
    }

    fn host(&self) -> &str {
        self.endpoint.host()
    }
}

impl From<HttpFailure> for RpcError {
    fn from(failure: HttpFailure) -> Self {
        match failure {
            HttpFailure::Transport(words) => Self::Transport(words),
            HttpFailure::Timeout => Self::Timeout,
        }
    }
}

/// What an HTTP status and a body mean together on EVM chains.
fn read_reply(Reply { status, said }: Reply) -> Result<Box<RawValue>, RpcError> {
    if matches!(said, Said::TooLong) {
        return Err(RpcError::BadAnswer("answer within the size limit"));
    }
    if let Said::Limited { words } = said {
        return Err(RpcError::Limited(words));
    }
    // A 5xx is a gateway's, and proves nothing of the node behind it, whatever it says.
    if status >= 500 {
        return Err(RpcError::Http(status));
    }
    let is_success = (200..300).contains(&status);
    match said {
        // Some providers put a JSON-RPC error under a 4xx; its words are still the node's.
        Said::Error(NodeError { code, message, data }) => {
            let is_bytes = |data: &Value| text::data(data).is_ok();
            Err(RpcError::JsonRpc { code: code.unwrap_or(0), message, data: data.filter(is_bytes) })
        }
        Said::Result { result, answers_this: true } => Ok(result),
        _ if !is_success => Err(RpcError::Http(status)),
        Said::NotJson => Err(RpcError::BadAnswer("JSON")),
        Said::Neither { answers_this: true } => Err(RpcError::BadAnswer("JSON-RPC answer")),
        _ => Err(RpcError::BadAnswer("answer to this request")),
    }
}

#[cfg(test)]
mod tests;
