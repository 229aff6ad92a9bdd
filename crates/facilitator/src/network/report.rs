//! How a network stands, for operators; from memory alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::api::networks::{ExposureReport, NetworkReport, TariffReport};
use crate::network::configured::ConfiguredNetwork;
use crate::network::pool::PoolWallet;

impl ConfiguredNetwork {
    /// As this process sees it now.
    pub(crate) fn report(&self, now_ms: i64) -> NetworkReport {
        let facts = self.chain.facts();
        let fresh = self.rates.rate(self.coin, now_ms);
        let rate_is_fresh = fresh.is_some();
        let rate = fresh.or_else(|| self.rates.last_known(self.coin, now_ms));
        NetworkReport {
            network: self.terms.network.clone(),
            asset: self.terms.asset.clone(),
            pay_to: self.terms.pay_to.clone(),
            retired: self.retired,
            closed: self.open(now_ms).err().map(|closed| closed.as_str()),
            strangers_wait: self.strangers_wait.load(Ordering::Relaxed),
            tariff: self.newest().map(|tariff| TariffReport {
                number: tariff.number,
                gas: tariff.gas,
                cost_native: tariff.cost_native.to_string(),
                created_at_ms: tariff.created_at_ms,
            }),
            coin: facts.coin.name.clone(),
            coin_decimals: facts.coin.decimals,
            rate: rate.map(|rate| rate.to_string()),
            rate_is_fresh,
            rate_age_ms: self.rates.read_age_ms(self.coin, now_ms),
            heights: self.seen.heights(),
            exposure: self.exposure_report(),
            lanes: self.pool.all().iter().map(|wallet: &Arc<PoolWallet>| wallet.lane_report()).collect(),
            endpoints: self.seen.endpoints(),
        }
    }

    fn exposure_report(&self) -> ExposureReport {
        let (sums, limits) = (self.spending.now(), &self.limits);
        ExposureReport {
            reserved: sums.reserved.usdc,
            reserved_max: limits.network_in_flight.usdc,
            burnt: sums.burnt.usdc,
            burnt_max: limits.soft_day.usdc,
            spent: sums.spent,
            spent_max: limits.spent_day,
        }
    }
}
