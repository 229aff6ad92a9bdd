//! `quittance reconcile`: the books held against the chain, to the last atomic unit.

mod sides;
mod told;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quittance_facilitator::chain::{TransferHistory, TransferQuery};
use quittance_facilitator::config::Config;
use quittance_facilitator::reconcile::{Difference, Kind, reconcile};
use quittance_facilitator::{Clock, connect_history};
use quittance_ledger::{LandingFilter, Ledger, LedgerOptions};
use serde_json::json;

use crate::ledger_url::ledger_url;
use crate::reconcile::sides::{BookPages, ChainPages};
use crate::reconcile::told::{Account, Round};
use crate::reconcile::when::When;
use crate::{CommandError, print};

/// Longer before it landed no payment was claimed: what bounds the rows that are looked at.
const CLAIMED_BEFORE_MS: i64 = 2 * 86_400_000;

/// Most differences of one address that are shown one by one; all are counted.
const SHOWN_MAX: usize = 10_000;

/// Transactions of one question to the ledger.
const ASKED_MAX: usize = 100;

#[derive(Args)]
pub(crate) struct ReconcileArgs {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Where to begin: a time (`2026-11-30`, `2026-11-30T12:00:00Z`), how long ago (`24h`, `7d`), or
    /// a block (slot) of the one network.
    #[arg(long, value_name = "TIME|BLOCK")]
    since: When,
    /// Where to end; else at the newest final block.
    #[arg(long, value_name = "TIME|BLOCK")]
    until: Option<When>,
    /// Only this network, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Compare booked costs with receipts, too: on EVM networks one more call for each transaction.
    #[arg(long)]
    costs: bool,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
    /// Go on with what becomes final, every so many seconds, until it is stopped.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400), conflicts_with = "until")]
    watch: Option<u64>,
}

