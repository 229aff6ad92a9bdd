//! Payments that share a transaction.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use quittance_protocol::Network;

/// Upper bounds of payments per transaction.
const SIZE_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Sizes of transactions as labels, each with the most that counts as it.
const SIZES: [(&str, usize); 5] =
    [("1", 1), ("2_7", 7), ("8_31", 31), ("32_127", 127), ("128_256", usize::MAX)];

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Why a payment that was to share a transaction did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// It would have moved nothing, or its payer has code.
    Fails,
    /// No node said in time what it would do.
    NoAnswer,
    /// It could not be signed, or recorded, together with the others.
    NotSigned,
}

impl LeftOut {
    const ALL: [Self; 3] = [Self::Fails, Self::NoAnswer, Self::NotSigned];

    fn as_str(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::NoAnswer => "no_answer",
            Self::NotSigned => "not_signed",
        }
    }
}

/// How payments share transactions, and what it saves.
pub(crate) struct BatchMetrics {
    sizes: HistogramVec,
    left_out: IntCounterVec,
    landed: IntCounterVec,
    cost: IntCounterVec,
}

impl BatchMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let sizes = HistogramVec::new(
            HistogramOpts::new("quittance_transaction_payments", "Payments in a transaction that was signed")
                .buckets(SIZE_BUCKETS.to_vec()),
            &["network"],
        )?;
        registry.register(Box::new(sizes.clone()))?;
        Ok(Self {
            sizes,
            left_out: counter(
                "quittance_batch_left_out_total",
                "Payments that were to share a transaction and went alone, by why",
                &["network", "why"],
            )?,
            landed: counter(
                "quittance_landed_payments_total",
                "Payments that landed in a transaction of ours, by the payments in it",
                &["network", "size"],
            )?,
            cost: counter(
                "quittance_landed_cost_gwei_total",
                "What landing them cost, as shares of their transactions, in gwei (on Solana lamports), by the \
                 payments in it",
                &["network", "size"],
            )?,
        })
    }

    pub(super) fn introduce(&self, network: &str) {
        self.sizes.with_label_values(&[network]);
        for why in LeftOut::ALL {
            self.left_out.with_label_values(&[network, why.as_str()]);
        }
        for (size, _) in SIZES {
            self.landed.with_label_values(&[network, size]);
            self.cost.with_label_values(&[network, size]);
        }
    }

    /// A transaction for so many was signed. A display value.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn signed(&self, network: &Network, payments: usize) {
        self.sizes.with_label_values(&[network.as_str()]).observe(payments as f64);
    }

    pub(crate) fn left_out(&self, network: &Network, why: LeftOut, payments: usize) {
        let payments = u64::try_from(payments).unwrap_or(u64::MAX);
        self.left_out.with_label_values(&[network.as_str(), why.as_str()]).inc_by(payments);
    }

    /// A payment landed in a transaction of so many, and cost so much of it. In lamports where the
    /// coin has nine decimals.
    pub(crate) fn landed(&self, network: &Network, payments: usize, native: u128) {
        let size = SIZES.iter().find(|(_, most)| payments <= *most).map_or("1", |(size, _)| *size);
        let is_wei = network.as_str().starts_with("eip155:");
        let cost = if is_wei { native / GWEI } else { native };
        self.landed.with_label_values(&[network.as_str(), size]).inc();
        self.cost
            .with_label_values(&[network.as_str(), size])
            .inc_by(u64::try_from(cost).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_label_and_the_labels_are_bounded() {
        let metrics = BatchMetrics::new(&Registry::new()).unwrap();
        let base: Network = "eip155:8453".parse().unwrap();
        for payments in [1, 2, 7, 8, 31, 32, 256, 1_000] {
            metrics.landed(&base, payments, 5_000_000_000);
        }
        let of = |size: &str| metrics.landed.with_label_values(&[base.as_str(), size]).get();
        let counted: Vec<_> = SIZES.iter().map(|(size, _)| of(size)).collect();
        assert_eq!(counted, [1, 2, 2, 1, 2]);
        assert_eq!(metrics.cost.with_label_values(&[base.as_str(), "2_7"]).get(), 10, "in gwei");
    }
}
