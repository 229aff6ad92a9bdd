//! How one network's tariff is made and kept fresh.
//!
//! A tariff is committed to the ledger, numbered, before it is offered, so
//! that every replica, and this one after a restart, honours it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use quittance_ledger::{Books, LedgerError, Store, TariffRow};
use quittance_quote::{Markup, Tariff, native_to_usdc, next_gas};
use serde_json::{Value, json};

use crate::chain::{ChainFault, CostSnapshot};
use crate::metrics::Metrics;
use crate::metrics::trouble::{self, Trouble};
use crate::network::accounts;
use crate::network::closed::Closed;
use crate::network::configured::ConfiguredNetwork;
use crate::network::pool::{Funds, PoolWallet};
use crate::network::spending::strangers_wait;

/// Pause between two looks at the sums while a ceiling closes the network.
pub(crate) const CEILING_PAUSE: Duration = Duration::from_millis(500);

/// How tariffs are made.
#[derive(Clone)]
pub(crate) struct TariffPolicy {
    pub(crate) markup: Markup,
    pub(crate) refresh: Duration,
    /// A tariff older than this is not offered.
    pub(crate) age_max_ms: i64,
    pub(crate) fall_bps_per_minute: u32,
    /// How long replaced tariffs stay payable, of the network that lets its offers live longest.
    pub(crate) payable_ms: i64,
    /// How long after an offer's own time it is honoured.
    pub(crate) grace_ms: i64,
}