pub(crate) fn run(args: &ReconcileArgs) -> Result<ExitCode, CommandError> {
    let config = Config::load(&args.config)?;
    let names: Vec<&String> =
        config.networks.keys().filter(|name| args.network.as_ref().is_none_or(|one| one == *name)).collect();
    if names.is_empty() {
        return Err("--network: there is no such section in [networks]".into());
    }
    let is_block = |when: &When| matches!(when, When::Block(_));
    if names.len() > 1 && (is_block(&args.since) || args.until.as_ref().is_some_and(is_block)) {
        return Err("blocks of several networks are no place: pass --network NAME, or a time".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ledger = open(&config).await?;
        let mut networks = Vec::new();
        for name in names {
            networks.push(Network::connect(name, &config, &ledger, args).await?);
        }
        loop {
            let mut round = Round::default();
            for network in &mut networks {
                network.look(&ledger, args, &mut round).await?;
            }
            match args.json {
                true => print(&serde_json::to_string_pretty(&round.document())?)?,
                false => print(round.text().trim_end())?,
            }
            let Some(seconds) = args.watch else {
                return Ok(if round.adds_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            };
            if !round.adds_up() {
                let differences = round.differences();
                tracing::error!(differences, "the books and the chain differ");
            }
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    })
}

/// For reading, beside whoever works on it.
async fn open(config: &Config) -> Result<Ledger, CommandError> {
    let mut options = LedgerOptions::new("reconcile-command");
    options.read_only = true;
    Ok(Ledger::open(&ledger_url(config)?, options, Clock::system().now_ms()).await?)
}

/// One network, and how far it was compared.
struct Network {
    name: String,
    network: quittance_protocol::Network,
    history: Box<dyn TransferHistory>,
    /// Whom payments go to, and whether everything that comes there is ours to explain.
    addresses: Vec<(String, bool)>,
    claimed_since_ms: i64,
    next: u64,
}

impl Network {
    async fn connect(
        name: &str,
        config: &Config,
        ledger: &Ledger,
        args: &ReconcileArgs,
    ) -> Result<Self, CommandError> {
        let section = config.networks.get(name).ok_or("no such network")?;
        let history = connect_history(name, config).await?;
        let next = args.since.block(&*history).await?;
        let mut addresses = vec![(section.pay_to.clone(), true)];
        for merchant in ledger.list_merchants(Clock::system().now_ms()).await? {
            let terms = merchant.networks.iter().filter(|terms| terms.network == section.network);
            for pay_to in terms.map(|terms| &terms.pay_to) {
                if !addresses.iter().any(|(one, _)| one.eq_ignore_ascii_case(pay_to)) {
                    addresses.push((pay_to.clone(), false));
                }
            }
        }
        Ok(Self {
            name: name.to_owned(),
            network: section.network.clone(),
            history,
            addresses,
            claimed_since_ms: args.since.at_ms().map_or(0, |at| at.saturating_sub(CLAIMED_BEFORE_MS)),
            next,
        })
    }

    async fn look(
        &mut self,
        ledger: &Ledger,
        args: &ReconcileArgs,
        round: &mut Round,
    ) -> Result<(), CommandError> {
        let last = self.history.final_block().await?;
        let last = match &args.until {
            Some(until) => until.block(&*self.history).await?.min(last),
            None => last,
        };
        if self.next > last {
            return Ok(());
        }
        for (pay_to, is_own) in &self.addresses {
            let account = self.compare(ledger, (pay_to, *is_own), last, args.costs).await?;
            round.accounts.push(account);
        }
        self.next = last.saturating_add(1);
        Ok(())
    }

    async fn compare(
        &self,
        ledger: &Ledger,
        (pay_to, is_own): (&str, bool),
        last: u64,
        with_costs: bool,
    ) -> Result<Account, CommandError> {
        let blocks = self.next..=last;
        let query = TransferQuery { pay_to: pay_to.to_owned(), blocks: blocks.clone(), with_costs };
        let filter = LandingFilter {
            network: self.network.clone(),
            pay_to: pay_to.to_owned(),
            blocks: blocks.clone(),
            claimed_since_ms: self.claimed_since_ms,
            before: None,
            limit: 0,
        };
        let mut shown: Vec<Difference> = Vec::new();
        let mut ignored = 0_u64;
        let mut tell = |difference: Difference| {
            // What comes to a merchant's own address is its own business.
            if difference.kind == Kind::NotInBooks && !is_own {
                ignored = ignored.saturating_add(1);
            } else if shown.len() < SHOWN_MAX {
                shown.push(difference);
            }
        };
        let chain = ChainPages::new(&*self.history, &query);
        let totals = reconcile(chain, BookPages::new(ledger, filter), &mut tell).await?;
        let foreign = self.foreign(ledger, &shown).await?;
        Ok(Account {
            name: self.name.clone(),
            network: self.network.clone(),
            pay_to: pay_to.to_owned(),
            is_own,
            blocks,
            differences: totals.differences.saturating_sub(ignored),
            totals,
            shown,
            foreign,
            with_costs,
        })
    }

    /// Transactions that neither an attempt nor a payment of this ledger explains: somebody sent money.
    async fn foreign(&self, ledger: &Ledger, shown: &[Difference]) -> Result<Vec<String>, CommandError> {
        let unknown = shown.iter().filter(|one| one.kind == Kind::NotInBooks);
        let asked: Vec<String> =
            unknown.filter_map(|one| Some(one.on_chain.as_ref()?.transaction.clone())).collect();
        let mut foreign = Vec::new();
        for some in asked.chunks(ASKED_MAX) {
            foreign.extend(ledger.unexplained(&self.network, some).await?);
        }
        Ok(foreign)
    }
}

impl Round {
    fn document(&self) -> serde_json::Value {
        let accounts: Vec<_> = self.accounts.iter().map(Account::document).collect();
        json!({ "adds_up": self.adds_up(), "differences": self.differences(), "accounts": accounts })
    }
}
