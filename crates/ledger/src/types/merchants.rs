//! Merchants: who sells through `/verify` and `/settle` under a name of their own.

use std::fmt;

use quittance_protocol::{Amount, Network};

use super::{FeePolicy, MerchantState};
use crate::exposure::AccountLimits;

/// Longest name of a merchant.
pub const MERCHANT_NAME_MAX: usize = 40;

/// Living keys of one merchant: the one in use, and those that replace it.
pub const MERCHANT_KEYS_MAX: usize = 8;

/// Merchants that a ledger holds: every process keeps all of them in memory.
pub const MERCHANTS_MAX: usize = 10_000;

/// The merchant of calls without a key; nobody can be given this name.
pub const MERCHANT_WITHOUT_KEY: &str = "default";

/// A merchant, with where it is paid and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// Lower-case letters, digits and hyphens; given once, whatever becomes of it.
    pub name: String,
    /// Whether it may sell.
    pub state: MerchantState,
    /// Who carries what settling costs.
    pub fee_policy: FeePolicy,
    /// Its payments without a verdict, on all networks.
    pub in_flight_max: u32,
    /// Token accounts whose rent is ever paid for it.
    pub accounts_max: u32,
    /// When it was created.
    pub created_at_ms: i64,
    /// When it was last changed.
    pub changed_at_ms: i64,
    /// Where it is paid, by network.
    pub networks: Vec<MerchantNetwork>,
    /// Its keys, oldest first; ended ones may be gone.
    pub keys: Vec<MerchantKey>,
}

/// Where a merchant is paid on one network, in what, and how much within a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantNetwork {
    /// CAIP-2.
    pub network: Network,
    /// The recipient.
    pub pay_to: String,
    /// The token.
    pub asset: String,
    /// Its limits there.
    pub limits: MerchantLimits,
}

/// What a merchant may have settled on one network within a day, in flight included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerchantLimits {
    /// What its payments move, in atomic units.
    pub amount_day: Amount,
    /// What settling them costs, rent included, in atomic USDC …
    pub cost_day: Amount,
    /// … and in wei or lamports, which no exchange rate moves.
    pub native_day: u64,
}

/// A key, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct MerchantKey {
    /// Its public half, by which it is found.
    pub id: String,
    /// SHA-256 of its secret half.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at_ms: i64,
    /// From when on it is no key any more.
    pub ends_at_ms: Option<i64>,
}

impl fmt::Debug for MerchantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MerchantKey")
            .field("id", &self.id)
            .field("ends_at_ms", &self.ends_at_ms)
            .finish_non_exhaustive()
    }
}

impl MerchantKey {
    /// Whether it is a key now.
    pub fn lives(&self, now_ms: i64) -> bool {
        self.ends_at_ms.is_none_or(|ends| now_ms < ends)
    }
}

/// What a payment says of its merchant's fee policy; stored with the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerchantFee {
    /// Who carries the surcharge.
    pub policy: FeePolicy,
    /// The surcharge, where it is no part of the amount: what its settlement may cost.
    pub carried: Amount,
}

/// What a merchant sold and what that cost on one network and UTC day, in atomic units and USDC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantTotals {
    /// Whose.
    pub merchant: String,
    /// Where.
    pub network: Network,
    /// Start of the day, milliseconds since the Unix epoch.
    pub day_ms: i64,
    /// Payments that settled.
    pub payments: u64,
    /// What they moved.
    pub amount: Amount,
    /// Surcharges within those amounts (`added`).
    pub charged: Amount,
    /// Surcharges that the operator carries (`absorbed`).
    pub absorbed: Amount,
    /// Surcharges that the merchant is billed for (`billed`).
    pub billed: Amount,
    /// Of all payments, those that were found lost in a reorganisation on this day.
    pub lost_payments: u64,
    /// What they had moved.
    pub lost_amount: Amount,
    /// What had been charged or billed for them.
    pub lost_due: Amount,
    /// What settling cost, where a payment came in.
    pub earned_cost: Amount,
    /// What it cost for nothing.
    pub burnt_cost: Amount,
    /// All of it and the rent, in wei or lamports.
    pub native: u64,
    /// Costs without a value in USDC.
    pub unpriced: u64,
    /// Token accounts that were created.
    pub accounts: u64,
    /// Their rent.
    pub rent: Amount,
}

impl MerchantTotals {
    /// What the merchant owes for settling: the surcharges that its customers paid it, those that
    /// it is billed for, and rent, without what was charged for losses.
    pub fn due(&self) -> Amount {
        let all = self.charged.atomic().saturating_add(self.billed.atomic());
        Amount::new(all.saturating_add(self.rent.atomic()).saturating_sub(self.lost_due.atomic()))
    }

    /// What settling cost, rent included.
    pub fn cost(&self) -> Amount {
        let all = self.earned_cost.atomic().saturating_add(self.burnt_cost.atomic());
        Amount::new(all.saturating_add(self.rent.atomic()))
    }
}

/// A token account that is to be created for a merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutAccount {
    /// Where.
    pub network: Network,
    /// Its address.
    pub account: String,
    /// For whom.
    pub merchant: String,
    /// Rent and fee, in lamports.
    pub native: u64,
    /// The same in USDC.
    pub usdc: Amount,
    /// How often a transaction for it may be sent at all.
    pub tries_max: u32,
    /// What accounts may cost within a day at all.
    pub limits: AccountLimits,
}
