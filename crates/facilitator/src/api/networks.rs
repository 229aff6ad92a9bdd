//! How networks, their lanes and their endpoints stand, as operators see it.

use quittance_protocol::{Amount, Network};
use serde::Serialize;

/// One configured network, as this process sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkReport {
    /// Which.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// Nothing new is taken; what was begun is finished.
    pub retired: bool,
    /// Why it is not offered now, as in `quittance_network_closed`.
    pub closed: Option<&'static str>,
    /// Payers without history wait.
    pub strangers_wait: bool,
    /// The newest surcharge, offered or not.
    pub tariff: Option<TariffReport>,
    /// What its transactions are paid with.
    pub coin: String,
    /// Decimals of that coin's smallest unit.
    pub coin_decimals: u32,
    /// US dollars for one coin, as text; the last known one where none is fresh.
    pub rate: Option<String>,
    /// Whether that is fresh enough to sell at.
    pub rate_is_fresh: bool,
    /// How long ago its newest source was read; none for what the configuration fixes.
    pub rate_age_ms: Option<i64>,
    /// The chain's heights when landings were looked at last: not while all are final.
    pub heights: Option<HeightsReport>,
    /// What attempts in flight may cost, was burnt, and settling cost in a day, with the ceilings.
    pub exposure: ExposureReport,
    /// The lanes of its wallets, in this process; those that take new payments first.
    pub lanes: Vec<LaneReport>,
    /// Its endpoints, in the order of `rpc_urls`.
    pub endpoints: Vec<EndpointHealth>,
}

/// A surcharge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TariffReport {
    /// Its number.
    pub number: i64,
    /// What a payer is charged for the network.
    pub gas: Amount,
    /// What one settlement was expected to cost, in the coin's smallest unit.
    pub cost_native: String,
    /// When it was made, Unix milliseconds.
    pub created_at_ms: i64,
}

/// Heights of a chain at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HeightsReport {
    /// The newest block or slot.
    pub latest: u64,
    /// The newest one that cannot vanish.
    pub finalized: u64,
    /// When they were read, Unix milliseconds.
    pub read_at_ms: i64,
}

/// Costs against their ceilings, atomic USDC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExposureReport {
    /// Reserved by attempts in flight.
    pub reserved: Amount,
    /// What may be.
    pub reserved_max: Amount,
    /// Burnt within a day, beyond what payers' own surcharges cover.
    pub burnt: Amount,
    /// What may be, before payers without history wait.
    pub burnt_max: Amount,
    /// What settling cost within a day.
    pub spent: Amount,
    /// What it may.
    pub spent_max: Amount,
}

/// One wallet's lane in this process, at the end of its last turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// Whose.
    pub wallet: String,
    /// It takes no new payment and finishes what it began.
    pub retired: bool,
    /// Payments under way.
    pub payments: usize,
    /// How long the oldest of them has been.
    pub oldest_payment_ms: Option<u64>,
    /// Nonces with signed bytes that the chain has not used yet.
    pub open_slots: usize,
    /// The nonce that is next, and how long it has not moved.
    pub head: Option<LaneHead>,
    /// Its next transaction offers less than blocks ask for.
    pub stuck: bool,
    /// It broke within the last minute.
    pub broke_lately: bool,
}

/// The next transaction of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaneHead {
    /// Its nonce.
    pub nonce: u64,
    /// How long it has been next.
    pub age_ms: u64,
}

/// One endpoint, when it was looked at last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointHealth {
    /// Position in `rpc_urls`.
    pub endpoint: usize,
    /// Its host; never the rest of the URL.
    pub host: String,
    /// `healthy`, or why it is asked only when no other answers.
    pub state: &'static str,
    /// Whether it may be asked before the others.
    pub serves: bool,
    /// Newest block or slot, if it said one.
    pub head: Option<u64>,
    /// How old that was at the look.
    pub head_age_ms: Option<i64>,
    /// When it was looked at, Unix milliseconds.
    pub looked_at_ms: i64,
    /// Calls since the program began, and those that failed.
    pub calls: u64,
    /// See there.
    pub failures: u64,
    /// Methods that fail now.
    pub failing: Vec<String>,
}
