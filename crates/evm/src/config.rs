//! What an operator says about a chain, and the limits nobody needs to change.

use std::fmt;

use quittance_protocol::Network;

/// Multicall3, the same address on every chain that has it.
pub const ADDRESS_MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";
/// The OP-stack predeploy that knows the L1 data fee.
pub const ADDRESS_GAS_PRICE_ORACLE: &str = "0x420000000000000000000000000000000000000F";
/// Longest signature a contract payer may bring; every byte of it is calldata that we pay for.
pub const CONTRACT_SIGNATURE_BYTES_MAX: usize = 2_048;
/// The L1 data fee enters a cost bound this many times, because it may rise before inclusion.
pub const L1_FEE_HEADROOM: u128 = 2;
/// A signature's fee cap has room for the base fee to rise with every block for so long: until the
/// next look at the chain, and a block.
pub const FEE_HEADROOM_SECONDS: u64 = 2;
/// And for at least that many blocks: six double the base fee.
pub const FEE_HEADROOM_BLOCKS_MIN: u64 = 6;
/// At most that many, whatever was measured.
pub const FEE_HEADROOM_BLOCKS_MAX: u64 = 64;
/// Most blocks one `eth_getLogs` asks for; an endpoint that allows fewer is asked for fewer.
pub const LOG_BLOCKS_MAX: u64 = quittance_rpc::RANGE_BLOCKS_MAX;
/// Most `eth_getLogs` that one look plans. What is left of a long gap comes with the next looks, so
/// that the newest blocks never wait for the oldest.
pub const LOG_CALLS_MAX: usize = 64;
/// Most answers that one planned `eth_getLogs` becomes at an endpoint that allows fewer blocks than it
/// was planned for; the next look plans with what was learnt.
pub(crate) const LOG_ANSWERS_MAX: usize = 8;
/// Most payers (and nonces) one `eth_getLogs` filters for.
pub const WATCH_CHUNK_MAX: usize = 200;
/// How far a search starts before a payment's first block, in time of the chain: a reorganisation may
/// have moved the landing down. Deeper than Base's sequencer ever went back.
pub const REORG_REWIND_SECONDS: u64 = 120;
/// What others may have landed is searched for, and finality asked for, once in this much time of the
/// chain, however many blocks that is.
pub const OTHERS_LOOK_SECONDS: u64 = 2;
/// For so long a payment's own transaction is looked for at every block; later as seldom as
/// everything else.
pub const LANDING_SECONDS: u64 = 15;
/// A payment that stays open is searched again from its first block after this much time of the
/// chain for each `eth_getLogs` that it takes, so that a node that answered from behind its own head
/// cannot hide a landing for long, and looking again costs the same on every chain.
pub const RESEARCH_AFTER_SECONDS: u64 = 60;
/// A receipt that the node did not have, although the nonce is used, is asked for again after this
/// much time of the chain.
pub const RECEIPT_AGAIN_SECONDS: u64 = 4;
/// How far back a search goes at most: more than eleven days, where an authorization lives for
/// minutes. It bounds what a watch without a first block can cost.
pub const SEARCH_SECONDS_MAX: u64 = 1_000_000;
/// Most `eth_getLogs` that one look at landings that are not final makes.
pub const YOUNG_QUERIES_MAX: usize = 8;
/// Most `eth_getLogs` that one look for transfers to the payout address makes; the next look goes on
/// where it stopped.
pub const ARRIVAL_CALLS_MAX: u64 = 64;
/// How far such looks may fall behind, in time of the chain; what is older is skipped.
pub const ARRIVAL_SECONDS_MAX: u64 = 3_600;
/// How far back the block time is measured at first.
pub const BLOCK_TIME_BLOCKS: u64 = 1_000;
/// An authorization must have time for this many blocks, where that is more than
/// `valid_before_margin_seconds`.
pub const MARGIN_BLOCKS: u64 = 3;
/// Most JSON-RPC calls in flight for one scan.
pub const PARALLEL_CALLS_MAX: usize = 32;
/// Longest answer read from a node.
pub const RPC_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Gas for a read-only call at start-up and for fees.
pub(crate) const READ_GAS: u64 = 1_000_000;

/// Most searches for the use of an authorization at once on one chain.
pub const USE_SEARCHES_MAX: usize = 4;

