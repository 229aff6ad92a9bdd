//! What a facilitator with one network does through a market: tariffs, offers,
//! payments by the most favourable rule for the payer, and the ledger.

use std::collections::BTreeMap;

use quittance_protocol::Amount;
use quittance_quote::{
    BaseCost, Markup, Rate, SolanaCost, Tariff, TariffWindow, native_to_usdc, next_gas, usdc_to_native,
};

use crate::market::{DAYS, Hour, L1_FEE_WEI, LANDS_WITHIN_SECONDS, Market, REFRESH_SECONDS, Time};

/// The L1 fee is charged and bounded at twice the oracle's figure.
const L1_FEE_HEADROOM: u128 = 2;
/// A tariff that could not be refreshed this often is stale.
const STALE_AFTER_REFRESHES: u64 = 12;
/// Attempts that fail, cost as much, and earn nothing: 2 of 100.
const EARNING_PERCENT: u128 = 98;
/// Wei per gas that is never exceeded (I8).
const MAX_FEE_PER_GAS_WEI: u128 = 20_000_000_000;
/// Gas that a settlement is measured to use.
const GAS_MEASURED: u64 = 85_800;

/// The tariff policy: defaults of the facilitator's configuration.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) markup: Markup,
    pub(crate) headroom_bps: u128,
    /// The gas that a fee cap is charged for; the gas limit above it is the operator's budget.
    pub(crate) gas_bounded: u64,
    pub(crate) gas_expected: u64,
    pub(crate) tip_wei: u128,
    /// The fee cap of a signature has room for that many full blocks.
    pub(crate) blocks_of_headroom: u32,
    /// Fees are known as of that many seconds: those of the last refresh while nothing is
    /// under way, of the last look at the chain while something is.
    pub(crate) fees_every_seconds: u64,
    pub(crate) timeout_seconds: u64,
    pub(crate) grace_seconds: u64,
    pub(crate) fall_bps_per_minute: u32,
    pub(crate) ceiling: u64,
    pub(crate) cost_budget: u64,
    pub(crate) decimals: i64,
}

impl Policy {
    /// Base, with the gas limit of decision 0004, and the headroom of two seconds of blocks.
    pub(crate) fn base(block_ms: u64) -> Self {
        let blocks = 2_000_u64.div_ceil(block_ms).max(6);
        Self {
            markup: "1.25".parse().unwrap(),
            headroom_bps: 11_250,
            gas_bounded: 88_000,
            gas_expected: 88_000,
            tip_wei: 1_000_000,
            blocks_of_headroom: u32::try_from(blocks).unwrap(),
            fees_every_seconds: REFRESH_SECONDS,
            timeout_seconds: 120,
            grace_seconds: 30,
            fall_bps_per_minute: 1_000,
            ceiling: 500_000,
            cost_budget: 5_000,
            decimals: 18,
        }
    }

    /// Solana: the limits on gas do not apply.
    pub(crate) fn solana() -> Self {
        Self { decimals: 9, ..Self::base(200) }
    }

    fn is_base(&self) -> bool {
        self.decimals == 18
    }
}

/// One day's money, in millionths of a dollar times seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    pub(crate) charged: u128,
    pub(crate) spent: u128,
}

/// The year's result.
pub(crate) struct Ledger {
    pub(crate) days: Vec<Books>,
    pub(crate) payments: u64,
    /// Payments whose cheapest tariff was refused because it no longer covered the bound.
    pub(crate) refused_old: u64,
    /// Payments that no block took in time: the base fee rose above their fee cap.
    pub(crate) left_behind: u64,
    seconds: u64,
    sold_seconds: u64,
    /// Surcharge over real cost, percent → seconds in which it was paid.
    surcharges: BTreeMap<i64, u64>,
    /// Largest loss on one payment, millionths of a dollar.
    worst_loss: u64,
}

impl Ledger {
    /// Heads of the columns of [`Self::row`].
    pub(crate) const HEAD: &'static str = "policy                                   worst day   median  95 % below   sold  refused  left behind  worst payment";

    pub(crate) fn sold_bps(&self) -> u64 {
        self.sold_seconds * 10_000 / self.seconds
    }

    pub(crate) fn surcharge_median_percent(&self) -> i64 {
        self.surcharge_quantile(50)
    }

    fn surcharge_quantile(&self, percent: u64) -> i64 {
        let wanted = self.sold_seconds * percent / 100;
        let mut seen = 0;
        for (surcharge, seconds) in &self.surcharges {
            seen += seconds;
            if seen > wanted {
                return *surcharge;
            }
        }
        0
    }

    /// Charged over spent on the worst day, percent.
    fn worst_day_percent(&self) -> u128 {
        let days = self.days.iter().filter(|books| books.spent > 0);
        days.map(|books| books.charged * 100 / books.spent).min().unwrap_or(0)
    }

