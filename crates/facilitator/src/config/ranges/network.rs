//! What the numbers of `[networks.NAME]` may be.

use quittance_protocol::Family;

use super::{DAY_SECONDS, MUCH_USDC, Range};
use crate::config::NetworkConfig;

/// What a transaction on Base may use at most.
const TRANSACTION_GAS_MAX: u64 = 16_777_216;
/// Payments in one attempt ([`quittance_ledger::BATCH_PAYMENTS_MAX`]).
const BATCH_PAYMENTS_MAX: u64 = 256;
/// No mistake should cost a whole one: sums of wei fit a database's numbers up to nine.
const ETHER_MAX: u64 = 1;
/// Of the same order.
const SOL_MAX: u64 = 100;
/// Ten SOL of token accounts a day.
const ACCOUNT_LAMPORTS_MAX: u64 = 10_000_000_000;
/// Of coins that nobody here knows.
const COINS_MAX: u64 = 1_000_000;

#[allow(clippy::too_many_lines, reason = "a list of keys")]
pub(super) fn of_network<'a>(name: &str, network: &'a NetworkConfig) -> Vec<Range<'a>> {
    let NetworkConfig {
        network: _,
        rpc_urls: _,
        asset: _,
        pay_to: _,
        wallets: _,
        retired_wallets: _,
        wallet_low_settlements,
        retired: _,
        shared_pay_to: _,
        payout_look_seconds,
        dollar: _,
        asset_decimals,
        asset_symbol: _,
        asset_name: _,
        asset_version: _,
        gas_coin: _,
        gas_coin_rate: _,
        gas_coin_decimals: _,
        max_timeout_seconds,
        rpc_timeout_ms,
        head_age_seconds_max,
        head_look_seconds,
        poll_interval_ms,
        second_opinion_usdc,
        confirmations: _,
        settle_gas_limit: _,
        settle_gas_expected: _,
        multicall: _,
        transaction_gas_max: _,
        check_gas_max: _,
        max_fee_per_gas_wei: _,
        priority_fee_wei: _,
        authorization_seconds_max: _,
        batch_size_max: _,
        batch_margin_seconds: _,
        batch_wait_ms: _,
        contract_payers: _,
        contract_payers_in_flight_max: _,
        in_flight_native,
        in_flight_payer_native,
        uncollected_day_native,
        unwedge_budget_native_per_day,
        token_account: _,
        priority_fee_lamports_max: _,
        transaction_v1: _,
        account_lamports_per_day: _,
        account_lamports_per_payer_day: _,
    } = network;
    let key = |key: &str| format!("networks.{name}.{key}");
    let coins_max = coins_max(network);
    let native = [
        ("in_flight_native", in_flight_native),
        ("in_flight_payer_native", in_flight_payer_native),
        ("uncollected_day_native", uncollected_day_native),
    ];
    let native = native.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
    let mut all = vec![
        // Prices, surcharges and ceilings are millionths of a dollar, and so are
        // the token's units: with other decimals an amount would be worth
        // another sum than was asked for.
        Range::whole(key("asset_decimals"), u64::from(*asset_decimals), 6, 6),
        // Clients sign for that long; less leaves no time to settle, whatever the block time.
        Range::whole(key("max_timeout_seconds"), *max_timeout_seconds, 30, DAY_SECONDS),
        Range::whole(key("rpc_timeout_ms"), *rpc_timeout_ms, 100, 120_000),
        // Times of blocks are whole seconds: less would call everybody behind.
        Range::whole(key("head_age_seconds_max"), *head_age_seconds_max, 2, 3_600),
        Range::whole(key("head_look_seconds"), *head_look_seconds, 1, 3_600),
        Range::whole(key("poll_interval_ms"), *poll_interval_ms, 10, 60_000),
        Range::whole(key("payout_look_seconds"), *payout_look_seconds, 1, DAY_SECONDS),
        Range::whole(key("wallet_low_settlements"), *wallet_low_settlements, 1, 100_000),
        Range::usdc(key("second_opinion_usdc"), second_opinion_usdc, 0, MUCH_USDC),
    ];
    all.extend(native.map(|(name, text)| Range::coins(key(name), text, coins_max)));
    let unwedge = unwedge_budget_native_per_day.as_deref();
    let unwedge_key = key("unwedge_budget_native_per_day");
    all.extend(unwedge.map(|text| Range::coins_or_none(unwedge_key, text, coins_max)));
    all.extend(match network.network.family() {
        Family::Eip155(_) => of_evm(network, key),
        Family::Solana => of_solana(network, key),
    });
    all
}

