//! What attempts may cost without earning (P3, I10): the values, and the one
//! place that decides whether there is room. Databases and model only sum up.

use quittance_protocol::Amount;

/// The ceilings' window.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Costs are summed up by ten minutes: a day ends up to that much later.
pub(crate) const SLOT_MS: i64 = 600_000;

/// Largest native amount that is summed: of any number of rows a day's sum fits
/// a BIGINT, because ceilings keep the sum below a few of these.
pub(crate) const NATIVE_MAX: u64 = 1_000_000_000_000_000_000;

/// As it is stored and summed.
pub(crate) fn native_stored(value: u64) -> i64 {
    i64::try_from(value.min(NATIVE_MAX)).unwrap_or(i64::MAX)
}

const BASIS_POINTS: u64 = 10_000;

/// A sum in both currencies: a wrong exchange rate moves only one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exposed {
    /// Atomic USDC.
    pub usdc: Amount,
    /// Wei or lamports.
    pub native: u64,
}

impl Exposed {
    fn plus(self, other: Self) -> Self {
        Self { usdc: sum(self.usdc, other.usdc), native: self.native.saturating_add(other.native) }
    }

    /// Whether it stays within a ceiling in both currencies.
    fn within(self, ceiling: Self) -> bool {
        self.usdc <= ceiling.usdc && self.native <= ceiling.native
    }
}

fn sum(a: Amount, b: Amount) -> Amount {
    Amount::new(a.atomic().saturating_add(b.atomic()))
}

/// An operator's ceilings for one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureLimits {
    /// What one payer's attempts in flight may cost.
    pub payer_in_flight: Exposed,
    /// What all attempts in flight may cost.
    pub network_in_flight: Exposed,
    /// What one payer's attempts may have cost within a day, in flight included,
    /// beyond the part of its own surcharges.
    pub payer_day: Amount,
    /// Attempts in flight of one payer that its own surcharges do not cover: so
    /// filling a limit that all share takes many payers with money.
    pub payer_unearned_in_flight: u32,
    /// The soft limit: what attempts may have cost within a day, in flight
    /// included, beyond what payers' own surcharges cover.
    pub soft_day: Exposed,
    /// What one probe at a time may add to it.
    pub probes_day: Exposed,
    /// What settling may cost at all within a day, in flight included.
    pub spent_day: Amount,
    /// The part of its surcharges that a payer may burn, in basis points.
    pub history_bps: u32,
    /// Attempts in flight of payers whose own code decides.
    pub by_code_in_flight: u32,
}

/// What creating token accounts may cost on one network within a UTC day, in lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Of everybody together.
    pub day: u64,
    /// Of one payer, or one merchant.
    pub payer_day: u64,
}

/// What one account may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRent {
    /// In lamports.
    pub native: u64,
    /// The limits.
    pub limits: AccountLimits,
}

/// What a payer was seen to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Atomic units of the token.
    pub amount: Amount,
    /// The block or slot that was read: later landings are not in it.
    pub at: u64,
}

/// What a claim wants to have reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Where the money comes from: the payer, or a token account of the payer's.
    pub source: String,
    /// What was seen there; `None` where nothing could be read.
    pub balance: Option<Balance>,
    /// After this the payment cannot take the money any more; `None` where a height says so.
    pub hold_until_ms: Option<i64>,
    /// The most that the next signature may cost.
    pub bound: Exposed,
    /// Whether code of the payer's decides what becomes of it.
    pub by_code: bool,
    /// What it pays for a token account that it creates.
    pub account: Option<AccountRent>,
    /// The ceilings.
    pub limits: ExposureLimits,
}

/// Out of which allowance an attempt may burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Funding {
    /// The soft limit, which all payers without history share.
    Stranger,
    /// The probe budget.
    Probe,
    /// The payer's own surcharges.
    History,
}

impl Funding {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Probe => "probe",
            Self::History => "history",
        }
    }

    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        [Self::Stranger, Self::Probe, Self::History].into_iter().find(|one| one.as_str() == text)
    }
}

