#![doc = include_str!("../README.md")]

mod budget;
mod coalesce;
mod endpoints;
mod examined;
mod heads;
mod http;
mod identity;
mod limited;
mod node_error;
mod pause;
mod range;
mod send;
mod tally;
mod told;

pub use budget::Budget;
pub use coalesce::{CallFailed, Coalescer, Query, Shared};
pub use endpoints::{Endpoint, Endpoints, HEAD_WAIT, Opinion};
pub use examined::{SLOW_ANSWERS_MAX, Slowest, WRONG_PARAMS, is_not_offered};
pub use heads::{Fleet, SeenHead};
pub use http::{HttpEndpoint, HttpFailure, HttpLimits, Replies, Reply, Said};
pub use identity::{Identity, Misplaced, Name};
pub use node_error::NodeError;
pub use pause::{PAUSE_MAX, PAUSE_UNSAID, Pause, SILENCE_MAX};
pub use range::{AdaptiveRange, RANGE_BLOCKS_MAX, Refusal};
pub use send::combine;
pub use tally::Tally;
pub use told::Told;
