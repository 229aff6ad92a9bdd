//! One year of one network: fees and the native coin's price at every five seconds, and at every
//! second while the base fee rises with each block.

/// A signed payment waits at most this long for its block: what is left of the
/// offer's time, and the grace.
pub(crate) const LANDS_WITHIN_SECONDS: u64 = 150;
/// Pause between two refreshes of the tariff.
pub(crate) const REFRESH_SECONDS: u64 = 5;
/// A year.
pub(crate) const DAYS: usize = 365;
const HOURS: usize = DAYS * 24;
const HOUR_SECONDS: u64 = 3_600;
const MINUTE_SECONDS: u64 = 60;
const BPS: u64 = 10_000;

/// Every random number comes from this.
const SEED: u64 = 0x5175_6974_7461_6e63;
/// Spikes of the base fee in a year, besides those of the stormy day.
const SPIKES: u64 = 40;
/// Spikes within one day, half of them before the one before has passed.
const STORM_SPIKES: u64 = 6;
/// Fifty times the usual, in thousandths: a spike rises to it by an eighth with each block, as fast as
/// EIP-1559 allows, which takes 34 blocks.
const PEAK: u64 = 50_000;
const BLOCKS_TO_PEAK: u64 = 34;
/// Shocks of the coin's price in a year: a tenth up or down within two minutes.
const SHOCKS: u64 = 20;
const SHOCK_BPS: u64 = 1_000;
const SHOCK_SECONDS: u64 = 120;
/// Weeks in which Base is busy: its base fee is many times the usual all week.
const BUSY_WEEKS: [usize; 4] = [7, 19, 33, 46];
const BUSY_FACTOR: u64 = 15;

/// Base: the usual base fee, wei per gas.
const BASE_FEE_WEI: u64 = 10_000_000;
/// Base: L1 data fee of a settlement, wei, at the oracle's upper bound.
pub(crate) const L1_FEE_WEI: u128 = 5_000_000_000;

/// SplitMix64: small, well known, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `BPS ± spread`, a pure function of `at` and `salt`.
fn noise(at: u64, salt: u64, spread: u64) -> u64 {
    BPS - spread + mix(at ^ salt.rotate_left(32) ^ SEED) % (2 * spread + 1)
}

/// A fifty-fold rise of the base fee.
struct Spike {
    start: u64,
    hold: u64,
    decay: u64,
    block_ms: u64,
}

impl Spike {
    /// How long the rise takes, in seconds.
    fn rise(&self) -> u64 {
        (BLOCKS_TO_PEAK * self.block_ms).div_ceil(1_000)
    }

    fn end(&self) -> u64 {
        self.start + self.rise() + self.hold + self.decay
    }

    /// Factor in thousandths, of the dearest block within the second at `now`.
    fn factor(&self, now: u64) -> u64 {
        let Some(age) = now.checked_sub(self.start) else { return 1_000 };
        if age < self.rise() {
            let blocks = (age + 1) * 1_000 / self.block_ms;
            return (0..blocks.min(BLOCKS_TO_PEAK)).fold(1_000, |factor, _| factor * 9 / 8).min(PEAK);
        }
        let age = age - self.rise();
        if age < self.hold {
            return PEAK;
        }
        let left = (self.hold + self.decay).saturating_sub(age);
        1_000 + (PEAK - 1_000) * left / self.decay
    }
}

/// Fees and prices of a year; a pure function of the second.
pub(crate) struct Market {
    /// Base fee by the hour, wei per gas; empty on Solana.
    fees: Vec<u64>,
    /// Dollars per coin by the hour, in cents.
    cents: Vec<u64>,
    spikes: Vec<Spike>,
    /// Start and direction; the price stays where it went.
    shocks: Vec<(u64, bool)>,
    /// Hours that must be looked at every five seconds.
    dense: Vec<bool>,
}

