//! Costs and tariffs: as `ops::books`.

use quittance_protocol::{Amount, Network};
use serde_json::{Value as Json, json};

use super::rows::{Cost, Database};
use crate::conn::{amount, plain};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::types::{CostEntry, TariffRow};

impl Database {
    pub(super) fn book_cost(&mut self, me: &Me, entry: CostEntry, now_ms: i64) -> Result<bool, LedgerError> {
        let payer = match &entry.payment {
            Some(id) => Some(self.get(id)?.payment.payer.clone()),
            None => None,
        };
        if let Some(usdc) = entry.usdc {
            amount(usdc, "usdc")?;
        }
        plain(&entry.transaction, "transaction")?;
        let place = (entry.network.clone(), entry.transaction.clone());
        if self.costs.contains_key(&place) {
            return Ok(false);
        }
        let detail = json!({"network": entry.network, "transaction": entry.transaction,
            "native": entry.native.to_string(), "usdc": entry.usdc, "earned": entry.earned});
        let funding = self.booked(&entry);
        if let Some(of) =
            entry.payment.as_ref().and_then(|id| self.get(id).ok()).map(|row| row.payment.clone())
        {
            self.merchant_booked(&entry, &of, now_ms);
        }
        let CostEntry { payment, native, usdc, earned, .. } = entry;
        let cost = Cost { payment: payment.clone(), payer, native, usdc, earned, at_ms: now_ms, funding };
        self.costs.insert(place, cost);
        if let Some(id) = &payment {
            self.settle_up(id);
        }
        self.line(me, now_ms, payment.as_ref(), "cost", detail);
        Ok(true)
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
