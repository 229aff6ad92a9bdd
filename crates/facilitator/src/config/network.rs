//! `[networks.NAME]` of the configuration.

use std::fmt;

use quittance_protocol::{Family, Network};
use serde::Deserialize;

use super::check::invalid;
use super::decimal::{decimal_text, optional_decimal_text};
use super::dollars::check_dollar;
use super::urls::without_spelling;
use super::{ConfigError, TokenAccount, resolve};

/// Wallets of one network, and as many that are retired.
pub const WALLETS_MAX: usize = 16;

/// `[networks.NAME]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// CAIP-2 identifier.
    pub network: Network,
    /// JSON-RPC endpoints, the first is preferred.
    pub rpc_urls: Vec<String>,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient (the owner, on Solana).
    pub pay_to: String,
    /// Secret references (`env:NAME`, `file:PATH`) of the wallets that sign and pay fees: one at least,
    /// each with a lane of its own. None with `[facilitator]`, which settles with its own.
    #[serde(default)]
    pub wallets: Vec<String>,
    /// Secret references of wallets that `wallets` named before: they take no new
    /// payment, and finish what was offered (Solana), claimed or sent with them.
    #[serde(default)]
    pub retired_wallets: Vec<String>,
    /// A wallet that cannot pay so many settlements more, each at the most that it may cost, is
    /// low: an alert, and no new payment for it while another one can take it.
    #[serde(default = "default_wallet_low_settlements")]
    pub wallet_low_settlements: u64,
    /// Watch and finish what was begun here, and sell nothing: not offered, not
    /// listed, no new claim.
    #[serde(default)]
    pub retired: bool,
    /// Whether others, with ledgers of their own, settle to `pay_to` as well. A
    /// payment that somebody else landed is then `owed`: nothing runs for it.
    #[serde(default)]
    pub shared_pay_to: bool,
    /// Pause between two looks for transfers to `pay_to` that the ledger cannot
    /// explain, in seconds.
    #[serde(default = "default_payout_look_seconds")]
    pub payout_look_seconds: u64,
    /// The operator's word that one token is worth one US dollar, for an asset
    /// that is not known as one.
    #[serde(default)]
    pub dollar: bool,
    /// The token's decimals, compared with the chain.
    #[serde(default = "default_asset_decimals")]
    pub asset_decimals: u8,
    /// Shown in offers.
    #[serde(default = "default_symbol")]
    pub asset_symbol: String,
    /// EVM: EIP-712 domain name of the token.
    #[serde(default)]
    pub asset_name: Option<String>,
    /// EVM: EIP-712 domain version of the token.
    #[serde(default)]
    pub asset_version: Option<String>,
    /// How long an offer may be paid, in seconds, 30 at least. A signature on Solana lives for some
    /// thirty whatever it says: as long as the blockhash that it is made over.
    #[serde(default = "default_max_timeout_seconds")]
    pub max_timeout_seconds: u64,
    /// One RPC call's limit.
    #[serde(default = "default_rpc_timeout_ms")]
    pub rpc_timeout_ms: u64,
    /// How much older an endpoint's newest block may be than another's, or than the
    /// clock, in seconds: from there on it is asked only when no other answers. Above
    /// the chain's block time.
    #[serde(default = "default_head_age_seconds_max")]
    pub head_age_seconds_max: u64,
    /// Pause between two looks at the endpoints' heads, in seconds.
    #[serde(default = "default_head_look_seconds")]
    pub head_look_seconds: u64,
    /// Pause between two looks of the shared poller while a payment is some seconds old; what has
    /// waited for longer is looked at more seldom, every two seconds at last.
    #[serde(default = "default_poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// From this amount on (USDC) a landing needs the word of a second endpoint,
    /// where `rpc_urls` has one (I7): a lone node that lies can sell no more.
    #[serde(default = "default_second_opinion_usdc", deserialize_with = "decimal_text")]
    pub second_opinion_usdc: String,
    /// EVM: the ticker of what transactions are paid with; `ETH` where nothing is said.
    #[serde(default)]
    pub gas_coin: Option<String>,
    /// EVM: its decimals, 18.
    #[serde(default)]
    pub gas_coin_decimals: Option<u32>,
    /// EVM: which exchange rate prices it, where it is not the ticker's own (`pol_usd` of `POL`).
    #[serde(default)]
    pub gas_coin_rate: Option<String>,
    /// EVM: blocks on top of the one that holds the payment, whatever a block takes.
    #[serde(default)]
    pub confirmations: Option<u64>,
    /// EVM: gas limit of a settlement, also the cost bound.
    #[serde(default)]
    pub settle_gas_limit: Option<u64>,
    /// EVM: gas a settlement is expected to use, what the tariff charges for.
    #[serde(default)]
    pub settle_gas_expected: Option<u64>,
    /// EVM: where Multicall3 stands, 0x hex; with other code there each payment has a transaction of its own.
    #[serde(default)]
    pub multicall: Option<String>,
    /// EVM: the most gas that the chain lets a transaction use, which bounds how many payments share one.
    #[serde(default)]
    pub transaction_gas_max: Option<u64>,
    /// EVM: gas limit of a call in which several payments are checked, which bounds how many share one.
    #[serde(default)]
    pub check_gas_max: Option<u64>,
    /// EVM: cap on the fee per gas of anything we sign (I8).
    #[serde(default)]
    pub max_fee_per_gas_wei: Option<u64>,
    /// EVM: tip per gas.
    #[serde(default)]
    pub priority_fee_wei: Option<u64>,
    /// EVM: how far ahead `validBefore` may lie.
    #[serde(default)]
    pub authorization_seconds_max: Option<u64>,
    /// EVM: whether payers with code are taken: contract wallets (ERC-1271) and
    /// accounts with an EIP-7702 delegation. Their code decides after our check
    /// whether the transaction reverts, so each is run at the gas price that it will
    /// carry (an RPC call more), and few are in flight.
    #[serde(default)]
    pub contract_payers: Option<bool>,
    /// EVM: most payments that share a transaction; with 1, as where nothing is said, each has its own.
    #[serde(default)]
    pub batch_size_max: Option<u32>,
    /// EVM: how long before its deadline a payment shares none any more.
    #[serde(default)]
    pub batch_margin_seconds: Option<u64>,
    /// EVM: the longest that a payment waits, behind a busy wallet, for others to share with.
    #[serde(default)]
    pub batch_wait_ms: Option<u64>,
    /// EVM: attempts of payers with code in flight at once.
    #[serde(default)]
    pub contract_payers_in_flight_max: Option<u32>,
    /// What all attempts in flight may cost, in whole coins: as
    /// `quote.in_flight_network_usdc`, and no exchange rate moves it.
    #[serde(default, deserialize_with = "optional_decimal_text")]
    pub in_flight_native: Option<String>,
    /// The same for one payer.
    #[serde(default, deserialize_with = "optional_decimal_text")]
    pub in_flight_payer_native: Option<String>,
    /// What attempts may cost without earning within 24 hours, probes included, in
    /// whole coins: as soft limit and probe budget of `[quote]` together.
    #[serde(default, deserialize_with = "optional_decimal_text")]
    pub uncollected_day_native: Option<String>,
    /// EVM: what freeing nonces of ours that do not move may cost within 24 hours beyond what their
    /// payments were charged, in whole coins; 0, the default, replaces none.
    #[serde(default, deserialize_with = "optional_decimal_text")]
    pub unwedge_budget_native_per_day: Option<String>,
    /// Solana: when the recipient's token account is created.
    #[serde(default)]
    pub token_account: Option<TokenAccount>,
    /// Solana: cap on the priority fee a payer may make us pay.
    #[serde(default)]
    pub priority_fee_lamports_max: Option<u64>,
    /// Solana: whether transactions of version 1 are taken. Every endpoint must take them.
    #[serde(default)]
    pub transaction_v1: Option<bool>,
    /// Solana: what creating token accounts may cost us within a UTC day, in lamports.
    #[serde(default)]
    pub account_lamports_per_day: Option<u64>,
    /// Solana: the same for one payer, or one merchant.
    #[serde(default)]
    pub account_lamports_per_payer_day: Option<u64>,
}

