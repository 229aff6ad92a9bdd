//! Two sorted sides in, differences out.

use std::collections::BTreeMap;

use quittance_ledger::BookedLanding;

use super::difference::{Difference, Kind, Totals};
use super::stream::{Broken, Pages, Side};
use crate::chain::Transfer;

/// Most entries of each side that wait for the other's in another block; beyond them the first ones are
/// told as they stand.
pub const UNMATCHED_MAX: usize = 4_096;

/// Compares, and tells each difference once; memory is bounded however much there is. Costs are compared
/// where the chain's side names them.
pub async fn reconcile(
    chain: impl Pages<Transfer>,
    books: impl Pages<BookedLanding>,
    tell: &mut (dyn FnMut(Difference) + Send),
) -> Result<Totals, Broken> {
    let (mut chain, mut books) = (Side::new(chain), Side::new(books));
    let mut merge =
        Merge { totals: Totals::default(), transfers: BTreeMap::new(), booked: BTreeMap::new(), tell };
    loop {
        let block = match (chain.block().await?, books.block().await?) {
            (None, None) => break,
            (one, other) => one.max(other).unwrap_or(0),
        };
        let transfers = match chain.block().await? {
            Some(next) if next >= block => chain.take(block).await?,
            _ => Vec::new(),
        };
        let booked = match books.block().await? {
            Some(next) if next >= block => books.take(block).await?,
            _ => Vec::new(),
        };
        merge.block(transfers, booked);
    }
    Ok(merge.end())
}

struct Merge<'t> {
    totals: Totals,
    /// Without a counterpart so far, by transaction.
    transfers: BTreeMap<String, Vec<Transfer>>,
    booked: BTreeMap<String, Vec<BookedLanding>>,
    tell: &'t mut (dyn FnMut(Difference) + Send),
}