/// Why no new tariff was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TariffError {
    #[error("{0}")]
    Chain(#[from] ChainFault),
    #[error("no fresh exchange rate")]
    NoRate,
    #[error(transparent)]
    Quote(#[from] quittance_quote::QuoteError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Account(#[from] accounts::AccountError),
}

/// Reads the ledger's tariffs into the network's window.
pub(crate) async fn reload(
    net: &ConfiguredNetwork,
    ledger: &dyn Store,
    policy: &TariffPolicy,
    now_ms: i64,
) -> Result<(), TariffError> {
    let since = now_ms.saturating_sub(policy.payable_ms);
    for row in ledger.tariffs_since(net.chain.network(), since).await? {
        note_named(net, &row, policy, now_ms);
        net.push(from_row(row))?;
    }
    Ok(())
}

/// Where a tariff says which wallets its offers may name.
const WALLETS: &str = "wallets";

/// Takes in which wallets the offers of a tariff may name: of all processes on the ledger.
fn note_named(net: &ConfiguredNetwork, row: &TariffRow, policy: &TariffPolicy, now_ms: i64) {
    if net.chain.facts().offer_wallet.is_none() {
        return;
    }
    let names = row.detail.get(WALLETS).and_then(|names| serde_json::from_value(names.clone()).ok());
    let own_ms = net.terms.max_timeout_seconds.saturating_mul(1_000);
    let own_ms = i64::try_from(own_ms).unwrap_or(i64::MAX).saturating_add(policy.grace_ms);
    let until_ms = row.replaced_at_ms.unwrap_or(now_ms).saturating_add(own_ms);
    net.pool.note_tariff(row.number, names, until_ms);
}

fn from_row(row: TariffRow) -> Tariff {
    let detail = |name: &str| row.detail.get(name);
    Tariff {
        network: row.network.clone(),
        number: row.number,
        gas: row.gas,
        cost_native: detail("cost_native").and_then(Value::as_str).and_then(|s| s.parse().ok()).unwrap_or(0),
        rent_included: detail("rent_included").and_then(Value::as_bool).unwrap_or(false),
        created_at_ms: row.created_at_ms,
        replaced_at_ms: row.replaced_at_ms,
    }
}

/// Makes the next tariff, if one is due.
pub(crate) async fn refresh(
    net: &ConfiguredNetwork,
    ledger: &dyn Store,
    policy: &TariffPolicy,
    metrics: &Metrics,
    now_ms: i64,
) -> Result<(), TariffError> {
    let network = net.chain.network();
    let spending = net.spending.refresh(ledger, network, &net.limits, now_ms).await;
    let made = make(net, ledger, policy, metrics, now_ms).await;
    // Also when none was made: a network that is not offered must show zero,
    // not the last tariff it had.
    let open = net.open(now_ms);
    metrics.tariff(network, open.as_ref().map_or(quittance_protocol::Amount::ZERO, |tariff| tariff.gas));
    tell(net, metrics, open.err());
    tell_exposure(net, metrics);
    spending?;
    made
}

fn tell_exposure(net: &ConfiguredNetwork, metrics: &Metrics) {
    let sums = net.spending.now();
    metrics.exposure(net.chain.facts(), &sums, &net.limits);
    tell_strangers(net, metrics, strangers_wait(&sums, &net.limits));
}

/// Reads the ledger's sums alone: a network that its ceilings close opens as soon
/// as reservations end, and does not wait for the next tariff.
pub(crate) async fn refresh_exposure(
    net: &ConfiguredNetwork,
    books: &dyn Books,
    metrics: &Metrics,
    now_ms: i64,
) {
    let network = net.chain.network();
    if let Err(error) = net.spending.refresh(books, network, &net.limits, now_ms).await {
        trouble::note(Trouble::Exposure, network.as_str(), &error);
    }
    tell(net, metrics, net.open(now_ms).err());
    tell_exposure(net, metrics);
}

/// Tells operators when a network closes or opens, once each.
pub(crate) fn tell(net: &ConfiguredNetwork, metrics: &Metrics, closed: Option<Closed>) {
    let network = net.chain.network();
    metrics.closed(network, Closed::each(closed));
    let mut known = net.closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *known == closed {
        return;
    }
    match closed {
        None => tracing::info!(%network, "offered again"),
        Some(Closed::Retired) => {
            tracing::info!(%network, "retired: what was begun is finished, nothing is sold")
        }
        Some(reason) => {
            tracing::warn!(%network, reason = reason.as_str(), "not offered");
            if reason.wants_a_person() {
                metrics.alert(network, reason.as_str());
            }
        }
    }
    *known = closed;
}

/// The same when payers without history begin to wait, or need to no more.
fn tell_strangers(net: &ConfiguredNetwork, metrics: &Metrics, wait: bool) {
    let network = net.chain.network();
    if net.strangers_wait.swap(wait, Ordering::AcqRel) == wait {
        return;
    }
    match wait {
        false => tracing::info!(%network, "payers without history are taken again"),
        true => {
            tracing::warn!(%network, "attempts that earned nothing cost the soft limit: payers without history wait");
            metrics.alert(network, "uncollected_ceiling");
        }
    }
}

async fn make(
    net: &ConfiguredNetwork,
    ledger: &dyn Store,
    policy: &TariffPolicy,
    metrics: &Metrics,
    now_ms: i64,
) -> Result<(), TariffError> {
    // It comes every few seconds: it is what connects.
    net.chain.connect().await?;
    let costs = net.chain.costs().map_err(ChainFault::from)?.refresh(now_ms).await?;
    // Before anything else can fail: what is in a payment's way closes the
    // network although it could be priced.
    let (costs, closed) = accounts::look(net, ledger, costs, now_ms).await?;
    net.moment.say(&net.offers, &costs.offer_extra, now_ms);
    net.obstructed.set(closed);
    note_balances(net, metrics, &costs);
    get_ready(net, ledger, now_ms).await?;
    reload(net, ledger, policy, now_ms).await?;
    let rate = net.rates.rate(net.coin, now_ms).ok_or(TariffError::NoRate)?;
    let decimals = i64::from(net.chain.facts().coin.decimals);
    let wanted = native_to_usdc(costs.cost_native, decimals, &rate, &policy.markup)?.max(net.gas_floor);
    let rent_included = costs.rent_native > 0;
    let newest = net.newest();
    let gas = match &newest {
        // A missing account's rent comes and goes in one step; only fees move slowly.
        Some(previous) if previous.rent_included == rent_included => {
            let elapsed = now_ms.saturating_sub(previous.created_at_ms);
            // Nobody could buy above the ceiling, so nothing is to be spread
            // over minutes there: the fall starts at the ceiling.
            let from = previous.gas.min(net.gas_ceiling);
            next_gas(Some(from), wanted, elapsed, policy.fall_bps_per_minute)
        }
        _ => wanted,
    };
    let still_good = newest.is_some_and(|previous| {
        previous.gas == gas
            && (net.chain.facts().offer_wallet.is_none() || net.pool.says_offered(previous.number))
            && previous.rent_included == rent_included
            && previous.replaced_at_ms.is_none()
            && now_ms.saturating_sub(previous.created_at_ms) < policy.age_max_ms / 2
    });
    net.spending.set_bound(net.next_bound(gas, costs.bound_native, now_ms));
    if still_good {
        return Ok(());
    }
    let mut detail = detail(&costs, rent_included);
    if net.chain.facts().offer_wallet.is_some() {
        // Before any offer names one: whoever retires it takes what was offered until then.
        detail[WALLETS] = json!(net.pool.offered());
    }
    let number = ledger.put_tariff(net.chain.network(), gas, detail, now_ms).await?;
    net.push(Tariff {
        network: net.chain.network().clone(),
        number,
        gas,
        cost_native: costs.cost_native,
        rent_included,
        created_at_ms: now_ms,
        replaced_at_ms: None,
    })?;
    Ok(())
}

/// What each wallet holds decides who is given payments; operators hear once of one that runs low.
fn note_balances(net: &ConfiguredNetwork, metrics: &Metrics, costs: &CostSnapshot) {
    let (facts, network) = (net.chain.facts(), net.chain.network());
    let reserved = u128::from(net.spending.now().reserved.native);
    // Nobody has to fill what is paid for nothing new.
    let is_retired = |wallet: &PoolWallet| wallet.retired || net.retired;
    for (wallet, [before, now]) in net.pool.note_balances(costs, reserved) {
        let (address, funds) = (&wallet.address, now.as_str());
        match now {
            Funds::Fine => tracing::info!(%network, wallet = address, "a wallet has enough again"),
            _ if is_retired(&wallet) => {
                tracing::info!(%network, wallet = address, funds, "a retired wallet holds little");
            }
            _ => {
                tracing::warn!(%network, wallet = address, funds, "a wallet runs low: others take what is new while they can");
            }
        }
        if before == Funds::Fine && !is_retired(&wallet) {
            metrics.alert(network, "wallet_low");
        }
        // What its name stands in waits for it, whatever others can pay; where none can, the network
        // is closed, and that is told.
        if now == Funds::Empty && !is_retired(&wallet) && net.pool.closed().is_none() {
            metrics.alert(network, "wallet_empty");
        }
    }
    for wallet in net.pool.all() {
        let is_low = wallet.funds() != Funds::Fine && !is_retired(wallet);
        metrics.wallet(facts, &wallet.address, wallet.native(), is_low);
        metrics.lane_payments(network, &wallet.address, wallet.load().payments);
    }
}

/// Once in a process's life: raises the wallets' nonce counters to the chain's,
/// so that a wallet that was used elsewhere reserves no nonce that is gone.
async fn get_ready(net: &ConfiguredNetwork, ledger: &dyn Store, now_ms: i64) -> Result<(), TariffError> {
    if net.ready.load(Ordering::Acquire) {
        return Ok(());
    }
    let facts = net.chain.facts();
    for wallet in net.pool.all().iter().filter(|_| facts.takes_nonce) {
        let nonce = net.chain.nonces().map_err(ChainFault::from)?.next(&wallet.address).await?;
        ledger.ensure_wallet(&facts.network, &wallet.address, nonce, now_ms).await?;
        wallet.ready.store(true, Ordering::Release);
    }
    net.ready.store(true, Ordering::Release);
    Ok(())
}

fn detail(costs: &CostSnapshot, rent_included: bool) -> Value {
    json!({
        "cost_native": costs.cost_native.to_string(),
        "rent_included": rent_included,
        "rent_native": costs.rent_native.to_string(),
        "parts": costs.detail,
    })
}
