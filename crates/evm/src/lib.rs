#![doc = include_str!("../README.md")]

mod abi;
mod arrivals;
mod assembler;
mod batch;
mod blocks;
mod chain;
mod check;
mod classify;
mod config;
mod error;
mod exam;
mod failure;
#[cfg(test)]
mod fake;
mod fee_snapshot;
mod fees;
mod frames;
mod header;
mod health;
mod identify;
mod identity;
mod keys;
mod logs;
mod node;
mod op;
mod payer;
mod payment;
mod ports;
mod probe;
mod proof;
mod rehearsal;
mod replace;
mod rpc;
mod scan;
mod share;
mod shared;
mod sign;
mod signature;
mod simulate;
mod standing;
mod state;
mod statement;
mod text;
mod token;
mod transfers;
mod used;
mod view;

pub use arrivals::ArrivalCursor;
pub use chain::{EvmChain, stored_address, wallet_address};
pub use config::{
    ADDRESS_GAS_PRICE_ORACLE, ADDRESS_MULTICALL3, ARRIVAL_CALLS_MAX, ARRIVAL_SECONDS_MAX, BLOCK_TIME_BLOCKS,
    CONTRACT_SIGNATURE_BYTES_MAX, EvmConfig, FEE_HEADROOM_BLOCKS_MAX, FEE_HEADROOM_BLOCKS_MIN,
    FEE_HEADROOM_SECONDS, L1_FEE_HEADROOM, LANDING_SECONDS, LOG_BLOCKS_MAX, LOG_CALLS_MAX, MARGIN_BLOCKS,
    OTHERS_LOOK_SECONDS, PARALLEL_CALLS_MAX, RECEIPT_AGAIN_SECONDS, REORG_REWIND_SECONDS,
    RESEARCH_AFTER_SECONDS, RPC_ANSWER_BYTES_MAX, SEARCH_SECONDS_MAX, USE_SEARCHES_MAX, WATCH_CHUNK_MAX,
    YOUNG_QUERIES_MAX,
};
pub use error::EvmError;
pub use exam::{examine, examine_terms};
pub use failure::RpcError;
pub use fee_snapshot::FeeSnapshot;
pub use identify::{EvmIdentity, identify};
pub use payer::EvmPayer;
pub use payment::{EvmPayment, EvmWatch, SignatureKind};
pub use ports::{EvmDecode, facts, ports};
pub use replace::{BUMP_PERCENT, ENDED_MARGIN_SECONDS, NOTHING_GAS};
pub use rpc::{Answer, HttpRpc, LogRange, Rpc};
pub use scan::ScanCursor;
pub use share::gas_per_payment;
pub use sign::SignedTransaction;
pub use standing::EvmLanded;
pub use state::EvmState;
pub use statement::{StatementKey, offer_signer, receipt_signer};
pub use token::check_pay_to;
pub use used::{AuthorizationUse, USE_SEARCH_CALLS_MAX};
pub use view::{ChainCheck, ChainView, Head};
