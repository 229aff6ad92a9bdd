//! The port through which the engine's drivers see a chain.
//!
//! [`crate::base`] and [`crate::solana`] implement it over the chain crates; a
//! simulator implements it over fakes.

use async_trait::async_trait;
use quittance_ledger::{Recorded, SignedBytes};
use quittance_protocol::{
    Amount, BLOCK_MS_ASSUMED, Deadline, EndpointReport, ErrorCode, Evidence, Family, Landing, Network,
    PaymentKey, PaymentPayload, SendOutcome, Standing, UnixSeconds,
};
use serde_json::{Map, Value};

pub use quittance_chain::{
    ChainFault, ChainView, CheckError, CostSnapshot, Heights, Identity, Obstacle, Rejection,
    Sent as Broadcast, SignRefused, Use,
};

/// A payment whose own signature and terms are good; nothing is known yet about
/// the chain's opinion, the price or our books.
#[derive(Clone, Debug)]
pub struct ChainPayment {
    /// What makes copies the same payment.
    pub key: PaymentKey,
    /// Who signed.
    pub payer: String,
    /// Where the money comes from: the payer, or a token account of the payer's.
    pub source: String,
    /// What the signature moves.
    pub amount: Amount,
    /// SHA-256 of the canonical signature.
    pub signature_digest: [u8; 32],
    /// Whether landing it makes us pay the rent of the recipient's token account.
    pub needs_rent: bool,
    /// The chain crate's own form, kept in the ledger for resuming. Holds the
    /// payer's signature: never logged.
    pub form: Value,
}

/// Finds out which payment a payload of this network carries. Pure; it needs no
/// connection and no configuration, so it also reads payments on networks and
/// tokens that are not sold any more.
pub fn identify(
    network: &Network,
    payload: &PaymentPayload,
    domain: Option<(&str, &str)>,
) -> Option<Identity> {
    match network.family() {
        Family::Eip155(_) => {
            let found = quittance_evm::identify(network, payload, domain)?;
            let (key, payer, digests) = (found.key, found.payer, found.digests);
            Some(Identity { key, payer, digests, is_signed: found.is_signed })
        }
        Family::Solana => {
            let found = quittance_solana::identify(network, payload)?;
            let (key, payer, digests) = (found.key, found.payer, vec![found.digest]);
            Some(Identity { key, payer, digests, is_signed: found.is_signed })
        }
    }
}

/// One payment in the shared poller's list.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which payment.
    pub key: PaymentKey,
    /// As in [`ChainPayment::form`].
    pub form: Value,
    /// Hashes of our attempts, oldest first.
    pub transactions: Vec<String>,
    /// Wallet nonce of the newest attempt.
    pub nonce: Option<u64>,
    /// Whose nonce that is.
    pub wallet: Option<String>,
    /// Block (or slot) to search from.
    pub watch_from: u64,
    /// When it can no longer land.
    pub deadline: Deadline,
}

/// A settled payment whose landing may not be final yet.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Which payment.
    pub key: PaymentKey,
    /// As in [`ChainPayment::form`].
    pub form: Value,
    /// Where it was seen last.
    pub landing: Landing,
    /// Block (or slot) to search from, should it be gone.
    pub watch_from: u64,
    /// When it can no longer land.
    pub deadline: Deadline,
}

