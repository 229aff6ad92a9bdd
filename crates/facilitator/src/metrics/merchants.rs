//! Merchants apart, as many as the configuration lets be named.

use std::collections::BTreeMap;
use std::sync::Mutex;

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use quittance_ledger::MerchantTotals;

/// The label of all merchants that have none of their own.
const OTHER: &str = "other";

/// What is shown of a merchant's day.
const KINDS: [&str; 5] = ["payments", "amount", "surcharge", "cost", "due"];

/// Why nobody is known to call, as codes of the answer.
pub(crate) const NOT_KNOWN: [&str; 4] =
    ["missing_api_key", "invalid_api_key", "too_many_requests", "network_unavailable"];

/// What merchants sold on this UTC day, and calls of nobody who is known.
pub(crate) struct MerchantMetrics {
    day: IntGaugeVec,
    not_known: IntCounterVec,
    shown: Mutex<BTreeMap<String, ()>>,
}

impl MerchantMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let day = IntGaugeVec::new(
            Opts::new(
                "quittance_merchant_day",
                "A merchant's payments settled on this UTC day: their number, and in atomic USDC what they \
                 moved, their surcharges, what settling them cost, and what the merchant owes for it",
            ),
            &["merchant", "kind"],
        )?;
        registry.register(Box::new(day.clone()))?;
        let not_known = IntCounterVec::new(
            Opts::new(
                "quittance_merchant_unknown_total",
                "Calls of /verify, /settle and /supported by nobody who is known, by code",
            ),
            &["code"],
        )?;
        registry.register(Box::new(not_known.clone()))?;
        for code in NOT_KNOWN {
            not_known.with_label_values(&[code]);
        }
        for kind in KINDS {
            day.with_label_values(&[OTHER, kind]);
        }
        Ok(Self { day, not_known, shown: Mutex::default() })
    }

    pub(super) fn not_known(&self, code: &str) {
        self.not_known.with_label_values(&[code]).inc();
    }

    pub(super) fn set(&self, named: &[String], today: &[MerchantTotals]) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for gone in shown.keys().filter(|name| !named.contains(name)) {
            for kind in KINDS {
                let _ = self.day.remove_label_values(&[gone, kind]);
            }
        }
        *shown = named.iter().map(|name| (name.clone(), ())).collect();
        let mut sums: BTreeMap<&str, [u64; 5]> = BTreeMap::from([(OTHER, [0; 5])]);
        sums.extend(named.iter().map(|name| (name.as_str(), [0; 5])));
        for day in today {
            let name = if named.contains(&day.merchant) { day.merchant.as_str() } else { OTHER };
            let add = |a: u64, b: u64| a.saturating_add(b);
            let surcharge =
                [day.charged, day.absorbed, day.billed].iter().fold(0, |sum, one| add(sum, one.atomic()));
            let of = [day.payments, day.amount.atomic(), surcharge, day.cost().atomic(), day.due().atomic()];
            let sum = sums.entry(name).or_default();
            *sum = std::array::from_fn(|at| add(sum[at], of[at]));
        }
        for (name, values) in sums {
            for (kind, value) in KINDS.into_iter().zip(values) {
                self.day.with_label_values(&[name, kind]).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
    }
}