    /// One line of the table.
    pub(crate) fn row(&self, name: &str) -> String {
        let sold = self.sold_bps();
        format!(
            "{name:<40} {:>7} %  {:>5} %  {:>8} %  {:>2}.{:02} %  {:>6}  {:>6}  -{} USDC",
            self.worst_day_percent(),
            self.surcharge_median_percent(),
            self.surcharge_quantile(95),
            sold / 100,
            sold % 100,
            self.refused_old,
            self.left_behind,
            Amount::new(self.worst_loss).to_usdc(),
        )
    }
}

/// What the facilitator reads from chain and rate source at one moment.
struct Now {
    ms: i64,
    fee_wei: u128,
    rate: Rate,
    cents: u64,
    /// As `refresh_costs` makes it.
    cost_native: u128,
}

/// A facilitator with one network.
pub(crate) struct Facilitator<'a> {
    market: &'a Market,
    policy: Policy,
    window: TariffWindow,
    at_cost: Markup,
    number: i64,
    ledger: Ledger,
}

impl<'a> Facilitator<'a> {
    pub(crate) fn new(market: &'a Market, policy: Policy) -> Self {
        let network =
            if policy.is_base() { "eip155:8453" } else { "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" };
        let age_max = REFRESH_SECONDS * STALE_AFTER_REFRESHES;
        let window = TariffWindow::new(
            network.parse().unwrap(),
            policy.timeout_seconds,
            policy.grace_seconds,
            age_max,
        );
        let ledger = Ledger {
            days: vec![Books::default(); DAYS],
            payments: 0,
            refused_old: 0,
            left_behind: 0,
            seconds: 0,
            sold_seconds: 0,
            surcharges: BTreeMap::new(),
            worst_loss: 0,
        };
        Self { market, policy, window, at_cost: "1".parse().unwrap(), number: 0, ledger }
    }

    /// Every second while the base fee rises with each block, every five seconds around
    /// spikes and shocks, every minute in the rest of such an
    /// hour. Hours in which nothing happens are sampled: the window is filled from six
    /// refreshes a minute apart, and the last three stand for twenty minutes each.
    pub(crate) fn run(mut self) -> Ledger {
        for hour in 0..DAYS * 24 {
            let view = self.market.hour(hour);
            let times = view.times();
            let looks: Vec<Now> = times.iter().map(|time| self.look(&view, time.at)).collect();
            let mut known = 0;
            for (n, time) in times.iter().enumerate() {
                if time.lasts == 0 {
                    break;
                }
                if time.refreshes {
                    let next = times[n + 1..].iter().find(|later| later.refreshes).unwrap();
                    self.refresh(&looks[n], next.at - time.at);
                }
                if time.refreshes || time.at.is_multiple_of(self.policy.fees_every_seconds) {
                    known = n;
                }
                if time.counts > 0 {
                    let within = |later: &&Time| later.at <= time.at + LANDS_WITHIN_SECONDS;
                    let ahead = times[n..].iter().take_while(within).count();
                    self.sell(hour / 24, &looks[known], &looks[n..n + ahead], time.counts);
                }
            }
        }
        self.ledger
    }

    fn look(&self, view: &Hour<'_>, now: u64) -> Now {
        let fee_wei = view.base_fee_wei(now);
        let cents = view.cents(now);
        let cost_native = if self.policy.is_base() {
            let headroom = (fee_wei * self.policy.headroom_bps).div_ceil(10_000);
            let cost = BaseCost {
                gas: self.policy.gas_expected,
                fee_per_gas_wei: headroom + self.policy.tip_wei,
                l1_fee_wei: L1_FEE_WEI * L1_FEE_HEADROOM,
            };
            cost.native().unwrap()
        } else {
            // Charged: the highest priority fee a payer may set.
            SolanaCost { signatures: 2, priority_fee_lamports: 1_000, rent_lamports: 0 }.native().unwrap()
        };
        Now {
            ms: i64::try_from(now * 1_000).unwrap(),
            fee_wei,
            rate: format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap(),
            cents,
            cost_native,
        }
    }

    /// The tariff task: wanted surcharge, slow falls, a new number.
    fn refresh(&mut self, now: &Now, step: u64) {
        let wanted =
            native_to_usdc(now.cost_native, self.policy.decimals, &now.rate, &self.policy.markup).unwrap();
        let newest = self.window.newest();
        let previous = newest.map(|tariff| tariff.gas);
        let elapsed = newest.map_or(0, |tariff| now.ms - tariff.created_at_ms);
        let gas = next_gas(previous, wanted, elapsed, self.policy.fall_bps_per_minute);
        self.number += 1;
        let tariff = Tariff {
            network: self.window.network().clone(),
            number: self.number,
            gas,
            cost_native: now.cost_native,
            rent_included: false,
            created_at_ms: now.ms,
            replaced_at_ms: Some(now.ms + i64::try_from(step * 1_000).unwrap()),
        };
        self.window.push(tariff).unwrap();
    }

