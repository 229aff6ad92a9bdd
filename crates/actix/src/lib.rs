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
