#![doc = include_str!("../README.md")]

mod answers;
mod body;
mod bytes;
mod closed;
mod connections;
mod cors;
mod decide;
mod discovery;
pub mod drain;
mod entry;
mod error;
mod facilitate;
mod gate;
mod head;
mod hooks;
mod intake;
mod limits;
mod monitor;
mod paid;
mod person;
mod pricing;
mod quote;
mod range;
mod recall;
mod receipt;
mod release;
mod replay;
mod run;
mod several;
mod shared;
mod shown;
mod signing;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unserved;
mod visit;

#[cfg(test)]
mod tests;

pub use body::{Body, BrokenOff, HandlerError, Polled};
pub use connections::{Admitted, Connections};
pub use cors::{Cors, Verdict};
pub use discovery::listed::{AccountSecurity, Document};
pub use entry::{Entry, PricedRequest, UnpricedRequest};
pub use error::GateError;
pub use gate::{Gate, GateBuilder};
pub use head::Arrival;
pub use limits::Limits;
pub use monitor::{Monitor, is_of_this_host};
pub use paid::{Identity, Paid, UsageError};
pub use quittance_facilitator::{Caller, Callers, PaidFacts};
pub use run::WITHHELD;