fn default_wallet_low_settlements() -> u64 {
    10
}
fn default_payout_look_seconds() -> u64 {
    15
}
fn default_asset_decimals() -> u8 {
    6
}
fn default_symbol() -> String {
    "USDC".to_owned()
}
fn default_max_timeout_seconds() -> u64 {
    120
}
fn default_rpc_timeout_ms() -> u64 {
    5_000
}
fn default_head_age_seconds_max() -> u64 {
    6
}
fn default_head_look_seconds() -> u64 {
    3
}
fn default_poll_interval_ms() -> u64 {
    100
}
fn default_second_opinion_usdc() -> String {
    "10".to_owned()
}

impl NetworkConfig {
    /// Where two endpoints must agree (I7), one that is written twice agrees with itself.
    fn check_endpoints(&self, name: &str) -> Result<(), ConfigError> {
        let mut seen = std::collections::BTreeSet::new();
        for (index, url) in self.rpc_urls.iter().enumerate() {
            // What cannot be resolved or is no URL is refused where it is used.
            let Some(same) = resolve("rpc_urls", url).ok().and_then(|url| without_spelling(&url)) else {
                continue;
            };
            if !seen.insert(same) {
                let problem = format!("rpc_urls[{index}] is an endpoint that stands before it already");
                return Err(invalid(name, &problem));
            }
        }
        Ok(())
    }

