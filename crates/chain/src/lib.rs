#![doc = include_str!("../README.md")]

mod batch;
mod chain;
mod costs;
mod exam;
mod facts;
mod good_signatures;
mod not_connected;
mod payment;
mod ports;
mod rejection;
mod replace;
mod transfers;
mod watched;

pub use batch::{Batch, BatchItem, Rehearsal};
pub use chain::{Chain, Connect, Ports};
pub use costs::{CostAllowed, CostSnapshot, Obstacle, OwedAccount, SignRefused};
pub use exam::{EndpointExam, HeadExam, MethodExam, Need, Serves, Taken};
pub use facts::{Facts, GasCoin};
pub use good_signatures::GoodSignatures;
pub use not_connected::NotConnected;
pub use payment::{CheckedPayment, Identity, PaymentFacts, Unreadable, Unstorable, Verified};
pub use ports::{Broadcast, Costs, Decode, Endpoints, Nonces, Payout, Payouts, Sent, Sign, Verify, Watch};
pub use rejection::{CheckError, Rejection};
pub use replace::{Replace, ReplacementBound, Successor};
pub use transfers::{Transfer, TransferHistory, TransferPage, TransferQuery};
pub use watched::{ChainFault, ChainView, Heights, Landed, Use, Watched};