    /// The most a settlement may cost that was charged `gas` for (I10).
    fn allowed_native(&self, gas: Amount, now: &Now) -> u128 {
        let dollars = gas.checked_add(Amount::new(self.policy.cost_budget)).unwrap();
        usdc_to_native(dollars, self.policy.decimals, &now.rate).unwrap()
    }

    /// The fee cap a settlement is signed with, or `None` when it is refused.
    fn fee_cap(&self, gas: Amount, now: &Now) -> Option<u128> {
        let allowed = self.allowed_native(gas, now);
        if allowed < now.cost_native {
            return None;
        }
        if !self.policy.is_base() {
            return Some(0);
        }
        let for_gas = allowed.checked_sub(L1_FEE_WEI * L1_FEE_HEADROOM)?;
        let risen = (0..self.policy.blocks_of_headroom).fold(now.fee_wei, |fee, _| fee + fee.div_ceil(8));
        let wanted = (risen + self.policy.tip_wei).min(MAX_FEE_PER_GAS_WEI);
        let cap = wanted.min(for_gas / u128::from(self.policy.gas_bounded));
        (cap > now.fee_wei).then_some(cap)
    }

    /// One payment a second for `weight` seconds: the cheapest tariff of the window that
    /// is taken, in the dearest block that takes it while the offer may be paid. Fees are
    /// `known` as of a moment ago; a payment that no block takes earns nothing and costs all
    /// that it may.
    fn sell(&mut self, day: usize, known: &Now, ahead: &[Now], weight: u64) {
        let now = &ahead[0];
        self.ledger.seconds += weight;
        let current = self.window.current(now.ms).map(|tariff| tariff.gas);
        let offered = current.filter(|gas| gas.atomic() <= self.policy.ceiling);
        let Some(offered) = offered else { return };
        let mut tariffs: Vec<Amount> = self.window.payable_tariffs(now.ms).map(|tariff| tariff.gas).collect();
        tariffs.sort_unstable();
        tariffs.dedup();
        let taken = tariffs.iter().find_map(|gas| self.fee_cap(*gas, known).map(|cap| (*gas, cap)));
        // An honest payer takes the offer of this moment; dearer ones are history.
        let Some((gas, cap)) = taken.filter(|(gas, _)| *gas <= offered) else { return };
        self.ledger.refused_old += u64::from(tariffs.first() != Some(&gas));
        let landings = ahead.iter().filter_map(|block| Some((self.cost_native(block, cap)?, block)));
        let dearest = landings.max_by_key(|(native, block)| native * u128::from(block.cents));
        let Some((native, block)) = dearest else {
            let native = cap * u128::from(GAS_MEASURED) + L1_FEE_WEI;
            let burnt = native_to_usdc(native, self.policy.decimals, &now.rate, &self.at_cost).unwrap();
            self.ledger.left_behind += 1;
            self.ledger.days[day].spent += u128::from(burnt.atomic()) * u128::from(weight);
            return;
        };
        let spent =
            native_to_usdc(native, self.policy.decimals, &block.rate, &self.at_cost).unwrap().atomic();
        let charged = gas.atomic();
        let loss = spent.saturating_sub(charged);
        // A rate that moves between signature and landing is beyond any bound in ether.
        assert!(loss <= self.policy.cost_budget + charged / 5, "a payment lost {loss} over {charged}");
        self.ledger.worst_loss = self.ledger.worst_loss.max(loss);
        self.ledger.payments += 1;
        self.ledger.sold_seconds += weight;
        let books = &mut self.ledger.days[day];
        books.charged += u128::from(charged) * u128::from(weight) * EARNING_PERCENT / 100;
        books.spent += u128::from(spent) * u128::from(weight);
        // What payers see: the failures of others are in the ledger, not in it.
        let percent = i64::try_from(u128::from(charged) * 100 / u128::from(spent.max(1))).unwrap() - 100;
        *self.ledger.surcharges.entry(percent).or_default() += weight;
    }

    /// What landing in this block costs, or `None` when the fee cap keeps it out.
    fn cost_native(&self, block: &Now, cap: u128) -> Option<u128> {
        let cost = if self.policy.is_base() {
            if block.fee_wei > cap {
                return None;
            }
            let fee = (block.fee_wei + self.policy.tip_wei).min(cap);
            BaseCost { gas: GAS_MEASURED, fee_per_gas_wei: fee, l1_fee_wei: L1_FEE_WEI }.native().unwrap()
        } else {
            SolanaCost { signatures: 2, priority_fee_lamports: 1, rent_lamports: 0 }.native().unwrap()
        };
        Some(cost)
    }
}
