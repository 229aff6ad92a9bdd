//! Payments that another facilitator settles: no wallet, no bytes of ours, no nonce.
//!
//! The claim is durable before it is asked the first time; what it says only tells the driver where
//! to look.

use std::sync::Arc;

use quittance_ledger::{Payment, Recorded};
use quittance_protocol::PaymentRequirements;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::Heard;
use crate::chain::Verified;
use crate::context::Context;
use crate::network::configured::ConfiguredNetwork;
use crate::remote::{Asking, Question, Remote};

/// The way to another facilitator, for one network.
pub(super) struct Elsewhere {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    remote: Arc<Remote>,
}

/// A payment that it is asked to settle.
pub(crate) struct Asked {
    asking: Asking,
    stop: CancellationToken,
}

impl Asked {
    pub(super) fn begin(&mut self) {
        self.asking.begin();
    }

    pub(super) async fn heard(&mut self) -> Option<Heard> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            named = self.asking.heard() => named.map(Heard::Named),
        }
    }
}

impl Elsewhere {
    pub(super) fn of(context: &Arc<Context>, net: &Arc<ConfiguredNetwork>) -> Option<Self> {
        let remote = Arc::clone(net.remote.as_ref()?);
        Some(Self { context: Arc::clone(context), net: Arc::clone(net), remote })
    }

    /// `None`: it has bytes of a wallet of ours, which is configured no more, or cannot be sent.
    pub(super) fn take(
        &self,
        payment: &Payment,
        verified: &Verified,
        found: Option<&[Arc<Recorded>]>,
    ) -> Option<Asked> {
        let question = self.question(payment, verified).filter(|_| found.unwrap_or_default().is_empty());
        let Some(question) = question else {
            tracing::error!(payment = %payment.id, network = %payment.network, "this payment is no other facilitator's to settle; it waits for the wallet that signed for it");
            return None;
        };
        let asking = Asking::new(&self.remote, &self.context.metrics, question, found.is_some());
        Some(Asked { asking, stop: self.context.stop.clone() })
    }

    /// By the claim, whatever is configured now.
    fn question(&self, payment: &Payment, verified: &Verified) -> Option<Question> {
        let mut extra = self.net.terms.extra.clone();
        let named = self.net.chain.facts().offer_wallet.zip(verified.wallet.clone());
        extra.extend(named.map(|(key, wallet)| (key.to_owned(), wallet.into())));
        let terms = PaymentRequirements {
            scheme: "exact".to_owned(),
            network: payment.network.to_string(),
            asset: payment.asset.clone(),
            pay_to: payment.pay_to.clone(),
            amount: payment.amount.to_string(),
            max_amount_required: None,
            max_timeout_seconds: self.net.terms.max_timeout_seconds,
            extra,
            other: Map::new(),
        };
        let payload = self.net.chain.decode().payload(verified)?;
        Question::new(payment, terms, payload)
    }
}
