//! The lane keeper: no wallet nonce that was reserved stays unused (I2).
//!
//! A driver broadcasts its attempt until its payment has a verdict. That verdict
//! may come from elsewhere while no node has ever taken our bytes: a stranger
//! landed the authorization, the payer cancelled it, the deadline passed. Every
//! later nonce of the wallet would then wait behind ours for ever. So the keeper
//! goes on broadcasting durable bytes of finished payments until the chain has
//! used their nonce ([`crate::dispatch::costs`] books what that cost). A reorganisation may open a used
//! nonce again, so the chain is asked for as long as that can happen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quittance_ledger::{LedgerError, Payment, Recorded};
use quittance_protocol::DurableAttempt as _;

use crate::Inner;
use crate::context::Context;
use crate::context::look::LookFault;
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::network::tariffs;

/// Pause between two looks at a wallet's open slots.
const PAUSE: Duration = Duration::from_secs(2);

/// Slots of finished payments that one look broadcasts at most.
const BROADCASTS_MAX: usize = 32;

/// Looks without an open slot between two questions to the chain.
const IDLE_LOOKS_MAX: u32 = 3;

/// How long after the last open slot a reorganisation is looked for: above the
/// time that Base takes to finalize a block.
const REORG_MS_MAX: i64 = 3_600_000;

/// A transaction that is next and does not move for so long is looked at: blocks come
/// every two seconds at most.
const HEAD_AGE_MS_MAX: i64 = 4_000;

/// One wallet's lane.
struct Lane {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    wallet: String,
    /// Nonces below this are used, as far as the chain said last.
    used: u64,
    /// When there was last an open slot; the start of this process at first.
    active_ms: i64,
    /// Looks since the chain was asked last.
    idle_looks: u32,
    /// The nonce that is next in the chain's eyes, and since when nothing moved it.
    head: Option<(u64, i64)>,
}

impl Inner {
    /// One keeper for each wallet with nonces.
    pub(crate) fn start_lane_keepers(self: &Arc<Self>) {
        for net in self.networks.iter().filter(|net| net.chain.facts().takes_nonce) {
            // Wallets that were replaced may have left slots open, too.
            for wallet in net.chain.facts().wallets.clone() {
                let lane = Lane {
                    context: Arc::clone(&self.context),
                    net: Arc::clone(net),
                    wallet,
                    used: 0,
                    active_ms: self.context.clock.now_ms(),
                    idle_looks: 0,
                    head: None,
                };
                self.drivers.spawn(lane.keep());
            }
        }
    }
}

impl Lane {
    async fn keep(mut self) {
        let mut known = false;
        loop {
            let looked = if known { self.look().await } else { self.begin().await };
            match looked {
                Ok(()) => known = true,
                Err(fault) => trouble::note(Trouble::Lane, self.net.chain.network().as_str(), &fault),
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// What the chain used before this process began is the past.
    async fn begin(&mut self) -> Result<(), LookFault> {
        self.used = self.net.chain.nonces()?.used(&self.wallet).await?;
        Ok(())
    }

    /// One look: a read of the ledger, and a call while there are open slots, or
    /// now and then while a reorganisation could open some again.
    ///
    /// The count is followed both ways: after a reorganisation it is lower, and
    /// bytes that were used once are open again. A node that is merely behind
    /// makes us broadcast what it will know soon, which does no harm.
    async fn look(&mut self) -> Result<(), LookFault> {
        let mut attempts = self.attempts_from(self.used).await?;
        if self.is_due(!attempts.is_empty()) {
            let used = self.net.chain.nonces()?.used(&self.wallet).await?;
            if used < self.used {
                attempts = self.attempts_from(used).await?;
            }
            attempts.retain(|attempt| attempt.nonce().is_some_and(|nonce| nonce >= used));
            // Just where the head hangs its bytes must go out again.
            let looked = self.look_at_head(&attempts).await;
            self.broadcast(attempts).await?;
            self.used = used;
            looked?;
        }
        Ok(())
    }

    /// Closes the network while the wallet's next transaction offers less than a block
    /// asks for and does not move: whatever is sold meanwhile would wait behind it.
    /// Only the wallet that signs counts; another one's lane holds up nothing new.
    async fn look_at_head(&mut self, open: &[Recorded]) -> Result<(), LookFault> {
        if self.wallet != self.net.chain.facts().wallet {
            return Ok(());
        }
        let now_ms = self.context.clock.now_ms();
        let first = open.first().and_then(Recorded::nonce);
        self.head = match (first, self.head) {
            (Some(first), Some((known, since))) if first == known => Some((known, since)),
            (Some(first), _) => Some((first, now_ms)),
            (None, _) => None,
        };
        let old = self.head.filter(|(_, since)| now_ms.saturating_sub(*since) >= HEAD_AGE_MS_MAX);
        // The newest bytes of a nonce are the last of it.
        let head = old.and_then(|(nonce, _)| open.iter().rfind(|attempt| attempt.nonce() == Some(nonce)));
        let nonces = self.net.chain.nonces()?;
        let cap = head.and_then(|attempt| nonces.fee_cap(attempt.detail()));
        let is_stuck = match cap {
            Some(cap) => nonces.base_fee().await?.is_some_and(|fee| fee > cap),
            None => false,
        };
        if self.net.lane_is_stuck.swap(is_stuck, Ordering::AcqRel) != is_stuck {
            tariffs::tell(&self.net, &self.context.metrics, self.net.open(now_ms).err());
        }
        Ok(())
    }

    async fn attempts_from(&self, nonce: u64) -> Result<Vec<Recorded>, LedgerError> {
        let network = self.net.chain.network();
        self.context.ledger.attempts_from_nonce(network, &self.wallet, nonce).await
    }

    /// Whether to ask the chain at this look.
    fn is_due(&mut self, open: bool) -> bool {
        let now_ms = self.context.clock.now_ms();
        if open {
            self.active_ms = now_ms;
        }
        self.idle_looks = self.idle_looks.saturating_add(1);
        let could_reopen = now_ms.saturating_sub(self.active_ms) < REORG_MS_MAX;
        let due = open || (could_reopen && self.idle_looks >= IDLE_LOOKS_MAX);
        if due {
            self.idle_looks = 0;
        }
        due
    }

    /// The newest bytes of every open slot that no driver works for any more.
    async fn broadcast(&self, open: Vec<Recorded>) -> Result<(), LookFault> {
        let mut sent = 0;
        let mut attempts = open.into_iter().peekable();
        while let Some(attempt) = attempts.next() {
            // By nonce, then oldest first: the last one of a nonce is the newest.
            let newest = attempts.peek().is_none_or(|next| next.nonce() != attempt.nonce());
            if !newest || sent >= BROADCASTS_MAX || !self.is_over(&attempt).await? {
                continue;
            }
            sent = sent.saturating_add(1);
            let outcome = self.net.send(&attempt).await.outcome;
            tracing::info!(
                nonce = attempt.nonce(),
                transaction = attempt.transaction(),
                ?outcome,
                "using up a slot"
            );
            self.context.metrics.sent(self.net.chain.network(), &outcome);
        }
        Ok(())
    }

    async fn is_over(&self, attempt: &Recorded) -> Result<bool, LookFault> {
        Ok(self.payments(attempt).await?.iter().all(|payment| payment.state.is_final()))
    }

    async fn payments(&self, attempt: &Recorded) -> Result<Vec<Payment>, LookFault> {
        let mut payments = Vec::with_capacity(attempt.payments().len());
        for id in attempt.payments() {
            payments.extend(self.context.ledger.payment(id).await?);
        }
        Ok(payments)
    }
}
