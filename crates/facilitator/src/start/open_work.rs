//! What was begun with another configuration and is not finished: a start that
//! could not finish it says so instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use quittance_ledger::{OpenWork, Payment};
use quittance_protocol::Network;

use crate::chain::{Facts, decode_of};
use crate::config::Config;
use crate::context::Context;
use crate::network::configured::ConfiguredNetwork;
use crate::start::error::StartError;

/// Whether every network and wallet that unfinished work needs is configured,
/// be it as retired.
///
/// A credit, and a run that died with its process, need neither: they are
/// answered from the ledger.
pub(crate) async fn check(
    config: &Config,
    networks: &[Arc<ConfiguredNetwork>],
    context: &Context,
) -> Result<(), StartError> {
    let open = context.ledger.open_work(context.clock.now_ms()).await?;
    for (network, payments) in &open.networks {
        if !config.networks.values().any(|section| section.network == *network) {
            return Err(StartError::Abandoned(format!(
                "{payments} payments on {network} have no verdict yet, or a landing that is not final, and no \
                 [networks.NAME] section has that network any more; put its section back with retired = true \
                 (it is then watched and finished, and sells nothing), and take it out when they are done"
            )));
        }
    }
    let of = |network: &str| networks.iter().find(|net| net.chain.network().as_str() == network);
    let claimed = open.unfinished.iter().filter_map(|payment| {
        let net = of(payment.network.as_str())?;
        let wallet = context.stored.revive(net.chain.decode(), payment)?.wallet.clone()?;
        Some((payment.network.clone(), wallet))
    });
    for (network, wallet) in open.wallets.iter().cloned().chain(claimed) {
        // A network without a chain is left out of this process altogether.
        let Some(net) = of(network.as_str()) else { continue };
        // Somebody else's wallet needs no key here, whichever it is by now.
        let is_own = |(of, own): &(Network, String)| *of == network && *own == wallet;
        if net.remote.is_some() && !open.wallets.iter().any(is_own) {
            continue;
        }
        if !has(net.chain.facts(), &wallet) {
            return Err(StartError::Abandoned(format!(
                "payments on {network} are under way with the wallet {wallet}, which its [networks.NAME] section \
                 does not name any more; add it as retired_wallets = [\"env:NAME\"] (it finishes what it began \
                 and signs nothing new), and take it out when they are done"
            )));
        }
    }
    Ok(())
}

/// Wallets that something unfinished needs: a payment without a verdict, a nonce whose payment is
/// over and that the chain has not used, a cost that is not booked. One that is retired may leave
/// the configuration when it is none of them.
pub fn wallets_under_way(open: &OpenWork) -> BTreeSet<(Network, String)> {
    let named = |payment: &Payment| {
        let verified = decode_of(&payment.network).revive(&payment.payload).ok()?;
        Some((payment.network.clone(), verified.wallet.clone()?))
    };
    open.wallets.iter().cloned().chain(open.unfinished.iter().filter_map(named)).collect()
}

fn has(chain: &Facts, wallet: &str) -> bool {
    chain.all_wallets().any(|known| chain.same_wallet(known, wallet))
}