/// One EVM network, one token, one recipient.
#[derive(Clone)]
pub struct EvmConfig {
    /// `eip155:<chain id>`.
    pub network: Network,
    /// JSON-RPC endpoints; the first is the primary. They may contain credentials and are never printed.
    pub rpc_urls: Vec<String>,
    /// Token contract with EIP-3009, 0x hex.
    pub asset: String,
    /// `name` of the token's EIP-712 domain, e.g. `USD Coin`.
    pub asset_name: String,
    /// `version` of the token's EIP-712 domain, e.g. `2`.
    pub asset_version: String,
    /// Decimals of the token's units.
    pub asset_decimals: u8,
    /// Who is paid, 0x hex; with its EIP-55 checksum if it has letters of both cases.
    pub pay_to: String,
    /// `validBefore` is at most this far ahead; a claim lives that long at worst (I5).
    pub authorization_seconds_max: u64,
    /// An authorization with less time left than this, or than [`MARGIN_BLOCKS`] take, is not worth
    /// a transaction.
    pub valid_before_margin_seconds: u64,
    /// Depth at which a block counts: 0 is the head itself. A number of blocks, as chains mean it:
    /// it protects against a block that loses, however long one takes.
    pub confirmations: u64,
    /// From this amount on, in atomic units, a landing needs a second endpoint's word where there is
    /// one (I7).
    pub second_opinion_value: u64,
    /// Gas limit of a settlement.
    pub settle_gas_limit: u64,
    /// Gas that a settlement is expected to use: what a tariff charges for.
    pub settle_gas_expected: u64,
    /// Multicall3, 0x hex: what checks read through, and batches go through where its code is the known one.
    pub multicall: String,
    /// Most gas that a transaction may use on the chain; it bounds how many payments share one. Below what
    /// two take, each goes alone.
    pub transaction_gas_max: u64,
    /// Gas limit of a call in which several payments are checked: it bounds how many share one.
    pub check_gas_max: u64,
    /// How much above the newest base fee a tariff reckons with, in basis points of it.
    pub base_fee_headroom_bps: u128,
    /// No signature leaves with a higher `maxFeePerGas` (I8).
    pub max_fee_per_gas_wei: u128,
    /// `maxPriorityFeePerGas` of a settlement.
    pub priority_fee_wei: u128,
    /// Longest wait for one JSON-RPC answer.
    pub rpc_timeout_ms: u64,
    /// How much older an endpoint's newest block may be than another's, or than the clock, before the
    /// endpoint is asked only when no other answers. Above the chain's block time.
    pub head_age_max_ms: u64,
    /// How often the engine's poller should call [`crate::EvmChain::scan`].
    pub poll_interval_ms: u64,
    /// Whether the service sells already: endpoints that serve another chain are then left out instead
    /// of ending the start.
    pub late: bool,
    /// Whether a signature that does not recover to the payer is put before the token, which asks
    /// the payer's contract (ERC-1271). Off, such a payment costs no RPC call.
    pub contract_payers: bool,
}

impl EvmConfig {
    /// Defaults for USDC on Base; every field may be changed afterwards.
    pub fn new(
        network: Network,
        rpc_urls: Vec<String>,
        asset: impl Into<String>,
        pay_to: impl Into<String>,
    ) -> Self {
        Self {
            network,
            rpc_urls,
            asset: asset.into(),
            asset_name: "USD Coin".to_owned(),
            asset_version: "2".to_owned(),
            asset_decimals: 6,
            pay_to: pay_to.into(),
            authorization_seconds_max: 900,
            valid_before_margin_seconds: 6,
            confirmations: 0,
            second_opinion_value: 10_000_000,
            settle_gas_limit: 150_000,
            settle_gas_expected: 88_000,
            multicall: ADDRESS_MULTICALL3.to_owned(),
            // Base since Azul (EIP-7825).
            transaction_gas_max: 16_777_216,
            // Below what a transaction may use on Base, to which some nodes hold calls too.
            check_gas_max: 16_000_000,
            base_fee_headroom_bps: 11_250,
            max_fee_per_gas_wei: 2_000_000_000,
            priority_fee_wei: 1_000_000,
            rpc_timeout_ms: 5_000,
            head_age_max_ms: 6_000,
            poll_interval_ms: 100,
            late: false,
            contract_payers: true,
        }
    }
}

impl fmt::Debug for EvmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RPC URLs carry API keys.
        f.debug_struct("EvmConfig")
            .field("network", &self.network)
            .field("endpoints", &self.rpc_urls.len())
            .field("asset", &self.asset)
            .field("pay_to", &self.pay_to)
            .field("confirmations", &self.confirmations)
            .field("settle_gas_limit", &self.settle_gas_limit)
            .field("max_fee_per_gas_wei", &self.max_fee_per_gas_wei)
            .finish_non_exhaustive()
    }
}
