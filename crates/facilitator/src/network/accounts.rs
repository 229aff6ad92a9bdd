//! The recipient's token account where it is missing: created again within the UTC day's limit, which
//! the ledger holds for all replicas (P3), and until then nothing is sold.
//!
//! Whoever may close that account is paid its rent each time. So what is created is charged before the
//! transaction is sent, whatever becomes of it.

use quittance_ledger::{AccountRent, LedgerError, OwnAccount, Store};

use crate::chain::{ChainFault, CostSnapshot};
use crate::network::closed::Closed;
use crate::network::configured::ConfiguredNetwork;

/// Why nothing is known of the account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error(transparent)]
    Chain(#[from] ChainFault),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Creates the account if that is ours to do and the day's limit leaves room. What the chain shows
/// after that, and why nothing is sold meanwhile.
pub(crate) async fn look(
    net: &ConfiguredNetwork,
    ledger: &dyn Store,
    costs: CostSnapshot,
    now_ms: i64,
) -> Result<(CostSnapshot, Option<Closed>), AccountError> {
    note_rent(net, &costs);
    let obstacle = costs.obstacle.map(Closed::Obstacle);
    let network = net.chain.network();
    let Some(owed) = costs.owed_account.clone() else {
        if costs.rent_native == 0 || obstacle.is_some() {
            return Ok((costs, obstacle));
        }
        // A payment is to create it: one that could not is not asked for.
        let spent = u128::from(ledger.account_rents(network, now_ms).await?);
        let has_room = spent.saturating_add(costs.rent_native) <= u128::from(net.accounts.limits.day);
        return Ok((costs, (!has_room).then_some(Closed::AccountsSpent)));
    };
    // Whatever fails from here on: nobody can be paid there.
    net.obstructed.set(Some(Closed::AccountMissing));
    let rent = AccountRent { native: owed.native, limits: net.accounts.limits };
    let new = OwnAccount { network: network.clone(), account: owed.account, rent };
    match ledger.begin_own_account(&new, now_ms).await {
        Ok(true) => {}
        Ok(false) => return Ok((costs, Some(Closed::AccountMissing))),
        Err(LedgerError::NoRoom(_)) => return Ok((costs, Some(Closed::AccountsSpent))),
        Err(error) => return Err(error.into()),
    }
    let payouts = net.chain.payouts().map_err(ChainFault::from)?;
    let payouts = payouts.ok_or_else(|| ChainFault("no account can be created".to_owned()))?;
    let transaction = payouts.create_payout(&net.terms.pay_to).await?;
    tracing::info!(%network, account = new.account, transaction, "created the recipient's token account");
    let costs = net.chain.costs().map_err(ChainFault::from)?.refresh(now_ms).await?;
    note_rent(net, &costs);
    let is_missing = costs.owed_account.is_some().then_some(Closed::AccountMissing);
    let closed = costs.obstacle.map(Closed::Obstacle).or(is_missing);
    Ok((costs, closed))
}

fn note_rent(net: &ConfiguredNetwork, costs: &CostSnapshot) {
    net.accounts.note(costs.rent_native);
}
