#![doc = include_str!("../README.md")]

mod budget;
mod endpoints;
mod heads;
mod http;
mod identity;
mod range;
mod send;
mod tally;

pub use budget::Budget;
pub use endpoints::{Endpoint, Endpoints, HEAD_WAIT, Opinion};
pub use heads::{Fleet, SeenHead};
pub use http::{HttpEndpoint, HttpFailure, HttpLimits, NodeError, Reply, Said};
pub use identity::{Identity, Misplaced, Name};
pub use range::{AdaptiveRange, RANGE_BLOCKS_MAX, Refusal};
pub use send::combine;
pub use tally::Tally;