    /// By their references; that no two of them lead to one key is seen when the keys are read.
    fn check_wallets(&self, name: &str, settled_elsewhere: bool) -> Result<(), ConfigError> {
        if self.wallets.is_empty() && !settled_elsewhere {
            return Err(invalid(name, "wallets must name a secret at least, e.g. [\"env:BASE_WALLET\"]"));
        }
        for (key, list) in [("wallets", &self.wallets), ("retired_wallets", &self.retired_wallets)] {
            if list.len() > WALLETS_MAX {
                let problem = format!("{key} names more than {WALLETS_MAX} secrets");
                return Err(invalid(name, &problem));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        let all = self.wallets.iter().chain(&self.retired_wallets);
        match all.into_iter().all(|reference| seen.insert(reference)) {
            true => Ok(()),
            false => Err(invalid(
                name,
                "wallets and retired_wallets name the same secret twice; a wallet has one lane and one nonce \
                 counter, so name each once",
            )),
        }
    }

    /// All that types cannot express.
    pub(super) fn problems(&self, name: &str, settled_elsewhere: bool) -> Vec<ConfigError> {
        let is_empty = self.rpc_urls.is_empty().then(|| match settled_elsewhere {
            false => invalid(name, "rpc_urls is empty"),
            true => invalid(
                name,
                "rpc_urls is empty: what [facilitator] says is never believed, each landing is looked at on \
                 chain; name an endpoint",
            ),
        });
        let of_family = match self.network.family() {
            Family::Eip155(_) => self.check_evm(name),
            Family::Solana => self.check_solana(name),
        };
        let checks = [
            self.check_endpoints(name),
            self.check_wallets(name, settled_elsewhere),
            check_dollar(name, (&self.network, &self.asset), self.dollar),
            of_family,
        ];
        is_empty.into_iter().chain(checks.into_iter().filter_map(Result::err)).collect()
    }
}

impl fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RPC URLs carry API keys, and anything may have been pasted into the rest.
        f.debug_struct("NetworkConfig")
            .field("network", &self.network)
            .field("rpc_urls", &self.rpc_urls.len())
            .finish_non_exhaustive()
    }
}
