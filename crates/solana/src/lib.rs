#![doc = include_str!("../README.md")]

mod arrivals;
mod ask;
mod blockhashes;
mod broadcast;
mod chain;
mod check;
mod classify;
mod cluster;
mod commitment;
mod deadline;
mod defect;
mod elsewhere;
mod error;
mod exam;
mod health;
mod height_gate;
mod history;
mod identity;
mod inspect;
mod instructions;
mod key;
mod limits;
mod message;
mod node;
mod payer;
mod payment;
mod payout;
mod ports;
mod read;
mod recipient;
mod rpc;
mod scan;
mod shared;
mod simulate;
mod standing;
mod status;
#[cfg(test)]
mod testing;
mod token;
mod transfers;
mod used;

pub use arrivals::{ARRIVALS_MAX, ArrivalCursor};
pub use broadcast::Broadcast;
pub use chain::{
    LAMPORTS_PER_SIGNATURE, SIGNATURES_PER_PAYMENT, SignedTransaction, SolanaChain, SolanaConfig, SolanaFees,
    SolanaView, TokenAccountPolicy,
};
pub use commitment::Commitment;
pub use deadline::BLOCKS_LEFT_MIN;
#[cfg(feature = "defects")]
pub use defect::{Defect, plant};
pub use error::{MalformedTransaction, SolanaError};
pub use exam::{SolanaTermsExam, examine, examine_terms};
pub use height_gate::HEIGHT_READ_INTERVAL_MS;
pub use identity::{SolanaIdentity, identify};
pub use inspect::{LIGHTHOUSE_MAX, MEMO_BYTES_MAX};
pub use key::{is_address, wallet_address};
pub use limits::{INSTRUCTIONS_MAX, LANDING_SEARCHES_MAX};
pub use message::{TRANSACTION_BYTES_MAX, TRANSACTION_V1_BYTES_MAX};
pub use payer::{PayerOptions, PaymentParts, SolanaPayer, build_payment};
pub use payment::{SolanaPayment, SolanaWatch};
pub use payout::{Payout, SolanaState};
pub use ports::{SolanaDecode, check_pay_to, facts, ports};
pub use rpc::{HttpRpc, RPC_ANSWER_BYTES_MAX, Rpc, RpcFailure};
pub use scan::UNSHOWN_PATIENCE;
pub use standing::SolanaLanded;
pub use status::{STATUS_CACHE_SLOTS, STATUSES_PER_CALL};
pub use token::{MintFault, TokenProgram};
pub use used::LANDING_SEARCH_MAX;