/// Why nothing was reserved. Nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The payer's payments in flight need the balance that was seen.
    #[error("the payer's balance is needed by payments of theirs that are under way")]
    Balance,
    /// As much of this payer's is in flight as may be.
    #[error("as many attempts of this payer are in flight as may be")]
    PayerInFlight,
    /// As much is in flight on the network as may be.
    #[error("as many attempts are in flight on this network as may be")]
    NetworkInFlight,
    /// As many payers with code are in flight as may be.
    #[error("as many payments of contract payers are in flight as may be")]
    CodeInFlight,
    /// This payer's attempts burnt a day's allowance.
    #[error("this payer's attempts burnt a day's allowance")]
    PayerBurnt,
    /// Strangers' attempts burnt the soft limit, and a probe is under way.
    #[error("attempts that earned nothing cost the soft limit; one payer without history at a time is tried")]
    Strangers,
    /// Strangers' attempts burnt the soft limit and the probe budget.
    #[error("attempts that earned nothing cost the day's limit")]
    Exhausted,
    /// Settling cost a day's budget.
    #[error("settling cost the day's budget")]
    Spent,
    /// The merchant is closed, or does not sell on this network.
    #[error("the merchant is closed or does not sell here")]
    MerchantClosed,
    /// As many of the merchant's payments are under way as may be.
    #[error("as many payments of this merchant are under way as may be")]
    MerchantInFlight,
    /// The merchant's payments moved a day's sum.
    #[error("the merchant's payments moved its day's sum")]
    MerchantAmount,
    /// Settling the merchant's payments cost its day's limit.
    #[error("settling the merchant's payments cost its day's limit")]
    MerchantCost,
    /// Creating token accounts cost the day's limit.
    #[error("creating token accounts cost the UTC day's limit")]
    AccountsSpent,
    /// Creating token accounts for this payer, or merchant, cost its day's limit.
    #[error("creating token accounts for this payer or merchant cost its UTC day's limit")]
    PayerAccounts,
}

impl NoRoom {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Balance,
        Self::PayerInFlight,
        Self::NetworkInFlight,
        Self::CodeInFlight,
        Self::PayerBurnt,
        Self::Strangers,
        Self::Exhausted,
        Self::Spent,
        Self::MerchantClosed,
        Self::MerchantInFlight,
        Self::MerchantAmount,
        Self::MerchantCost,
        Self::AccountsSpent,
        Self::PayerAccounts,
    ];

    /// Whether room comes as soon as something in flight ends.
    pub const fn is_brief(self) -> bool {
        matches!(
            self,
            Self::Balance
                | Self::PayerInFlight
                | Self::NetworkInFlight
                | Self::CodeInFlight
                | Self::Strangers
        )
    }
}

/// What the ledger says of one network, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExposureSums {
    /// Reserved by attempts in flight.
    pub reserved: Exposed,
    /// Of it, what payers' own surcharges do not cover.
    pub reserved_strangers: Exposed,
    /// Burnt within a day, beyond what payers' own surcharges cover.
    pub burnt: Exposed,
    /// What settling cost within a day.
    pub spent: Amount,
}

impl ExposureSums {
    /// Whether a payer who was never seen here would find room for an attempt that may
    /// cost `bound`; a probe is taken for free. Decides nothing: a claim does.
    pub fn room_for_new(&self, bound: Exposed, limits: &ExposureLimits) -> Result<(), NoRoom> {
        let sums = Sums { network: *self, ..Sums::default() };
        let wanted = Reserve {
            source: String::new(),
            balance: None,
            hold_until_ms: None,
            bound,
            by_code: false,
            account: None,
            limits: *limits,
        };
        admit(&sums, &wanted, Amount::ZERO).map(drop)
    }
}

/// What the decision looks at; one payer on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) network: ExposureSums,
    /// Probes in flight.
    pub(crate) probes: u64,
    /// Payers with code in flight.
    pub(crate) by_code: u64,
    /// Reserved by this payer.
    pub(crate) payer: Exposed,
    /// Of it, against its surcharges.
    pub(crate) payer_history: Amount,
    /// Attempts of this payer in flight that its surcharges do not cover.
    pub(crate) payer_unearned: u64,
    /// Burnt by this payer within a day, beyond its surcharges.
    pub(crate) payer_burnt: Amount,
    /// What this payer's settled payments paid for settling.
    pub(crate) paid: Amount,
    /// What it burnt of it, ever.
    pub(crate) paid_burnt: Amount,
    /// What its payments in flight take from this source.
    pub(crate) held: Amount,
    /// What its payments took that landed after the balance was read.
    pub(crate) landed: Amount,
    /// Other authorizations that a foreign server is told to be valid …
    pub(crate) leases: u64,
    /// … and what they take from this source.
    pub(crate) leased: Amount,
}

