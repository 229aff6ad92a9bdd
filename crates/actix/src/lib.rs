#![doc = include_str!("../README.md")]

mod bridge;
mod connections;
mod convert;
mod extract;
mod middleware;
mod read_on;
mod unread_body;

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
pub use convert::{headers, response};
pub use extract::{Identity, NotServed, Paid};
pub use middleware::{GateMiddleware, GateService, Mount};
pub use quittance_gate::{
    AccountSecurity, Caller, Callers, Cors, Document, Gate, GateBuilder, GateError, Limits, Monitor,
    PaidFacts, UsageError, is_of_this_host,
};
pub use read_on::{ReadOn, ReadOnService};