impl Merge<'_> {
    /// All that one block has.
    fn block(&mut self, transfers: Vec<Transfer>, booked: Vec<BookedLanding>) {
        for transfer in &transfers {
            self.totals.transfers = self.totals.transfers.saturating_add(1);
            self.totals.on_chain = self.totals.on_chain.saturating_add(u128::from(transfer.amount));
        }
        let mut by_transaction: BTreeMap<String, (Vec<Transfer>, Vec<BookedLanding>)> = BTreeMap::new();
        for transfer in transfers {
            by_transaction.entry(transfer.transaction.to_lowercase()).or_default().0.push(transfer);
        }
        for payment in booked {
            self.count(&payment);
            by_transaction.entry(payment.transaction.to_lowercase()).or_default().1.push(payment);
        }
        for (transaction, (transfers, booked)) in by_transaction {
            self.transaction(transaction, transfers, booked);
        }
        self.make_room();
    }

    fn count(&mut self, payment: &BookedLanding) {
        let totals = &mut self.totals;
        if payment.is_lost {
            totals.lost = totals.lost.saturating_add(1);
            return;
        }
        totals.payments = totals.payments.saturating_add(1);
        totals.booked = totals.booked.saturating_add(u128::from(payment.amount.atomic()));
        totals.by_others = totals.by_others.saturating_add(u64::from(!payment.paid_by_us));
    }

    /// One transaction: a payer may have several transfers in it, so exact pairs come first.
    fn transaction(&mut self, key: String, mut transfers: Vec<Transfer>, booked: Vec<BookedLanding>) {
        let mut pairs = Vec::new();
        let mut left = Vec::new();
        for payment in booked {
            let is_its = |one: &Transfer| is_payer(one, &payment) && one.amount == payment.amount.atomic();
            match transfers.iter().position(is_its) {
                Some(at) => pairs.push((transfers.remove(at), payment)),
                None => left.push(payment),
            }
        }
        self.costs(&pairs);
        for (transfer, payment) in pairs {
            match payment.is_lost {
                true => self.found(Kind::NotLost, Some(transfer), Some(payment)),
                false => self.totals.matched = self.totals.matched.saturating_add(1),
            }
        }
        for payment in left {
            match transfers.iter().position(|one| is_payer(one, &payment)) {
                Some(at) => {
                    let transfer = transfers.remove(at);
                    self.found(Kind::Amount, Some(transfer), Some(payment));
                }
                None => self.meet_transfer(&key, payment),
            }
        }
        for transfer in transfers {
            self.meet_payment(&key, transfer);
        }
    }

    /// One transaction costs once, whatever it settled.
    fn costs(&mut self, pairs: &[(Transfer, BookedLanding)]) {
        let Some((transfer, first)) = pairs.first() else { return };
        let Some(cost) = transfer.cost_native.filter(|_| first.paid_by_us) else { return };
        let booked: Option<u128> = pairs
            .iter()
            .map(|(_, payment)| payment.cost_native)
            .try_fold(0_u128, |sum, one| sum.checked_add(one?));
        self.totals.cost_on_chain = self.totals.cost_on_chain.saturating_add(cost);
        self.totals.cost_booked = self.totals.cost_booked.saturating_add(booked.unwrap_or(0));
        let kind = match booked {
            None => Kind::CostMissing,
            Some(booked) if booked != cost => Kind::Cost,
            Some(_) => return,
        };
        self.found(kind, Some(transfer.clone()), Some(first.clone()));
    }

    /// A payment without a transfer in its block: the transaction may have been seen in another.
    fn meet_transfer(&mut self, key: &str, payment: BookedLanding) {
        let waiting = self.transfers.get_mut(key);
        let found = waiting.and_then(|all| {
            let at = all
                .iter()
                .position(|one| is_payer(one, &payment) && one.amount == payment.amount.atomic())?;
            Some(all.swap_remove(at))
        });
        match found {
            Some(transfer) => self.found(Kind::Block, Some(transfer), Some(payment)),
            // What is booked as lost should not be there.
            None if payment.is_lost => {}
            None => self.booked.entry(key.to_owned()).or_default().push(payment),
        }
    }

    /// The same the other way round.
    fn meet_payment(&mut self, key: &str, transfer: Transfer) {
        let waiting = self.booked.get_mut(key);
        let found = waiting.and_then(|all| {
            let at = all
                .iter()
                .position(|one| is_payer(&transfer, one) && one.amount.atomic() == transfer.amount)?;
            Some(all.swap_remove(at))
        });
        match found {
            Some(payment) => self.found(Kind::Block, Some(transfer), Some(payment)),
            None => self.transfers.entry(key.to_owned()).or_default().push(transfer),
        }
    }

    fn make_room(&mut self) {
        while self.transfers.len() > UNMATCHED_MAX {
            let Some((_, first)) = self.transfers.pop_first() else { break };
            first.into_iter().for_each(|one| self.found(Kind::NotInBooks, Some(one), None));
        }
        while self.booked.len() > UNMATCHED_MAX {
            let Some((_, first)) = self.booked.pop_first() else { break };
            first.into_iter().for_each(|one| self.found(Kind::NotOnChain, None, Some(one)));
        }
    }

    fn found(&mut self, kind: Kind, on_chain: Option<Transfer>, booked: Option<BookedLanding>) {
        self.totals.differences = self.totals.differences.saturating_add(1);
        (self.tell)(Difference { kind, on_chain, booked });
    }

    fn end(mut self) -> Totals {
        for one in std::mem::take(&mut self.transfers).into_values().flatten() {
            self.found(Kind::NotInBooks, Some(one), None);
        }
        for one in std::mem::take(&mut self.booked).into_values().flatten() {
            self.found(Kind::NotOnChain, None, Some(one));
        }
        self.totals
    }
}

/// A chain that does not name the payer leaves the transaction and the amount.
fn is_payer(transfer: &Transfer, payment: &BookedLanding) -> bool {
    transfer.payer.as_ref().is_none_or(|payer| payer.eq_ignore_ascii_case(&payment.payer))
}

#[cfg(test)]
mod tests;