impl Market {
    /// Base and ether, with blocks of `block_ms`.
    pub(crate) fn base(block_ms: u64) -> Self {
        let mut random = Random(SEED);
        let fees = walk(&mut random, BASE_FEE_WEI, 800)
            .into_iter()
            .enumerate()
            .map(|(hour, fee)| fee * hour_of_day(hour) / BPS * week(hour))
            .collect();
        let mut spikes: Vec<Spike> = (0..SPIKES).map(|_| spike(&mut random, None, block_ms)).collect();
        let storm = 200 * 24 * 60;
        spikes.extend((0..STORM_SPIKES).map(|n| spike(&mut random, Some(storm + 60 + n * 25), block_ms)));
        Self::new(random, fees, 250_000, spikes)
    }

    /// Solana and SOL: what a signature costs never moves, its price does.
    pub(crate) fn solana() -> Self {
        Self::new(Random(mix(SEED)), Vec::new(), 15_000, Vec::new())
    }

    fn new(mut random: Random, fees: Vec<u64>, cents: u64, spikes: Vec<Spike>) -> Self {
        let cents = walk(&mut random, cents, 120);
        let shocks: Vec<(u64, bool)> =
            (0..SHOCKS).map(|n| (random.below(DAYS as u64 * 24 * 60) * MINUTE_SECONDS, n % 2 == 0)).collect();
        let mut dense = vec![false; HOURS];
        let spans = spikes.iter().map(|s| (s.start, s.end() + 50 * MINUTE_SECONDS));
        for (from, to) in spans.chain(shocks.iter().map(|(at, _)| (*at, at + 900))) {
            let hour = |second: u64| usize::try_from(second / HOUR_SECONDS).unwrap();
            for dense in dense.iter_mut().take(hour(to) + 1).skip(hour(from.saturating_sub(600))) {
                *dense = true;
            }
        }
        Self { fees, cents, spikes, shocks, dense }
    }

    /// The spikes and shocks that matter in an hour, so that a look is cheap.
    pub(crate) fn hour(&self, hour: usize) -> Hour<'_> {
        let from = u64::try_from(hour).unwrap() * HOUR_SECONDS;
        let to = from + HOUR_SECONDS + 600;
        let spikes = self.spikes.iter().filter(|spike| spike.start < to && spike.end() >= from).collect();
        let shocks = self
            .shocks
            .iter()
            .copied()
            .filter(|(at, _)| *at < to && at + SHOCK_SECONDS + 4 * HOUR_SECONDS >= from)
            .collect();
        Hour { market: self, number: hour, from, spikes, shocks }
    }
}

/// One hour of a market, and the minutes after it.
pub(crate) struct Hour<'a> {
    market: &'a Market,
    number: usize,
    from: u64,
    spikes: Vec<&'a Spike>,
    shocks: Vec<(u64, bool)>,
}

/// A moment at which somebody buys.
pub(crate) struct Time {
    pub(crate) at: u64,
    /// Whether fees are read and a tariff is made then.
    pub(crate) refreshes: bool,
    /// Until the next one; 0 for moments of the next hour, in which payments may still land.
    pub(crate) lasts: u64,
    /// For how many seconds of the year its payments stand.
    pub(crate) counts: u64,
}