/// No mistake should cost a whole ether; of a coin of unknown price as many as a
/// database's numbers hold.
fn coins_max(network: &NetworkConfig) -> u64 {
    match network.network.family() {
        Family::Solana => SOL_MAX,
        Family::Eip155(_) if network.pays_ether() => ETHER_MAX,
        Family::Eip155(_) => {
            let unit = 10_u64.saturating_pow(network.gas_coin().decimals);
            (i64::MAX.unsigned_abs() / unit).clamp(1, COINS_MAX)
        }
    }
}

fn of_evm<'a>(network: &'a NetworkConfig, key: impl Fn(&str) -> String) -> Vec<Range<'a>> {
    let evm = network.evm();
    vec![
        Range::whole(key("gas_coin_decimals"), u64::from(network.gas_coin().decimals), 9, 18),
        Range::whole(key("confirmations"), evm.confirmations, 0, 3_600),
        Range::whole(key("settle_gas_limit"), evm.settle_gas_limit, 60_000, TRANSACTION_GAS_MAX),
        Range::whole(key("settle_gas_expected"), evm.settle_gas_expected, 21_000, TRANSACTION_GAS_MAX),
        // Below what two payments take each goes alone; blocks of some chains hold more.
        Range::whole(key("transaction_gas_max"), evm.transaction_gas_max, 60_000, 100_000_000),
        // Some nodes bound calls like transactions, others at a multiple of a block.
        Range::whole(key("check_gas_max"), evm.check_gas_max, 100_000, 500_000_000),
        Range::whole(key("max_fee_per_gas_wei"), evm.max_fee_per_gas_wei, 1, 10_000_000_000_000),
        Range::whole(key("priority_fee_wei"), evm.priority_fee_wei, 0, 1_000_000_000_000),
        Range::whole(key("authorization_seconds_max"), evm.authorization_seconds_max, 5, DAY_SECONDS),
        // The ledger takes no more in one commit.
        Range::whole(key("batch_size_max"), u64::from(evm.batch_size_max), 1, BATCH_PAYMENTS_MAX),
        // A look at a batch and its transaction's way into a block take some of it.
        Range::whole(key("batch_margin_seconds"), evm.batch_margin_seconds, 3, 3_600),
        // Above that it is longer than a block takes on most chains.
        Range::whole(key("batch_wait_ms"), evm.batch_wait_ms, 0, 1_000),
        Range::whole(
            key("contract_payers_in_flight_max"),
            u64::from(evm.contract_payers_in_flight_max),
            1,
            10_000,
        ),
    ]
}

fn of_solana<'a>(network: &'a NetworkConfig, key: impl Fn(&str) -> String) -> Vec<Range<'a>> {
    let solana = network.solana();
    let limits = [
        ("account_lamports_per_day", solana.accounts.day),
        ("account_lamports_per_payer_day", solana.accounts.payer_day),
    ];
    let most = solana.priority_fee_lamports_max;
    let mut all = vec![Range::whole(key("priority_fee_lamports_max"), most, 0, 10_000_000)];
    all.extend(limits.map(|(name, lamports)| Range::whole(key(name), lamports, 0, ACCOUNT_LAMPORTS_MAX)));
    all
}
