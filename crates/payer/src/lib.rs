#![doc = include_str!("../README.md")]

mod answer;
mod buy;
mod carry;
mod error;
mod event;
mod keys;
mod limits;
mod request;
mod required;
mod sign;
mod state;

pub use answer::{ANSWER_BYTES_MAX, Answer, Bill, Outcome};
pub use buy::{Approve, Look, Payer, Quote, WAIT_SECONDS};
pub use carry::Carried;
pub use error::PayError;
pub use event::{Event, Observe, Offered, Terms, shown as shown_payment};
pub use keys::{Keys, SOLANA_RPC_DEFAULT};
pub use limits::{AUTHORIZATION_SECONDS_MAX, Limits, Token, dollars, network_named};
pub use request::Request;
pub use sign::random_hex as random_name;
pub use state::{FINALITY_SECONDS, Kept, PAID_KEPT_SECONDS, State};
