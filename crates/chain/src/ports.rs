//! What is asked of a chain, in small parts.

use std::time::Duration;

use async_trait::async_trait;
use quittance_protocol::{
    Amount, BLOCK_MS_ASSUMED, Deadline, DurableAttempt, EndpointReport, ErrorCode, Evidence, PaymentKey,
    PaymentPayload, SendOutcome, SignedBytes, Standing, UnixSeconds,
};
use serde_json::Value;

use crate::{
    ChainFault, ChainView, CheckError, CostAllowed, CostSnapshot, Heights, Identity, Landed, NotConnected,
    Rejection, SignRefused, Unreadable, Use, Verified, Watched,
};

/// Payloads and stored forms as what they are. Pure; needs no connection, so it also
/// reads payments on networks and tokens that are not sold any more.
pub trait Decode: Send + Sync + 'static {
    /// Which payment a payload carries, whatever its terms.
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity>;

    /// What the payload itself moves, compared with nothing: customers of x402 version 1 do
    /// not say what they pay for. `None` where it says no amount at all.
    fn amount(&self, payload: &Value) -> Option<Amount>;

    /// What the payer sent, made again from what was checked: what another facilitator is asked to
    /// settle. The same each time. `None` where no other is asked.
    fn payload(&self, _payment: &Verified) -> Option<Value> {
        None
    }

    /// A payment that the ledger kept ([`Verified::store`]), by any release. Whoever
    /// gets an error has a payment that nobody can finish: that is an alert.
    fn revive(&self, form: &Value) -> Result<Verified, Unreadable>;
}

/// Whether a payment is good.
#[async_trait]
pub trait Verify: Send + Sync + 'static {
    /// Checks that need neither chain nor clock: shape, terms, signature.
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection>;

    /// The same for a recipient other than the configured one.
    fn check_local_to(&self, _payload: &PaymentPayload, _pay_to: &str) -> Result<Verified, Rejection> {
        let message = "payments to a merchant's own address are not taken on this network".to_owned();
        Err(Rejection::new(ErrorCode::InvalidNetwork, message))
    }

    /// Whether a new payment comes in time. One that is on record is never
    /// asked: its window closing says nothing about its outcome (P5).
    fn check_window(&self, payment: &Verified, now: UnixSeconds) -> Result<(), Rejection>;

    /// Asks the chain whether the payment would land: one RPC call, or a share of one with others that are
    /// asked about at the same moment, where the node can; a few more where it has no call that reads all
    /// at once, or where code of the payer's decides. The answer is that of the payment alone.
    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError>;

    /// The same of a payment whose payer has no history here. A call that several share holds either
    /// those or the others: nothing that a stranger causes delays or fails the check of a customer.
    async fn check_stranger(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        self.check_chain(payment).await
    }

    /// When the payment can no longer land (I5): no RPC call where the payment says so, else at
    /// most two.
    async fn deadline(&self, payment: &Verified, view: &ChainView) -> Result<Deadline, CheckError>;

    /// What used up a payment that the chain refuses as used, if a few calls find it.
    /// `None` also while others are being looked for: strangers cause this search.
    async fn find_use(&self, payment: &Verified) -> Option<Use>;
}

/// The wallets that pay for settlements. No I/O.
pub trait Sign: Send + Sync + 'static {
    /// The most that [`Self::sign`] would let the payment's next attempt cost now, in the
    /// gas coin's smallest unit: what is reserved before it is signed (P3).
    fn cost_bound(&self, payment: &Verified, charged_native: u128) -> Result<u128, SignRefused>;

    /// The same for an ordinary payment that is not there yet: what a claim will
    /// reserve. `None`: what [`Costs::refresh`] said last.
    fn settlement_bound(&self, _charged_native: u128) -> Option<u128> {
        None
    }

    /// Signs with one of [`crate::Facts::all_wallets`], if the expected cost fits what was charged
    /// (I10), the most it can cost what is reserved (P3), and its fee the operator's cap (I8).
    /// `nonce` where attempts take one. Refused for a wallet that is none of them, or that is not
    /// the one that the payer's own message names.
    fn sign(
        &self,
        payment: &Verified,
        wallet: &str,
        nonce: Option<u64>,
        allowed: CostAllowed,
    ) -> Result<SignedBytes, SignRefused>;
}

