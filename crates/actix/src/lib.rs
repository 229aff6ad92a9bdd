#![doc = include_str!("../README.md")]

mod answers;
mod body;
mod bytes;
mod connections;
mod cors;
mod discovery;
mod error;
mod gate;
mod head;
mod intake;
mod limits;
mod middleware;
mod paid;
mod pricing;
mod range;
mod receipt;
mod replay;
mod run;
mod till;
mod unserved;

/// Sets an `HttpServer` up so that the gate learns early that a client hung up.
///
/// A client that closes its side of an HTTP/1 connection has left. By default
/// actix goes on with the request and finds out when it writes: a short answer
/// then counts as given to nobody, and the client's next call, signed anew, is
/// another purchase instead of being answered from this one.
#[macro_export]
macro_rules! notice_hang_ups {
    ($server:expr) => {
        $server.h1_allow_half_closed(false)
    };
}

#[cfg(test)]
mod tests;

pub use connections::Connections;
pub use cors::Cors;
pub use discovery::{AccountSecurity, Document};
pub use error::GateError;
pub use gate::{Gate, GateBuilder};
pub use limits::Limits;
pub use middleware::{GateMiddleware, GateService};
pub use paid::{Identity, Paid, UsageError};
pub use quittance_facilitator::{Caller, Callers, PaidFacts};
