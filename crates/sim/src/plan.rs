//! What a seed decides before anything happens: how many of what, and the weather.

pub mod aim;

use quittance_facilitator::Defect as LaneDefect;

use crate::canary::Canary;
use crate::plan::aim::Aim;
use crate::random::Random;

/// Time of a block of Base at most: what other chains have.
pub(crate) const BLOCK_MS_MAX: u64 = 2_000;

/// Clocks of processes differ from the world's by this much at most, either way.
const SKEW_MS_MAX: i64 = 500;

/// The same where nobody keeps them: two of them may be a minute apart.
const SKEW_MS_WILD: i64 = 30_000;

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
    /// Around what a foreign server is told; not in the table.
    Telling,
    /// At any other call; not in the table.
    Elsewhere,
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

/// What a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Whether a payment would land.
    Check,
    /// What became of payments: receipts, logs, statuses.
    Look,
    /// The newest and the finalized block.
    Heights,
    /// Fees, balances and what is in a payment's way.
    Costs,
    /// The wallet's nonces.
    Nonces,
    /// What a transaction cost.
    Receipt,
}

impl Method {
    fn drawn(random: &mut Random) -> Self {
        let all = [Self::Check, Self::Look, Self::Heights, Self::Costs, Self::Nonces, Self::Receipt];
        all[random.below(all.len() as u64) as usize]
    }
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
    pub frozen: u64,
    pub obstacle: u64,
    pub fee_plateau: u64,
    pub landed_before: u64,
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
    /// Payments of payers who want us to pay for nothing.
    pub hostile: usize,
    /// Whether all payments are one payer's.
    pub one_payer: bool,
    /// When the weather ends.
    pub calm_ms: u64,
    /// Blocks on top of a landing before it counts, on Base.
    pub confirmations: u64,
    /// Blocks until a block is final, on Base.
    pub finality: u64,
    /// Whether one process uses a database that others could share.
    pub shared: bool,
    /// Whether others, with ledgers of their own, settle to the same address: then
    /// a stranger's landing may have been served elsewhere.
    pub shared_pay_to: bool,
    /// When the operator changes `pay_to` and restarts one process after the other.
    pub moves_ms: Option<u64>,
    /// The network that this change retires: it is finished, and sells no more.
    pub retires: Option<Net>,
    /// The method that the first of two endpoints refuses, always.
    pub refuses: Option<(Net, Method)>,
    /// For how many blocks an endpoint of Base shows logs in one answer.
    pub log_range: u64,
    /// Time from one block of Base to the next.
    pub block_ms: u64,
    /// What each process's clock is ahead.
    pub skews_ms: Vec<i64>,
    /// Whether the handler of the first payment kills its process, each time.
    pub poison: bool,
    /// How long a process stays away at most after it died.
    pub down_ms_max: u64,
    /// How long a process may be silent before others take its payments.
    pub lease_ms: u64,
    /// How deep a reorganisation of Base goes at most.
    pub reorg_depth_max: u64,
    /// Wallets of ours on each network.
    pub wallets: usize,
    /// Whether the first of them is retired with the operator's change.
    pub retires_wallet: bool,
    /// The weather.
    pub weather: Weather,
    /// A deliberate defect.
    pub canary: Option<Canary>,
    /// Payers of Base who come at the same moment, so that they share transactions.
    pub crowd: usize,
    /// Payments that one transaction on Base may hold.
    pub batch_size_max: usize,
    /// The longest that one waits for others.
    pub batch_wait_ms: u64,
    /// What a wallet's lane gets wrong: for the canary, or to see that it mends itself.
    pub lane: Option<LaneDefect>,
    /// One thing that goes wrong.
    pub forced: Option<Forced>,
    /// A cell of the coverage table that this seed aims at.
    pub aim: Option<Aim>,
}

