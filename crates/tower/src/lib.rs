#![doc = include_str!("../README.md")]

mod extract;
#[cfg(feature = "axum")]
mod extractors;
mod failed;
mod layer;
mod peer;
mod request_body;
mod response_body;
mod serve;

#[cfg(test)]
mod tests;

pub use extract::{Identity, Paid};
#[cfg(feature = "axum")]
pub use extractors::NotServed;
pub use failed::BodyError;
pub use layer::{GateLayer, GateService, Mount};
pub use peer::Peer;
pub use quittance_gate::{
    AccountSecurity, Caller, Callers, Cors, Document, Gate, GateBuilder, GateError, HandlerError, Limits,
    Monitor, PaidFacts, UsageError,
};
pub use request_body::RequestBody;
pub use response_body::ResponseBody;
pub use serve::serve;