/// The first slot that still counts.
pub(crate) fn first_slot(now_ms: i64) -> i64 {
    slot_of(now_ms.saturating_sub(DAY_MS))
}

/// When a slot counts no more, in Unix milliseconds.
pub(crate) fn slot_ends(slot: i64) -> i64 {
    slot.saturating_add(1).saturating_mul(SLOT_MS).saturating_add(DAY_MS)
}

pub(crate) fn slot_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(SLOT_MS)
}

/// Whether `amount` tokens and the bound have room, and out of which allowance.
///
/// Burnt plus reserved never passes a daily limit: a bound that is admitted may
/// be burnt whole.
pub(crate) fn admit(at: &Sums, wanted: &Reserve, amount: Amount) -> Result<Funding, NoRoom> {
    let (limits, bound) = (&wanted.limits, wanted.bound);
    let needed = sum(sum(at.held, at.leased), sum(at.landed, amount));
    if wanted.balance.is_some_and(|seen| needed > seen.amount) {
        return Err(NoRoom::Balance);
    }
    if !at.payer.plus(bound).within(limits.payer_in_flight) {
        return Err(NoRoom::PayerInFlight);
    }
    if !at.network.reserved.plus(bound).within(limits.network_in_flight) {
        return Err(NoRoom::NetworkInFlight);
    }
    if wanted.by_code && at.by_code >= u64::from(limits.by_code_in_flight) {
        return Err(NoRoom::CodeInFlight);
    }
    if sum(at.network.spent, sum(at.network.reserved.usdc, bound.usdc)) > limits.spent_day {
        return Err(NoRoom::Spent);
    }
    let earned = earned_allowance(at, limits.history_bps);
    // A rate at which an attempt costs nothing is wrong, and gives nobody a history.
    if bound.usdc > Amount::ZERO && sum(at.payer_history, bound.usdc) <= earned {
        return Ok(Funding::History);
    }
    admit_unearned(at, limits, bound)
}

/// What of a payer's surcharges it may still burn; below what they earned, so
/// that burning it on purpose costs the payer more than it costs us.
fn earned_allowance(at: &Sums, bps: u32) -> Amount {
    let part = u128::from(at.paid.atomic()).saturating_mul(u128::from(bps)) / u128::from(BASIS_POINTS);
    let part = u64::try_from(part).unwrap_or(u64::MAX);
    Amount::new(part.saturating_sub(at.paid_burnt.atomic()))
}

fn admit_unearned(at: &Sums, limits: &ExposureLimits, bound: Exposed) -> Result<Funding, NoRoom> {
    if at.payer_unearned >= u64::from(limits.payer_unearned_in_flight) {
        return Err(NoRoom::PayerInFlight);
    }
    let in_flight = at.payer.usdc.atomic().saturating_sub(at.payer_history.atomic());
    let mine = sum(at.payer_burnt, Amount::new(in_flight));
    // One attempt of who burnt nothing may always be under way, however dear
    // settling is: otherwise nobody new could buy while fees are high.
    if mine > Amount::ZERO && sum(mine, bound.usdc) > limits.payer_day {
        let alone = sum(at.payer_burnt, bound.usdc) > limits.payer_day;
        let burnt = at.payer_burnt > Amount::ZERO && alone;
        return Err(if burnt { NoRoom::PayerBurnt } else { NoRoom::PayerInFlight });
    }
    let all = at.network.burnt.plus(at.network.reserved_strangers).plus(bound);
    if all.within(limits.soft_day) {
        return Ok(Funding::Stranger);
    }
    let hard = limits.soft_day.plus(limits.probes_day);
    let room = all.within(hard);
    if room && at.probes == 0 {
        return Ok(Funding::Probe);
    }
    // Whether anything ends the wait before the window rolls.
    let later = at.network.burnt.plus(bound).within(hard);
    Err(if later { NoRoom::Strangers } else { NoRoom::Exhausted })
}

#[cfg(test)]
mod tests;