impl Plan {
    /// What this seed decides: every other one aims at a cell of the table.
    pub fn of_seed(seed: u64, canary: Option<Canary>) -> Self {
        let mut random = Random::new(seed ^ 0x51ee_d5ee_d5ee_d000);
        // A stream of its own: what the operator does changes nothing else of a seed.
        let mut operator = Random::new(seed ^ 0x0be7_a702_0be7_a702);
        let mut nodes = Random::new(seed ^ 0x00de_5000_00de_5000);
        let mut pools = Random::new(seed ^ 0x0900_1500_0900_1500);
        let poison = Random::new(seed ^ 0x0009_0150_0009_0150).chance(100);
        let block_ms = [200, 2_000][nodes.below(2) as usize];
        // What is counted in blocks takes about as long in either world.
        let blocks = BLOCK_MS_MAX / block_ms;
        let confirmations = random.below(3).saturating_mul(blocks.min(2));
        let moves_ms = operator.chance(350).then(|| operator.range(2_000, 30_000));
        let wild = operator.chance(400);
        let skew_ms = if wild { SKEW_MS_WILD } else { SKEW_MS_MAX };
        let processes = [1, 1, 2, 2, 3][random.below(5) as usize];
        let plan = Self {
            seed,
            processes,
            endpoints: [1, 2, 2][random.below(3) as usize],
            payments: random.range(1, 4) as usize,
            calm_ms: random.range(40_000, 100_000),
            confirmations,
            finality: random.range(6, 18).saturating_mul(blocks),
            shared: random.chance(500),
            one_payer: random.chance(500),
            shared_pay_to: operator.chance(350),
            moves_ms,
            retires: moves_ms.filter(|_| operator.chance(400)).map(|_| drawn_net(&mut operator)),
            refuses: nodes.chance(250).then(|| (drawn_net(&mut nodes), Method::drawn(&mut nodes))),
            log_range: [10, 50, 10_000][nodes.below(3) as usize],
            block_ms,
            hostile: hostile(seed),
            skews_ms: (0..processes).map(|_| skew(&mut random, skew_ms)).collect(),
            poison,
            // Its client comes back, and so must the process, for it to be killed again.
            down_ms_max: if poison { 3_000 } else { 15_000 },
            lease_ms: random.range(3, 10).saturating_mul(3_000),
            // Deeper ones than the operator chose to wait for take grants with them.
            reorg_depth_max: if random.chance(150) { confirmations.saturating_add(3) } else { confirmations },
            wallets: if pools.chance(350) { 2 } else { 1 },
            retires_wallet: false,
            weather: Weather::drawn(&mut random),
            canary,
            // Without a draw, so that all else of a seed is as it was.
            batch_size_max: [32, 2, 3, 8, 1][usize::try_from(seed % 5).unwrap_or(0)],
            batch_wait_ms: [10, 400, 50, 1_000][usize::try_from(seed / 5 % 4).unwrap_or(0)],
            crowd: crowd(seed),
            lane: canary.and_then(Canary::lane_defect),
            forced: None,
            aim: None,
        };
        let retires_wallet = plan.wallets > 1 && moves_ms.is_some() && pools.chance(600);
        let plan = Self { retires_wallet, ..plan };
        match seed.is_multiple_of(2) {
            true => plan,
            false => plan.aimed(Aim::of_number(seed / 2), (&mut random, skew_ms)),
        }
    }

    /// Enough processes and patience for the cell to come about.
    fn aimed(mut self, aim: Aim, (random, skew_ms): (&mut Random, i64)) -> Self {
        if aim.standstill || aim.two_stage || aim.place == Crash::BeforeClaim {
            self.processes = self.processes.max(2);
        }
        self.skews_ms = (0..self.processes).map(|_| skew(random, skew_ms)).collect();
        // Restarts would kill the process before it gets to the cell.
        (self.moves_ms, self.retires, self.retires_wallet) = (None, None, false);
        self.lease_ms = 9_000;
        self.calm_ms = 100_000;
        self.poison = false;
        self.payments = self.payments.min(2);
        (self.hostile, self.crowd) = (0, 0);
        self.finality = self.finality.min(8 * BLOCK_MS_MAX / self.block_ms);
        self.down_ms_max = 8_000;
        self.weather = self.weather.gentler(3);
        self.aim = Some(aim);
        self
    }