/// Wallets whose attempts take a nonce each, in order.
#[async_trait]
pub trait Nonces: Send + Sync + 'static {
    /// The next nonce of one of [`crate::Facts::all_wallets`] as the chain sees it, for boot.
    async fn next(&self, wallet: &str) -> Result<u64, ChainFault>;

    /// How many nonces of one of [`crate::Facts::all_wallets`] the newest block has seen used.
    async fn used(&self, wallet: &str) -> Result<u64, ChainFault>;

    /// What an included transaction cost, in the gas coin's smallest unit; `None` while it
    /// is not included.
    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault>;

    /// The fee per gas that a block asks for now, where there is such a fee; one call.
    async fn base_fee(&self) -> Result<Option<u128>, ChainFault>;

    /// The most per gas that an attempt pays, where its record ([`SignedBytes::detail`]) says so.
    fn fee_cap(&self, detail: &Value) -> Option<u128>;
}

/// How a broadcast ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the nodes' answers prove (I3).
    pub outcome: SendOutcome,
    /// Every node that got the bytes proved that it passed them to nobody: unless
    /// they are sent again they cost nothing.
    pub withheld: bool,
}

impl From<SendOutcome> for Sent {
    fn from(outcome: SendOutcome) -> Self {
        Self { outcome, withheld: false }
    }
}

impl From<NotConnected> for Sent {
    /// An earlier life may have sent it: nothing is known (I3).
    fn from(error: NotConnected) -> Self {
        SendOutcome::Unknown { reason: error.to_string() }.into()
    }
}

/// Hands bytes to nodes.
#[async_trait]
pub trait Broadcast: Send + Sync + 'static {
    /// Broadcasts durable bytes (I2, I3), and says what of their reservation the answers
    /// leave needed (P3).
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent;
}

/// What the chain says of payments under way and of landings.
#[async_trait]
pub trait Watch: Send + Sync + 'static {
    /// Looks at the chain once for all watched payments.
    async fn scan(&self, watched: &[Watched], now_ms: i64)
    -> Result<Vec<(PaymentKey, Evidence)>, ChainFault>;

    /// Where landings stand now, each of them once (I6); what takes a payment
    /// away needs a second endpoint as in [`Self::scan`] (I7).
    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault>;

    /// Newest and newest finalized block (or slot).
    async fn heights(&self, now_ms: i64) -> Result<Heights, ChainFault>;

    /// Milliseconds a block (or slot), measured; as short as any chain's until then.
    fn block_ms(&self) -> u64 {
        BLOCK_MS_ASSUMED
    }

    /// Transactions that may have moved the token to the payout address since the
    /// last look, whoever made them; a bounded number of calls.
    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        Ok(Vec::new())
    }

    /// Whether one of [`Self::arrivals`] did pay into the payout address.
    async fn pays_in(&self, _transaction: &str) -> Result<bool, ChainFault> {
        Ok(true)
    }
}

/// What stands where payments to one owner go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payout {
    /// Payments arrive.
    Ready,
    /// Nothing yet; somebody has to pay for it.
    Missing {
        /// The address that is derived from the owner's.
        account: String,
        /// What creating it costs, in lamports.
        native: u64,
    },
    /// Nobody is paid there: why.
    Unusable(&'static str),
}

/// Accounts of recipients that have to be there before a payment can arrive.
#[async_trait]
pub trait Payouts: Send + Sync + 'static {
    /// Looks where payments to this owner go.
    async fn payout(&self, pay_to: &str) -> Result<Payout, ChainFault>;

    /// Creates the owner's account at the wallet's cost and waits for it; its transaction.
    /// Idempotent on the chain: the rent is paid once, whoever comes first.
    async fn create_payout(&self, pay_to: &str) -> Result<String, ChainFault>;
}

/// What settling costs.
#[async_trait]
pub trait Costs: Send + Sync + 'static {
    /// Reads fees, rent, the wallets' balances and what may be in a payment's way,
    /// for the next tariff.
    async fn refresh(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault>;
}

/// The nodes that a chain is seen through.
#[async_trait]
pub trait Endpoints: Send + Sync + 'static {
    /// The endpoints that serve another chain and are therefore asked nothing,
    /// each in a few words. Asks them; never more often than a tariff is made.
    async fn wrong_endpoints(&self) -> Vec<String>;

    /// Asks every endpoint for its head, one call each, and leaves out whose stands
    /// still while another's moves; says how each one does.
    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport>;

    /// How long all endpoints that serve want to be left alone for (HTTP 429, or 503 with
    /// `Retry-After`); meanwhile nobody is asked about payments of strangers. No I/O.
    fn pause(&self) -> Option<Duration> {
        None
    }

    /// Positions of the endpoints that were found to keep no history of transactions
    /// and so cannot say that a payment never landed. No I/O.
    fn without_history(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Whether all of them were found so: what never lands stays pending then, because nobody can
    /// prove that it did not. No I/O.
    fn keeps_no_history(&self) -> bool {
        false
    }
}