impl Hour<'_> {
    /// The moments of this hour, and those after it in which its payments may land.
    pub(crate) fn times(&self) -> Vec<Time> {
        let dense = self.market.dense[self.number];
        let end = self.from + if dense { HOUR_SECONDS } else { 6 * MINUTE_SECONDS };
        let (mut at, mut times) = (self.from, Vec::new());
        while at <= end + LANDS_WITHIN_SECONDS {
            let step = match () {
                () if self.is_rising(at) => 1,
                // Back in step with the refreshes.
                () if self.is_hot(at) || !at.is_multiple_of(REFRESH_SECONDS) => {
                    REFRESH_SECONDS - at % REFRESH_SECONDS
                }
                () => MINUTE_SECONDS,
            };
            let lasts = if at < end { step } else { 0 };
            let counts = match dense {
                true => lasts,
                false if at < self.from + 3 * MINUTE_SECONDS => 0,
                false => HOUR_SECONDS / 3,
            };
            let refreshes = at.is_multiple_of(REFRESH_SECONDS);
            times.push(Time { at, refreshes, lasts, counts });
            at += step;
        }
        times
    }

    /// Whether the base fee rises with every block now, or will before the next refresh.
    fn is_rising(&self, at: u64) -> bool {
        self.spikes.iter().any(|spike| {
            at + REFRESH_SECONDS >= spike.start && at < spike.start + spike.rise() + REFRESH_SECONDS
        })
    }

    /// Whether something sudden happens within minutes.
    fn is_hot(&self, at: u64) -> bool {
        self.spikes.iter().any(|spike| at + 180 >= spike.start && at < spike.end() + 300)
            || self.shocks.iter().any(|(shock, _)| at + 60 >= *shock && at < shock + 420)
    }

    /// Base fee of the dearest block within the second at `now`, wei per gas.
    pub(crate) fn base_fee_wei(&self, now: u64) -> u128 {
        if self.market.fees.is_empty() {
            return 0;
        }
        let calm = between(&self.market.fees, now);
        let minute = noise(now / MINUTE_SECONDS, 1, 250);
        let block = noise(now / 5, 2, 100);
        // Spikes that overlap do not multiply: blocks are full only once.
        let factor = self.spikes.iter().map(|spike| spike.factor(now)).max().unwrap_or(1_000);
        u128::from(calm) * u128::from(minute) * u128::from(block) / u128::from(BPS * BPS) * u128::from(factor)
            / 1_000
    }

    /// Dollars per coin in cents.
    pub(crate) fn cents(&self, now: u64) -> u64 {
        let mut cents = between(&self.market.cents, now) * noise(now / MINUTE_SECONDS, 3, 10) / BPS;
        for (at, up) in &self.shocks {
            let Some(age) = now.checked_sub(*at) else { continue };
            // It comes in two minutes and is given back over four hours.
            let back = (4 * HOUR_SECONDS + SHOCK_SECONDS).saturating_sub(age);
            let size = if age < SHOCK_SECONDS {
                SHOCK_BPS * age / SHOCK_SECONDS
            } else {
                SHOCK_BPS * back / (4 * HOUR_SECONDS)
            };
            cents = if *up { cents * (BPS + size) / BPS } else { cents * (BPS - size) / BPS };
        }
        cents
    }
}

fn spike(random: &mut Random, minute: Option<u64>, block_ms: u64) -> Spike {
    let minute = minute.unwrap_or_else(|| random.below(DAYS as u64 * 24 * 60 - 120));
    let minutes = |n: u64| n * MINUTE_SECONDS;
    let (hold, decay) = (minutes(2 + random.below(19)), minutes(5 + random.below(26)));
    Spike { start: minutes(minute), hold, decay, block_ms }
}

/// An hourly walk around `start` that is pulled back to it.
fn walk(random: &mut Random, start: u64, step_bps: u64) -> Vec<u64> {
    let mut value = start;
    (0..=HOURS)
        .map(|_| {
            value = value * (BPS - step_bps + random.below(2 * step_bps + 1)) / BPS;
            value = (value * 99 + start) / 100;
            value
        })
        .collect()
}

/// Nights are quieter than afternoons, in basis points.
fn hour_of_day(hour: usize) -> u64 {
    [6_000, 7_000, 9_000, 13_000, 14_000, 11_000][hour % 24 / 4]
}

/// Calm or busy.
fn week(hour: usize) -> u64 {
    if BUSY_WEEKS.contains(&(hour / 24 / 7)) { BUSY_FACTOR } else { 1 }
}

/// Straight between the hours.
fn between(hourly: &[u64], now: u64) -> u64 {
    let hour = usize::try_from(now / HOUR_SECONDS).unwrap();
    let (left, right) = (hourly[hour.min(HOURS)], hourly[(hour + 1).min(HOURS)]);
    let into = now % HOUR_SECONDS;
    (left * (HOUR_SECONDS - into) + right * into) / HOUR_SECONDS
}