    /// One payment, one process, good weather, and one thing that goes wrong.
    pub fn forced(forced: Forced) -> Self {
        Self {
            processes: 1,
            endpoints: 1,
            payments: 1,
            hostile: 0,
            crowd: 0,
            calm_ms: 20_000,
            confirmations: 1,
            reorg_depth_max: 0,
            shared_pay_to: false,
            moves_ms: None,
            retires: None,
            wallets: 1,
            retires_wallet: false,
            refuses: None,
            block_ms: BLOCK_MS_MAX,
            finality: 10,
            log_range: 10_000,
            poison: false,
            skews_ms: vec![0],
            weather: Weather::default(),
            forced: Some(forced),
            aim: None,
            ..Self::of_seed(8, None)
        }
    }
}

/// How many hostile payments a seed has. Drawn apart, so that the other stories
/// stay what they were.
fn hostile(seed: u64) -> usize {
    let mut random = Random::new(seed ^ 0x0057_1e00_0057_1e00);
    if random.chance(250) { random.range(8, 24) as usize } else { 0 }
}

/// In every third seed of those that have no hostile payers.
fn crowd(seed: u64) -> usize {
    let of = usize::try_from(seed % 7).unwrap_or(0).saturating_add(3);
    if seed.is_multiple_of(3) && hostile(seed) == 0 { of } else { 0 }
}

fn skew(random: &mut Random, most_ms: i64) -> i64 {
    let span = u64::try_from(most_ms.saturating_mul(2)).unwrap_or(0);
    i64::try_from(random.range(0, span)).unwrap_or(0).saturating_sub(most_ms)
}

fn drawn_net(random: &mut Random) -> Net {
    if random.chance(500) { Net::Base } else { Net::Solana }
}

impl Weather {
    /// The same kinds, each so many times rarer.
    fn gentler(self, times: u64) -> Self {
        let less = |chance: u64| chance / times.max(1);
        Self {
            crash: less(self.crash),
            crash_any: less(self.crash_any),
            pause: less(self.pause),
            request_lost: less(self.request_lost),
            answer_lost: less(self.answer_lost),
            taken_then_error: less(self.taken_then_error),
            falsely_known: less(self.falsely_known),
            falsely_taken: less(self.falsely_taken),
            refused: less(self.refused),
            // Would hide the fate that the bytes are to have.
            wallet_empty: 0,
            slow: self.slow,
            twice: self.twice,
            endpoint_down: less(self.endpoint_down),
            stale_head: self.stale_head,
            false_unused: less(self.false_unused),
            ledger_down: less(self.ledger_down),
            commit_unknown: less(self.commit_unknown),
            forgotten: less(self.forgotten),
            omitted: less(self.omitted),
            reorg: less(self.reorg),
            fee_spike: 0,
            doomed: less(self.doomed),
            broke: self.broke,
            cancelled: self.cancelled,
            foreign: self.foreign,
            foreign_failed: self.foreign_failed,
            unsignable: self.unsignable,
            no_rate: less(self.no_rate),
            hang_up: self.hang_up,
            handler_fails: less(self.handler_fails),
            thief: self.thief,
            other_request: self.other_request,
            frozen: less(self.frozen),
            obstacle: 0,
            fee_plateau: 0,
            landed_before: self.landed_before,
        }
    }

    /// Each kind of fault is absent, usual or frequent.
    fn drawn(random: &mut Random) -> Self {
        let mut pick = |usual: u64| match random.below(4) {
            0 => 0,
            1 => usual.saturating_mul(3),
            _ => usual,
        };
        Self {
            crash: pick(25),
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
            broke: pick(140),
            cancelled: pick(60),
            foreign: pick(60),
            foreign_failed: pick(50),
            unsignable: pick(15),
            no_rate: pick(30),
            hang_up: pick(80),
            handler_fails: pick(130),
            thief: pick(150),
            other_request: pick(80),
            frozen: pick(7),
            obstacle: pick(5),
            fee_plateau: pick(5),
            landed_before: pick(70),
        }
    }
}
