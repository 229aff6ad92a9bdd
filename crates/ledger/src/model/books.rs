//! Costs and tariffs: as `ops::books`.

use quittance_protocol::{Amount, Network, PaymentId};
use serde_json::Value as Json;

use super::rows::{Attempt, Cost, Database, Defect};
use crate::conn::{amount, plain};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::books::cost_line;
use crate::types::{CostEntry, CostShare, TariffRow};

impl Database {
    /// Where a payment stands in a transaction, and of how many.
    fn place(&self, entry: &CostEntry) -> (u64, u64) {
        let of = |attempt: &&Attempt| {
            attempt.network == entry.network && attempt.signed.transaction == entry.transaction
        };
        let attempt = entry.payment.as_ref().and_then(|id| {
            let attempt = self.kept_attempts().find(of)?;
            Some((attempt.payments.iter().position(|one| one == id)?, attempt.payments.len()))
        });
        attempt.map_or((0, 1), |(item, items)| (item as u64, items as u64))
    }

    /// Whether anything that a transaction cost is in the books.
    pub(super) fn is_booked(&self, network: &Network, transaction: &str) -> bool {
        let place = |item| (network.clone(), transaction.to_owned(), item);
        self.costs.range(place(0)..=place(u64::MAX)).next().is_some()
    }

    /// Whether the payment's share of what an attempt cost is.
    pub(super) fn is_share_booked(&self, attempt: &Attempt, id: &PaymentId) -> bool {
        let item = attempt.payments.iter().position(|one| one == id).map_or(0, |item| item as u64);
        let place = (attempt.network.clone(), attempt.signed.transaction.clone(), item);
        self.costs.contains_key(&place)
    }

    pub(super) fn book_cost(
        &mut self,
        me: &Me,
        entry: CostEntry,
        now_ms: i64,
    ) -> Result<Option<CostShare>, LedgerError> {
        let payer = match &entry.payment {
            Some(id) => Some(self.get(id)?.payment.payer.clone()),
            None => None,
        };
        if let Some(usdc) = entry.usdc {
            amount(usdc, "usdc")?;
        }
        plain(&entry.transaction, "transaction")?;
        let (item, items) = self.place(&entry);
        let place = |item| (entry.network.clone(), entry.transaction.clone(), item);
        if self.costs.contains_key(&place(item)) {
            return Ok(None);
        }
        let first = self.costs.range(place(0)..=place(u64::MAX)).next().filter(|_| items > 1);
        let whole = first.map_or((entry.native, entry.usdc), |(_, first)| first.whole);
        let mut share = CostShare::of(whole, item, items);
        if self.has(Defect::SharesCutOff) {
            share = CostShare::of(whole, u64::MAX, items);
        }
        let place = place(item);
        let entry = CostEntry { native: share.native, usdc: share.usdc, ..entry };
        let line = cost_line(&entry, &share);
        let funding = self.booked(&entry);
        if let Some(of) =
            entry.payment.as_ref().and_then(|id| self.get(id).ok()).map(|row| row.payment.clone())
        {
            self.merchant_booked(&entry, &of, now_ms);
        }
        let CostEntry { payment, native, usdc, earned, .. } = entry;
        let cost =
            Cost { payment: payment.clone(), payer, native, usdc, whole, earned, at_ms: now_ms, funding };
        self.costs.insert(place, cost);
        if let Some(id) = &payment {
            self.settle_up(id);
        }
        self.line(me, now_ms, payment.as_ref(), "cost", line);
        Ok(Some(share))
    }

    pub(super) fn put_tariff(
        &mut self,
        network: &Network,
        gas: Amount,
        detail: Json,
        now_ms: i64,
    ) -> Result<i64, LedgerError> {
        amount(gas, "gas")?;
        let tariffs = self.tariffs.entry(network.clone()).or_default();
        for tariff in tariffs.iter_mut().filter(|tariff| tariff.replaced_at_ms.is_none()) {
            tariff.replaced_at_ms = Some(now_ms.max(tariff.created_at_ms));
        }
        let number = tariffs.last().map_or(0, |tariff| tariff.number).saturating_add(1);
        let network = network.clone();
        tariffs.push(TariffRow { number, network, gas, detail, created_at_ms: now_ms, replaced_at_ms: None });
        Ok(number)
    }

    pub(super) fn tariffs_since(&self, network: &Network, replaced_after_ms: i64) -> Vec<TariffRow> {
        let tariffs = self.tariffs.get(network).map(Vec::as_slice).unwrap_or_default();
        let payable = |tariff: &&TariffRow| tariff.replaced_at_ms.is_none_or(|at| at > replaced_after_ms);
        tariffs.iter().filter(payable).cloned().collect()
    }
}