/// A chain, as far as settling payments goes.
#[async_trait]
pub trait Chain: Send + Sync + 'static {
    /// Which one.
    fn network(&self) -> &Network;

    /// The oracle wallet's address.
    fn wallet(&self) -> &str;

    /// The wallet and those before it, which sign nothing new but may have
    /// something under way.
    fn wallets(&self) -> Vec<String> {
        vec![self.wallet().to_owned()]
    }

    /// The wallet that alone can finish a payment, where the payer's own message
    /// names it (the fee payer on Solana). From [`ChainPayment::form`].
    fn wallet_named_by(&self, _form: &Value) -> Option<String> {
        None
    }

    /// Facts for offers (`name` and `version`, or `feePayer`).
    fn offer_extra(&self) -> Map<String, Value>;

    /// Decimals of the native token: 18 or 9.
    fn native_decimals(&self) -> u32;

    /// The code for an amount that is not the price.
    fn amount_mismatch(&self) -> ErrorCode;

    /// The code for a payment that names another network.
    fn network_mismatch(&self) -> ErrorCode;

    /// Which payment a payload carries, whatever its terms; no I/O.
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        identify(self.network(), payload, None)
    }

    /// Checks that need neither chain nor clock: shape, terms, signature.
    fn check_local(&self, payload: &PaymentPayload) -> Result<ChainPayment, Rejection>;

    /// Whether a client that means well may sign the very same payment for two
    /// purchases: nothing in it is drawn at random.
    fn may_coincide(&self, payment: &ChainPayment) -> bool;

    /// From when on the chain takes a payment, where it says so; exclusive, in chain time.
    fn valid_after(&self, payment: &ChainPayment) -> Option<UnixSeconds>;

    /// Whether a new payment comes in time. One that is on record is never
    /// asked: its window closing says nothing about its outcome (P5).
    fn check_window(&self, payment: &ChainPayment, now: UnixSeconds) -> Result<(), Rejection>;

    /// Asks the chain whether the payment would land; exactly one RPC call.
    async fn check_chain(&self, payment: &ChainPayment) -> Result<ChainView, CheckError>;

    /// What used up a payment that the chain refuses as used, if a few calls find it.
    /// `None` also while others are being looked for: strangers cause this search.
    async fn find_use(&self, payment: &ChainPayment) -> Option<Use>;

    /// When the payment can no longer land (I5); at most one RPC call.
    async fn deadline(&self, payment: &ChainPayment, view: &ChainView) -> Result<Deadline, CheckError>;

    /// Whether attempts take a wallet nonce; if so [`Chain::sign`] gets one.
    fn takes_nonce(&self) -> bool;

    /// The wallet's next nonce as the chain sees it, for boot.
    async fn next_nonce(&self) -> Result<u64, ChainFault>;

    /// How many nonces of one of [`Chain::wallets`] the newest block has seen used;
    /// 0 where there are none.
    async fn used_nonces(&self, wallet: &str) -> Result<u64, ChainFault>;

    /// What an included transaction cost, in wei or lamports; `None` while it is not included.
    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault>;

    /// The most that [`Chain::sign`] would let the payment's next attempt cost now,
    /// in wei or lamports: what is reserved before it is signed (P3). No I/O.
    fn cost_bound(&self, form: &Value, allowed_native: u128) -> Result<u128, SignRefused>;

    /// The same for an ordinary payment that is not there yet: what a claim will
    /// reserve. `None`: what [`Chain::refresh_costs`] said last. No I/O.
    fn settlement_bound(&self, _allowed_native: u128) -> Option<u128> {
        None
    }

    /// Signs without I/O, if the expected cost fits `allowed_native` (I10), the
    /// most it can cost `reserved_native` (P3), and its fee the operator's cap (I8).
    fn sign(
        &self,
        form: &Value,
        nonce: Option<u64>,
        allowed_native: u128,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused>;

    /// Broadcasts durable bytes (I2, I3).
    async fn send(&self, recorded: &Recorded) -> SendOutcome;

    /// [`Chain::send`], and what of its reservation the answers leave needed (P3).
    async fn broadcast(&self, recorded: &Recorded) -> Broadcast {
        Broadcast { outcome: self.send(recorded).await, withheld: false }
    }

    /// Looks at the chain once for all watched payments.
    async fn scan(&self, watched: &[Watched]) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault>;

    /// Milliseconds a block (or slot), measured; as short as any chain's until then.
    fn block_ms(&self) -> u64 {
        BLOCK_MS_ASSUMED
    }

    /// Newest and newest finalized block (or slot).
    async fn heights(&self) -> Result<Heights, ChainFault>;

    /// Where landings stand now, each of them once (I6); what takes a payment
    /// away needs a second endpoint as in [`Chain::scan`] (I7).
    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault>;

    /// Transactions that may have moved the token to the payout address since the
    /// last look, whoever made them; a bounded number of calls.
    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        Ok(Vec::new())
    }

    /// Whether one of [`Chain::arrivals`] did pay into the payout address.
    async fn pays_in(&self, _transaction: &str) -> Result<bool, ChainFault> {
        Ok(true)
    }

    /// The endpoints that serve another chain and are therefore asked nothing,
    /// each in a few words. Asks them; never more often than a tariff is made.
    async fn wrong_endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Positions of the endpoints that were found to keep no history of transactions
    /// and so cannot say that a payment never landed. No I/O.
    fn endpoints_without_history(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Asks every endpoint for its head, one call each, and leaves out whose stands
    /// still while another's moves; says how each one does.
    async fn look_at_endpoints(&self, _now_ms: i64) -> Vec<EndpointReport> {
        Vec::new()
    }

    /// The fee per gas that a block asks for now, where there is such a fee; one call.
    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        Ok(None)
    }

    /// The most per gas that an attempt pays, where it says so.
    fn fee_cap(&self, _attempt: &Recorded) -> Option<u128> {
        None
    }

    /// Reads fees, rent, the wallet's balance and what may be in a payment's way,
    /// for the next tariff.
    async fn refresh_costs(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault>;
}
