//! What a seed decides before anything happens: how many of what, and the weather.

use crate::canary::Canary;
use crate::random::Random;

/// A chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Net {
    /// Wallet nonces, authorizations, reorganisations.
    Base,
    /// Blockhashes, one transaction per payment.
    Solana,
}

/// Places where a process may die: before and after each durable effect, and
/// the names that the real drivers give to their fail points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each names the moment around one durable effect")]
pub enum Crash {
    BeforeClaim,
    AfterClaim,
    BeforeRecord,
    AfterRecord,
    BeforeSend,
    AfterSend,
    BeforeVerdict,
    AfterVerdict,
    BeforeDelivery,
    AfterDeliveryStarted,
    DuringHandler,
    BeforeDelivered,
    AfterDelivered,
}

impl Crash {
    /// In the order of a payment's life.
    pub const ALL: [Self; 13] = [
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::BeforeRecord,
        Self::AfterRecord,
        Self::BeforeSend,
        Self::AfterSend,
        Self::BeforeVerdict,
        Self::AfterVerdict,
        Self::BeforeDelivery,
        Self::AfterDeliveryStarted,
        Self::DuringHandler,
        Self::BeforeDelivered,
        Self::AfterDelivered,
    ];
}

/// What becomes of bytes that are handed to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broadcast {
    /// Taken, and said so.
    Taken,
    /// Taken, the answer is lost.
    AnswerLost,
    /// Taken, then an error.
    TakenThenError,
    /// Never arrives.
    RequestLost,
    /// "already known", and it is not.
    FalselyKnown,
    /// Said to be taken, and dropped.
    FalselyTaken,
    /// Not taken, and provably so.
    Refused,
}

impl Broadcast {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Taken,
        Self::AnswerLost,
        Self::TakenThenError,
        Self::RequestLost,
        Self::FalselyKnown,
        Self::FalselyTaken,
        Self::Refused,
    ];
}

/// A run in which exactly one thing goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Forced {
    /// On which chain the payment is.
    pub net: Net,
    /// Where the process dies.
    pub crash: Crash,
    /// At which visit of that place.
    pub visit: u32,
    /// What the first broadcast meets.
    pub broadcast: Broadcast,
}

/// Chances per mille, each at every opportunity.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "each is the chance of the fault with its name")]
pub struct Weather {
    pub crash: u64,
    pub crash_any: u64,
    pub pause: u64,
    pub request_lost: u64,
    pub answer_lost: u64,
    pub taken_then_error: u64,
    pub falsely_known: u64,
    pub falsely_taken: u64,
    pub refused: u64,
    pub wallet_empty: u64,
    pub slow: u64,
    pub twice: u64,
    pub endpoint_down: u64,
    pub stale_head: u64,
    pub false_unused: u64,
    pub ledger_down: u64,
    pub commit_unknown: u64,
    pub forgotten: u64,
    pub omitted: u64,
    pub reorg: u64,
    pub fee_spike: u64,
    pub doomed: u64,
    pub broke: u64,
    pub cancelled: u64,
    pub foreign: u64,
    pub foreign_failed: u64,
    pub unsignable: u64,
    pub no_rate: u64,
    pub hang_up: u64,
    pub handler_fails: u64,
    pub thief: u64,
    pub other_request: u64,
}

/// Everything that is fixed from the start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Processes that share the ledger.
    pub processes: usize,
    /// RPC endpoints of each chain.
    pub endpoints: usize,
    /// Payments.
    pub payments: usize,
    /// When the weather ends.
    pub calm_ms: u64,
    /// Blocks on top of a landing before it counts, on Base.
    pub confirmations: u64,
    /// Blocks until a block is final, on Base.
    pub finality: u64,
    /// How long a process may be silent before others take its payments.
    pub lease_ms: u64,
    /// How deep a reorganisation of Base goes at most.
    pub reorg_depth_max: u64,
    /// The weather.
    pub weather: Weather,
    /// A deliberate defect.
    pub canary: Option<Canary>,
    /// One thing that goes wrong.
    pub forced: Option<Forced>,
}

impl Plan {
    /// What this seed decides.
    pub fn of_seed(seed: u64, canary: Option<Canary>) -> Self {
        let mut random = Random::new(seed ^ 0x51ee_d5ee_d5ee_d000);
        let confirmations = random.below(3);
        Self {
            seed,
            processes: [1, 1, 2, 2, 3][random.below(5) as usize],
            endpoints: [1, 2, 2][random.below(3) as usize],
            payments: random.range(1, 4) as usize,
            calm_ms: random.range(40_000, 130_000),
            confirmations,
            finality: random.range(6, 18),
            lease_ms: random.range(9_000, 30_000),
            // Deeper ones than the operator chose to wait for take grants with them.
            reorg_depth_max: if random.chance(150) { confirmations.saturating_add(3) } else { confirmations },
            weather: Weather::drawn(&mut random),
            canary,
            forced: None,
        }
    }

    /// One payment, one process, good weather, and one thing that goes wrong.
    pub fn forced(forced: Forced) -> Self {
        Self {
            processes: 1,
            endpoints: 1,
            payments: 1,
            calm_ms: 20_000,
            confirmations: 1,
            reorg_depth_max: 0,
            weather: Weather::default(),
            forced: Some(forced),
            ..Self::of_seed(7, None)
        }
    }
}

impl Weather {
    /// Each kind of fault is absent, usual or frequent.
    fn drawn(random: &mut Random) -> Self {
        let mut pick = |usual: u64| match random.below(4) {
            0 => 0,
            1 => usual.saturating_mul(3),
            _ => usual,
        };
        Self {
            crash: pick(30),
            crash_any: pick(8),
            pause: pick(5),
            request_lost: pick(60),
            answer_lost: pick(60),
            taken_then_error: pick(60),
            falsely_known: pick(60),
            falsely_taken: pick(60),
            refused: pick(70),
            wallet_empty: pick(50),
            slow: pick(100),
            twice: pick(60),
            endpoint_down: pick(15),
            stale_head: pick(100),
            false_unused: pick(10),
            ledger_down: pick(12),
            commit_unknown: pick(30),
            forgotten: pick(30),
            omitted: pick(150),
            reorg: pick(40),
            fee_spike: pick(25),
            doomed: pick(100),
            broke: pick(70),
            cancelled: pick(60),
            foreign: pick(60),
            foreign_failed: pick(50),
            unsignable: pick(15),
            no_rate: pick(30),
            hang_up: pick(80),
            handler_fails: pick(130),
            thief: pick(150),
            other_request: pick(80),
        }
    }
}
